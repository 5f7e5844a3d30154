"""The tags of a simulated bank computed with and without some of them, as nights would that compute monthly tags once a month.

Three sets of tags are left out, each with the tags that read it: a third of the tags that nothing reads, drawn from all relations; all that are
read from spans of balances, the dearest relation; and both. What is timed is dbt's build on DuckDB over the same published tables.
``CDP_BENCH_MONTHLY_PEOPLE`` names another number of people, ``CDP_BENCH_MONTHLY_BANK`` a workspace that has its night already.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import Outcome, Row
from benchmarks.processes import ROOT, in_process, write_answer

if TYPE_CHECKING:
    from tags.compile.compilation import Compilation

QUESTION = "What would a night save that leaves out monthly tags?"
PEOPLE = int(os.environ.get("CDP_BENCH_MONTHLY_PEOPLE", "20000"))
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "3600"))
DAY, SEED = "2026-11-18", 20261118
DEAR = ("int_balance_spans", "int_aum_by_month")
WAYS = ("all", "third", "dear", "both")
TITLES = {
    "all": "all tags every night",
    "third": "without a third of the tags that nothing reads",
    "dear": "without all that is read from balances",
    "both": "without both",
}


def run(repeats: int) -> Outcome:
    """Run one night, then build its tags in each way, in one process by turns."""
    rows: list[Row] = []
    notes = [
        f"{PEOPLE:,} people of the simulated bank after one night, 2 months before; engine duckdb. Timed is `dbt build` of the night's project, "
        "with dbt's own start; `models` are the seconds of its models alone, median of the runs."
    ]
    own_bank = os.environ.get("CDP_BENCH_MONTHLY_BANK")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        workspace = Path(own_bank) if own_bank else Path(folder) / "bank"
        if own_bank is None:
            _command("init", "--example", "bank", str(workspace))
            simulation = f"--people {PEOPLE} --nights 1 --history-months 2 --from {DAY}"
            _command("simulate", *simulation.split(), "--out", str(workspace))
            _command("nightly", "--workspace", str(workspace), "--engine", "duckdb", "--date", DAY)
        (workspace / "repeats").write_text(str(repeats))
        answer = in_process(__name__, "build", workspace, limit=LIMIT)
        if "wrong" in answer:
            return Outcome(rows, [*notes, answer["wrong"]])
        for way in WAYS:
            one = answer[way]
            note = f"{one['tags']} tags, {one['scans']} scans, models {one['models']:.2f} s"
            rows.append(
                Row("a night's tags", TITLES[way], one["seconds"], cpu_seconds=one["cpu_seconds"], note=note)
            )
    return Outcome(rows, notes)


def _command(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments], cwd=ROOT, check=True, capture_output=True, timeout=LIMIT
    )  # fmt: skip


def codes_left_out(compilation: Compilation, way: str) -> set[str]:
    """Give the codes that a way leaves out; what reads one of them is left out with it."""
    entries = {entry.code: entry for entry in compilation.entries}
    codes: set[str] = set()
    if way in ("third", "both"):
        inputs = {code for entry in entries.values() for code in entry.tag_inputs}
        free = [code for code in entries if code not in inputs]
        codes |= set(np.random.default_rng(SEED).permutation(free)[: len(free) // 3].tolist())
    if way in ("dear", "both"):
        codes |= {code for code, entry in entries.items() if entry.compute and entry.compute.relation in DEAR}
    while True:
        readers = {code for code, entry in entries.items() if codes & set(entry.tag_inputs)} - codes
        if not readers:
            return codes
        codes |= readers


def build(workspace: Path) -> None:
    """Build the tags of all ways by turns, so that what else runs meets them alike; the first turn is not counted."""
    import datetime as dt

    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake
    from tags.build.computation import run_dbt
    from tags.build.project import source_tables, write_project
    from tags.compile.compilation import compile_tags, narrowed

    settings = load_settings(workspace, engine="duckdb")
    lake = open_lake(settings)
    whole = compile_tags(workspace)
    parts, answers = {}, {}
    for way in WAYS:
        codes = {entry.code for entry in whole.entries} - codes_left_out(whole, way)
        parts[way] = whole if way == "all" else narrowed(whole, workspace, codes)
        write_project(parts[way], _project(settings.generated, way), settings)
        scans = sum(len(plan.scans) for plan in parts[way].plans)
        answers[way] = {"seconds": [], "cpu_seconds": [], "models": [], "tags": len(parts[way].entries), "scans": scans}  # fmt: skip
    for turn in range(1 + int((workspace / "repeats").read_text())):
        for way, part in parts.items():
            began, busy = time.perf_counter(), time.process_time()
            project = _project(settings.generated, way)
            nodes = run_dbt(lake, project, dt.date.fromisoformat(DAY), source_tables(part), "duckdb")
            if turn:
                answers[way]["seconds"].append(time.perf_counter() - began)
                answers[way]["cpu_seconds"].append(time.process_time() - busy)
                answers[way]["models"].append(sum(nodes.values()))
    for answer in answers.values():
        answer["models"] = statistics.median(answer["models"])
    write_answer(workspace, answers)


def _project(generated: Path, way: str) -> Path:
    return generated / "monthly_tags" / way


if __name__ == "__main__":
    build(Path(sys.argv[2]))
