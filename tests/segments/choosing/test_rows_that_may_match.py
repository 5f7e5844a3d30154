"""Sums, extremes and counts of rows of which some may match: the SQL is unknown only where one of all ways to read them says otherwise."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_rules import measured

from lakehouse.expressions.duckdb import duckdb_query, function_statements
from lakehouse.query.desk import open_alone
from segments.choosing.leaves.rows import measure_sql
from segments.language.leaves.rows import RowMeasure
from segments.language.operators import Test

D = dt.date(2026, 11, 18)
NUMBERS = st.sampled_from([None, *(Decimal(n) for n in (-20, -5, 0, 3, 50))])
DAYS = st.sampled_from([None, *(D + dt.timedelta(days) for days in (-9, -1, 0, 4, 30))])
BOUNDS = st.sampled_from([-25, -20, -5, 0, 3, 28, 50])
COMPARISON = st.one_of(
    st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte", "eq", "ne"]), BOUNDS, min_size=1, max_size=1),
    st.tuples(BOUNDS, BOUNDS).map(lambda pair: {"between": sorted(pair)}),
)
DATE_COMPARISON = st.sampled_from(["days_ago", "days_ahead"]).flatmap(
    lambda word: COMPARISON.map(lambda one: {word: one})
)
MATCHES = st.sampled_from([True, True, None, False])


@pytest.fixture(scope="module")
def desk():
    with open_alone("Asia/Shanghai", threads=1) as desk:
        for statement in function_statements():
            desk.run(statement)
        yield desk


def rows(values):
    return st.lists(st.tuples(values, MATCHES), max_size=4)


def answer_of(desk, name, wish, pairs, kind):
    """What the SQL says of one person's rows."""
    values = ", ".join(
        f"({'NULL' if value is None else repr(str(value))}, {'NULL' if match is None else match})"
        for value, match in [*pairs, (None, False)]
    )
    tests = tuple(Test(operator, operand) for operator, operand in wish.items())
    measure = RowMeasure(name, tests, None if name == "count" else "v")
    sql = measure_sql("x", measure, ("m", "coalesce(m, true)"), "v", f"date '{D}'")
    columns = ", ".join(f"{text} AS x_{end}" for end, text in sql.aggregates.items())
    query = (
        f"SELECT {sql.answer.answer} AS answer, {sql.answer.evidence} AS evidence\n"
        f"FROM (SELECT {columns} FROM (SELECT cast(v AS {kind}) AS v, m FROM (VALUES {values}) AS t(v, m)))"
    )
    return next(iter(desk.rows(duckdb_query(query))))


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["count", "sum", "min", "max"]), COMPARISON, rows(NUMBERS))
def test_an_answer_is_unknown_only_where_it_may_differ(desk, name, wish, pairs):
    named = [({"v": value}, match) for value, match in pairs]
    body = {"count": wish} if name == "count" else {name: {"of": "v", **wish}}
    assert answer_of(desk, name, wish, pairs, "decimal(18,2)")[0] is measured(body, named, D)


@pytest.mark.slow
@settings(deadline=None, max_examples=75)
@given(st.sampled_from(["min", "max"]), DATE_COMPARISON, rows(DAYS))
def test_a_date_is_unknown_only_where_it_may_differ(desk, name, wish, pairs):
    named = [({"v": value}, match) for value, match in pairs]
    assert answer_of(desk, name, wish, pairs, "date")[0] is measured({name: {"of": "v", **wish}}, named, D)


@pytest.mark.parametrize(
    ("name", "pairs", "answer", "evidence"),
    [
        ("sum", [(60, True), (5, None)], True, "60.00 to 65.00"),
        ("sum", [(60, True), (-20, None)], None, "40.00 to 60.00"),
        ("sum", [(60, True), (None, None)], None, None),
        ("max", [(60, True), (None, True)], True, "60.00 or more"),
        ("min", [(40, True), (None, None)], False, "40.00 or less"),
        ("max", [(60, None)], None, None),
        ("max", [], None, None),
        ("sum", [], False, "0.00"),
    ],
)
def test_what_is_known_of_a_measure_is_said(desk, name, pairs, answer, evidence):
    assert answer_of(desk, name, {"gte": 50}, pairs, "decimal(18,2)") == (answer, evidence)
