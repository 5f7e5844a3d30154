"""The leaf table of a preview from an index: rows of those who may be chosen alone, and counts of everybody by their bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lakehouse.query.words import spark_literal
from segments.choosing.compile import Leaves, rank_leaves, tag_leaf_sql, value_column, value_tags
from segments.choosing.leaf_tables import translated_sql
from segments.choosing.suppression import fact_columns, uses_of
from segments.indexing.bits import AnswerBits, bits_at, decide_all, everybody, nobody, positions_of, with_bits
from segments.indexing.coding import NULL
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
from segments.indexing.files import PeopleIndex, open_index
from segments.language.conditions import Leaf, Node, SegmentLeaf, TagLeaf
from segments.language.leaves.people import RankLeaf, SampleLeaf
from segments.language.segment_leaves import read_leaves

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa
    from numpy.typing import NDArray

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.query.published import Published
    from lakehouse.query.reader import TableReader
    from segments.indexing.bits import Words
    from segments.language.checks.findings import Site
    from segments.language.lists import StaticList
    from segments.language.spec import Segment

VALUES = "tag_values"
# Beside the values of a tag; no tag has such a name.
NUMBER = "value__number"


def indexed_people(
    published: Published, site: Site, segments: Sequence[Segment], lists: Mapping[str, StaticList]
) -> IndexedPeople | None:
    """Give the answers of everybody to what these segments ask, None where no index holds all of it.

    One that is not whole, or of another publication, raises ``StepFailed``; every column that is asked for is read here.
    """
    index = open_index(published.settings, published.publication)
    if index is None:
        return None
    people = IndexedPeople(published, segments, index, lists)
    if not (people.names() <= index.entries.keys()):
        return None
    if index.facts != facts_meaning(index.uses, site.policy, people.day):
        return None
    index.read(people.names())
    return people


class IndexedPeople:
    """AnswerBits of everybody to the leaves of some segments, from an index that holds all they ask; see ``indexed_people``."""

    def __init__(
        self,
        published: Published,
        segments: Sequence[Segment],
        index: PeopleIndex,
        lists: Mapping[str, StaticList],
    ) -> None:
        self.published, self.segments, self.index, self.lists = published, segments, index, lists
        self.day = published.publication.business_date
        self._answers: dict[str, AnswerBits] = {}
        self._members: dict[str, tuple[Relation, Words]] = {}
        self.positions: NDArray[np.int64] = np.empty(0, np.int64)

    # -- what the index holds ------------------------------------------------------------------------------

    def names(self) -> set[str]:
        """Give the names of all columns that the segments ask for; a rank that no index can hold has an empty one."""
        names = {ONE_ID, BRANCH, EMPLOYEE}
        names |= {fact_name(column) for column in fact_columns(uses_of(self.segments))}
        for segment in self.segments:
            names |= {tag_name(tag) for tag in value_tags(segment)}
            names |= {
                name for leaf in read_leaves(segment) if (name := self._name(leaf, segment)) is not None
            }
        return names

    def _name(self, leaf: Leaf, segment: Segment) -> str | None:
        """Give the name of the column by which a leaf is answered; None of a leaf that names another segment."""
        if isinstance(leaf, SegmentLeaf):
            return None
        if isinstance(leaf, RankLeaf):
            return rank_name(leaf, segment, self.day, self.lists) or ""
        if isinstance(leaf, TagLeaf) and asks_one_value(leaf):
            return tag_name(leaf.tag)
        return leaf_name(leaf, self.day, self.lists)

    # -- answers -------------------------------------------------------------------------------------------

    def count(
        self, segment: Segment, nodes: Iterable[Node], members: Mapping[str, Relation]
    ) -> list[tuple[int, int]]:
        """Give for each condition of a segment how many people meet it, and of how many that is unknown."""
        self.index.read({name for leaf in read_leaves(segment) if (name := self._name(leaf, segment))})
        return [self._decide(segment, node, members).counts() for node in nodes]

    def _decide(self, segment: Segment, node: Node, members: Mapping[str, Relation]) -> AnswerBits:
        def answers_of(leaf: Leaf) -> AnswerBits:
            if isinstance(leaf, SegmentLeaf):
                return self._of_segment(leaf.segment, members)
            return self._of_leaf(leaf, segment)

        return decide_all(node, answers_of, self.index.people)

    def _of_segment(self, code: str, members: Mapping[str, Relation]) -> AnswerBits:
        people = self.index.people
        if code not in members:
            return AnswerBits(nobody(people), nobody(people), people)
        relation = members[code]
        if code not in self._members or self._members[code][0] is not relation:
            one_ids = self.published.arrow(f"SELECT one_id FROM {relation}")["one_id"].to_numpy()
            self._members[code] = (relation, with_bits(self._rows_of(one_ids)[1], people))
        yes = self._members[code][1]
        return AnswerBits(yes, ~yes & everybody(people), people)

    def _of_leaf(self, leaf: Leaf, segment: Segment) -> AnswerBits:
        name = self._name(leaf, segment)
        assert name is not None
        key = leaf.column if asks_one_value(leaf) else name
        if key not in self._answers:
            if isinstance(leaf, TagLeaf) and asks_one_value(leaf):
                self._ask_values(leaf.tag)
            else:
                self._answers[key] = self._of_column(name)
        return self._answers[key]

    def _of_column(self, name: str) -> AnswerBits:
        """Give the answers that stand in a column of yes, no and no value."""
        column = self.index.column(name)
        flags = np.concatenate([[False], np.array(column.values.to_pylist(), dtype=np.bool_)])
        return AnswerBits(
            column.people_with(flags), column.people_with(~flags & _has_value(len(flags))), self.index.people
        )

    def _ask_values(self, tag: str) -> None:
        """Answer every leaf about a tag's value: by the SQL of the leaf table, once for each different value."""
        import pyarrow as pa

        every = {leaf.column: leaf for segment in self.segments for leaf in read_leaves(segment)
                 if isinstance(leaf, TagLeaf) and leaf.tag == tag and asks_one_value(leaf)}  # fmt: skip
        column = self.index.column(tag_name(tag))
        values = pa.concat_arrays([pa.nulls(1, column.values.type), column.values])
        rows = pa.table({NUMBER: pa.array(range(len(values)), pa.int64()), tag: values})
        lent = self.published.lend(VALUES, rows)
        today = spark_literal(self.day)
        answers = ", ".join(f"{tag_leaf_sql(leaf, today)} AS {name}" for name, leaf in every.items())
        sql = translated_sql(f"SELECT {answers} FROM {VALUES} t ORDER BY t.{NUMBER}", {VALUES: lent})
        table = self.published.arrow(sql)
        for name in every:
            yes = table[name].fill_null(False).to_numpy()
            no = ~table[name].fill_null(True).to_numpy()
            self._answers[name] = AnswerBits(
                column.people_with(yes), column.people_with(no), self.index.people
            )

    # -- rows ----------------------------------------------------------------------------------------------

    def rows(self, entity_people: Mapping[str, Relation]) -> Leaves:
        """Give the leaf table of those whom some segment may choose; ``entity_people`` are those of companies or households."""
        people_bits = nobody(self.index.people)
        for segment in self.segments:
            people_bits |= self._maybe_chosen(segment, entity_people)
        self.positions = positions_of(people_bits)
        return Leaves(self.published.take("leaf_table", self._table()), {})

    def with_ranks(self, segment: Segment, leaves: Relation) -> Relation:
        """Give the rows of ``rows`` with the answers to a segment's own ranks."""
        import pyarrow as pa

        ranks = {leaf.column: self._name(leaf, segment) for leaf in rank_leaves(segment)}
        if not ranks:
            return leaves
        columns = {c: self.index.column(name or "").values_at(self.positions) for c, name in ranks.items()}
        lent = self.published.lend("ranks", pa.table({"one_id": self._one_ids, **columns}))
        return self.published.keep("ranked", f"SELECT * FROM {leaves} JOIN {lent} USING (one_id)")

    def groups(self, reader: TableReader, desk: Desk, business_date: date, people: Relation) -> pa.Table:
        """Give branch and employee of some people, as ``contact_history.branches_and_employees``."""
        import pyarrow as pa

        one_ids = desk.arrow(f"SELECT one_id FROM {people}")["one_id"].to_numpy()
        one_ids_here, positions = self._rows_of(one_ids)
        return pa.table({
            "one_id": one_ids_here,
            "branch": self.index.column(BRANCH).values_at(positions).cast(pa.string()),
            "employee": self.index.column(EMPLOYEE).values_at(positions).cast(pa.string()),
        })  # fmt: skip

    def _maybe_chosen(self, segment: Segment, entity_people: Mapping[str, Relation]) -> Words:
        people = self.index.people
        if segment.is_collective:
            relation = entity_people[segment.spec.entity]
            one_ids = self.published.arrow(f"SELECT DISTINCT one_id FROM {relation}")["one_id"].to_numpy()
            everyone = self._one_ids_at(np.arange(people, dtype=np.int64))
            return with_bits(_places(everyone, one_ids)[0], people)
        answers = self._decide(segment, segment.rule, {})
        names_others = any(isinstance(leaf, SegmentLeaf) for leaf in read_leaves(segment))
        if names_others or segment.unknown == "include":
            return ~answers.no & everybody(people)
        return answers.yes

    def _table(self) -> pa.Table:
        import pyarrow as pa

        columns: dict[str, pa.Array] = {"one_id": pa.array(self._one_ids)}
        for column in fact_columns(uses_of(self.segments)):
            columns[column] = self.index.column(fact_name(column)).values_at(self.positions)
        for segment in self.segments:
            for leaf in read_leaves(segment):
                if not isinstance(leaf, SegmentLeaf | SampleLeaf | RankLeaf) and leaf.column not in columns:
                    columns[leaf.column] = self._at(self._of_leaf(leaf, segment))
            for tag in value_tags(segment):
                columns[value_column(tag)] = self.index.column(tag_name(tag)).values_at(self.positions)
        return pa.table(columns)

    def _at(self, answers: AnswerBits) -> pa.Array:
        import pyarrow as pa

        yes, no = bits_at(answers.yes, self.positions), bits_at(answers.no, self.positions)
        return pa.array(yes == 1, mask=(yes | no) == 0)

    @cached_property
    def _one_ids(self) -> NDArray[np.int64]:
        """The OneIDs of the rows, ascending."""
        return self._one_ids_at(self.positions)

    def _one_ids_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        gaps = self.index.column(ONE_ID).numbers_at(positions)
        return self.index.first_one_id + positions + gaps

    def _rows_of(self, one_ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give those of some people who have a row, and their places in the index."""
        rows, is_known = _places(self._one_ids, one_ids)
        return one_ids[is_known], self.positions[rows]


def _places(
    sorted_ids: NDArray[np.int64], one_ids: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give the places of those who are among the sorted, and who they are."""
    if not len(sorted_ids):
        return np.empty(0, np.int64), np.zeros(len(one_ids), np.bool_)
    at = np.minimum(np.searchsorted(sorted_ids, one_ids), len(sorted_ids) - 1)
    is_known = sorted_ids[at] == one_ids
    return at[is_known], is_known


def _has_value(numbers: int) -> NDArray[np.bool_]:
    return np.arange(numbers) != NULL
