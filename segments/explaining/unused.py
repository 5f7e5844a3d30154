"""Segments whose audiences reach nobody: delivered nowhere, or for a long time not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from lakehouse.query.published import open_publication
from segments.language.segment_leaves import nested_segments
from segments.language.spec import Segment, read_segments

if TYPE_CHECKING:
    from lakehouse.query.published import Published
    from lakehouse.settings.settings import Settings

# An audience without people is a delivery of nothing.
_RELEASED = "SELECT code, as_of, destination, run_id FROM segments.deliveries WHERE accepted > 0"
# Where audiences are sent on to an endpoint, what was released and never taken has arrived nowhere.
_TAKEN = """
SELECT d.code, d.as_of FROM ({released}) d
WHERE (d.destination, d.code) NOT IN (SELECT (destination, code) FROM segments.transmissions)
   OR (d.destination, d.code, d.run_id) IN (
        SELECT (destination, code, run_id) FROM segments.transmissions WHERE status IN ('SENT', 'PARTIAL'))
"""


@dataclass(frozen=True)
class UnusedSegment:
    """A segment nobody gets the people of, with the business dates that say since when; None is never."""

    segment: Segment
    last_delivered_on: date | None
    first_evaluated_on: date | None
    readers: tuple[str, ...]
    """The segments that ask for its members."""


def unused_segments(settings: Settings, days: int) -> tuple[date, list[UnusedSegment]]:
    """Give the newest published date, and the workspace's segments that were not delivered on it or in the ``days`` before.

    A delivery is one of people that a destination took. Nothing published, and a segment that cannot be read, raise.
    """
    segments = read_segments(settings.workspace)
    with open_publication(settings) as published:
        today = published.publication.business_date
        delivered_on = _dates(published, "segments.deliveries", _deliveries_sql(published), "max")
        evaluated_on = _dates(published, "segments.runs", "SELECT code, as_of FROM segments.runs", "min")
    parents = {segment.code: nested_segments(segment) for segment in segments}
    oldest = today - timedelta(days=days)
    return today, [
        UnusedSegment(
            segment,
            delivered_on.get(segment.code),
            evaluated_on.get(segment.code),
            tuple(sorted(code for code, names in parents.items() if segment.code in names)),
        )
        for segment in segments
        if (last := delivered_on.get(segment.code)) is None or last < oldest
    ]


def _deliveries_sql(published: Published) -> str:
    if not published.exists("segments.transmissions"):
        return _RELEASED
    return _TAKEN.format(released=_RELEASED)


def _dates(published: Published, table: str, sql: str, choice: str) -> dict[str, date]:
    """Give the first or last date of each code; no date where the table was never published."""
    if not published.exists(table):
        return {}
    return dict(published.rows(f"SELECT code, {choice}(as_of) FROM ({sql}) GROUP BY code"))
