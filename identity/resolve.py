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
from identity.graph import Graph, Grouping
from identity.mint import Assignment, assign_one_ids
from identity.observe import observe
from identity.rules import Rules, load_rules
from identity.workspace_key import workspace_key
from identity.write import write_derived, write_lineage, write_one_ids, write_redirects, write_states

if TYPE_CHECKING:
    from lakehouse.lake import Lake

log = logging.getLogger("cdp.identity")
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
    write_states(lake, observed, grouping, assignment, rules, business_date)
    clock.lap("write_states")
    write_derived(lake, observed, grouping)
    write_lineage(lake, assignment, rules, business_date)
    living = distinct(assignment.one_ids)
    redirects = write_redirects(lake, business_date, living)
    write_one_ids(lake, observed, one_ids, assignment, redirects)
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
