"""Mode ``driver``: links stream from files into one union-find on arrays.

Ids are dense by design (``identity.nodes`` numbers without holes), so a node's place in the array is its id: four
bytes a node. Where ids are sparse after all, distinct ids are sorted first and places are ranks.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from identity.components.links import LinkDataset, distinct_ends
from identity.components.union_find import Forest, Kernel, NamedForest, best_kernel

# An id space so many times larger than the links can fill is not worth an array over all of it.
_SPARSE = 4
_SMALL_SPACE = 1 << 20
NODE, COMPONENT = "node_id", "component"


def components_on_driver(links: LinkDataset, *, kernel: Kernel | None = None) -> pa.Table:
    """Give ``node_id, component`` of every node that links name, by node_id; a component is its smallest node."""
    bounds = links.bounds
    fastest = kernel or best_kernel(bounds.links)
    if bounds.low < 0 or bounds.high + 1 > max(_SPARSE * 2 * bounds.links, _SMALL_SPACE):
        return _of_sparse_ids(links, fastest)
    forest = NamedForest(bounds.high + 1, fastest)
    for sources, targets in links.batches():
        forest.join(sources, targets)
    return _answer(*forest.answer())


def _of_sparse_ids(links: LinkDataset, kernel: Kernel) -> pa.Table:
    nodes = distinct_ends(links)
    forest = Forest(np.arange(len(nodes)), kernel)
    for sources, targets in links.batches():
        forest.join(np.searchsorted(nodes, sources), np.searchsorted(nodes, targets))
    forest.flatten()
    return _answer(nodes, nodes[forest.parent])


def _answer(nodes: np.ndarray, components: np.ndarray) -> pa.Table:
    columns = [nodes.astype(np.int64, copy=False), components.astype(np.int64, copy=False)]
    return pa.table(columns, names=[NODE, COMPONENT])
