"""One way of answering in a process of its own: its time limit, and the most memory it and its children held."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
ANSWER_FILE = "answer.json"


def write_answer(folder: Path, answer: dict[str, Any]) -> None:
    """Write what a process hands to the one that started it; what JSON has no form for is written as text."""
    (folder / ANSWER_FILE).write_text(json.dumps(answer, default=str))


def in_process(module: str, way: str, folder: Path, *, limit: float) -> dict[str, Any]:
    """Run ``python -m module way folder``, which calls ``write_answer``; give its answer and its peak memory.

    A process that does not end in ``limit`` seconds, or writes no answer, gives ``{"wrong": why}``.
    """
    answer = folder / ANSWER_FILE
    answer.unlink(missing_ok=True)
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", module, way, str(folder)],
        cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    peak, began = 0.0, time.monotonic()
    try:
        while process.poll() is None and time.monotonic() - began < limit:
            peak = max(peak, _memory(process.pid))
            time.sleep(0.05)
    except KeyboardInterrupt:
        _end(process)
        raise
    log.close()
    if process.poll() is None:
        _end(process)
        return {"wrong": f"not ended in {limit:.0f} s"}
    if not answer.exists():
        lines = (folder / "log").read_text(errors="replace").strip().splitlines()
        errors = [line for line in lines if "Error" in line or "Exception" in line] or lines[-1:]
        return {"wrong": f"failed: {' '.join(errors[:1]).strip()[:120]}"}
    return {**json.loads(answer.read_text()), "peak_mb": peak / 2**20}


def command_peak_mb(command: list[str]) -> float:
    """Run a command and give the most memory it and its children held; one that fails raises ``CalledProcessError``.

    Not by ``ru_maxrss``: a child begins with what its parent had reached.
    """
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        time.sleep(0.01)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return peak / 2**20


def _memory(pid: int) -> float:
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
