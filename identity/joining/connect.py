"""From links to people: tier by tier, guarded, connected, checked, replayed where a limit breaks. Pure.

Stronger evidence comes first (people's decisions, documents and accounts, then contacts, then devices), so that a
contact is judged by the people it touches and not by the records. Each tier is one pass of union-find on arrays; only
components that break a limit are replayed link by link.

Nothing here looks beyond a raw component (what unblocked links and must-links connect): restricted to whole raw
components, the answer is the same. Nights that decide only what changed rest on it; a property test holds it.
"""

from __future__ import annotations

import numpy as np

from identity.components.union_find import components
from identity.joining.constraints import Constraints, constraints_of, find_violators
from identity.joining.guards import judge_holders
from identity.joining.large_people import cut_large_people
from identity.joining.limits import carriers_limit
from identity.joining.replay import join_decisions, order_of_evidence, replay
from identity.reading.graph import ABSENT, UNDATED, Graph, Grouping, Refusal
from identity.rules.rules import TIERS, Rules
from vocabulary.policy import EARLIEST_BIRTH_DATE


def connect(graph: Graph, rules: Rules) -> Grouping:
    """Give who is one person. Same graph and rules, in any input order, give the same answer."""
    return _Run(graph, rules).grouping()


class _Run:
    """The people so far, and what became of every link."""

    def __init__(self, graph: Graph, rules: Rules) -> None:
        self.graph, self.rules = graph, rules
        self.size, self.links = len(graph.profiles), graph.links
        self.places = self.size + len(graph.identifiers)
        self.labels = np.arange(self.places, dtype=np.int64)
        self.states = graph.identifiers.states.copy()
        self.reasons = graph.identifiers.reasons.copy()
        self.owner_reasons: dict[int, str] = {}
        self.link_states = np.full(len(self.links), "idle", dtype=object)
        self.ended_on = np.full(len(self.links), UNDATED, dtype=np.int32)
        self.due_on = np.full(len(self.links), UNDATED, dtype=np.int32)
        self.ends = self.links.identifiers.astype(np.int64) + self.size
        self.joining_links = np.zeros(0, dtype=np.int64)
        self.refusals: list[Refusal] = []
        self.codes = graph.identifiers.namespaces[self.links.identifiers]
        self.tier_of = np.array(rules.tiers_of(graph.namespaces), dtype=np.int64)
        self.link_tiers = self.tier_of[self.codes] if len(self.links) else np.zeros(0, dtype=np.int64)
        self.constraints: Constraints = constraints_of(graph, rules)

    def grouping(self) -> Grouping:
        self._apply_carrier_limits()
        self._end_windows()
        open_links = np.flatnonzero(
            (self.link_tiers >= 0)
            & (self.states == "active")[self.links.identifiers]
            & (self.link_states != "expired")
        )
        raw = self._raw_components(open_links)
        self._join_decisions(open_links)
        strong = self.labels
        for tier in range(len(TIERS)):
            mine = open_links[self.link_tiers[open_links] == tier]
            if tier == 1:
                mine = self._refuse_unknown_ages(self._refuse_minors(mine))
            if tier > 0:
                mine = self._judge(tier, mine)
            if len(mine):
                self._connect(mine, with_facts=tier > 0)
            if tier == 0:
                strong = self.labels[: self.size]
        pruning = cut_large_people(
            self.graph, self.rules, people=self.labels[: self.size], strong=strong, links=self.joining_links, ends=self.ends
        )  # fmt: skip
        for refusal in pruning.refusals:
            self.link_states[refusal.link] = "refused"
        self.refusals += pruning.refusals
        return Grouping(
            pruning.people,
            raw,
            self.states,
            self.reasons,
            self.owner_reasons,
            self.link_states,
            self.ended_on,
            self.due_on,
            self.refusals,
            pruning.kept_oversized,
            self.ends,
        )

    def _apply_carrier_limits(self) -> None:
        """Take out values on more records than the rules allow before anything is connected by them."""
        identifiers = self.graph.identifiers
        carriers = np.bincount(self.links.identifiers, minlength=len(identifiers)) + identifiers.outside
        for code, name in enumerate(self.graph.namespaces):
            limit = carriers_limit(self.rules, name)
            if limit is not None:
                above = (
                    (identifiers.namespaces == code) & limit.is_above(carriers) & (self.states == "active")
                )
                self.states[above], self.reasons[above] = limit.rule, limit.reason

    def _end_windows(self) -> None:
        """End links whose window is over; note for the others when theirs will be."""
        for code, name in enumerate(self.graph.namespaces):
            days = getattr(self.rules.rule(name), "window_days", None)
            if days is None:
                continue
            dated = np.flatnonzero((self.codes == code) & (self.links.observed != UNDATED))
            last = self.links.observed[dated] + np.int32(days)
            over = last <= self.graph.day
            self.link_states[dated[over]] = "expired"
            self.ended_on[dated[over]] = last[over]
            self.due_on[dated[~over]] = last[~over]

    def _raw_components(self, open_links: np.ndarray) -> np.ndarray:
        decisions = self.graph.decisions
        return components(
            np.concatenate([self.links.profiles[open_links], decisions.must_a]),
            np.concatenate([self.ends[open_links], decisions.must_b]),
            self.places,
        )

    def _join_decisions(self, open_links: np.ndarray) -> None:
        one, other, refusals = join_decisions(self.graph, self.constraints, open_links)
        self.refusals += refusals
        if len(one):
            self.labels = components(one, other, self.places)

    def _refuse_minors(self, links: np.ndarray) -> np.ndarray:
        """Refuse contacts of people who are too young to have any, until the first of their records comes of age."""
        of_age = self.graph.profiles.of_age_on
        minors = np.flatnonzero(of_age != UNDATED)
        if not len(minors):
            return links
        first = np.full(self.places, np.iinfo(np.int32).max, dtype=np.int32)
        np.minimum.at(first, self.labels[minors], of_age[minors])
        until = first[self.labels[self.links.profiles[links]]]
        young = until != np.iinfo(np.int32).max
        refused_links = links[young]
        self.link_states[refused_links] = "refused"
        due = self.due_on[refused_links]
        self.due_on[refused_links] = np.where(due == UNDATED, until[young], np.minimum(due, until[young]))
        reason = f"below {self.rules.contacts_from_age}"
        self.refusals += [
            Refusal(link, "minor", reason, int(self.links.profiles[link]), ABSENT)
            for link in refused_links.tolist()
        ]
        return links[~young]

    def _refuse_unknown_ages(self, links: np.ndarray) -> np.ndarray:
        """Refuse contacts of people of whom only an impossible birth date is known: they may be children.

        A day in the future is looked at again when it has come.
        """
        people = self.graph.profiles
        impossible = np.flatnonzero(people.impossible_births != UNDATED)
        if not len(impossible):
            return links
        latest = np.full(self.places, np.iinfo(np.int32).min, dtype=np.int64)
        np.maximum.at(latest, self.labels[impossible], people.impossible_births[impossible])
        has_birth_date = np.zeros(self.places, dtype=bool)
        has_birth_date[self.labels[np.flatnonzero(people.birth_dates != UNDATED)]] = True
        person = self.labels[self.links.profiles[links]]
        is_unknown = (latest[person] != np.iinfo(np.int32).min) & ~has_birth_date[person]
        refused_links, born = links[is_unknown], latest[person[is_unknown]]
        is_future = born > self.graph.day
        self.link_states[refused_links] = "refused"
        due = self.due_on[refused_links]
        until = np.where((due == UNDATED) | (born < due), born, due)
        self.due_on[refused_links] = np.where(is_future, until, due)
        self.refusals += [
            Refusal(
                link,
                "birth_date",
                "in the future" if future else f"before {EARLIEST_BIRTH_DATE.year}",
                int(self.links.profiles[link]),
                ABSENT,
            )
            for link, future in zip(refused_links.tolist(), is_future.tolist(), strict=True)
        ]
        return links[~is_unknown]

    def _judge(self, tier: int, links: np.ndarray) -> np.ndarray:
        """Take out links on identifiers that several people hold; give those that may join."""
        judgement = judge_holders(
            self.graph,
            self.rules,
            links=links,
            groups=self.labels[: self.size],
            joining_links=self.joining_links,
            namespaces=np.flatnonzero(self.tier_of == tier).tolist(),
        )
        self.owner_reasons |= judgement.owner_reasons
        for node, reason in judgement.shared.items():
            self.states[node], self.reasons[node] = "shared", reason
        for link, day in judgement.expired:
            self.link_states[link], self.ended_on[link] = "expired", day
        numbers = dict(judgement.sub_nodes)
        for link, number in numbers.items():
            self.ends[link] = self.places + number
            self.link_states[link] = "corroborated"
        alone = np.arange(self.places, self.places + len(set(numbers.values())), dtype=np.int64)
        self.labels, self.places = np.concatenate([self.labels, alone]), self.places + len(alone)
        usable = (self.states == "active")[self.links.identifiers[links]]
        states = self.link_states[links]
        return links[(usable & (states != "expired")) | (states == "corroborated")]

    def _connect(self, links: np.ndarray, *, with_facts: bool) -> None:
        """Join along the links of one tier; replay the components that hold more than one person may."""
        graph, labels = self.graph, self.labels
        self.link_states[links[self.link_states[links] == "idle"]] = "active"
        together = components(
            labels[self.links.profiles[links]], labels[self.ends[links]], self.places, start=labels
        )
        usable = np.concatenate([self.joining_links, links])
        violators = find_violators(
            graph, self.constraints, labels=together, usable=usable, with_facts=with_facts
        )
        if len(violators):
            places = np.flatnonzero(np.isin(together, violators))
            within = links[np.isin(together[self.links.profiles[links]], violators)]
            by_evidence = order_of_evidence(graph, self.rules, within)
            after, refusals = replay(
                graph,
                self.constraints,
                links=by_evidence,
                ends=self.ends[by_evidence],
                labels=labels,
                places=places,
                with_facts=with_facts,
            )
            before = np.fromiter(after, dtype=np.int64, count=len(after))
            target = np.fromiter(after.values(), dtype=np.int64, count=len(after))
            order = np.argsort(before)
            together[places] = target[order][np.searchsorted(before[order], labels[places])]
            for refusal in refusals:
                self.link_states[refusal.link] = "refused"
            self.refusals += refusals
        self.labels = together
        self.joining_links = np.concatenate([self.joining_links, links[self.link_states[links] != "refused"]])
