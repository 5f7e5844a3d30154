"""Which number of last night each person keeps.

The records that carried a number last night may be in several persons tonight: its *parts*. The number stays with the
part that holds it longest, so that a merge undone leaves it with whom it was before; records of devices alone stand
back behind a part that says who somebody is, and weight decides between parts that came to it together. Where another
number survives there, and most of the number's own people are elsewhere, it stays with those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identity.numbering.holdings import NONE
from identity.numbering.memory import Memory
from identity.numbering.people import PeopleTonight, PersonPlaces


@dataclass(frozen=True)
class Parts:
    """One entry per pair of person and number its records carried last night, with the evidence of those records.

    ``since`` is the earliest time one of them holds the number, ``senior_weight`` the evidence of those that hold it so
    long; ``owns`` tells whether it is the own number of any. The last three are computed where a number has several parts.
    """

    component: np.ndarray
    one_id: np.ndarray
    weight: np.ndarray
    strongest: np.ndarray
    count: np.ndarray
    smallest: np.ndarray
    is_known: np.ndarray
    since: np.ndarray
    senior_weight: np.ndarray
    owns: np.ndarray
    is_heaviest: np.ndarray


@dataclass(frozen=True)
class Carriers:
    """Profiles that carried a number last night, in the order of person, number and profile; where each part starts."""

    places: np.ndarray
    components: np.ndarray
    one_ids: np.ndarray
    starts: np.ndarray


def carriers_of(people: PersonPlaces, tonight: PeopleTonight) -> Carriers:
    """Give the carriers of last night's numbers."""
    at = np.flatnonzero(people.earlier != NONE)
    at = at[np.lexsort((tonight.profile_ids[at], people.earlier[at], people.component[at]))]
    components, one_ids = people.component[at], people.earlier[at]
    differs = (components[1:] != components[:-1]) | (one_ids[1:] != one_ids[:-1])
    starts = np.flatnonzero(np.r_[True, differs]) if len(at) else np.zeros(0, dtype=np.int64)
    return Carriers(at, components, one_ids, starts)


def parts_of(carriers: Carriers, tonight: PeopleTonight, memory: Memory) -> Parts:
    """Give the parts of last night's numbers."""
    at, starts = carriers.places, carriers.starts
    weight = tonight.weights[at].astype(np.int64)
    owners = memory.owners.places(tonight.profile_ids[at])
    has_memory = owners >= 0
    since, owns = np.zeros(len(at), dtype=np.int64), np.zeros(len(at), dtype=bool)
    since[has_memory] = memory.owners.carries_since[owners[has_memory]]
    owns[has_memory] = memory.owners.own[owners[has_memory]] == carriers.one_ids[has_memory]
    first = _per_part(np.minimum, since, starts)
    counts = np.diff(np.r_[starts, len(at)])
    is_senior = since == np.repeat(first, counts)
    sums, smallest = _per_part(np.add, weight, starts), tonight.profile_ids[at][starts]
    one_id = carriers.one_ids[starts]
    return Parts(
        component=carriers.components[starts],
        one_id=one_id,
        weight=sums,
        strongest=_per_part(np.maximum, weight, starts),
        count=counts,
        smallest=smallest,
        is_known=_per_part(np.logical_or, tonight.is_known[at], starts),
        since=first,
        senior_weight=_per_part(np.add, np.where(is_senior, weight, 0), starts),
        owns=_per_part(np.logical_or, owns, starts),
        is_heaviest=_is_first(one_id, (smallest, -counts, -sums)),
    )


def keep_numbers(parts: Parts, one_ids: np.ndarray) -> np.ndarray:
    """Give persons that have no number yet the one they keep, in ``one_ids``; give the part each number is at home in."""
    has_number = one_ids[parts.component] != NONE
    is_given = one_ids[parts.component] == parts.one_id
    is_home = _is_first(
        parts.one_id,
        (
            parts.smallest,
            -parts.count,
            -parts.weight,
            -parts.senior_weight,
            parts.since,
            ~parts.is_known,
            ~is_given,
        ),
    )
    is_free = ~np.isin(parts.one_id, one_ids)
    is_movable = parts.is_heaviest & parts.owns & ~is_home & is_free
    while True:
        at = np.flatnonzero(is_home & ~has_number & is_free)
        survives = is_home & is_given
        # Ids are minted in ascending order: the smaller one is the older one.
        survives[at] = _is_first(parts.component[at], (parts.one_id[at], -parts.strongest[at]))
        moves = is_movable & np.isin(parts.one_id, parts.one_id[is_home & ~survives])
        if not moves.any():
            one_ids[parts.component[survives]] = parts.one_id[survives]
            return is_home
        is_home = (is_home & ~np.isin(parts.one_id, parts.one_id[moves])) | moves
        is_movable &= ~moves


def _per_part(ufunc: np.ufunc, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Reduce the values of each part, of which there may be none."""
    return np.asarray(ufunc.reduceat(values, starts)) if len(starts) else values[:0]


def _is_first(groups: np.ndarray, rank: tuple[np.ndarray, ...]) -> np.ndarray:
    """Tell for each entry whether it is the first of its group; ``rank`` as ``np.lexsort`` takes it, the last key first."""
    order = np.lexsort((*rank, groups))
    in_order = groups[order]
    is_first = np.zeros(len(order), dtype=bool)
    if len(order):
        is_first[order[np.r_[True, in_order[1:] != in_order[:-1]]]] = True
    return is_first
