"""One lake, two nights: who is chosen, who is kept out and why, what is handed on, and that a rerun changes nothing."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from lakehouse.errors import GateStopped
from lakehouse.hashing import table_hash
from lakehouse.lake import open_lake
from lakehouse.settings import load_settings
from segments import discard, evaluate, publish, release
from segments.buckets import bucket
from segments.conditions import EventLeaf, ListLeaf, TagLeaf, decide
from segments.operators import answer, compare_number
from segments.manifest import read_latest, read_manifest
from segments.spec import read_segment
from segments.verify import verify
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    at,
    fill,
    read_tags,
    register_tag_tables,
    rows_of,
    spec,
    write_tags,
)

RICH = spec(
    "rich",
    """
unknown: exclude
where: {all: [{tag: tier, in: [T2, T3]}, {tag: balance, gte: 150}]}
exclude: [{tag: grade, eq: M, include_unknown: false}]
guards: {size: {min: 0, max: 100}}
""",
    columns="variant, channel, tier, balance, interests",
)
LOOKERS = spec(
    "lookers",
    """
unknown: exclude
where:
  any:
    - {event: {name: wealth_view, count: {gte: 2}, within_days: 7}}
    - {list: friends@1}
    - {all: [{segment: rich, version: ">=1 <2"}, {not: {tag: interests, contains_any: [FUND]}}]}
holdout: {global: GCG-2026H2, local_percent: 50}
split: {experiment: exp-1, layer: looks, arms: {A: 50, B: 50}}
""",
    format="json_lines",
)
EVERYTHING = """
unknown: exclude
where:
  any:
    - {tag: tier, ne: T1}
    - {tag: tier, not_in: [T1, T2], include_unknown: true}
    - {tag: tier, is_null: true}
    - {tag: balance, gt: 100.5, lte: 700}
    - {tag: balance, eq: 50}
    - {tag: days_left, between: [2, 5]}
    - {tag: days_left, lt: 3}
    - {tag: interests, contains_all: [FUND, GOLD]}
    - {tag: interests, contains_any: [CARD, GOLD]}
    - {tag: is_active, eq: false}
    - {tag: opened_on, gte: 2026-11-15}
    - {tag: opened_on, days_ago: {gte: 1, lt: 30}}
    - {event: {name: [wealth_view, other], count: {eq: 0}, within_days: 30}}
    - {event: {name: wealth_view, count: {between: [1, 2]}, within_days: 8, channel: APP}}
    - {list: friends@1}
    - {tag: balance, changed_since: 1}
"""
FRIENDS = "source,source_key,expires_on\ncore,c3,\ncore,c4,2026-11-18\ncore,nobody,\n"
TABLES = ("definitions", "runs", "members", "changes", "suppressions", "assignments", "recipients", "deliveries")


@pytest.fixture
def bank(spark, make_workspace):
    register_tag_tables()
    folder = make_workspace(
        {
            "cdp.yml": "generate_secrets: true\n",
            "tags/test.yml": TAGS_YML,
            "destinations.yml": DESTINATIONS_YML,
            "lists/friends@1.csv": FRIENDS,
            "segments/rich.yml": RICH,
            "segments/lookers.yml": LOOKERS,
        }
    )
    lake = open_lake(load_settings(folder), spark=spark)
    fill(lake)
    return lake


def members(lake, code, as_of=D):
    rows = lake.read_arrow("segments.members", filters=[("as_of", "=", as_of)]).to_pylist()
    return {row["one_id"]: row for row in rows if row["code"] == code}


def hashes(lake):
    return {name: table_hash(lake.settings, f"segments.{name}") for name in TABLES}


def file_bytes(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_two_nights_choose_suppress_assign_and_hand_on(bank):
    result = publish(bank, D)

    # 1 is fine; 2 has no address; 4 is unknown; each other one has its one reason; 12 is a prospect
    assert set(members(bank, "rich")) == {1, 10}
    reasons = bank.read_arrow("segments.suppressions").to_pylist()
    assert {row["one_id"]: row["reason"] for row in reasons if row["code"] == "rich"} == {
        2: "UNREACHABLE", 5: "RESTRICTED", 6: "MINOR", 7: "DECEASED", 8: "STAFF", 9: "NO_CONSENT",
        11: "OPT_OUT", 12: "NOT_ELIGIBLE_KIND",
    }  # fmt: skip
    assert result.summary()["rich"] == {"candidates": 10, "suppressed": 8, "published": 2}
    assert result.funnels()["rich"]["unknown"] == 1
    # 10 refused SMS long ago and grants all else: the app it is
    assert {n: m["channel"] for n, m in members(bank, "rich").items()} == {1: "SMS", 10: "PUSH"}

    # two views in seven days (1), a friend (3; 4's entry has ended), no member of rich without FUND
    looking = members(bank, "lookers")
    assert set(looking) == {1, 3}
    for one_id, member in looking.items():
        if bucket("GCG-2026H2", one_id) < 500:
            expected = ("GLOBAL", None)
        elif bucket("holdout:lookers", one_id) < 5000:
            expected = ("LOCAL", None)
        else:
            expected = ("NONE", "A" if bucket("looks", one_id) < 5000 else "B")
        assert (member["holdout"], member["variant"]) == expected

    root = bank.settings.published / "engine"
    assert [v.failures for v in verify(bank.settings.published)] == [(), (), (), ()]
    latest = read_latest(root / "rich")
    run = root / "rich" / latest["path"]
    sent = pq.read_table(run / "snapshot" / "part-00000.parquet", partitioning=None).to_pylist()
    assert sorted((row["tier"], row["balance"], row["channel"]) for row in sent) == [
        ("T3", Decimal("300.00"), "PUSH"), ("T3", Decimal("900.00"), "SMS"),
    ]  # fmt: skip
    assert [row["recipient_key"] for row in sent] == sorted(row["recipient_key"] for row in sent)
    manifest = read_manifest(run)
    assert (manifest["seq"], manifest["previous_run_id"], manifest["counts"]["delta"]["enter"]) == (1, None, 2)
    assert manifest["tag_versions"]["tier"] == "1.2.0"
    assert manifest["valid_until"] == "2026-11-20T06:00:00+08:00"

    # the same night again: verified, nothing written
    tables, files = hashes(bank), file_bytes(bank.settings.published)
    again = publish(bank, D)
    assert again.summary() == result.summary()
    assert (hashes(bank), file_bytes(bank.settings.published)) == (tables, files)

    # the next night: 1 refuses by receipt, 10 moves up, 2 gets a phone
    key = next(r["recipient_key"] for r in bank.read_arrow("segments.recipients").to_pylist() if r["one_id"] == 1)
    second = D + dt.timedelta(days=1)
    bank.append("trusted.receipts", rows_of("trusted.receipts", [
        {"receipt_id": "r1", "run_id": manifest["run_id"], "destination": "engine", "recipient_key": key, "channel": "SMS",
         "status": "REFUSED", "event_at": at("2026-11-19"), "event_on": second, "_arrived_on": second}]))  # fmt: skip
    bank.append("trusted.identifier_observations", rows_of("trusted.identifier_observations", [
        {"source_key": "c2", "namespace": "phone", "value": "13800000002", "role": "identity"}]))  # fmt: skip
    moved = [{**row, "balance": Decimal("999.00")} if row["one_id"] == 10 else row for row in read_tags()]
    write_tags(bank, moved, second)
    publish(bank, second)

    assert set(members(bank, "rich", second)) == {2, 10}
    assert {n: m["entered_on"] for n, m in members(bank, "rich", second).items()} == {2: second, 10: D}
    changes = [r for r in bank.read_arrow("segments.changes").to_pylist() if (r["code"], r["as_of"]) == ("rich", second)]
    assert {(r["one_id"], r["op"], r["cause"]) for r in changes} == {(1, "EXIT", "consent"), (2, "ENTER", "rule")}
    latest = read_latest(root / "rich")
    manifest = read_manifest(root / "rich" / latest["path"])
    assert manifest["counts"]["delta"] == {"previous": 2, "enter": 1, "exit": 1, "update": 1}
    assert manifest["seq"] == 2
    assert all(v.failures == () for v in verify(bank.settings.published))

    # a rerun of the second night with a corrected input is a new run of the same day, against what was received
    write_tags(bank, read_tags(), second)
    publish(bank, second)
    manifest = read_manifest(root / "rich" / read_latest(root / "rich")["path"])
    assert (manifest["seq"], manifest["as_of"]) == (3, "2026-11-19")
    assert manifest["counts"]["delta"] == {"previous": 2, "enter": 0, "exit": 0, "update": 1}
    # and back to the first input: the run that was there is not the newest any more, so it is handed on anew
    write_tags(bank, moved, second)
    publish(bank, second)
    manifest = read_manifest(root / "rich" / read_latest(root / "rich")["path"])
    assert (manifest["seq"], manifest["run_id"].split("-")[1]) == (4, "4")
    assert all(v.failures == () for v in verify(bank.settings.published))

    # every operator: the compiled SQL answers as the reference does
    _compare_with_reference(bank, second)

    # guards: nothing is staged, nothing written, and the message names segment, number and bound
    before = file_bytes(bank.settings.published)
    file = bank.settings.workspace / "segments" / "rich.yml"
    file.write_text(RICH.replace("max: 100", "max: 1").replace("version: 1.0.0", "version: 1.1.0"))
    with pytest.raises(GateStopped, match=r"rich.yml:\d+: segment rich: the audience has 2 people and guards.size.max is 1"):
        evaluate(bank, second)
    assert file_bytes(bank.settings.published) == before

    # staged is not visible, and discarding leaves no trace
    file.write_text(RICH.replace("gte: 150", "gte: 100").replace("version: 1.0.0", "version: 1.2.0"))
    staged = evaluate(bank, second)
    assert read_latest(root / "rich")["seq"] == 4
    discard(staged)
    assert file_bytes(bank.settings.published) == before
    release(bank, evaluate(bank, second))
    assert read_latest(root / "rich")["seq"] == 5
    assert all(v.failures == () for v in verify(bank.settings.published))


def _compare_with_reference(lake, day):
    from segments.checks import all_leaves
    from segments.compile import LIST_VIEW, compile_leaf_table
    from segments.policy import Policy

    file = lake.settings.workspace / "everything.yml"
    file.write_text(spec("everything", EVERYTHING))
    segment = read_segment(file)
    lake.spark.createDataFrame([("friends@1", 3, None, None)], "list string, one_id bigint, source string, source_key string"
                               ).createOrReplaceTempView(LIST_VIEW)  # fmt: skip
    compiled = compile_leaf_table([segment], business_date=day, policy=Policy())
    rows = {row["one_id"]: row.asDict() for row in lake.spark.sql(compiled.sql).collect()}
    values = {r["one_id"]: r for r in lake.read_arrow("tags.customer_tags").to_pylist()}
    before = {r["one_id"]: r for r in lake.read_arrow("tags.customer_tags_daily").to_pylist() if r["as_of"] == D}
    events = lake.read_arrow("trusted.events").to_pylist()

    def reference(leaf, one_id):
        if isinstance(leaf, ListLeaf):
            return one_id == 3
        if isinstance(leaf, EventLeaf):
            first = day - dt.timedelta(days=leaf.within_days - 1)
            found = [e for e in events if e["source_key"] == f"c{one_id}" and e["event_name"] in leaf.names]
            return compare_number(sum(first <= e["occurred_on"] <= day for e in found), leaf.count)
        assert isinstance(leaf, TagLeaf)
        answers = [
            answer(t, values[one_id][leaf.tag], business_date=day, before=before[one_id][leaf.tag], has_before=True)
            for t in leaf.tests
        ]
        return False if False in answers else (None if None in answers else True)

    assert len(rows) == 12
    differing = [
        (one_id, leaf.normal(), row[leaf.column], reference(leaf, one_id))
        for one_id, row in rows.items()
        for leaf in all_leaves(segment)
        if row[leaf.column] != reference(leaf, one_id)
    ]
    assert differing == []
    assert decide(segment.rule, lambda leaf: rows[1][leaf.column]) is True
