"""The nightly step: open rows of trusted tables become the published map from profiles to OneIDs.

A night decides what something reached since the night before (``identity.nights.touched``), or everything where there is no
night to begin from, the rules reach everybody, or it is asked to; both give the same grouping. Everything is computed
on the driver with arrays and written without a JVM: dictionaries first (a number given is given for good), then change
sets of the states, then the small derived tables, and last the row that says the night is whole.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from datetime import date
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.joining.connect import connect
from identity.nights.golden import write_golden_records
from identity.nights.log import TABLE as NIGHTS
from identity.nights.log import LastNight, NightRow, forget_night, last_night, rules_as_text, write_night
from identity.nights.mint import Assignment, assign_one_ids, claimable, places_of
from identity.nights.stability import Moves, causes_of, count_violations, moves_of, refuse_strangers
from identity.nights.touched import (
    Plan,
    carriers_outside,
    identifiers_let_go,
    known_nodes,
    plan_night,
    rows_of,
)
from identity.nights.write import (
    Scope,
    kind_ranks,
    write_derived,
    write_lineage,
    write_one_ids,
    write_redirects,
    write_states,
)
from identity.reading.decisions import TABLE as DECISIONS
from identity.reading.decisions import decided_places, decisions_of
from identity.reading.graph import Graph, Grouping
from identity.reading.observe import Observed, observe
from identity.reading.tables import KINDS, KNOWN, LEFT, Tables
from identity.rules.rules import Rules, load_rules
from identity.rules.workspace_key import workspace_key

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
    "identity.redirects",
    "identity.refused_links",
    "identity.nights",
)


@dataclass(frozen=True)
class IdentityResult:
    """What one night's resolution found and did; ``touched`` profiles were decided anew."""

    profiles: int
    one_ids: int
    largest: int
    minted: int
    mode: str
    touched: int
    events: dict[str, int]
    refused: dict[str, int]
    rules_version: str
    seconds: dict[str, float] = field(default_factory=dict)
    tables: tuple[str, ...] = TABLES

    def summary(self) -> dict[str, Any]:
        """Give what the night's report says; a rerun of the same night gives the same."""
        return {"profiles": self.profiles, "one_ids": self.one_ids, "largest": self.largest}


def resolve(lake: Lake, business_date: date, *, full: bool = False) -> IdentityResult:
    """Decide which profiles are one person on ``business_date`` and write the identity tables.

    A rerun gives the same rows and mints nothing; ``full`` decides every record again and gives the same grouping.
    Wrong rules, a changed key or a person no bound allows raise before anything is written.
    """
    clock = _Clock()
    rules = load_rules(lake.settings)
    key = workspace_key(lake, business_date)
    tables = Tables(lake, business_date)
    before = last_night(lake.read_arrow(NIGHTS), business_date)
    said = lake.read_arrow(DECISIONS).to_pylist()
    decisions = decisions_of(said)
    plan = plan_night(
        lake, tables, rules, key, business_date=business_date, before=before, decisions=decisions,
        all_decisions=decisions_of(said, with_revoked=True), full=full,
    )  # fmt: skip
    clock.lap("plan")
    observed, scope = _observe(lake, tables, plan, rules, key, business_date)
    observed = replace(
        observed, graph=replace(observed.graph, decided=decided_places(decisions, observed.profiles))
    )
    clock.lap("observe")
    grouping = connect(observed.graph, rules)
    refuse_strangers(observed, grouping, rules)
    clock.lap("connect")
    forget_night(lake, business_date)
    if observed.new_nodes.num_rows:
        lake.append("identity.nodes", observed.new_nodes)
    one_ids = lake.read_arrow("identity.one_ids").sort_by("one_id")
    past = _past_map(tables, scope)
    assignment = _assign(observed.graph, grouping, rules, one_ids, past, tables, scope, business_date)
    one_ids = _with_minted(lake, one_ids, assignment, business_date)
    moves = moves_of(plan, observed.graph, grouping, assignment, _open_before(past, business_date))
    clock.lap("mint")
    write_derived(lake, tables, observed, grouping, scope, business_date)
    write_states(lake, observed, grouping, assignment, rules, scope, business_date)
    clock.lap("write_states")
    causes = causes_of(plan, observed.graph, grouping, assignment, _open_before(past, business_date))
    write_lineage(lake, assignment, causes, rules, business_date)
    after = Tables(lake, business_date)
    living = _people_of(after)
    redirects = write_redirects(lake, living["one_id"].to_numpy())
    people, ranks = assignment.one_ids, kind_ranks(observed)
    if not plan.is_full and not plan.are_kinds_left:
        people, ranks = _kinds_of_everybody(lake, after, rules, key, business_date)
    write_one_ids(lake, one_ids, redirects, living, people=people, ranks=ranks, business_date=business_date)
    write_golden_records(lake, after, rules, before, business_date, is_full=plan.is_full)
    moves = replace(moves, known_profiles=_known_before(tables))
    night = _night_row(plan, rules, observed, grouping, moves, living, [d.decision_id for d in decisions])
    night.kinds = after.one(KINDS)
    _measure_coverage(night, after, before, living)
    write_night(lake, night, business_date)
    clock.lap("write_derived")
    result = IdentityResult(
        profiles=night.profiles,
        one_ids=night.one_ids,
        largest=night.largest_person,
        minted=len(assignment.minted_ids),
        mode=night.mode,
        touched=night.touched_profiles,
        events=_counted([event.event for event in assignment.events]),
        refused=_counted([*grouping.link_states[np.isin(grouping.link_states, ["refused", "expired"])]]),
        rules_version=rules.version,
        seconds=clock.seconds,
    )
    log.info(
        "identity: %d profiles are %d people, largest %d, %d minted, rules %s; %s: %d profiles decided%s",
        result.profiles, result.one_ids, result.largest, result.minted, rules.version, night.mode,
        night.touched_profiles, f" ({plan.why_full})" if plan.why_full else "",
    )  # fmt: skip
    return result


class _Clock:
    """Seconds per part of the step, for the log only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.seconds[name] = round(now - self._last, 2)
        self._last = now


def _counted(words: list[str]) -> dict[str, int]:
    return {word: words.count(word) for word in sorted(set(words))}


def _observe(
    lake: Lake, tables: Tables, plan: Plan, rules: Rules, key: bytes, business_date: date
) -> tuple[Observed, Scope | None]:
    """Read what the night decides; give it with the scope of what it may write (None: everything)."""
    highest = tables.one("SELECT coalesce(max(node_id), 0) FROM identity.nodes")
    customers, observations = rows_of(tables, None if plan.is_full else "touched")
    observed = observe(
        customers=customers,
        observations=observations,
        nodes=lake.read_arrow("identity.nodes") if plan.is_full else known_nodes(tables),
        rules=rules,
        key=key,
        business_date=business_date,
        common=None if plan.is_full else tables.sql("SELECT source, full_name FROM common"),
        highest=highest,
        hashes=plan.hashes,
    )
    if plan.is_full or plan.touched_ids is None:
        return observed, None
    graph = observed.graph
    outside = carriers_outside(tables, graph.identifiers.node_ids)
    scope = Scope(
        profiles=np.union1d(plan.touched_ids, graph.profiles.node_ids),
        identifiers=np.union1d(graph.identifiers.node_ids, identifiers_let_go(tables)),
    )
    return replace(
        observed, graph=replace(graph, identifiers=replace(graph.identifiers, outside=outside))
    ), scope


def _past_map(tables: Tables, scope: Scope | None) -> pa.Table:
    """Give the rows of the map that were opened before the day: what a first run of the day saw."""
    within = "" if scope is None else "AND profile_id IN (SELECT node_id FROM touched)"
    return tables.sql(
        f"SELECT profile_id, one_id, valid_to FROM identity.memberships WHERE valid_from < $day {within}"
    )


def _held_elsewhere(tables: Tables, one_ids: np.ndarray) -> np.ndarray:
    """Give those of the OneIDs that people hold whom the night does not decide."""
    tables.take("asked", pa.table({"one_id": one_ids}))
    rows = tables.sql(
        f"""
        SELECT DISTINCT one_id FROM identity.memberships
        WHERE {LEFT} AND one_id IN (SELECT one_id FROM asked)
        AND profile_id NOT IN (SELECT node_id FROM touched WHERE node_id IS NOT NULL)
        """
    )
    return rows["one_id"].to_numpy()


def _measure_coverage(night: NightRow, after: Tables, before: LastNight | None, living: pa.Table) -> None:
    """Count records that came and are in no map, and how many profiles share their person with another record."""
    since = ""
    if before is not None:
        after.since(before.business_date)
        since = "AND valid_from > $before"
    came = " UNION ".join(
        f"SELECT source, source_key FROM trusted.{table} WHERE {KNOWN} {since}"
        for table in ("customers", "identifier_observations")
    )
    after.keep("came", came)
    after.keep(
        "covered",
        """
        SELECT source, source_key FROM identity.memberships SEMI JOIN came USING (source, source_key)
        WHERE valid_to IS NULL
        """,
    )
    night.uncovered = after.one("SELECT count(*) FROM came ANTI JOIN covered USING (source, source_key)")
    sizes = living["n"].to_numpy()
    night.joined_profiles = int(sizes[sizes > 1].sum())
    if before is not None and before.profiles and night.profiles:
        lost = before.joined_profiles / before.profiles - night.joined_profiles / night.profiles
        night.joined_share_lost = round(max(0.0, lost), 6)


def _kinds_of_everybody(
    lake: Lake, tables: Tables, rules: Rules, key: bytes, business_date: date
) -> tuple[np.ndarray, np.ndarray]:
    """Give the OneID and the kind of every profile of the map: for nights whose dictionary tells another night's kinds."""
    customers, observations = rows_of(tables, None)
    observed = observe(
        customers=customers, observations=observations, nodes=lake.read_arrow("identity.nodes"), rules=rules, key=key,
        business_date=business_date,
    )  # fmt: skip
    rows = tables.sql(
        "SELECT profile_id, one_id FROM identity.memberships WHERE valid_to IS NULL ORDER BY profile_id"
    )
    places = np.searchsorted(rows["profile_id"].to_numpy(), observed.graph.profiles.node_ids)
    return rows["one_id"].to_numpy()[places], kind_ranks(observed)


def _people_of(tables: Tables) -> pa.Table:
    """Give every OneID of the map, ascending, with its number of profiles ``n`` and the ``smallest`` of them."""
    rows = tables.sql("SELECT one_id, profile_id FROM identity.memberships WHERE valid_to IS NULL")
    one_ids, profiles = rows["one_id"].to_numpy(), rows["profile_id"].to_numpy()
    # OneIDs come from a sequence, so that places in arrays are a third of the work of grouping.
    first = one_ids.min(initial=np.iinfo(np.int64).max)
    counts = np.bincount(one_ids - first)
    smallest = np.full(len(counts), np.iinfo(np.int64).max)
    np.minimum.at(smallest, one_ids - first, profiles)
    lives = np.flatnonzero(counts)
    return pa.table({"one_id": lives + first, "n": counts[lives], "smallest": smallest[lives]})


def _known_before(tables: Tables) -> int:
    return int(tables.one(f"SELECT count(*) FROM identity.memberships WHERE {LEFT}"))


def _open_before(past: pa.Table, business_date: date) -> pa.Table:
    day = pa.scalar(business_date, pa.date32())
    return past.filter(pc.or_kleene(pc.is_null(past["valid_to"]), pc.greater_equal(past["valid_to"], day)))


def _assign(
    graph: Graph,
    grouping: Grouping,
    rules: Rules,
    one_ids: pa.Table,
    past: pa.Table,
    tables: Tables,
    scope: Scope | None,
    business_date: date,
) -> Assignment:
    last = _open_before(past, business_date)
    profile_ids = graph.profiles.node_ids
    known_ids, known_anchors = one_ids["one_id"].to_numpy(), one_ids["anchor_profile_id"].to_numpy()
    known_places = places_of(
        pc.fill_null(one_ids["last_profile_id"], 0).to_numpy(),
        pc.fill_null(one_ids["last_held_on"].cast(pa.int32()).cast(pa.int64()), 0).to_numpy(),
        pc.equal(one_ids["status"], "active").to_numpy(),
        day=graph.day,
    )
    held_elsewhere = None
    if scope is not None:
        asked = claimable(profile_ids, known_ids, known_anchors, known_places)
        held_elsewhere = _held_elsewhere(tables, np.union1d(asked, past["one_id"].to_numpy()))
    return assign_one_ids(
        profile_ids=profile_ids,
        people=profile_ids[grouping.people],
        weights=_weights(graph, grouping, rules),
        previous_profiles=last["profile_id"].to_numpy(),
        previous_one_ids=last["one_id"].to_numpy(),
        known_ids=known_ids,
        known_anchors=known_anchors,
        known_places=known_places,
        created_tonight=pc.equal(one_ids["created_on"], pa.scalar(business_date, pa.date32())).to_numpy(),
        history_profiles=past["profile_id"].to_numpy(),
        history_one_ids=past["one_id"].to_numpy(),
        held_elsewhere=held_elsewhere,
    )


def _weights(graph: Graph, grouping: Grouping, rules: Rules) -> np.ndarray:
    """Give each profile the strength of its strongest link, at least 1."""
    strengths = np.array(
        [getattr(rules.rule(n), "strength", 1) for n in graph.namespaces] or [1], dtype=np.int64
    )
    weights = np.ones(len(graph.profiles), dtype=np.int64)
    counts = np.isin(grouping.link_states, ["active", "corroborated"])
    strength = strengths[graph.identifiers.namespaces[graph.links.identifiers[counts]]]
    np.maximum.at(weights, graph.links.profiles[counts], strength)
    return weights


def _with_minted(lake: Lake, one_ids: pa.Table, assignment: Assignment, business_date: date) -> pa.Table:
    """Commit new ids before anything refers to them, and give the dictionary with them."""
    size = len(assignment.minted_ids)
    if not size:
        return one_ids
    minted = pa.table(
        {
            "one_id": assignment.minted_ids,
            "anchor_profile_id": assignment.minted_anchors,
            "created_on": pa.repeat(pa.scalar(business_date, pa.date32()), size),
            "kind": pa.repeat("anonymous", size),
            "status": pa.repeat("retired", size),
            "successor": pa.nulls(size, pa.int64()),
            "profile_count": np.zeros(size, dtype=np.int64),
            "last_profile_id": pa.nulls(size, pa.int64()),
            "last_held_on": pa.nulls(size, pa.date32()),
        }
    )
    lake.append("identity.one_ids", minted)
    return pa.concat_tables([one_ids, minted.cast(one_ids.schema)])


def _night_row(
    plan: Plan,
    rules: Rules,
    observed: Observed,
    grouping: Grouping,
    moves: Moves,
    living: pa.Table,
    decisions: list[str],
) -> NightRow:
    return NightRow(
        mode="full" if plan.is_full else "changes",
        mode_reason=plan.why_full,
        rules_version=rules.version,
        rules=rules_as_text(rules),
        decisions=json.dumps(sorted(decisions)),
        # What an earlier attempt of the night had decided is decided again, and is no fact of the night.
        reached=json.dumps({c: n for c, n in plan.reached.items() if c != "attempt"}, sort_keys=True),
        kinds="",
        touched_profiles=len(observed.graph.profiles),
        profiles=pc.sum(living["n"]).as_py() or 0,
        one_ids=living.num_rows,
        largest_person=pc.max(living["n"]).as_py() or 0,
        kept_oversized=grouping.kept_oversized,
        violations=count_violations(observed.graph, grouping, rules),
        largest_growth=moves.largest_growth,
        known_profiles=moves.known_profiles,
        moved=json.dumps(moves.by_cause, sort_keys=True),
        moved_quietly=moves.quietly,
        moved_untouched=moves.untouched,
    )
