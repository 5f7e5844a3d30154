"""Replay: inside a component that breaks a limit, join link by link, best evidence first, and refuse what breaks it.

Only violating components come here. In a component without a violation no union would ever be refused, so the
result equals a replay of everything, at the cost of the few. A refused union stays refused: later links are weaker.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc

from identity.components.arrays import distinct
from identity.joining.constraints import Constraints
from identity.joining.limits import Key, Limit
from identity.reading.graph import ABSENT, Graph, Refusal
from identity.rules.rules import Rules

_NOBODY = -1


@dataclass
class _Side:
    """What one growing person holds: values per limit, whom it must not meet, and the smallest profile in it."""

    values: dict[Key, set[int]] = field(default_factory=dict)
    decision_ends: set[int] = field(default_factory=set)
    enemies: dict[int, str] = field(default_factory=dict)
    profile: int = _NOBODY

    def take(self, other: _Side) -> None:
        for key, values in other.values.items():
            self.values.setdefault(key, set()).update(values)
        self.decision_ends |= other.decision_ends
        self.enemies |= other.enemies
        profiles = [p for p in (self.profile, other.profile) if p != _NOBODY]
        self.profile = min(profiles, default=_NOBODY)


def order_of_evidence(graph: Graph, rules: Rules, links: np.ndarray) -> np.ndarray:
    """Give links sorted by strength of namespace, verified, recency, then keys of profile and identifier.

    Keys and not numbers of nodes end the order: who is one person must not depend on which night met a record first.
    """
    strengths = np.array(
        [getattr(rules.rule(name), "strength", 0) for name in graph.namespaces], dtype=np.int64
    )
    by = graph.links
    identifiers = by.identifiers[links]
    strength = strengths[graph.identifiers.namespaces[identifiers]]
    each = distinct(identifiers)
    ranks = np.empty(len(each), dtype=np.int64)
    ranks[pc.sort_indices(graph.identifiers.values.take(each)).to_numpy()] = np.arange(len(each))
    keys = (
        ranks[np.searchsorted(each, identifiers)],
        graph.identifiers.namespaces[identifiers],
        graph.profiles.ranks[by.profiles[links]],
        -by.observed[links].astype(np.int64),
        ~by.verified[links],
        -strength,
    )
    return links[np.lexsort(keys)]


class Replay:
    """Joins sides one union at a time and refuses the ones that would break a limit."""

    def __init__(self, graph: Graph, constraints: Constraints, *, with_facts: bool) -> None:
        self.graph = graph
        self.constraints = constraints
        self.values = [*constraints.never, *(constraints.facts if with_facts else [])]
        self.limits: dict[Key, Limit] = {limit.key: limit for limit in constraints.unique.values()} | {
            values.limit.key: values.limit for values in self.values
        }
        self.sides: dict[int, _Side] = {}
        self.parent: dict[int, int] = {}

    def start(self, labels: np.ndarray, places: np.ndarray) -> None:
        """Begin with the people ``labels`` among the node ``places`` of violating components."""
        size, total = len(self.graph.profiles), len(self.graph.profiles) + len(self.graph.identifiers)
        self.parent = {int(label): int(label) for label in distinct(labels[places])}
        self.sides = {label: _Side() for label in self.parent}
        for place in places[places < size].tolist():
            side = self.sides[int(labels[place])]
            side.profile = place if side.profile == _NOBODY else min(side.profile, place)
        for place in places[(places >= size) & (places < total)].tolist():
            code = int(self.graph.identifiers.namespaces[place - size])
            if code in self.constraints.unique:
                self.hold(int(labels[place]), self.constraints.unique[code].key, place - size)
        for values in self.values:
            mine = np.isin(values.places, places)
            for place, value in zip(values.places[mine].tolist(), values.codes[mine].tolist(), strict=True):
                self.hold(int(labels[place]), values.limit.key, value)
        self._part(labels)

    def hold(self, label: int, key: Key, value: int) -> None:
        """Let a person hold one more value of something."""
        self.sides[label].values.setdefault(key, set()).add(value)

    def _part(self, labels: np.ndarray) -> None:
        pairs = self.graph.decisions
        for a, b, decision in zip(
            pairs.cannot_a.tolist(), pairs.cannot_b.tolist(), pairs.cannot_ids, strict=True
        ):
            for one, other in ((a, b), (b, a)):
                side = self.sides.get(int(labels[one]))
                if side is not None:
                    side.decision_ends.add(one)
                    side.enemies[other] = decision

    def root(self, label: int) -> int:
        """Give the person a label belongs to by now."""
        parent = self.parent
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    def join(self, a: int, b: int) -> tuple[Key, int] | None:
        """Join two labels; give what forbids it and a profile of the second side, None when it was done."""
        a, b = self.root(a), self.root(b)
        if a == b:
            return None
        one, other = self.sides[a], self.sides[b]
        key = self._key_against(one, other)
        if key is not None:
            return key, other.profile
        low, high = min(a, b), max(a, b)
        self.parent[high] = low
        self.sides[low].take(self.sides.pop(high))
        return None

    def _key_against(self, one: _Side, other: _Side) -> Key | None:
        small, large = (one, other) if len(one.enemies) <= len(other.enemies) else (other, one)
        for enemy, decision in small.enemies.items():
            if enemy in large.decision_ends:
                return ("cannot_link", f"decision {decision}")
        for key, values in one.values.items():
            others = other.values.get(key)
            if not others:
                continue
            if key[0] == "disagree":
                if values.isdisjoint(others):
                    return key
            elif self.limits[key].forbids(len(values), len(others), len(values | others)):
                return key
        return None


def replay(
    graph: Graph,
    constraints: Constraints,
    *,
    links: np.ndarray,
    ends: np.ndarray,
    labels: np.ndarray,
    places: np.ndarray,
    with_facts: bool,
) -> tuple[dict[int, int], list[Refusal]]:
    """Join the people of violating components again, refusing unions that would break a limit.

    ``links`` in order of evidence, ``ends`` the node place each of them leads to, ``labels`` the people before this
    tier, ``places`` all node places of the violating components. Gives label before → smallest place after, and the
    refusals.
    """
    run = Replay(graph, constraints, with_facts=with_facts)
    run.start(labels, places)
    refusals: list[Refusal] = []
    for link, end in zip(links.tolist(), ends.tolist(), strict=True):
        profile = int(graph.links.profiles[link])
        obstacle = run.join(int(labels[profile]), int(labels[end]))
        if obstacle is not None:
            (rule, reason), other = obstacle
            refusals.append(Refusal(link, rule, reason, profile, other))
    return {label: run.root(label) for label in run.parent}, refusals


def join_decisions(
    graph: Graph, constraints: Constraints, usable: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[Refusal]]:
    """Give the pairs of profiles that must-links join, and those a limit refuses.

    A decision stands above all links, but not above what two records carry themselves: two identity numbers, a
    never-merge key or a later cannot-link refuse it, for somebody to look at. ``usable`` are links of good identifiers.
    """
    decisions = graph.decisions
    if not len(decisions.must_a):
        return decisions.must_a, decisions.must_b, []
    labels = np.arange(len(graph.profiles) + len(graph.identifiers), dtype=np.int64)
    run = Replay(graph, constraints, with_facts=False)
    ends = distinct(np.concatenate([decisions.must_a, decisions.must_b]))
    run.start(labels, ends)
    links = graph.links
    for link in usable[np.isin(links.profiles[usable], ends)].tolist():
        code = int(graph.identifiers.namespaces[links.identifiers[link]])
        if code in constraints.unique:
            key = constraints.unique[code].key
            run.hold(int(links.profiles[link]), key, int(links.identifiers[link]))
    usable_pairs, refusals = [], []
    pairs = zip(decisions.must_a.tolist(), decisions.must_b.tolist(), decisions.must_ids, strict=True)
    for place, (a, b, decision) in enumerate(pairs):
        obstacle = run.join(a, b)
        if obstacle is None:
            usable_pairs.append(place)
        else:
            (rule, reason), _ = obstacle
            refusals.append(
                Refusal(ABSENT, "must_link", f"{rule} {reason}: conflict with decision {decision}", a, b)
            )
    return decisions.must_a[usable_pairs], decisions.must_b[usable_pairs], refusals
