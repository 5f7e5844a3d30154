"""The union-find kernels, compiled by numba (extra ``fast``); import this module only where numba is installed.

Code compiled once is kept beside the module, or in the user's cache where that is not writable; where neither is
(a read-only image), every process compiles anew, which takes two seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

UNSEEN, ROOT = -1, -2


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no place to keep it
        return numba.njit(nogil=True)(function)


def _union(parent: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> bool:
    """Join the trees of every link's ends under the smaller root, halving paths on the way; a root is its own parent.

    False as soon as a link ends outside the forest: what stands there is not ours to write on.
    """
    for i in range(len(sources)):
        a, b = sources[i], targets[i]
        if min(a, b) < 0 or max(a, b) >= len(parent):
            return False
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        # Written without asking: which root is smaller, or whether they are one, no processor can foretell, and the
        # question took a quarter of the whole.
        parent[max(a, b)] = min(a, b)
    return True


def _flatten(parent: np.ndarray) -> None:
    """Point every node at its root in one pass: a parent is never larger than its node, so it is flat already."""
    for node in range(len(parent)):
        parent[node] = parent[parent[node]]


def _union_seen(parent: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> bool:
    """Like ``union`` where a root has no parent but -2, and a node no link has named -1: one question finds either."""
    for i in range(len(sources)):
        a, b = sources[i], targets[i]
        if min(a, b) < 0 or max(a, b) >= len(parent):
            return False
        above = parent[a]
        while above >= 0:
            further = parent[above]
            if further >= 0:
                parent[a] = further
                a, above = further, parent[further]
            else:
                a, above = above, further
        above = parent[b]
        while above >= 0:
            further = parent[above]
            if further >= 0:
                parent[b] = further
                b, above = further, parent[further]
            else:
                b, above = above, further
        smaller = min(a, b)
        parent[max(a, b)] = smaller
        parent[smaller] = ROOT
    return True


def _count_seen(parent: np.ndarray, low: int, high: int) -> int:
    """Count the nodes of low…high-1 that links named (see ``union_seen``)."""
    count = 0
    for node in range(low, high):
        count += parent[node] != UNSEEN
    return count


def _answer(parent: np.ndarray, low: int, high: int, nodes: np.ndarray, roots: np.ndarray) -> None:
    """Write the nodes of low…high-1 that links named (see ``union_seen``), ascending, with their roots.

    Stretches may be answered at once: whatever another one has written by then, a way down ends at the same root.
    """
    at = 0
    for node in range(low, high):
        above = parent[node]
        if above == UNSEEN:
            continue
        root = node
        if above >= 0:
            further = parent[above]
            root = above if further < 0 else further
            while root < low and parent[root] >= 0:  # of a stretch that may not be answered yet
                root = parent[root]
            parent[node] = root
        nodes[at] = node
        roots[at] = root
        at += 1


union = _compile(_union)
flatten = _compile(_flatten)
union_seen = _compile(_union_seen)
count_seen = _compile(_count_seen)
answer = _compile(_answer)
