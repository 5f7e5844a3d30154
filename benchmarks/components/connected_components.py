"""Connected components of identity-like links: our kernels, networkx, and scipy as it comes.

Every way gets the same two integer arrays and runs in a process of its own, so that neither memory nor caches are
shared. What is timed is arrays in, components out, in whatever shape the library gives them; bringing them into one
shape to compare them is not timed.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import BUDGET_SECONDS, Outcome, Row, peak_mb, timed

NAME = "connected_components"
QUESTION = "How long does it take to find who is connected to whom?"
LINKS = (1_000_000, 5_000_000)
SEED = 20261120
REFERENCE = "scipy.sparse.csgraph"


def identity_links(links: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Give (profiles, identifiers, number of nodes) of ``links`` links such as a bank's channels yield.

    A person has one to some profiles and three identifiers, of which a profile carries some; one person in fifty
    carries the phone of another, one in a thousand the device of a shared counter. Node numbers are shuffled, so
    that no way profits from persons standing side by side.
    """
    chance = np.random.default_rng(seed)
    people = links // 3
    profiles_of = np.minimum(1 + chance.poisson(1.1, people), 8)
    person = np.repeat(np.arange(people), profiles_of)
    profile = np.arange(len(person))
    identifiers = np.arange(3 * people).reshape(people, 3)
    family = chance.choice(people, people // 50, replace=False)
    identifiers[family, 0] = identifiers[chance.integers(0, people, len(family)), 0]
    counter = chance.choice(people, people // 1000, replace=False)
    identifiers[counter, 2] = identifiers[
        counter[chance.integers(0, max(1, len(counter) // 200), len(counter))], 2
    ]
    carries = chance.random((len(person), 3)) < (0.75, 0.6, 0.4)
    carries[~carries.any(axis=1), 0] = True
    at, kind = np.nonzero(carries)
    sources, targets = profile[at], len(profile) + identifiers[person[at], kind]
    choice = chance.permutation(len(sources))[:links]
    if len(choice) < links:
        raise ValueError(f"only {len(choice)} of {links} links were made")
    ids, places = np.unique(np.concatenate([sources[choice], targets[choice]]), return_inverse=True)
    number = chance.permutation(len(ids))[places]
    return number[:links], number[links:], len(ids)


def run(repeats: int) -> Outcome:
    """Measure every way on every size."""
    rows: list[Row] = []
    notes: list[str] = []
    for links in LINKS:
        sources, targets, nodes = identity_links(links, SEED)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.savez(folder / "links.npz", sources=sources, targets=targets, nodes=nodes)
            figures = {way: _in_fresh_process(way, folder, repeats) for way in WAYS}
            reference = np.load(folder / f"{_file(REFERENCE)}.npy")
            for way, numbers in figures.items():
                rows.append(
                    Row(
                        case=f"{links:,} links, {nodes:,} nodes",
                        way=way,
                        seconds=numbers["seconds"],
                        first_seconds=numbers["first_seconds"],
                        cpu_seconds=numbers["cpu_seconds"],
                        peak_mb=numbers["peak_mb"],
                        is_equal=bool(np.array_equal(np.load(folder / f"{_file(way)}.npy"), reference)),
                    )
                )
        sizes = np.unique(np.unique(reference, return_counts=True)[1], return_counts=True)
        notes.append(
            f"{links:,} links: {int(sizes[1].sum()):,} components, the largest of {int(sizes[0].max()):,} nodes."
        )
    notes.append(
        "A first call in a process includes imports, and for numba compiling. `identity` picks numba from 2,000,000 "
        "links on where it is installed, scipy below. Equal means: the same smallest node for every node as scipy's."
    )
    return Outcome(rows, notes)


def _in_fresh_process(way: str, folder: Path, repeats: int) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_figures, (way, folder, repeats))


def _figures(way: str, folder: Path, repeats: int) -> dict[str, Any]:
    links = np.load(folder / "links.npz")
    sources, targets, nodes = links["sources"], links["targets"], int(links["nodes"])
    before = peak_mb()
    find, smallest = WAYS[way]
    began = time.perf_counter()
    answer = find(sources, targets, nodes)
    first = time.perf_counter() - began
    after = peak_mb()
    peak = None if before is None or after is None else after - before
    np.save(folder / f"{_file(way)}.npy", smallest(answer, nodes))
    del answer
    # A way that needs a minute is run once more, not five times; its first call's imports weigh nothing then.
    timing = timed(
        lambda: find(sources, targets, nodes),
        repeats,
        budget=BUDGET_SECONDS - 3 * first,
        at_least=1 if first > 20 else 2,
    )
    return {
        "seconds": timing.seconds,
        "cpu_seconds": timing.cpu_seconds,
        "first_seconds": first,
        "peak_mb": peak,
    }


def _file(way: str) -> str:
    return "".join(sign if sign.isalnum() else "_" for sign in way)


def _by_numba(sources: np.ndarray, targets: np.ndarray, nodes: int) -> np.ndarray:
    from identity.components.union_find import components

    return components(sources, targets, nodes, kernel="numba")


def _by_scipy_kernel(sources: np.ndarray, targets: np.ndarray, nodes: int) -> np.ndarray:
    from identity.components.union_find import components

    return components(sources, targets, nodes, kernel="scipy")


def _by_csgraph(sources: np.ndarray, targets: np.ndarray, nodes: int) -> np.ndarray:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    graph = csr_matrix((np.ones(len(sources), dtype=np.int8), (sources, targets)), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1]


def _by_networkx(sources: np.ndarray, targets: np.ndarray, nodes: int) -> list[set[int]]:
    import networkx as nx

    graph = nx.Graph()
    graph.add_edges_from(zip(sources.tolist(), targets.tolist(), strict=True))
    return list(nx.connected_components(graph))


def _as_it_is(answer: np.ndarray, nodes: int) -> np.ndarray:
    return answer


def _smallest_of_labels(labels: np.ndarray, nodes: int) -> np.ndarray:
    smallest = np.full(labels.max() + 1, nodes, dtype=np.int64)
    np.minimum.at(smallest, labels, np.arange(nodes))
    return smallest[labels]


def _smallest_of_sets(groups: list[set[int]], nodes: int) -> np.ndarray:
    smallest = np.arange(nodes, dtype=np.int64)
    for group in groups:
        smallest[list(group)] = min(group)
    return smallest


WAYS: dict[str, tuple[Callable[..., Any], Callable[[Any, int], np.ndarray]]] = {
    "identity.components, numba": (_by_numba, _as_it_is),
    "identity.components, scipy": (_by_scipy_kernel, _as_it_is),
    REFERENCE: (_by_csgraph, _smallest_of_labels),
    "networkx": (_by_networkx, _smallest_of_sets),
}
