"""Whom a tag is counted over, where it states a population: conditions over the wide rows, in DuckDB's words.

Nights of both engines leave Parquet that is measured here, so that a population counts the same people after either.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from lakehouse.expressions.duckdb import duckdb_expression, function_statements
from lakehouse.query.words import identifier
from tags.compile.compiler import Writer
from tags.compile.entry_texts import population_inputs
from tags.compile.sql_text import BUSINESS_DATE
from vocabulary.registry import Registry

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk, Relation
    from tags.compile.plan import ScanPlan


def population_conditions(plan: ScanPlan, business_date: dt.date) -> dict[str, str]:
    """Give by tag the SQL that is true of its population; nothing of tags that count everybody.

    A population that reads nothing but tags that are off says nothing of anybody: it counts everybody, too.
    """
    writer = Writer(Registry({}, {}), plan)
    codes_off = {entry.code for entry in plan.absent}
    conditions = {}
    for entry in plan.entries:
        inputs = population_inputs(entry)
        if entry.population is None or (inputs and codes_off.issuperset(inputs)):
            continue
        text = writer.text(entry, entry.population, "population")
        conditions[entry.code] = duckdb_expression(text.replace(BUSINESS_DATE, f"date'{business_date}'"))
    return conditions


def rows_for_populations(desk: Desk, wide: Relation, plan: ScanPlan) -> Relation:
    """Give the wide rows with what nobody has of tags that are off, and the desk the functions that conditions call."""
    for statement in function_statements():
        desk.run(statement)
    writer = Writer(Registry({}, {}), plan)
    columns = [
        f"{duckdb_expression(writer.absent(entry))} AS {identifier(entry.code)}"
        for entry in plan.absent
        if entry.code not in wide.columns
    ]
    return desk.define(
        f"rows for populations of {plan.entity.plural}", f"SELECT {', '.join(['*', *columns])} FROM {wide}"
    )
