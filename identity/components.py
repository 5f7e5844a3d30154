"""Connected components on integer arrays: links to the smaller root, O(nodes) memory, no Python loop over links.

Two kernels give the same answer: numba when it is installed (extra ``fast``) and there is enough work to pay for
loading it, else scipy in chunks. Measured on 100 M links: numba union-find 10 s and 1 GB.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

log = logging.getLogger("cdp.identity")
Kernel = Literal["numba", "scipy"]

# Loading numba and compiling takes about 2 s; scipy needs that long for some millions of links.
_WORTH_NUMBA = 2_000_000
_CHUNK = 8_000_000


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
    chosen = kernel or best_kernel(expected)
    union = _numba_union() if chosen == "numba" else _scipy_union
    for sources, targets in batches:
        for first in range(0, len(sources), _CHUNK):
            s = np.ascontiguousarray(sources[first : first + _CHUNK], dtype=np.int64)
            t = np.ascontiguousarray(targets[first : first + _CHUNK], dtype=np.int64)
            if len(s) and (min(s.min(), t.min()) < 0 or max(s.max(), t.max()) >= n):
                raise ValueError(f"a link names a node outside 0…{n - 1}")
            union(parent, s, t)
    flatten(parent)
    log.debug("components: %d nodes, kernel %s", n, chosen)
    return parent


def components_of_files(folder: Path, n: int, *, kernel: Kernel | None = None) -> np.ndarray:
    """Like ``components`` for Parquet files whose first two columns are the ends of links, read as a stream."""
    import pyarrow.dataset as ds

    links = ds.dataset(folder, format="parquet")
    names = links.schema.names[:2]
    stream = (
        (batch.column(0).to_numpy(zero_copy_only=False), batch.column(1).to_numpy(zero_copy_only=False))
        for batch in links.to_batches(columns=names, batch_size=1 << 20)
    )
    return components_of_batches(stream, n, kernel=kernel, expected=links.count_rows())


def best_kernel(links: int) -> Kernel:
    """Give the kernel that is quicker for so many links on this machine."""
    if links >= _WORTH_NUMBA and importlib.util.find_spec("numba") is not None:
        return "numba"
    return "scipy"


def flatten(parent: np.ndarray) -> None:
    """Point every node at its root, in place."""
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return
        parent[:] = above


def _scipy_union(parent: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> None:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    flatten(parent)
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
def _numba_union() -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    import numba

    @numba.njit(nogil=True)
    def union(parent: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> None:
        for i in range(len(sources)):
            a, b = sources[i], targets[i]
            while parent[a] != a:  # path halving
                parent[a] = parent[parent[a]]
                a = parent[a]
            while parent[b] != b:
                parent[b] = parent[parent[b]]
                b = parent[b]
            if a < b:
                parent[b] = a
            elif b < a:
                parent[a] = b

    return union
