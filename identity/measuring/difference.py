"""How two maps of the same records differ: who would be joined, who parted, whose number becomes another."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from lakehouse.query.desk import Desk, Relation, open_scratch

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLES = 10
# Keys of the JSON that are no names of values.
_KEYS = {"moved_records": "moved", "merge_examples": "merged", "split_examples": "split"}


@dataclass(frozen=True)
class Difference:
    """From one map to another, over the records both have.

    ``merges`` and ``splits`` count the steps it takes (three people who become one are two merges); ``moved_records`` are those
    whose OneID is another one. Examples name the OneIDs with the number of records of each, and a record of the first two.
    """

    records: int
    people_before: int
    people_after: int
    merges: int
    splits: int
    moved_records: int
    merge_examples: list[dict[str, Any]] = field(default_factory=list)
    split_examples: list[dict[str, Any]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values, for JSON."""
        return {_KEYS.get(name, name): value for name, value in asdict(self).items()}


def difference(before: pa.Table, after: pa.Table) -> Difference:
    """Compare two maps (``source, source_key, one_id``, one row per record)."""
    with open_scratch() as desk:
        one, other = desk.lend("map_before", before), desk.lend("map_after", after)
        pairs = desk.keep(
            "pairs",
            f"""
            SELECT b.one_id AS was, a.one_id AS becomes, count(*) AS n, min(source || '/' || source_key) AS record
            FROM {one} b JOIN {other} a USING (source, source_key) GROUP BY ALL
            """,
        )
        return _difference_of(desk, pairs)


def _difference_of(desk: Desk, pairs: Relation) -> Difference:
    records, moves = desk.rows(
        f"SELECT coalesce(sum(n), 0)::BIGINT, coalesce(sum(n) FILTER (WHERE was <> becomes), 0)::BIGINT FROM {pairs}"
    )[0]
    people = desk.rows(f"SELECT count(DISTINCT was), count(DISTINCT becomes) FROM {pairs}")[0]

    def steps(of: str) -> int:
        return int(desk.value(f"SELECT count(*) - count(DISTINCT {of}) FROM {pairs}"))

    def examples(of: str, parts: str) -> list[dict[str, Any]]:
        rows = desk.rows(
            f"""
            SELECT {of}, list({parts} ORDER BY n DESC, {parts}), list(n ORDER BY n DESC, {parts}),
                   list(record ORDER BY n DESC, {parts})[:2]
            FROM {pairs} GROUP BY {of} HAVING count(*) > 1 ORDER BY sum(n) DESC, {of} LIMIT {EXAMPLES}
            """
        )
        return [
            {"one_id": one_id, "parts": [{"one_id": i, "records": n} for i, n in zip(ids, sizes, strict=True)], "between": ends}
            for one_id, ids, sizes, ends in rows
        ]  # fmt: skip

    return Difference(
        records=records,
        people_before=people[0],
        people_after=people[1],
        merges=steps("becomes"),
        splits=steps("was"),
        moved_records=moves,
        merge_examples=examples("becomes", "was"),
        split_examples=examples("was", "becomes"),
    )
