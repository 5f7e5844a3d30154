"""A setting that changes while a night runs and changes back: no later night takes the one that was published for its own."""

from __future__ import annotations

from datetime import date

import pytest

from delivery.manifest import read_latest, read_manifest
from jobs.night import nightly
from jobs.workspace.make import make_workspace
from lakehouse.settings.settings import load_settings

MONDAY = date(2026, 1, 5)


@pytest.fixture
def shop(tmp_path):
    """The minimal workspace, whose segment has a parameter."""
    folder = tmp_path / "shop"
    make_workspace(folder, "minimal")
    file = folder / "segments" / "members_below_40.yml"
    text = file.read_text(encoding="utf-8").replace(
        "where: {tag: age, lt: 40}",
        "parameters: {below: {default: 40, min: 18, max: 90}}\nwhere: {tag: age, lt: $below}",
    )
    file.write_text(text, encoding="utf-8")
    return load_settings(folder)


@pytest.mark.slow
def test_a_night_whose_settings_changed_meanwhile_says_so_and_is_not_taken_for_unchanged(shop, monkeypatch):
    values, run_step = shop.workspace / "segment_parameters.yml", nightly.run_step

    def manifest():
        root = shop.published / "counter" / "members_below_40"
        return read_manifest(root / read_latest(root)["path"])

    def change_meanwhile(name, *words):
        if name == "publish":
            values.write_text("members_below_40: {below: 30}\n", encoding="utf-8")
        return run_step(name, *words)

    monkeypatch.setattr(nightly, "run_step", change_meanwhile)
    changed = nightly.run_night(shop, MONDAY)
    assert manifest()["parameters"] == {"below": 30}
    words = "files of the workspace changed while the night of 2026-01-05 ran"
    assert [words in text for text in changed.summary["warnings"]].count(True) == 1
    monkeypatch.undo()
    values.unlink()
    again = nightly.run_night(shop, MONDAY)
    assert (again.status, manifest()["parameters"]) == ("published", {"below": 40})
    assert not any(words in text for text in again.summary["warnings"])
    assert nightly.run_night(shop, MONDAY).status == "unchanged"
