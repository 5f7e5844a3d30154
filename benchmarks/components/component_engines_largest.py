"""The largest table of links by what runs on Spark, with time enough to end (see ``component_engines``)."""

from __future__ import annotations

import os

from benchmarks.components.component_engines import measure_ways
from benchmarks.components.component_ways import ENGINE, ON_SPARK
from benchmarks.components.link_graphs import CASES
from benchmarks.measure import Outcome

NAME = "component_engines_largest"
QUESTION = "Fifty million links by what runs on Spark: does it end, and how much longer does it take?"
CASE = "forest, 50 M links"
LIMIT = float(os.environ.get("CDP_BENCH_LARGEST_LIMIT", "900"))


def run(repeats: int) -> Outcome:
    """Measure the engine, star rounds and GraphX on fifty million links."""
    ways = [ENGINE, *sorted(ON_SPARK, reverse=True)]
    return measure_ways(ways, repeats, cases={CASE: CASES[CASE]}, limit=LIMIT)
