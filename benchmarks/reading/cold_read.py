"""A question to the published tables from a standing start: ``cdp sql`` against a Spark session.

Needs a published lake: of ``CDP_WORKSPACE`` if that is set, else of ``examples/bank`` (``make run``). Both sides read
the versions the newest publication names. ``cdp sql`` is timed as a whole process, from the call to its end; Spark from the call to its first answer, and again
for the same question asked a second time in the same session.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Outcome, Row, timed
from benchmarks.processes import ROOT

NAME = "cold_read"
QUESTION = "How long does one SQL question to the published tables take, from nothing?"
WORKSPACE = Path(os.environ.get("CDP_WORKSPACE") or ROOT / "examples" / "bank").resolve()
QUERIES = {
    "people per AUM tier": "select aum_tier, count(*) as people from tags.customer_tags group by aum_tier",
    "money by kind of movement": (
        "select transaction_type, direction, count(*) as movements, sum(amount_base) as amount "
        "from trusted.transactions group by transaction_type, direction"
    ),
    "profiles per OneID": (
        "select profiles, count(*) as one_ids from (select one_id, count(*) as profiles from identity.memberships "
        "where valid_to is null group by one_id) sizes group by profiles"
    ),
}


def run(repeats: int) -> Outcome:
    """Measure each query both ways and compare the answers."""
    from lakehouse.query.published import newest_publication
    from lakehouse.settings.settings import load_settings

    publication = newest_publication(load_settings(WORKSPACE))
    if publication is None:
        return Outcome(skip_reason=f"nothing is published in {WORKSPACE.name}; run `make run` first")
    rows: list[Row] = []
    for case, query in QUERIES.items():
        timing = timed(lambda query=query: _by_cdp(query), repeats, cpu=_seconds_of_children)  # type: ignore[misc]
        answer = timing.answer
        starts = [_by_spark(query) for _ in range(min(repeats, 3))]
        equal = all(_comparable(start["answer"]) == _comparable(answer) for start in starts)
        rows.append(
            Row(
                case, "cdp sql, whole process", timing.seconds, cpu_seconds=timing.cpu_seconds, is_equal=equal
            )
        )
        rows.append(
            Row(
                case,
                "Spark, call to first answer",
                [start["first_answer"] for start in starts],
                is_equal=equal,
            )
        )
        rows.append(
            Row(
                case,
                "Spark, same question again",
                [start["second_answer"] for start in starts],
                is_equal=equal,
            )
        )
    from lakehouse.query.published import open_publication

    published = open_publication(load_settings(WORKSPACE))
    sizes = {
        table: published.sql(f"select count(*) from {table}").fetchall()[0][0]
        for table in ("tags.customer_tags", "trusted.transactions", "identity.memberships")
    }
    notes = ["Rows: " + ", ".join(f"{table} {count:,}" for table, count in sizes.items()) + "."]
    notes.append("Spark runs embedded with the product's own session settings, class data archive included.")
    return Outcome(rows, notes)


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _by_cdp(query: str) -> list[dict[str, Any]]:
    command = [
        str(Path(sys.executable).with_name("cdp")),
        "sql",
        "--workspace",
        str(WORKSPACE),
        "--format",
        "json",
        query,
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in process.stdout.splitlines()]


def _by_spark(query: str) -> dict[str, Any]:
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.reading.spark_question", query],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    first_answer = time.perf_counter() - began
    second = json.loads(process.stdout.readline())
    process.wait()
    return {"first_answer": first_answer, "second_answer": second["seconds"], "answer": first["answer"]}


def _comparable(rows: list[dict[str, Any]]) -> list[str]:
    """Give rows in one order, numbers by value: one side writes 1.10 where the other writes 1.1."""
    from decimal import Decimal

    def text(value: Any) -> str:
        try:
            return str(Decimal(str(value)).normalize()) if value is not None else ""
        except ArithmeticError:
            return str(value)

    return sorted("|".join(f"{name}={text(row[name])}" for name in sorted(row)) for row in rows)
