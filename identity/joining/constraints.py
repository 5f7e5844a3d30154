"""What no person may hold: too many of a namespace, contradicting facts, never-merge keys, pairs decided apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identity.components.arrays import above, distinct, distinct_pairs
from identity.joining.guards import fact_codes
from identity.reading.graph import ABSENT, Graph
from identity.rules.rules import Rules

Key = tuple[str, str]


@dataclass(frozen=True)
class Held:
    """Values that profiles hold of one thing: places and codes side by side; ``limit`` distinct ones are allowed.

    ``key`` is the rule a refusal names and its reason.
    """

    key: Key
    places: np.ndarray
    codes: np.ndarray
    limit: int


@dataclass(frozen=True)
class Constraints:
    """All limits of a graph. ``unique`` counts identifiers by the place of their node, the others codes of profiles."""

    unique: dict[int, int]
    never: list[Held]
    facts: list[Held]


def constraints_of(graph: Graph, rules: Rules) -> Constraints:
    """Give what the rules forbid in this graph."""
    unique = {
        code: rule.unique
        for code, name in enumerate(graph.namespaces)
        if (rule := rules.rule(name)) is not None and rule.unique
    }
    facts = []
    for fact in rules.disagree:
        for label, codes in fact_codes(graph, fact):
            known = np.flatnonzero(codes != ABSENT)
            facts.append(Held(("disagree", label), known, codes[known], 1))
    return Constraints(unique, _never(graph, rules), facts)


def _never(graph: Graph, rules: Rules) -> list[Held]:
    found = []
    links = graph.links
    for never in rules.never_merge:
        if never.source is not None:
            if never.source in graph.profiles.source_names:
                mine = np.flatnonzero(
                    graph.profiles.sources == graph.profiles.source_names.index(never.source)
                )
                found.append(Held(("never_merge", never.source), mine, mine, 1))
            continue
        for code, name in enumerate(graph.namespaces):
            if rules.matches(never.namespace or "", name):
                told = np.flatnonzero(
                    (graph.identifiers.namespaces[links.identifiers] == code)
                    & (graph.identifiers.states[links.identifiers] != "blocked")
                )
                found.append(
                    Held(
                        ("never_merge", name),
                        links.profiles[told].astype(np.int64),
                        links.identifiers[told].astype(np.int64),
                        1,
                    )
                )
    return found


def find_violators(
    graph: Graph, constraints: Constraints, *, labels: np.ndarray, usable: np.ndarray, with_facts: bool
) -> np.ndarray:
    """Give the labels of components that hold what one person may not.

    Unique namespaces count the identifiers that ``usable`` links reach; facts count where ``with_facts``.
    """
    size = len(graph.profiles)
    reached = distinct(graph.links.identifiers[usable])
    found = []
    for code, limit in constraints.unique.items():
        held = reached[graph.identifiers.namespaces[reached] == code]
        found.append(above(labels[size + held], limit))
    for held_of in [*constraints.never, *(constraints.facts if with_facts else [])]:
        people, _ = distinct_pairs(labels[held_of.places], held_of.codes)
        found.append(above(people, held_of.limit))
    decided = graph.decided
    together = labels[decided.cannot_a] == labels[decided.cannot_b]
    found.append(labels[decided.cannot_a[together]])
    return distinct(np.concatenate(found))
