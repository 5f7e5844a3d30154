"""``python -m benchmarks.scale``: write ``docs/scale.md``, what a night costs at sizes nobody measured, by a model of those measured.

The model of a figure is ``a + b × people``, fitted by least squares of the relative errors, so that small banks count as
much as large ones. Its residuals stand beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nights.whole_nights import HISTORY_MONTHS, NAME, STEPS
from benchmarks.pages import FOLDER

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
FIGURES = (*STEPS, "rest", "seconds", "peak_mb", "lake_mb")
AHEAD = (1_000_000, 10_000_000, 100_000_000, 500_000_000)
HEAD = """\
# What a night costs

Written by `python -m benchmarks.scale` from `benchmarks/results/{name}.json`, which `make bench` measures: banks of the simulator with
{history} of history before, {records} delivered for the first night of a hundred people and {later} for a later one; engine `duckdb`, one machine
({cores} cores, {memory} GB), one process a night.

## Measured

{as_measured}

## The model

Each figure is `a + b × people`, by least squares of the relative errors. `a` is what a night costs whatever its size: modules, checks, dbt, gates, the report.
`b` is what a million people add. The last columns are how far the model is from what was measured.

{models}

## Ahead

These were **not measured**: they are the model's line drawn on, and hold as long as nothing runs full. Seconds are those of this machine; a step whose rows
are spread over more cores takes less.

{ahead}

## What breaks first

"""
TAIL = """\
1. **Memory of one machine.** DuckDB stays within `engine.memory` and spills ([operations](operations.md#engines-and-memory)); what a night holds as arrays does not: a state
   table that is compared in this process (up to a million incoming rows), identity's later nights (what something reaches), the leaf table of all segments, the people of one audience. The
   column `peak_mb` above says when a machine is full.
2. **The time until morning.** At the model's pace a hundred million people take two cores most of a night, if a disk and spilling kept that pace, which nobody measured. Memory ends it before. Ingestion and tags are the
   largest parts; both can be given to a cluster ([cluster](cluster.md)), where what the driver still holds stands in a table of its own.
3. **The disk.** A first night writes every delivered row twice (landing and trusted) beside its temporary Parquet; `lake_mb` is after two nights, before `retention` deletes.
4. **Single files.** An audience is written by one process, sorted by key; a hundred million recipients were not tried.
"""


def main() -> None:
    """Write the page from the results that are there."""
    result = json.loads((FOLDER / f"{NAME}.json").read_text(encoding="utf-8"))
    PAGE.write_text(page(result), encoding="utf-8")


def page(result: dict[str, Any]) -> str:
    """Give the page's text for one result of ``whole_nights``."""
    measures = result["measures"]
    nights = sorted({row["night"] for row in measures})
    by_night = {night: [row for row in measures if row["night"] == night] for night in nights}
    fits = {
        (night, figure): fit([row["people"] for row in rows], [row[figure] for row in rows])
        for night, rows in by_night.items()
        for figure in FIGURES
    }
    records = {night: rows[-1]["records"] / rows[-1]["people"] * 100 for night, rows in by_night.items()}
    head = HEAD.format(
        name=NAME, history="a month" if HISTORY_MONTHS == 1 else f"{HISTORY_MONTHS} months",
        records=f"{records[nights[0]]:,.0f} records", later=f"{records[nights[-1]]:,.0f}",
        cores=result["machine"]["cores"], memory=result["machine"]["memory_gb"],
        as_measured=_table(
            ("people", "night", "records", *FIGURES),
            [(f"{row['people']:,}", row["night"], f"{row['records']:,}", *(_figure(row[f]) for f in FIGURES)) for row in measures],
        ),
        models=_table(
            ("night", "figure", "a", "b per million", *(f"{row['people']:,}" for row in by_night[nights[0]])),
            [
                (night, figure, _figure(a), _figure(b * 1e6),
                 *(f"{(a + b * row['people']) / row[figure] - 1:+.0%}" if row[figure] else "" for row in by_night[night]))
                for (night, figure), (a, b) in fits.items()
            ],
        ),
        ahead=_table(
            ("people", "night", "hours", "GB of memory", "GB of lake"),
            [
                (f"{people:,}", night, *(
                    _figure((a + b * people) / unit)
                    for (a, b), unit in ((fits[night, "seconds"], 3600), (fits[night, "peak_mb"], 1000), (fits[night, "lake_mb"], 1000))
                ))
                for people in AHEAD
                for night in nights
            ],
        ),
    )  # fmt: skip
    return head + TAIL


def fit(sizes: list[int], values: list[float]) -> tuple[float, float]:
    """Give ``a`` and ``b`` of ``a + b × size`` with the least squares of relative errors; neither is negative."""
    x, y = np.array(sizes, float), np.maximum(np.array(values, float), 1e-9)
    design = np.column_stack([1 / y, x / y])
    (a, b), *_ = np.linalg.lstsq(design, np.ones(len(y)), rcond=None)
    if a < 0:
        return 0.0, float((x / y).sum() / ((x / y) ** 2).sum())
    if b < 0:
        return float((1 / y).sum() / ((1 / y) ** 2).sum()), 0.0
    return float(a), float(b)


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{' ---: |' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(str(value) for value in row)} |" for row in rows)])


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
