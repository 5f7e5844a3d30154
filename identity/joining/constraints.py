"""What no person may hold: too many of a namespace, contradicting facts, never-merge keys, pairs decided apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identity.components.arrays import distinct
from identity.joining.guards import fact_codes
from identity.joining.limits import Limit
from identity.reading.graph import ABSENT, Graph
from identity.rules.rules import Rules


@dataclass(frozen=True)
class LimitedValues:
    """Values that profiles hold of one thing, and the limit of distinct ones; places and codes side by side."""

    limit: Limit
    places: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class Constraints:
    """All limits of a graph's people. ``unique`` counts identifiers, by code of namespace, the others codes of profiles."""

    unique: dict[int, Limit]
    never: list[LimitedValues]
    facts: list[LimitedValues]


def constraints_of(graph: Graph, rules: Rules) -> Constraints:
    """Give what the rules forbid in this graph."""
    unique = {
        code: Limit(rule.unique, "unique", name)
        for code, name in enumerate(graph.namespaces)
        if (rule := rules.rule(name)) is not None and rule.unique
    }
    facts = []
    for fact in rules.disagree:
        for label, codes in fact_codes(graph, fact):
            places = np.flatnonzero(codes != ABSENT)
            facts.append(LimitedValues(Limit(1, "disagree", label), places, codes[places]))
    return Constraints(unique, _never(graph, rules), facts)


def _never(graph: Graph, rules: Rules) -> list[LimitedValues]:
    values = []
    links = graph.links
    for never in rules.never_merge:
        if never.source is not None:
            if never.source in graph.profiles.source_names:
                mine = np.flatnonzero(
                    graph.profiles.sources == graph.profiles.source_names.index(never.source)
                )
                values.append(LimitedValues(Limit(1, "never_merge", never.source), mine, mine))
            continue
        for code, name in enumerate(graph.namespaces):
            if rules.matches(never.namespace or "", name):
                mine = np.flatnonzero(
                    (graph.identifiers.namespaces[links.identifiers] == code)
                    & (graph.identifiers.states[links.identifiers] != "blocked")
                )
                values.append(
                    LimitedValues(
                        Limit(1, "never_merge", name),
                        links.profiles[mine].astype(np.int64),
                        links.identifiers[mine].astype(np.int64),
                    )
                )
    return values


def find_violators(
    graph: Graph, constraints: Constraints, *, labels: np.ndarray, usable: np.ndarray, with_facts: bool
) -> np.ndarray:
    """Give the labels of components that hold what one person may not.

    Unique namespaces count the identifiers that ``usable`` links lead to; facts count where ``with_facts``.
    """
    size = len(graph.profiles)
    identifiers = distinct(graph.links.identifiers[usable])
    violators = []
    for code, limit in constraints.unique.items():
        mine = identifiers[graph.identifiers.namespaces[identifiers] == code]
        violators.append(limit.owners_above(labels[size + mine]))
    for values in [*constraints.never, *(constraints.facts if with_facts else [])]:
        violators.append(values.limit.owners_above(labels[values.places], values.codes))
    decisions = graph.decisions
    together = labels[decisions.cannot_a] == labels[decisions.cannot_b]
    violators.append(labels[decisions.cannot_a[together]])
    return distinct(np.concatenate(violators))
