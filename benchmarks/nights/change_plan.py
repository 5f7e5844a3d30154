"""A plan of a changed workspace on a simulated bank, beside the night whose tags and audiences it computes again.

``CDP_BENCH_PLAN_PEOPLE`` names another number of people. A workspace that has its night already is taken over by ``CDP_BENCH_PLAN_BANK``.
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
from pathlib import Path
from typing import Any

from benchmarks.measure import Outcome, Row
from benchmarks.processes import ROOT, in_process, write_answer

QUESTION = "How long does it take to see whom a changed tag, and a changed segment, would move?"
PEOPLE = int(os.environ.get("CDP_BENCH_PLAN_PEOPLE", "100000"))
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "3600"))
DAY = "2026-11-18"
BOUNDARY = """\
family: value
tags:
  - code: aum_tier
    version: 1.1.0
    params: &bounds
      - {name: t1_from, value: 10000, since: 2020-01-01}
      - {name: t2_from, value: 80000, since: 2020-01-01}
      - {name: t3_from, value: 500000, since: 2020-01-01}
      - {name: t4_from, value: 6000000, since: 2020-01-01}
  - {code: aum_gap_to_next_tier, version: 1.1.0, params: *bounds}
"""
SEGMENT, RULE, OTHER_RULE = "silent_app_users", "between: [31, 180]", "between: [40, 180]"


def run(repeats: int) -> Outcome:
    """Run one night, then each plan a few times, every one as a process of its own."""
    rows: list[Row] = []
    notes = [
        f"{PEOPLE:,} people, one night, 1 month before; a plan is a process of its own. Engine duckdb, no JVM."
    ]
    own_bank = os.environ.get("CDP_BENCH_PLAN_BANK")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        workspace = Path(own_bank) if own_bank else Path(folder) / "bank"
        if own_bank is None:
            _command("init", "--example", "bank", str(workspace))
            _command(
                "simulate",
                "--people",
                str(PEOPLE),
                "--nights",
                "1",
                "--history-months",
                "1",
                "--from",
                DAY,
                "--out",
                str(workspace),
            )
            night = in_process(__name__, "night", workspace, limit=LIMIT)
            if "wrong" in night:
                return Outcome(rows, [*notes, night["wrong"]])
            rows.append(_row("a night", "cdp nightly", [night]))
        for name in ("tag", "segment"):
            _write_change(workspace, Path(folder) / name, name)
            answers = []
            for _ in range(min(repeats, 3)):
                shutil.copyfile(Path(folder) / name / "where", workspace / "where")
                answers.append(in_process(__name__, "plan", workspace, limit=LIMIT))
            wrong = [answer["wrong"] for answer in answers if "wrong" in answer]
            if wrong:
                return Outcome(rows, [*notes, f"{name}: {wrong[0]}"])
            rows.append(_row(f"a changed {name}", "cdp plan", answers, note=answers[0]["moves"]))
    return Outcome(rows, notes)


def _row(case: str, way: str, answers: list[dict[str, Any]], note: str = "") -> Row:
    return Row(
        f"{PEOPLE:,} people, {case}", way, [answer["seconds"] for answer in answers],
        cpu_seconds=[answer["cpu_seconds"] for answer in answers], peak_mb=max(answer["peak_mb"] for answer in answers), note=note,
    )  # fmt: skip


def _write_change(workspace: Path, folder: Path, name: str) -> None:
    ignored = shutil.ignore_patterns(
        "lake", "inbox", "published", "reports", "secrets", "truth", ".cdp", "audit"
    )
    shutil.copytree(workspace, folder, ignore=ignored)
    if name == "tag":
        (folder / "tags").mkdir(exist_ok=True)
        (folder / "tags" / "boundary.yml").write_text(BOUNDARY, encoding="utf-8")
    else:
        file = folder / "segments" / f"{SEGMENT}.yml"
        text = (
            file.read_text(encoding="utf-8")
            .replace(RULE, OTHER_RULE)
            .replace("version: 1.1.0", "version: 1.2.0")
        )
        file.write_text(text, encoding="utf-8")
    (folder / "where").write_text(str(folder), encoding="utf-8")


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "jobs.cli", *arguments], cwd=ROOT, capture_output=True, check=True)


def _timed_command(words: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    from jobs.cli import run as command

    began, busy = time.perf_counter(), time.process_time()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = command(words)
    if code:
        raise RuntimeError(f"{words[0]} ended with {code}")
    times = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - busy}
    return times, json.loads(output.getvalue().strip().splitlines()[-1])


def _night(workspace: Path) -> dict[str, Any]:
    return _timed_command(["nightly", "--date", DAY, "--workspace", str(workspace), "--engine", "duckdb"])[0]


def _plan(workspace: Path) -> dict[str, Any]:
    other = (workspace / "where").read_text(encoding="utf-8")
    words = ["plan", other, "--workspace", str(workspace), "--people", "0", "--format", "json"]
    times, plan = _timed_command(words)
    tags = ", ".join(f"{tag['moved']:,} people's {tag['tag']}" for tag in plan["tags"] or () if tag["moved"])
    people = sum(move["enter"] + move["leave"] for move in plan["audiences"])
    return times | {"moves": f"{tags or 'no tag'}; {people:,} people enter or leave audiences"}


if __name__ == "__main__":
    place = Path(sys.argv[2])
    write_answer(place, {"night": _night, "plan": _plan}[sys.argv[1]](place))
