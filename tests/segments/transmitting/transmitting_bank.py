"""A bank whose audience was released on an evening, and what tests of sending it do with it."""

from __future__ import annotations

import datetime as dt
import json
from functools import partial

from segment_bank import TAGS_YML, D, at, bank_lake, publish, rows_of, spec

from delivery import transmit
from delivery.destinations import read_destinations
from delivery.endpoints import batches
from jobs.night import transmitting
from lakehouse.settings.settings import load_settings
from segments import staying_people

TOKEN = "a-token-for-tests-only"
NEXT = D + dt.timedelta(days=1)
RULE = "where: {all: [{tag: tier, in: [T1, T2, T3]}]}\nunknown: exclude"


def destinations_json(place: dict) -> str:
    """Give destinations.yml with one place, the engine, and a folder beside it."""
    return json.dumps({"destinations": {"engine": place, "shelf": {"description": "a folder"}}})


def release_evening(folder) -> None:
    """Make a bank in a folder whose segment ``rich`` was released on D to the engine, a destination without any endpoint yet."""
    text = spec("rich", RULE, columns="variant, channel, balance").replace(
        "format:", "mode: [snapshot, delta], format:"
    )
    files = {
        "cdp.yml": "generate_secrets: true\n",
        "tags/test.yml": TAGS_YML,
        "destinations.yml": destinations_json({"description": "the marketing engine", "ceiling": "C2"}),
        "segments/rich.yml": text,
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    lake = bank_lake(load_settings(folder))
    publish(lake, D)


def prepare(monkeypatch) -> None:
    """Let it be that evening, and the credential be there."""
    monkeypatch.setenv("CDP_SECRET_ENGINE_TOKEN", TOKEN)
    monkeypatch.setattr(transmitting, "now", lambda: dt.datetime(2026, 11, 18, 20, tzinfo=dt.UTC))
    monkeypatch.setattr(batches, "FIRST_PAUSE", 0.02)


def send(lake, day: dt.date = D):
    destinations = read_destinations(lake.settings.workspace)
    return transmit(lake, day, destinations, partial(staying_people, lake, day), lambda: transmitting.now())


def released(lake) -> dict[str, str]:
    """Balance by recipient key, of the newest run of the folder."""
    from delivery.audience_files import read_rows
    from delivery.manifest import read_latest

    root = lake.settings.published / "engine" / "rich"
    rows = read_rows(root / read_latest(root)["path"] / "snapshot", "parquet").to_pylist()
    return {row["recipient_key"]: str(row["balance"]) for row in rows}


def withdraw(lake, number: int) -> str:
    row = {"source_key": f"c{number}", "purpose": "marketing", "channel": "ALL", "decision": "REFUSE",
           "decided_at": at("2026-11-18"), "valid_from": D}  # fmt: skip
    lake.append("trusted.consents", rows_of("trusted.consents", [row]))
    keys = lake.read_arrow("segments.recipients").to_pylist()
    return next(row["recipient_key"] for row in keys if row["one_id"] == number)


def rejects(lake) -> list[tuple[str, str]]:
    return [
        (row["recipient_key"], row["reason"])
        for row in lake.read_arrow("segments.delivery_rejects").to_pylist()
    ]
