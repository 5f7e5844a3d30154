"""The SQL of ranks: who stands where in the group, and the cut of a night, which explanations compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lakehouse.query.words import literal
from segments.language.conditions import Leaf, Node, logic_sql
from segments.language.leaves.people import RankLeaf

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.query.desk import Desk, Relation

_WHOLE = 10_000
# So many digits of the hash part equal values when a cut is compared with.
TIE_LENGTH = 16


def rank_sql(
    leaves: Iterable[RankLeaf],
    group_of: Callable[[RankLeaf], Node | None],
    rows: str,
    column_of: Callable[[Leaf], str],
    hash_of: Callable[[str], str],
) -> str:
    """Give ``rows`` with a column for the answer of every rank leaf; the rows themselves where there is none.

    ``group_of`` gives the condition that says who is ranked, None where everybody is. Beside ``<column>`` stand ``<column>_place``, from 1 for the highest, and ``<column>_last``, the last place that counts.
    ``hash_of`` gives the SQL of the salted hash of a OneID that parts equal values. Spark SQL and DuckDB.
    """
    every = {leaf.column: leaf for leaf in leaves}
    if not every:
        return rows
    groups, answers = [], []
    for column, leaf in sorted(every.items()):
        value = f"value_{leaf.tag}"
        group = group_of(leaf)
        is_in = logic_sql(group, column_of) if group is not None else "true"
        has_place = f"({is_in} AND {value} IS NOT NULL)"
        groups += [
            f"{is_in} AS {column}_group",
            f"row_number() OVER (PARTITION BY coalesce({has_place}, false)"
            f" ORDER BY {value} DESC, {hash_of(leaf.salt)}, one_id) AS {column}_place",
            f"count(CASE WHEN {has_place} THEN 1 END) OVER () AS {column}_people",
        ]
        if leaf.top_n is not None:
            last = str(leaf.top_n)
        else:
            last = f"ceil({column}_people * {leaf.shares} / {_WHOLE}.0)"
        answers += [
            f"{last} AS {column}_last",
            f"CASE WHEN NOT {column}_group THEN false WHEN {column}_group AND {value} IS NOT NULL"
            f" THEN {column}_place <= {last} END AS {column}",
        ]
    return f"(SELECT *, {', '.join(answers)}\n  FROM (SELECT *, {', '.join(groups)}\n    FROM {rows}))"


def rank_cuts(
    desk: Desk, rows: Relation, leaves: Iterable[RankLeaf], hash_of: Callable[[str], str]
) -> dict[str, dict[str, Any]]:
    """Give the cut of each rank leaf by its column: the lowest value that counts, what parts it from equal ones, how many count.

    ``rows`` are those of ``rank_sql``. Without anybody the value is None.
    """
    cuts: dict[str, dict[str, Any]] = {}
    for leaf in sorted(leaves, key=lambda x: x.column):
        column = leaf.column
        last = desk.rows(
            f"SELECT value_{leaf.tag}, {hash_of(leaf.salt)}, {column}_place FROM {rows}"
            f" WHERE {column} ORDER BY {column}_place DESC LIMIT 1"
        )
        value, tie, people = last[0] if last else (None, None, 0)
        cuts[column] = {
            "value": None if value is None else str(value),
            "tie": None if tie is None else tie[:TIE_LENGTH],
            "people": people,
        }
    return cuts


def hash_duckdb_sql(salt: str) -> str:
    """Give the hash that parts equal values, in DuckDB."""
    return f"sha256(concat({literal(salt)}, '|', one_id))"
