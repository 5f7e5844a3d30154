"""The decision about raw components: one pure function of their rows and the rules.

It knows no lake, table, file, session or clock, and looks at nothing beyond the components it is given, so a night may
call it once with everything it decides, or once per bucket of whole raw components with the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pyarrow as pa

from identity.joining.connect import connect
from identity.reading.decisions import PairDecision, decision_pairs
from identity.reading.graph import ABSENT, UNDATED, Graph, Grouping
from identity.reading.observe import Observed, observe
from identity.reading.values import KeyedHashes
from identity.rules.rules import Rules

NO_CARRIERS = pa.table({"identifier_id": pa.array([], pa.int64()), "n": pa.array([], pa.int64())})


@dataclass(frozen=True)
class RawComponents:
    """Whole raw components, and what the decision about them needs to know of the rest.

    ``customers`` and ``observations``: all delivered rows of their profiles (columns of ``identity.reading.records``).
    ``nodes``: the dictionary, or the part of it that these rows may name; ``highest`` its largest number: profiles and
    values it does not have are numbered from there on. Who decides bucket by bucket gives a dictionary that has all.
    ``decisions``: those in force; one about a profile that is not here waits. ``outside``: ``identifier_id, n``, carriers
    of an identifier that are not here. ``common_names``: ``source, full_name``, the names that are nobody's, a statistic
    over the records of everybody. ``hashes``: what the key has made of values before.
    """

    customers: pa.Table
    observations: pa.Table
    nodes: pa.Table
    highest: int
    decisions: Sequence[PairDecision]
    common_names: pa.Table
    outside: pa.Table
    hashes: Mapping[str, KeyedHashes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class ComponentOutcome:
    """What was decided about raw components: the graph of their records, and who is one person in it."""

    observed: Observed
    grouping: Grouping

    @property
    def graph(self) -> Graph:
        """The graph that was decided."""
        return self.observed.graph

    @property
    def people(self) -> np.ndarray:
        """Per profile, the smallest profile id of its person."""
        return self.graph.profiles.node_ids[self.grouping.people]

    def raw_components(self) -> pa.Table:
        """Give ``node_id, raw_component_id, is_profile`` of all nodes that are in a component.

        Identifiers that connect nothing are in none: a raw component has profiles, and they come first.
        """
        size = len(self.graph.profiles)
        node_ids = np.concatenate([self.graph.profiles.node_ids, self.graph.identifiers.node_ids])
        inside = np.flatnonzero(self.grouping.raw_components < size)
        return pa.table(
            {
                "node_id": node_ids[inside],
                "raw_component_id": node_ids[self.grouping.raw_components[inside]],
                "is_profile": inside < size,
            }
        )

    def links(self) -> pa.Table:
        """Give one row per profile and identifier, with what became of the link (columns of ``identity.links``)."""
        graph, grouping = self.graph, self.grouping
        links, profiles = graph.links, self.observed.profiles
        of_link = pa.array(graph.identifiers.namespaces[links.identifiers], pa.int64())
        return pa.table(
            {
                "profile_id": graph.profiles.node_ids[links.profiles],
                "identifier_id": graph.identifiers.node_ids[links.identifiers],
                "source": profiles["source"].take(pa.array(links.profiles, pa.int64())),
                "namespace": pa.array(graph.namespaces, pa.string()).take(of_link),
                "verified": links.verified,
                "status": pa.array(grouping.link_states, pa.string()),
                "ended_on": _days(grouping.ended_on),
                "due_on": _days(grouping.due_on),
            }
        )

    def node_states(self) -> pa.Table:
        """Give ``node_id, state, reason`` of identifiers that are on a record and do not simply join."""
        graph, grouping = self.graph, self.grouping
        has_carrier = np.zeros(len(graph.identifiers), dtype=bool)
        has_carrier[graph.links.identifiers] = True
        states, reasons = grouping.states.copy(), grouping.reasons.copy()
        for node, reason in grouping.owner_reasons.items():
            if states[node] == "active":
                states[node], reasons[node] = "owned", reason
        off = np.flatnonzero(has_carrier & (states != "active"))
        return pa.table(
            {
                "node_id": graph.identifiers.node_ids[off],
                "state": pa.array(states[off], pa.string()),
                "reason": pa.array(reasons[off], pa.string()),
            }
        )

    def refused_links(self) -> pa.Table:
        """Give every statement that joined nobody, with rule, reason and the other side, sorted."""
        return refused_links(self.observed, self.grouping)


def decide_components(
    components: RawComponents, rules: Rules, *, key: bytes, business_date: date
) -> ComponentOutcome:
    """Decide who is one person; the order of rows never matters."""
    observed = observe(
        customers=components.customers,
        observations=components.observations,
        nodes=components.nodes,
        rules=rules,
        key=key,
        business_date=business_date,
        common_names=components.common_names,
        highest=components.highest,
        hashes=components.hashes,
    )
    graph = observed.graph
    counts = _counts_at(graph.identifiers.node_ids, components.outside)
    graph = replace(
        graph,
        identifiers=replace(graph.identifiers, outside=counts),
        decisions=decision_pairs(components.decisions, observed.profiles),
    )
    return ComponentOutcome(replace(observed, graph=graph), connect(graph, rules))


def _counts_at(node_ids: np.ndarray, outside: pa.Table) -> np.ndarray:
    """Give the number of carriers elsewhere per identifier (ascending ids), 0 where none is stated."""
    counts = np.zeros(len(node_ids), dtype=np.int64)
    identifiers = outside["identifier_id"].to_numpy()
    here = np.isin(identifiers, node_ids)
    counts[np.searchsorted(node_ids, identifiers[here])] = outside["n"].to_numpy()[here]
    return counts


def _days(days: np.ndarray) -> pa.Array:
    return pa.array(days, pa.int32(), mask=days == UNDATED).cast(pa.date32())


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
        if of_links:  # attributes are idle without being refused
            at = at[grouping.states[ends] != "active"]
            ends = links.identifiers[at]
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
    return in_order(pa.concat_tables(tables))


def in_order(refused_links: pa.Table) -> pa.Table:
    """Sort refused links; their order is that of the table."""
    names = ("profile_id", "namespace", "identifier_id", "rule", "reason")
    return refused_links.sort_by([(name, "ascending") for name in names])
