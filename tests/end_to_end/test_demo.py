"""The demo: run again it finds nothing to do, and each damage to its lake and audiences is named by the deep check."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict

import pytest

from jobs.cli import run
from jobs.workspace.make import make_workspace
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tests.lake_damages import DAMAGES

NUMBERS = ("--people", "300", "--nights", "2", "--history-months", "1")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The bank of the demo after two nights, which the deep check finds sound."""
    folder = tmp_path_factory.mktemp("damages") / "bank"
    make_workspace(folder, "bank")
    assert run(["demo", "--workspace", str(folder), *NUMBERS]) == 0
    assert run(["fsck", "--deep", "--workspace", str(folder)]) == 0
    return folder


def test_a_demo_that_is_run_again_finds_nothing_to_do(demo, capsys):
    def files():
        return {f: f.stat().st_mtime_ns for f in demo.rglob("*") if f.is_file() and f.name != ".cdp.lock"}

    before = files()
    capsys.readouterr()
    assert run(["demo", "--workspace", str(demo), *NUMBERS]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["status"] == "unchanged"
    assert files() == before


def test_every_night_publishes_most_segments_to_somebody_and_only_contact_policy_empties_one(tmp_path):
    folder = tmp_path / "bank"
    make_workspace(folder, "bank")
    assert run(["demo", "--workspace", str(folder), "--people", "5000", "--nights", "3"]) == 0
    lake = open_lake(load_settings(folder))
    somebody = defaultdict(set)
    for night in lake.read_arrow("segments.runs").to_pylist():
        counts = json.loads(night["counts"])
        if counts["published"]:
            somebody[night["as_of"]].add(night["code"])
        else:
            dropped = counts["dropped_by_contact"]
            assert set(dropped) <= {"CAPPED", "LOST_ARBITRATION"}
            assert sum(dropped.values()) == sum(counts["variants"].values())
    codes = {file.stem for file in (folder / "segments").glob("*.yml")}
    first, second, third = (somebody[day] for day in sorted(somebody))
    assert len(codes) == 18 and first == second == codes
    # What recipients and employees answer depends on the workspace's own keys.
    assert len(third) >= 13, codes - third


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_to_the_demo_is_named_by_the_deep_check(demo, tmp_path, capsys, damage):
    folder = shutil.copytree(demo, tmp_path / "bank")
    do_damage, words = DAMAGES[damage]
    do_damage(load_settings(folder))
    capsys.readouterr()
    assert run(["fsck", "--deep", "--workspace", str(folder)]) == 1
    faults = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fault: ")]
    assert any(all(word in fault for word in words) for fault in faults), faults
