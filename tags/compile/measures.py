"""The measures that need the rows of a person side by side: mode, median and quantile, as Spark SQL of one aggregation.

The rows that stand are collected once and sorted; what is asked is then a function of that list. So a tag adds no pass over
the relation, work grows with the rows and not with their different values, and both engines say the same: whatever could tie
is part of the order, and numbers stay decimals.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

# What is measured: 18 digits before the point, so that it can be weighted and added up within 38.
NUMBER = "decimal(24,6)"
_SUM = "decimal(38,6)"
_TOO_LARGE = 10**18 - 1
_PARTS = 10_000


def mode_sql(of: str, conditions: Sequence[str], order: Sequence[str], weight: str | None) -> str:
    """Give the value with the greatest weight; of several that with more rows, the highest order, then the smallest value."""
    fields = [f"{of} as value"]
    for at, part in enumerate(order, start=1):
        fields += [f"({part}) is not null as has_{at}", f"{part} as order_{at}"]
    if weight:
        most = f"case when ({weight}) > 0 then {_TOO_LARGE} when ({weight}) < 0 then -{_TOO_LARGE} else 0 end"
        fields.append(f"cast(coalesce(cast({weight} as {NUMBER}), {most}) as {NUMBER}) as weight")
    rows = _rows(of, conditions, f"struct({', '.join(fields)})")
    # Rows are sorted by value: the last row of each value ends its run, and is the one that stands highest among its rows.
    ends = (
        "filter(sequence(1, size(entries)), at -> at = size(entries) "
        "or element_at(entries, at).value <> element_at(entries, at + 1).value)"
    )
    before, end = "coalesce(get(ends, run - 2), 0)", "element_at(ends, run)"
    parts = [f"{end} - {before} as row_count"]
    if weight:
        run = f"slice(entries, {before} + 1, {end} - {before})"
        total = f"aggregate({run}, cast(0 as {_SUM}), (total, entry) -> cast(total + entry.weight as {_SUM}))"
        parts.insert(0, f"{total} as weight")
    for at in range(1, len(order) + 1):
        last = f"element_at(entries, {end})"
        parts += [f"{last}.has_{at} as has_{at}", f"{last}.order_{at} as order_{at}"]
    parts += ["-run as place", f"element_at(entries, {end}).value as value"]
    runs = f"transform(sequence(1, size(ends)), run -> struct({', '.join(parts)}))"
    winner = _with(f"ends -> array_max({runs}).value", ends)
    return _with(f"entries -> case when size(entries) > 0 then {winner} end", rows)


def quantile_sql(of: str, conditions: Sequence[str], share: Decimal) -> str:
    """Give the value at a share of the sorted rows, between two neighbours in proportion; exact, without a DOUBLE.

    The place is ``1 + (n - 1) * share``, as ``percentile_cont`` of SQL has it (type 7 of Hyndman and Fan, 1996). Where a
    value is too large to be measured, the answer is one that no type of a tag holds, so that it counts as lost.
    """
    rows = _rows(of, conditions, f"cast({of} as {NUMBER})")
    stands = " and ".join([*conditions, f"({of}) is not null", f"cast({of} as {NUMBER}) is null"])
    overflow = f"count(case when {stands} then 1 end)"
    steps = int(share * _PARTS)
    way = f"cast(size(numbers) - 1 as bigint) * {steps}"
    part = f"mod({way}, {_PARTS})"
    place = f"cast(({way} - {part}) / {_PARTS} as int) + 1"
    low = f"element_at(numbers, {place})"
    high = f"element_at(numbers, least({place} + 1, size(numbers)))"
    value = (
        f"({low} * cast({_PARTS} - {part} as decimal(5,0)) + {high} * cast({part} as decimal(5,0))) * 0.0001"
    )
    quantile = _with(f"numbers -> case when size(numbers) > 0 then {value} end", rows)
    return f"case when {overflow} > 0 then {_TOO_LARGE} else {quantile} end"


def _rows(of: str, conditions: Sequence[str], entry: str) -> str:
    stands = " and ".join([*conditions, f"({of}) is not null"])
    return f"array_sort(collect_list(case when {stands} then {entry} end))"


def _with(function: str, argument: str) -> str:
    """Give the value of a function of one argument, which is computed once."""
    return f"element_at(transform(array({argument}), {function}), 1)"
