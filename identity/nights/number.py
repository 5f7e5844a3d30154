"""Numbers for the people of a night: what tables say of numbers given before, handed to ``identity.nights.mint``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.joining.decide import ComponentOutcome
from identity.nights.kinds import kind_ranks
from identity.nights.night import IdentityNight
from identity.nights.plan import NightPlan, Reach
from identity.numbering.holdings import Holders
from identity.numbering.mint import (
    Assignment,
    HeldElsewhere,
    OneIdDictionary,
    assign_one_ids,
    claimable,
    held_elsewhere,
    places_of,
)
from identity.numbering.people import MapBefore, PeopleTonight, map_before
from identity.reading.facts import days_of
from identity.reading.holdings import SCHEMA, define_holdings
from identity.reading.tables import OWN_BEFORE
from identity.rules.rules import Rules
from lakehouse.engine.duckdb import DuckDBEngine
from lakehouse.query.desk import Desk

if TYPE_CHECKING:
    from lakehouse.engine import Rows
    from lakehouse.tables.lake import Lake

_COLUMNS = ", ".join(SCHEMA.names)


@dataclass(frozen=True)
class Numbering:
    """The numbers of a night.

    ``minted`` are the rows the dictionary has to gain, ``one_ids`` is the dictionary with them, by ascending id.
    ``before`` is the map of the night before, of the part that is decided.
    """

    assignment: Assignment
    minted: pa.Table
    one_ids: pa.Table
    before: Holders


def number_people(
    lake: Lake, desk: Desk, night: IdentityNight, plan: NightPlan, outcome: ComponentOutcome
) -> Numbering:
    """Give every person of the outcome its OneID; nothing is written."""
    rows = lake.read_arrow("identity.one_ids").sort_by("one_id")
    dictionary = _dictionary_of(rows, night)
    holdings = define_holdings(DuckDBEngine(desk), night.published)
    before = _map_before(desk, holdings, plan.reach, night)
    tonight = PeopleTonight(
        outcome.graph.profiles.node_ids,
        outcome.people,
        weights_of(outcome, night.rules),
        kind_ranks(outcome.observed) > 0,
    )
    elsewhere = None
    if plan.reach is not None:
        ids = np.concatenate([before.history.one_ids, before.published.one_ids])
        elsewhere = _held_elsewhere(
            desk, holdings, plan.reach, np.union1d(claimable(tonight.profile_ids, dictionary), ids)
        )
    assignment = assign_one_ids(tonight, before, dictionary, elsewhere)
    minted = _minted_rows(assignment, night).cast(rows.schema)
    return Numbering(assignment, minted, pa.concat_tables([rows, minted]), before.last)


def _dictionary_of(rows: pa.Table, night: IdentityNight) -> OneIdDictionary:
    places = places_of(
        pc.fill_null(rows["last_profile_id"], 0).to_numpy(),
        pc.fill_null(rows["last_held_on"].cast(pa.int32()).cast(pa.int64()), 0).to_numpy(),
        pc.equal(rows["status"], "active").to_numpy(),
        day=days_of(night.business_date),
    )
    return OneIdDictionary(rows["one_id"].to_numpy(), rows["anchor_profile_id"].to_numpy(), places)


def _map_before(desk: Desk, holdings: Rows, reach: Reach | None, night: IdentityNight) -> MapBefore:
    """Give the rows of the map that start before the day, which a first run of the day sees, and what the day published."""
    within = "" if reach is None else f"WHERE profile_id IN (SELECT node_id FROM {reach.profiles})"
    rows = desk.arrow(f"SELECT {_COLUMNS} FROM {holdings} {within}")
    has_nights = desk.value(f"SELECT count(*) > 0 FROM {holdings} WHERE NOT is_published")
    return map_before(rows, night.business_date, has_nights=has_nights)


def _held_elsewhere(desk: Desk, holdings: Rows, reach: Reach, one_ids: np.ndarray) -> HeldElsewhere:
    """Tell of these OneIDs who held them that the night does not decide, and which of them these still hold."""
    claims = desk.take("claimable_ids", pa.table({"one_id": one_ids}))
    rows = desk.keep(
        "held_elsewhere",
        f"""
        SELECT {_COLUMNS} FROM {holdings}
        WHERE one_id IN (SELECT one_id FROM {claims})
        AND profile_id NOT IN (SELECT node_id FROM {reach.profiles} WHERE node_id IS NOT NULL)
        """,
    )
    stated_profiles = f"SELECT profile_id FROM identity.memberships WHERE {OWN_BEFORE}"
    return held_elsewhere(
        desk.arrow(f"SELECT {_COLUMNS}, profile_id IN ({stated_profiles}) AS is_stated FROM {rows}")
    )


def weights_of(outcome: ComponentOutcome, rules: Rules) -> np.ndarray:
    """Give each profile the strength of its strongest link, at least 1."""
    graph = outcome.graph
    strengths = np.array(
        [getattr(rules.rule(name), "strength", 1) for name in graph.namespaces] or [1], dtype=np.int64
    )
    weights = np.ones(len(graph.profiles), dtype=np.int64)
    joins = np.isin(outcome.grouping.link_states, ["active", "corroborated"])
    strength = strengths[graph.identifiers.namespaces[graph.links.identifiers[joins]]]
    np.maximum.at(weights, graph.links.profiles[joins], strength)
    return weights


def _minted_rows(assignment: Assignment, night: IdentityNight) -> pa.Table:
    size = len(assignment.minted_ids)
    return pa.table(
        {
            "one_id": assignment.minted_ids,
            "anchor_profile_id": assignment.minted_anchors,
            "created_on": pa.repeat(pa.scalar(night.business_date, pa.date32()), size),
            "kind": pa.repeat("anonymous", size),
            "status": pa.repeat("retired", size),
            "successor": pa.nulls(size, pa.int64()),
            "profile_count": np.zeros(size, dtype=np.int64),
            "last_profile_id": pa.nulls(size, pa.int64()),
            "last_held_on": pa.nulls(size, pa.date32()),
        }
    )
