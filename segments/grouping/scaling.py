"""How values of tags become coordinates: outliers cut, nulls filled, standardised, and written as whole numbers.

Coordinates are thousandths of a standard deviation, as integers. Sums of integers are the same in any order and on any number of
threads, so that everything computed from them is, too. What a scale holds is kept as decimals, so that a person's coordinates can be
computed again from the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Coordinates of one standard deviation.
UNIT = 1000
# A value that is further from 0 says nothing about people.
MOST_VALUE = 1e15
_QUANTUM = Decimal("0.000001")


@dataclass(frozen=True)
class Scale:
    """How one tag becomes a coordinate, after its transform: limits, what stands for null, and what is 0 and one unit."""

    tag: str
    transform: str
    """``none``, or ``log1p``: ln(1 + value), of a negative value -ln(1 - value)."""
    low: Decimal
    high: Decimal
    middle: Decimal
    mean: Decimal
    spread: Decimal
    """Standard deviation of the people it was computed from, outliers cut and nulls filled; 0 where all of them are equal."""

    @property
    def is_constant(self) -> bool:
        """Whether it tells nobody from anybody."""
        return not self.spread


def transform_values(values: NDArray[np.float64], transform: str) -> NDArray[np.float64]:
    """Give values after a transform; null, what is no number and what is beyond ``MOST_VALUE`` is NaN."""
    numbers = np.where(np.abs(values) <= MOST_VALUE, values, np.nan)
    return np.copysign(np.log1p(np.abs(numbers)), numbers) if transform == "log1p" else numbers


def scale_of(tag: str, values: NDArray[np.float64], *, transform: str, clip: Decimal) -> Scale | None:
    """Give the scale of a tag from the values of people before its transform; None where nobody has one.

    The limits are the values at the places ``clip`` and ``1 - clip`` of the order, the middle is the median, each a value that
    somebody has: of n people that at place q times n, rounded up.
    """
    numbers = transform_values(values, transform)
    order = np.sort(numbers[~np.isnan(numbers)])
    if not len(order):
        return None
    low, middle, high = (_decimal(_value_at(order, q)) for q in (clip, Decimal("0.5"), 1 - clip))
    clipped = np.clip(np.where(np.isnan(numbers), float(middle), numbers), float(low), float(high))
    # Correctly rounded sums do not depend on the order of people.
    mean = math.fsum(clipped) / len(clipped)
    spread = math.sqrt(math.fsum((clipped - mean) ** 2) / len(clipped))
    return Scale(tag, transform, low, high, middle, _decimal(mean), _decimal(spread))


def coordinates(columns: Sequence[NDArray[np.float64]], scales: Sequence[Scale]) -> NDArray[np.int64]:
    """Give the coordinates of people, a row each, from their values before the transform, a column per scale."""
    points = np.empty((len(columns[0]) if columns else 0, len(scales)), dtype=np.int64, order="F")
    for at, (values, scale) in enumerate(zip(columns, scales, strict=True)):
        numbers = transform_values(values, scale.transform)
        numbers = np.where(np.isnan(numbers), float(scale.middle), numbers)
        numbers = np.clip(numbers, float(scale.low), float(scale.high))
        points[:, at] = np.rint((numbers - float(scale.mean)) / float(scale.spread) * UNIT).astype(np.int64)
    return points


def _value_at(order: NDArray[np.float64], quantile: Decimal) -> float:
    place = max(1, -(-len(order) * int(quantile * 10_000) // 10_000))
    return float(order[place - 1])


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(_QUANTUM, ROUND_HALF_EVEN)
