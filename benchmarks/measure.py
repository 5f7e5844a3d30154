"""What a measurement is, and how often a thing is run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# A way that takes a minute a run is not repeated as often as one that takes a second.
BUDGET_SECONDS = 90.0


@dataclass(frozen=True)
class Row:
    """One way of answering one case: its raw seconds in the order they were measured, and what else was seen.

    ``first_seconds`` is the first run in a fresh process where that differs in kind (compiling, starting a JVM);
    ``cpu_seconds`` the processor time of each run, which says more than the clock on a busy machine; ``peak_mb`` the
    memory the process needed beyond its input; ``is_equal`` whether the answer equals the reference.
    """

    case: str
    way: str
    seconds: list[float]
    first_seconds: float | None = None
    cpu_seconds: list[float] | None = None
    peak_mb: float | None = None
    is_equal: bool | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Give the row with median, least and most beside the raw numbers."""
        return {
            "case": self.case,
            "way": self.way,
            "median_seconds": round(statistics.median(self.seconds), 4),
            "min_seconds": round(min(self.seconds), 4),
            "max_seconds": round(max(self.seconds), 4),
            "seconds": [round(value, 4) for value in self.seconds],
            "median_cpu_seconds": round(statistics.median(self.cpu_seconds), 4) if self.cpu_seconds else None,
            "cpu_seconds": [round(value, 4) for value in self.cpu_seconds] if self.cpu_seconds else None,
            "first_seconds": None if self.first_seconds is None else round(self.first_seconds, 4),
            "peak_mb": None if self.peak_mb is None else round(self.peak_mb, 1),
            "is_equal": self.is_equal,
            "note": self.note,
        }


@dataclass(frozen=True)
class Outcome:
    """The rows of a benchmark and how to read them; ``skip_reason`` says why there are none.

    ``measures`` are measures of quality: one dictionary a line of a table, with ``case`` and ``way`` first.
    """

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skip_reason: str | None = None
    measures: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Timing:
    """What repeating something took: seconds by the clock and of the processor, run by run, and the last answer."""

    seconds: list[float]
    cpu_seconds: list[float]
    answer: Any


def timed(
    do: Callable[[], Any],
    repeats: int,
    *,
    budget: float = BUDGET_SECONDS,
    at_least: int = 2,
    cpu: Callable[[], float] = time.process_time,
) -> Timing:
    """Run ``do`` up to ``repeats`` times; after ``at_least`` runs only while all so far took less than ``budget``.

    ``budget`` is in seconds; ``cpu`` tells the processor time used so far; by default this process's own.
    """
    seconds: list[float] = []
    busy: list[float] = []
    answer: Any = None
    while len(seconds) < repeats and (len(seconds) < at_least or sum(seconds) < budget):
        began, cpu_before = time.perf_counter(), cpu()
        answer = do()
        seconds.append(time.perf_counter() - began)
        busy.append(cpu() - cpu_before)
    return Timing(seconds, busy, answer)


def peak_mb() -> float | None:
    """Give the most memory this process has held so far, None where the system does not tell.

    Not ``ru_maxrss``: a child begins with what its parent had reached.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None
