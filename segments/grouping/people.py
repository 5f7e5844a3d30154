"""Whom a set of micro-segments compares: the people of its base who have not refused profiling and have the values it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.errors import StepFailed
from lakehouse.query.words import literal
from segments.choosing.compile import TAG_TABLE, LeafTable, Leaves, compile_leaves, value_column
from segments.choosing.decide import answer_columns
from segments.choosing.inputs import read_lists
from segments.choosing.leaf_tables import duckdb_sql
from segments.grouping.declaration import MicroSet
from segments.grouping.scaling import MOST_VALUE
from segments.language.conditions import logic_sql
from segments.language.lists import StaticList
from vocabulary.contact_rules import lake_place, profiling_refusals_sql

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.query.reader import TableReader

# Centres are computed from at most so many people; the others are compared with them.
FIT_PEOPLE = 200_000
# So many people are assigned at once.
_BATCH = 500_000
_REFUSAL_TABLES = (
    "identity.memberships", "identity.redirects",
    "identity.inheritances", "trusted.consents", "trusted.receipts", "segments.recipients",
    "segments.deliveries",
)  # fmt: skip
LeafMaker = Callable[[LeafTable, dict[str, StaticList]], Leaves]


@dataclass(frozen=True)
class MicroPeople:
    """The people of a set on a night, and how many of its base are not among them."""

    desk: Desk
    code: str
    rows: Relation
    """one_id and, as ``value_<tag>``, a number or null per tag; one row a person."""
    base_count: int
    refused_count: int
    unvalued_count: int

    @property
    def count(self) -> int:
        """How many people can be assigned."""
        return self.base_count - self.refused_count - self.unvalued_count

    def sample(self, codes: Sequence[str], most: int = FIT_PEOPLE) -> list[NDArray[np.float64]]:
        """Give the values of tags of at most so many people: those first by a salted hash, which lasts from night to night."""
        salt = literal(f"micro:{self.code}|")
        rows = self.desk.arrow(
            f"SELECT {_columns(codes)} FROM {self.rows}\n"
            f"ORDER BY sha256(concat({salt}, cast(one_id AS varchar))), one_id LIMIT {most}"
        )
        return _values(rows, codes)

    def batches(self, codes: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], list[NDArray[np.float64]]]]:
        """Give OneIDs and values of tags of everybody, in batches and in no order."""
        reader = self.desk.reader(f"SELECT one_id, {_columns(codes)} FROM {self.rows}", _BATCH)
        for batch in reader:
            yield batch.column(0).to_numpy(), _values(batch, codes)


def find_people(
    reader: TableReader, desk: Desk, sets: Sequence[MicroSet], business_date: date, make_leaves: LeafMaker
) -> dict[str, MicroPeople]:
    """Give the people of every set by its code, from the tags of a night or a publication.

    The tables are read once for all sets. A tag that was never built raises ``StepFailed``.
    """
    _refuse_missing_tags(reader, sets)
    leaves = {leaf.column: leaf for one in sets for leaf, _ in one.base_leaves}
    tags = sorted({tag for one in sets for tag in one.codes})
    title = ", ".join(one.code for one in sets)
    workspace: Path = reader.settings.workspace
    lists = read_lists(workspace, [one.segment for one in sets])
    table = compile_leaves(leaves, tags, None, business_date, f"micro-segments {title}")
    rows = make_leaves(table, lists).rows
    refusal_sql = profiling_refusals_sql(lake_place(business_date))
    refusals = desk.keep("profiling refusals", duckdb_sql(reader, desk, refusal_sql, _REFUSAL_TABLES, {}))
    kinds = desk.define("kinds of people", contracted_sql(reader, desk, "identity.one_ids"))
    return {one.code: _people_of(desk, one, rows, refusals, kinds) for one in sets}


def _people_of(desk: Desk, one: MicroSet, rows: Relation, refusals: Relation, kinds: Relation) -> MicroPeople:
    base = logic_sql(one.base, answer_columns({})) if one.base is not None else "true"
    names = {tag: f"l.{value_column(tag)}::DOUBLE" for tag in one.codes}
    values = [
        f"CASE WHEN {_is_number(sql)} THEN {sql} END AS {value_column(tag)}" for tag, sql in names.items()
    ]
    needs = [_is_number(names[micro.tag]) for micro in one.spec.tags if micro.nulls == "leave_out"]
    everybody = desk.keep(
        "people of a base",
        f"SELECT one_id, one_id IN (SELECT one_id FROM {refusals}) AS is_refuser,\n"
        f"  {' AND '.join(needs) or 'true'} AS is_valued, {', '.join(values)}\n"
        f"FROM (SELECT *, coalesce({base}, false) AS is_of_base FROM {rows}) l\n"
        f"WHERE is_of_base AND one_id IN (SELECT one_id FROM {kinds} WHERE kind = {literal(one.spec.entity)})",
    )
    ((base_count, refused_count, unvalued_count),) = desk.rows(
        "SELECT count(*), count(CASE WHEN is_refuser THEN 1 END),\n"
        f"  count(CASE WHEN NOT is_refuser AND NOT is_valued THEN 1 END) FROM {everybody}"
    )
    rows_of_set = desk.keep(
        "people to compare",
        f"SELECT * EXCLUDE (is_refuser, is_valued) FROM {everybody} WHERE is_valued AND NOT is_refuser",
    )
    desk.drop(everybody)
    return MicroPeople(desk, one.code, rows_of_set, base_count, refused_count, unvalued_count)


def _is_number(sql: str) -> str:
    """Give the SQL of being a number that says something; a comparison with null, or of NaN with less, is not."""
    return f"coalesce(abs({sql}) <= {MOST_VALUE:.0f}, false)"


def _columns(codes: Sequence[str]) -> str:
    return ", ".join(value_column(tag) for tag in codes)


def _values(rows: pa.Table | pa.RecordBatch, codes: Sequence[str]) -> list[NDArray[np.float64]]:
    import pyarrow as pa

    table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    return [table[value_column(tag)].to_numpy().astype(np.float64, copy=False) for tag in codes]


def _refuse_missing_tags(reader: TableReader, sets: Sequence[MicroSet]) -> None:
    present = {field.name for field in reader.delta(TAG_TABLE).schema().fields}
    for one in sets:
        uses = [(micro.tag, one.line("tags", at)) for at, micro in enumerate(one.spec.tags)]
        uses += [(tag, leaf.line) for leaf, _ in one.base_leaves for tag in leaf.tags]
        for tag, line in uses:
            if tag not in present:
                raise StepFailed(
                    f"tag '{tag}' is not in {TAG_TABLE} yet; build the tags first", file=one.file, line=line
                )
