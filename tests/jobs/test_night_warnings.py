"""What a night warned of is in its summary, also what an earlier attempt of it warned of."""

from __future__ import annotations

from datetime import date

from jobs.night.nightly import summary_of
from lakehouse.ledger.ledger import Ledger, StepRecord
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake

DAY = date(2026, 1, 5)
LATE = "orders: 3 files are late"
LOW = "trusted.orders: row_count is 0, should be at least 1 (a shop sells)"


def records():
    return {
        "ingest": StepRecord({"feeds": {}, "warnings": [LATE]}, 1.0, warnings=[LATE, LOW]),
        "resolve": StepRecord({"profiles": 1}, 1.0, warnings=["one person has 90 records"]),
        "build_tags": StepRecord({"age": {"coverage": 1.0}}, 1.0),
        "publish": StepRecord({}, 1.0),
    }


def test_the_summary_repeats_every_warning_of_the_night_once(make_workspace):
    settings = load_settings(make_workspace())
    summary = summary_of(settings, DAY, records(), ["the night of 2026-01-04 was never finished"])
    assert summary["warnings"] == [
        "the night of 2026-01-04 was never finished", LATE, LOW, "one person has 90 records",
    ]  # fmt: skip
    assert summary["tags"] == {"age": {"coverage": 1.0}} and summary["identity"] == {"profiles": 1}


def test_a_night_that_goes_on_knows_what_its_earlier_attempt_warned_of(make_workspace):
    lake = Lake(load_settings(make_workspace()))
    lake.run_id = "run"
    lake.create(["ops.runs"])
    ledger = Ledger(lake, DAY, "fingerprint")
    with ledger.step("resolve") as record:
        record.counts = {"profiles": 1}
        record.warnings = ["one person has 90 records"]
    earlier = ledger.done_since_restart()["resolve"]
    assert (earlier.counts, earlier.warnings, earlier.is_resumed) == (
        {"profiles": 1}, ["one person has 90 records"], True,
    )  # fmt: skip
