"""What a publication's own night published: its runs and whom it contacts. And how much those audiences share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.query.words import literal

if TYPE_CHECKING:
    from lakehouse.query.desk import Relation
    from lakehouse.query.published import Published

# Members who are contacted: in no control group and in one arm only.
_CONTACTED = "holdout = 'NONE' AND variant IS DISTINCT FROM 'CONTAMINATED'"


@dataclass(frozen=True)
class LiveRun:
    """Version and definition of a segment's run."""

    version: str
    definition_hash: str


@dataclass(frozen=True)
class SharedPeople:
    """How many people two audiences have, and how many are in both."""

    segment: str
    other: str
    people: int
    other_people: int
    shared: int


def live_runs(published: Published) -> dict[str, LiveRun]:
    """Give every run of the publication's own date, by code."""
    day = literal(published.publication.business_date)
    rows = published.rows(f"SELECT code, version, definition_hash FROM segments.runs WHERE as_of = {day}")
    return {code: LiveRun(version, definition_hash) for code, version, definition_hash in rows}


def live_audiences(published: Published) -> Relation:
    """Give code and one_id of everybody whom the runs of the publication's own date contact."""
    day = literal(published.publication.business_date)
    losses = contracted_sql(published, published, "segments.contact_losses")
    return published.define(
        "live",
        f"SELECT code, one_id FROM segments.members WHERE as_of = {day} AND {_CONTACTED}\n"
        f"EXCEPT SELECT code, one_id FROM ({losses}) WHERE as_of = {day}",
    )


def shared_people(published: Published) -> list[SharedPeople]:
    """Give what every two audiences of the publication's own date share, each pair in both orders and with itself."""
    live = live_audiences(published)
    codes = sorted(live_runs(published))
    sizes = dict(published.rows(f"SELECT code, count(*) FROM {live} GROUP BY code"))
    shared = {
        (code, other): people
        for code, other, people in published.rows(
            f"SELECT a.code, b.code, count(*) FROM {live} a JOIN {live} b USING (one_id) GROUP BY ALL"
        )
    }
    return [
        SharedPeople(code, other, sizes.get(code, 0), sizes.get(other, 0), shared.get((code, other), 0))
        for code in codes
        for other in codes
    ]
