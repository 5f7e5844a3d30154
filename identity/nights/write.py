"""Writing what a night decided: change sets of the states, then the derived tables, the log and the dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.nights.mint import Assignment, closed_redirects
from identity.reading.graph import ABSENT, UNDATED, Graph, Grouping
from identity.reading.observe import Observed
from identity.reading.tables import Tables
from identity.rules.rules import Rules
from lakehouse.states.rule import Scope as StateScope

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

FEED = "identity"
# The first of these that reached somebody is told as the cause.
CAUSE_ORDER = ("rules", "decision", "links", "time")
_KINDS = ("anonymous", "prospect", "customer")
_STATUSES = ("active", "merged", "retired")


@dataclass(frozen=True)
class Scope:
    """Node ids whose rows a night may change, where it does not decide everything."""

    profiles: np.ndarray
    identifiers: np.ndarray


def write_states(
    lake: Lake,
    observed: Observed,
    grouping: Grouping,
    assignment: Assignment,
    rules: Rules,
    scope: Scope | None,
    business_date: date,
) -> None:
    """Write the change sets of links, node states and the map: one commit each, none where nothing changed."""
    graph = observed.graph
    links = graph.links
    namespaces = pa.array(graph.namespaces, pa.string())
    profiles = observed.profiles
    of_link = pa.array(links.profiles, pa.int64())
    tables = {
        "identity.links": {
            "profile_id": graph.profiles.node_ids[links.profiles],
            "identifier_id": graph.identifiers.node_ids[links.identifiers],
            "source": profiles["source"].take(of_link),
            "namespace": namespaces.take(
                pa.array(graph.identifiers.namespaces[links.identifiers], pa.int64())
            ),
            "verified": links.verified,
            "status": pa.array(grouping.link_states, pa.string()),
            "ended_on": _days(grouping.ended_on),
            "due_on": _days(grouping.due_on),
        },
        "identity.node_states": _node_states(graph, grouping),
        "identity.memberships": {
            "one_id": assignment.one_ids,
            "source": profiles["source"],
            "source_key": profiles["source_key"],
            "profile_id": graph.profiles.node_ids,
        },
    }
    for table, columns in tables.items():
        rows = pa.table(columns)
        size = rows.num_rows
        rows = rows.append_column("_file", pa.repeat(f"rules {rules.version}", size)).append_column(
            "_row", pa.array(np.zeros(size, dtype=np.int64))
        )
        part = None
        if scope is not None:
            of_nodes = table == "identity.node_states"
            part = (
                StateScope("node_id", pa.array(scope.identifiers))
                if of_nodes
                else StateScope("profile_id", pa.array(scope.profiles))
            )
        lake.change_states(table, rows, feed=FEED, business_date=business_date, mode="snapshot", scope=part)


def _days(days: np.ndarray) -> pa.Array:
    return pa.array(days, pa.int32(), mask=days == UNDATED).cast(pa.date32())


def _node_states(graph: Graph, grouping: Grouping) -> dict[str, Any]:
    carried = np.zeros(len(graph.identifiers), dtype=bool)
    carried[graph.links.identifiers] = True
    states, reasons = grouping.states.copy(), grouping.reasons.copy()
    for node, reason in grouping.owned.items():
        if states[node] == "active":
            states[node], reasons[node] = "owned", reason
    off = np.flatnonzero(carried & (states != "active"))
    return {
        "node_id": graph.identifiers.node_ids[off],
        "state": pa.array(states[off], pa.string()),
        "reason": pa.array(reasons[off], pa.string()),
    }


def write_derived(
    lake: Lake,
    tables: Tables,
    observed: Observed,
    grouping: Grouping,
    scope: Scope | None,
    business_date: date,
) -> None:
    """Bring raw components and refused links to the night; rows of what it did not decide stay.

    Components come first: they tell a later attempt what this one decided.
    """
    graph, size = observed.graph, len(observed.graph.profiles)
    node_ids = np.concatenate([graph.profiles.node_ids, graph.identifiers.node_ids])
    # Identifiers that connect nothing are in no component: a raw component has profiles, and they come first.
    inside = np.flatnonzero(grouping.raw_components < size)
    raw = pa.table(
        {
            "node_id": node_ids[inside],
            "raw_component_id": node_ids[grouping.raw_components[inside]],
            "is_profile": inside < size,
            "computed_on": pa.repeat(pa.scalar(business_date, pa.date32()), len(inside)),
        }
    )
    refused = refused_links(observed, grouping)
    if scope is not None:
        tables.take("decided_now", raw.select(["node_id"]))
        kept = tables.sql(
            """
            SELECT node_id, raw_component_id, is_profile, computed_on FROM identity.components
            WHERE raw_component_id NOT IN (SELECT raw_component_id FROM touched_raw)
            AND node_id NOT IN (SELECT node_id FROM decided_now)
            """
        )
        raw = pa.concat_tables([kept.cast(raw.schema), raw])
        tables.take("written_profiles", pa.table({"node_id": scope.profiles}))
        kept = tables.sql(
            f"""
            SELECT {", ".join(refused.column_names)} FROM identity.refused_links
            WHERE profile_id NOT IN (SELECT node_id FROM written_profiles)
            """
        )
        refused = _in_order(pa.concat_tables([kept.cast(refused.schema), refused]))
    lake.overwrite("identity.components", raw)
    lake.overwrite("identity.refused_links", refused)


def refused_links(observed: Observed, grouping: Grouping) -> pa.Table:
    """Give every statement that joined nobody, with rule, reason and the other side, sorted."""
    graph = observed.graph
    links = graph.links
    schema = pa.schema(
        [("profile_id", pa.int64()), ("identifier_id", pa.int64()), ("namespace", pa.string()), ("rule", pa.string()),
         ("reason", pa.string()), ("other_profile_id", pa.int64())]
    )  # fmt: skip
    size = observed.invalid.num_rows
    tables = [
        pa.table(
            [observed.invalid["profile_id"], pa.nulls(size, pa.int64()), observed.invalid["namespace"],
             pa.array(["invalid"] * size, pa.string()), observed.invalid["reason"], pa.nulls(size, pa.int64())],
            schema=schema,
        )
    ]  # fmt: skip
    for state, of_links in (("idle", True), ("expired", False)):
        at = np.flatnonzero(grouping.link_states == state)
        ends = links.identifiers[at]
        tier_less = grouping.states[ends] == "active"
        if of_links:  # attributes are idle without being refused
            at, ends = at[~tier_less], ends[~tier_less]
        rules = grouping.states[ends] if of_links else np.full(len(at), "expired", dtype=object)
        reasons = (
            grouping.reasons[ends] if of_links else np.full(len(at), "a newer verified holder", dtype=object)
        )
        tables.append(
            pa.table(
                [graph.profiles.node_ids[links.profiles[at]], graph.identifiers.node_ids[ends],
                 pa.array(graph.namespaces, pa.string()).take(pa.array(graph.identifiers.namespaces[ends])),
                 pa.array(rules, pa.string()), pa.array(reasons, pa.string()), pa.nulls(len(at), pa.int64())],
                schema=schema,
            )
        )  # fmt: skip
    rows = []
    for refusal in grouping.refusals:
        end = int(links.identifiers[refusal.link]) if refusal.link != ABSENT else ABSENT
        other = refusal.other_profile
        namespace = "decision" if end == ABSENT else graph.namespaces[int(graph.identifiers.namespaces[end])]
        rows.append(
            {
                "profile_id": int(graph.profiles.node_ids[refusal.profile]),
                "identifier_id": int(graph.identifiers.node_ids[end]) if end != ABSENT else None,
                "namespace": namespace,
                "rule": refusal.rule,
                "reason": refusal.reason,
                "other_profile_id": int(graph.profiles.node_ids[other]) if other != ABSENT else None,
            }
        )
    tables.append(pa.Table.from_pylist(rows, schema=schema))
    return _in_order(pa.concat_tables(tables))


def _in_order(refused: pa.Table) -> pa.Table:
    names = ("profile_id", "namespace", "identifier_id", "rule", "reason")
    return refused.sort_by([(name, "ascending") for name in names])


def write_lineage(
    lake: Lake, assignment: Assignment, causes: dict[int, str], rules: Rules, business_date: date
) -> None:
    """Replace the night's events: what changed between its map and the one before, and what reached the people."""
    events = assignment.events
    size = len(events)
    told = [
        first_cause(causes, event.to_one_id, *([event.from_one_id] if event.from_one_id else []))
        for event in events
    ]
    rows = pa.table(
        {
            "happened_on": pa.repeat(pa.scalar(business_date, pa.date32()), size),
            "event": pa.array([event.event for event in events], pa.string()),
            "from_one_id": pa.array([event.from_one_id or None for event in events], pa.int64()),
            "to_one_id": pa.array([event.to_one_id or None for event in events], pa.int64()),
            "profile_count": pa.array([event.profile_count for event in events], pa.int64()),
            "cause": pa.array(told, pa.string()),
            "rules_version": pa.repeat(rules.version, size),
        }
    )
    lake.replace_partition("identity.lineage_events", rows, happened_on=business_date)


def first_cause(causes: dict[int, str], *one_ids: int) -> str:
    """Give the first cause that reached any of these people; links where none is known."""
    known = [causes[one_id] for one_id in one_ids if one_id in causes]
    return min(known, key=CAUSE_ORDER.index, default="links")


def write_redirects(lake: Lake, living: np.ndarray) -> dict[int, int]:
    """Write the redirects that follow from all lineage, and give them."""
    events = lake.read_arrow(
        "identity.lineage_events", columns=["happened_on", "event", "from_one_id", "to_one_id"]
    )
    kept = pc.is_in(events["event"], value_set=pa.array(["MERGE", "RESURRECT"]))
    events = events.filter(kept).sort_by(
        [("happened_on", "ascending"), ("event", "descending"), ("from_one_id", "ascending")]
    )
    steps = zip(
        events["event"].to_pylist(),
        events["from_one_id"].to_pylist(),
        events["to_one_id"].to_pylist(),
        strict=True,
    )
    redirects = closed_redirects(list(steps), set(living.tolist()) if events.num_rows else set())
    table = pa.table(
        {
            "from_one_id": pa.array(list(redirects), pa.int64()),
            "to_one_id": pa.array(list(redirects.values()), pa.int64()),
        }
    )
    lake.overwrite("identity.redirects", table)
    return redirects


def write_one_ids(
    lake: Lake,
    one_ids: pa.Table,
    redirects: dict[int, int],
    living: pa.Table,
    *,
    people: np.ndarray,
    ranks: np.ndarray,
    business_date: date,
) -> None:
    """Bring kind, status, successor, size and place of every id to tonight; no id ever leaves the dictionary.

    ``one_ids`` is the dictionary as it is stored, by ascending id. ``living`` has every OneID of the map with its number of profiles ``n`` and the ``smallest`` of them. ``people`` and ``ranks`` tell, per profile
    that may change its person's kind, the OneID and what the profile makes of it (``kind_ranks``).
    """
    ids = one_ids["one_id"].to_numpy()
    places = np.searchsorted(ids, people)  # minted ids are the largest, so the table is in order
    alive = np.searchsorted(ids, living["one_id"].to_numpy())
    counts = np.zeros(len(ids), dtype=np.int64)
    counts[alive] = living["n"].to_numpy()
    smallest = np.zeros(len(ids), dtype=np.int64)
    smallest[alive] = living["smallest"].to_numpy()
    lives = counts > 0
    last_held = pc.if_else(pa.array(lives), pa.scalar(business_date, pa.date32()), one_ids["last_held_on"])
    kinds = pc.index_in(one_ids["kind"], value_set=pa.array(_KINDS)).to_numpy().astype(np.int64)
    kinds[places] = 0
    np.maximum.at(kinds, places, ranks)
    merged = np.searchsorted(ids, np.fromiter(redirects, np.int64, count=len(redirects)))
    successors, has_none = np.zeros(len(ids), dtype=np.int64), np.ones(len(ids), dtype=bool)
    successors[merged] = np.fromiter(redirects.values(), np.int64, count=len(redirects))
    has_none[merged] = False
    status = np.where(lives, 0, np.where(has_none, 2, 1))
    after = pa.table(
        {
            "one_id": ids,
            "anchor_profile_id": one_ids["anchor_profile_id"],
            "created_on": one_ids["created_on"],
            "kind": pa.array(_KINDS).take(pa.array(kinds)),
            "status": pa.array(_STATUSES).take(pa.array(status)),
            "successor": pa.array(successors, mask=has_none),
            "profile_count": counts,
            "last_profile_id": pc.if_else(pa.array(lives), pa.array(smallest), one_ids["last_profile_id"]),
            "last_held_on": last_held,
        }
    ).cast(one_ids.schema)
    if not after.equals(one_ids):
        lake.overwrite("identity.one_ids", after)


def kind_ranks(observed: Observed) -> np.ndarray:
    """Give each profile's kind as a rank: 2 customer, 1 prospect, 0 anonymous.

    A profile without a row in customers is a prospect when it carries a document or a contact, else anonymous.
    """
    graph = observed.graph
    ranks = np.array(
        [_KINDS.index(kind) if kind in _KINDS else 0 for kind in observed.kinds.tolist()], dtype=np.int64
    )
    unknown = np.array([kind is None for kind in observed.kinds.tolist()], dtype=bool)
    telling = np.array(
        [
            n.split("@")[0] in ("national_id", "passport", "phone", "email", "customer_no")
            for n in graph.namespaces
        ]
    )
    if len(telling) and unknown.any():
        by = graph.links.profiles[telling[graph.identifiers.namespaces[graph.links.identifiers]]]
        known = np.zeros(len(ranks), dtype=bool)
        known[by] = True
        ranks[unknown & known] = 1
    return ranks
