"""The SQL of segments of companies and households: what their people answer, which are chosen, and who is contacted for each.

Everything is asked of rows of the leaf table, one per person of each entity. Spark SQL and DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lakehouse.query.words import literals
from segments.choosing.leaves.rows import measure_sql
from segments.language.conditions import Leaf, logic_sql
from segments.language.leaves.members import MembersLeaf
from segments.language.segment_leaves import entity_leaves
from segments.language.spec import Segment

# Who is kept out for another reason than these counts for nothing: nobody's values choose others where they may not choose their owner.
COUNTING_REASONS = ("NO_CONSENT", "UNREACHABLE", "UNSUITABLE")


@dataclass(frozen=True)
class EntitySql:
    """Three queries, each over the one before it, which the caller names or writes into the next."""

    people: str
    """One row per person of each entity: entity_key, reason, and the columns of the leaf table."""
    answers: Callable[[str], str]
    """One row per entity, of the relation of people: entity_key, people, the answer of every leaf and, as ``<column>_evidence``, its ground."""
    addressees: Callable[[str, str], str]
    """entity_key and one_id of whom each entity that a condition over its answers chooses is contacted through."""


def entity_sql(
    segment: Segment, *, belonging: str, leaves: str, reason: str, column_of: Callable[[Leaf], str]
) -> EntitySql:
    """Give the queries of a segment of companies or households.

    ``belonging`` has entity_key and one_id, ``leaves`` is the leaf table and ``reason`` the reason against a person of it.
    """

    def answers(people: str) -> str:
        aggregates, columns = [f"count(CASE WHEN {_counts()} THEN 1 END) AS people"], []
        for leaf in entity_leaves(segment):
            measure = measure_sql(leaf.column, leaf.measure, _matches(leaf, column_of), _value(leaf), "")
            aggregates += [f"{sql} AS {leaf.column}_{end}" for end, sql in measure.aggregates.items()]
            columns.append(f"{measure.answer.answer} AS {leaf.column}")
            columns.append(f"{measure.answer.evidence} AS {leaf.column}_evidence")
        return (
            f"SELECT entity_key, people, {', '.join(columns)}\n"
            f"FROM (SELECT entity_key, {', '.join(aggregates)} FROM {people} GROUP BY entity_key)"
        )

    def addressees(people: str, choice: str) -> str:
        addressee = segment.addressee
        assert addressee is not None
        where = f"coalesce({logic_sql(addressee.where, column_of)}, false)" if addressee.where else "true"
        order = ["CASE WHEN reason IS NULL THEN 0 ELSE 1 END"]
        if addressee.prefer is not None:
            order.append(f"CASE WHEN {logic_sql(addressee.prefer, column_of)} THEN 0 ELSE 1 END")
        if addressee.tag is not None:
            value = f"value_{addressee.tag}"
            order.append(f"CASE WHEN {value} IS NULL THEN 1 ELSE 0 END")
            order.append(f"{value} {'ASC' if addressee.is_lowest else 'DESC'}")
        return (
            "SELECT entity_key, one_id FROM (SELECT entity_key, one_id,\n"
            f"    row_number() OVER (PARTITION BY entity_key ORDER BY {', '.join(order)}, one_id) AS place\n"
            f"  FROM {people} WHERE {where} AND entity_key IN ({choice}))\nWHERE place = 1"
        )

    return EntitySql(
        f"SELECT e.entity_key, {reason} AS reason, l.*\nFROM {belonging} e JOIN {leaves} l ON l.one_id = e.one_id",
        answers,
        addressees,
    )


def _counts() -> str:
    return f"(reason IS NULL OR reason IN ({literals(COUNTING_REASONS)}))"


def _matches(leaf: MembersLeaf, column_of: Callable[[Leaf], str]) -> tuple[str, str]:
    """Give the conditions under which a person counts, and under which one may count."""
    if leaf.where is None:
        return (_counts(), _counts())
    answer = logic_sql(leaf.where, column_of)
    return (f"{_counts()} AND {answer}", f"{_counts()} AND coalesce({answer}, true)")


def _value(leaf: MembersLeaf) -> str:
    return f"value_{leaf.measure.of}" if leaf.measure.of is not None else ""
