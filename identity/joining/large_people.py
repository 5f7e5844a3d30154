"""People that grew too large: their weak joins are cut where they hang together least; nobody is dropped.

Evidence of documents and accounts is never cut: what it joins is one block. Between blocks, first the contacts and
devices go whose removal takes a person apart (articulation points), the weakest first; then, if that was not enough,
blocks are clustered by average linkage over the strength of what they share. A person that is still too large stays
whole and is counted: the gate on the largest person and `cdp identity show` are where somebody looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np

from identity.components.arrays import distinct
from identity.joining.limits import Limit, size_limit
from identity.reading.graph import ABSENT, Graph, Refusal
from identity.rules.rules import Rules

# Larger ones are no person but a bad value: the gate names it, and a matrix of distances would not fit.
_MOST_BLOCKS = 2_000


@dataclass(frozen=True)
class CutPeople:
    """People after cutting, the links it cost, and how many people stayed too large."""

    people: np.ndarray
    refusals: list[Refusal]
    kept_oversized: int


def cut_large_people(
    graph: Graph, rules: Rules, *, people: np.ndarray, strong: np.ndarray, links: np.ndarray, ends: np.ndarray
) -> CutPeople:
    """Give people of which none is larger than ``largest_person.cut_above``, as far as weak joins allow it.

    ``people`` and ``strong`` label profiles by final and by strong evidence; ``links`` are those that joined, ``ends``
    the node each link leads to.
    """
    limit = size_limit(rules)
    sizes = np.bincount(people, minlength=1)
    large = np.flatnonzero(limit.is_above(sizes))
    if not len(large):
        return CutPeople(people, [], 0)
    after, refusals, oversized = people.copy(), [], 0
    owner = people[graph.links.profiles[links]]
    tiers = np.array(rules.tiers_of(graph.namespaces), dtype=np.int64)
    weak = tiers[graph.identifiers.namespaces[graph.links.identifiers[links]]] > 0
    for person in large.tolist():
        mine = links[(owner == person) & weak]
        profiles = np.flatnonzero(people == person)
        blocks = distinct(strong[profiles])
        if len(blocks) == 1 or len(blocks) > _MOST_BLOCKS:
            oversized += 1
            continue
        refused_links = _weakest_joins(graph, rules, mine, strong, ends, profiles, limit)
        for link in refused_links:
            refusals.append(Refusal(link, limit.rule, limit.reason, int(graph.links.profiles[link]), ABSENT))
        parts = _parts(strong, profiles, mine[~np.isin(mine, refused_links)], graph, ends)
        for part in parts:
            after[part] = part.min()
            oversized += len(part) > limit.most
    return CutPeople(after, refusals, oversized)


def _parts(
    strong: np.ndarray, profiles: np.ndarray, links: np.ndarray, graph: Graph, ends: np.ndarray
) -> list[np.ndarray]:
    net = _net(strong, profiles, links, graph, ends)
    of_block: dict[int, int] = {}
    for number, part in enumerate(nx.connected_components(net)):
        of_block |= {name: number for kind, name in part if kind == "block"}
    numbers = np.array([of_block[block] for block in strong[profiles].tolist()])
    return [profiles[numbers == number] for number in distinct(numbers).tolist()]


def _net(
    strong: np.ndarray, profiles: np.ndarray, links: np.ndarray, graph: Graph, ends: np.ndarray
) -> nx.Graph:
    """Draw blocks and the weak identifiers between them."""
    net = nx.Graph()
    net.add_nodes_from(("block", int(block)) for block in distinct(strong[profiles]))
    for link in links.tolist():
        net.add_edge(("block", int(strong[graph.links.profiles[link]])), ("value", int(ends[link])))
    return net


def _weakest_joins(
    graph: Graph,
    rules: Rules,
    links: np.ndarray,
    strong: np.ndarray,
    ends: np.ndarray,
    profiles: np.ndarray,
    limit: Limit,
) -> list[int]:
    """Give the links to refuse, so that no part is above ``limit``."""
    by_end: dict[int, list[int]] = {}
    for link in links.tolist():
        by_end.setdefault(int(ends[link]), []).append(link)
    sizes = {block: int((strong[profiles] == block).sum()) for block in distinct(strong[profiles]).tolist()}
    refused_links: list[int] = []
    waiting = [_net(strong, profiles, links, graph, ends)]
    while waiting:
        net = waiting.pop()
        if sum(sizes[name] for kind, name in net if kind == "block") <= limit.most:
            continue
        at = [name for kind, name in nx.articulation_points(net) if kind == "value"]
        if at:
            weakest = min(at, key=lambda end: (_strength(graph, rules, by_end[end]), -len(by_end[end]), _key(graph, by_end[end])))  # fmt: skip
            refused_links += by_end[weakest]
            net.remove_node(("value", weakest))
            waiting += [net.subgraph(part).copy() for part in nx.connected_components(net)]
        else:
            refused_links += _outside_linkage(graph, rules, net, by_end, sizes, limit)
    return refused_links


def _outside_linkage(
    graph: Graph,
    rules: Rules,
    net: nx.Graph,
    by_end: dict[int, list[int]],
    sizes: dict[int, int],
    limit: Limit,
) -> list[int]:
    """Cluster blocks by average linkage up to ``limit`` profiles; give links that would join two clusters."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    ranks = graph.profiles.ranks
    blocks = sorted((name for kind, name in net if kind == "block"), key=lambda name: int(ranks[name]))
    values = [name for kind, name in net if kind == "value"]
    place = {block: number for number, block in enumerate(blocks)}
    if len(blocks) < 2:
        return []
    evidence = np.zeros((len(blocks), len(blocks)))
    for end in values:
        around = sorted({place[name] for _, name in net.neighbors(("value", end))})
        evidence[np.ix_(around, around)] += _strength(graph, rules, by_end[end])
    far = 1.0 / (1.0 + evidence)
    np.fill_diagonal(far, 0.0)
    groups = {number: [number] for number in range(len(blocks))}
    weights = {number: sizes[block] for number, block in enumerate(blocks)}
    for step, (one, other, *_) in enumerate(linkage(squareform(far, checks=False), method="average")):
        a, b, parent = int(one), int(other), len(blocks) + step
        # A refused join leaves no cluster behind, so that nothing above it in the tree is joined either.
        if a in groups and b in groups and weights[a] + weights[b] <= limit.most:
            groups[parent] = groups.pop(a) + groups.pop(b)
            weights[parent] = weights.pop(a) + weights.pop(b)
    cluster = {blocks[member]: name for name, members in groups.items() for member in members}
    refused_links: list[int] = []
    for end in values:
        clusters: dict[int, list[int]] = {}
        for _, name in net.neighbors(("value", end)):
            clusters.setdefault(cluster[name], []).append(name)
        if len(clusters) > 1:
            refused_links += by_end[end]
    return refused_links


def _strength(graph: Graph, rules: Rules, links: list[int]) -> int:
    name = graph.namespaces[int(graph.identifiers.namespaces[graph.links.identifiers[links[0]]])]
    rule = rules.rule(name)
    return rule.strength if rule is not None else 0


def _key(graph: Graph, links: list[int]) -> tuple[str, int]:
    value = str(graph.identifiers.values[int(graph.links.identifiers[links[0]])].as_py())
    return value, int(graph.profiles.ranks[graph.links.profiles[links]].min())
