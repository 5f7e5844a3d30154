"""Late sources: values are held for some days and then null; what stands still though it is delivered is seen. No JVM."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.contracts.reading import contract
from lakehouse.query.desk import open_newest, open_scratch
from lakehouse.query.files import parquet_sql
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from tags.build.lateness import LateTag, TagsBefore, add_sources, carry_values, late_tags
from tags.compile.compilation import compile_tags
from tags.compile.plan import ScanPlan
from tags.quality.judging import source_measures
from tags.quality.measures import measure_tags
from tags.quality.sources import Lateness, Sources, read_sources, tables_read

D = dt.date(2026, 3, 20)
WHOLE = compile_tags(None)
ENTRIES = WHOLE.registry.entries
TRANSACTIONS = "trusted.transactions"


def day(number: int) -> dt.date:
    """The day so many days before the business date."""
    return D - dt.timedelta(days=number)


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "cdp.yml").write_text("generate_secrets: true\n")
    lake = Lake(load_settings(tmp_path))
    lake.create(
        [
            "landing.files",
            "landing.loads",
            TRANSACTIONS,
            "trusted.events",
            "trusted.ledger",
            "quality.tag_quality",
        ]
    )
    return lake


def deliver(
    lake: Lake, feed: str, table: str, days: list[int], rows: int = 100, status: str = "loaded"
) -> None:
    """Enter deliveries of a feed into the books, one for each of the days before the business date."""
    files = [
        {"feed": feed, "path": f"{feed}/{day(n)}", "sha256": f"{feed}{n}", "business_date": day(n), "arrived_on": day(n),
         "status": status, "bytes": 1, "records": rows}
        for n in days
    ]  # fmt: skip
    lake.append_rows("landing.files", files)
    loads = [
        {"feed": feed, "path": f"{feed}/{day(n)}", "table_name": table, "arrived_on": day(n), "entries": 1, "delivered": rows,
         "accepted": rows, "refused": 0, "exact_duplicates": 0, "key_duplicates": 0, "excluded": 0}
        for n in days
    ]  # fmt: skip
    lake.append_rows("landing.loads", loads)


def happen(lake: Lake, days: dict[int, int], arrived: dict[int, int] | None = None) -> None:
    """Let so many transactions happen so many days before; each arrives on its day, or on the one that is named."""
    row = {"source": "core", "account_id": "a", "direction": "debit", "amount": 1, "amount_base": 1, "currency": "CNY",
           "transaction_type": "PAYMENT", "initiator": "C", "_feed": "t", "_file": "f"}  # fmt: skip
    rows = [
        {**row, "transaction_id": f"{n}-{at}", "transacted_on": day(n), "_row": at, "_arrived_on": day((arrived or {}).get(n, n))}
        for n, count in days.items() for at in range(count)
    ]  # fmt: skip
    lake.append(TRANSACTIONS, pa.Table.from_pylist(rows, schema=contract(TRANSACTIONS).arrow_schema()))


def sources_of(lake: Lake, tables: set[str], allowances: dict[str, int] | None = None) -> Sources:
    with open_newest(lake.settings) as desk:
        return read_sources(desk, tables, D, allowances or {})


@pytest.mark.parametrize("late_days", [0, 1, 2, 10])
def test_a_daily_source_is_late_by_the_days_since_it_delivered(lake, late_days):
    deliver(lake, "core", TRANSACTIONS, list(range(late_days, late_days + 8)))
    sources = sources_of(lake, {TRANSACTIONS})
    assert sources.delivered_on == {TRANSACTIONS: day(late_days)}
    assert sources.late_tables == ({TRANSACTIONS: Lateness(late_days, day(late_days))} if late_days else {})


def test_what_comes_once_a_month_or_not_at_weekends_is_not_late_meanwhile(lake):
    deliver(lake, "ledger", "trusted.ledger", [20, 51, 79, 110, 140])
    deliver(lake, "branch", TRANSACTIONS, [2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 16, 17, 18])
    assert sources_of(lake, {TRANSACTIONS, "trusted.ledger"}).late_tables == {}


def test_before_its_fourth_delivery_nobody_knows_when_a_feed_delivers_but_by_its_own_statement(lake):
    deliver(lake, "core", TRANSACTIONS, [5, 6, 7])
    assert sources_of(lake, {TRANSACTIONS}).late_tables == {}
    assert sources_of(lake, {TRANSACTIONS}, {"core": 2}).late_tables == {TRANSACTIONS: Lateness(3, day(5))}


def test_refused_files_are_no_delivery_and_empty_ones_are(lake):
    deliver(lake, "core", TRANSACTIONS, list(range(1, 8)))
    deliver(lake, "core", TRANSACTIONS, [0], status="refused")
    assert sources_of(lake, {TRANSACTIONS}).late_tables == {TRANSACTIONS: Lateness(1, day(1))}
    deliver(lake, "core", TRANSACTIONS, [0], rows=0)
    assert sources_of(lake, {TRANSACTIONS}).late_tables == {}


def test_a_table_is_late_with_the_feeds_that_bring_most_of_its_rows(lake):
    deliver(lake, "app", "trusted.events", list(range(3, 12)), rows=1_000)
    deliver(lake, "web", "trusted.events", list(range(9)), rows=900)
    assert sources_of(lake, {"trusted.events"}).late_tables == {"trusted.events": Lateness(3, day(3))}
    deliver(lake, "partner", "trusted.events", list(range(9)), rows=200)
    sources = sources_of(lake, {"trusted.events"})
    assert (sources.late_tables, set(sources.late_feeds)) == ({}, {"app"})


def frozen(lake: Lake) -> dict[str, int]:
    return dict(sources_of(lake, {TRANSACTIONS}).frozen_days)


def test_a_source_that_is_delivered_and_stands_still_is_frozen_and_named_with_its_tags(lake):
    deliver(lake, "core", TRANSACTIONS, list(range(9)))
    happen(lake, dict.fromkeys(range(4, 30), 60))
    assert frozen(lake) == {TRANSACTIONS: 4}
    entries = [ENTRIES["active_txn_count_90d"], ENTRIES["age"]]
    tables = {entry.code: tables_read(WHOLE.registry, entry) for entry in entries}
    (measure,) = source_measures(lake.settings, entries, sources_of(lake, {TRANSACTIONS}), tables)
    assert (measure.table, measure.value, measure.bound.max) == (TRANSACTIONS, 4.0, 2)
    assert "read by active_txn_count_90d" in measure.bound.why


def test_a_trickle_is_no_sign_of_life_and_days_that_are_always_quiet_are_none_of_standing_still(lake):
    deliver(lake, "core", TRANSACTIONS, list(range(9)))
    happen(lake, {**dict.fromkeys(range(4, 30), 60), 0: 2})
    assert frozen(lake) == {TRANSACTIONS: 4}


@pytest.mark.parametrize(
    "months, expected",
    [([29, 60], None), ([29, 60, 90, 121, 151], 0), ([45, 76, 106, 137], 15)],
    ids=["two months say nothing yet", "between two months", "the month did not come"],
)
def test_what_happens_once_a_month_stands_still_after_a_month_and_not_before(lake, months, expected):
    deliver(lake, "core", TRANSACTIONS, list(range(9)))
    happen(lake, dict.fromkeys(months, 600))
    assert frozen(lake).get(TRANSACTIONS) == expected


def test_weekends_and_rows_that_always_come_a_day_later_are_usual(lake):
    deliver(lake, "core", TRANSACTIONS, list(range(9)))
    days = [n for n in range(3, 40) if n % 7 not in (1, 2)]
    happen(lake, dict.fromkeys(days, 60))
    assert frozen(lake) == {TRANSACTIONS: 1}


def sources(table: str, late_days: int) -> Sources:
    lateness = Lateness(late_days, day(late_days))
    return Sources({table: day(late_days)}, {"feed": lateness}, {table: lateness} if late_days else {}, {})


def before_of(rows: pa.Table, desk, codes, value_days=None) -> TagsBefore:
    versions = {code: ENTRIES[code].version for code in codes}
    return TagsBefore(desk.lend("before", rows), day(1), versions, value_days or dict.fromkeys(codes, day(1)))


CODES = ("age", "active_txn_count_90d", "aum_eod", "lifecycle_mau", "is_account_controlled")


def decided(late_days: int, table: str, *, is_first: bool = False) -> dict[str, tuple[str, dt.date]]:
    entries = [ENTRIES[code] for code in CODES]
    with open_scratch() as desk:
        before = None if is_first else before_of(pa.table({"one_id": [1]}), desk, CODES)
        late = late_tags(WHOLE.registry, entries, sources(table, late_days), before, D)
    return {one.code: (one.action, one.value_on) for one in late}


@pytest.mark.parametrize(("late_days", "action"), [(1, "held"), (2, "held"), (3, "null"), (10, "null")])
def test_a_tag_keeps_its_values_within_its_staleness_and_then_has_none(late_days, action):
    assert decided(late_days, TRANSACTIONS)["active_txn_count_90d"] == (action, day(1))
    assert decided(0, TRANSACTIONS) == {}
    assert "age" not in decided(late_days, TRANSACTIONS)


@pytest.mark.parametrize(("value_age", "held"), [(1, True), (2, True), (3, False)])
def test_values_are_not_held_longer_where_two_sources_are_late_in_turn(value_age, held):
    """The source that is late tonight is so for a day only; the values are of the night before another one was."""
    entry = ENTRIES["active_txn_count_90d"]
    assert entry.max_staleness_days == 2
    with open_scratch() as desk:
        before = before_of(pa.table({"one_id": [1]}), desk, [entry.code], {entry.code: day(value_age)})
        late = late_tags(WHOLE.registry, [entry], sources(TRANSACTIONS, 1), before, D)
    assert [(one.action, one.value_on) for one in late] == [("held", day(value_age))] * held


def test_what_is_never_null_and_what_only_excludes_is_computed_from_what_there_is():
    assert "is_account_controlled" not in decided(10, "trusted.account_controls")
    assert "lifecycle_mau" not in decided(10, "trusted.events")


def test_on_a_first_night_nothing_can_be_held_and_only_what_is_too_late_is_null():
    assert decided(1, TRANSACTIONS, is_first=True) == {}
    assert decided(10, TRANSACTIONS, is_first=True)["active_txn_count_90d"] == ("null", day(10))


EXCEPTION = pa.struct([("tag", pa.string()), ("reason", pa.string())])
SCHEMA = pa.schema(
    [("one_id", pa.int64()), ("age", pa.int32()), ("active_txn_count_90d", pa.int32()), ("is_mau", pa.bool_()),
     ("aml_grade", pa.string()), ("null_exceptions", pa.list_(EXCEPTION)), ("read_sources", pa.list_(pa.string())),
     ("unexplained_nulls", pa.list_(pa.string()))]
)  # fmt: skip


def wide(*people) -> pa.Table:
    rows = [
        {"one_id": one_id, "age": age, "active_txn_count_90d": count, "is_mau": is_mau, "aml_grade": grade,
         "null_exceptions": [{"tag": tag, "reason": reason} for tag, reason in reasons], "read_sources": [], "unexplained_nulls": lost}
        for one_id, age, count, is_mau, grade, reasons, lost in people
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def carried(tmp_path: Path, now: pa.Table, was: pa.Table, late: list[LateTag]):
    """The rows after values were held, and their quality."""
    folder = tmp_path / "customer_tags"
    folder.mkdir()
    pq.write_table(now, folder / "a.parquet")
    codes = ("age", "active_txn_count_90d", "is_mau", "aml_grade")
    entries = tuple(ENTRIES[code] for code in codes)
    with open_scratch(folders=[tmp_path]) as desk:
        rows = desk.define("wide", parquet_sql(sorted(folder.glob("*.parquet"))))
        before = before_of(was, desk, codes)
        is_changed = carry_values(desk, folder, rows, entries, late, before)
        after = desk.define("after", parquet_sql(sorted(folder.glob("*.parquet"))))
        plan = ScanPlan(entries, WHOLE.plan.scans, WHOLE.plan.layers)
        quality = {row["tag"]: row for row in measure_tags(desk, after, plan, D, before.rows)}
        table = desk.arrow(f"SELECT * FROM {after} ORDER BY one_id")
    assert table.schema.names == now.schema.names
    return is_changed, table.to_pylist(), quality


def reasons_of(row: dict) -> list[tuple[str, str]]:
    return [(one["tag"], one["reason"]) for one in row["null_exceptions"]]


def test_held_values_are_those_of_the_night_before_with_their_reasons_and_strangers_have_none(tmp_path):
    not_applicable = [("is_mau", "not_applicable")]
    now = wide(
        (1, 31, 5, True, "L", [], []),
        (2, 41, 6, None, "M", not_applicable, ["is_mau"]),
        (3, 51, 7, True, None, [], []),
    )
    was = wide((1, 30, 4, None, "L", not_applicable, []), (2, 40, 9, False, "M", [], []))
    late = [LateTag(code, "held", Lateness(1, day(1)), day(1)) for code in ("active_txn_count_90d", "is_mau")]
    is_changed, rows, quality = carried(tmp_path, now, was, late)
    assert is_changed
    assert [(row["age"], row["active_txn_count_90d"], row["is_mau"]) for row in rows] == [
        (31, 4, None),
        (41, 9, False),
        (51, None, None),
    ]
    assert [reasons_of(row) for row in rows] == [
        [("is_mau", "not_applicable")],
        [],
        [("active_txn_count_90d", "late"), ("is_mau", "late")],
    ]
    assert rows[1]["unexplained_nulls"] == []
    assert (quality["is_mau"]["late_count"], quality["is_mau"]["not_applicable_count"]) == (1, 1)
    assert quality["active_txn_count_90d"]["unexplained_count"] == 0
    assert (
        quality["active_txn_count_90d"]["compared_count"],
        quality["active_txn_count_90d"]["changed_count"],
    ) == (2, 0)


def test_a_tag_that_is_too_late_is_null_for_all_with_the_reason_late_and_expired_values_say_so(tmp_path):
    now = wide(
        (1, 31, 5, True, None, [], []), (2, None, 6, True, None, [], []), (3, 1, 1, False, "H", [], [])
    )
    was = wide(
        (1, 30, 4, True, "L", [], []),
        (2, 40, 9, False, None, [("aml_grade", "expired")], []),
        (3, 1, 1, False, "H", [], []),
    )
    late = [LateTag("active_txn_count_90d", "null", Lateness(10, day(10)), day(10))]
    _, rows, quality = carried(tmp_path, now, was, late)
    assert {row["active_txn_count_90d"] for row in rows} == {None}
    assert reasons_of(rows[0]) == [("active_txn_count_90d", "late"), ("aml_grade", "expired")]
    assert reasons_of(rows[1]) == [("active_txn_count_90d", "late"), ("aml_grade", "expired")]
    assert reasons_of(rows[2]) == [("active_txn_count_90d", "late")]
    assert quality["active_txn_count_90d"]["late_count"] == 3
    assert (quality["aml_grade"]["expired_count"], quality["aml_grade"]["unknown_count"]) == (2, 0)
    assert quality["age"]["unknown_count"] == 1


def test_nothing_is_written_anew_where_nothing_is_late_and_nothing_ended(tmp_path):
    now = wide((1, 31, 5, True, None, [], []))
    is_changed, _, quality = carried(tmp_path, now, now, [])
    assert not is_changed
    assert quality["aml_grade"]["unknown_count"] == 1


@pytest.mark.parametrize(
    ("value_on", "changes", "action"),
    [
        (D.replace(day=1), {}, "monthly"),
        (day(1), {}, "monthly"),
        (D.replace(day=1) - dt.timedelta(days=1), {}, None),  # the first night of this month
        (D.replace(day=1, year=D.year - 1), {}, None),
        (day(1), {"version": "9.0.0"}, None),  # a new definition is computed at once
        (day(1), {"refresh": "nightly"}, None),
        (day(1), {"lost": True}, None),  # a late source had left it without values
    ],
)
@pytest.mark.parametrize("late_days", [0, 9])
def test_a_monthly_tag_is_carried_until_the_first_night_of_the_next_month(
    value_on, changes, action, late_days
):
    lost = frozenset({"age"}) if changes.get("lost") else frozenset()
    edit = {"refresh": "monthly"} | {key: value for key, value in changes.items() if key != "lost"}
    entry = ENTRIES["age"].model_copy(update=edit)
    with open_scratch() as desk:
        of_before = before_of(pa.table({"one_id": [1]}), desk, ["age"], {"age": value_on})
        before = replace(of_before, lost_codes=lost)
        actions = late_tags(WHOLE.registry, [entry], sources("trusted.customers", late_days), before, D)
    if action is None and late_days:
        assert [one.action for one in actions] == ["null"]
    else:
        assert [(one.code, one.action, one.value_on) for one in actions] == [
            ("age", action, value_on)
        ] * bool(action)


def test_monthly_tags_that_read_one_another_are_computed_on_one_night():
    codes = ["age", "age_band", "gender"]
    entries = [ENTRIES[code].model_copy(update={"refresh": "monthly"}) for code in codes]
    for edited in codes:
        with open_scratch() as desk:
            before = before_of(pa.table({"one_id": [1]}), desk, codes)
            before = replace(before, versions={**before.versions, edited: "0.0.1"})
            carried_codes = {
                one.code for one in late_tags(WHOLE.registry, entries, sources(TRANSACTIONS, 0), before, D)
            }
        assert carried_codes == ({"age", "age_band"} if edited == "gender" else {"gender"})


def test_a_monthly_tag_is_computed_every_night_like_any_other(make_workspace):
    """Only what is shown is held: the scan of a night is the same, so that who is new has an answer."""
    edit = "family: own\ntags:\n  - {code: age, version: 9.0.0}\n  - {code: age_band, version: 9.0.0}\n"
    scans = {}
    for refresh in ("nightly", "monthly"):
        text = edit.replace("version", f"refresh: {refresh}, version")
        compilation = compile_tags(make_workspace({"tags/own.yml": text}, name=refresh), is_checked=False)
        assert compilation.registry["age"].refresh == refresh
        scans[refresh] = [
            compilation.writer.scan_sql(scan) for scan in compilation.plan.scans if scan.aggregated
        ]
    assert scans["monthly"] == scans["nightly"] and any("as age" in sql for sql in scans["monthly"])


def test_who_is_new_in_the_month_has_the_value_of_the_night_and_its_reason(tmp_path):
    now = wide(
        (1, 31, 5, True, "L", [], []),
        (2, 41, 6, None, "M", [("is_mau", "not_applicable")], []),
        (3, None, 7, None, "H", [("is_mau", "not_applicable")], []),
    )
    was = wide((1, 30, 4, None, "L", [("is_mau", "not_applicable")], []), (2, 40, 9, False, "M", [], []))
    monthly = [LateTag(code, "monthly", None, day(9)) for code in ("age", "is_mau")]
    _, rows, quality = carried(tmp_path, now, was, monthly)
    assert [(row["age"], row["is_mau"], reasons_of(row)) for row in rows] == [
        (30, None, [("is_mau", "not_applicable")]),
        (40, False, []),
        (None, None, [("is_mau", "not_applicable")]),
    ]
    assert (quality["age"]["late_count"], quality["is_mau"]["late_count"]) == (0, 0)
    add_sources(list(quality.values()), sources(TRANSACTIONS, 0), monthly, dict.fromkeys(quality, ()), D)
    assert (quality["age"]["value_on"], quality["age"]["late_days"]) == (day(9), 0)
    assert quality["aml_grade"]["value_on"] == D
