"""What a night, `doctor` and `segments check` look at before anything is computed: offers, folders, disks."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from jobs.cli import run
from jobs.night.offers import require_offers
from jobs.workspace import places
from jobs.workspace.make import make_workspace as make
from lakehouse.errors import SettingsInvalid, StepFailed
from lakehouse.ledger.progress import warnings_kept
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake

DAY = date(2026, 1, 5)
FEED = """\
feed: plans
source: engine
description: Offers as planned.
mode: snapshot
files: {path: "plans/{date}/plans.csv"}
format: {type: csv}
columns: [no, risk]
targets:
  - {table: trusted.offers, columns: {offer_id: no, version: "1", risk_level: risk}}
"""


def offer(name, risk, valid_to=None):
    return {"source": "engine", "offer_id": name, "version": 1, "risk_level": risk, "_feed": "plans", "_file": "p.csv",
            "_row": 1, "valid_from": DAY, "valid_to": valid_to}  # fmt: skip


@pytest.fixture
def shop(tmp_path):
    """A function that makes a workspace with one segment that offers OF001@1, and publishes these offers."""

    def workspace(*offers, named="OF001@1"):
        folder = tmp_path / "shop"
        make(folder, "minimal")
        spec = folder / "segments" / "members_below_40.yml"
        text = spec.read_text(encoding="utf-8")
        spec.write_text(text.replace("contact:", f"offer: {named}\ncontact:", 1), encoding="utf-8")
        (folder / "feeds" / "plans.yml").write_text(FEED, encoding="utf-8")
        # No feed of it fills assessments, and an offer needs what may be sold to whom.
        settings = (folder / "cdp.yml").read_text(encoding="utf-8")
        (folder / "cdp.yml").write_text(settings.replace("packs: {}", "packs: {bank: on}"), encoding="utf-8")
        lake = Lake(load_settings(folder))
        lake.create(["trusted.offers", "ops.publications"])
        lake.append_rows("trusted.offers", list(offers))
        row = {"business_date": DAY, "run_id": "r", "seq": 1, "fingerprint": "f", "summary": "{}",
               "published_at": datetime(2026, 1, 6, tzinfo=UTC),
               "tables": [{"table": "trusted.offers", "version": lake.version("trusted.offers")}]}  # fmt: skip
        lake.append_rows("ops.publications", [row])
        return lake

    return workspace


@pytest.mark.parametrize(
    ("offers", "named", "sentence"),
    [
        ([offer("OF001", "R2")], "OF001@1", None),
        ([offer("OF001", "R2")], "OF002@1", "there is no offer 'OF002@1'; did you mean 'OF001@1'?"),
        ([offer("OF001", "R2")], "OF001@2", "there is no offer 'OF001@2'; did you mean 'OF001@1'?"),
        ([offer("OF001", None)], "OF001@1", "the offer 'OF001@1' has no risk level, so nobody can be said to suit it"),
        ([offer("OF001", "R2", date(2026, 1, 6))], "OF001@1", "there is no offer 'OF001@1'"),
    ],
)  # fmt: skip
def test_an_offer_that_is_not_there_is_found_by_check_doctor_and_night(shop, capsys, offers, named, sentence):
    lake = shop(*offers, named=named)
    where = ["--workspace", str(lake.settings.workspace)]
    assert run(["segments", "check", "--format", "json", *where]) == (2 if sentence else 0)
    printed = capsys.readouterr().out
    assert [json.loads(line)["message"] for line in printed.splitlines()] == ([sentence] if sentence else [])
    run(["doctor", "--format", "json", *where])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["state"].partition("E01 ")[2] for row in rows if row["subject"] == "segments"] == (
        [sentence] if sentence else []
    )
    if sentence is None:
        require_offers(lake, DAY, is_ingested=True)
        return
    for is_ingested in (True, False):
        with pytest.raises(SettingsInvalid, match=r"members_below_40\.yml:\d+: E01 ") as refusal:
            require_offers(lake, DAY, is_ingested=is_ingested)
        assert sentence in str(refusal.value)


def test_an_offer_that_tonight_may_bring_is_missed_after_ingestion_only(shop):
    lake = shop(offer("OF009", "R1"))
    lake.create(["landing.files"])
    delivery = lake.settings.inbox / "plans" / "2026-01-06" / "plans.csv"
    delivery.parent.mkdir(parents=True)
    delivery.write_text("no,risk\nOF001,R2\n")
    require_offers(lake, date(2026, 1, 6), is_ingested=False)
    with pytest.raises(SettingsInvalid, match="no offer 'OF001@1'"):
        require_offers(lake, date(2026, 1, 6), is_ingested=True)


@pytest.fixture
def settings(tmp_path):
    make(tmp_path / "shop", "minimal")
    return load_settings(tmp_path / "shop")


def with_root(settings, root):
    file = settings.workspace / "destinations.yml"
    file.write_text(
        f"destinations:\n  counter: {{description: Lists., ceiling: C1, root: {root}}}\n", encoding="utf-8"
    )


def test_every_folder_a_night_writes_to_is_looked_at(settings):
    with_root(settings, "/srv/engine")
    uses = [place.use for place in places.places_of(settings)]
    assert uses == ["lake", "lock_dir", "published", "reports", "generated files", "destination 'counter'"]


def test_a_destination_below_a_file_is_refused_before_the_night_and_named_by_doctor(settings, capsys):
    (settings.workspace / "engine").write_text("no folder")
    with_root(settings, "engine")
    sentence = f"destination 'counter': {settings.workspace / 'engine'} is no folder"
    with pytest.raises(StepFailed, match="destination 'counter'"):
        places.require_places(settings)
    assert run(["doctor", "--format", "json", "--workspace", str(settings.workspace)]) == 2
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sentence in [row["state"] for row in rows if row["subject"] == "paths"]
    assert run(["nightly", "--date", "2026-01-05", "--workspace", str(settings.workspace)]) == 1
    assert sentence in capsys.readouterr().err
    assert not settings.lake.exists()


def test_a_folder_that_cannot_be_written_is_refused(settings, monkeypatch):
    monkeypatch.setattr(
        places.os, "access", lambda path, rights: path != settings.workspace
    )  # root may write anywhere
    with pytest.raises(StepFailed, match="cannot be written by this user"):
        places.require_places(settings)


@pytest.mark.parametrize(("free", "is_refused", "is_warned"), [(0.1, True, False), (2.0, False, True), (50.0, False, False)])  # fmt: skip
def test_a_full_disk_ends_a_night_at_its_beginning_and_a_scarce_one_is_warned_of(
    settings, monkeypatch, free, is_refused, is_warned
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free * 2**30))
    with warnings_kept() as warnings:
        if is_refused:
            with pytest.raises(StepFailed, match=r"has 0\.10 GB free and a night needs more than 0\.5"):
                places.require_places(settings)
        else:
            places.require_places(settings)
    assert bool(warnings.take()) == is_warned
