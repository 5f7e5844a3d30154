"""Figures of a night: its people by size, what the map covers, and the row of the log they go into."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.joining.check import count_violations
from identity.joining.decide import ComponentOutcome
from identity.nights.log import NightBefore, NightRow, rules_as_text
from identity.nights.night import IdentityNight
from identity.nights.plan import NightPlan
from identity.nights.stability import Moves
from identity.reading.tables import KINDS, OPEN, OWN_BEFORE
from lakehouse.query.desk import Desk


@dataclass(frozen=True)
class Coverage:
    """Records that came and are in no map; profiles that share their person; the share of such that was lost."""

    uncovered: int
    joined_profiles: int
    joined_share_lost: float


def count_profiles_before(desk: Desk) -> int:
    """Give the number of profiles in the map of the night before."""
    return int(desk.value(f"SELECT count(*) FROM identity.memberships WHERE {OWN_BEFORE}"))


def people_by_size(desk: Desk) -> pa.Table:
    """Give every OneID of the map, ascending, with its number of profiles ``n`` and the ``smallest`` of them."""
    rows = desk.arrow("SELECT one_id, profile_id FROM identity.memberships WHERE valid_to IS NULL")
    one_ids, profiles = rows["one_id"].to_numpy(), rows["profile_id"].to_numpy()
    # OneIDs come from a sequence, so that places in arrays are a third of the work of grouping.
    first = one_ids.min(initial=np.iinfo(np.int64).max)
    counts = np.bincount(one_ids - first)
    smallest = np.full(len(counts), np.iinfo(np.int64).max)
    np.minimum.at(smallest, one_ids - first, profiles)
    lives = np.flatnonzero(counts)
    return pa.table({"one_id": lives + first, "n": counts[lives], "smallest": smallest[lives]})


def coverage_of(desk: Desk, night: IdentityNight, living: pa.Table) -> Coverage:
    """Count records that came and are in no map, and profiles that share their person with another record."""
    since = "" if night.before is None else "AND valid_from > $before"
    records = " UNION ".join(
        f"SELECT source, source_key FROM trusted.{table} WHERE {OPEN} {since}"
        for table in ("customers", "identifier_observations")
    )
    fresh = desk.keep("new_records", records)
    in_map = desk.keep(
        "new_records_in_map",
        f"""
        SELECT source, source_key FROM identity.memberships SEMI JOIN {fresh} USING (source, source_key)
        WHERE valid_to IS NULL
        """,
    )
    uncovered = desk.value(f"SELECT count(*) FROM {fresh} ANTI JOIN {in_map} USING (source, source_key)")
    sizes = living["n"].to_numpy()
    joined_profiles, profiles = int(sizes[sizes > 1].sum()), int(sizes.sum())
    return Coverage(uncovered, joined_profiles, share_of_joins_lost(night.before, joined_profiles, profiles))


def share_of_joins_lost(before: NightBefore | None, joined_profiles: int, profiles: int) -> float:
    """Give by how much the share of profiles that share their person fell since the night before."""
    if before is None or not before.profiles or not profiles:
        return 0.0
    loss = before.joined_profiles / before.profiles - joined_profiles / profiles
    return round(max(0.0, loss), 6)


def night_row(
    desk: Desk,
    night: IdentityNight,
    plan: NightPlan,
    outcome: ComponentOutcome,
    moves: Moves,
    *,
    living: pa.Table,
    profiles_before: int,
) -> NightRow:
    """Give the row a night leaves; ``desk`` sees what the night wrote."""
    coverage = coverage_of(desk, night, living)
    return NightRow(
        mode="full" if plan.is_full else "changes",
        mode_reason=plan.full_reason,
        rules_version=night.rules.version,
        rules=rules_as_text(night.rules),
        decisions=night.decisions_text,
        # What an earlier attempt of the night had decided is decided again, and is no fact of the night.
        reached_counts=json.dumps({c: n for c, n in plan.counts.items() if c != "attempt"}, sort_keys=True),
        kinds=desk.value(KINDS),
        touched_profiles=len(outcome.graph.profiles),
        profiles=pc.sum(living["n"]).as_py() or 0,
        one_ids=living.num_rows,
        largest_person=pc.max(living["n"]).as_py() or 0,
        kept_oversized=outcome.grouping.kept_oversized,
        violations=count_violations(outcome.graph, outcome.grouping, night.rules),
        largest_growth=moves.largest_growth,
        known_profiles=profiles_before,
        moves_by_cause=json.dumps(moves.by_cause, sort_keys=True),
        moved_quietly=moves.quietly,
        moved_untouched=moves.untouched,
        uncovered=coverage.uncovered,
        joined_profiles=coverage.joined_profiles,
        joined_share_lost=coverage.joined_share_lost,
    )
