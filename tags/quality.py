"""Measures every tag's column: filled, null and why, outside its domain. Reads Parquet by column, no JVM."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from lakehouse.expressions.expression import syntax_tree
from lakehouse.query.words import identifier, literal, literals
from tags.compile.compiler import PERSON_COLUMNS, SOURCES, UNEXPLAINED
from tags.compile.plan import ScanPlan
from vocabulary.registry import Entry

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk, Relation

REASONS = ("unknown", "not_applicable", "late", "expired")


def measure_tags(desk: Desk, wide: Relation, plan: ScanPlan, business_date: dt.date) -> list[dict[str, Any]]:
    """Give the rows of ``quality.tag_quality`` for the rows of the wide table.

    A value is filled where something says it: a default counts only for people of whom what the tag reads has rows.
    Eligible is everybody but those of whom ``null_exceptions`` says that the tag does not apply. A null counts under the
    reason that ``null_exceptions`` records, as unexplained where the wide model calls it so, else under the reason of
    the tag's null rule, and as unexplained where that has none.
    """
    people = desk.value(f"SELECT count(*) FROM {wide}")
    exceptions: dict[tuple[str, str], int] = {
        (code, reason): count
        for code, reason, count in desk.rows(
            f"SELECT e.tag, e.reason, count(*) FROM (SELECT unnest(null_exceptions) AS e FROM {wide}) GROUP BY 1, 2"
        )
    }
    unexplained_nulls: dict[str, int] = dict(
        desk.rows(f"SELECT code, count(*) FROM (SELECT unnest({UNEXPLAINED}) AS code FROM {wide}) GROUP BY 1")
    )
    conditions = _answer_conditions(plan)
    rows = []
    for entry in plan.entries:
        column = identifier(entry.code)
        present, from_data, outside, distinct = desk.rows(
            f"SELECT count({column}), count(CASE WHEN {conditions[entry.code]} THEN 1 END),"
            f" count(CASE WHEN {_outside(entry)} THEN 1 END), count(DISTINCT {column}) FROM {wide}"
        )[0]
        counts = {reason: exceptions.get((entry.code, reason), 0) for reason in REASONS}
        eligible = people - counts["not_applicable"]
        others = people - present - sum(counts.values())
        unexplained = unexplained_nulls.get(entry.code, 0)
        if entry.default_reason:
            counts[entry.default_reason] += others - unexplained
        else:
            unexplained += others
        ratio = (Decimal(from_data) / Decimal(eligible)).quantize(Decimal("0.000001")) if eligible else None
        rows.append(
            {
                "as_of": business_date,
                "tag": entry.code,
                "people_count": people,
                "eligible_count": eligible,
                "filled_count": from_data,
                "coverage_ratio": ratio,
                **{f"{reason}_count": counts[reason] for reason in REASONS},
                "unexplained_count": unexplained,
                "outside_domain_count": outside,
                "distinct_count": distinct,
            }
        )
    return rows


def _answer_conditions(plan: ScanPlan) -> dict[str, str]:
    """Give by tag the DuckDB SQL that is true of people whose value something says.

    A null rule with a default turns absence into a value. Such a value is said by a row of what the tag reads, or, of a rule,
    by one of the tags that it reads.
    """
    scans = {entry.code: scan.relation.noun for scan in plan.scans for entry in scan.entries}
    conditions: dict[str, str] = {}
    for entry in (entry for layer in plan.layers for entry in layer):
        column = f"{identifier(entry.code)} IS NOT NULL"
        if entry.default_reason:
            conditions[entry.code] = column
        elif entry.code in scans:
            conditions[entry.code] = f"({column} AND list_contains({SOURCES}, {literal(scans[entry.code])}))"
        elif _reads_person(entry):
            conditions[entry.code] = column
        else:
            inputs = " OR ".join(conditions[code] for code in entry.tag_inputs) or "true"
            conditions[entry.code] = f"({column} AND ({inputs}))"
    return conditions


def _reads_person(entry: Entry) -> bool:
    """Tell whether a rule reads the person itself, as a bucket does: everybody has an answer."""
    assert entry.compute is not None
    text = entry.compute.expression
    return text is not None and any(
        column.name in PERSON_COLUMNS for column in syntax_tree(text).find_all(exp.Column)
    )


def _outside(entry: Entry) -> str:
    """DuckDB SQL that is true for a value the registry does not allow."""
    column = identifier(entry.code)
    value = entry.value
    faults = []
    if value.domain:
        domain = literals(value.domain)
        inside = (
            f"list_has_all([{domain}], {column})" if value.cardinality == "set" else f"{column} IN ({domain})"
        )
        faults.append(f"NOT ({inside})")
    if value.min is not None:
        faults.append(f"{column} < {value.min}")
    if value.max is not None:
        faults.append(f"{column} > {value.max}")
    return f"{column} IS NOT NULL AND ({' OR '.join(faults)})" if faults else "false"
