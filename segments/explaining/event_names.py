"""The names of events that segments ask for, held against those that there are: a name that nobody sends counts 0 for everybody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from lakehouse.query.desk import open_newest
from segments.language.catalogue import read_catalogue
from segments.language.complaints import unknown_event
from segments.language.conditions import EventLeaf
from segments.language.leaves.rows import RowLeaf
from segments.language.leaves.sequences import SequenceLeaf
from segments.language.segment_leaves import all_leaves
from segments.language.spec import Segment

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk
    from lakehouse.query.published import Published
    from lakehouse.tables.lake import Lake
    from segments.language.catalogue import Catalogue
    from segments.language.checks.findings import Surroundings

EVENTS = "trusted.events"


def named_events(segment: Segment) -> list[str]:
    """Give the names of events that the rule of a segment asks for, each once."""
    return sorted({name for leaf in all_leaves(segment) for name in _names(leaf)})


def _names(leaf: object) -> Iterable[str]:
    if isinstance(leaf, EventLeaf | SequenceLeaf):
        return leaf.names
    if isinstance(leaf, RowLeaf) and leaf.word == "event":
        return next(match.tests[0].operand for match in leaf.matches if match.column == "event_name")  # type: ignore[no-any-return]
    return ()


def doubted_by(desk: Desk, segments: Iterable[Segment]) -> frozenset[str] | None:
    """Give the names of all events where segments ask for one that is not among them; None where they do not, or there are no events."""
    names = sorted({name for segment in segments for name in named_events(segment)})
    # A name that is there ends its search with the first row; all are read only to say which one may be meant.
    if all(desk.rows(f"SELECT 1 FROM {EVENTS} WHERE event_name = ? LIMIT 1", [name]) for name in names):
        return None
    return frozenset(name for (name,) in desk.rows(f"SELECT DISTINCT event_name FROM {EVENTS}")) or None


def with_event_names(published: Published, catalogue: Catalogue, segments: Iterable[Segment]) -> Catalogue:
    """Give a catalogue that is checked against the events of a publication as well, as far as these segments ask for them."""
    if EVENTS not in published.publication.tables:
        return catalogue
    return replace(catalogue, site=replace(catalogue.site, event_names=doubted_by(published, segments)))


def event_warnings(lake: Lake, surroundings: Surroundings) -> Iterator[str]:
    """Give a sentence for each segment of the workspace that asks for events which the lake does not hold under that name."""
    segments = read_catalogue(lake.settings, surroundings, known_hashes={}).segments
    if not any(named_events(segment) for segment in segments) or not lake.exists(EVENTS):
        return
    with open_newest(lake.settings) as desk:
        names = doubted_by(desk, segments)
    if names is None:
        return
    for segment in segments:
        unknown = [name for name in named_events(segment) if name not in names]
        if unknown:
            yield f"segment {segment.code}: {'; '.join(unknown_event(name, names) for name in unknown)}"
