"""K-means over whole coordinates: Lloyd's algorithm with k-means++ seeding, the best of several starts.

S. Lloyd, *Least squares quantization in PCM*, 1982; D. Arthur and S. Vassilvitskii, *k-means++: the advantages of careful seeding*, 2007.
Points and centres are integers, and so is every sum and every square: threads, machines and the order of people cannot show. Chance is
a hash of the seed. No BLAS is asked: beside other work its threads wait for one another (ADR 49).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STARTS = 10
MOST_ROUNDS = 100
# Starts are compared on so many of the points; the best one goes on with all of them.
START_POINTS = 20_000
# Centres that together move less than a hundredth of a standard deviation stay: the square, in squared thousandths.
_STILL = 100
# So many points stay in the processor's cache.
_BLOCK = 8_192


class TooFewPeople(Exception):
    """There are fewer different people than centres."""

    def __init__(self, different: int) -> None:
        super().__init__(different)
        self.different = different


@dataclass(frozen=True)
class Centres:
    """Centres, a row each, and how many of the points are nearest to each; the largest first, then by coordinates."""

    points: NDArray[np.int64]
    sizes: NDArray[np.int64]
    inertia: int
    """The sum of the squared distances of all points to their centres."""


def fit_centres(points: NDArray[np.int64], count: int, seed: int, *, starts: int = STARTS) -> Centres:
    """Give ``count`` centres of points, of several starts those with the least inertia, of equal ones the earlier.

    The first points have to be as good as any others: starts are compared on them. Fewer different points than centres raise ``TooFewPeople``.
    """
    different = len(np.unique(points, axis=0)) if len(points) else 0
    if different < count:
        raise TooFewPeople(different)
    few = points[:START_POINTS]
    if len(few) < len(points) and len(np.unique(few, axis=0)) < count:
        few = points
    best: tuple[int, NDArray[np.int64]] | None = None
    for start in range(starts):
        centres = _settle(few, _seeds(few, count, f"{seed}|{start}"))
        inertia = int(_squares(few, centres[nearest(few, centres)]).sum())
        if best is None or inertia < best[0]:
            best = (inertia, centres)
    assert best is not None
    centres = _settle(points, best[1])
    inertia = int(_squares(points, centres[nearest(points, centres)]).sum())
    sizes = np.bincount(nearest(points, centres), minlength=count)
    order = sorted(range(count), key=lambda at: (-int(sizes[at]), centres[at].tolist()))
    return Centres(centres[order], sizes[order], inertia)


def nearest(points: NDArray[np.int64], centres: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the place of the centre nearest to each point; of equally near ones the first."""
    places = np.zeros(len(points), dtype=np.int64)
    for begin in range(0, len(points), _BLOCK):
        block = points[begin : begin + _BLOCK]
        least = _squares(block, centres[0])
        own = places[begin : begin + _BLOCK]
        for at in range(1, len(centres)):
            squares = _squares(block, centres[at])
            is_nearer = squares < least
            own[is_nearer] = at
            np.minimum(least, squares, out=least)
    return places


def _seeds(points: NDArray[np.int64], count: int, salt: str) -> NDArray[np.int64]:
    """Give the first centres: a point, then points drawn by their squared distance to the centres so far."""
    centres = np.empty((count, points.shape[1]), dtype=np.int64)
    centres[0] = points[_draw(salt, 0, len(points))]
    squares = _squares(points, centres[0])
    for at in range(1, count):
        sums = np.cumsum(squares)
        centres[at] = points[int(np.searchsorted(sums, _draw(salt, at, int(sums[-1])), side="right"))]
        squares = np.minimum(squares, _squares(points, centres[at]))
    return centres


def _draw(salt: str, step: int, limit: int) -> int:
    return int(sha256(f"{salt}|{step}".encode()).hexdigest()[:30], 16) % limit


def _settle(points: NDArray[np.int64], centres: NDArray[np.int64]) -> NDArray[np.int64]:
    """Move centres to the means of their points until they are still."""
    for _ in range(MOST_ROUNDS):
        new = _means(points, nearest(points, centres), centres)
        shift = int(((new - centres) ** 2).sum())
        centres = new
        if shift <= _STILL:
            break
    return centres


def _means(
    points: NDArray[np.int64], places: NDArray[np.int64], centres: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give the means of the points of each place, rounded; who has none gets the point furthest from its own centre."""
    count = len(centres)
    sizes = np.bincount(places, minlength=count)
    new = np.empty_like(centres)
    for column in range(points.shape[1]):
        # Whole numbers below 2^53: doubles add them exactly.
        sums = np.bincount(places, weights=points[:, column], minlength=count).astype(np.int64)
        new[:, column] = (2 * sums + sizes) // np.maximum(2 * sizes, 1)
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        squares = _squares(points, centres[places])
        for place in empty:
            furthest = int(np.argmax(squares))
            new[place] = points[furthest]
            squares[furthest] = -1
    return new


def _squares(points: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    squares = np.zeros(len(points), dtype=np.int64)
    for column in range(points.shape[1]):
        differences = points[:, column] - others[..., column]
        squares += differences * differences
    return squares
