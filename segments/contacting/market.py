"""Prices of capacities: for each the lowest at which no group of people asks for more than there is, found by bisection.

With a price on each capacity people are local again: a contact is worth its score less the prices of what it uses. Prices are
whole numbers of ticks. See decision 24.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segments.contacting.crowd import Crowd, Flags, Floats, Ints, NightFacts
from segments.contacting.plans import STEP, Plan, Price
from segments.contacting.problem import CapacityRule

# Half of what a way further down in a person's order must be cheaper by.
TICK = STEP / 2
# A price above every score: nobody buys.
TOP = int(128 / TICK)
CYCLES = 3
# How far from a guess a price is looked for before it is looked for everywhere: a share of it, and at least so many ticks.
NEAR_SHARE, NEAR_TICKS = 0.15, 64

Ticks = NDArray[np.int64]
Amounts = list[NDArray[np.int64]]


@dataclass(frozen=True)
class Resource:
    """A capacity on one day, for each of its groups of people."""

    rule: CapacityRule
    day: int
    limits: NDArray[np.int64]
    """What each group may use, less what earlier nights have planned for the day."""
    uses: NDArray[np.int64]
    """How much a contact uses, by segment and way; 0 where the way is not in it."""

    def groups(self, crowd: Crowd) -> Ints:
        """Give the number of each person's group."""
        return crowd.groups[self.rule.per] if self.rule.per else np.zeros(crowd.size, np.int32)


class Market:
    """All crowds of a night, the price of each resource by group, and the plans people would choose at them.

    Prices begin above every score.
    """

    def __init__(self, facts: NightFacts, crowds: Sequence[Crowd], resources: Sequence[Resource]) -> None:
        self.facts, self.crowds, self.resources = facts, crowds, resources
        self.prices: list[Ticks] = [np.full(len(resource.limits), TOP) for resource in resources]
        self.lows: list[Ticks] = [part.copy() for part in self.prices]
        """For each group the highest price known to be too low."""

    def settle(self) -> None:
        """Set the price of each resource in turn, until none moves any more, at most ``CYCLES`` times."""
        for cycle in range(CYCLES if len(self.resources) > 1 else 1):
            before = [part.copy() for part in self.prices]
            for at in range(len(self.resources)):
                self.set_price(at, self.prices[at] if cycle else None)
            moves = [np.abs(a - b).max(initial=0) for a, b in zip(before, self.prices, strict=True)]
            if max(moves, default=0) * TICK <= STEP:
                break

    def set_price(self, at: int, guess: Ticks | None = None) -> None:
        """Set the prices of one resource, the others as they are; a ``guess`` says near what to look first, and changes none."""
        bracket = _Bracket(self, at)
        bracket.close(guess)
        self.prices[at], self.lows[at] = bracket.high, bracket.low

    def plan(self, crowd: Crowd, prices: Sequence[Ticks]) -> Plan:
        """Give what people choose at prices."""
        price = self.price(crowd, prices) if any(part.any() for part in prices) else None
        return Plan(self.facts, crowd).give(price)

    def price(self, crowd: Crowd, prices: Sequence[Ticks]) -> Price:
        """Give the price of every way for a crowd's people."""
        groups = [resource.groups(crowd) for resource in self.resources]

        def price(segment: int, way: int, rows: Ints) -> Floats:
            total = np.zeros(len(rows))
            for resource, part, group in zip(self.resources, prices, groups, strict=True):
                if resource.uses[segment, way] and part.any():
                    total += (resource.uses[segment, way] * TICK * part)[group[rows]]
            return total

        return price

    def amounts(self, at: int, prices: Ticks, crowds: Sequence[Crowd]) -> Amounts:
        """Give how much of a resource each person of each crowd chooses at prices of it."""
        every = [*self.prices[:at], prices, *self.prices[at + 1 :]]
        return [amounts_of(self.resources[at], self.plan(crowd, every)) for crowd in crowds]


class _Bracket:
    """For each group two prices of a resource, one that is too low and one that is not, and what everybody chooses at both."""

    def __init__(self, market: Market, at: int) -> None:
        self.market, self.at, self.resource = market, at, market.resources[at]
        groups = len(self.resource.limits)
        self.low, self.high = np.zeros(groups, np.int64), np.full(groups, TOP)
        self.groups = [self.resource.groups(crowd) for crowd in market.crowds]
        self.low_amounts: Amounts = [np.zeros(crowd.size, np.int64) for crowd in market.crowds]
        # Nobody buys at the highest price.
        self.high_amounts: Amounts = [part.copy() for part in self.low_amounts]

    def close(self, guess: Ticks | None) -> None:
        """Bring both prices of each group as close to each other as they can be; both are 0 where there is enough for all.

        They are looked for near the ``guess`` first. People who choose alike at both ends are not asked again.
        """
        everywhere = np.ones(len(self.low), np.bool_)
        if guess is None:
            is_scarce = self._lower(self.low, everywhere)
        else:
            reach = np.maximum((guess * NEAR_SHARE).astype(np.int64), NEAR_TICKS)
            begin = np.maximum(guess - reach, 0)
            is_scarce = self._lower(begin, everywhere)
            fits = ~is_scarce & (begin > 0)
            if fits.any():
                is_scarce |= self._lower(np.zeros_like(begin), fits)
            self._narrow(
                np.minimum(guess + reach, TOP), is_scarce & (self.high == TOP) & (guess + reach < TOP)
            )
        self.low[~is_scarce] = self.high[~is_scarce] = 0
        while (is_open := self.high - self.low > 1).any():
            self._narrow((self.low + self.high) // 2, is_open)

    def _lower(self, prices: Ticks, where: Flags) -> Flags:
        """Ask everybody of some groups at prices that may be too low; tell of which groups they are, the others have them above."""
        amounts = self._ask(prices, [np.flatnonzero(where[groups]) for groups in self.groups])
        is_too_low = where & (self._demand(amounts) > self.resource.limits)
        fits = where & ~is_too_low & (prices > 0)
        for number, groups in enumerate(self.groups):
            self.high_amounts[number] = np.where(fits[groups], amounts[number], self.high_amounts[number])
        self.low_amounts = amounts
        self.low = np.where(is_too_low, prices, self.low)
        self.high = np.where(fits, prices, self.high)
        return is_too_low

    def _narrow(self, prices: Ticks, where: Flags) -> None:
        """Ask at prices between both ends whoever chooses otherwise at these, and put them at the end they belong to."""
        differing = zip(self.low_amounts, self.high_amounts, self.groups, strict=True)
        amounts = self._ask(prices, [np.flatnonzero((a != b) & where[groups]) for a, b, groups in differing])
        is_too_low = self._demand(amounts) > self.resource.limits
        up, down = where & is_too_low, where & ~is_too_low
        for number, groups in enumerate(self.groups):
            self.low_amounts[number] = np.where(up[groups], amounts[number], self.low_amounts[number])
            self.high_amounts[number] = np.where(down[groups], amounts[number], self.high_amounts[number])
        self.low, self.high = np.where(up, prices, self.low), np.where(down, prices, self.high)

    def _ask(self, prices: Ticks, rows: Sequence[NDArray[np.int64]]) -> Amounts:
        """Give what everybody chooses where some people of each crowd are asked at prices, and the others choose as at the low end."""
        amounts = [part.copy() for part in self.low_amounts]
        crowds = [
            crowd if len(here) == crowd.size else crowd.part(here.astype(np.int32))
            for crowd, here in zip(self.market.crowds, rows, strict=True)
        ]
        for part, here, choice in zip(
            amounts, rows, self.market.amounts(self.at, prices, crowds), strict=True
        ):
            part[here] = choice
        return amounts

    def _demand(self, amounts: Amounts) -> NDArray[np.int64]:
        total = np.zeros(len(self.low), np.int64)
        for groups, part in zip(self.groups, amounts, strict=True):
            total += np.bincount(groups, part, len(total)).astype(np.int64)
        return total


def amounts_of(resource: Resource, plan: Plan) -> NDArray[np.int64]:
    """Give how much of a resource each person's contacts use."""
    total = np.zeros(plan.crowd.size, np.int64)
    for segment, way in zip(*np.nonzero(resource.uses), strict=True):
        total += resource.uses[segment, way] * (plan.way[:, segment] == way)
    return total
