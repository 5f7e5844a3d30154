"""Capacities: prices on scarce contacts, and a last round that fills what the prices leave free.

Who asks at the last price that was too low and not at the one that is high enough (``segments.contacting.market``) is served by
score, then salted hash, until nothing is left. See decision 24.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from segments.contacting.crowd import NOBODY, Crowd, Flags, Floats, Ints, NightFacts
from segments.contacting.market import TICK, Market, Resource, amounts_of
from segments.contacting.plans import NEVER, Plan, groups_of
from segments.contacting.problem import CapacityRule
from segments.contacting.scores import without_tie
from segments.language.contact import GLOBAL

# Ways are bits of a byte.
MOST_WAYS = 8


@dataclass(frozen=True)
class PricedPlans:
    """The plans of all crowds, the value of all contacts and the highest that any plan could have."""

    plans: list[Plan]
    value: float
    bound: float


def resources_of(facts: NightFacts) -> list[Resource]:
    """Give the capacities of a night by the days on which contacts may fall."""
    resources = []
    for rule in facts.problem.capacities:
        for day in facts.days:
            uses = np.zeros((len(facts.offers), MOST_WAYS), np.int64)
            for number, offer in enumerate(facts.offers):
                for at, way in enumerate(offer.ways):
                    if way.window is not None and way.window.day.toordinal() == day and way.is_in(rule.scope):
                        uses[number, at] = offer.contacts
            if uses.any():
                resources.append(Resource(rule, day, _limits(facts, rule, day), uses))
    return resources


def _limits(facts: NightFacts, rule: CapacityRule, day: int) -> NDArray[np.int64]:
    groups = facts.groups[rule.per] if rule.per else None
    names = groups.names if groups else ("",)
    limits = np.array([rule.each.get(name, rule.max) for name in names], np.int64)
    # Also people who are no candidates tonight may have a contact on that day.
    rows = [
        row["one_id"]
        for row in facts.problem.history.select(["one_id", "contact_on", "channel", "placement"]).to_pylist()
        if row["contact_on"].toordinal() == day and rule.scope in (GLOBAL, row["channel"], row["placement"])
    ]
    one_ids = np.array(rows, np.int64)
    numbers = groups.of(one_ids) if groups else np.zeros(len(one_ids), np.int32)
    return np.maximum(limits - np.bincount(numbers, minlength=len(names)), 0)


def priced_plans(facts: NightFacts, crowds: Sequence[Crowd], resources: Sequence[Resource]) -> PricedPlans:
    """Give the contacts of all crowds within every capacity; without capacities what people choose for themselves."""
    market = Market(facts, crowds, resources)
    market.settle()
    plans = [market.plan(crowd, market.prices) for crowd in crowds]
    if resources:
        rest = _Rest(facts, resources, plans)
        rest.take_back()
        for at in range(len(resources)):
            if market.prices[at].any():
                every = [*market.prices[:at], market.lows[at], *market.prices[at + 1 :]]
                rest.exchange(at, [market.plan(crowd, every) for crowd in crowds])
        rest.fill()
    return PricedPlans(plans, sum(plan.value for plan in plans), _bound(market))


class _Rest:
    """What is left of each resource beside plans, and its last round."""

    def __init__(self, facts: NightFacts, resources: Sequence[Resource], plans: list[Plan]) -> None:
        self.facts, self.resources, self.plans = facts, resources, plans
        self.left = [resource.limits.copy() for resource in resources]
        for plan in plans:
            self._use(amounts_by(resources, plan), plan.crowd, np.arange(plan.crowd.size, dtype=np.int32), -1)

    def _use(self, amounts: Sequence[NDArray[np.int64]], crowd: Crowd, rows: Ints, sign: int) -> None:
        for resource, rest, part in zip(self.resources, self.left, amounts, strict=True):
            rest += sign * np.bincount(resource.groups(crowd)[rows], part[rows], len(rest)).astype(np.int64)

    def take_back(self) -> None:
        """Take contacts back where prices that act on one another left too many: the lowest scores first."""
        for at, resource in enumerate(self.resources):
            if (self.left[at] >= 0).all():
                continue
            contacts = [
                _Contacts(
                    number,
                    segment,
                    way,
                    rows,
                    plan.crowd.score[rows, segment],
                    resource.groups(plan.crowd)[rows],
                )
                for number, plan in enumerate(self.plans)
                for segment, way, rows in _contacts_in(resource, plan)
            ]
            owner = np.concatenate([np.full(len(part.rows), n) for n, part in enumerate(contacts)])
            place = np.concatenate([np.arange(len(part.rows)) for part in contacts])
            group = np.concatenate([part.group for part in contacts])
            amount = np.concatenate([np.full(len(p.rows), resource.uses[p.segment, p.way]) for p in contacts])
            order = np.lexsort((np.concatenate([part.score for part in contacts]), group))
            taken_back = _sums_before(group[order], amount[order]) < -self.left[at][group[order]]
            chosen_contacts = order[taken_back]
            for n, at_part in groups_of(owner[chosen_contacts]):
                part = contacts[n]
                rows = part.rows[place[chosen_contacts[at_part]]]
                self._give_back(self.plans[part.plan], part.segment, part.way, rows)

    def _give_back(self, plan: Plan, segment: int, way: int, rows: Ints) -> None:
        plan.take(np.full(len(rows), segment, np.int32), way, rows, NEVER, sign=-1)
        for resource, rest in zip(self.resources, self.left, strict=True):
            group = resource.groups(plan.crowd)[rows]
            rest += resource.uses[segment, way] * np.bincount(group, minlength=len(rest))

    def exchange(self, at: int, others: Sequence[Plan]) -> None:
        """Give people of the bracket the plan they chose at the lower price, by score, as long as resources last."""
        resource = self.resources[at]
        numbers, rows, scores, changes = [], [], [], []
        for number, (plan, other) in enumerate(zip(self.plans, others, strict=True)):
            now, then = amounts_by(self.resources, plan), amounts_by(self.resources, other)
            here = np.flatnonzero(then[at] > now[at]).astype(np.int32)
            best = np.full(len(here), -np.inf)
            for segment, way in zip(*np.nonzero(resource.uses), strict=True):
                score = plan.crowd.score[here, segment]
                best = np.maximum(best, np.where(other.way[here, segment] == way, score, -np.inf))
            numbers.append(np.full(len(here), number))
            rows.append(here)
            scores.append(best)
            changes.append(np.stack([t[here] - n[here] for t, n in zip(then, now, strict=True)], axis=1))
        owner, row, change = np.concatenate(numbers), np.concatenate(rows), np.concatenate(changes)
        order = np.lexsort((row, owner, -np.concatenate(scores)))
        owner, row, change = owner[order], row[order], change[order]
        while len(row):
            is_possible = self._that_fit(owner, row, change, alone=True)
            owner, row, change = owner[is_possible], row[is_possible], change[is_possible]
            fits = self._that_fit(owner, row, change)
            for n, at_plan in groups_of(owner[fits]):
                self._adopt(self.plans[n], others[n], row[fits][at_plan])
            owner, row, change = owner[~fits], row[~fits], change[~fits]

    def _that_fit(
        self, number: NDArray[np.int64], row: Ints, change: NDArray[np.int64], *, alone: bool = False
    ) -> Flags:
        """Tell which of some changes, best first, fit into what is left: together with those before them, or alone."""
        fits = np.ones(len(row), np.bool_)
        for at, resource in enumerate(self.resources):
            group = np.zeros(len(row), np.int32)
            for n, here in groups_of(number):
                group[here] = resource.groups(self.plans[n].crowd)[row[here]]
            more = np.maximum(change[:, at], 0)
            order = np.argsort(group, kind="stable")
            sums = more.copy()
            if not alone:
                sums[order] += _sums_before(group[order], more[order])
            fits &= (more == 0) | (sums <= self.left[at][group])
        return fits

    def _adopt(self, plan: Plan, other: Plan, rows: Ints) -> None:
        self._use(amounts_by(self.resources, plan), plan.crowd, rows, 1)
        for source, sign in ((plan, -1), (other, 1)):
            turn = NEVER if sign < 0 else 0
            for segments in self.facts.segments_by_kind:
                ways = source.way[rows[:, None], segments[None, :]]
                for way in range(int(ways.max(initial=NOBODY)) + 1):
                    here, at = np.nonzero(ways == way)
                    if len(here):
                        plan.take(segments[at], way, rows[here], turn, sign=sign)
        self._use(amounts_by(self.resources, plan), plan.crowd, rows, -1)

    def fill(self) -> None:
        """Give what is left to people who have a candidacy open: in each round everybody's best one, by score."""
        nets = [
            np.where((p.way == NOBODY) & (p.crowd.allowed > 0), p.crowd.score, -np.inf) for p in self.plans
        ]
        kind_count = len(self.facts.segments_by_kind)
        while True:
            parts = [self._best_that_are_free(plan, net) for plan, net in zip(self.plans, nets, strict=True)]
            owner = np.concatenate([np.full(len(part[0]), number) for number, part in enumerate(parts)])
            row, segment, way = (np.concatenate([part[column] for part in parts]) for column in range(3))
            if not len(row):
                return
            score = np.concatenate(
                [p.crowd.score[r, s] for p, (r, s, _) in zip(self.plans, parts, strict=True)]
            )
            order = np.lexsort((row, owner, -score))
            owner, row, segment, way = owner[order], row[order], segment[order], way[order]
            change = np.stack([resource.uses[segment, way] for resource in self.resources], axis=1)
            fits = self._that_fit(owner, row, change)
            owner, row, segment, way = owner[fits], row[fits], segment[fits], way[fits]
            kinds = (owner * kind_count + self.facts.kinds[segment]) * MOST_WAYS + way
            for kind, here in groups_of(kinds):
                plan = self.plans[kind // (MOST_WAYS * kind_count)]
                self._serve(plan, segment[here], kind % MOST_WAYS, row[here])
                nets[kind // (MOST_WAYS * kind_count)][row[here], segment[here]] = -np.inf

    def _serve(self, plan: Plan, segments: Ints, way: int, rows: Ints) -> None:
        plan.take(segments, way, rows, 0)
        for resource, rest in zip(self.resources, self.left, strict=True):
            group = resource.groups(plan.crowd)[rows]
            rest -= resource.uses[int(segments[0]), way] * np.bincount(group, minlength=len(rest))

    def _best_that_are_free(self, plan: Plan, net: Floats) -> tuple[Ints, Ints, Ints]:
        """Give rows, segments and ways of everybody's best open candidacy that caps and what is left allow; others are closed."""
        open_rows, open_segments, open_ways = [], [], []
        rows = np.flatnonzero(np.isfinite(net).any(axis=1)).astype(np.int32)
        while len(rows):
            segments = net[rows].argmax(axis=1).astype(np.int32)
            alive = np.isfinite(net[rows, segments])
            rows, segments = rows[alive], segments[alive]
            waiting = []
            for _, at in groups_of(self.facts.kinds[segments]):
                here, own = rows[at], segments[at]
                way = self._free_way(plan, own, here)
                is_open = way != NOBODY
                net[here[~is_open], own[~is_open]] = -np.inf
                waiting.append(here[~is_open])
                open_rows.append(here[is_open])
                open_segments.append(own[is_open])
                open_ways.append(way[is_open])
            rows = np.concatenate(waiting) if waiting else np.empty(0, np.int32)
        if not open_rows:
            empty = np.empty(0, np.int32)
            return empty, empty, empty
        return np.concatenate(open_rows), np.concatenate(open_segments), np.concatenate(open_ways)

    def _free_way(self, plan: Plan, segments: Ints, rows: Ints) -> Ints:
        segment = int(segments[0])
        ranks = plan.ranks(segment, rows)
        for way in range(ranks.shape[1]):
            usable = (plan.crowd.allowed[rows, segments] & np.uint8(1 << way)) > 0
            for resource, rest in zip(self.resources, self.left, strict=True):
                if resource.uses[segment, way]:
                    usable &= rest[resource.groups(plan.crowd)[rows]] >= resource.uses[segment, way]
            at = np.flatnonzero(usable)
            usable[at] = plan.is_free(segment, way, rows[at]) if len(at) else usable[at]
            ranks[~usable, way] = np.inf
        best = ranks.argmin(axis=1).astype(np.int32)
        best[~np.isfinite(ranks[np.arange(len(rows)), best])] = NOBODY
        return best


@dataclass(frozen=True)
class _Contacts:
    plan: int
    segment: int
    way: int
    rows: Ints
    score: Floats
    group: Ints


def amounts_by(resources: Sequence[Resource], plan: Plan) -> list[NDArray[np.int64]]:
    """Give how much of each resource each person's contacts use."""
    return [amounts_of(resource, plan) for resource in resources]


def _contacts_in(resource: Resource, plan: Plan) -> Iterator[tuple[int, int, Ints]]:
    for segment, way in zip(*np.nonzero(resource.uses), strict=True):
        rows = np.flatnonzero(plan.way[:, segment] == way).astype(np.int32)
        if len(rows):
            yield int(segment), int(way), rows


def _sums_before(groups: NDArray[np.integer], amounts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give for rows in order of their group the sum of those before each one in its group."""
    before = np.cumsum(amounts) - amounts
    is_first = np.append(True, groups[1:] != groups[:-1])
    return cast("NDArray[np.int64]", before - np.maximum.accumulate(np.where(is_first, before, 0)))


def _bound(market: Market) -> float:
    """Give what no plan can exceed: the Lagrangian of the prices, with each person's rules loosened to their number of contacts.

    Each person's best candidacies net of prices, as many as the tightest cap over all channels leaves, and what all of every
    resource would be sold for.
    """
    total = sum(
        float((resource.limits * part).sum()) * TICK
        for resource, part in zip(market.resources, market.prices, strict=True)
    )
    for crowd in market.crowds:
        rows = np.arange(crowd.size, dtype=np.int32)
        plan = Plan(market.facts, crowd)
        price = market.price(crowd, market.prices)
        net = np.zeros(crowd.score.shape)
        for segment, offer in enumerate(market.facts.offers):
            for way in range(len(offer.ways)):
                at = np.flatnonzero(crowd.allowed[:, segment] & np.uint8(1 << way)).astype(np.int32)
                at = at[plan.is_free(segment, way, at)] if len(at) else at
                gain = without_tie(crowd.score[at, segment]) - price(segment, way, at)
                net[at, segment] = np.maximum(net[at, segment], gain)
        places = most_contacts(market.facts, crowd, rows)
        has_place = np.less.outer(np.arange(len(market.facts.offers)), places).T
        total += float(np.sum(-np.sort(-net, axis=1), where=has_place))
    return total


def most_contacts(facts: NightFacts, crowd: Crowd, rows: Ints) -> Ints:
    """Give how many contacts the caps over all channels leave each person at most; those that not every segment has do not count."""
    places = np.full(len(rows), len(facts.offers), np.int32)
    spread = facts.days[-1] - facts.days[0] if facts.days else 0
    purposes = {offer.purpose for offer in facts.offers}
    for cap in set.intersection(*(set(offer.caps) for offer in facts.offers)) if facts.offers else ():
        if cap.scope == GLOBAL and spread < cap.days and purposes <= cap.purposes:
            past = facts.past(cap, facts.days[-1] if facts.days else 0)[crowd.numbers[rows]]
            places = np.minimum(places, np.maximum(cap.max - past, 0))
    return places
