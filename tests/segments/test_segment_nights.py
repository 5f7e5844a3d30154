"""One lake, two nights: who is chosen, who is kept out and why, what is handed on, and that a rerun changes nothing."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    at,
    bank_lake,
    fill_rows,
    publish,
    read_tags,
    rows_of,
    spec,
    surroundings,
    write_tags,
)

from delivery.manifest import read_latest, read_manifest
from delivery.verification import verify
from lakehouse.query.desk import open_alone
from lakehouse.query.hashing import frame_hash, table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from segments.choosing import evaluation
from segments.choosing.compile import compile_leaf_table, rank_leaves
from segments.choosing.evaluation import evaluate
from segments.choosing.leaf_tables import make_leaf_table
from segments.choosing.workers import night as workers
from segments.language.conditions import EventLeaf, ListLeaf, TagLeaf, kleene_all
from segments.language.lists import read_list
from segments.language.operators import answer, compare_number
from segments.language.segment_leaves import all_leaves
from segments.language.spec import read_segment
from vocabulary.buckets import bucket
from vocabulary.policy import Policy

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
# Leaves over rows, sequences, dates, people and expressions; the second evaluator in Python is asked about them elsewhere.
ROWS = """
unknown: exclude
base: {tag: tier, in: [T2, T3]}
where:
  any:
    - {detail: {from: holdings, match: {product_class: wealth, quantity: {gte: 5}}, count: {between: [1, 2]}}}
    - {detail: {from: holdings, sum: {of: balance, gte: 60.5}}}
    - {detail: {from: holdings, match: {quantity: {lt: 50}}, max: {of: matures_on, days_ahead: {between: [0, 7]}}}}
    - {detail: {from: balances, match: {product_class: [demand, time]}, min: {of: balance_base, lt: 20}}}
    - {detail: {from: cards, any: false}}
    - {detail: {from: order_lines, via: order, match: {product.category: gold, order.channel: APP}, within_days: 9, sum: {of: amount, gte: 9}}}
    - {detail: {from: holdings, match: {product.issuer: North}, any: true}}
    - {detail: {from: relationships, match: {relationship_type: person_account, role: owner}, count: {gte: 1}}}
    - {date: {of: order.ordered_on, from: order_lines, via: order, pick: last, match: {product.category: tea}, days_ahead: {lt: 0}}}
    - {detail: {from: transactions, within_days: 9, count: {ne: 1}}}
    - {event: {name: wealth_view, within_days: 9, channel: APP, properties: {scene: a, price: {gte: 49.5}, vip: true}}}
    - {event: {name: [wealth_view, buy], within_days: 9, match: {amount: {between: [1, 99]}}, sum: {of: amount, gt: 10}}}
    - {absence: {name: wealth_view, within_days: 3, seen_within_days: 9}}
    - {receipt: {status: [OPENED], of: rich, within_days: 30, count: {gte: 1}}}
    - {sequence: {steps: [{name: wealth_view}, {name: buy, channel: APP}], within: 2d, then_not: {name: wealth_view, for: 12h}}}
    - {sequence: {steps: [{name: wealth_view}, {name: buy}, {name: wealth_view}], within: 9d, within_days: 20}}
    - {date: {of: opened_on, every: year, days_ahead: {lte: 200}}}
    - {date: {of: days_left, every: month, days_ahead: {lt: 9}}}
    - {date: {of: matures_on, from: holdings, pick: next, days_ahead: {lte: 3}, calendar: exchange@1}}
    - {date: {of: matures_on, from: holdings, match: {quantity: {gte: 1}}, pick: last, every: month, days_ahead: {ne: 3}}}
    - {expr: "balance > 0.5 * days_left + 3 and datediff(:business_date, opened_on) between 0 and 30"}
    - {expr: "date_add(opened_on, 3) >= date '2026-11-18' or size(interests) = 2 or array_contains(interests, 'CARD')"}
    - {expr: "case when days_left is null then coalesce(tier, 'T1') in ('T1') else add_months(opened_on, 1) > last_day(date '2026-11-18') end"}
    - {tag: balance, top_percent: 30, within: base}
    - {tag: days_left, top_n: 3, within: all}
    - {sample: {percent: 20}}
"""
FRIENDS = "source,source_key,expires_on\ncore,c3,\ncore,c4,2026-11-18\ncore,nobody,\n"
TOMORROW = D + dt.timedelta(days=1)
TABLES = (
    "definitions",
    "runs",
    "members",
    "changes",
    "suppressions",
    "assignments",
    "recipients",
    "deliveries",
)


@pytest.fixture
def bank(make_workspace):
    """The bank's lake; its Spark session starts only when somebody asks for it."""
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
    lake = bank_lake(load_settings(folder))
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
    assert {a.code: a.counts for a in result.audiences}["rich"]["unknown"] == 1
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
    assert (manifest["seq"], manifest["previous_run_id"], manifest["counts"]["delta"]["enter"]) == (
        1,
        None,
        2,
    )
    assert manifest["tag_versions"]["tier"] == "1.2.0"
    assert manifest["valid_until"] == "2026-11-20T06:00:00+08:00"

    # the same night again: verified, nothing written
    tables, files = hashes(bank), file_bytes(bank.settings.published)
    again = publish(bank, D)
    assert again.summary() == result.summary()
    assert (hashes(bank), file_bytes(bank.settings.published)) == (tables, files)

    # the next night: 1 refuses by receipt, 10 moves up, 2 gets a phone
    key = next(
        r["recipient_key"] for r in bank.read_arrow("segments.recipients").to_pylist() if r["one_id"] == 1
    )
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
    changes = [
        r
        for r in bank.read_arrow("segments.changes").to_pylist()
        if (r["code"], r["as_of"]) == ("rich", second)
    ]
    assert {(r["one_id"], r["op"], r["cause"]) for r in changes} == {
        (1, "EXIT", "consent"),
        (2, "ENTER", "rule"),
    }
    latest = read_latest(root / "rich")
    manifest = read_manifest(root / "rich" / latest["path"])
    assert manifest["counts"]["delta"] == {"previous": 2, "enter": 1, "exit": 1, "update": 1}
    assert manifest["seq"] == 2
    assert all(v.failures == () for v in verify(bank.settings.published))


def test_every_night_tells_whom_a_site_takes_for_adults(bank, caplog):
    policy = "unknown_age: {adult_sources: [core], why: accounts are opened for adults only}"
    (bank.settings.workspace / "consent.yml").write_text(policy)
    for day in (D, D + dt.timedelta(days=1)):
        caplog.clear()
        write_tags(bank, read_tags(), day)
        publish(bank, day)
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
            "consent.yml takes people of core without a known birth date for adults in lookers, rich: "
            "accounts are opened for adults only"
        ]


@pytest.fixture
def asked_bank(bank):
    """The bank with every operator and every leaf over rows asked, on the second of two days of tags."""
    workspace = bank.settings.workspace
    (workspace / "segments" / "everything.yml").write_text(spec("everything", EVERYTHING))
    (workspace / "segments" / "rows.yml").write_text(spec("rows", ROWS))
    (workspace / "attributes.yml").write_text(
        "attributes: [{code: issuer, entity: product, type: string, level: C1, name: {zh: 发行人, en: Issuer}}]\n"
    )
    (workspace / "calendars").mkdir()
    (workspace / "calendars" / "exchange@1.csv").write_text(
        "day\n2026-11-18\n2026-11-19\n2026-11-20\n2026-11-23\n2026-11-24\n"
    )
    fill_rows(bank)
    rows = [{**row, "balance": row["balance"] + (row["one_id"] % 2)} for row in read_tags()]
    write_tags(bank, rows, TOMORROW)
    return bank


def test_every_leaf_answers_as_the_reference_does_and_not_alike_for_all(asked_bank):
    _compare_with_reference(asked_bank, "duckdb")
    rows = read_segment(asked_bank.settings.workspace / "segments" / "rows.yml")
    table = _leaf_rows(asked_bank, rows, "duckdb")
    asked = {leaf.column for leaf in all_leaves(rows)} & set(table[0])
    assert len(asked) == 25
    assert [column for column in asked if len({row[column] for row in table}) == 1] == []


WRITTEN = ("members", "changes", "suppressions", "assignments", "contacts", "contact_losses", "runs")


@pytest.mark.slow
def test_spark_and_the_process_itself_make_the_same_runs_and_answers(asked_bank, spark, monkeypatch):
    """By Spark the workers place the people of every segment but those that rank people, ten to a bucket."""
    lake = open_lake(asked_bank.settings, spark=spark)
    monkeypatch.setattr(workers, "ROW_SHARE", lake.settings.engine.bucket_rows // 10)
    answers = []
    place = evaluation.place_by_workers
    monkeypatch.setattr(
        evaluation, "place_by_workers", lambda *inputs: answers.append(place(*inputs)) or answers[-1]
    )
    nobody = lake.settings.workspace / "segments" / "nobody.yml"
    nobody.write_text(spec("nobody", "where: {tag: balance, gt: 999999}"))
    runs, tables = {}, {}
    for engine in ("duckdb", "spark"):
        audiences = evaluate(lake, TOMORROW, surroundings(lake.settings), engine=engine).audiences
        runs[engine] = {a.code: (a.run_id, a.counts, a.inputs) for a in audiences}
        tables[engine] = {name: frame_hash(lake.read_arrow(f"segments.{name}")) for name in WRITTEN}
        assert all(
            not row["assigned_on"] < TOMORROW for row in lake.read_arrow("segments.assignments").to_pylist()
        )
    assert (runs["duckdb"], tables["duckdb"]) == (runs["spark"], tables["spark"])
    in_process, by_workers = ({*one.places} for one in answers)
    assert in_process == set()
    segments = {one.stem: read_segment(one) for one in (lake.settings.workspace / "segments").glob("*.yml")}
    assert by_workers == {code for code, one in segments.items() if not rank_leaves(one)}
    assert len(by_workers) > 2
    assert runs["spark"]["nobody"][1]["candidates"] == 0
    _compare_with_reference(lake, "spark")
    rows = read_segment(lake.settings.workspace / "segments" / "rows.yml")
    assert _leaf_rows(lake, rows, "duckdb") == _leaf_rows(lake, rows, "spark")


def _leaf_rows(lake, segment, engine):
    compiled = compile_leaf_table([segment], business_date=TOMORROW, policy=Policy())
    zone, folders = lake.settings.time_zone, [lake.settings.lake]
    with lake.exchange("segments") as folder, open_alone(zone, folders=folders) as desk:
        leaves = make_leaf_table(lake, desk, compiled, {}, TOMORROW, folder, engine=engine)
        return desk.arrow(f"SELECT * FROM {leaves.rows} ORDER BY one_id").to_pylist()


def _compare_with_reference(lake, engine):
    """Every leaf of every operator, for every person, against the reference in Python."""
    segment = read_segment(lake.settings.workspace / "segments" / "everything.yml")
    compiled = compile_leaf_table([segment], business_date=TOMORROW, policy=Policy())
    friends = read_list(lake.settings.workspace, ListLeaf("friends", "1"))
    zone, folders = lake.settings.time_zone, [lake.settings.lake]
    with lake.exchange("segments") as folder, open_alone(zone, folders=folders) as desk:
        leaves = make_leaf_table(
            lake, desk, compiled, {"friends@1": friends}, TOMORROW, folder, engine=engine
        )
        rows = {row["one_id"]: row for row in desk.arrow(f"SELECT * FROM {leaves.rows}").to_pylist()}
    values = {r["one_id"]: r for r in lake.read_arrow("tags.customer_tags").to_pylist()}
    before = {
        r["one_id"]: r for r in lake.read_arrow("tags.customer_tags_daily").to_pylist() if r["as_of"] == D
    }
    events = lake.read_arrow("trusted.events").to_pylist()

    def reference(leaf, one_id):
        if isinstance(leaf, ListLeaf):
            return one_id == 3
        if isinstance(leaf, EventLeaf):
            first = TOMORROW - dt.timedelta(days=leaf.within_days - 1)
            found = [e for e in events if e["source_key"] == f"c{one_id}" and e["event_name"] in leaf.names]
            return compare_number(sum(first <= e["occurred_on"] <= TOMORROW for e in found), leaf.count)
        assert isinstance(leaf, TagLeaf)
        return kleene_all(
            answer(
                t,
                values[one_id][leaf.tag],
                business_date=TOMORROW,
                before=before[one_id][leaf.tag],
                has_before=True,
            )
            for t in leaf.tests
        )

    assert len(rows) == 12
    differing = [
        (one_id, leaf.normal(), row[leaf.column], reference(leaf, one_id))
        for one_id, row in rows.items()
        for leaf in all_leaves(segment)
        if row[leaf.column] != reference(leaf, one_id)
    ]
    assert differing == []
