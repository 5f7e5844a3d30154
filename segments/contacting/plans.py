"""The contacts of a crowd: chosen for each person by score, within caps and apart from segments that exclude each other.

One round takes for everybody the candidacy with the highest score that is still open and gives it the first of its ways that
caps leave free; with prices on ways it is the score less the price. A person whose caps are full is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from segments.contacting.crowd import NOBODY, Crowd, Flags, Floats, Ints, NightFacts
from segments.contacting.problem import CapRule
from segments.contacting.scores import without_tie

NEVER = np.iinfo(np.int16).max
# What a way further down in a person's order must be cheaper by; far below one step of priority, far above a bisection's last step.
STEP = 2.0**-10
# Prices of sets of ways that are worked out at once: eight megabytes.
MOST_SETS = 1 << 20

# Gives the price of a way of a segment for people by their rows in the crowd.
Price = Callable[[int, int, Ints], Floats]
_Counter = tuple[str, frozenset[str], int]


class Plan:
    """What each person of a crowd gets: ``way`` by person and segment, -1 where none, and the round that decided it."""

    def __init__(self, facts: NightFacts, crowd: Crowd) -> None:
        self.facts, self.crowd = facts, crowd
        shape = crowd.score.shape
        self.way: NDArray[np.int8] = np.full(shape, NOBODY, np.int8)
        self.turn: NDArray[np.int16] = np.full(shape, NEVER, np.int16)
        self._counts: dict[_Counter, NDArray[np.int16]] = {}
        self._counters = _counters(facts)

    # -- who may be contacted ------------------------------------------------------------------------------

    def is_free(self, segment: int, way: int, rows: Ints) -> Flags:
        """Tell for each row whether caps and segments to stay apart from leave a way of a segment free."""
        free = self._caps_leave(segment, way, rows)
        day = self._day(segment, way)
        for apart in self.facts.apart.get(segment, ()):
            free &= self.facts.past_apart(apart, day)[self.crowd.numbers[rows]] == NOBODY
            if apart.number != NOBODY:
                for other_way, contact_way in enumerate(self.facts.offers[apart.number].ways):
                    if contact_way.window is not None:
                        is_near = abs(day - contact_way.window.day.toordinal()) < apart.days
                        if is_near:
                            free &= self.way[rows, apart.number] != other_way
        return free

    def tonight(self, cap: CapRule, day: int, rows: Ints) -> Ints:
        """Give how many contacts of this plan a cap counts beside one on ``day``."""
        total = np.zeros(len(rows), np.int32)
        for other in self.facts.days:
            if other > day - cap.days and (cap.scope, cap.purposes, other) in self._counts:
                total += self._counts[cap.scope, cap.purposes, other][rows]
        return total

    def _caps_leave(self, segment: int, way: int, rows: Ints) -> Flags:
        offer = self.facts.offers[segment]
        day = self._day(segment, way)
        free = np.ones(len(rows), np.bool_)
        for cap in offer.caps:
            if offer.ways[way].is_in(cap.scope):
                past = self.facts.past(cap, day)[self.crowd.numbers[rows]]
                free &= past + self.tonight(cap, day, rows) + offer.contacts <= cap.max
        return free

    def _day(self, segment: int, way: int) -> int:
        window = self.facts.offers[segment].ways[way].window
        assert window is not None
        return window.day.toordinal()

    @property
    def value(self) -> float:
        """The sum of the scores of all contacts, without their hashes."""
        return float(without_tie(self.crowd.score[self.way != NOBODY]).sum())

    # -- changing it ---------------------------------------------------------------------------------------

    def take(self, segments: Ints, way: int, rows: Ints, turn: int, *, sign: int = 1) -> None:
        """Contact people, each for a segment of one kind, a way, or with ``sign=-1`` no longer."""
        first = int(segments[0])
        offer = self.facts.offers[first]
        self.way[rows, segments] = way if sign > 0 else NOBODY
        self.turn[rows, segments] = turn
        for scope, purposes in self._counters:
            if offer.purpose in purposes and offer.ways[way].is_in(scope):
                key = (scope, purposes, self._day(first, way))
                if key not in self._counts:
                    self._counts[key] = np.zeros(self.crowd.size, np.int16)
                np.add.at(self._counts[key], rows, np.int16(sign * offer.contacts))

    def give(self, price: Price | None = None) -> Plan:
        """Fill the plan, which is empty, and give it."""
        net = np.where(self.crowd.allowed > 0, self.crowd.score, -np.inf)
        if price is not None:
            kinds = self.facts.segments_by_kind
            for of_kind in kinds:
                # A slice of all is not copied.
                columns = of_kind if len(kinds) > 1 else slice(None)
                net[:, columns] -= self._lowest_costs(self.crowd.allowed[:, columns], int(of_kind[0]), price)
        rows: Ints = np.arange(self.crowd.size, dtype=np.int32)
        turn = 0
        while len(rows):
            of_rows = net if len(rows) == self.crowd.size else net[rows]
            segments: Ints = of_rows.argmax(axis=1).astype(np.int32)
            key = net[rows, segments]
            is_alive = key > (-np.inf if price is None else 0.0)
            rows, segments, key = rows[is_alive], segments[is_alive], key[is_alive]
            for _, at in groups_of(self.facts.kinds[segments]):
                self._decide(segments[at], rows[at], key[at], net, turn, price)
            rows = rows[self._has_place(rows)]
            turn += 1
        return self

    def _decide(
        self, segments: Ints, rows: Ints, key: Floats, net: Floats, turn: int, price: Price | None
    ) -> None:
        """Give people, each for a segment of one kind, the best way that is free, or none; who would do better elsewhere waits."""
        first, every = int(segments[0]), np.arange(len(rows))
        costs = self._costs(segments, rows, price)
        costs_by_rank = costs + STEP * self.ranks(first, rows)
        for way in range(costs.shape[1]):
            at = np.flatnonzero(np.isfinite(costs[:, way]))
            if len(at):
                costs_by_rank[at[~self.is_free(first, way, rows[at])], way] = np.inf
        best = costs_by_rank.argmin(axis=1)
        is_possible = np.isfinite(costs_by_rank[every, best])
        is_final = np.ones(len(rows), np.bool_)
        if price is not None:
            gain = self.crowd.score[rows, segments] - costs[every, best]
            is_final = ~(is_possible & (gain < key - STEP))
            net[rows[~is_final], segments[~is_final]] = gain[~is_final]
        net[rows[is_final], segments[is_final]] = -np.inf
        self.turn[rows[is_final], segments[is_final]] = turn
        for way in range(costs.shape[1]):
            is_taken = is_final & is_possible & (best == way)
            if is_taken.any():
                self.take(segments[is_taken], way, rows[is_taken], turn)

    def _lowest_costs(self, way_bits: NDArray[np.uint8], first: int, price: Price) -> Floats:
        """Give the price of the cheapest allowed way by person and segment of one kind; infinite where none is."""
        ways, rows = len(self.facts.offers[first].ways), np.arange(self.crowd.size, dtype=np.int32)
        costs = [price(first, way, rows) for way in range(ways)]
        # By person and set of ways, a part of the people at a time: a set is a number below 2 ** ways.
        sets, at_once = np.arange(1 << ways), MOST_SETS >> ways
        lowest = np.empty(way_bits.shape)
        for begin in range(0, self.crowd.size, at_once):
            part = slice(begin, begin + at_once)
            bits = way_bits[part]
            of_sets = np.full((len(bits), len(sets)), np.inf)
            for way, cost in enumerate(costs):
                has_way = np.flatnonzero(sets & (1 << way))
                of_sets[:, has_way] = np.minimum(of_sets[:, has_way], cost[part, None])
            places = bits + (np.arange(len(bits), dtype=np.int32) << ways)[:, None]
            lowest[part] = of_sets.ravel().take(places)
        return lowest

    def _costs(self, segments: Ints, rows: Ints, price: Price | None) -> Floats:
        """Give the price of each way by row, each for a segment of one kind; infinite where it may not be used."""
        first = int(segments[0])
        way_bits = self.crowd.allowed[rows, segments]
        costs = np.full((len(rows), len(self.facts.offers[first].ways)), np.inf)
        for way in range(costs.shape[1]):
            at = np.flatnonzero(way_bits & np.uint8(1 << way))
            costs[at, way] = 0.0 if price is None else price(first, way, rows[at])
        return costs

    def ranks(self, segment: int, rows: Ints) -> Floats:
        """Give the place of each way in a person's order, by row: the channel of habit first, then as the segment says."""
        offer = self.facts.offers[segment]
        places = np.tile(np.arange(len(offer.ways), dtype=np.float64), (len(rows), 1))
        if offer.picks_habit:
            for number, way in enumerate(offer.ways):
                is_habit = self.crowd.habit[rows] == self.facts.channels.index(way.channel)
                places[is_habit, number] = -1.0
        return places

    def _has_place(self, rows: Ints) -> Flags:
        """Tell for each row whether the caps of any segment leave a way free; of ways that caps treat alike one is asked."""
        open_rows = np.zeros(len(rows), np.bool_)
        for segment, way in self.facts.ways_that_differ:
            others = np.flatnonzero(~open_rows)
            if not len(others):
                break
            open_rows[others] = self._caps_leave(segment, way, rows[others])
        return open_rows


def groups_of(numbers: NDArray[np.integer]) -> Iterator[tuple[int, Ints]]:
    """Give each distinct number with the places at which it stands."""
    if not len(numbers):
        return
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    in_order = numbers[order]
    begins = np.flatnonzero(np.append(True, in_order[1:] != in_order[:-1]))
    for begin, end in zip(begins, [*begins[1:], len(in_order)], strict=True):
        yield int(in_order[begin]), order[begin:end]


def _counters(facts: NightFacts) -> list[tuple[str, frozenset[str]]]:
    return sorted(
        {(cap.scope, cap.purposes) for offer in facts.offers for cap in offer.caps},
        key=lambda one: (one[0], sorted(one[1])),
    )
