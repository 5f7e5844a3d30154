"""The union-find kernels, compiled by numba (extra ``fast``); import this module only where numba is installed.

Code compiled once is kept beside the module, or in the user's cache where that is not writable; where neither is
(a read-only image), every process compiles anew, which takes two seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no place to keep it
        return numba.njit(nogil=True)(function)


def _union(parent: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> None:
    """Join the trees of every link's ends under the smaller root, halving paths on the way; -1 is an unseen node."""
    for i in range(len(sources)):
        a, b = sources[i], targets[i]
        if parent[a] < 0:
            parent[a] = a
        if parent[b] < 0:
            parent[b] = b
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b


def _flatten(parent: np.ndarray) -> None:
    """Point every node at its root in one pass: a parent is never larger than its node, so it is flat already."""
    for node in range(len(parent)):
        above = parent[node]
        if above >= 0:
            parent[node] = parent[above]


def _answer(parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flatten, and give the nodes that stand in the forest, ascending, with their roots."""
    count = 0
    for node in range(len(parent)):
        if parent[node] >= 0:
            count += 1
    nodes = np.empty(count, dtype=np.int64)
    roots = np.empty(count, dtype=np.int64)
    at = 0
    for node in range(len(parent)):
        above = parent[node]
        if above >= 0:
            root = parent[above]
            parent[node] = root
            nodes[at] = node
            roots[at] = root
            at += 1
    return nodes, roots


union = _compiled(_union)
flatten = _compiled(_flatten)
answer = _compiled(_answer)
