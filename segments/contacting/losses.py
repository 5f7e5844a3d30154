"""Why a candidacy lost: the first of its person's ways that has a window, and the first rule that closes it there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segments.contacting.crowd import NOBODY, Floats, Ints
from segments.contacting.plans import Plan
from segments.contacting.prices import Resource
from segments.contacting.problem import (
    ADVANTAGES,
    CAPPED,
    EARLIER_CONTACT,
    EXPECTED_VALUE,
    HASH,
    LOST_ARBITRATION,
    PRICE,
    PRIORITY,
    QUIET_DROPPED,
    REASONS,
)
from segments.contacting.scores import without_tie

QUIET_RULE = "quiet"


@dataclass(frozen=True)
class Losses:
    """The candidacies of one segment that lost, by their rows in the crowd. ``winner`` is the number of a segment, or -1.

    ``reason`` and ``rule`` are numbers: of ``problem.REASONS`` and of the ``Rulebook``. ``earlier`` is the row of the history that
    won, or -1; ``advantage`` is a number of ``problem.ADVANTAGES``, -1 without a winner of either kind; ``margin`` is by how much
    the score of a winner of the night is higher, nan without one.
    """

    segment: int
    rows: Ints
    reason: NDArray[np.int8]
    rule: NDArray[np.int16]
    winner: NDArray[np.int16]
    earlier: Ints
    advantage: NDArray[np.int8]
    margin: Floats


class Rulebook:
    """The names of rules that closed a way, each with its number."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def number(self, name: str) -> int:
        """Give the number of a rule."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


class Losers:
    """Explains the losses of a plan that is complete."""

    def __init__(
        self, plan: Plan, resources: list[Resource], weakest: list[Weakest], rules: Rulebook
    ) -> None:
        self.plan, self.facts, self.crowd = plan, plan.facts, plan.crowd
        self.resources, self.weakest, self.rules = resources, weakest, rules
        self.winners = _winners(plan, by_turn=not resources)

    def of(self, segment: int) -> Losses:
        """Give the losses of a segment."""
        rows = np.flatnonzero(
            np.isfinite(self.crowd.score[:, segment]) & (self.plan.way[:, segment] == NOBODY)
        ).astype(np.int32)
        losses = Losses(
            segment,
            rows,
            np.full(len(rows), REASONS.index(QUIET_DROPPED), np.int8),
            np.full(len(rows), self.rules.number(QUIET_RULE), np.int16),
            np.full(len(rows), NOBODY, np.int16),
            np.full(len(rows), NOBODY, np.int32),
            np.full(len(rows), NOBODY, np.int8),
            np.full(len(rows), np.nan),
        )
        ranks = self.plan.ranks(segment, rows)
        for way in range(ranks.shape[1]):
            ranks[(self.crowd.allowed[rows, segment] & np.uint8(1 << way)) == 0, way] = np.inf
        first = ranks.argmin(axis=1)
        is_open = np.isfinite(ranks[np.arange(len(rows)), first])
        for way in range(ranks.shape[1]):
            at = np.flatnonzero(is_open & (first == way)).astype(np.int32)
            if len(at):
                self._explain(losses, segment, way, at)
        return losses

    def _explain(self, losses: Losses, segment: int, way: int, at: Ints) -> None:
        """Name the first rule that closes a way for the losses ``at``: caps, segments to stay apart from, capacities."""
        offer = self.facts.offers[segment]
        window = offer.ways[way].window
        assert window is not None
        day = window.day.toordinal()
        for cap in offer.caps:
            if len(at) and offer.ways[way].is_in(cap.scope):
                rows = losses.rows[at]
                total = self.facts.past(cap, day)[self.crowd.numbers[rows]] + offer.contacts
                is_capped = total > cap.max
                self._name(losses, at[is_capped], CAPPED, cap.name)
                if is_capped.any():
                    newest = self.facts.newest_past(cap, day)[self.crowd.numbers[rows[is_capped]]]
                    _name_earlier(losses, at[is_capped], newest)
                weights = self._weights(cap.scope, cap.purposes, day - cap.days)
                winner = np.where(is_capped, -2, NOBODY).astype(np.int16)
                for place in range(self.winners.shape[1]):
                    candidate = self._winner_above(rows, segment, place)
                    ways = self.plan.way[rows, candidate]
                    total = total + np.where(candidate != NOBODY, weights[candidate, ways], 0)
                    winner = np.where((winner == NOBODY) & (total > cap.max), candidate, winner)
                is_lost = winner >= 0
                self._name(losses, at[is_lost], LOST_ARBITRATION, cap.name, winner[is_lost])
                at = at[winner == NOBODY]
        for apart in self.facts.apart.get(segment, ()):
            rows = losses.rows[at]
            earlier = self.facts.past_apart(apart, day)[self.crowd.numbers[rows]]
            is_past = earlier != NOBODY
            self._name(losses, at[is_past], LOST_ARBITRATION, f"never_together:{apart.code}")
            _name_earlier(losses, at[is_past], earlier[is_past])
            at = at[~is_past]
            if apart.number != NOBODY and len(at):
                rows = losses.rows[at]
                near = [
                    number
                    for number, other in enumerate(self.facts.offers[apart.number].ways)
                    if other.window is not None and abs(day - other.window.day.toordinal()) < apart.days
                ]
                is_lost = np.isin(self.plan.way[rows, apart.number], near)
                if not self.resources:
                    is_lost &= self.plan.turn[rows, apart.number] < self.plan.turn[rows, segment]
                self._name(
                    losses,
                    at[is_lost],
                    LOST_ARBITRATION,
                    f"never_together:{apart.code}",
                    np.full(int(is_lost.sum()), apart.number, np.int16),
                )
                at = at[~is_lost]
        for resource, weakest in zip(self.resources, self.weakest, strict=True):
            if len(at) and resource.uses[segment, way]:
                group = resource.groups(self.crowd)[losses.rows[at]]
                is_full = weakest.left[group] < resource.uses[segment, way]
                own = without_tie(self.crowd.score[losses.rows[at[is_full]], segment])
                winner, margin = weakest.segment[group[is_full]], weakest.score[group[is_full]] - own
                self._name(losses, at[is_full], LOST_ARBITRATION, resource.rule.name, winner, margin)
                at = at[~is_full]

    def _name(
        self,
        losses: Losses,
        at: Ints,
        reason: str,
        rule: str,
        winner: NDArray[np.int16] | None = None,
        margin: Floats | None = None,
    ) -> None:
        """Write a reason, and who won; without a margin that of the winner's score over the same person's."""
        if not len(at):
            return
        losses.reason[at] = REASONS.index(reason)
        losses.rule[at] = self.rules.number(rule)
        if winner is not None:
            losses.winner[at] = winner
            scores, rows = self.crowd.score, losses.rows[at]
            if margin is None:
                margin = without_tie(scores[rows, winner]) - without_tie(scores[rows, losses.segment])
            losses.margin[at] = margin
            losses.advantage[at] = self._advantages(losses.segment, winner, margin)

    def _advantages(self, segment: int, winner: NDArray[np.int16], margin: Floats) -> NDArray[np.int8]:
        """Give by what each winner is before a segment, -1 for none; one with a lower score was cheaper where contacts are scarce."""
        priorities = np.array([offer.priority for offer in self.facts.offers])
        is_higher = priorities[winner] > self.facts.offers[segment].priority
        words = (PRICE, PRIORITY, EXPECTED_VALUE, HASH)
        cases = [margin < 0, is_higher, margin > 0, margin == 0]
        numbers = np.select(cases, [ADVANTAGES.index(word) for word in words], NOBODY)
        return np.where(winner == NOBODY, NOBODY, numbers).astype(np.int8)

    def _winner_above(self, rows: Ints, segment: int, place: int) -> NDArray[np.int16]:
        """Give the contact at a place of each person's, best first; -1 where the loser was decided before it."""
        winner = self.winners[rows, place]
        if self.resources:
            return winner
        is_above = self.plan.turn[rows, winner] < self.plan.turn[rows, segment]
        return np.where(is_above, winner, NOBODY).astype(np.int16)

    def _weights(self, scope: str, purposes: frozenset[str], before: int) -> NDArray[np.int64]:
        """Give how much a contact of each segment and way counts for a cap, from the day after ``before`` on."""
        weights = np.zeros((len(self.facts.offers), 9), np.int64)
        for number, offer in enumerate(self.facts.offers):
            for at, way in enumerate(offer.ways):
                is_counted = way.is_in(scope) and offer.purpose in purposes
                if is_counted and way.window is not None and way.window.day.toordinal() > before:
                    weights[number, at] = offer.contacts
        return weights


@dataclass(frozen=True)
class Weakest:
    """For each group of a resource: what is left of it, and the contact with the lowest score that uses it."""

    left: NDArray[np.int64]
    segment: NDArray[np.int16]
    score: Floats


def _name_earlier(losses: Losses, at: Ints, earlier: Ints) -> None:
    """Write the earlier contact that won, by its row in the history; -1 where a cap takes none at all."""
    losses.earlier[at] = earlier
    losses.advantage[at] = np.where(earlier == NOBODY, NOBODY, ADVANTAGES.index(EARLIER_CONTACT))


def weakest_of(resource: Resource, plans: list[Plan]) -> Weakest:
    """Give what is left of a resource beside plans, and the contact with the lowest score in each group."""
    rest = resource.limits.copy()
    segment = np.full(len(rest), NOBODY, np.int16)
    score = np.full(len(rest), np.nan)
    lowest = np.full(len(rest), np.inf)
    for plan in plans:
        group = resource.groups(plan.crowd)
        for number, way in zip(*np.nonzero(resource.uses), strict=True):
            rows = np.flatnonzero(plan.way[:, number] == way)
            if len(rows):
                rest -= resource.uses[number, way] * np.bincount(group[rows], minlength=len(rest))
                lows = np.full(len(rest), np.inf)
                np.minimum.at(lows, group[rows], plan.crowd.score[rows, number])
                segment = np.where(lows < lowest, number, segment).astype(np.int16)
                lowest = np.minimum(lowest, lows)
    score[np.isfinite(lowest)] = without_tie(lowest[np.isfinite(lowest)])
    return Weakest(rest, segment, score)


def _winners(plan: Plan, *, by_turn: bool) -> NDArray[np.int16]:
    """Give the segments that contact each person, best first, filled up with -1."""
    is_winner = plan.way != NOBODY
    most = int(is_winner.sum(axis=1).max(initial=0))
    keys = plan.turn.astype(np.float64) if by_turn else -plan.crowd.score
    keys = np.where(is_winner, keys, np.inf)
    order = np.argsort(keys, axis=1, kind="stable")[:, :most]
    has_it = np.isfinite(np.take_along_axis(keys, order, axis=1))
    return np.where(has_it, order, NOBODY).astype(np.int16)
