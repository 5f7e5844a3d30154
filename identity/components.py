"""Connected components on integer arrays: links to the smaller root, O(nodes) memory, no Python loop over links.

Two kernels give the same answer: numba when it is installed (extra ``fast``) and there is enough work to pay for
loading it, else scipy in chunks. ``identity.engine`` does the same for links in tables, of any size.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import Literal

import numpy as np

Kernel = Literal["numba", "scipy"]

# Loading numba and its compiled kernels takes about a second; scipy needs that long for some millions of links. Once
# they are loaded, the kernels are quicker for all but a handful.
_WORTH_NUMBA = 2_000_000
_WORTH_LOADED_NUMBA = 10_000
_CHUNK = 8_000_000
_INT32_NODES = 2**31 - 1
_UNSEEN = -1


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
    return components_of_batches([(sources, targets)], n, start=start, kernel=kernel, expected=len(sources))


def components_of_batches(
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    n: int,
    *,
    start: np.ndarray | None = None,
    kernel: Kernel | None = None,
    expected: int = 0,
) -> np.ndarray:
    """Like ``components`` for links that come in batches of ``(sources, targets)``; memory stays O(nodes)."""
    parent = np.arange(n, dtype=np.int64) if start is None else np.array(start, dtype=np.int64)
    if len(parent) != n:
        raise ValueError(f"start has {len(parent)} nodes, not {n}")
    forest = Forest(parent, kernel or best_kernel(expected))
    for sources, targets in batches:
        forest.join(sources, targets)
    if start is None:
        forest.flatten()
    else:  # a caller's start may point upwards, where one pass is not enough
        _flatten(parent)
    return parent


def best_kernel(links: int) -> Kernel:
    """Give the kernel that is quicker for so many links on this machine."""
    worth = _WORTH_LOADED_NUMBA if "identity.kernels" in sys.modules else _WORTH_NUMBA
    if links >= worth and importlib.util.find_spec("numba") is not None:
        return "numba"
    return "scipy"


class Forest:
    """Every node's way to the smallest node it is connected to, as far as the links taken so far tell.

    ``parent[i] <= i`` at all times, so a root is the smallest node of its tree. A node no link has named may stand
    as unseen (see ``unseen``).
    """

    def __init__(self, parent: np.ndarray, kernel: Kernel) -> None:
        self.parent = parent
        self.kernel = kernel

    @classmethod
    def unseen(cls, n: int, kernel: Kernel) -> Forest:
        """Give a forest in which only the nodes that links name will stand; four bytes a node where they do."""
        return cls(np.full(n, _UNSEEN, dtype=np.int32 if n <= _INT32_NODES else np.int64), kernel)

    def join(self, sources: np.ndarray, targets: np.ndarray) -> None:
        """Take links; ends outside the forest raise ``ValueError``."""
        n = len(self.parent)
        for first in range(0, len(sources), _CHUNK):
            s = np.ascontiguousarray(sources[first : first + _CHUNK], dtype=np.int64)
            t = np.ascontiguousarray(targets[first : first + _CHUNK], dtype=np.int64)
            if min(s.min(), t.min()) < 0 or max(s.max(), t.max()) >= n:
                raise ValueError(f"a link names a node outside 0…{n - 1}")
            if self.kernel == "numba":
                _numba_kernels()[0](self.parent, s, t)
            else:
                _scipy_union(self.parent, s, t)

    def flatten(self) -> None:
        """Point every node at its root."""
        if self.kernel == "numba":
            _numba_kernels()[1](self.parent)
        else:
            _flatten(self.parent)

    def answer(self) -> tuple[np.ndarray, np.ndarray]:
        """Flatten, and give the nodes that stand in the forest, ascending, and the root of each (both int64)."""
        if self.kernel == "numba":
            from identity import kernels

            return kernels.answer(self.parent)  # type: ignore[no-any-return]
        _flatten(self.parent)
        nodes = np.flatnonzero(self.parent != _UNSEEN)
        return nodes, self.parent[nodes].astype(np.int64, copy=False)


def _flatten(parent: np.ndarray) -> None:
    # An unseen node reads the last node's parent here and is put back; numpy has no cheaper gather with holes.
    holes = parent == _UNSEEN
    has_holes = bool(holes.any())
    while True:
        above = parent[parent]
        if has_holes:
            above[holes] = _UNSEEN
        if np.array_equal(above, parent):
            return
        parent[:] = above


def _scipy_union(parent: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> None:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    for ends in (sources, targets):
        fresh = ends[parent[ends] == _UNSEEN]
        parent[fresh] = fresh
    _flatten(parent)
    a, b = parent[sources], parent[targets]
    apart = a != b
    if not apart.any():
        return
    a, b = a[apart], b[apart]
    met = np.zeros(len(parent), dtype=bool)
    met[a] = met[b] = True
    roots = np.flatnonzero(met)
    rank = np.cumsum(met) - 1  # a count is quicker than sorting the ends
    graph = csr_matrix((np.ones(len(a), dtype=np.int8), (rank[a], rank[b])), shape=(len(roots),) * 2)
    count, labels = connected_components(graph, directed=False)
    smallest = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(smallest, labels, roots)
    parent[roots] = smallest[labels]


@cache
def _numba_kernels() -> tuple[Callable[..., None], Callable[..., None]]:
    """Give (union, flatten), compiled; where the installation lets us, compiled code is kept for the next process."""
    from identity import kernels

    return kernels.union, kernels.flatten
