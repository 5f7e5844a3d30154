"""The nightly step: open rows of trusted tables become the published map from profiles to OneIDs.

Everything is computed on the driver with arrays and written without a JVM: dictionaries first (a number given is
given for good), then change sets of the states, then the small derived tables.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import date
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.arrays import distinct
from identity.connect import connect
from identity.graph import ABSENT, Graph, Grouping
from identity.mint import Assignment, assign_one_ids, closed_redirects
from identity.observe import Observed, observe
from identity.rules import Rules, load_rules
from identity.workspace_key import workspace_key
from lakehouse.arrow_states import change_states_of_arrow

if TYPE_CHECKING:
    from lakehouse.lake import Lake

log = logging.getLogger("cdp.identity")
FEED = "identity"
TABLES = (
    "identity.nodes",
    "identity.keys",
    "identity.node_states",
    "identity.links",
    "identity.components",
    "identity.memberships",
    "identity.one_ids",
    "identity.lineage_events",
    "identity.redirects",
    "identity.refused_links",
)
_KINDS = ("anonymous", "prospect", "customer")


@dataclass(frozen=True)
class IdentityResult:
    """What one night's resolution found and did."""

    profiles: int
    one_ids: int
    largest: int
    minted: int
    events: dict[str, int]
    refused: dict[str, int]
    rules_version: str
    seconds: dict[str, float] = field(default_factory=dict)
    touched: tuple[str, ...] = TABLES

    def summary(self) -> dict[str, Any]:
        """Give what the night's report says; a rerun of the same night gives the same."""
        return {"profiles": self.profiles, "one_ids": self.one_ids, "largest": self.largest}


def resolve(lake: Lake, business_date: date) -> IdentityResult:
    """Decide which profiles are one person on ``business_date`` and write the identity tables.

    A rerun gives the same rows and mints nothing. Wrong rules or a changed key raise before anything is written.
    """
    clock = _Clock()
    rules = load_rules(lake.settings)
    key = workspace_key(lake, business_date)
    customers, observations = _open_rows(lake, business_date)
    nodes = lake.read_arrow("identity.nodes")
    clock.lap("read")
    observed = observe(
        customers=customers,
        observations=observations,
        nodes=nodes,
        rules=rules,
        key=key,
        business_date=business_date,
    )
    if observed.new_nodes.num_rows:
        lake.append("identity.nodes", observed.new_nodes)
    clock.lap("observe")
    grouping = connect(observed.graph, rules)
    clock.lap("connect")
    one_ids = lake.read_arrow("identity.one_ids").sort_by("one_id")
    past = _past_map(lake, business_date)
    assignment = _assign(observed.graph, grouping, rules, one_ids, past, business_date)
    one_ids = _with_minted(lake, one_ids, assignment, business_date)
    clock.lap("mint")
    _write_states(lake, observed, grouping, assignment, rules, business_date)
    clock.lap("write_states")
    _write_derived(lake, observed, grouping)
    _write_lineage(lake, assignment, rules, business_date)
    living = distinct(assignment.one_ids)
    redirects = _write_redirects(lake, business_date, living)
    _write_one_ids(lake, observed, one_ids, assignment, redirects)
    clock.lap("write_derived")
    sizes = np.unique(assignment.one_ids, return_counts=True)[1]
    result = IdentityResult(
        profiles=len(observed.graph.profiles),
        one_ids=len(living),
        largest=int(sizes.max(initial=0)),
        minted=len(assignment.minted_ids),
        events=_counted([event.event for event in assignment.events]),
        refused=_counted([*grouping.link_states[np.isin(grouping.link_states, ["refused", "expired"])]]),
        rules_version=rules.version,
        seconds=clock.seconds,
    )
    log.info(
        "identity: %d profiles are %d people, largest %d, %d minted, refused %s, rules %s",
        result.profiles, result.one_ids, result.largest, result.minted, result.refused, rules.version,
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


def _open_rows(lake: Lake, business_date: date) -> tuple[pa.Table, pa.Table]:
    """Give customers and observations as they were known on the day."""
    import pyarrow.dataset as ds

    known = (ds.field("valid_from") <= business_date) & (
        ds.field("valid_to").is_null() | (ds.field("valid_to") > business_date)
    )
    wanted = {
        "trusted.customers": ["source", "source_key", "kind", "full_name", "gender", "birth_date"],
        "trusted.identifier_observations": [
            "source", "source_key", "namespace", "value", "role", "verified", "observed_on", "hash_method",
        ],
    }  # fmt: skip
    found = []
    for table, columns in wanted.items():
        dataset = lake.delta(table).to_pyarrow_dataset()
        rows = dataset.to_table(columns=columns, filter=known)
        found.append(
            rows.cast(
                pa.schema(
                    [
                        (
                            c,
                            pa.date32()
                            if c in ("birth_date", "observed_on")
                            else pa.bool_()
                            if c == "verified"
                            else pa.string(),
                        )
                        for c in columns
                    ]
                )
            )
        )
    return found[0], found[1]


def _past_map(lake: Lake, business_date: date) -> pa.Table:
    """Give the rows of the map that were opened before the day: what a first run of the day saw."""
    import pyarrow.dataset as ds

    rows = lake.delta("identity.memberships").to_pyarrow_dataset()
    return rows.to_table(
        columns=["profile_id", "one_id", "valid_to"], filter=ds.field("valid_from") < business_date
    )


def _assign(
    graph: Graph, grouping: Grouping, rules: Rules, one_ids: pa.Table, past: pa.Table, business_date: date
) -> Assignment:
    open_before = pc.or_kleene(
        pc.is_null(past["valid_to"]), pc.greater_equal(past["valid_to"], business_date)
    )
    last_night = past.filter(open_before)
    return assign_one_ids(
        profile_ids=graph.profiles.node_ids,
        people=graph.profiles.node_ids[grouping.people],
        weights=_weights(graph, grouping, rules),
        previous_profiles=last_night["profile_id"].to_numpy(),
        previous_one_ids=last_night["one_id"].to_numpy(),
        known_ids=one_ids["one_id"].to_numpy(),
        known_anchors=one_ids["anchor_profile_id"].to_numpy(),
        created_tonight=pc.equal(one_ids["created_on"], business_date).to_numpy(),
        history_profiles=past["profile_id"].to_numpy(),
        history_one_ids=past["one_id"].to_numpy(),
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
            "created_on": pa.array([business_date] * size, pa.date32()),
            "kind": ["anonymous"] * size,
            "status": ["retired"] * size,
            "successor": pa.nulls(size, pa.int64()),
            "profile_count": np.zeros(size, dtype=np.int64),
        }
    )
    lake.append("identity.one_ids", minted)
    return pa.concat_tables([one_ids, minted.cast(one_ids.schema)])


def _write_states(
    lake: Lake,
    observed: Observed,
    grouping: Grouping,
    assignment: Assignment,
    rules: Rules,
    business_date: date,
) -> None:
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
        change_states_of_arrow(lake, table, rows, feed=FEED, business_date=business_date, mode="snapshot")


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


def _write_derived(lake: Lake, observed: Observed, grouping: Grouping) -> None:
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


def _write_lineage(lake: Lake, assignment: Assignment, rules: Rules, business_date: date) -> None:
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


def _write_redirects(lake: Lake, business_date: date, living: np.ndarray) -> dict[int, int]:
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


def _write_one_ids(
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
