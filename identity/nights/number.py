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
from identity.numbering.holdings import OPEN, History, Holders, Lifetimes
from identity.numbering.mint import (
    Assignment,
    HeldElsewhere,
    OneIdDictionary,
    assign_one_ids,
    claimable,
    places_of,
)
from identity.numbering.people import MapBefore, PeopleTonight
from identity.reading.facts import days_of
from identity.reading.published_night import CORRECTIONS, MEMBERSHIPS
from identity.reading.tables import OWN_BEFORE, qualified
from identity.rules.rules import Rules
from lakehouse.contracts.reading import contract
from lakehouse.query.desk import Desk, Relation

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

# A time of numbering is a day and, within it, the publication that a map was seen in.
_DAY = 2**20
_COLUMNS = "profile_id, one_id, since, until, joins, is_last, is_published"


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
    holdings = _holdings(desk, night)
    before = _map_before(desk, holdings, plan.reach, night)
    tonight = PeopleTonight(
        outcome.graph.profiles.node_ids,
        outcome.people,
        _weights(outcome, night.rules),
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


def _holdings(desk: Desk, night: IdentityNight) -> Relation:
    """Define who held which OneID, with ``_COLUMNS``: on nights before the day, and as the day has published it.

    What a later run of a night took back was held too, until the publication that it corrects. A record whose number was
    taken back for one that somebody else had been published with joined that one, on whatever day both began.
    """
    published = night.published
    memberships, corrections_of_night = (
        (
            contract(MEMBERSHIPS).arrow_schema().empty_table(),
            contract(CORRECTIONS).arrow_schema().empty_table(),
        )
        if published is None
        else (published.memberships, published.corrections)
    )
    desk.let(seq=0 if published is None else published.seq)
    of_night = desk.take("published_rows", memberships)
    columns = "happened_on, publication_seq, profile_id, old_one_id, new_one_id, event"
    corrections = desk.keep(
        "corrections",
        f"""
        SELECT *, lag(publication_seq) OVER (PARTITION BY profile_id, happened_on ORDER BY publication_seq) AS earlier
        FROM (SELECT {columns} FROM {CORRECTIONS} WHERE happened_on < $day
              UNION ALL SELECT {columns} FROM {desk.take("corrections_of_night", corrections_of_night)})
        """,
    )
    last_corrections = desk.keep(
        "last_corrections",
        f"""
        SELECT profile_id, happened_on, max(publication_seq) + 1 AS after,
               list(new_one_id) FILTER (WHERE event IN ('MERGE', 'MOVE')) AS joined
        FROM {corrections} GROUP BY profile_id, happened_on
        """,
    )
    return desk.define(
        "holdings",
        f"""
        SELECT m.profile_id, m.one_id, {_time("m.valid_from")} + coalesce(c.after, 0) AS since,
               CASE WHEN NOT {qualified(OWN_BEFORE, "m")} THEN {_time("m.valid_to")}
                    WHEN m.profile_id IN (SELECT profile_id FROM {of_night}) THEN {_time("$day")}
                    ELSE {OPEN} END AS until,
               coalesce(list_contains(c.joined, m.one_id), false) AS joins,
               {qualified(OWN_BEFORE, "m")} AS is_last, false AS is_published
        FROM identity.memberships m
        LEFT JOIN {last_corrections} c ON c.profile_id = m.profile_id AND c.happened_on = m.valid_from
        WHERE m.valid_from < $day
        UNION ALL
        SELECT profile_id, old_one_id, {_time("happened_on")} + coalesce(earlier + 1, 0),
               {_time("happened_on")} + publication_seq + 1, false, false, happened_on = $day
        FROM {corrections}
        UNION ALL
        SELECT m.profile_id, m.one_id, {_time("$day")} + coalesce(c.after, 0), {_time("$day")} + $seq + 1,
               coalesce(list_contains(c.joined, m.one_id), false), false, true
        FROM {of_night} m
        LEFT JOIN {last_corrections} c ON c.profile_id = m.profile_id AND c.happened_on = $day
        WHERE m.valid_from = $day
        """,
    )


def _time(day: str) -> str:
    return f"(({day} - DATE '1970-01-01') * {_DAY})"


def _map_before(desk: Desk, holdings: Relation, reach: Reach | None, night: IdentityNight) -> MapBefore:
    """Give the rows of the map that start before the day, which a first run of the day sees, and what the day published."""
    within = "" if reach is None else f"WHERE profile_id IN (SELECT node_id FROM {reach.profiles})"
    rows = desk.arrow(f"SELECT {_COLUMNS} FROM {holdings} {within}")
    last = rows.filter(rows["is_last"])
    return MapBefore(
        Holders(last["profile_id"].to_numpy(), last["one_id"].to_numpy()),
        _history(rows.filter(pc.invert(rows["is_published"]))),
        _history(rows.filter(rows["is_published"])),
        starts=days_of(night.business_date) * _DAY,
    )


def _history(rows: pa.Table) -> History:
    columns = {name: rows[name].to_numpy() for name in ("profile_id", "one_id", "since", "until", "joins")}
    return History(
        columns["profile_id"], columns["one_id"], columns["since"], columns["until"], columns["joins"]
    )


def _held_elsewhere(desk: Desk, holdings: Relation, reach: Reach, one_ids: np.ndarray) -> HeldElsewhere:
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
    lives = desk.arrow(f"SELECT one_id, min(since) AS first, max(until) AS last FROM {rows} GROUP BY one_id")
    stated_profiles = f"SELECT profile_id FROM identity.memberships WHERE {OWN_BEFORE}"
    return HeldElsewhere(
        Lifetimes.of(*(lives[name].to_numpy() for name in ("one_id", "first", "last"))),
        desk.arrow(f"SELECT DISTINCT one_id FROM {rows} WHERE is_last")["one_id"].to_numpy(),
        _history(desk.arrow(f"SELECT {_COLUMNS} FROM {rows} WHERE profile_id IN ({stated_profiles})")),
    )


def _weights(outcome: ComponentOutcome, rules: Rules) -> np.ndarray:
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
