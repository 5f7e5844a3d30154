"""Replay: inside a component that breaks a limit, join link by link, best evidence first, and refuse what breaks it.

Only violating components come here. In a component without a violation no union would ever be refused, so the
result equals a replay of everything, at the cost of the few. A refused union stays refused: later links are weaker.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np

from identity.arrays import above, distinct, distinct_pairs
from identity.graph import ABSENT, Graph, Refusal
from identity.guards import fact_codes
from identity.rules import Rules

_NOBODY = -1


@dataclass
class _Side:
    """What one growing person holds: values per limited key, and the smallest profile in it."""

    values: dict[Hashable, set[int]] = field(default_factory=dict)
    profile: int = _NOBODY


def order_of_evidence(graph: Graph, rules: Rules, links: np.ndarray) -> np.ndarray:
    """Give links sorted by strength of namespace, verified, recency, then profile and identifier."""
    strengths = np.array(
        [getattr(rules.rule(name), "strength", 0) for name in graph.namespaces], dtype=np.int64
    )
    by = graph.links
    strength = strengths[graph.identifiers.namespaces[by.identifiers[links]]]
    keys = (
        by.identifiers[links],
        by.profiles[links],
        -by.observed[links].astype(np.int64),
        ~by.verified[links],
        -strength,
    )
    return links[np.lexsort(keys)]


def find_violators(
    graph: Graph, rules: Rules, *, labels: np.ndarray, usable: np.ndarray, with_facts: bool
) -> np.ndarray:
    """Give the labels of components that hold more distinct values of something than one person may.

    Unique namespaces count the identifiers that ``usable`` links reach; facts count where ``with_facts``.
    """
    size = len(graph.profiles)
    reached = distinct(graph.links.identifiers[usable])
    found = []
    for code, name in enumerate(graph.namespaces):
        limit = getattr(rules.rule(name), "unique", None)
        if limit is not None:
            held = reached[graph.identifiers.namespaces[reached] == code]
            found.append(above(labels[size + held], limit))
    for fact in rules.disagree if with_facts else ():
        for _, codes in fact_codes(graph, fact):
            known = codes != ABSENT
            people, _ = distinct_pairs(labels[:size][known], codes[known])
            found.append(above(people, 1))
    return distinct(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)


def replay(
    graph: Graph,
    rules: Rules,
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
    limits = {
        c: r.unique for c, n in enumerate(graph.namespaces) if (r := rules.rule(n)) is not None and r.unique
    }
    sides = _sides(graph, rules, labels=labels, places=places, limits=limits, with_facts=with_facts)
    parent = {int(label): int(label) for label in distinct(labels[places])}

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    refusals: list[Refusal] = []
    for link, end in zip(links.tolist(), ends.tolist(), strict=True):
        profile = int(graph.links.profiles[link])
        a, b = root(int(labels[profile])), root(int(labels[end]))
        if a == b:
            continue
        one, other = sides[a], sides[b]
        broken = _broken(one, other, limits)
        if broken is not None:
            what = graph.namespaces[broken] if isinstance(broken, int) else str(broken)
            rule = "unique" if isinstance(broken, int) else "disagree"
            refusals.append(Refusal(link, rule, what, profile, other.profile))
            continue
        low, high = min(a, b), max(a, b)
        kept, gone = sides[low], sides.pop(high)
        parent[high] = low
        for key, values in gone.values.items():
            kept.values.setdefault(key, set()).update(values)
        known = [p for p in (kept.profile, gone.profile) if p != _NOBODY]
        kept.profile = min(known, default=_NOBODY)
    return {label: root(label) for label in parent}, refusals


def _broken(one: _Side, other: _Side, limits: dict[int, int]) -> Hashable | None:
    """Give what a union would break: a unique namespace's code or the name of a fact; None when it is fine."""
    for key, values in one.values.items():
        others = other.values.get(key)
        if not others:
            continue
        if isinstance(key, int):
            if len(values | others) > limits[key]:
                return key
        elif values.isdisjoint(others):
            return key
    return None


def _sides(
    graph: Graph,
    rules: Rules,
    *,
    labels: np.ndarray,
    places: np.ndarray,
    limits: dict[int, int],
    with_facts: bool,
) -> dict[int, _Side]:
    size, total = len(graph.profiles), len(graph.profiles) + len(graph.identifiers)
    sides = {int(label): _Side() for label in distinct(labels[places])}
    people = places[places < size]
    for place in people.tolist():
        side = sides[int(labels[place])]
        side.profile = place if side.profile == _NOBODY else min(side.profile, place)
    for place in places[(places >= size) & (places < total)].tolist():
        code = int(graph.identifiers.namespaces[place - size])
        if code in limits:
            sides[int(labels[place])].values.setdefault(code, set()).add(place)
    if with_facts:
        for fact in rules.disagree:
            for label, codes in fact_codes(graph, fact):
                for place in people[codes[people] != ABSENT].tolist():
                    sides[int(labels[place])].values.setdefault(label, set()).add(int(codes[place]))
    return sides
