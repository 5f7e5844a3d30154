"""``cdp segments unused``: which segments nobody gets the people of, from drawn deliveries and transmissions."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from jobs.cli import run
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from tests.segments.segment_bank import DESTINATIONS_YML, TAGS_YML, spec
from tests.tags.drawn import draw

DAY = date(2026, 11, 18)
TABLES = ["segments.deliveries", "segments.transmissions", "segments.runs"]
CODES = ("today", "ninety", "long_ago", "nowhere", "empty", "down", "answered", "young")

DELIVERIES = """
run_id | destination | code     | as_of      | accepted
r1     | engine      | today    | 2026-11-18 | 5
r2     | engine      | ninety   | 2026-08-20 | 5
r3     | engine      | long_ago | 2026-08-19 | 5
r4     | engine      | empty    | 2026-11-18 | 0
r5     | post        | down     | 2026-11-17 | 5
r6     | post        | down     | 2026-11-18 | 5
r7     | post        | answered | 2026-11-17 | 5
r8     | engine      | gone     | 2026-11-18 | 5
"""
TRANSMISSIONS = """
destination | code     | attempt | run_id | as_of      | status
post        | down     | 1       | r5     | 2026-11-17 | FAILED
post        | answered | 1       | r7     | 2026-11-17 | FAILED
post        | answered | 2       | r7     | 2026-11-17 | PARTIAL
"""
RUNS = """
run_id | code    | as_of
r0     | nowhere | 2026-11-01
r9     | nowhere | 2026-11-18
"""


@pytest.fixture
def ask(make_workspace, monkeypatch, capsys):
    """A function that runs ``cdp segments unused`` in a workspace of eight segments; gives exit code, rows and messages."""
    bodies = dict.fromkeys(CODES, "where: {tag: is_active, eq: true}") | {
        "today": "where: {segment: nowhere}"
    }
    files = {f"segments/{code}.yml": spec(code, body) for code, body in bodies.items()}
    folder = make_workspace({"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML, **files})
    monkeypatch.setenv("CDP_WORKSPACE", str(folder))

    def call(*arguments):
        code = run(["segments", "unused", "--format", "json", *arguments])
        printed = capsys.readouterr()
        return code, [json.loads(line) for line in printed.out.splitlines()], printed.err

    call.folder = folder
    return call


def publish(folder, tables):
    lake = Lake(load_settings(folder))
    lake.create([*TABLES, "ops.publications"])
    every = {
        "segments.deliveries": (DELIVERIES, {"seq": 1, "attempt": 1, "status": "DELIVERED", "rejected": 0, "manifest_sha256": "0"}),
        "segments.transmissions": (
            TRANSMISSIONS,
            {"seq": 1, "operations": 5, "accepted": 0, "rejected": 0, "withheld": 0, "tried_at": datetime(2026, 11, 18, tzinfo=UTC)},
        ),
        "segments.runs": (
            RUNS,
            {"version": "1.0.0", "definition_hash": "0", "seq": 1, "inputs": [], "tag_versions": [], "params": "{}", "counts": "{}", "status": "evaluated"},
        ),
    }  # fmt: skip
    for table in tables:
        text, others = every[table]
        draw(lake, table, text, **others)
    lake.append_rows(
        "ops.publications",
        [
            {
                "business_date": DAY, "run_id": "run-1", "seq": 1, "fingerprint": "f", "summary": "{}",
                "published_at": datetime(2026, 11, 19, tzinfo=UTC),
                "tables": [{"table": table, "version": lake.version(table)} for table in tables],
            }
        ],
    )  # fmt: skip


def test_a_segment_is_unused_where_no_destination_took_people_for_ninety_days(ask):
    publish(ask.folder, TABLES)
    code, rows, messages = ask()
    assert code == 0, messages
    assert {row["code"]: row["last_delivered_on"] for row in rows} == {
        "down": None, "empty": None, "long_ago": "2026-08-19", "nowhere": None, "young": None,
    }  # fmt: skip
    nowhere = next(row for row in rows if row["code"] == "nowhere")
    assert (nowhere["first_evaluated_on"], nowhere["asked_by"]) == ("2026-11-01", "today")
    assert "as published on 2026-11-18" in messages


def test_days_say_how_long_is_long(ask):
    publish(ask.folder, TABLES)
    assert "ninety" in [row["code"] for row in ask("--days", "89")[1]]
    assert "long_ago" not in [row["code"] for row in ask("--days", "91")[1]]
    assert "answered" not in [row["code"] for row in ask("--days", "1")[1]]


def test_without_transmissions_what_was_released_counts(ask):
    publish(ask.folder, ["segments.deliveries"])
    code, rows, messages = ask()
    assert code == 0 and "down" not in [row["code"] for row in rows], messages


@pytest.mark.parametrize("days", ["0", "-1", "1097", "ninety", "1; drop table x"])
def test_days_that_are_none_are_a_wrong_call(ask, days):
    assert ask("--days", days)[:2] == (2, [])


def test_before_the_first_night_nothing_is_claimed(ask):
    code, rows, messages = ask()
    assert (code, rows) == (2, []) and messages.count("\n") == 1


def test_a_segment_that_cannot_be_read_leaves_no_half_answer(ask):
    publish(ask.folder, TABLES)
    (ask.folder / "segments" / "broken.yml").write_text("spec: segment/v1\ncode: [", encoding="utf-8")
    code, rows, messages = ask()
    assert (code, rows) == (2, []) and "broken.yml:" in messages
