"""Checks of a grouping after the fact: people that hold what a limit forbids, people too large for any night."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identity.components.arrays import distinct
from identity.joining.constraints import constraints_of
from identity.reading.graph import Graph, Grouping
from identity.reading.observe import Observed
from identity.rules.rules import Rules
from lakehouse.errors import GateStopped

_JOINS = ("active", "corroborated")


def count_violations(graph: Graph, grouping: Grouping, rules: Rules) -> int:
    """Count people that hold what a limit forbids, from the links that joined and not from how they were joined."""
    constraints = constraints_of(graph, rules)
    links = graph.links
    joins = np.isin(grouping.link_states, _JOINS)
    codes = graph.identifiers.namespaces[links.identifiers]
    violators = []
    for code, limit in constraints.unique.items():
        mine = joins & (codes == code)
        violators.append(limit.owners_above(grouping.people[links.profiles[mine]], links.identifiers[mine]))
    for values in constraints.never:
        people = values.limit.owners_above(grouping.people[values.places], values.codes)
        alone = values.limit.owners_above(values.places, values.codes)
        # A record that contradicts itself is no merge.
        violators.append(np.setdiff1d(people, grouping.people[alone]))
    decisions = graph.decisions
    one = grouping.people[decisions.cannot_a]
    violators.append(one[one == grouping.people[decisions.cannot_b]])
    return len(distinct(np.concatenate(violators)))


@dataclass(frozen=True)
class LargePerson:
    """A person that is too large for any night: how large, its smallest profile, and the sentence that refuses it."""

    profiles: int
    profile_id: int
    sentence: str


def large_person(observed: Observed, grouping: Grouping, rules: Rules) -> LargePerson | None:
    """Give the largest person where it is above ``largest_person.stop_above``; the sentence names what joins most of it."""
    limit = rules.largest_person.stop_above
    sizes = np.bincount(grouping.people, minlength=1)
    largest = int(sizes.argmax())
    if sizes[largest] <= limit:
        return None
    graph = observed.graph
    mine = (grouping.people[graph.links.profiles] == largest) & np.isin(grouping.link_states, _JOINS)
    carriers = np.bincount(graph.links.identifiers[mine], minlength=len(graph.identifiers))
    place = int(carriers.argmax())
    namespace = graph.namespaces[int(graph.identifiers.namespaces[place])] if carriers.any() else "decision"
    value = observed.masked_of(place) if carriers.any() else "must_link"
    return LargePerson(
        int(sizes[largest]),
        int(graph.profiles.node_ids[largest]),
        f"one person would have {int(sizes[largest])} profiles, at most {limit} are allowed: {namespace} {value} joins "
        f"{int(carriers.max(initial=0))} of them; block that value in identity.yml (namespaces.{namespace}.block), "
        f"or raise largest_person.stop_above",
    )


def refuse_large_people(observed: Observed, grouping: Grouping, rules: Rules) -> None:
    """Raise ``GateStopped`` where a person is above ``largest_person.stop_above``."""
    person = large_person(observed, grouping, rules)
    if person is not None:
        raise GateStopped(person.sentence)
