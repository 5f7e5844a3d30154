"""Connected components on integer arrays: links to the smaller root, O(nodes) memory, no Python loop over links.

Two kernels give the same answer: numba when it is installed (extra ``fast``) and there is enough work to pay for
loading it, else scipy in chunks. ``identity.components`` does the same for links in tables, of any size.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import accumulate, pairwise
from types import ModuleType
from typing import Literal

import numpy as np

Kernel = Literal["numba", "scipy"]

# Loading numba and its compiled kernels takes about a second; scipy needs that long for some millions of links. Once
# they are loaded, the kernels are quicker for all but a handful.
_WORTH_NUMBA = 2_000_000
_WORTH_LOADED_NUMBA = 10_000
_CHUNK = 8_000_000
_INT32_NODES = 2**31 - 1
_MOST_STRETCHES = 8
# Below that the parents lie in the processor's own memory, and what another core writes there has to travel.
_NODES_OF_A_STRETCH = 2_000_000


def components(
    sources: np.ndarray,
    targets: np.ndarray,
    n: int,
    *,
    start: np.ndarray | None = None,
    kernel: Kernel | None = None,
) -> np.ndarray:
    """Give for each of the nodes 0…n-1 the smallest node it is connected to (int64).

    ``start`` continues from an earlier answer of the same nodes. Links may repeat, be loops, and come in any
    order: the answer does not depend on it. Nodes outside 0…n-1 raise ``ValueError``.
    """
    return components_of_batches([(sources, targets)], n, start=start, kernel=kernel, links=len(sources))


def components_of_batches(
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    n: int,
    *,
    start: np.ndarray | None = None,
    kernel: Kernel | None = None,
    links: int = 0,
) -> np.ndarray:
    """Like ``components`` for links that come in batches of ``(sources, targets)``; memory stays O(nodes)."""
    parent = np.arange(n, dtype=np.int64) if start is None else np.array(start, dtype=np.int64)
    if len(parent) != n:
        raise ValueError(f"start has {len(parent)} nodes, not {n}")
    forest = Forest(parent, kernel or best_kernel(links))
    for sources, targets in batches:
        forest.join(sources, targets)
    if start is None:
        forest.flatten()
    else:  # a caller's start may point upwards, where one pass is not enough
        _flatten(parent)
    return parent


def best_kernel(links: int) -> Kernel:
    """Give the kernel that is quicker for so many links on this machine."""
    worth = _WORTH_LOADED_NUMBA if "identity.components.kernels" in sys.modules else _WORTH_NUMBA
    if links >= worth and importlib.util.find_spec("numba") is not None:
        return "numba"
    return "scipy"


class Forest:
    """Every node's way to the smallest node it is connected to, as far as the links taken so far tell.

    ``parent[i] <= i`` at all times, so a root is the smallest node of its tree, and its own parent.
    """

    def __init__(self, parent: np.ndarray, kernel: Kernel) -> None:
        self.parent = parent
        self.kernel = kernel

    def join(self, sources: np.ndarray, targets: np.ndarray) -> None:
        """Take links; ends outside the forest raise ``ValueError``."""
        if self.kernel == "numba":
            _join_all(_kernels().union, self.parent, sources, targets)
        else:
            for s, t in _chunks(sources, targets):
                if min(s.min(), t.min()) < 0 or max(s.max(), t.max()) >= len(self.parent):
                    raise _outside(self.parent)
                _scipy_union(self.parent, s, t)

    def flatten(self) -> None:
        """Point every node at its root."""
        if self.kernel == "numba":
            _kernels().flatten(self.parent)
        else:
            _flatten(self.parent)


class NamedForest:
    """A forest in which only the nodes stand that links name, out of 0…n-1; four bytes a node, five by scipy, up to two billion."""

    def __init__(self, n: int, kernel: Kernel) -> None:
        kind = np.int32 if n <= _INT32_NODES else np.int64
        if kernel == "numba":
            self._parent = np.full(n, _kernels().UNSEEN, dtype=kind)
        else:
            self._forest = Forest(np.arange(n, dtype=kind), kernel)
            self._is_named = np.zeros(n, dtype=bool)
        self.kernel = kernel

    def join(self, sources: np.ndarray, targets: np.ndarray) -> None:
        """Take links; ends outside the forest raise ``ValueError``."""
        if self.kernel == "numba":
            _join_all(_kernels().union_seen, self._parent, sources, targets)
        else:
            self._forest.join(sources, targets)
            self._is_named[sources] = self._is_named[targets] = True

    def answer(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the nodes that links named, ascending, and the root of each (both int64)."""
        if self.kernel == "numba":
            return self._answer_of_stretches()
        self._forest.flatten()
        nodes = np.flatnonzero(self._is_named)
        return nodes, self._forest.parent[nodes].astype(np.int64, copy=False)

    def _answer_of_stretches(self) -> tuple[np.ndarray, np.ndarray]:
        n = len(self._parent)
        count = max(1, min(os.cpu_count() or 1, _MOST_STRETCHES, n // _NODES_OF_A_STRETCH))
        edges = [n * at // count for at in range(count + 1)]
        sizes = [_kernels().count_seen(self._parent, a, b) for a, b in pairwise(edges)]
        ends = list(accumulate(sizes, initial=0))
        # Made at once, and by numpy, which asks for large pages: that saves most of the first touch.
        nodes, roots = np.empty((2, ends[-1]), dtype=np.int64)

        def answer(at: int) -> None:
            part = slice(ends[at], ends[at + 1])
            _kernels().answer(self._parent, edges[at], edges[at + 1], nodes[part], roots[part])

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(answer, range(count)))
        return nodes, roots


def _join_all(
    union: Callable[..., bool], parent: np.ndarray, sources: np.ndarray, targets: np.ndarray
) -> None:
    if not all(union(parent, s, t) for s, t in _chunks(sources, targets)):
        raise _outside(parent)


def _outside(parent: np.ndarray) -> ValueError:
    return ValueError(f"a link names a node outside 0…{len(parent) - 1}")


def _chunks(sources: np.ndarray, targets: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give links in chunks of 64-bit ends."""
    for first in range(0, len(sources), _CHUNK):
        s = np.ascontiguousarray(sources[first : first + _CHUNK], dtype=np.int64)
        t = np.ascontiguousarray(targets[first : first + _CHUNK], dtype=np.int64)
        yield s, t


def _flatten(parent: np.ndarray) -> None:
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return
        parent[:] = above


def _scipy_union(parent: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> None:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    _flatten(parent)
    a, b = parent[sources], parent[targets]
    apart = a != b
    if not apart.any():
        return
    a, b = a[apart], b[apart]
    is_end = np.zeros(len(parent), dtype=bool)
    is_end[a] = is_end[b] = True
    roots = np.flatnonzero(is_end)
    rank = np.cumsum(is_end) - 1  # a count is quicker than sorting the ends
    graph = csr_matrix((np.ones(len(a), dtype=np.int8), (rank[a], rank[b])), shape=(len(roots),) * 2)
    count, labels = connected_components(graph, directed=False)
    smallest = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(smallest, labels, roots)
    parent[roots] = smallest[labels]


@cache
def _kernels() -> ModuleType:
    """Give the compiled kernels; where the installation lets us, compiled code is kept for the next process."""
    from identity.components import kernels

    return kernels
