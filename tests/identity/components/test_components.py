"""Components equal networkx on graphs of every awkward shape, with both kernels."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from identity.components.union_find import NamedForest, components, components_of_batches

KERNELS = ["scipy", "numba"]
NOTHING = np.zeros(0, dtype=np.int64)


def oracle(sources, targets, n):
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(zip(sources.tolist(), targets.tolist(), strict=True))
    answer = np.zeros(n, dtype=np.int64)
    for component in nx.connected_components(graph):
        answer[list(component)] = min(component)
    return answer


def shapes(seed):
    """Chains, stars, cliques joined by bridges, duplicates, loops and isolated nodes, numbered at random."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(50, 400))
    chain = np.arange(0, n // 5)
    star = np.arange(n // 5, 2 * n // 5)
    clique = np.arange(2 * n // 5, 2 * n // 5 + 12)
    other = clique[-1] + 1 + np.arange(8)
    pairs = [np.c_[chain[:-1], chain[1:]], np.c_[np.full(len(star), star[0]), star]]
    pairs += [np.array([(a, b) for a in group for b in group if a < b]) for group in (clique, other)]
    if rng.random() < 0.5:
        pairs.append(np.array([(clique[0], other[0])]))
    pairs.append(rng.integers(0, n, (n // 10, 2)))
    pairs.append(np.c_[star[:3], star[:3]])
    links = np.concatenate(pairs + pairs[:2])
    links = rng.permutation(n)[links[rng.permutation(len(links))]]
    return links[:, 0], links[:, 1], n


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("seed", range(25))
def test_components_equal_networkx(kernel, seed):
    sources, targets, n = shapes(seed)
    found = components(sources, targets, n, kernel=kernel)
    assert np.array_equal(found, oracle(sources, targets, n)), f"seed {seed}"


@pytest.mark.parametrize("kernel", KERNELS)
def test_batches_and_a_continued_answer_give_the_same(kernel):
    sources, targets, n = shapes(99)
    expected = components(sources, targets, n, kernel=kernel)
    half = len(sources) // 2
    parts = [(sources[:half], targets[:half]), (NOTHING, NOTHING), (sources[half:], targets[half:])]
    assert np.array_equal(components_of_batches(parts, n, kernel=kernel), expected)
    first = components(*parts[0], n, kernel=kernel)
    assert np.array_equal(components(*parts[2], n, start=first, kernel=kernel), expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_long_chain_and_an_empty_graph_end(kernel):
    n = 200_000
    order = np.random.default_rng(3).permutation(n - 1)
    assert not components(order, order + 1, n, kernel=kernel).any()
    assert components(NOTHING, NOTHING, 0, kernel=kernel).tolist() == []
    assert components(NOTHING, NOTHING, 3, kernel=kernel).tolist() == [0, 1, 2]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_start_may_point_upwards(kernel):
    start = np.array([3, 1, 2, 4, 4])
    assert components(NOTHING, NOTHING, 5, start=start, kernel=kernel).tolist() == [4, 1, 2, 4, 4]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("link", [(0, 5), (5, 0), (-1, 0), (0, -1), (2**33, 2**33)])
def test_a_link_to_a_node_that_is_not_there_is_refused(kernel, link):
    ends = np.array([link[0]]), np.array([link[1]])
    with pytest.raises(ValueError, match="outside 0…4"):
        components(*ends, 5, kernel=kernel)
    with pytest.raises(ValueError, match="outside 0…4"):
        NamedForest(5, kernel).join(*ends)


@pytest.mark.parametrize("seed", range(10))
def test_stretches_answered_at_once_equal_one_answered_alone(seed, monkeypatch):
    monkeypatch.setattr("identity.components.union_find._NODES_OF_A_STRETCH", 30)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    sources, targets, n = shapes(seed)
    forest = NamedForest(n + 7, "numba")
    forest.join(sources, targets)
    nodes, roots = forest.answer()
    assert np.array_equal(nodes, np.unique(np.concatenate([sources, targets]))), f"seed {seed}"
    assert np.array_equal(roots, oracle(sources, targets, n)[nodes]), f"seed {seed}"


def test_a_way_down_through_other_stretches_is_followed_to_its_end(monkeypatch):
    monkeypatch.setattr("identity.components.union_find._NODES_OF_A_STRETCH", 1000)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    forest = NamedForest(8000, "numba")
    downwards = np.arange(7999, 0, -1)  # the deepest trees there can be: no link finds a path to halve
    forest.join(downwards - 1, downwards)
    nodes, roots = forest.answer()
    assert np.array_equal(nodes, np.arange(8000))
    assert not roots.any()
