"""What leaves add to the query of a leaf table, and the one place that asks every kind of leaf for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from segments.choosing.leaves.dates import date_leaf_sql
from segments.choosing.leaves.micro_segments import micro_leaf_sql
from segments.choosing.leaves.rows import row_leaf_sql
from segments.choosing.leaves.sequences import sequence_leaf_sql
from segments.choosing.leaves.sql import LeafSql
from segments.language.conditions import Leaf
from segments.language.leaves.dates import DateLeaf
from segments.language.leaves.expressions import ExpressionLeaf
from segments.language.leaves.micro_segments import MicroLeaf
from segments.language.leaves.rows import RECEIPTS, RowLeaf
from segments.language.leaves.sequences import SequenceLeaf
from vocabulary.contact_rules import lake_place
from vocabulary.relations import OWNERS, account_owners_sql


@dataclass(frozen=True)
class LeafParts:
    """WITH parts with one row per OneID, joins to ``t``, and the answer of every leaf by its column.

    The parts expect ``persons`` (one_id, source, source_key) and, where ``needs_receipts``, ``answers``.
    """

    parts: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    answers: Mapping[str, LeafSql] = field(default_factory=dict)
    columns_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The columns that rest on each table of the lake."""
    needs_receipts: bool = False


def leaf_parts(leaves: Iterable[Leaf], business_date: date) -> LeafParts:
    """Give what the leaves over rows, sequences, dates, micro-segments and expressions add; other leaves are left out.

    Every table is read once for all leaves over its rows.
    """
    by_column = {leaf.column: leaf for leaf in leaves}
    place = lake_place(business_date)
    rows = {c: leaf for c, leaf in by_column.items() if isinstance(leaf, RowLeaf)}
    dates = {c: leaf for c, leaf in by_column.items() if isinstance(leaf, DateLeaf)}
    parts: dict[str, str] = {}
    answers: dict[str, LeafSql] = {}
    tables: dict[str, set[str]] = {}
    needs_owners = False
    for part in row_leaf_sql(rows, dates, business_date):
        parts[part.name] = part.sql
        needs_owners |= part.needs_owners
        answers |= part.answers
        for table in part.tables:
            tables.setdefault(table, set()).update(part.columns)
    for column, date_leaf in dates.items():
        answers[column] = date_leaf_sql(column, date_leaf, business_date)
    sequences = {c: leaf for c, leaf in by_column.items() if isinstance(leaf, SequenceLeaf)}
    helpers: dict[str, str] = {}
    if sequences:
        sequence = sequence_leaf_sql(sequences, business_date)
        helpers, last_parts = sequence.helpers, sequence.parts
        parts |= last_parts
        answers |= sequence.answers
        tables.setdefault("trusted.events", set()).update(sequences)
    micro_leaves = {c: leaf for c, leaf in by_column.items() if isinstance(leaf, MicroLeaf)}
    if micro_leaves:
        part = micro_leaf_sql(micro_leaves, business_date)
        parts[part.name] = part.sql
        answers |= part.answers
        for table in part.tables:
            tables.setdefault(table, set()).update(part.columns)
    for column, leaf in by_column.items():
        if isinstance(leaf, ExpressionLeaf):
            answers[column] = LeafSql(leaf.sql(business_date, "t"), leaf.sql(business_date, "t"))
    owners = {OWNERS: account_owners_sql(place)} if needs_owners else {}
    return LeafParts(
        tuple(f"{name} AS (\n  {sql})" for name, sql in {**owners, **helpers, **parts}.items()),
        tuple(f"LEFT JOIN {name} ON {name}.one_id = t.one_id" for name in parts),
        answers,
        {table: tuple(sorted(columns)) for table, columns in sorted(tables.items())},
        any(leaf.table == RECEIPTS for leaf in rows.values()),
    )
