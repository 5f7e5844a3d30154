"""Segments of tags whose source is late: told, or not published where the segment says how old a tag may be."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from segment_bank import spec

from lakehouse.contracts.reading import contract
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from segments.choosing.inputs import StaleTag, late_warnings, stale_tags
from segments.language.spec import read_segment
from tags.build.lateness import LateTag, add_sources
from tags.quality.sources import Lateness, Sources

D = dt.date(2026, 3, 20)
TABLE = "trusted.customers"


def day(number: int) -> dt.date:
    return D - dt.timedelta(days=number)


def test_a_night_says_of_which_day_the_values_of_a_late_tag_are(make_workspace):
    lake = Lake(load_settings(make_workspace()))
    assert stale_tags(lake, D) == {}
    lake.create(["quality.tag_quality"])
    late = [LateTag("age", "held", Lateness(2, day(2)), day(2))]
    rows: list[dict] = [{"tag": "age"}, {"tag": "aum_eod"}]
    tables = {"age": ["trusted.customers"], "aum_eod": ["trusted.balances"]}
    lateness = Lateness(2, day(2))
    add_sources(rows, Sources({TABLE: day(2)}, {"feed": lateness}, {TABLE: lateness}, {}), late, tables, D)
    assert [(row["late_days"], row["value_on"], row["source_on"]) for row in rows] == [
        (2, day(2), day(2)),
        (0, D, None),
    ]
    schema = contract("quality.tag_quality").arrow_schema()
    counts = {field.name: 0 for field in schema if field.name.endswith("_count")}
    full = [{**counts, **row, "as_of": D} for row in rows]
    lake.append("quality.tag_quality", pa.Table.from_pylist(full, schema=schema))
    assert stale_tags(lake, D) == {"age": StaleTag("age", 2, day(2))}
    assert stale_tags(lake, day(1)) == {}


BANK = Path(__file__).resolve().parents[3] / "examples" / "bank" / "segments"


def test_a_segment_that_uses_a_late_tag_is_told_or_not_published_as_its_schedule_says():
    fresh = read_segment(BANK / "wealth_maturity_rollover.yml")  # max_tag_staleness_days: 1
    free = read_segment(BANK / "expiring_documents.yml")
    stale = {code: StaleTag(code, 2, day(2)) for code in ("days_to_next_maturity", "id_document_state")}
    warnings, barriers = late_warnings([fresh, free], stale, {}, D)
    assert set(barriers) == {"wealth_maturity_rollover"}
    assert barriers["wealth_maturity_rollover"].sentence == (
        f"its tags days_to_next_maturity are of {day(2)}, since a source is late; schedule.max_tag_staleness_days is 1"
    )
    assert [text.partition(" is ")[0] for text in warnings] == ["segment expiring_documents"]
    yesterday = {code: StaleTag(code, 1, day(1)) for code in stale}
    assert late_warnings([fresh, free], yesterday, {}, D)[1] == {}
    assert late_warnings([fresh, free], {}, {}, D) == ([], {})
    monthly = {code: StaleTag(code, 0, day(20)) for code in stale}
    warnings, barriers = late_warnings([fresh, free], monthly, {}, D)
    assert warnings == [] and [barrier.sentence for barrier in barriers.values()] == [
        f"its tags days_to_next_maturity are of {day(20)}, since they are held for the month; schedule.max_tag_staleness_days is 1"
    ]


def test_tags_that_have_no_value_are_not_said_to_have_one():
    free = read_segment(BANK / "expiring_documents.yml")
    lost = {"id_document_state": StaleTag("id_document_state", 9, day(9), is_lost=True)}
    (warning,), barriers = late_warnings([free], lost, {}, D)
    assert barriers == {} and warning == (
        "segment expiring_documents is decided by late tags: its tags id_document_state have no value for anybody,"
        f" the last ones were of {day(9)}, since a source is late"
    )


@pytest.mark.parametrize(
    ("rule", "table"),
    [
        ("{detail: {from: holdings, match: {product_class: fund}}}", "trusted.holdings"),
        ("{date: {of: matures_on, from: holdings, pick: next, days_ahead: {lte: 3}}}", "trusted.holdings"),
        ("{detail: {from: order_lines, via: order, match: {category: gold}}}", "trusted.orders"),
        ("{event: {name: login, count: {gte: 1}, within_days: 7}}", "trusted.events"),
        ("{event: {name: login, sum: {of: amount, gte: 1}, within_days: 7}}", "trusted.events"),
        ("{sequence: {steps: [{name: a}, {name: b}], within: 3d}}", "trusted.events"),
        ("{absence: {name: login, within_days: 7}}", "trusted.events"),
        ("{receipt: {status: OPENED, within_days: 7}}", "trusted.receipts"),
    ],
)
def test_a_segment_over_rows_of_a_late_table_is_told(tmp_path, rule, table):
    (tmp_path / "segments").mkdir()
    file = tmp_path / "segments" / "x.yml"
    file.write_text(spec("x", f"where: {rule}"))
    late = {table: day(3), "trusted.loans": day(9)}
    assert late_warnings([read_segment(file)], {}, late, D) == (
        [f"segment x is decided by late rows: those of {table} reach to {day(3)}"],
        {},
    )
