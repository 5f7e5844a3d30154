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


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no place to keep it
        return numba.njit(nogil=True)(function)


def _union(parent: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> None:
    """Join the trees of every link's ends under the smaller root, halving paths on the way; a root is its own parent."""
    for i in range(len(sources)):
        a, b = sources[i], targets[i]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        # Written without asking: which root is smaller, or whether they are one, no processor can foretell, and the
        # question took a quarter of the whole.
        parent[max(a, b)] = min(a, b)


def _flatten(parent: np.ndarray) -> None:
    """Point every node at its root in one pass: a parent is never larger than its node, so it is flat already."""
    for node in range(len(parent)):
        parent[node] = parent[parent[node]]


def _union_seen(parent: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> None:
    """Like ``union`` where a root has no parent but -2, and a node no link has named -1: one question finds either."""
    for i in range(len(sources)):
        a, b = sources[i], targets[i]
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


def _answer(parent: np.ndarray, nodes: np.ndarray, roots: np.ndarray) -> int:
    """Write the nodes links named (see ``union_seen``), ascending, with their roots, and give how many there are."""
    at = 0
    for node in range(len(parent)):
        above = parent[node]
        if above == UNSEEN:
            continue
        root = node
        if above >= 0:  # smaller, so what stands there is its root, or that it is one
            root = above if parent[above] < 0 else parent[above]
            parent[node] = root
        nodes[at] = node
        roots[at] = root
        at += 1
    return at


union = _compiled(_union)
flatten = _compiled(_flatten)
union_seen = _compiled(_union_seen)
answer = _compiled(_answer)
