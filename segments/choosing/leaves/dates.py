"""The SQL of key dates: the date, the day it comes next, and the days until then."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from lakehouse.errors import SettingsInvalid
from lakehouse.query.words import spark_identifier, spark_literal
from segments.choosing.leaves.rows import part_name
from segments.choosing.leaves.sql import LeafSql, text_sql
from segments.language.leaves.dates import Calendar, DateLeaf, RowDate
from segments.language.operators import comparison_sql


def date_leaf_sql(column: str, leaf: DateLeaf, business_date: date) -> LeafSql:
    """Give the answer of a date leaf, and the day it is about.

    A calendar that does not hold the business date raises ``SettingsInvalid``: every answer would be unknown.
    """
    if isinstance(leaf.of, RowDate):
        part = part_name(leaf.of.table, leaf.of.way)
        day = f"CASE WHEN {part}.{column}_perhaps = {part}.{column}_day THEN {part}.{column}_day END"
    else:
        day = f"t.{spark_identifier(leaf.of)}"
    if leaf.every == "year":
        day = _next_year_sql(day, business_date)
    elif leaf.every == "month":
        number = f"day({day})" if isinstance(leaf.of, RowDate) else day
        day = _next_month_sql(number, business_date)
    if leaf.open_days is None:
        days = f"datediff({day}, {spark_literal(business_date)})"
        answer = f"({comparison_sql(days, dict(leaf.days_ahead))})"
    else:
        answer = _trading_days_sql(day, leaf.days_ahead, leaf.open_days, business_date)
    return LeafSql(answer, text_sql(day))


def _next_year_sql(day: str, business_date: date) -> str:
    """Give the next anniversary; that of 29 February is the 28th in years without one."""
    today = spark_literal(business_date)
    years = f"{business_date.year} - year({day})"
    return (
        f"CASE WHEN add_months({day}, 12 * ({years})) >= {today} THEN add_months({day}, 12 * ({years}))"
        f" ELSE add_months({day}, 12 * ({years} + 1)) END"
    )


def _next_month_sql(number: str, business_date: date) -> str:
    """Give the next day with a number of the month; a shorter month has it on its last day."""
    first = business_date.replace(day=1)
    length = monthrange(first.year, first.month)[1]
    following = first + timedelta(days=length)
    following_length = monthrange(following.year, following.month)[1]

    def in_month(begin: date, days: int) -> str:
        return f"date_add({spark_literal(begin)}, least({number}, {days}) - 1)"

    now = in_month(first, length)
    # Both engines' least() passes over null.
    return (
        f"CASE WHEN {number} IS NULL THEN NULL WHEN {now} >= {spark_literal(business_date)} THEN {now}"
        f" ELSE {in_month(following, following_length)} END"
    )


def _trading_days_sql(
    day: str, days_ahead: Mapping[str, Any], calendar: Calendar, business_date: date
) -> str:
    """Give a comparison of trading days as one of days: a number of them is reached on one day of the calendar."""
    if not calendar.covers(business_date):
        raise SettingsInvalid(
            f"the calendar '{calendar.reference}' runs from {calendar.days[0]} to {calendar.days[-1]} and does not"
            f" hold {business_date}; name a version that does",
            file=calendar.file,
        )

    def at_least(number: int) -> str:
        first = calendar.at_least(number, business_date)
        return "false" if first is None else f"{day} >= {spark_literal(first)}"

    conditions = []
    for sign, bound in sorted(days_ahead.items()):
        low, high = bound if sign == "between" else (bound, bound)
        conditions.append(
            {
                "gte": at_least(low),
                "gt": at_least(low + 1),
                "lt": f"NOT {at_least(low)}",
                "lte": f"NOT {at_least(low + 1)}",
                "ne": f"NOT ({at_least(low)} AND NOT {at_least(low + 1)})",
            }.get(sign, f"{at_least(low)} AND NOT {at_least(high + 1)}")
        )
    first, last = spark_literal(calendar.days[0]), spark_literal(calendar.days[-1])
    return f"CASE WHEN {day} BETWEEN {first} AND {last} THEN {' AND '.join(conditions)} END"
