"""Writing what a night decided: change sets of the states, then the derived tables, the log and the dictionary."""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.graph import ABSENT, Graph, Grouping
from identity.mint import Assignment, closed_redirects
from identity.observe import Observed
from identity.rules import Rules

if TYPE_CHECKING:
    from lakehouse.lake import Lake

log = logging.getLogger("cdp.identity")
FEED = "identity"
_KINDS = ("anonymous", "prospect", "customer")


def write_states(
    lake: Lake,
    observed: Observed,
    grouping: Grouping,
    assignment: Assignment,
    rules: Rules,
    business_date: date,
) -> None:
    """Write the change sets of links, node states and the map: one commit each, none where nothing changed."""
    graph = observed.graph
    links = graph.links
    namespaces = pa.array(graph.namespaces, pa.string())
    sources = _sources(lake, graph)
    tables = {
        "identity.links": {
            "profile_id": graph.profiles.node_ids[links.profiles],
            "identifier_id": graph.identifiers.node_ids[links.identifiers],
            "source": sources["source"].take(pa.array(links.profiles)),
            "namespace": namespaces.take(pa.array(graph.identifiers.namespaces[links.identifiers])),
            "verified": links.verified,
            "status": pa.array(grouping.link_states, pa.string()),
        },
        "identity.node_states": _node_states(graph, grouping),
        "identity.memberships": {
            "one_id": assignment.one_ids,
            "source": sources["source"],
            "source_key": sources["source_key"],
            "profile_id": graph.profiles.node_ids,
        },
    }
    for table, columns in tables.items():
        rows = pa.table(columns)
        size = rows.num_rows
        origin = pa.array([f"rules {rules.version}"] * size, pa.string())
        rows = rows.append_column("_file", origin).append_column(
            "_row", pa.array(np.zeros(size, dtype=np.int64))
        )
        lake.change_states(table, rows, feed=FEED, business_date=business_date, mode="snapshot")


def _node_states(graph: Graph, grouping: Grouping) -> dict[str, Any]:
    carried = np.zeros(len(graph.identifiers), dtype=bool)
    carried[graph.links.identifiers] = True
    off = np.flatnonzero(carried & (grouping.states != "active"))
    return {
        "node_id": graph.identifiers.node_ids[off],
        "state": pa.array(grouping.states[off], pa.string()),
        "reason": pa.array(grouping.reasons[off], pa.string()),
    }


def _sources(lake: Lake, graph: Graph) -> pa.Table:
    """Give source and key of the profiles in their order, from the dictionary."""
    import pyarrow.dataset as ds

    nodes = lake.delta("identity.nodes").to_pyarrow_dataset()
    rows = nodes.to_table(columns=["node_id", "source", "source_key"], filter=ds.field("kind") == "profile")
    at = pc.index_in(pa.array(graph.profiles.node_ids), value_set=rows["node_id"])
    return rows.select(["source", "source_key"]).take(at).combine_chunks()


def write_derived(lake: Lake, observed: Observed, grouping: Grouping) -> None:
    """Write raw components and refused links of the night."""
    graph, size = observed.graph, len(observed.graph.profiles)
    node_ids = np.concatenate([graph.profiles.node_ids, graph.identifiers.node_ids])
    raw = pa.table({"node_id": node_ids, "raw_component_id": node_ids[grouping.raw_components]})
    lake.overwrite("identity.components", raw)
    lake.overwrite("identity.refused_links", refused_links(observed, grouping))
    log.debug("identity: %d nodes of %d profiles", len(node_ids), size)


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
        end = int(links.identifiers[refusal.link])
        other = refusal.other_profile
        rows.append(
            {
                "profile_id": int(graph.profiles.node_ids[refusal.profile]),
                "identifier_id": int(graph.identifiers.node_ids[end]),
                "namespace": graph.namespaces[int(graph.identifiers.namespaces[end])],
                "rule": refusal.rule,
                "reason": refusal.reason,
                "other_profile_id": int(graph.profiles.node_ids[other]) if other != ABSENT else None,
            }
        )
    tables.append(pa.Table.from_pylist(rows, schema=schema))
    return pa.concat_tables(tables).sort_by(
        [("profile_id", "ascending"), ("namespace", "ascending"), ("identifier_id", "ascending")]
    )


def write_lineage(lake: Lake, assignment: Assignment, rules: Rules, business_date: date) -> None:
    """Replace the night's events: what changed between its map and the one before."""
    cause = "rules" if _rules_changed(lake, rules, business_date) else "links"
    rows = [
        {
            "happened_on": business_date,
            "event": event.event,
            "from_one_id": event.from_one_id or None,
            "to_one_id": event.to_one_id or None,
            "profile_count": event.profile_count,
            "cause": cause,
            "rules_version": rules.version,
        }
        for event in assignment.events
    ]
    schema = pa.schema(
        [("happened_on", pa.date32()), ("event", pa.string()), ("from_one_id", pa.int64()), ("to_one_id", pa.int64()),
         ("profile_count", pa.int64()), ("cause", pa.string()), ("rules_version", pa.string())]
    )  # fmt: skip
    lake.replace_partition(
        "identity.lineage_events", pa.Table.from_pylist(rows, schema=schema), happened_on=business_date
    )


def _rules_changed(lake: Lake, rules: Rules, business_date: date) -> bool:
    """Tell whether the newest events before the day were made under other rules."""
    past = lake.read_arrow("identity.lineage_events", columns=["happened_on", "rules_version"])
    past = past.filter(pc.less(past["happened_on"], pa.scalar(business_date, pa.date32())))
    if not past.num_rows:
        return False
    newest = past.filter(pc.equal(past["happened_on"], pc.max(past["happened_on"])))
    return rules.version not in newest["rules_version"].to_pylist()


def write_redirects(lake: Lake, business_date: date, living: np.ndarray) -> dict[int, int]:
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
    lake: Lake, observed: Observed, one_ids: pa.Table, assignment: Assignment, redirects: dict[int, int]
) -> None:
    """Bring kind, status, successor and size of every id to tonight; no id ever leaves the dictionary."""
    ids = one_ids["one_id"].to_numpy()
    places = np.searchsorted(ids, assignment.one_ids)  # minted ids are the largest, so the table is in order
    counts = np.bincount(places, minlength=len(ids)).astype(np.int64)
    kinds = np.array([_KINDS.index(kind) for kind in one_ids["kind"].to_pylist()], dtype=np.int64)
    kinds[counts > 0] = 0
    np.maximum.at(kinds, places, kind_ranks(observed))
    successors = pa.array(
        [redirects.get(one_id) for one_id in ids.tolist()] if redirects else [None] * len(ids), pa.int64()
    )
    status = np.where(
        counts > 0,
        "active",
        np.where(pc.is_valid(successors).to_numpy(zero_copy_only=False), "merged", "retired"),
    )
    after = pa.table(
        {
            "one_id": ids,
            "anchor_profile_id": one_ids["anchor_profile_id"],
            "created_on": one_ids["created_on"],
            "kind": pa.array(np.array(_KINDS, dtype=object)[kinds], pa.string()),
            "status": pa.array(status.astype(object), pa.string()),
            "successor": successors,
            "profile_count": counts,
        }
    ).cast(one_ids.schema)
    if not after.equals(lake.read_arrow("identity.one_ids").sort_by("one_id")):
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
