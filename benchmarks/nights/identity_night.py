"""A whole night of identity: trusted tables in, the published map out; then nights with one record in a hundred new.

People have one record in each of one to four sources, and every record carries five identifiers of its person. The
second night brings new people, the third records of known people from a source that is new. Each size is a process of
its own, in rounds; the trusted tables are made before the clock, without Spark.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.components.link_graphs import SEED
from benchmarks.measure import Outcome, Row, peak_mb
from benchmarks.processes import ROOT

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.tables.lake import Lake

NAME = "identity_night"
QUESTION = "How long does a night of identity take, and the next one with 1 % new records?"
SIZES = tuple(int(n) for n in os.environ.get("CDP_BENCH_PROFILES", "100000,1000000,5000000").split(","))
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "1800"))
FIRST, NEXT, THIRD = date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 20)
NIGHTS = ("first night", "next night, 1 % new people", "third night, 1 % new of known people")
SOURCES = ("core_banking", "mobile_app", "web", "call_centre")
NEW_SOURCE = "branch"
LINKS = 5


def run(repeats: int) -> Outcome:
    """Measure two nights of every size; a size that does not end, or fails, ends the series."""
    rows: list[Row] = []
    notes = [
        "Clock seconds of `identity.resolve` alone. The nights of a size are runs in one process; memory is the most that "
        "process held so far, interpreter and trusted tables' making included."
    ]
    for size in SIZES:
        runs = [_in_process(size) for _ in range(repeats)]
        case = f"{size:,} profiles, {size * LINKS:,} links"
        wrong = [run["wrong"] for run in runs if "wrong" in run]
        if wrong:
            notes.append(f"{case}: {wrong[0]}.")
            break
        case_rows = [
            _row(case, night, rounds)
            for night, rounds in zip(NIGHTS, zip(*(run["nights"] for run in runs), strict=True), strict=True)
        ]
        for row, figures in zip(case_rows, runs[-1]["nights"], strict=True):
            stages = ", ".join(f"{name} {value}" for name, value in figures["stages"].items())
            notes.append(
                f"{case}, {row.way}: {figures['one_ids']:,} people; seconds by stage, last round: {stages}."
            )
        first, *later = (float(np.median(row.seconds)) for row in case_rows)
        shares = " and ".join(f"{seconds / first:.1%}" for seconds in later)
        notes.append(
            f"{case}, medians: the next nights take {shares} of the first; a first night is {first * 1e6 / size:.0f} s "
            "per million profiles."
        )
        rows += case_rows
    return Outcome(rows, notes)


def _row(case: str, night: str, rounds: tuple[dict[str, Any], ...]) -> Row:
    return Row(
        case,
        night,
        [figures["seconds"] for figures in rounds],
        cpu_seconds=[figures["cpu"] for figures in rounds],
        peak_mb=max(figures["peak_mb"] for figures in rounds),
    )


def _in_process(size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "benchmarks.nights.identity_night", str(size), folder]
        try:
            process = subprocess.run(
                command, capture_output=True, text=True, timeout=LIMIT, check=False,
                cwd=ROOT,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"wrong": f"not ended in {LIMIT:.0f} s, the tables' making included"}
    if process.returncode:
        return {"wrong": f"failed with exit {process.returncode}: {process.stderr.strip().splitlines()[-1:]}"}
    return dict(json.loads(process.stdout.splitlines()[-1]))


def people(first: int, count: int) -> dict[str, np.ndarray]:
    """Give the identifiers of people numbered from ``first``, as columns of text; every value is valid."""
    number = np.arange(first, first + count)
    born = np.datetime64("1950-01-01") + (number % 18_000).astype("timedelta64[D]")
    days = np.char.replace(born.astype("datetime64[D]").astype(str), "-", "")
    body = np.char.add(
        np.char.add(np.char.mod("%06d", 110101 + number // 18_000_000), days),
        np.char.mod("%03d", number // 18_000 % 1000),
    )
    digits = (
        np.frombuffer(np.ascontiguousarray(body.astype("U17")).tobytes(), dtype=np.uint32).reshape(-1, 17)
        - 48
    )
    weights = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
    check = np.array(list("10X98765432"))[(digits.astype(np.int64) @ weights) % 11]
    return {
        "born": born,
        "national_id": np.char.add(body, check),
        "phone": np.char.mod("139%08d", number + 10_000_000),
        "email": np.char.mod("p%09d@mail.example", number),
        "customer_no@core_banking": np.char.mod("C%010d", number),
        "app_user_id@mobile_app": np.char.mod("U%010d", number),
    }


def deliver(lake: Lake, day: date, *, first: int, profiles: int, only_source: str = "") -> None:
    """Append records of people numbered from ``first`` to the trusted tables, as known from ``day`` on.

    Two and a half of each person, or one of ``only_source``.
    """
    import pyarrow as pa

    count = profiles if only_source else profiles * 2 // 5
    columns = people(first, count)
    if only_source:
        owner, is_verified = np.arange(count), np.ones(count, dtype=bool)
        sources = pa.repeat(only_source, count)
    else:
        chance = np.random.default_rng((SEED, first, profiles))
        owner = np.repeat(np.arange(count), 4)
        source = np.tile(np.arange(4), count)
        at = np.flatnonzero((source == 0) | (chance.random(len(owner)) < 0.5 / 0.99))[:profiles]
        owner, is_verified = owner[at], source[at] == 0
        sources = pa.array(SOURCES).take(pa.array(source[at]))
    keys = pa.array(np.char.mod("R%010d", first + owner))
    size = len(owner)
    customers = {
        "source": sources,
        "source_key": keys,
        "kind": pa.repeat("customer", size),
        "birth_date": pa.array(columns.pop("born")[owner]),
    }
    _append(lake, "trusted.customers", customers, size, day)
    for namespace, values in columns.items():
        observed = {
            "source": sources,
            "source_key": keys,
            "namespace": pa.repeat(namespace, size),
            "value": pa.array(values).take(pa.array(owner)),
            "role": pa.repeat("identity", size),
            "verified": pa.array(is_verified),
            "observed_on": pa.repeat(pa.scalar(day, pa.date32()), size),
        }
        _append(lake, "trusted.identifier_observations", observed, size, day)


def _append(lake: Lake, table: str, columns: dict[str, pa.Array], size: int, day: date) -> None:
    import pyarrow as pa

    from lakehouse.contracts.reading import contract

    known_columns = {
        **columns,
        "_feed": pa.repeat("made", size),
        "_file": pa.repeat("made.csv", size),
        "_row": pa.array(np.arange(size)),
        "valid_from": pa.repeat(pa.scalar(day, pa.date32()), size),
    }
    fields = contract(table).arrow_schema()
    lake.append(table, pa.table({f.name: known_columns.get(f.name, pa.nulls(size, f.type)) for f in fields}))


def main(size: int, folder: Path) -> None:
    """Make the tables, resolve three nights, and print what they took as one JSON object."""
    from identity import resolve
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake

    (folder / "cdp.yml").write_text("generate_secrets: true\n")
    lake = open_lake(load_settings(folder))
    nights = []
    few = size // 100
    for day, first, count, source in (
        (FIRST, 0, size, ""),
        (NEXT, size, few, ""),
        (THIRD, 0, few, NEW_SOURCE),
    ):
        deliver(lake, day, first=first, profiles=count, only_source=source)
        began, cpu_before = time.perf_counter(), time.process_time()
        result = resolve(lake, day)
        nights.append(
            {
                "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu_before, "peak_mb": peak_mb(),
                "stages": result.seconds, "one_ids": result.one_ids, "profiles": result.profiles,
            }
        )  # fmt: skip
    print(json.dumps({"nights": nights}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
