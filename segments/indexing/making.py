"""Makes the index of a publication, column by column: tags as they are published, facts and leaves by the queries of the night."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.errors import StepFailed
from lakehouse.query.words import identifier
from segments.choosing.compile import TAG_TABLE, compile_leaf_table, compile_leaves, rank_leaves
from segments.choosing.contact_history import branches_and_employees
from segments.choosing.decide import answer_columns
from segments.choosing.inputs import read_lists
from segments.choosing.leaf_tables import leaves_by_duckdb
from segments.choosing.leaves.ranks import hash_duckdb_sql, rank_sql
from segments.choosing.suppression import Use, fact_columns, facts_of_uses, uses_of
from segments.indexing.coding import CodedColumn, column_of_numbers, slices_of
from segments.indexing.contents import (
    BRANCH,
    EMPLOYEE,
    ONE_ID,
    asks_one_value,
    fact_name,
    facts_meaning,
    leaf_name,
    rank_name,
    tag_name,
)
from segments.indexing.files import IndexWriter
from segments.language.conditions import Leaf, SegmentLeaf
from segments.language.leaves.people import RankLeaf, SampleLeaf
from segments.language.segment_leaves import read_leaves
from vocabulary.policy import CHANNELS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from lakehouse.query.published import Published
    from segments.language.checks.findings import Site
    from segments.language.lists import StaticList
    from segments.language.spec import Segment

# So many columns of everybody are in memory at once, and no more values than this.
_TOGETHER = 8
_VALUES_TOGETHER = 80_000_000


@dataclass(frozen=True)
class IndexSize:
    """How large an index is: business date, people, columns and bytes."""

    business_date: date
    people: int
    columns: int
    bytes: int


def make_index(published: Published, site: Site, segments: Sequence[Segment]) -> IndexSize:
    """Make the index of a publication for these segments and for whatever else may be asked about its tags."""
    with IndexWriter(published.settings, published.publication) as writer:
        maker = _Maker(published, site, segments, writer)
        return maker.make()


class _Maker:
    def __init__(
        self, published: Published, site: Site, segments: Sequence[Segment], writer: IndexWriter
    ) -> None:
        self.published, self.site, self.segments, self.writer = published, site, segments, writer
        self.day = published.publication.business_date
        self.lists: dict[str, StaticList] = read_lists(site.workspace, segments)
        rows = published.arrow(f"SELECT one_id FROM {TAG_TABLE} ORDER BY one_id")["one_id"]
        self.one_ids: NDArray[np.int64] = rows.to_numpy()
        if len(self.one_ids) and (rows.null_count or (np.diff(self.one_ids) <= 0).any()):
            raise StepFailed(
                f"{TAG_TABLE} has two rows of one person, or one of nobody; check it with `cdp fsck`"
            )

    def make(self) -> IndexSize:
        people = len(self.one_ids)
        first = int(self.one_ids[0]) if people else 0
        gaps = self.one_ids - np.arange(first, first + people)
        self.writer.add(ONE_ID, column_of_numbers(gaps, _no_values()))
        self._add_tags()
        uses = self._uses()
        self._add_facts_and_leaves(uses)
        for segment in self.segments:
            self._add_ranks(segment)
        self._add_groups()
        facts = facts_meaning(uses, self.site.policy, self.day)
        self.writer.finish(people=people, first_one_id=first, facts=facts, uses=uses)
        return IndexSize(self.day, people, len(self.writer.entries), self.writer.bytes)

    def _uses(self) -> list[Use]:
        """Give the uses of all segments, and those on other channels, which a draft may ask for."""
        uses = uses_of(self.segments)
        others = product({use[0] for use in uses}, CHANNELS, {use[2] for use in uses})
        return sorted({*uses, *others})

    def _add_tags(self) -> None:
        delta = self.published.delta(TAG_TABLE)
        tags = [field.name for field in delta.schema().fields if field.name != "one_id"]
        rows = self.published.define(
            "tags to index", contracted_sql(self.published, self.published, TAG_TABLE)
        )
        names = {tag: tag_name(tag) for tag in tags if tag in rows.columns}
        self._add(f"{rows}", names)

    def _add_facts_and_leaves(self, uses: Sequence[Use]) -> None:
        every = {leaf.column: leaf for segment in self.segments for leaf in read_leaves(segment)}
        other = {column: leaf for column, leaf in every.items() if self._is_asked_of_tables(leaf)}
        facts = facts_of_uses(uses, policy=self.site.policy, business_date=self.day)
        table = compile_leaves(other, (), facts, self.day, "an index")
        rows = leaves_by_duckdb(self.published, self.published, table, self.lists, self.day).rows
        names = {column: fact_name(column) for column in fact_columns(uses)}
        names |= {column: leaf_name(leaf, self.day, self.lists) for column, leaf in other.items()}
        self._add(str(rows), names)
        samples = {c: leaf for c, leaf in every.items() if isinstance(leaf, SampleLeaf)}
        if samples:
            write = answer_columns({})
            answers = ", ".join(f"{write(leaf)} AS {column}" for column, leaf in samples.items())
            names = {column: leaf_name(leaf, self.day, self.lists) for column, leaf in samples.items()}
            self._add(f"(SELECT one_id, {answers} FROM {rows})", names)
        self.published.drop(rows)

    @staticmethod
    def _is_asked_of_tables(leaf: Leaf) -> bool:
        return not (asks_one_value(leaf) or isinstance(leaf, SegmentLeaf | SampleLeaf | RankLeaf))

    def _add_ranks(self, segment: Segment) -> None:
        ranks = {leaf.column: leaf for leaf in rank_leaves(segment)}
        names = {column: rank_name(leaf, segment, self.day, self.lists) for column, leaf in ranks.items()}
        possible = {
            c: name for c, name in names.items() if name is not None and name not in self.writer.entries
        }
        if not possible:
            return
        table = compile_leaf_table([segment], business_date=self.day, policy=None)
        rows = leaves_by_duckdb(self.published, self.published, table, self.lists, self.day).rows
        leaves = [ranks[column] for column in possible]
        sql = rank_sql(leaves, segment.ranked_group, str(rows), answer_columns({}), hash_duckdb_sql)
        self._add(sql, possible)
        self.published.drop(rows)

    def _add_groups(self) -> None:
        people = self.published.define("all people", f"SELECT one_id FROM {TAG_TABLE}")
        groups = branches_and_employees(self.published, self.published, self.day, people)
        lent = self.published.lend("groups", groups)
        whole = f"(SELECT t.one_id, g.branch, g.employee FROM {TAG_TABLE} t LEFT JOIN {lent} g ON g.one_id = t.one_id)"
        self._add(whole, {"branch": BRANCH, "employee": EMPLOYEE})

    def _add(self, rows: str, names: dict[str, str]) -> None:
        """Write columns of rows that have one for each person, in any order."""
        import pyarrow as pa

        every = sorted(names)
        together = max(1, min(_TOGETHER, _VALUES_TOGETHER // max(len(self.one_ids), 1)))
        for begin in range(0, len(every), together):
            columns = every[begin : begin + together]
            for column, values in self._in_order(rows, columns):
                is_nested = pa.types.is_nested(values.type)
                coding = self._coded_lists(rows, column) if is_nested else slices_of(values)
                self.writer.add(names[column], coding)

    def _coded_lists(self, rows: str, column: str) -> CodedColumn:
        """Give a column of lists as slices: Arrow cannot tell which lists are equal, DuckDB can."""
        name = identifier(column)
        lists = self.published.keep(
            "different lists",
            f"SELECT row_number() OVER (ORDER BY {name}) AS number, {name} FROM\n"
            f"(SELECT DISTINCT {name} FROM {rows} WHERE {name} IS NOT NULL)",
        )
        numbers = self.published.arrow(
            f"SELECT coalesce(l.number, 0) AS number FROM {rows} r LEFT JOIN {lists} l ON l.{name} = r.{name} ORDER BY r.one_id"
        )
        values = self.published.arrow(f"SELECT {name} FROM {lists} ORDER BY number")[column]
        self.published.drop(lists)
        return column_of_numbers(numbers["number"].to_numpy(), values.combine_chunks())

    def _in_order(self, rows: str, columns: Sequence[str]) -> Iterator[tuple[str, pa.ChunkedArray]]:
        """Give columns in the order of the index."""
        listing = ", ".join(identifier(column) for column in columns)
        table = self.published.arrow(f"SELECT one_id, {listing} FROM {rows}")
        one_ids = table["one_id"].to_numpy()
        order = np.argsort(one_ids, kind="stable") if (np.diff(one_ids) < 0).any() else None
        if not np.array_equal(one_ids if order is None else one_ids[order], self.one_ids):
            raise StepFailed(
                f"a column of the index ({', '.join(columns)}) does not cover everybody in {TAG_TABLE}"
            )
        for column in columns:
            values = table[column]
            yield column, values if order is None else values.take(order)


def _no_values() -> pa.Array:
    import pyarrow as pa

    return pa.array([], pa.int64())
