"""How a night compares with the one before: who moved and why, what grew, what no bound allows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from identity.components.arrays import above, distinct, distinct_pairs
from identity.joining.constraints import constraints_of
from identity.nights.mint import Assignment
from identity.nights.touched import Plan
from identity.nights.write import CAUSE_ORDER, first_cause
from identity.reading.graph import Graph, Grouping
from identity.reading.observe import Observed
from identity.rules.rules import Rules
from lakehouse.errors import GateStopped

# The first of these that reached a component is named as the cause of what became of its people.
_CAUSES = CAUSE_ORDER
_CAUSE_OF = {"rules": "rules", "decision": "decision", "records": "links", "names": "links", "time": "time"}


@dataclass(frozen=True)
class Moves:
    """Profiles whose OneID is another one than on the night before; see the contract of ``identity.nights``."""

    known_profiles: int = 0
    by_cause: dict[str, int] = field(default_factory=dict)
    quietly: int = 0
    untouched: int = 0
    largest_growth: int = 0


def moves_of(plan: Plan, graph: Graph, grouping: Grouping, assignment: Assignment, before: pa.Table) -> Moves:
    """Measure a night against the map of the night before (profile_id, one_id; the part that is decided)."""
    if not before.num_rows:
        return Moves()
    ids = graph.profiles.node_ids
    earlier = _looked_up(before["profile_id"].to_numpy(), before["one_id"].to_numpy(), ids)
    known = earlier != 0
    moved = known & (earlier != assignment.one_ids)
    of_ids = causes_of(plan, graph, grouping, assignment, before)
    pairs = zip(earlier[moved].tolist(), assignment.one_ids[moved].tolist(), strict=True)
    told = [first_cause(of_ids, *pair) for pair in pairs]
    by_cause = {cause: told.count(cause) for cause in _CAUSES if cause in told}
    quietly = untouched = 0
    if plan.causes is not None and plan.touched_ids is not None and not _everybody(plan):
        listed = np.array([c in _CAUSE_OF for c in plan.causes["cause"].to_pylist()], dtype=bool)
        reached = plan.causes["node_id"].to_numpy()[listed]
        loud = distinct(before["one_id"].to_numpy()[np.isin(before["profile_id"].to_numpy(), reached)])
        quietly = int((moved & ~np.isin(earlier, loud)).sum())
        untouched = int((moved & ~np.isin(ids, plan.touched_ids)).sum())
    return Moves(
        known_profiles=int(known.sum()),
        by_cause=by_cause,
        quietly=quietly,
        untouched=untouched,
        largest_growth=_largest_growth(before["one_id"].to_numpy(), assignment.one_ids),
    )


def _largest_growth(before: np.ndarray, after: np.ndarray) -> int:
    ids, sizes = np.unique(after, return_counts=True)
    was, old = np.unique(before, return_counts=True)
    return int((sizes - _looked_up(was, old, ids)).max(initial=0))


def causes_of(
    plan: Plan, graph: Graph, grouping: Grouping, assignment: Assignment, before: pa.Table
) -> dict[int, str]:
    """Give per OneID (of tonight and of the night before) what reached its people; none where nothing did."""
    per_profile = _cause_per_profile(plan, graph, grouping)
    found: dict[int, int] = {}
    earlier = _looked_up(
        before["profile_id"].to_numpy(), before["one_id"].to_numpy(), graph.profiles.node_ids
    )
    for ids in (assignment.one_ids, earlier):
        order = np.lexsort((per_profile, ids))
        first = order[np.r_[True, ids[order][1:] != ids[order][:-1]]] if len(order) else order
        for one_id, cause in zip(ids[first].tolist(), per_profile[first].tolist(), strict=True):
            found[one_id] = min(found.get(one_id, cause), cause)
    return {one_id: _CAUSES[cause] for one_id, cause in found.items() if cause < len(_CAUSES)}


def _everybody(plan: Plan) -> bool:
    """Tell whether the rules, and nothing smaller, are why all records were decided."""
    return plan.is_full and plan.why_full not in ("asked for", "the first night")


def _cause_per_profile(plan: Plan, graph: Graph, grouping: Grouping) -> np.ndarray:
    """Give each profile the first cause that reached its raw component, as a place in ``_CAUSES`` (beyond: none)."""
    size = len(graph.profiles)
    if plan.causes is None:
        return np.full(size, len(_CAUSES))
    if _everybody(plan):
        return np.zeros(size, dtype=np.int64)
    names = [_CAUSE_OF.get(cause) for cause in plan.causes["cause"].to_pylist()]
    nodes = plan.causes["node_id"].to_numpy()
    places = np.searchsorted(graph.profiles.node_ids, nodes)
    there = (places < size) & np.isin(nodes, graph.profiles.node_ids)
    lowest = np.full(size, len(_CAUSES))
    components = grouping.raw_components[:size]
    for place, name in enumerate(_CAUSES):
        mine = there & np.array([told == name for told in names], dtype=bool)
        np.minimum.at(lowest, components[places[mine]], place)
    return np.asarray(lowest[components])


def count_violations(graph: Graph, grouping: Grouping, rules: Rules) -> int:
    """Count people that hold what a limit forbids, from the links that joined and not from how they were joined."""
    constraints = constraints_of(graph, rules)
    links = graph.links
    joined = np.isin(grouping.link_states, ["active", "corroborated"])
    codes = graph.identifiers.namespaces[links.identifiers]
    found = []
    for code, limit in constraints.unique.items():
        mine = joined & (codes == code)
        people, _ = distinct_pairs(grouping.people[links.profiles[mine]], links.identifiers[mine])
        found.append(above(people, limit))
    for held in constraints.never:
        people, _ = distinct_pairs(grouping.people[held.places], held.codes)
        alone, _ = distinct_pairs(held.places, held.codes)  # a record that contradicts itself is no merge
        found.append(np.setdiff1d(above(people, held.limit), grouping.people[above(alone, held.limit)]))
    decided = graph.decided
    one = grouping.people[decided.cannot_a]
    found.append(one[one == grouping.people[decided.cannot_b]])
    return len(distinct(np.concatenate(found)))


def refuse_strangers(observed: Observed, grouping: Grouping, rules: Rules) -> None:
    """Raise ``GateStopped`` where a person is larger than any, and name the identifier that joins most of it."""
    limit = rules.largest_person.stop_above
    sizes = np.bincount(grouping.people, minlength=1)
    largest = int(sizes.argmax())
    if sizes[largest] <= limit:
        return
    graph = observed.graph
    mine = (grouping.people[graph.links.profiles] == largest) & np.isin(
        grouping.link_states, ["active", "corroborated"]
    )
    carried = np.bincount(graph.links.identifiers[mine], minlength=len(graph.identifiers))
    place = int(carried.argmax())
    namespace = graph.namespaces[int(graph.identifiers.namespaces[place])] if carried.any() else "decision"
    shown = observed.masked_of(place) if carried.any() else "must_link"
    raise GateStopped(
        f"one person would have {int(sizes[largest])} profiles, at most {limit} are allowed: {namespace} {shown} joins "
        f"{int(carried.max(initial=0))} of them; block that value in identity.yml (namespaces.{namespace}.block), "
        f"or raise largest_person.stop_above"
    )


def _looked_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Give the value of each wanted key, 0 where there is none."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    at = np.clip(np.searchsorted(keys[order], wanted), 0, len(keys) - 1)
    return np.where(keys[order][at] == wanted, values[order][at], 0)
