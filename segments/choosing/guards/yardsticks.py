"""What guards hold an audience against: the segment's own run before it, and how far tags moved from the nights before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.query.words import literal
from segments.choosing.compile import tag_uses
from segments.choosing.contact_history import RUN_OF_DELIVERY

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk, Relation
    from lakehouse.query.reader import TableReader
    from segments.language.spec import Segment

QUALITY = "quality.tag_quality"
IN_ARMS_SQL = "holdout = 'NONE' AND variant IS DISTINCT FROM 'CONTAMINATED'"


@dataclass(frozen=True)
class EarlierAudience:
    """The audience of a run before; ``people`` is a relation of the desk: one_id, by today's OneIDs."""

    as_of: date
    version: str
    people: Relation


@dataclass(frozen=True)
class Yardsticks:
    """What the guards of one segment compare with; nothing where it has no such guard or nothing was published before."""

    before: EarlierAudience | None = None
    stability: Mapping[str, float] = field(default_factory=dict)
    """The stability index of each tag that the segment reads; tags without a night before have none."""


def read_yardsticks(
    reader: TableReader, desk: Desk, segments: Iterable[Segment], business_date: date, *, until: date
) -> dict[str, Yardsticks]:
    """Give by code what the guards of these segments compare with: runs up to ``until``, tags of the business date."""
    every = [segment for segment in segments if segment.spec.guards.compares]
    indices: dict[str, float] = {}
    if any(segment.spec.guards.tag_psi is not None for segment in every):
        indices = stability_indices(reader, business_date)
    return {
        segment.code: Yardsticks(
            None
            if segment.spec.guards.change_vs_previous is None
            else earlier_audience(reader, desk, segment, until),
            {}
            if segment.spec.guards.tag_psi is None
            else {tag: indices[tag] for tag in tag_uses(segment) if tag in indices},
        )
        for segment in every
    }


def stability_indices(reader: TableReader, business_date: date) -> dict[str, float]:
    """Give the stability index of each tag on a night, as ``quality.tag_quality`` has it; tags that were not measured are left out."""
    if not reader.exists(QUALITY):
        return {}
    if "psi" not in {field.name for field in reader.delta(QUALITY).schema().fields}:
        return {}
    rows = reader.read_arrow(QUALITY, columns=["tag", "psi"], filters=[("as_of", "=", business_date)])
    return {row["tag"]: row["psi"] for row in rows.to_pylist() if row["psi"] is not None}


def earlier_audience(
    reader: TableReader, desk: Desk, segment: Segment, until: date
) -> EarlierAudience | None:
    """Give the newest audience of a segment up to a date that was not recalled; None where there is none.

    A run of another major version chose by another meaning, and one of another stage chose another share by intent: neither is
    compared with. People whom contact policy left out belong to the audience, since caps let people take turns. An audience whose
    members are not kept any more is none.
    """
    tables = {
        name: desk.define(name, contracted_sql(reader, desk, name))
        for name in ("segments.runs", "segments.members", "segments.deliveries", "identity.redirects")
    }
    code, day = literal(segment.code), literal(until)
    runs = desk.rows(
        f"""
        WITH runs AS (SELECT * FROM {tables["segments.runs"]} WHERE code = {code} AND as_of <= {day}),
        deliveries AS (
            SELECT d.destination, d.seq, d.accepted, r.run_id AS own_run_id
            FROM (SELECT *, {RUN_OF_DELIVERY} AS delivered_as FROM {tables["segments.deliveries"]}
                WHERE code = {code} AND as_of <= {day}) d
            LEFT JOIN runs r ON r.run_id = d.delivered_as
        ), chains AS (
            -- A delivery that is no run of its own takes people out of the one before it at that destination.
            SELECT own_run_id, accepted, last_value(own_run_id IGNORE NULLS) OVER (
                PARTITION BY destination ORDER BY seq ROWS UNBOUNDED PRECEDING) AS run_id
            FROM deliveries
        ), recalled AS (
            SELECT DISTINCT run_id FROM chains WHERE own_run_id IS NULL AND accepted = 0 AND run_id IS NOT NULL
        )
        SELECT run_id, as_of, version, counts FROM runs ANTI JOIN recalled USING (run_id)
        WHERE split_part(version, '.', 1) = {literal(str(segment.major))}
            AND coalesce(json_extract_string(params, '$.stage'), 'full') = {literal(segment.spec.rollout.effective_stage)}
        ORDER BY as_of DESC, run_id LIMIT 1
        """
    )
    if not runs:
        return None
    ((run_id, as_of, version, counts),) = runs
    people = desk.keep(
        f"before_{segment.code}",
        f"SELECT DISTINCT coalesce(d.to_one_id, m.one_id) AS one_id FROM {tables['segments.members']} m\n"
        f"LEFT JOIN {tables['identity.redirects']} d ON d.from_one_id = m.one_id\n"
        f"WHERE m.as_of = {literal(as_of)} AND m.code = {code} AND m.run_id = {literal(run_id)} AND {IN_ARMS_SQL}",
    )
    if json.loads(counts)["published"] and not desk.value(f"SELECT count(*) FROM {people}"):
        return None
    return EarlierAudience(as_of, version, people)
