"""Guards: which identifiers join nobody because too many people hold them.

A guard counts *people found by stronger evidence*, not records: a phone on five records of one person is fine,
a phone on two records of two people is shared. Nothing here looks at values, only at who carries what.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from identity.components.arrays import distinct, distinct_pairs
from identity.joining.limits import Limit, fan_out_limit, holders_limit
from identity.reading.graph import ABSENT, UNDATED, Graph
from identity.rules.rules import FACTS, HolderLimit, NamespaceRule, Rules


@dataclass(frozen=True)
class HolderJudgement:
    """What guards say about the identifiers of one tier.

    ``shared``: places of identifiers with their reason; ``owner_reasons``: those that belong to their newest or last holder.
    ``expired``: links a newer holder ended, with the day. ``sub_nodes``: (link, group number) of links on shared
    identifiers that carriers of one same name may still use together.
    """

    shared: dict[int, str]
    owner_reasons: dict[int, str]
    expired: list[tuple[int, int]]
    sub_nodes: list[tuple[int, int]]


def judge_holders(
    graph: Graph,
    rules: Rules,
    *,
    links: np.ndarray,
    groups: np.ndarray,
    joining_links: np.ndarray,
    namespaces: list[int],
) -> HolderJudgement:
    """Judge the identifiers of ``namespaces`` (one tier) by the people that carry them.

    ``links`` are the tier's usable links, ``groups`` the person of each profile by stronger evidence, ``joining_links`` the
    links (of stronger tiers) that made those people.
    """
    shared: dict[int, str] = {}
    owner_reasons: dict[int, str] = {}
    expired: list[tuple[int, int]] = []
    sub_nodes: list[tuple[int, int]] = []
    for code in namespaces:
        rule = rules.rule(graph.namespaces[code])
        if rule is None:
            continue
        mine = links[graph.identifiers.namespaces[graph.links.identifiers[links]] == code]
        if not len(mine):
            continue
        too_common = _above_fan_out(graph, rule, mine, groups)
        contested = _contested(graph, rules, rule, mine, groups, joining_links)
        contested = {node: why for node, why in contested.items() if node not in too_common}
        if rule.when_exceeded != "shared" and contested:
            ended_links, undecided = _end_old_links(
                graph, rules, rule, mine, groups, joining_links, contested
            )
            expired += ended_links
            single = contested.keys() - set(undecided)
            owner_reasons |= dict.fromkeys(single, f"{rule.when_exceeded} holder")
            contested = {node: contested[node] for node in undecided}
        if rule.corroborate == "full_name" and contested:
            sub_nodes += _corroborated(
                graph, mine, groups, contested, first=1 + max((number for _, number in sub_nodes), default=-1)
            )
        shared |= too_common | contested
    return HolderJudgement(shared, owner_reasons, expired, sub_nodes)


def _above_fan_out(
    graph: Graph, rule: NamespaceRule, links: np.ndarray, groups: np.ndarray
) -> dict[int, str]:
    """Find values on more records of one source than a person would leave there."""
    if rule.fan_out is None:
        return {}
    profiles, nodes = graph.links.profiles[links], graph.links.identifiers[links].astype(np.int64)
    sources = int(graph.profiles.sources.max(initial=0)) + 1
    limit = fan_out_limit(rule.fan_out)
    keys = limit.owners_above(nodes * sources + graph.profiles.sources[profiles], groups[profiles])
    return {int(node): limit.reason for node in distinct(keys // sources)}


def _bearers(
    graph: Graph, rules: Rules, limit: HolderLimit, groups: np.ndarray, joining_links: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Give, per thing a limit counts, a code per profile place of a *group*: who holds it (ABSENT: does not).

    For namespaces the code is the group itself; for facts it is the fact, so that two groups of one name count once.
    """
    size = len(graph.profiles)
    places = np.arange(size)
    if limit.each in FACTS:
        for label, codes in fact_codes(graph, limit.each):
            yield label, _one_per_group(groups, codes)
        return
    patterns = limit.any or (limit.each or "",)
    concrete = [c for c, name in enumerate(graph.namespaces) if any(rules.matches(p, name) for p in patterns)]
    batches = (
        [(" or ".join(patterns), concrete)] if limit.any else [(graph.namespaces[c], [c]) for c in concrete]
    )
    for label, of_batch in batches:
        holds = np.zeros(size, dtype=bool)
        by = joining_links[
            np.isin(graph.identifiers.namespaces[graph.links.identifiers[joining_links]], of_batch)
        ]
        holds[groups[graph.links.profiles[by]]] = True
        yield label, np.where(holds, places, ABSENT)


def fact_codes(graph: Graph, fact: str) -> list[tuple[str, np.ndarray]]:
    """Give what profiles say about a fact as codes, ABSENT where they say nothing."""
    people = graph.profiles
    if fact == "full_name":
        return [(f"full_name ({writing})", codes) for writing, codes in sorted(people.legal_names.items())]
    if fact == "birth_date":
        # Shifted, since a day before 1970 is a negative number and ABSENT is -1.
        shifted = people.birth_dates.astype(np.int64) + 1_000_000
        return [("birth_date", np.where(people.birth_dates == UNDATED, ABSENT, shifted))]
    return [("gender", people.genders.astype(np.int64))]


def _contested(
    graph: Graph,
    rules: Rules,
    rule: NamespaceRule,
    links: np.ndarray,
    groups: np.ndarray,
    joining_links: np.ndarray,
) -> dict[int, str]:
    """Find values that more people hold than the namespace allows."""
    nodes, holders = distinct_pairs(graph.links.identifiers[links], groups[graph.links.profiles[links]])
    reasons: dict[int, str] = {}
    for holder_limit in rule.at_most:
        for label, codes in _bearers(graph, rules, holder_limit, groups, joining_links):
            limit = holders_limit(holder_limit.people, label)
            is_holder = codes[holders] != ABSENT
            for node in limit.owners_above(nodes[is_holder], codes[holders][is_holder]).tolist():
                reasons.setdefault(int(node), limit.reason)
    return reasons


def _end_old_links(
    graph: Graph,
    rules: Rules,
    rule: NamespaceRule,
    links: np.ndarray,
    groups: np.ndarray,
    joining_links: np.ndarray,
    contested: dict[int, str],
) -> tuple[list[tuple[int, int]], list[int]]:
    """Leave a value to one verified holder.

    ``when_exceeded: newest``: older statements of others expire (a number given to somebody else); ``last``: every
    statement of other holders does (a device belongs to who was last seen on it; who holds nothing stays with it).
    Gives the expired links with the day they ended, and the identifiers that more people than allowed hold even
    then, which stay shared.
    """
    bearers = [
        (limit.people, codes)
        for limit in rule.at_most
        for _, codes in _bearers(graph, rules, limit, groups, joining_links)
    ]
    expired: list[tuple[int, int]] = []
    undecided: list[int] = []
    order = links[np.argsort(graph.links.identifiers[links], kind="stable")]
    nodes = graph.links.identifiers[order]
    for node in contested:
        first, last = np.searchsorted(nodes, [node, node + 1])
        mine = order[first:last]
        ended_links: list[tuple[int, int]] = []
        for people, codes in bearers:
            person = groups[graph.links.profiles[mine]]
            when = graph.links.observed[mine].astype(np.int64)
            holds = codes[person] != ABSENT
            if len(np.unique(codes[person][holds])) <= people:
                continue
            sure = graph.links.verified[mine] & holds & (when != UNDATED)
            winners = np.unique(person[sure & (when == when[sure].max(initial=UNDATED))])
            if len(winners) == 1:
                since = when[sure & (person == winners[0])].min()
                others = person != winners[0]
                old = others & (holds if rule.when_exceeded == "last" else when < since)
                ended_links += [(link, int(since)) for link in mine[old].tolist()]
                mine = mine[~old]
            remaining = codes[groups[graph.links.profiles[mine]]]
            if len(np.unique(remaining[remaining != ABSENT])) > people:
                undecided.append(node)
                break
        else:
            expired += ended_links
    return expired, undecided


def _corroborated(
    graph: Graph, links: np.ndarray, groups: np.ndarray, contested: dict[int, str], *, first: int
) -> list[tuple[int, int]]:
    """Give links on contested values whose carriers agree in the name: value and name together do identify."""
    names = _one_per_group(groups, _full_names(graph))
    person = groups[graph.links.profiles[links]]
    nodes = graph.links.identifiers[links]
    named_links = np.isin(nodes, np.fromiter(contested, dtype=np.int64)) & (names[person] != ABSENT)
    mine, person, nodes = links[named_links], person[named_links], nodes[named_links]
    if not len(mine):
        return []
    _, together = np.unique(
        nodes.astype(np.int64) * (int(names.max()) + 1) + names[person], return_inverse=True
    )
    several = np.isin(together, Limit(1, "corroborate", "full_name").owners_above(together, person))
    _, numbers = np.unique(together[several], return_inverse=True)
    return list(zip(mine[several].tolist(), (numbers + first).tolist(), strict=True))


def _full_names(graph: Graph) -> np.ndarray:
    """Give one code per full name, of either writing."""
    han, latin = graph.profiles.legal_names["han"], graph.profiles.legal_names["latin"]
    return np.where(han != ABSENT, han * 2, np.where(latin != ABSENT, latin * 2 + 1, ABSENT))


def _one_per_group(groups: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Give the smallest known code of each group, at the place of the group; the order of records does not matter."""
    has_code = codes != ABSENT
    lowest = np.full(len(groups), np.iinfo(np.int64).max)
    np.minimum.at(lowest, groups[has_code], codes[has_code])
    return np.where(lowest == np.iinfo(np.int64).max, ABSENT, lowest)
