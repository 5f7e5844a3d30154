"""The engine answers published audiences, the same way each time."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from delivery_files import lines, rows

from lakehouse.errors import InputInvalid
from simulator.engine import answer

D = date(2026, 11, 18)


def publish(root, segment, run, keys, *, seq=1, form="parquet", complete=True):
    folder = root / "marketing_engine" / segment / "v=1" / f"as_of={D}" / f"run={run}"
    (folder / "snapshot").mkdir(parents=True)
    table = pa.table(
        {
            "recipient_key": keys,
            "variant": ["A"] * len(keys),
            "channel": [("PUSH", "SMS")[i % 2] for i in range(len(keys))],
        }
    )
    path = folder / "snapshot" / f"part-00000.{form}"
    if form == "parquet":
        pq.write_table(table, path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        pacsv.write_csv(table, path)
    purpose = "service" if segment == "expiring_documents" else "marketing"
    files = [
        {"path": f"snapshot/{path.name}", "rows": len(keys)},
        {"path": "delta/part-00000.parquet", "rows": 0},
    ]
    (folder / "_manifest.json").write_text(
        json.dumps({"segment": segment, "run_id": run, "seq": seq, "files": files, "purpose": purpose})
    )
    if complete:
        (folder / "_SUCCESS").touch()
    return path


def receipts(inbox):
    return rows(inbox / "marketing_receipts/2026-11-19/receipts.csv")


def test_every_recipient_gets_a_sent_and_outcomes_follow(tmp_path):
    publish(tmp_path / "out", "first_days", "r1", [f"k{i:05d}" for i in range(3_000)])
    answers = answer(tmp_path / "out", tmp_path / "inbox", D)
    receipt_rows = receipts(tmp_path / "inbox")
    counts = Counter(r["status"] for r in receipt_rows)
    assert answers.messages == counts["SENT"] == 3_000
    assert answers.statuses == dict(counts)
    assert len({r["receipt_id"] for r in receipt_rows}) == len(receipt_rows)
    assert {r["recipient_key"] for r in receipt_rows if r["status"] == "SENT"} == {
        f"k{i:05d}" for i in range(3_000)
    }
    assert counts["DELIVERED"] + counts["BOUNCED_HARD"] + counts["BOUNCED_SOFT"] == 3_000
    assert counts["DELIVERED"] > counts["OPENED"] > counts["CLICKED"] > 0 and counts["COMPLAINED"] > 0
    opens = {r["recipient_key"] for r in receipt_rows if r["status"] == "OPENED"}
    assert {r["recipient_key"] for r in receipt_rows if r["status"] == "CLICKED"} <= opens
    assert {r["destination"] for r in receipt_rows} == {"marketing_engine"} and {
        r["event_at"][:10] for r in receipt_rows
    } == {"2026-11-19"}


def test_a_receipt_says_what_the_contact_was_for(tmp_path):
    publish(tmp_path / "out", "expiring_documents", "r1", ["a", "b"])
    publish(tmp_path / "out", "first_days", "r2", ["c"])
    answer(tmp_path / "out", tmp_path / "inbox", D)
    purposes = {(row["segment"], row["purpose"]) for row in receipts(tmp_path / "inbox")}
    assert purposes == {("expiring_documents", "service"), ("first_days", "marketing")}


def test_the_same_audience_is_answered_with_the_same_bytes(tmp_path):
    publish(tmp_path / "out", "first_days", "r1", ["a", "b", "c"])
    for inbox in ("one", "two"):
        answer(tmp_path / "out", tmp_path / inbox, D)
    name = "marketing_receipts/2026-11-19/receipts.csv"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_only_the_newest_complete_run_is_sent(tmp_path):
    publish(tmp_path / "out", "silent", "r1", ["old"], seq=1)
    publish(tmp_path / "out", "silent", "r2", ["new"], seq=2, form="csv")
    publish(tmp_path / "out", "silent", "r3", ["torn"], seq=3, complete=False)
    answer(tmp_path / "out", tmp_path / "inbox", D)
    assert {r["recipient_key"] for r in receipts(tmp_path / "inbox")} == {"new"}


def test_every_format_is_answered_alike_and_json_lines_of_nobody_are_no_fault(tmp_path):
    sent = {}
    for form in ("parquet", "csv", "jsonl"):
        publish(tmp_path / form, "first_days", "r1", [f"k{i}" for i in range(50)], form=form)
        publish(tmp_path / form, "nobody", "r2", [], form=form)
        answer(tmp_path / form, tmp_path / f"inbox {form}", D)
        sent[form] = receipts(tmp_path / f"inbox {form}")
    assert len(sent["csv"]) >= 50 and sent["parquet"] == sent["csv"] == sent["jsonl"]


def test_nothing_published_gives_no_file(tmp_path):
    answers = answer(tmp_path / "out", tmp_path / "inbox", D)
    assert answers.file is None and not (tmp_path / "inbox").exists()


def test_a_manifest_that_names_an_absent_file_is_an_error(tmp_path):
    publish(tmp_path / "out", "silent", "r1", ["a"]).unlink()
    with pytest.raises(InputInvalid, match="which is not there"):
        answer(tmp_path / "out", tmp_path / "inbox", D)


def test_delivered_messages_cause_purchases_at_the_known_chance_of_their_channel(tmp_path):
    keys = [f"k{i:06d}" for i in range(40_000)]
    publish(tmp_path / "out", "first_days", "r1", keys)
    users = {key: f"U{key}" for key in keys[: len(keys) // 2]}
    answers = answer(tmp_path / "out", tmp_path / "inbox", D, users=users, truth=tmp_path / "truth")
    responses = rows(tmp_path / "truth/responses/2026-11-19.csv")
    assert len(responses) == 40_000
    for channel, uplift in (("PUSH", 0.03), ("SMS", 0.015)):
        recipients = [
            r for r in responses
            if r["channel"] == channel and r["is_delivered"] == "true" and r["has_app"] == "true"
        ]  # fmt: skip
        share = sum(r["buys"] == "true" for r in recipients) / len(recipients)
        assert abs(share - uplift) < 4 * (uplift * (1 - uplift) / len(recipients)) ** 0.5
    buyers = {r["recipient_key"] for r in responses if r["buys"] == "true"}
    assert not [
        r
        for r in responses
        if r["buys"] == "true" and (r["is_delivered"] != "true" or r["has_app"] != "true")
    ]
    purchases = lines(tmp_path / "inbox/app_events/2026-11-19/events_campaigns.jsonl.gz")
    assert {event["user"]["id"] for event in purchases} == {f"U{key}" for key in buyers}
    assert {event["event"]["name"] for event in purchases} == {"wealth_purchase_ok"}
    assert len({event["event_id"] for event in purchases}) == len(purchases) == answers.purchases > 200


def test_a_directory_is_no_audience_and_nobody_in_it_is_contacted(tmp_path):
    publish(tmp_path / "published", "gold", "r1", ["a"])
    manifest = publish(tmp_path / "published", "_directory", "r2", ["a", "b"]).parents[1] / "_manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"kind": "directory"}))
    answer(tmp_path / "published", tmp_path / "inbox", D)
    assert {row["run_id"] for row in receipts(tmp_path / "inbox")} == {"r1"}


def publish_worklist(root, keys, *, run="w1", employees=("core_banking/E0007", None)):
    folder = root / "manager_desk" / "calls" / "v=1" / f"as_of={D}" / f"run={run}"
    (folder / "snapshot").mkdir(parents=True)
    table = pa.table(
        {
            "recipient_key": keys,
            "employee": pa.array([employees[i % 2] for i in range(len(keys))], pa.string()),
            "talking_points": ["ask"] * len(keys),
            "channel": ["CALL"] * len(keys),
        }
    )
    pacsv.write_csv(table, folder / "snapshot" / "part-00000.csv")
    manifest = {"segment": "calls", "run_id": run, "seq": 1, "purpose": "marketing", "schema": [{"name": "talking_points"}],
                "files": [{"path": "snapshot/part-00000.csv", "rows": len(keys)}]}  # fmt: skip
    (folder / "_manifest.json").write_text(json.dumps(manifest))
    (folder / "_SUCCESS").touch()


def test_employees_answer_their_worklists_and_no_message_is_sent_to_these_people(tmp_path):
    keys = [f"k{i:05d}" for i in range(3_000)]
    publish_worklist(tmp_path / "out", keys)
    answers = answer(tmp_path / "out", tmp_path / "inbox", D)
    assert (answers.file, answers.messages) == (None, 0) and not (
        tmp_path / "inbox/marketing_receipts"
    ).exists()
    work = rows(tmp_path / "inbox/crm_answers/2026-11-19/answers.csv")
    counts = Counter(row["status"] for row in work)
    assert answers.work == dict(counts) and answers.summary()["work"] == answers.work
    assert counts["ASSIGNED"] == 3_000 and 2_150 < counts["CONTACTED"] < 2_350
    assert counts["CONTACTED"] == counts["FOLLOW_UP"] + counts["WON"] + counts["LOST"]
    assert counts["LOST"] > counts["FOLLOW_UP"] > counts["WON"] > 300
    assert len({row["answer_id"] for row in work}) == len(work)
    assert {row["employee"] for row in work} == {"E0007", ""} and {row["channel"] for row in work} == {"CALL"}
    moments = {(row["recipient_key"], row["status"]): row["event_at"] for row in work}
    assert all(moments[key, "ASSIGNED"] < at for (key, status), at in moments.items() if status != "ASSIGNED")
    assert {at[:10] for at in moments.values()} == {"2026-11-19"} and max(moments.values())[11:16] < "18:00"


def test_the_same_worklist_is_answered_with_the_same_bytes_and_nobody_on_it_gives_no_file(tmp_path):
    publish_worklist(tmp_path / "out", ["a", "b", "c"])
    for inbox in ("one", "two"):
        answer(tmp_path / "out", tmp_path / inbox, D)
    name = "crm_answers/2026-11-19/answers.csv"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    publish_worklist(tmp_path / "empty", [])
    assert answer(tmp_path / "empty", tmp_path / "three", D).work == {} and not (tmp_path / "three").exists()
