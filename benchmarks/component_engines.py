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
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.component_ways import ENGINE, FILE_WAYS, WAYS
from benchmarks.link_graphs import CASES, SEED
from benchmarks.measure import Outcome, Row

NAME = "component_engines"
QUESTION = "From a table of links to a table of components: how long, against what else there is?"
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "600"))
ROOT = Path(__file__).resolve().parents[1]


def run(repeats: int) -> Outcome:
    """Measure every way on every case, each run in a process of its own."""
    rows: list[Row] = []
    notes = [
        f"A process that did not end in {LIMIT:.0f} s, start included, was stopped. Seed {SEED}; ids are shuffled.",
        "Memory is the most that process and JVM held together, everything included. " + FILE_WAYS,
    ]
    lost: dict[str, float] = {}  # a way that did not end is not asked larger cases of the same kind
    for case, make in CASES.items():
        links = make()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _kept(links, folder)
            reference = None
            medians: dict[str, float] = {}
            for way in WAYS:
                if lost.get(way, np.inf) <= len(links):
                    notes.append(f"{case}: {way} not run, it did not end on fewer links.")
                    continue
                runs = min(repeats, 3) if way in (ENGINE, "numba union-find on arrays") else 1
                seen = [_in_process(way, folder) for _ in range(runs)]
                wrong = next((s["wrong"] for s in seen if "wrong" in s), None)
                if wrong:
                    notes.append(f"{case}: {way} {wrong}.")
                    if "not ended" in wrong:
                        lost[way] = len(links)
                    continue
                reference = reference or seen[0]["digest"]
                seconds = [s["seconds"] for s in seen]
                medians[way] = float(np.median(seconds))
                peak = max(s["peak_mb"] for s in seen)
                rows.append(
                    Row(
                        case, way, seconds, peak_mb=peak, is_equal=all(s["digest"] == reference for s in seen)
                    )
                )
                print(f"  {case}: {way} {seconds} s, {peak:.0f} MB", file=sys.stderr, flush=True)
            ours = medians.get(ENGINE)
            if ours:
                told = ", ".join(f"{way} {s / ours:.2f} ×" for way, s in medians.items() if way != ENGINE)
                notes.append(f"{case}, seconds as a multiple of the engine's {ours:.2f}: {told}.")
    return Outcome(rows, notes)


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
    peak, waited = 0.0, 0.0
    while process.poll() is None and waited < LIMIT:
        peak = max(peak, _held(process.pid))
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            waited += 0.1
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
