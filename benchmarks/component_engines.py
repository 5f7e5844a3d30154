"""Connected components from a table of links to a table of components: the engine against what a user would take.

Every way runs in a process of its own with a time limit. Ours and DuckDB's and Spark's ways read files and write
files; the bare kernels and networkx get arrays in memory and write nothing, which is in their favour. Sessions are
started, and kernels compiled, before the clock; a process whose limit ends is stopped and said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.component_ways import ENGINE, FILE_WAYS, ON_SPARK, WAYS
from benchmarks.link_graphs import CASES, SEED
from benchmarks.measure import Outcome, Row

NAME = "component_engines"
QUESTION = "From a table of links to a table of components: how long, against what else there is?"
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "600"))
BUDGET = float(os.environ.get("CDP_BENCH_BUDGET", "7200"))
REPEATED = (ENGINE, "numba union-find on arrays", "scipy.sparse.csgraph on arrays")
ROOT = Path(__file__).resolve().parents[1]


def run(repeats: int) -> Outcome:
    """Measure every way that needs no JVM on every case."""
    return measured([way for way in WAYS if way not in ON_SPARK], repeats)


def measured(ways: list[str], repeats: int) -> Outcome:
    """Measure ways on every case: rounds in which each way has its turn, each time in a process of its own."""
    rows: list[Row] = []
    notes = [
        f"A process that did not end in {LIMIT:.0f} s, start included, was stopped. Seed {SEED}; ids are shuffled.",
        "Memory is the most that process and JVM held together, everything included. " + FILE_WAYS,
    ]
    began = time.monotonic()
    lost: dict[str, int] = {}  # a way that did not end is not asked a case with more links
    for case, make in CASES.items():
        links, asked = make(), []
        for way in ways:
            if lost.get(way, len(links)) < len(links):
                notes.append(f"{case}: {way} not run, it did not end on fewer links.")
            elif way not in REPEATED and time.monotonic() - began > BUDGET:
                notes.append(f"{case}: {way} not run, the benchmark's {BUDGET:.0f} s were used up.")
            else:
                asked.append(way)
        seen: dict[str, list[dict[str, Any]]] = {way: [] for way in asked}
        is_stopped = False
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
                _kept(links, Path(name))
                _in_turns(seen, Path(name), repeats)
        except KeyboardInterrupt:
            is_stopped = True
            notes.append(f"{case}: stopped by hand; what had ended stands here, later cases were not run.")
        seen = {way: told for way, told in seen.items() if told}
        for way in [way for way, told in seen.items() if "wrong" in told[-1]]:
            notes.append(f"{case}: {way} {seen[way][-1]['wrong']}.")
            lost[way] = min(len(links), lost.get(way, len(links)))
            del seen[way]
        found = [_row(case, way, told, seen) for way, told in seen.items()]
        rows += found
        notes += _ratios(case, found)
        if is_stopped:
            break
    return Outcome(rows, notes)


def _in_turns(seen: dict[str, list[dict[str, Any]]], folder: Path, repeats: int) -> None:
    """Run ways in turns, those that take long once; a way that went wrong has no further turn."""
    for turn in range(repeats):
        for way, told in seen.items():
            if (turn == 0 or way in REPEATED) and not (told and "wrong" in told[-1]):
                told.append(_in_process(way, folder))
                print(f"  {way}: {told[-1]}", file=sys.stderr, flush=True)


def _row(case: str, way: str, told: list[dict[str, Any]], seen: dict[str, list[dict[str, Any]]]) -> Row:
    reference = next(iter(seen.values()))[0]["digest"]
    return Row(
        case,
        way,
        [one["seconds"] for one in told],
        cpu_seconds=None if way in ON_SPARK else [one["cpu"] for one in told],
        peak_mb=max(one["peak_mb"] for one in told),
        is_equal=all(one["digest"] == reference for one in told),
    )


def _ratios(case: str, rows: list[Row]) -> list[str]:
    medians = {row.way: float(np.median(row.seconds)) for row in rows}
    ours = medians.pop(ENGINE, None)
    if ours is None or not medians:
        return []
    told = ", ".join(f"{way} {seconds / ours:.2f} ×" for way, seconds in medians.items())
    return [f"{case}, median seconds as a multiple of the engine's {ours:.2f}: {told}."]


def _kept(links: np.ndarray, folder: Path) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    np.save(folder / "links.npy", np.ascontiguousarray(links.T))
    table = pa.table({"profile_id": links[:, 0].copy(), "identifier_id": links[:, 1].copy()})
    write_deltalake(str(folder / "links"), table)


def _in_process(way: str, folder: Path) -> dict[str, Any]:
    said = folder / "said.json"
    said.unlink(missing_ok=True)
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.component_ways", way, str(folder)],
        cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    peak, began = 0.0, time.monotonic()
    try:
        while process.poll() is None and time.monotonic() - began < LIMIT:
            peak = max(peak, _held(process.pid))
            time.sleep(0.05)
    except KeyboardInterrupt:
        _end(process)
        raise
    log.close()
    if process.poll() is None:
        _end(process)
        return {"wrong": f"not ended in {LIMIT:.0f} s"}
    if not said.exists():
        last = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
        return {"wrong": f"failed: {' '.join(last)[:120]}"}
    return {**json.loads(said.read_text()), "peak_mb": peak / 2**20}


def _held(pid: int) -> float:
    total = 0.0
    try:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def _end(process: subprocess.Popen[bytes]) -> None:
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.kill()
    process.wait()
