"""Tags over windows from the rows themselves, and from a partial sum per person and day that nights would keep.

Thirty aggregates over three windows (7, 30 and 90 days), by ten measures that add up or have a maximum. A night with partials sums up its
own day, writes it beside the others, and reads 90 days of partials; a night without reads 90 days of rows. The same rows, spread over
fewer people, are more rows a day. What does not add up (distinct values, medians, first and last) partials cannot give at all.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Outcome, Row, peak_mb, timed
from benchmarks.processes import in_process, write_answer

NAME = "day_partials"
QUESTION = "Would it pay to keep a partial sum per person and day for tags over windows?"
ROWS, DAYS, SEED = 5_000_000, 90, 20261128
PEOPLE = (200_000, 20_000, 2_000)
WINDOWS = (7, 30, 90)
KINDS = ("a", "b", "c")
LIMIT_SECONDS = 600.0
MEASURES = {
    **{f"sum_{kind}": ("sum", f"CASE WHEN kind = '{kind}' THEN amount END") for kind in KINDS},
    **{f"count_{kind}": ("count", f"CASE WHEN kind = '{kind}' THEN 1 END") for kind in KINDS},
    **{f"max_{kind}": ("max", f"CASE WHEN kind = '{kind}' THEN amount END") for kind in KINDS},
    "count_all": ("count", "1"),
}
# What joins partials: counts add up.
JOINS = {"sum": "sum", "count": "sum", "max": "max"}
WAYS = ("rows", "partials")


def run(repeats: int) -> Outcome:
    """Measure both ways for each number of people; each in a process of its own."""
    rows, notes = [], []
    for people in PEOPLE:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            generate(folder, people)
            answers: dict[str, dict[str, Any]] = {}
            for way in WAYS:
                (folder / "repeats").write_text(str(repeats))
                answers[way] = in_process("benchmarks.reading.day_partials", way, folder, limit=LIMIT_SECONDS)
            sizes = {way: sum(f.stat().st_size for f in (folder / way).glob("*.parquet")) for way in WAYS}
        case = f"{people:,} people, {ROWS / people / DAYS:.1f} rows a person and day"
        for way, answer in answers.items():
            if "wrong" in answer:
                notes.append(f"{case}, {way}: {answer['wrong']}")
                continue
            is_equal = answer["digest"] == answers["rows"].get("digest") if way == "partials" else None
            rows.append(
                Row(
                    case, "90 days of rows" if way == "rows" else "the day's partials written, 90 days of partials read",
                    answer["seconds"], cpu_seconds=answer["cpu_seconds"], peak_mb=answer["peak_mb"], is_equal=is_equal,
                    note=f"{sizes[way] / 1e6:,.0f} MB on disk",
                )
            )  # fmt: skip
    notes.append(
        f"{ROWS:,} rows of {DAYS} days, ten measures over {len(WINDOWS)} windows, DuckDB with 2 threads over Parquet, a file a day; "
        "partials are a row per person and day that has rows."
    )
    return Outcome(rows, notes)


def generate(folder: Path, people: int) -> None:
    """Write rows, a file a day, and the partials of all days but the last."""
    with _connection() as db:
        db.execute(
            f"CREATE TABLE facts AS SELECT (hash(i, {SEED}) % {people})::BIGINT AS one_id, (hash(i, 1) % {DAYS})::INT AS day,\n"
            f"  ['a', 'b', 'c', 'd'][(1 + hash(i, 2) % 4)::INT] AS kind, ((hash(i, 3) % 1000000) / 100)::DECIMAL(18,2) AS amount\n"
            f"FROM range({ROWS}) r(i)"
        )
        for way in WAYS:
            (folder / way).mkdir()
        for day in range(DAYS):
            db.execute(
                f"COPY (SELECT * FROM facts WHERE day = {day}) TO '{folder}/rows/{day:03}.parquet' (FORMAT parquet)"
            )
            if day < DAYS - 1:
                _write_day(db, folder, day)


def _connection() -> Any:
    import duckdb

    return duckdb.connect(config={"threads": 2})


def _write_day(db: Any, folder: Path, day: int) -> None:
    """Write the partials of a day."""
    columns = ", ".join(f"{how}({what}) AS {name}" for name, (how, what) in MEASURES.items())
    db.execute(
        f"COPY (SELECT one_id, day, {columns} FROM read_parquet('{folder}/rows/{day:03}.parquet') GROUP BY one_id, day)\n"
        f"TO '{folder}/partials/{day:03}.parquet' (FORMAT parquet)"
    )


def _answers_sql(folder: Path, way: str) -> str:
    aggregates = []
    for name, (how, what) in MEASURES.items():
        for days in WINDOWS:
            inside = f"day >= {DAYS - days}"
            if way == "rows":
                aggregates.append(f"{how}(CASE WHEN {inside} THEN {what} END) AS {name}_{days}")
            else:
                total = f"{JOINS[how]}(CASE WHEN {inside} THEN {name} END)"
                value = f"coalesce({total}, 0)::BIGINT" if how == "count" else total
                aggregates.append(f"{value} AS {name}_{days}")
    return f"SELECT one_id, {', '.join(aggregates)} FROM read_parquet('{folder}/{way}/*.parquet') GROUP BY one_id"


def main(way: str, folder: Path) -> None:
    """Measure one way in this process."""
    repeats = int((folder / "repeats").read_text())
    with _connection() as db:

        def night() -> None:
            if way == "partials":
                _write_day(db, folder, DAYS - 1)
            db.execute(f"CREATE OR REPLACE TABLE answers AS {_answers_sql(folder, way)}")

        timing = timed(night, repeats)
        digest = db.execute("SELECT bit_xor(hash(a)::UBIGINT), count(*) FROM answers a").fetchone()
    write_answer(
        folder, {"seconds": timing.seconds, "cpu_seconds": timing.cpu_seconds, "peak_mb": peak_mb(), "digest": list(digest)}
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
