"""Numbers of micro-segments that last: a new centre has the number of the earlier one whose people it has.

Centres are matched so that the most people keep their number (``scipy.optimize.linear_sum_assignment``; H. Kuhn, *The Hungarian
method*, 1955). A pair counts only where half of the people of one of the two are the other's; every other new centre has a new
number. No number is given twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def first_labels(count: int) -> list[int]:
    """Give the numbers of the first centres, in their order."""
    return list(range(1, count + 1))


def lasting_labels(
    overlap: Mapping[tuple[int, int], int], earlier: Sequence[int], count: int, last_label: int
) -> list[int]:
    """Give the number of each new centre, in their order.

    ``overlap`` has the people that both fits know, by the earlier number and the place of the new centre; ``earlier`` are the numbers
    that were in use, ``last_label`` is the highest that was ever given. Where two matchings keep as many people, that of the earlier
    places counts, centres being ordered.
    """
    from scipy.optimize import linear_sum_assignment

    numbers = sorted(earlier)
    table = np.zeros((len(numbers), count), dtype=np.int64)
    for (label, place), people in overlap.items():
        if label in numbers:
            table[numbers.index(label), place] += people
    # A person outweighs any preference among pairs.
    rows, columns = np.indices(table.shape)
    weight = table.size + max(table.shape, default=0) + 1
    preference = (len(numbers) - rows) * (count - columns)
    cost = -(table * weight * weight + preference)
    labels: dict[int, int] = {}
    for row, place in zip(*linear_sum_assignment(cost), strict=True):
        people = int(table[row, place])
        is_half = 2 * people >= int(table[row].sum()) or 2 * people >= int(table[:, place].sum())
        if people and is_half:
            labels[int(place)] = numbers[int(row)]
    for place in range(count):
        if place not in labels:
            last_label += 1
            labels[place] = last_label
    return [labels[place] for place in range(count)]
