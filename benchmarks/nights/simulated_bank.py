"""A simulated bank of a million people, one night and a month of history: seconds and memory of the whole command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Outcome, Row

QUESTION = "How long does the simulator take to write a bank of a million people, and how much memory?"
PEOPLE = 1_000_000


def run(repeats: int) -> Outcome:
    """Run `cdp simulate` once (it is long and the same every time) in a process of its own."""
    del repeats
    folder = Path(tempfile.mkdtemp(prefix="simulated_bank_"))
    arguments = [
        "simulate",
        "--people",
        str(PEOPLE),
        "--nights",
        "1",
        "--history-months",
        "1",
        "--out",
        str(folder),
    ]
    try:
        began = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "jobs.cli", *arguments], stdout=subprocess.PIPE, text=True
        )
        output = child.stdout.read() if child.stdout else ""
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        if status:
            return Outcome(skip_reason="cdp simulate failed")
        return outcome(
            seconds,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss / 1024,
            json.loads(output.strip().splitlines()[-1]),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def outcome(seconds: float, cpu_seconds: float, peak_mb: float, counts: dict[str, int]) -> Outcome:
    """Give the row and what was written."""
    row = Row(
        case=f"{PEOPLE:,} people, 1 night, 1 month before", way="cdp simulate, whole process",
        seconds=[seconds], cpu_seconds=[cpu_seconds], peak_mb=peak_mb,
    )  # fmt: skip
    return Outcome(
        rows=[row],
        notes=[
            f"{counts['profiles']:,} records of people, {counts['files']} files, {counts['rows']:,} rows."
        ],
    )
