"""The nightly step: open rows of trusted tables become the published map from profiles to OneIDs.

A night decides what something reaches since the night before (``identity.nights.plan``), or everything where there is no
night to begin from, the rules reach everybody, or it is asked to; both give the same grouping. It is computed
in this process with arrays and written without a JVM: dictionaries first (a number given is given for good), then change
sets of the states, then the small derived tables, and last the row that says the night is whole. What is more than one bucket
holds is decided bucket by bucket (``identity.nights.buckets``), with the same rows.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import date
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from identity.joining.check import refuse_large_people
from identity.joining.decide import ComponentOutcome, decide_components
from identity.nights.buckets.night import BucketNight, resolve_in_buckets
from identity.nights.corrections import corrections_of, write_corrections
from identity.nights.figures import count_profiles_before, night_row, people_by_size
from identity.nights.golden import write_golden_records
from identity.nights.input import read_components
from identity.nights.kinds import kinds_of_profiles
from identity.nights.log import NightRow, write_row
from identity.nights.night import IdentityNight, read_night
from identity.nights.number import number_people
from identity.nights.plan import NightPlan, plan_night
from identity.nights.stability import compare_with_before
from identity.nights.write import (
    scope_of,
    steps_of_numbers,
    write_derived,
    write_dictionaries,
    write_lineage,
    write_one_ids,
    write_redirects,
    write_states,
)
from identity.numbering.mint import Assignment
from identity.reading.tables import open_desk
from identity.rules.rules import Rules
from lakehouse.ledger.progress import show_progress

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.identity")
TABLES = (
    "identity.nodes",
    "identity.keys",
    "identity.node_states",
    "identity.links",
    "identity.components",
    "identity.memberships",
    "identity.golden_records",
    "identity.one_ids",
    "identity.lineage_events",
    "identity.corrections",
    "identity.redirects",
    "identity.inheritances",
    "identity.refused_links",
    "identity.nights",
)


@dataclass(frozen=True)
class IdentityResult:
    """What one night did; ``touched_profiles`` were decided anew."""

    profiles: int
    one_ids: int
    largest: int
    minted: int
    mode: str
    touched_profiles: int
    events: dict[str, int]
    refused_links: dict[str, int]
    rules_version: str
    seconds: dict[str, float] = field(default_factory=dict)
    tables: tuple[str, ...] = TABLES

    def summary(self) -> dict[str, Any]:
        """Give what the night's report says; a rerun of the same night gives the same."""
        return {"profiles": self.profiles, "one_ids": self.one_ids, "largest": self.largest}


def resolve(
    lake: Lake, business_date: date, *, full: bool = False, rules: Rules | None = None
) -> IdentityResult:
    """Decide which profiles are one person on ``business_date`` and write the identity tables.

    A rerun gives the same rows and mints nothing; ``full`` decides every record again and gives the same grouping.
    ``rules`` hold instead of the workspace's, to try something on a clone.
    Wrong rules, a changed key or a person no limit allows raise before anything is written.
    """
    clock = _Clock()
    # 1. Read what holds for the night.
    night = read_night(lake, business_date, rules)
    with open_desk(lake, business_date) as desk:
        # 2. Plan what it decides: everything, or what something reaches.
        plan = plan_night(desk, night, full=full)
        clock.lap("plan")
        in_buckets = resolve_in_buckets(lake, desk, night, plan, lap=clock.lap)
        if in_buckets is not None:
            write_row(lake, in_buckets.row, business_date)
            clock.lap("write_derived")
            return _result_of_buckets(night, in_buckets, clock.seconds)
        # 3. Observe the whole raw components of that.
        components = read_components(lake, desk, night, plan)
        clock.lap("observe")
        # 4. Decide who is one person.
        outcome = decide_components(components, night.rules, key=night.key, business_date=business_date)
        refuse_large_people(outcome.observed, outcome.grouping, night.rules)
        clock.lap("connect")
        # 5. Number the people, and compare them with those of the night before.
        numbering = number_people(lake, desk, night, plan, outcome)
        comparison = compare_with_before(plan, outcome, numbering)
        profiles_before = count_profiles_before(desk)
        clock.lap("mint")
        # 6. Write dictionaries first, then components and states.
        scope = scope_of(desk, plan, outcome)
        write_dictionaries(lake, night, outcome, numbering)
        write_derived(lake, desk, night, plan, outcome, scope)
        write_states(lake, night, outcome, numbering.assignment, scope)
        clock.lap("write_states")
    with open_desk(lake, business_date) as desk:
        # 7. Write what follows from the new map: what became of numbers first.
        corrections = corrections_of(desk, night, night.published)
        write_corrections(lake, night, corrections)
        write_lineage(lake, night, numbering.assignment, comparison, corrections)
        if night.before is not None:
            desk.let(before=night.before.business_date)
        living = people_by_size(desk)
        steps = steps_of_numbers(desk)
        redirects = write_redirects(lake, steps, set(living["one_id"].to_pylist()) if steps else set())
        kinds = kinds_of_profiles(lake, desk, night, plan, outcome, numbering.assignment)
        write_one_ids(lake, night, numbering.one_ids, redirects, living, kinds)
        write_golden_records(lake, desk, night, is_full=plan.is_full)
        # 8. Log: this row says that the night is whole.
        row = night_row(
            desk, night, plan, outcome, comparison.moves, living=living, profiles_before=profiles_before
        )
        write_row(lake, row, business_date)
        clock.lap("write_derived")
    return _result(night, plan, row, outcome, numbering.assignment, clock.seconds)


def _result_of_buckets(
    night: IdentityNight, in_buckets: BucketNight, seconds: dict[str, float]
) -> IdentityResult:
    row = in_buckets.row
    result = IdentityResult(
        profiles=row.profiles,
        one_ids=row.one_ids,
        largest=row.largest_person,
        minted=in_buckets.minted,
        mode=row.mode,
        touched_profiles=row.touched_profiles,
        events=in_buckets.events,
        refused_links=in_buckets.refused_links,
        rules_version=night.rules.version,
        seconds=seconds,
    )
    _log(result, row.mode_reason)
    return result


def _result(
    night: IdentityNight,
    plan: NightPlan,
    row: NightRow,
    outcome: ComponentOutcome,
    assignment: Assignment,
    seconds: dict[str, float],
) -> IdentityResult:
    states = outcome.grouping.link_states
    result = IdentityResult(
        profiles=row.profiles,
        one_ids=row.one_ids,
        largest=row.largest_person,
        minted=len(assignment.minted_ids),
        mode=row.mode,
        touched_profiles=row.touched_profiles,
        events=_counts([event.event for event in assignment.events]),
        refused_links=_counts([*states[np.isin(states, ["refused", "expired"])]]),
        rules_version=night.rules.version,
        seconds=seconds,
    )
    _log(result, plan.full_reason)
    return result


def _log(result: IdentityResult, full_reason: str) -> None:
    log.info(
        "identity: %d profiles are %d people, largest %d, %d minted, rules %s; %s: %d profiles decided%s",
        result.profiles, result.one_ids, result.largest, result.minted, result.rules_version, result.mode,
        result.touched_profiles, f" ({full_reason})" if full_reason else "",
    )  # fmt: skip


# plan, observe, connect, mint, write_states, write_derived
PARTS = 6


class _Clock:
    """Seconds per part of the step, for the log and for whoever watches."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.seconds[name] = round(now - self._last, 2)
        self._last = now
        show_progress(len(self.seconds), PARTS, name)


def _counts(words: list[str]) -> dict[str, int]:
    return {word: words.count(word) for word in sorted(set(words))}
