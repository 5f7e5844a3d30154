"""Measures every tag's column: filled, null and why, outside its domain. Reads Parquet by column, no JVM."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lakehouse.query.words import identifier, literals
from vocabulary.registry import Entry

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk, Relation

REASONS = ("unknown", "not_applicable", "late", "expired")


def measure_tags(
    desk: Desk, wide: Relation, entries: list[Entry], business_date: dt.date
) -> list[dict[str, Any]]:
    """Give the rows of ``quality.tag_quality`` for the rows of the wide table.

    A null counts under the reason that ``null_exceptions`` records, else under that of the tag's null rule, else as
    unexplained. Nobody to whom a tag is not applicable counts in its coverage.
    """
    people = desk.value(f"SELECT count(*) FROM {wide}")
    exceptions: dict[tuple[str, str], int] = {
        (code, reason): count
        for code, reason, count in desk.rows(
            f"SELECT e.tag, e.reason, count(*) FROM (SELECT unnest(null_exceptions) AS e FROM {wide}) GROUP BY 1, 2"
        )
    }
    rows = []
    for entry in entries:
        column = identifier(entry.code)
        present, outside, distinct = desk.rows(
            f"SELECT count({column}), count(CASE WHEN {_outside(entry)} THEN 1 END), count(DISTINCT {column}) FROM {wide}"
        )[0]
        counts = {reason: exceptions.get((entry.code, reason), 0) for reason in REASONS}
        others = people - present - sum(counts.values())
        unexplained = 0
        if entry.default_reason:
            counts[entry.default_reason] += others
        else:
            unexplained = others
        eligible = people - counts["not_applicable"]
        ratio = (Decimal(present) / Decimal(eligible)).quantize(Decimal("0.000001")) if eligible else None
        rows.append(
            {
                "as_of": business_date,
                "tag": entry.code,
                "people_count": people,
                "eligible_count": eligible,
                "filled_count": present,
                "coverage_ratio": ratio,
                **{f"{reason}_count": counts[reason] for reason in REASONS},
                "unexplained_count": unexplained,
                "outside_domain_count": outside,
                "distinct_count": distinct,
            }
        )
    return rows


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
