"""Measures every tag's column: filled, null and why, outside its domain. Reads Parquet by column, no JVM."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from vocabulary.registry import Entry

if TYPE_CHECKING:
    import duckdb

REASONS = ("unknown", "not_applicable", "late", "expired")


def measure_tags(
    connection: duckdb.DuckDBPyConnection, relation: str, entries: list[Entry], business_date: dt.date
) -> list[dict[str, Any]]:
    """Give the rows of ``quality.tag_quality`` for the wide table ``relation`` (a DuckDB view).

    A null counts under the reason kept in ``null_exceptions``, else under that of the tag's null rule, else as
    unexplained. Nobody to whom a tag is not applicable counts in its coverage.
    """
    people = _one(connection, f"SELECT count(*) FROM {relation}")[0]
    kept: dict[tuple[str, str], int] = {
        (code, reason): count
        for code, reason, count in connection.execute(
            f"SELECT e.tag, e.reason, count(*) FROM (SELECT unnest(null_exceptions) AS e FROM {relation}) GROUP BY 1, 2"
        ).fetchall()
    }
    rows = []
    for entry in entries:
        column = f'"{entry.code}"'
        filled, outside, distinct = _one(
            connection,
            f"SELECT count({column}), count(CASE WHEN {_outside(entry)} THEN 1 END), count(DISTINCT {column}) FROM {relation}",
        )
        counts = {reason: kept.get((entry.code, reason), 0) for reason in REASONS}
        left = people - filled - sum(counts.values())
        unexplained = 0
        if entry.default_reason:
            counts[entry.default_reason] += left
        else:
            unexplained = left
        eligible = people - counts["not_applicable"]
        ratio = (Decimal(filled) / Decimal(eligible)).quantize(Decimal("0.000001")) if eligible else None
        rows.append(
            {
                "as_of": business_date,
                "tag": entry.code,
                "people_count": people,
                "eligible_count": eligible,
                "filled_count": filled,
                "coverage_ratio": ratio,
                **{f"{reason}_count": counts[reason] for reason in REASONS},
                "unexplained_count": unexplained,
                "outside_domain_count": outside,
                "distinct_count": distinct,
            }
        )
    return rows


def _one(connection: duckdb.DuckDBPyConnection, statement: str) -> tuple[Any, ...]:
    found = connection.execute(statement).fetchone()
    assert found is not None
    return found


def _outside(entry: Entry) -> str:
    """DuckDB SQL that is true for a value the registry does not allow."""
    column = f'"{entry.code}"'
    value = entry.value
    faults = []
    if value.domain:
        allowed = ", ".join("'" + v.replace("'", "''") + "'" for v in value.domain)
        inside = (
            f"list_has_all([{allowed}], {column})"
            if value.cardinality == "set"
            else f"{column} IN ({allowed})"
        )
        faults.append(f"NOT ({inside})")
    if value.min is not None:
        faults.append(f"{column} < {value.min}")
    if value.max is not None:
        faults.append(f"{column} > {value.max}")
    return f"{column} IS NOT NULL AND ({' OR '.join(faults)})" if faults else "false"
