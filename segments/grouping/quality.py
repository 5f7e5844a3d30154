"""How good a division of people is: how well it separates them, and whether another seed gives the same one."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Silhouettes compare everybody with everybody.
SILHOUETTE_PEOPLE = 2_000
_QUANTUM = Decimal("0.0001")


def silhouette(points: NDArray[np.int64], places: NDArray[np.int64]) -> Decimal | None:
    """Give the mean silhouette of the first 2,000 points, -1 to 1; None where they are all of one place.

    P. Rousseeuw, *Silhouettes*, 1987: of each point how much nearer its own place is than the next one; alone it has 0.
    """
    from scipy.spatial.distance import cdist

    few, own = points[:SILHOUETTE_PEOPLE].astype(np.float64), places[:SILHOUETTE_PEOPLE]
    labels, at = np.unique(own, return_inverse=True)
    if len(labels) < 2:
        return None
    distances = cdist(few, few)
    sums = np.stack([distances[:, at == place].sum(axis=1) for place in range(len(labels))], axis=1)
    sizes = np.bincount(at)
    rows = np.arange(len(few))
    inner = sums[rows, at] / np.maximum(sizes[at] - 1, 1)
    means = sums / sizes
    means[rows, at] = np.inf
    outer = means.min(axis=1)
    largest = np.maximum(inner, outer)
    scores = np.divide(outer - inner, largest, out=np.zeros_like(largest), where=largest > 0)
    scores[sizes[at] == 1] = 0
    return Decimal(repr(float(scores.mean()))).quantize(_QUANTUM)


def adjusted_rand(places: NDArray[np.int64], others: NDArray[np.int64]) -> Decimal:
    """Give how alike two divisions of the same points are: 1 the same, about 0 by chance.

    L. Hubert and P. Arabie, *Comparing partitions*, 1985.
    """
    _, rows = np.unique(places, return_inverse=True)
    _, columns = np.unique(others, return_inverse=True)
    table = np.zeros((rows.max(initial=0) + 1, columns.max(initial=0) + 1), dtype=np.int64)
    np.add.at(table, (rows, columns), 1)

    def pairs(counts: NDArray[np.int64]) -> int:
        return sum(n * (n - 1) // 2 for n in counts.ravel().tolist())

    both, first, second = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    every = len(places) * (len(places) - 1) // 2
    chance = Fraction(first * second, every) if every else Fraction(0)
    most = Fraction(first + second, 2)
    index = Fraction(1) if most == chance else (both - chance) / (most - chance)
    return (Decimal(index.numerator) / Decimal(index.denominator)).quantize(_QUANTUM)
