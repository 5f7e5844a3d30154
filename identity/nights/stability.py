"""How a night compares with the one before: who moved and why, and what grew."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from identity.components.arrays import distinct
from identity.joining.decide import ComponentOutcome
from identity.nights.number import Numbering
from identity.nights.plan import NightPlan

# The first of these that reached a component is named as the cause of what became of its people.
CAUSES = ("rules", "decision", "links", "time")
_CAUSE_OF = {"rules": "rules", "decision": "decision", "records": "links", "names": "links", "time": "time"}


def cause_of_reach(cause: str) -> str | None:
    """Give the cause that is named for what reached a profile; None where it changes nobody by itself."""
    return _CAUSE_OF.get(cause)


@dataclass(frozen=True)
class Moves:
    """Profiles whose OneID is another one than on the night before; see the contract of ``identity.nights``."""

    by_cause: dict[str, int] = field(default_factory=dict)
    quietly: int = 0
    untouched: int = 0
    largest_growth: int = 0


@dataclass(frozen=True)
class Comparison:
    """A night against the one before: moves, and per OneID of both nights what reached its people, if anything did."""

    causes: dict[int, str]
    moves: Moves

    def first_cause(self, *one_ids: int) -> str:
        """Give the first cause that reached any of these people; links where none is known."""
        causes = [self.causes[one_id] for one_id in one_ids if one_id in self.causes]
        return min(causes, key=CAUSES.index, default="links")


def compare_with_before(plan: NightPlan, outcome: ComponentOutcome, numbering: Numbering) -> Comparison:
    """Compare the map of tonight with that of the night before, over the profiles that are decided."""
    before = numbering.before
    earlier = _values_at(before.profiles, before.one_ids, outcome.graph.profiles.node_ids)
    comparison = Comparison(_causes(plan, outcome, (numbering.assignment.one_ids, earlier)), Moves())
    if not len(before.profiles):
        return comparison
    return Comparison(comparison.causes, _moves(comparison, plan, outcome, numbering, earlier))


def _moves(
    comparison: Comparison,
    plan: NightPlan,
    outcome: ComponentOutcome,
    numbering: Numbering,
    earlier: np.ndarray,
) -> Moves:
    ids, before, one_ids = outcome.graph.profiles.node_ids, numbering.before, numbering.assignment.one_ids
    has_moved = (earlier != 0) & (earlier != one_ids)
    pairs = zip(earlier[has_moved].tolist(), one_ids[has_moved].tolist(), strict=True)
    causes = [comparison.first_cause(*pair) for pair in pairs]
    quietly = untouched = 0
    if plan.causes is not None and plan.profile_ids is not None and not plan.is_for_rules:
        has_cause = np.array([c in _CAUSE_OF for c in plan.causes["cause"].to_pylist()], dtype=bool)
        profiles = plan.causes["node_id"].to_numpy()[has_cause]
        loud = distinct(before.one_ids[np.isin(before.profiles, profiles)])
        quietly = int((has_moved & ~np.isin(earlier, loud)).sum())
        untouched = int((has_moved & ~np.isin(ids, plan.profile_ids)).sum())
    return Moves(
        by_cause={cause: causes.count(cause) for cause in CAUSES if cause in causes},
        quietly=quietly,
        untouched=untouched,
        largest_growth=_largest_growth(before.one_ids, one_ids),
    )


def _largest_growth(before: np.ndarray, after: np.ndarray) -> int:
    ids, sizes = np.unique(after, return_counts=True)
    ids_before, sizes_before = np.unique(before, return_counts=True)
    return int((sizes - _values_at(ids_before, sizes_before, ids)).max(initial=0))


def _causes(
    plan: NightPlan, outcome: ComponentOutcome, maps: tuple[np.ndarray, np.ndarray]
) -> dict[int, str]:
    """Give per OneID of two maps (one id per profile) the first cause that reached its people."""
    per_profile = _cause_per_profile(plan, outcome)
    causes: dict[int, int] = {}
    for ids in maps:
        order = np.lexsort((per_profile, ids))
        first = order[np.r_[True, ids[order][1:] != ids[order][:-1]]] if len(order) else order
        for one_id, cause in zip(ids[first].tolist(), per_profile[first].tolist(), strict=True):
            causes[one_id] = min(causes.get(one_id, cause), cause)
    return {one_id: CAUSES[cause] for one_id, cause in causes.items() if cause < len(CAUSES)}


def _cause_per_profile(plan: NightPlan, outcome: ComponentOutcome) -> np.ndarray:
    """Give each profile the first cause that reached its raw component, as a place in ``CAUSES`` (beyond: none)."""
    profile_ids = outcome.graph.profiles.node_ids
    size = len(profile_ids)
    if plan.causes is None:
        return np.full(size, len(CAUSES))
    if plan.is_for_rules:
        return np.zeros(size, dtype=np.int64)
    names = [_CAUSE_OF.get(cause) for cause in plan.causes["cause"].to_pylist()]
    nodes = plan.causes["node_id"].to_numpy()
    places = np.searchsorted(profile_ids, nodes)
    is_here = (places < size) & np.isin(nodes, profile_ids)
    lowest = np.full(size, len(CAUSES))
    components = outcome.grouping.raw_components[:size]
    for place, cause in enumerate(CAUSES):
        mine = is_here & np.array([name == cause for name in names], dtype=bool)
        np.minimum.at(lowest, components[places[mine]], place)
    return np.asarray(lowest[components])


def _values_at(keys: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Give the value of the key equal to each place, 0 where there is none."""
    if not len(keys):
        return np.zeros(len(places), dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    at = np.clip(np.searchsorted(keys[order], places), 0, len(keys) - 1)
    return np.where(keys[order][at] == places, values[order][at], 0)
