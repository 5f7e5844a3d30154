"""People who are who a number named on an earlier night: they carry that number again, whatever was merged in between.

A person of tonight is the same as one of an earlier night where both have the same records, but for those that came or
went since. People who have not changed since last night come first, then who was the same person earliest. So a night
with the people of an earlier night gives them the numbers of that night: what decided then decides again in the same order,
and what it left is decided by that night itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identity.components.arrays import distinct
from identity.numbering.holdings import NONE, History
from identity.numbering.memory import Memory


@dataclass(frozen=True)
class _Spans:
    """Rows that hold over times, by a group each; groups and times are numbers from 0."""

    groups: np.ndarray
    since: np.ndarray
    until: np.ndarray
    times: int

    def changes(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give, for each of ``groups``, its place among them and each time at which a row of it begins or ends."""
        keys = distinct(
            np.concatenate([self.groups * self.times + self.since, self.groups * self.times + self.until])
        )
        start = np.searchsorted(keys, groups * self.times)
        count = np.searchsorted(keys, (groups + 1) * self.times) - start
        place = np.repeat(np.arange(len(groups)), count)
        offset = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
        return place, keys[np.repeat(start, count) + offset] % self.times

    def count(self, groups: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Count the rows of each group that hold at its time."""
        begins, ends = (
            np.searchsorted(
                np.sort(self.groups * self.times + edges), groups * self.times + times, side="right"
            )
            for edges in (self.since, self.until)
        )
        # Rows of smaller groups have all begun and ended: they cancel out.
        return np.asarray(begins - ends)


def same_people(
    memory: Memory,
    others: History,
    parts: tuple[np.ndarray, np.ndarray],
    live: np.ndarray,
    size: int,
    *,
    starts: int,
) -> np.ndarray:
    """Give per person the number that named the same person before, 0 where none did.

    ``others`` are the rows of all other records that are stated tonight and ever carried one of these numbers; ``parts``
    are the pairs of person and number of last night, before tonight ``starts``. A number that others carried then and
    nobody of a person did (``live``) does not come to it.
    """
    one_ids = np.full(size, NONE, dtype=np.int64)
    rows = memory.rows.also(memory.published)
    if not len(rows.profiles):
        return one_ids
    persons, of_person = np.unique(
        np.concatenate([memory.components, memory.published_components]), return_inverse=True
    )
    numbers, of_number = np.unique(rows.one_ids, return_inverse=True)
    others = others.at(np.isin(others.one_ids, numbers))
    pairs, of_pair = np.unique(of_person * len(numbers) + of_number, return_inverse=True)
    edges, codes = np.unique(
        np.concatenate([rows.since, others.since, rows.until, others.until, [starts - 1]]),
        return_inverse=True,
    )
    since, until = np.split(codes[:-1], 2)
    mine, times = slice(0, len(rows.profiles)), len(edges)
    by_person = _Spans(of_person, since[mine], until[mine], times)
    by_pair = _Spans(of_pair, since[mine], until[mine], times)
    by_number = _Spans(
        np.concatenate([of_number, np.searchsorted(numbers, others.one_ids)]), since, until, times
    )

    def agree(pair: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Tell whether holders of the number, records of the person and those that are both are as many."""
        both = by_pair.count(pair, at)
        of_both = (
            by_number.count(pairs[pair] % len(numbers), at),
            by_person.count(pairs[pair] // len(numbers), at),
        )
        return np.asarray((both > 0) & (both == of_both[0]) & (both == of_both[1]))

    place, at = (
        np.concatenate(both)
        for both in zip(
            by_number.changes(pairs % len(numbers)), by_person.changes(pairs // len(numbers)), strict=True
        )
    )
    same = agree(place, at)
    firsts = np.full(len(pairs), times)
    np.minimum.at(firsts, place[same], at[same])
    every = np.arange(len(pairs))
    is_last = agree(every, np.full(len(pairs), codes[-1]))
    components, ids = persons[pairs // len(numbers)], numbers[pairs % len(numbers)]
    may_come = ~np.isin(ids, live) | _are_pairs(components, ids, parts)
    order = np.lexsort((components, ids, firsts, ~is_last))
    order = order[((firsts < times) & may_come)[order]]
    ids_in_use: set[int] = set()
    for component, one_id in zip(components[order].tolist(), ids[order].tolist(), strict=True):
        if one_ids[component] == NONE and one_id not in ids_in_use:
            one_ids[component] = one_id
            ids_in_use.add(one_id)
    return one_ids


def _are_pairs(
    components: np.ndarray, one_ids: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Tell which pairs of person and number are among others."""
    numbers, codes = np.unique(np.concatenate([one_ids, pairs[1]]), return_inverse=True)
    keys = np.concatenate([components, pairs[0]]) * len(numbers) + codes
    return np.isin(keys[: len(components)], keys[len(components) :])
