"""What contact policy decided for one segment, as rows of a night's desk; and whose work the people of a worklist are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lakehouse.query.desk import Desk, Relation
from lakehouse.query.words import literal
from segments.choosing.compile import value_column
from vocabulary.audience import Worklist
from vocabulary.buckets import bucket_duckdb_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from segments.language.spec import Segment

PLACE = "CASE WHEN l.one_id IS NOT NULL THEN 'DROPPED' ELSE c.place END"


@dataclass(frozen=True)
class DecidedContacts:
    """Contacts and losses of one segment; see ``segments.contacting.arbitration.SegmentContacts``."""

    contacts: Relation
    losses: Relation
    windows: Mapping[str, tuple[datetime, datetime]]
    """The send window of each channel that has one this night."""

    def applied_to(self, desk: Desk, candidates: Relation) -> Relation:
        """Give candidates with ``drop_reason``, ``send_from`` and ``send_until``, the channel picked, and the place of losers."""
        begins, ends = (
            " ".join(
                f"WHEN {literal(channel)} THEN {literal(window[edge].isoformat())}"
                for channel, window in sorted(self.windows.items())
            )
            for edge in (0, 1)
        )
        return desk.keep(
            "contacted",
            f"SELECT c.* EXCLUDE (place, channel), {PLACE} AS place, coalesce(k.channel, c.channel) AS channel,\n"
            f"  l.reason AS drop_reason, {_case(begins)} AS send_from, {_case(ends)} AS send_until\n"
            f"FROM {candidates} c LEFT JOIN {self.contacts} k ON k.one_id = c.one_id\n"
            f"LEFT JOIN {self.losses} l ON l.one_id = c.one_id",
        )

    @property
    def decisions_sql(self) -> str:
        """Give SQL of what a run rests on: one_id, channel, contact_on, window and reason of every candidacy."""
        return (
            "SELECT one_id, channel, placement, contact_on, send_from, send_until, NULL::VARCHAR AS reason "
            f"FROM {self.contacts} UNION ALL SELECT one_id, NULL, NULL, NULL, NULL, NULL, reason FROM {self.losses}"
        )


def worklist_of(desk: Desk, segment: Segment, candidates: Relation, groups: pa.Table) -> Worklist:
    """Give what employees are told of the people whom a segment contacts, and in which order they take them.

    ``groups`` has one_id, branch and employee. Who is worth more comes first, then a salted hash decides.
    """
    texts = segment.spec.worklist
    if texts is None:
        raise AssertionError(f"segment {segment.code} has no worklist")
    value = segment.spec.contact.expected_value
    worth = f"{value_column(value)} DESC NULLS LAST, " if value else ""
    chance = bucket_duckdb_sql(f"worklist:{segment.code}", "c.one_id")
    people = desk.lend(f"groups_{segment.code}", groups)
    routes = desk.arrow(
        "SELECT c.one_id, g.branch, g.employee, row_number() OVER (PARTITION BY coalesce('e' || g.employee, 'b' || g.branch)\n"
        f"  ORDER BY {worth}{chance}, c.one_id) AS position\n"
        f"FROM {candidates} c LEFT JOIN {people} g ON g.one_id = c.one_id WHERE c.place = 'TREATED' ORDER BY c.one_id"
    )
    return Worklist(
        texts.reason.model_dump(), texts.talking_points.model_dump(), segment.spec.contact.priority, routes
    )


def _case(branches: str) -> str:
    return f"CASE k.channel {branches} END" if branches else "NULL::VARCHAR"
