"""The form in which every kind of leaf gives its SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segments.language.operators import Test, test_sql


@dataclass(frozen=True)
class LeafSql:
    """Two Spark SQL expressions over ``t`` and the parts joined to it: the answer (null is unknown), and what it rests on."""

    answer: str
    evidence: str


@dataclass(frozen=True)
class Part:
    """One WITH part of one row per OneID for all leaves over a table, with their answers."""

    name: str
    sql: str
    answers: Mapping[str, LeafSql]
    columns: tuple[str, ...]
    tables: tuple[str, ...]
    needs_owners: bool


def tests_sql(tests: tuple[Test, ...], value: str, today: str) -> str:
    """Give tests of one value as SQL that all must hold."""
    return "(" + " AND ".join(test_sql(test, value, business_date=today) for test in tests) + ")"


def text_sql(value: str) -> str:
    """Give a value as text."""
    return f"cast({value} AS string)"
