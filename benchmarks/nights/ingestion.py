"""From delivered text to typed tables: a night's ingestion against DuckDB into Parquet and Spark's reader into Delta.

Ours does more than the others: it keeps every record as delivered in landing, finds records equal to the letter and keys
told twice, refuses records with their row number and raw text, and balances its books. The clock begins when sessions
are up; every way runs in a process of its own.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Outcome, Row
from benchmarks.nights.ingestion_ways import FORMS, OURS, WAYS, deliver
from benchmarks.processes import in_process

NAME = "ingestion"
QUESTION = "How long from delivered records to a typed table, and where does the time go?"
ROWS = int(os.environ.get("CDP_BENCH_ROWS", "10000000"))
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "1200"))


def run(repeats: int) -> Outcome:
    """Measure every way on CSV and JSON lines; ways take turns, at most twice."""
    rows: list[Row] = []
    notes = [
        f"{ROWS:,} payments of eight columns in four files, 100 of them cut. Memory is what process and JVM held at most.",
        "DuckDB writes Parquet and Spark Delta, typed and once; ours writes landing and trusted tables, both Delta.",
    ]
    for form in FORMS:
        case = f"{ROWS:,} records of {form}"
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            deliver(form, ROWS, Path(name))
            for turn in range(min(repeats, 2)):
                for way, results in runs.items():
                    if turn == 0 or "wrong" not in results[-1]:
                        results.append(
                            in_process(
                                "benchmarks.nights.ingestion_ways", f"{way}/{form}", Path(name), limit=LIMIT
                            )
                        )
        for way in [way for way, results in runs.items() if "wrong" in results[-1]]:
            notes.append(f"{case}: {way} {runs.pop(way)[-1]['wrong']}.")
        case_rows = [_row(case, way, results) for way, results in runs.items()]
        rows += case_rows
        notes += _notes(case, case_rows, runs)
    return Outcome(rows, notes)


def _row(case: str, way: str, results: list[dict[str, Any]]) -> Row:
    return Row(
        case,
        way,
        [result["seconds"] for result in results],
        cpu_seconds=[result["cpu_seconds"] for result in results],
        peak_mb=max(result["peak_mb"] for result in results),
        is_equal=all(result["answer"] == results[0]["answer"] for result in results),
    )


def _notes(case: str, rows: list[Row], runs: dict[str, list[dict[str, Any]]]) -> list[str]:
    medians = {row.way: float(np.median(row.seconds)) for row in rows}
    notes = [f"{case}: {way} kept (rows, sum) {results[0]['answer']}." for way, results in runs.items()]
    if OURS in medians:
        others = [f"{medians[OURS] / s:.1f} × {way}" for way, s in medians.items() if way != OURS]
        notes.append(f"{case}: ours takes {', '.join(others)}; seconds by phase: {runs[OURS][-1]['phases']}.")
    return notes
