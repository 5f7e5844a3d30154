"""Graphs of links for benchmarks, from a seed: identity-like clusters, a hub, a chain; ids shuffled, without holes."""

from __future__ import annotations

import numpy as np

SEED = 20261120
_CROSS_SHARE = 0.0005


def clusters(nodes: int, links: int, count: int, *, cross: float = 0.0, seed: int = SEED) -> np.ndarray:
    """Give ``links`` links (two columns) that make ``count`` clusters of ``nodes`` nodes, some of them single.

    Every cluster is a random tree and random links within it; a share ``cross`` of the links ties two nodes at random.
    """
    chance = np.random.default_rng(seed)
    cluster = np.sort(np.concatenate([np.arange(count), chance.integers(0, count, nodes - count)]))
    first = np.searchsorted(cluster, np.arange(count))
    size = np.diff(np.append(first, nodes))
    grown = np.flatnonzero(np.arange(nodes) != first[cluster])
    start = first[cluster[grown]]
    tree = np.c_[grown, start + (chance.random(len(grown)) * (grown - start)).astype(np.int64)]
    crossing = int(links * cross)
    within = links - len(tree) - crossing
    if within < 0:
        raise ValueError(f"{links} links cannot make {count} clusters of {nodes} nodes")
    some = grown[chance.integers(0, len(grown), within)]
    other = first[cluster[some]] + (chance.random(within) * size[cluster[some]]).astype(np.int64)
    pairs = np.concatenate([tree, np.c_[some, other], chance.integers(0, nodes, (crossing, 2))])
    return chance.permutation(nodes)[pairs[chance.permutation(len(pairs))]]


def forest(links: int, seed: int = SEED) -> np.ndarray:
    """Give identity-like trees of five nodes on average, 0.05 % of the links crossing between them."""
    trees = links - int(links * _CROSS_SHARE)
    nodes = trees * 5 // 4
    return clusters(nodes, links, nodes - trees, cross=_CROSS_SHARE, seed=seed)


def hub(leaves: int, seed: int = SEED) -> np.ndarray:
    """Give one node tied to all others."""
    number = np.random.default_rng(seed).permutation(leaves + 1)
    return np.c_[np.full(leaves, number[0]), number[1:]]


def chain(nodes: int, seed: int = SEED) -> np.ndarray:
    """Give one path through all nodes, its links in random order."""
    chance = np.random.default_rng(seed)
    number = chance.permutation(nodes)
    return np.c_[number[:-1], number[1:]][chance.permutation(nodes - 1)]


CASES = {
    "forest, 1 M links": lambda: forest(1_000_000),
    "hub of 100,000": lambda: hub(100_000),
    "chain of 1 M": lambda: chain(1_000_000),
    "forest, 10 M links": lambda: forest(10_000_000),
    "published shape, 16.1 M links": lambda: clusters(10_000_000, 16_100_000, 1_840_000),
    "forest, 50 M links": lambda: forest(50_000_000),
}
