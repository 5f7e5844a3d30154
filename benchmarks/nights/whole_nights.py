"""Whole nights of simulated banks of several sizes: what each step costs, and how that grows with the people.

A bank's files are written before; every night is a process of its own, so that its memory can be told. ``docs/scale.md`` is
written from these figures by ``python -m benchmarks.scale``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measure import Outcome, Row
from benchmarks.processes import ROOT, in_process, write_answer

NAME = "whole_nights"
QUESTION = "What does a night of a bank cost from files to audiences, by step and by the number of people?"
SIZES = tuple(int(n) for n in os.environ.get("CDP_BENCH_PEOPLE", "5000,20000,100000").split(","))
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "3600"))
FIRST, NIGHTS, HISTORY_MONTHS = date(2026, 11, 18), 2, 1
STEPS = ("ingest", "resolve", "build_tags", "publish")
BARE = "bare DuckDB: the same files into Parquet"


def run(repeats: int) -> Outcome:
    """Run the nights of every size once, one size after the other; a night that fails ends the series."""
    del repeats
    rows: list[Row] = []
    measures: list[dict[str, Any]] = []
    notes = ["One process a night, engine duckdb, no JVM. Memory is the most that the process held."]
    for people in SIZES:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            workspace = Path(folder) / "bank"
            _command("init", "--example", "bank", str(workspace))
            _command(
                "simulate", "--people", str(people), "--nights", str(NIGHTS), "--history-months", str(HISTORY_MONTHS),
                "--from", FIRST.isoformat(), "--out", str(workspace),
            )  # fmt: skip
            for number in range(NIGHTS):
                day = FIRST + timedelta(days=number)
                answer = in_process(__name__, f"night {day}", workspace, limit=LIMIT)
                case = f"{people:,} people, night {number + 1}"
                if "wrong" in answer:
                    notes.append(f"{case}: {answer['wrong']}")
                    return Outcome(rows, notes, measures=measures)
                rows.append(
                    Row(
                        case,
                        "cdp nightly",
                        [answer["seconds"]],
                        cpu_seconds=[answer["cpu_seconds"]],
                        peak_mb=answer["peak_mb"],
                    )
                )
                measures.append(
                    {
                        "case": case,
                        "way": "duckdb",
                        "people": people,
                        "night": number + 1,
                        "records": answer["records"],
                    }
                    | {step: answer["steps"][step] for step in STEPS}
                    | {"rest": round(answer["seconds"] - sum(answer["steps"][step] for step in STEPS), 2)}
                    | {
                        "seconds": round(answer["seconds"], 2),
                        "peak_mb": round(answer["peak_mb"]),
                        "lake_mb": _megabytes(workspace / "lake"),
                    }
                )
                if number == 0:
                    bare = in_process(__name__, f"bare {day}", workspace, limit=LIMIT)
                    if "wrong" not in bare:
                        rows.append(
                            Row(
                                case,
                                BARE,
                                [bare["seconds"]],
                                cpu_seconds=[bare["cpu_seconds"]],
                                peak_mb=bare["peak_mb"],
                            )
                        )
    return Outcome(rows, notes, measures=measures)


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "jobs.cli", *arguments], cwd=ROOT, capture_output=True, check=True)


def _megabytes(folder: Path) -> int:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6)


def _night(day: str, workspace: Path) -> dict[str, Any]:
    from jobs.cli import run as command

    began, busy = time.perf_counter(), time.process_time()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = command(["nightly", "--date", day, "--workspace", str(workspace), "--engine", "duckdb"])
    if code:
        raise RuntimeError(f"the night of {day} ended with {code}")
    summary = json.loads(output.getvalue().strip().splitlines()[-1])
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - busy,
        "steps": summary["seconds"],
        "records": sum(feed["delivered"] for feed in summary["feeds"].values()),
    }


def _bare(day: str, workspace: Path) -> dict[str, Any]:
    """Turn the files of a date, and those before it, into Parquet and do nothing else."""
    began, busy = time.perf_counter(), time.process_time()
    into = workspace.parent / "bare"
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    database = duckdb.connect()
    readers = {"csv": "read_csv_auto", "jsonl": "read_json_auto", "parquet": "read_parquet"}
    for number, file in enumerate(sorted((workspace / "inbox").rglob("*.*"))):
        reader = next((readers[part] for part in file.name.split(".") if part in readers), None)
        if reader is None:
            continue
        # A file that DuckDB cannot guess costs the bare way nothing.
        with contextlib.suppress(duckdb.Error):
            rows = f"SELECT * FROM {reader}('{file}')"
            database.execute(f"COPY ({rows}) TO '{into / f'{number}.parquet'}' (FORMAT parquet)")
    return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - busy}


if __name__ == "__main__":
    kind, at = sys.argv[1].split()
    place = Path(sys.argv[2])
    write_answer(place, {"night": _night, "bare": _bare}[kind](at, place))
