"""Connected components from table to table: the engine's driver against what Spark brings (see ``component_engines``)."""

from __future__ import annotations

from benchmarks.components.component_engines import measure_ways
from benchmarks.components.component_ways import ENGINE, ON_SPARK
from benchmarks.measure import Outcome

NAME = "component_engines_spark"
QUESTION = "The same table of links by what runs on Spark: how much longer?"


def run(repeats: int) -> Outcome:
    """Measure the engine, GraphX and star rounds on every case."""
    return measure_ways([ENGINE, *ON_SPARK], repeats)
