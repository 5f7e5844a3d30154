"""From links to people: tier by tier, guarded, connected, checked, replayed where a limit breaks. Pure.

Stronger evidence comes first (documents and accounts, then contacts, then devices), so that a contact is judged by
the people it touches and not by the records. Each tier is one pass of union-find on arrays; only components that
break a limit are replayed link by link.
"""

from __future__ import annotations

import numpy as np

from identity.arrays import distinct
from identity.components import components
from identity.graph import ABSENT, Graph, Grouping, Refusal
from identity.guards import judge_holders
from identity.replay import find_violators, order_of_evidence, replay
from identity.rules import TIERS, Rules


def connect(graph: Graph, rules: Rules) -> Grouping:
    """Give who is one person. Same graph and rules, in any input order, give the same answer."""
    size, links = len(graph.profiles), graph.links
    places = size + len(graph.identifiers)
    labels = np.arange(places, dtype=np.int64)
    states = graph.identifiers.states.copy()
    reasons = graph.identifiers.reasons.copy()
    link_states = np.full(len(links), "idle", dtype=object)
    ends = links.identifiers.astype(np.int64) + size
    tier_of = np.array([_tier(rules, name) for name in graph.namespaces], dtype=np.int64)
    link_tiers = (
        tier_of[graph.identifiers.namespaces[links.identifiers]]
        if len(links)
        else np.zeros(0, dtype=np.int64)
    )
    used = np.zeros(0, dtype=np.int64)
    refusals: list[Refusal] = []
    unusable: list[np.ndarray] = []  # refused before anything was connected: no part of raw components

    for tier in range(len(TIERS)):
        active = states == "active"
        mine = np.flatnonzero((link_tiers == tier) & active[links.identifiers])
        if not len(mine):
            continue
        if tier == 1:
            young = np.isin(labels[links.profiles[mine]], distinct(labels[:size][graph.profiles.minors]))
            link_states[mine[young]] = "refused"
            refusals += [
                Refusal(link, "minor", f"below {rules.contacts_from_age}", int(links.profiles[link]), ABSENT)
                for link in mine[young].tolist()
            ]
            unusable.append(mine[young])
            mine = mine[~young]
        if tier > 0:
            wanted = np.flatnonzero(tier_of == tier).tolist()
            verdict = judge_holders(
                graph, rules, links=mine, groups=labels[:size], used=used, namespaces=wanted
            )
            for node, reason in verdict.shared.items():
                states[node], reasons[node] = "shared", reason
            link_states[verdict.expired] = "expired"
            apart = dict(verdict.sub_nodes)
            alone = np.arange(places, places + len(set(apart.values())), dtype=np.int64)
            for link, number in apart.items():
                ends[link] = places + number
                link_states[link] = "corroborated"
            labels, places = np.concatenate([labels, alone]), places + len(alone)
            kept = ((states == "active")[links.identifiers[mine]] & (link_states[mine] != "expired")) | (
                link_states[mine] == "corroborated"
            )
            mine = mine[kept]
        link_states[mine[link_states[mine] == "idle"]] = "active"
        joined = components(labels[links.profiles[mine]], labels[ends[mine]], places, start=labels)
        usable = np.concatenate([used, mine])
        violators = find_violators(graph, rules, labels=joined, usable=usable, with_facts=tier > 0)
        if len(violators):
            touched = np.flatnonzero(np.isin(joined, violators))
            within = mine[np.isin(joined[links.profiles[mine]], violators)]
            ordered = order_of_evidence(graph, rules, within)
            after, refused = replay(
                graph,
                rules,
                links=ordered,
                ends=ends[ordered],
                labels=labels,
                places=touched,
                with_facts=tier > 0,
            )
            before = np.fromiter(after, dtype=np.int64, count=len(after))
            target = np.fromiter(after.values(), dtype=np.int64, count=len(after))
            order = np.argsort(before)
            joined[touched] = target[order][np.searchsorted(before[order], labels[touched])]
            for refusal in refused:
                link_states[refusal.link] = "refused"
            refusals += refused
        labels = joined
        used = np.concatenate([used, mine[link_states[mine] != "refused"]])

    offered = np.flatnonzero(
        np.isin(link_states, ["active", "corroborated", "refused"])
        & ~np.isin(np.arange(len(links)), np.concatenate(unusable or [used[:0]]))
    )
    raw = components(links.profiles[offered], ends[offered], places)
    total = size + len(graph.identifiers)
    return Grouping(labels[:size], raw[:total], states, reasons, link_states, refusals)


def _tier(rules: Rules, namespace: str) -> int:
    rule = rules.rule(namespace)
    return -1 if rule is None or rule.tier is None else rule.tier
