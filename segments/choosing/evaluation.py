"""Evaluating all segments of a night: read once, decide by dependency level, write the tables, give the audiences.

Nothing is visible outside the lake: what becomes of the audiences is the caller's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.ledger.progress import counts_text, show_progress
from lakehouse.query.desk import Desk, Relation, open_alone
from segments.approving.standing import (
    Authority,
    Barrier,
    Standing,
    barriers_of,
    read_authority,
    standings,
)
from segments.choosing.compile import LeafTable, Leaves
from segments.choosing.contact_history import branches_and_employees
from segments.choosing.contact_policy import decide_contacts
from segments.choosing.contacts import worklist_of
from segments.choosing.decide import SegmentDecision, SegmentPlaces, decide_segment, place_segment
from segments.choosing.earlier import EarlierNights
from segments.choosing.guards.yardsticks import read_yardsticks
from segments.choosing.inputs import late_warnings, read_inputs, read_offers, stale_tags
from segments.choosing.leaf_tables import Engine, make_leaf_table
from segments.choosing.tables import (
    assignment_rows,
    contact_rows,
    definition_rows,
    loss_rows,
    member_rows,
    run_rows,
    suppression_rows,
)
from segments.choosing.workers.night import place_by_workers
from segments.language.catalogue import Catalogue, read_catalogue
from segments.language.checks.findings import SpecFinding, Surroundings, refuse_findings
from segments.language.lists import StaticList
from segments.language.nesting import levels_of
from segments.language.offers import offer_faults
from segments.language.spec import Segment
from vocabulary.audience import Audience
from vocabulary.policy import CONSENT_FILE, Policy

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.segments")


@dataclass(frozen=True)
class SegmentsResult:
    """What a night decided: one audience per segment, ordered by code."""

    business_date: date
    audiences: tuple[Audience, ...] = ()
    barriers: tuple[Barrier, ...] = ()
    """Why the other segments have none."""

    def summary(self) -> dict[str, dict[str, int]]:
        """Give ``{code: {candidates, suppressed, published}}``, counted in people."""
        return {
            audience.code: {
                "candidates": audience.counts["candidates"],
                "suppressed": sum(audience.counts["suppressed_by_reason"].values()),
                "published": audience.counts["published"],
            }
            for audience in self.audiences
        }


def check_specs(settings: Settings, surroundings: Surroundings) -> tuple[str, ...]:
    """Read and check every specification of a workspace; the first fault raises ``SettingsInvalid`` with its place.

    Give the names of the destinations that they publish to, sorted.
    """
    catalogue = read_catalogue(settings, surroundings)
    refuse_findings(catalogue.findings())
    return tuple(
        sorted({name for segment in catalogue.segments for name in segment.spec.publish.destinations})
    )


def evaluate(
    lake: Lake,
    business_date: date,
    surroundings: Surroundings,
    *,
    authority: Authority | None = None,
    engine: Engine | None = None,
) -> SegmentsResult:
    """Decide every segment of the workspace for a business date, write ``segments.*`` and give the audiences.

    A segment that lacks approvals, or is on hold, paused or recalled, has no audience and no rows; segments that name it see its
    members all the same. ``authority`` is what was decided about segments, by default all that is recorded now.

    ``engine`` makes the leaf table; by default the size of the lake decides, and both give the same run.

    A faulty specification raises ``SettingsInvalid``; a guard raises ``GateStopped`` before anything is written. The
    same inputs give the same rows and the same runs.
    """
    rows = lake.read_arrow("segments.definitions", columns=["code", "version", "definition_hash"]).to_pylist()
    hashes = {(row["code"], row["version"]): row["definition_hash"] for row in rows}
    catalogue = read_catalogue(lake.settings, surroundings, known_hashes=hashes)
    refuse_findings(catalogue.findings())
    if not catalogue.segments:
        return SegmentsResult(business_date)
    authority = authority or read_authority(lake.settings)
    standing = standings(catalogue.segments, authority, business_date)
    stale = stale_tags(lake, business_date)
    warnings, late = late_warnings(catalogue.segments, stale, surroundings.late_tables, business_date)
    for warning in warnings:
        log.warning("%s", warning)
    standing |= {code: replace(standing[code], barrier=standing[code].barrier or late[code]) for code in late}
    zone, folders = lake.settings.time_zone, [lake.settings.lake]
    with lake.exchange("segments") as folder, open_alone(zone, folders=folders) as desk:
        decisions, earlier = _decide_all(
            lake, desk, catalogue, business_date, standing, surroundings.dry_destinations, engine, folder
        )
        _write_tables(lake, desk, decisions, earlier, business_date)
    barriers = tuple(barriers_of(standing).values())
    tell_barriers(barriers)
    return SegmentsResult(business_date, tuple(decision.audience for decision in decisions), barriers)


def tell_barriers(barriers: Iterable[Barrier]) -> None:
    """Log every segment that is not published, and why."""
    for barrier in barriers:
        log.warning("segment %s is not published: %s", barrier.segment.code, barrier.sentence)


def find_barriers(settings: Settings, surroundings: Surroundings, business_date: date) -> tuple[Barrier, ...]:
    """Give what keeps segments from being published on a date, by what is decided now."""
    catalogue = read_catalogue(settings, surroundings, known_hashes={})
    every = standings(catalogue.segments, read_authority(settings), business_date)
    return tuple(barriers_of(every).values())


def _decide_all(
    lake: Lake,
    desk: Desk,
    catalogue: Catalogue,
    business_date: date,
    standing: Mapping[str, Standing],
    dry_destinations: frozenset[str],
    engine: Engine | None,
    folder: Path,
) -> tuple[list[SegmentDecision], EarlierNights]:
    segments, policy = catalogue.segments, catalogue.site.policy
    _tell_unknown_age(policy, segments)
    _tell_parameters(segments)

    def make_leaves(leaf_table: LeafTable, lists: dict[str, StaticList], _: Mapping[str, Relation]) -> Leaves:
        return make_leaf_table(lake, desk, leaf_table, lists, business_date, folder, engine=engine)

    inputs = read_inputs(lake, desk, segments, catalogue.site, business_date, make_leaves)
    by_workers = place_by_workers(lake, desk, segments, inputs, policy)
    members: dict[str, Relation] = {}
    every: list[SegmentPlaces] = []
    for level in levels_of(segments):
        for segment in level:
            places = by_workers.places.get(segment.code) or place_segment(
                desk,
                segment,
                policy=policy,
                leaves=inputs.leaves.rows,
                arms=inputs.earlier.arms,
                members=members,
                offer_risk=inputs.offer_risk(segment),
                belonging=inputs.belonging(segment),
            )
            members[segment.code] = places.members
            every.append(places)
            show_progress(len(every), len(segments), segment.code)
    every = [places for places in every if standing[places.segment.code].barrier is None]
    dry = {p.segment.code: dry_destinations_of(p.segment, dry_destinations) for p in every}
    live = [p for p in every if set(p.segment.spec.publish.destinations) - dry[p.segment.code]]
    rules = catalogue.site.contact
    contacts = decide_contacts(lake, desk, live, rules, business_date, is_logged=True)
    if len(live) < len(every):
        # What nobody receives takes no contact from another audience; its own numbers are those it would have had.
        contacts = decide_contacts(lake, desk, every, rules, business_date, name="dry") | contacts
    yardsticks = read_yardsticks(
        lake, desk, [p.segment for p in every], business_date, until=business_date - timedelta(days=1)
    )
    hashes = dict(by_workers.hashes)
    decisions = []
    for places in sorted(every, key=lambda places: places.segment.code):
        decision = decide_segment(
            desk,
            places,
            business_date=business_date,
            policy=policy,
            leaves=inputs.leaves,
            members=members,
            tags=catalogue.site.tags,
            list_hashes=inputs.list_hashes,
            contacts=contacts.get(places.segment.code),
            approvals=[one.entry() for one in standing[places.segment.code].counting],
            dry_destinations=dry[places.segment.code],
            hashes=hashes,
            yardsticks=yardsticks.get(places.segment.code),
        )
        if places.segment.spec.worklist is not None:
            groups = branches_and_employees(lake, desk, business_date, decision.candidates)
            worklist = worklist_of(desk, places.segment, decision.candidates, groups)
            decision = replace(decision, audience=replace(decision.audience, worklist=worklist))
        log.info("segment %s: %s", places.segment.code, counts_text(decision.audience.counts))
        decisions.append(decision)
    return decisions, inputs.earlier


def dry_destinations_of(segment: Segment, dry_destinations: frozenset[str]) -> frozenset[str]:
    """Give the destinations that do not see a segment's audience: all where it says so, else those that never do."""
    destinations = frozenset(segment.spec.publish.destinations)
    return destinations if segment.spec.publish.deliver == "dry" else destinations & dry_destinations


def _tell_unknown_age(policy: Policy, segments: Sequence[Segment]) -> None:
    """Log that a site's own policy takes people for adults whose birth date nobody states, on every night that uses it."""
    codes = [segment.code for segment in segments if segment.spec.purpose == "marketing"]
    if policy.unknown_age and codes:
        log.warning(
            "%s takes people of %s without a known birth date for adults in %s: %s",
            CONSENT_FILE,
            ", ".join(policy.unknown_age.adult_sources),
            ", ".join(codes),
            policy.unknown_age.why,
        )


def _tell_parameters(segments: Sequence[Segment]) -> None:
    """Log every value that differs from the default of its parameter."""
    for segment in segments:
        for name, value in segment.values.items():
            default = segment.spec.parameters[name].default
            if value != default:
                log.info("segment %s: parameter %s is %s, by default %s", segment.code, name, value, default)


def offer_findings(lake: Lake, surroundings: Surroundings) -> list[SpecFinding]:
    """Give a finding for each segment of the workspace whose offer the newest ``trusted.offers`` does not hold."""
    catalogue = read_catalogue(lake.settings, surroundings, known_hashes={})
    return [
        SpecFinding("E01", fault, segment.file, segment.line("offer"))
        for segment, fault in offer_faults(catalogue.segments, read_offers(lake))
    ]


def _write_tables(
    lake: Lake, desk: Desk, decisions: list[SegmentDecision], earlier: EarlierNights, business_date: date
) -> None:
    """Write what was decided; dates are replaced, dictionaries only grow."""
    members, changes = member_rows(desk, decisions, earlier, business_date)
    lake.replace_partition("segments.members", members, as_of=business_date)
    lake.replace_partition("segments.changes", changes, as_of=business_date)
    suppressions = suppression_rows(desk, decisions, business_date)
    lake.replace_partition("segments.suppressions", suppressions, as_of=business_date)
    live = [decision for decision in decisions if decision.audience.live_destinations]
    contacts, losses = contact_rows(desk, live, business_date), loss_rows(desk, live, business_date)
    lake.replace_partition("segments.contacts", contacts, as_of=business_date)
    lake.replace_partition("segments.contact_losses", losses, as_of=business_date)
    lake.extend_dictionary("segments.assignments", assignment_rows(desk, decisions, business_date))
    lake.extend_dictionary("segments.definitions", definition_rows(decisions))
    lake.replace_partition("segments.runs", run_rows(lake, decisions, business_date), as_of=business_date)
