"""What a night asks of its engines: Spark jobs, stages and shuffled bytes, Delta commits, dbt nodes, and statements of DuckDB.

The counts depend on the feeds, tags and segments of a bank and hardly on its people, so a small bank is enough. Commits are told from the
Delta logs; statements are those that the product gives to a desk, those of dbt are its nodes.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.measure import Outcome, Row
from benchmarks.processes import ROOT, in_process, write_answer

QUESTION = "How many jobs, commits, nodes and statements is a night, by each engine?"
PEOPLE = int(os.environ.get("CDP_BENCH_WORK_PEOPLE", "200"))
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "3600"))
FIRST, NIGHTS = date(2026, 11, 18), 2
QUESTIONS = ("keep", "define", "extend", "arrow", "reader", "rows", "named_rows", "records")
_NODES = re.compile(r"\d+ tags in (\d+) dbt nodes")


def run(repeats: int) -> Outcome:
    """Run the same nights by each engine, every night as a process of its own, and count."""
    del repeats
    rows: list[Row] = []
    measures: list[dict[str, Any]] = []
    notes = [
        f"The example bank, {PEOPLE:,} people, 1 month before. A statement of DuckDB is a query of the product at a desk."
    ]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        bank = Path(name) / "bank"
        _command("init", "--example", "bank", str(bank))
        _command(
            "simulate", "--people", str(PEOPLE), "--nights", str(NIGHTS), "--history-months", "1",
            "--from", FIRST.isoformat(), "--out", str(bank),
        )  # fmt: skip
        for engine in ("duckdb", "spark"):
            workspace = Path(name) / engine
            shutil.copytree(bank, workspace)
            for number in range(NIGHTS):
                day = FIRST + timedelta(days=number)
                answer = in_process(__name__, f"{engine} {day}", workspace, limit=LIMIT)
                case = f"night {number + 1}"
                if "wrong" in answer:
                    notes.append(f"{engine}, {case}: {answer['wrong']}")
                    break
                rows.append(Row(case, engine, [answer["seconds"]], peak_mb=answer["peak_mb"]))
                measures.append({"case": case, "way": engine, **answer["work"]})
    return Outcome(rows, notes, measures=measures)


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "jobs.cli", *arguments], cwd=ROOT, capture_output=True, check=True)


def _night(engine: str, day: str, workspace: Path) -> dict[str, Any]:
    from jobs.cli import run as command
    from lakehouse.query.desk import Desk
    from lakehouse.session import session

    counts: Counter[str] = Counter()
    for name in QUESTIONS:
        setattr(Desk, name, _counting(getattr(Desk, name), counts))
    spark_work: dict[str, int] = {}
    stop = session.stop_session

    def stop_and_count(*arguments: Any, **options: Any) -> None:
        spark_work.update(_spark_work())
        stop(*arguments, **options)

    session.stop_session = stop_and_count
    commits = _commits(workspace)
    words = io.StringIO()
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(words):
        code = command(["nightly", "--date", day, "--workspace", str(workspace), "--engine", engine])
    seconds = time.perf_counter() - began
    if code:
        raise RuntimeError(f"the night of {day} ended with {code}")
    spark_work = spark_work or _spark_work()
    nodes = _NODES.search(words.getvalue())
    work = {
        "spark_jobs": spark_work.get("jobs", 0),
        "spark_stages": spark_work.get("stages", 0),
        "shuffled_mb": round(spark_work.get("shuffled", 0) / 1e6, 1),
        "delta_commits": _commits(workspace) - commits,
        "dbt_nodes": int(nodes[1]) if nodes else 0,
        "duckdb_statements": sum(counts.values()),
    }
    return {"seconds": seconds, "work": work}


def _counting(do: Callable[..., Any], counts: Counter[str]) -> Callable[..., Any]:
    """Give a question of a desk that is counted, unless it is asked by another one."""

    def ask(desk: Any, *arguments: Any, **options: Any) -> Any:
        is_inner = getattr(desk, "_is_asking", False)
        counts["all"] += not is_inner
        desk._is_asking = True
        try:
            return do(desk, *arguments, **options)
        finally:
            desk._is_asking = is_inner

    return ask


def _commits(workspace: Path) -> int:
    return sum(1 for _ in (workspace / "lake").rglob("_delta_log/*.json"))


def _spark_work() -> dict[str, int]:
    """Give what Spark's own status store counted since the session began; nothing where there is no session."""
    from pyspark.sql import SparkSession

    spark = SparkSession.getActiveSession() or SparkSession._instantiatedSession
    if spark is None:
        return {}
    store = spark.sparkContext._jsc.sc().statusStore()  # type: ignore[union-attr]
    jobs = store.jobsList(None)
    totals = store.executorList(False)
    shuffled = sum(totals.apply(at).totalShuffleWrite() for at in range(totals.size()))
    return {
        "jobs": jobs.size(),
        "stages": sum(jobs.apply(at).numCompletedStages() for at in range(jobs.size())),
        "shuffled": shuffled,
    }


if __name__ == "__main__":
    by, at = sys.argv[1].split()
    place = Path(sys.argv[2])
    write_answer(place, _night(by, at, place))
