"""Writing what a night decided: change sets of the states, then the derived tables and the dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.joining.decide import ComponentOutcome, in_order
from identity.nights.corrections import Corrections
from identity.nights.kinds import KINDS, ProfileKinds
from identity.nights.log import remove_night
from identity.nights.night import IdentityNight
from identity.nights.number import Numbering
from identity.nights.plan import NightPlan, Reach
from identity.nights.stability import Comparison
from identity.numbering.inheritances import shares_of_parts
from identity.numbering.mint import Assignment
from identity.numbering.redirects import final_redirects
from identity.reading.tables import OWN_BEFORE
from lakehouse.query.desk import Desk
from lakehouse.states.rule import Scope

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

FEED = "identity"
_STATUSES = ("active", "merged", "retired")


@dataclass(frozen=True)
class WriteScope:
    """Node ids whose rows a night may change, where it does not decide everything."""

    profiles: np.ndarray
    identifiers: np.ndarray


def scope_of(desk: Desk, plan: NightPlan, outcome: ComponentOutcome) -> WriteScope | None:
    """Give what the night may write; None: everything."""
    if plan.reach is None:
        return None
    return WriteScope(
        np.union1d(plan.reach.profile_ids, outcome.graph.profiles.node_ids),
        np.union1d(outcome.graph.identifiers.node_ids, _identifiers_without_carrier(desk, plan.reach)),
    )


def _identifiers_without_carrier(desk: Desk, reach: Reach) -> np.ndarray:
    """Give identifiers that the profiles had on the night before, and nobody else has."""
    rows = desk.arrow(
        f"""
        SELECT DISTINCT identifier_id FROM identity.links WHERE {OWN_BEFORE}
        AND profile_id IN (SELECT node_id FROM {reach.profiles})
        AND identifier_id NOT IN (SELECT identifier_id FROM {reach.outside})
        """
    )
    return rows["identifier_id"].to_numpy()


def write_dictionaries(
    lake: Lake, night: IdentityNight, outcome: ComponentOutcome, numbering: Numbering
) -> None:
    """Write new nodes and new OneIDs before anything refers to them; from here on the night is unfinished."""
    remove_night(lake, night.business_date)
    if outcome.observed.new_nodes.num_rows:
        lake.append("identity.nodes", outcome.observed.new_nodes)
    if numbering.minted.num_rows:
        lake.append("identity.one_ids", numbering.minted)


def write_derived(
    lake: Lake,
    desk: Desk,
    night: IdentityNight,
    plan: NightPlan,
    outcome: ComponentOutcome,
    scope: WriteScope | None,
) -> None:
    """Bring raw components and refused links to the night; rows of what it did not decide stay.

    Components come first: they tell a later attempt what this one decided.
    """
    raw = outcome.raw_components()
    raw = raw.append_column(
        "computed_on", pa.repeat(pa.scalar(night.business_date, pa.date32()), raw.num_rows)
    )
    refused_links = outcome.refused_links()
    if scope is not None and plan.reach is not None:
        nodes = desk.take("decided_nodes", raw.select(["node_id"]))
        others = desk.arrow(
            f"""
            SELECT node_id, raw_component_id, is_profile, computed_on FROM identity.components
            WHERE raw_component_id NOT IN (SELECT raw_component_id FROM {plan.reach.raw_components})
            AND node_id NOT IN (SELECT node_id FROM {nodes})
            """
        )
        raw = pa.concat_tables([others.cast(raw.schema), raw])
        profiles = desk.take("written_profiles", pa.table({"node_id": scope.profiles}))
        others = desk.arrow(
            f"""
            SELECT {", ".join(refused_links.column_names)} FROM identity.refused_links
            WHERE profile_id NOT IN (SELECT node_id FROM {profiles})
            """
        )
        refused_links = in_order(pa.concat_tables([others.cast(refused_links.schema), refused_links]))
    lake.overwrite("identity.components", raw)
    lake.overwrite("identity.refused_links", refused_links)


def write_states(
    lake: Lake,
    night: IdentityNight,
    outcome: ComponentOutcome,
    assignment: Assignment,
    scope: WriteScope | None,
) -> None:
    """Write the change sets of links, node states and the map: one commit each, none where nothing changed."""
    profiles = outcome.observed.profiles
    memberships = pa.table(
        {
            "one_id": assignment.one_ids,
            "source": profiles["source"],
            "source_key": profiles["source_key"],
            "profile_id": outcome.graph.profiles.node_ids,
        }
    )
    of_profiles = None if scope is None else Scope("profile_id", pa.array(scope.profiles))
    of_identifiers = None if scope is None else Scope("node_id", pa.array(scope.identifiers))
    write_state(lake, night, "identity.links", outcome.links(), of_profiles)
    write_state(lake, night, "identity.node_states", outcome.node_states(), of_identifiers)
    write_state(lake, night, "identity.memberships", memberships, of_profiles)


def write_state(lake: Lake, night: IdentityNight, table: str, rows: pa.Table, scope: Scope | None) -> None:
    """Bring a state of identity to ``rows``, or the part of it in ``scope``."""
    size = rows.num_rows
    rows = rows.append_column("_file", pa.repeat(night.file, size)).append_column(
        "_row", pa.array(np.zeros(size, dtype=np.int64))
    )
    lake.change_states(
        table, rows, feed=FEED, business_date=night.business_date, mode="snapshot", scope=scope
    )


def write_lineage(
    lake: Lake,
    night: IdentityNight,
    assignment: Assignment,
    comparison: Comparison,
    corrections: Corrections | None,
) -> None:
    """Replace the night's events: what changed between its map and the one before, and what reached the people.

    Events that correct what was published of the night follow.
    """
    events = assignment.events
    size = len(events)
    causes = [
        comparison.first_cause(*(one_id for one_id in (event.to_one_id, event.from_one_id) if one_id))
        for event in events
    ]
    rows = pa.table(
        {
            "happened_on": pa.repeat(pa.scalar(night.business_date, pa.date32()), size),
            "event": pa.array([event.event for event in events], pa.string()),
            "from_one_id": pa.array([event.from_one_id or None for event in events], pa.int64()),
            "to_one_id": pa.array([event.to_one_id or None for event in events], pa.int64()),
            "profile_count": pa.array([event.profile_count for event in events], pa.int64()),
            "cause": pa.array(causes, pa.string()),
            "rules_version": pa.repeat(night.rules.version, size),
            "corrects": pa.nulls(size, pa.int64()),
        }
    )
    if corrections is not None:
        rows = pa.concat_tables([rows.cast(corrections.events.schema), corrections.events])
    lake.replace_partition("identity.lineage_events", rows, happened_on=night.business_date)


def steps_of_numbers(desk: Desk) -> list[tuple[str, int, int, date]]:
    """Give event, number, successor and night of all numbers that were ever split, merged or came back, in the order it happened."""
    # Splits part the people of the night before. Nulls come last: what became of a number since the night before stands above
    # a correction of the same night.
    return desk.rows(
        """
        SELECT event, from_one_id, to_one_id, happened_on FROM identity.lineage_events
        WHERE event IN ('SPLIT', 'MERGE', 'RESURRECT')
        ORDER BY happened_on, event <> 'SPLIT', corrects NULLS LAST, event DESC, from_one_id NULLS LAST, to_one_id
        """
    )


def write_redirects(lake: Lake, steps: list[tuple[str, int, int, date]], living: set[int]) -> pa.Table:
    """Write the redirects that follow from all ``steps``, and give them; of ``living`` numbers those of the steps count.

    What parts that were split off inherit follows from the steps too and is written beside them.
    """
    redirects = final_redirects([(event, old, new) for event, old, new, _ in steps], living)
    table = pa.table(
        {
            "from_one_id": pa.array(list(redirects), pa.int64()),
            "to_one_id": pa.array(list(redirects.values()), pa.int64()),
        }
    )
    lake.overwrite("identity.redirects", table)
    shares = sorted(shares_of_parts(steps).items())
    inheritances = pa.table(
        {
            "one_id": pa.array([one_id for (one_id, _), _ in shares], pa.int64()),
            "from_one_id": pa.array([other for (_, other), _ in shares], pa.int64()),
            "parted_on": pa.array([share.parted_on for _, share in shares], pa.date32()),
            "shared_until": pa.array([share.shared_until for _, share in shares], pa.date32()),
        }
    )
    lake.overwrite("identity.inheritances", inheritances)
    return table


def write_one_ids(
    lake: Lake,
    night: IdentityNight,
    one_ids: pa.Table,
    redirects: pa.Table,
    living: pa.Table,
    kinds_by_profile: ProfileKinds,
) -> None:
    """Bring kind, status, successor, size and place of every id to tonight; no id ever leaves the dictionary.

    ``one_ids`` is the dictionary as it is stored, by ascending id. ``living`` has every OneID of the map with its number
    of profiles ``n`` and the ``smallest`` of them.
    """
    ids = one_ids["one_id"].to_numpy()
    places = np.searchsorted(
        ids, kinds_by_profile.one_ids
    )  # minted ids are the largest, so the table is in order
    alive = np.searchsorted(ids, living["one_id"].to_numpy())
    counts = np.zeros(len(ids), dtype=np.int64)
    counts[alive] = living["n"].to_numpy()
    smallest = np.zeros(len(ids), dtype=np.int64)
    smallest[alive] = living["smallest"].to_numpy()
    lives = counts > 0
    last_held = pc.if_else(
        pa.array(lives), pa.scalar(night.business_date, pa.date32()), one_ids["last_held_on"]
    )
    kinds = pc.index_in(one_ids["kind"], value_set=pa.array(KINDS)).to_numpy().astype(np.int64)
    kinds[places] = 0
    np.maximum.at(kinds, places, kinds_by_profile.ranks)
    merged_places = np.searchsorted(ids, redirects["from_one_id"].to_numpy())
    successors, has_none = np.zeros(len(ids), dtype=np.int64), np.ones(len(ids), dtype=bool)
    successors[merged_places] = redirects["to_one_id"].to_numpy()
    has_none[merged_places] = False
    status = np.where(lives, 0, np.where(has_none, 2, 1))
    after = pa.table(
        {
            "one_id": ids,
            "anchor_profile_id": one_ids["anchor_profile_id"],
            "created_on": one_ids["created_on"],
            "kind": pa.array(KINDS).take(pa.array(kinds)),
            "status": pa.array(_STATUSES).take(pa.array(status)),
            "successor": pa.array(successors, mask=has_none),
            "profile_count": counts,
            "last_profile_id": pc.if_else(pa.array(lives), pa.array(smallest), one_ids["last_profile_id"]),
            "last_held_on": last_held,
        }
    ).cast(one_ids.schema)
    if not after.equals(one_ids):
        lake.overwrite("identity.one_ids", after)
