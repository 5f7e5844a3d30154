"""Connected components from a table of links to a table of components: the engine against what a user would take.

Every way runs in a process of its own with a time limit. Ours and DuckDB's and Spark's ways read files and write
files; the bare kernels and networkx get arrays in memory and write nothing, which is in their favour. One way only opens
and commits, its answer's files being ready before: no way between tables can be quicker. Sessions are started, and kernels
compiled, before the clock; a process whose limit ends is stopped and said.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.components.component_ways import BARE, ENGINE, FILE_WAYS, FLOOR, ON_SPARK, OUR_KERNEL, WAYS
from benchmarks.components.link_graphs import CASES, SEED
from benchmarks.measure import Outcome, Row
from benchmarks.processes import in_process

NAME = "component_engines"
QUESTION = "From a table of links to a table of components: how long, against what else there is?"
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "600"))
BUDGET = float(os.environ.get("CDP_BENCH_BUDGET", "7200"))
REPEATED = (ENGINE, FLOOR, BARE, OUR_KERNEL, "scipy.sparse.csgraph on arrays")


def run(repeats: int) -> Outcome:
    """Measure every way that needs no JVM on every case."""
    return measure_ways([way for way in WAYS if way not in ON_SPARK], repeats)


def measure_ways(
    ways: list[str],
    repeats: int,
    *,
    cases: Mapping[str, Callable[[], np.ndarray]] = CASES,
    limit: float = LIMIT,
) -> Outcome:
    """Measure ways on cases: rounds in which each way has its turn, each time in a process of its own."""
    rows: list[Row] = []
    notes = [
        f"A process that did not end in {limit:.0f} s, start included, was stopped. Seed {SEED}; ids are shuffled.",
        "Memory is the most that process and JVM held together, everything included. " + FILE_WAYS,
    ]
    began = time.monotonic()
    # The fewest links of a shape on which a way did not end: it has no turn on more links of that shape.
    limits: dict[tuple[str, str], int] = {}
    for case, make in cases.items():
        links, case_ways, shape = make(), [], case.split()[0]
        for way in ways:
            if limits.get((shape, way), len(links)) < len(links):
                notes.append(f"{case}: {way} not run, it did not end on fewer links.")
            elif way not in REPEATED and time.monotonic() - began > BUDGET:
                notes.append(f"{case}: {way} not run, the benchmark's {BUDGET:.0f} s were used up.")
            else:
                case_ways.append(way)
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in case_ways}
        is_stopped = False
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
                _write_links(links, Path(name))
                _in_turns(runs, Path(name), repeats, limit)
        except KeyboardInterrupt:
            is_stopped = True
            notes.append(f"{case}: stopped by hand; what had ended stands here, later cases were not run.")
        runs = {way: results for way, results in runs.items() if results}
        for way in [way for way, results in runs.items() if "wrong" in results[-1]]:
            notes.append(f"{case}: {way} {runs[way][-1]['wrong']}.")
            limits[shape, way] = min(len(links), limits.get((shape, way), len(links)))
            del runs[way]
        case_rows = [_row(case, way, results, runs) for way, results in runs.items()]
        rows += case_rows
        notes += _ratios(case, case_rows)
        if is_stopped:
            break
    return Outcome(rows, notes)


def _in_turns(runs: dict[str, list[dict[str, Any]]], folder: Path, repeats: int, limit: float) -> None:
    """Run ways in turns, those that take long once; a way that went wrong has no further turn."""
    for turn in range(repeats):
        for way, results in runs.items():
            if (turn == 0 or way in REPEATED) and not (results and "wrong" in results[-1]):
                results.append(in_process("benchmarks.components.component_ways", way, folder, limit=limit))
                print(f"  {way}: {results[-1]}", file=sys.stderr, flush=True)


def _row(case: str, way: str, results: list[dict[str, Any]], runs: dict[str, list[dict[str, Any]]]) -> Row:
    reference = next(iter(runs.values()))[0]["digest"]
    return Row(
        case,
        way,
        [result["seconds"] for result in results],
        cpu_seconds=None if way in ON_SPARK else [result["cpu"] for result in results],
        peak_mb=max(result["peak_mb"] for result in results),
        is_equal=all(result["digest"] == reference for result in results),
    )


def _ratios(case: str, rows: list[Row]) -> list[str]:
    medians = {row.way: float(np.median(row.seconds)) for row in rows}
    ours = medians.pop(ENGINE, None)
    if ours is None or not medians:
        return []
    multiples = ", ".join(f"{way} {seconds / ours:.2f} ×" for way, seconds in medians.items())
    return [f"{case}, median seconds as a multiple of the engine's {ours:.2f}: {multiples}."]


def _write_links(links: np.ndarray, folder: Path) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    from lakehouse.tables.packing import writer_properties

    np.save(folder / "links.npy", np.ascontiguousarray(links.T))
    table = pa.table({"profile_id": links[:, 0].copy(), "identifier_id": links[:, 1].copy()})
    # As the lake writes its links; Splink and star rounds read the same files.
    write_deltalake(str(folder / "links"), table, writer_properties=writer_properties(table.schema))
