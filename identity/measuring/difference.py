"""How two maps of the same records differ: who would be joined, who parted, whose number becomes another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLES = 10


@dataclass(frozen=True)
class Difference:
    """From one map to another, over the records both have.

    ``merges`` and ``splits`` count the steps it takes (three people who become one are two merges); ``moved`` are records
    whose OneID is another one. Examples name the OneIDs with the number of records of each, and a record of the first two.
    """

    records: int
    people_before: int
    people_after: int
    merges: int
    splits: int
    moved: int
    merged: list[dict[str, Any]] = field(default_factory=list)
    split: list[dict[str, Any]] = field(default_factory=list)


def difference(before: pa.Table, after: pa.Table) -> Difference:
    """Compare two maps (``source, source_key, one_id``, one row per record)."""
    import duckdb

    connection = duckdb.connect()
    connection.register("before", before)
    connection.register("after", after)
    connection.execute(
        """
        CREATE TEMP TABLE pairs AS
        SELECT b.one_id AS was, a.one_id AS becomes, count(*) AS n, min(source || '/' || source_key) AS record
        FROM before b JOIN after a USING (source, source_key) GROUP BY ALL
        """
    )
    records, moved = connection.sql(
        "SELECT coalesce(sum(n), 0)::BIGINT, coalesce(sum(n) FILTER (WHERE was <> becomes), 0)::BIGINT FROM pairs"
    ).fetchall()[0]
    people = connection.sql("SELECT count(DISTINCT was), count(DISTINCT becomes) FROM pairs").fetchall()[0]

    def steps(of: str) -> int:
        return int(connection.sql(f"SELECT count(*) - count(DISTINCT {of}) FROM pairs").fetchall()[0][0])

    def examples(of: str, parts: str) -> list[dict[str, Any]]:
        rows = connection.sql(
            f"""
            SELECT {of}, list({parts} ORDER BY n DESC, {parts}), list(n ORDER BY n DESC, {parts}),
                   list(record ORDER BY n DESC, {parts})[:2]
            FROM pairs GROUP BY {of} HAVING count(*) > 1 ORDER BY sum(n) DESC, {of} LIMIT {EXAMPLES}
            """
        ).fetchall()
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
        moved=moved,
        merged=examples("becomes", "was"),
        split=examples("was", "becomes"),
    )
