"""The one job that decides every contact of a night: a pure function of offers, rules and what is known of people.

The same question gives the same answer, in whatever order its rows stand. Each candidacy becomes either a contact, with channel
and send window, or a loss with its rule and winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segments.contacting.crowd import NOBODY, NightFacts, facts_of
from segments.contacting.losses import Losers, Rulebook, Weakest, weakest_of
from segments.contacting.plans import Plan
from segments.contacting.prices import Resource, priced_plans, resources_of
from segments.contacting.problem import ADVANTAGES, REASONS, ContactProblem

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class SegmentContacts:
    """What became of one segment's candidates, each table ascending by ``one_id``.

    ``contacts``: one_id, channel, placement, contact_on, send_from, send_until. ``losses``: one_id, reason, rule, winner (a
    segment's code), winner_run_id and winner_contact_on (of an earlier night's contact), advantage, margin.
    """

    contacts: pa.Table
    losses: pa.Table


@dataclass(frozen=True)
class Arbitration:
    """A night's contacts by segment; with capacities also their value and the bound no plan can exceed."""

    by_code: dict[str, SegmentContacts]
    value: float
    bound: float | None = None

    @property
    def gap(self) -> float | None:
        """The share of the bound that is missing, None without capacities."""
        if self.bound is None:
            return None
        return max(0.0, 1.0 - self.value / self.bound) if self.bound > 0 else 0.0


def arbitrate(problem: ContactProblem) -> Arbitration:
    """Decide every contact of a night."""
    facts = facts_of(problem)
    resources = resources_of(facts)
    rules = Rulebook()
    parts: list[list[SegmentContacts]] = [[] for _ in problem.offers]
    if resources:
        crowds = [facts.crowd(begin, end) for begin, end in facts.crowds()]
        priced = priced_plans(facts, crowds, resources)
        weakest = [weakest_of(resource, priced.plans) for resource in resources]
        for plan in priced.plans:
            _tell(plan, resources, weakest, rules, parts)
        value, bound = priced.value, priced.bound
    else:
        value, bound = 0.0, None
        for begin, end in facts.crowds():
            plan = Plan(facts, facts.crowd(begin, end)).give()
            _tell(plan, [], [], rules, parts)
            value += plan.value
    by_code = {
        offer.code: _together(part, facts, rules, number)
        for number, (offer, part) in enumerate(zip(problem.offers, parts, strict=True))
    }
    return Arbitration(by_code, value, bound)


def _tell(
    plan: Plan,
    resources: Sequence[Resource],
    weakest: Sequence[Weakest],
    rules: Rulebook,
    parts: list[list[SegmentContacts]],
) -> None:
    losers = Losers(plan, list(resources), list(weakest), rules)
    for number in range(len(parts)):
        parts[number].append(SegmentContacts(_contacts(plan, number), _losses(losers, number)))


def _contacts(plan: Plan, number: int) -> pa.Table:
    import pyarrow as pa

    offer = plan.facts.offers[number]
    rows = np.flatnonzero(plan.way[:, number] != NOBODY)
    ways = plan.way[rows, number]
    names: dict[str, list[Any]] = {
        "channel": [way.channel for way in offer.ways],
        "placement": [way.placement for way in offer.ways],
        "contact_on": [way.window.day if way.window else None for way in offer.ways],
        "send_from": [way.window.begin if way.window else None for way in offer.ways],
        "send_until": [way.window.end if way.window else None for way in offer.ways],
    }
    kinds = {"contact_on": pa.date32(), "send_from": _instant(), "send_until": _instant()}
    columns = {
        name: pa.array(values, kinds.get(name, pa.string())).take(pa.array(ways, pa.int32()))
        for name, values in names.items()
    }
    return pa.table({"one_id": pa.array(plan.crowd.one_ids[rows]), **columns})


def _instant() -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("us", tz="UTC")


def _losses(losers: Losers, number: int) -> pa.Table:
    """Give losses with numbers for words, which ``_in_words`` puts in their place once all are known."""
    import pyarrow as pa

    losses = losers.of(number)
    return pa.table(
        {
            "one_id": losers.crowd.one_ids[losses.rows],
            "reason": losses.reason,
            "rule": losses.rule,
            "winner": losses.winner,
            "earlier": losses.earlier,
            "advantage": losses.advantage,
            "margin": losses.margin,
        }
    )


def _in_words(losses: pa.Table, facts: NightFacts, rules: Rulebook) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    def words(places: pa.Array, names: Sequence[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(places, pa.array(names, pa.string()))

    places = {
        name: _places(losses[name].to_numpy())
        for name in losses.column_names
        if name not in ("one_id", "margin")
    }
    history, earlier = facts.history_columns, places["earlier"]
    margin = losses["margin"].to_numpy()
    return pa.table(
        {
            "one_id": losses["one_id"],
            "reason": words(places["reason"], REASONS),
            "rule": words(places["rule"], rules.names),
            "winner": words(pc.coalesce(places["winner"], history["code"].take(earlier)), facts.codes),
            "winner_run_id": history["run_id"].take(earlier),
            "winner_contact_on": history["day"].take(earlier),
            "advantage": words(places["advantage"], ADVANTAGES),
            "margin": pa.array(margin, mask=np.isnan(margin)),
        }
    )


def _places(numbers: NDArray[np.integer]) -> pa.Array:
    import pyarrow as pa

    return pa.array(numbers.astype(np.int32), mask=numbers == NOBODY)


def _together(
    parts: Sequence[SegmentContacts], facts: NightFacts, rules: Rulebook, number: int
) -> SegmentContacts:
    import pyarrow as pa

    if not parts:
        empty = Plan(facts, facts.crowd(0, 0))
        parts = [SegmentContacts(_contacts(empty, number), _losses(Losers(empty, [], [], rules), number))]
    losses = pa.concat_tables([part.losses for part in parts])
    return SegmentContacts(
        pa.concat_tables([part.contacts for part in parts]), _in_words(losses, facts, rules)
    )
