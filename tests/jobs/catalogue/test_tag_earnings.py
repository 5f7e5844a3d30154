"""``cdp tags earnings``: which launches used a tag, whom they reached, and what receipts say of them. One small lake, no Spark."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from jobs.cli import run
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake

D = dt.date(2026, 3, 31)
TABLES = [
    "segments.runs",
    "segments.deliveries",
    "segments.members",
    "segments.contact_losses",
    "trusted.receipts",
]


def day(back):
    return D - dt.timedelta(days=back)


def run_row(run_id, code, back, tags):
    return {"run_id": run_id, "code": code, "version": "1.0.0", "definition_hash": "h", "as_of": day(back), "seq": 1, "inputs": [],
            "tag_versions": [{"tag": tag, "version": "1.0.0"} for tag in tags.split()], "params": "{}", "counts": "{}",
            "status": "evaluated"}  # fmt: skip


def delivery(run_id, code, back, accepted, destination="engine"):
    return {"run_id": run_id, "destination": destination, "code": code, "as_of": day(back), "purpose": "marketing", "seq": 1,
            "attempt": 1, "status": "DELIVERED", "accepted": accepted, "rejected": 0, "manifest_sha256": "x"}  # fmt: skip


def member(run_id, code, back, one_id, holdout="NONE"):
    return {"code": code, "as_of": day(back), "one_id": one_id, "run_id": run_id, "variant": "DEFAULT", "holdout": holdout,
            "channel": "SMS", "entered_on": day(back)}  # fmt: skip


def receipt(number, run_id, who, status, on=1, destination="engine"):
    return {"source": "e", "receipt_id": str(number), "run_id": run_id, "destination": destination, "recipient_key": who,
            "channel": "SMS", "status": status, "event_at": dt.datetime(2026, 3, 30, tzinfo=dt.UTC), "event_on": day(on),
            "_feed": "r", "_file": "f", "_row": number, "_arrived_on": day(on)}  # fmt: skip


A, B, C, E = ("a" * 24, "b" * 24, "c" * 24, "e" * 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("earnings")
    (folder / "cdp.yml").write_text("generate_secrets: true\n")
    lake = Lake(load_settings(folder))
    lake.create([*TABLES, "ops.publications"])
    lake.append_rows("segments.runs", [
        run_row(A, "vips", 2, "aum_tier age"), run_row(B, "vips", 1, "aum_tier"), run_row(C, "young", 1, "age"),
        run_row(E, "quiet", 1, "gender"),  # never delivered
    ])  # fmt: skip
    lake.append_rows("segments.deliveries", [
        delivery(A, "vips", 2, 2), delivery(f"{A}-2", "vips", 2, 3), delivery(B, "vips", 1, 2), delivery(B, "vips", 1, 2, "board"),
        delivery(C, "young", 1, 1),
    ])  # fmt: skip
    lake.append_rows("segments.members", [
        member(A, "vips", 2, 1), member(A, "vips", 2, 2), member(B, "vips", 1, 2), member(B, "vips", 1, 3),
        member(B, "vips", 1, 4, "GLOBAL"), member(B, "vips", 1, 5), member(C, "young", 1, 1), member(E, "quiet", 1, 9),
    ])  # fmt: skip
    lake.append_rows("segments.contact_losses", [
        {"code": "vips", "as_of": day(1), "run_id": B, "one_id": 5, "reason": "CAPPED", "rule": "cap"}
    ])  # fmt: skip
    events = [(f"{A}-2", "p", "SENT"), (f"{A}-2", "p", "OPENED"), (f"{A}-2", "p", "CLICKED"), (f"{A}-2", "q", "SENT"),
              (B, "p", "SENT"), (B, "p", "CONVERTED"), (B, "q", "CAPPED"), (B, "s", "BOUNCED_HARD"), (C, "p", "SENT"), (E, "p", "SENT")]  # fmt: skip
    rows = [receipt(number, *event) for number, event in enumerate(events)]
    rows += [receipt(90, B, "t", "SENT", on=-1), receipt(91, B, "p", "SENT", destination="board")]
    lake.append_rows("trusted.receipts", rows)
    lake.append_rows("ops.publications", [
        {"business_date": D, "run_id": "r", "seq": 1, "fingerprint": "f", "summary": "{}",
         "published_at": dt.datetime(2026, 4, 1, tzinfo=dt.UTC),
         "tables": [{"table": table, "version": lake.version(table)} for table in TABLES]}
    ])  # fmt: skip
    return folder


def answer(folder, capsys, *words):
    code = run(["tags", "earnings", *words, "--workspace", str(folder), "--format", "json"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return [json.loads(line) for line in printed.out.splitlines()]


def test_each_segment_that_launched_with_a_tag_stands_with_whom_it_reached_and_what_came_back(folder, capsys):
    numbers = ("runs", "first_on", "last_on", "published", "people", "sends", "responses", "conversions")
    rows = {
        row["segment"]: tuple(row[name] for name in numbers) for row in answer(folder, capsys, "aum_tier")
    }
    # Two versions of one run count as one run. Who was capped, in a control group, or lost to a cap is not reached.
    assert rows == {"vips": (2, str(day(2)), str(day(1)), 9, 3, 5, 2, 1)}
    rows = {row["segment"]: tuple(row[name] for name in numbers) for row in answer(folder, capsys, "age")}
    assert rows == {
        "vips": (1, str(day(2)), str(day(2)), 5, 2, 2, 1, 0),
        "young": (1, str(day(1)), str(day(1)), 1, 1, 1, 0, 0),
    }


def test_without_a_tag_each_stands_once_and_people_of_two_segments_count_once(folder, capsys):
    rows = [(row["tag"], row["runs"], row["published"], row["people"]) for row in answer(folder, capsys)]
    assert rows == [("aum_tier", 2, 9, 3), ("age", 2, 6, 2)]


def test_a_tag_that_no_launch_used_has_no_row_and_says_so(folder, capsys, make_workspace):
    assert answer(folder, capsys, "gender") == []
    assert run(["tags", "earnings", "gender", "--workspace", str(folder)]) == 0
    assert "no published run used it yet" in capsys.readouterr().err
    assert run(["tags", "earnings", "gendr", "--workspace", str(folder)]) == 2
    assert run(["tags", "earnings", "--workspace", str(make_workspace())]) == 0
