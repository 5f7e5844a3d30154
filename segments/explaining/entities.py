"""The companies or households a person belongs to, as a segment of them answers: decided again on a publication, by the night's functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.query.words import literal
from segments.explaining.snapshot import named_by, read_snapshot, refuse_faults
from segments.language.segment_leaves import entity_leaves

if TYPE_CHECKING:
    from lakehouse.query.published import Published
    from segments.language.catalogue import Catalogue
    from segments.language.conditions import Answer, Leaf
    from segments.language.spec import Segment


@dataclass(frozen=True)
class EntityAnswers:
    """What one company or household answers: each leaf by its column, with what it rests on."""

    key: str
    people: int
    """How many of its people count."""
    answers: Mapping[str, Answer]
    evidence: Mapping[str, str]
    addressee: int | None
    """Through whom it is contacted, None where the rule does not choose it or nobody may be addressed."""

    def answer(self, leaf: Leaf) -> Answer:
        """Give the answer of a leaf about it."""
        return self.answers[leaf.column]

    def look_up(self, leaf: Leaf) -> tuple[Answer, str]:
        """Give the answer of a leaf about it and what that rests on."""
        return self.answers[leaf.column], self.evidence[leaf.column]


def entities_of(
    published: Published, catalogue: Catalogue, segment: Segment, one_id: int
) -> list[EntityAnswers]:
    """Give what every company or household of a person answers to a segment, in the order of their keys."""
    scope = named_by([segment], catalogue)
    refuse_faults(catalogue, scope)
    places = read_snapshot(published, catalogue.site, scope).place_all(scope)[segment.code]
    columns = [leaf.column for leaf in entity_leaves(segment)]
    rows = published.records(
        f"SELECT a.*, d.one_id AS addressee FROM {places.answers} a LEFT JOIN {places.addressees} d USING (entity_key)\n"
        f"WHERE entity_key IN (SELECT entity_key FROM {places.belonging} WHERE one_id = {literal(one_id)}) ORDER BY entity_key"
    )
    return [
        EntityAnswers(
            row["entity_key"],
            row["people"],
            {column: row[column] for column in columns},
            {column: _evidence(row[f"{column}_evidence"], row["people"]) for column in columns},
            row["addressee"],
        )
        for row in rows
    ]


def _evidence(value: str | None, people: int) -> str:
    return f"{'unknown' if value is None else value}, of {people} people who count"
