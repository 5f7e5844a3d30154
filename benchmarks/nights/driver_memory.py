"""The first night of identity with little memory: on a cluster of two workers, and in this process bucket by bucket.

What the process of the night and its JVM hold is looked at while it runs; workers are other processes of the same machine,
and are not counted. The heap of the JVM has a limit of its own, so what grows with the data is the process beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import Outcome, Row
from benchmarks.nights.identity_night import FIRST, LINKS, deliver
from benchmarks.processes import ROOT
from benchmarks.standalone import standalone_cluster

NAME = "driver_memory"
QUESTION = "How much memory does the process of a night need while identity is resolved, by engine and size?"
SIZES = tuple(int(n) for n in os.environ.get("CDP_BENCH_PROFILES", "500000,2000000,5000000").split(","))
LIMIT = float(os.environ.get("CDP_BENCH_LIMIT", "2400"))
# By the name of the way: what cdp.yml says.
WAYS = {
    "at once, in this process": "engine: {name: duckdb, bucket_rows: 1000000000}\n",
    "in buckets, in this process, DuckDB within 1 GB": "engine: {name: duckdb, memory: 1GB, bucket_rows: 1000000}\n",
    "two workers": "engine: {name: spark, memory: 500MB, bucket_rows: 250000}\n",
}
HEAP = "900m"
_OF_CLUSTER = (
    f"spark:\n  driver_memory: {HEAP}\n  shuffle_partitions: 8\n  class_data_sharing: false\n"
    '  conf: {spark.executor.memory: 2g, spark.cores.max: "2"}\n'
)
_EVERY = 0.1


def run(repeats: int) -> Outcome:
    """Measure every size once by every way that ``CDP_BENCH_WAYS`` names (all); a way that fails ends its series."""
    rows: list[Row] = []
    notes = [
        f"One first night of `identity.resolve` each. `two workers` have one core each; the JVM of the driver has a heap of {HEAP}. "
        "Memory is the most that the process and its own JVM held together, read ten times a second; the tables are made before."
    ]
    names = os.environ.get("CDP_BENCH_WAYS")
    ways = [way for way in WAYS if names is None or way in names.split(";")]
    for size in SIZES:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            _child("make", folder, str(size))
            figures = {way: _figures_of(way, Path(folder)) for way in ways}
        case = f"{size:,} profiles, {size * LINKS:,} links"
        for way, one in figures.items():
            if "wrong" in one:
                notes.append(f"{case}, {way}: {one['wrong']}")
                ways.remove(way)
                continue
            same = one["hashes"] == next(f for f in figures.values() if "hashes" in f)["hashes"]
            rows.append(Row(case, way, [one["seconds"]], peak_mb=one["peak_mb"], is_equal=same))
            notes.append(
                f"{case}, {way}: the process held {one['process_mb']:.0f} MB, its JVM {one['jvm_mb']:.0f} MB; {one['one_ids']:,} people; "
                f"seconds by stage: {', '.join(f'{k} {v}' for k, v in one['stages'].items())}."
            )
    return Outcome(rows, notes)


def _figures_of(way: str, folder: Path) -> dict[str, Any]:
    """Resolve a copy of the lake in ``folder`` by a way."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as other:
        target = Path(other) / "workspace"
        # Files are shared: what is written lies beside them.
        subprocess.run(["cp", "-al", folder, str(target)], check=True)
        (target / "cdp.yml").unlink()
        (target / "cdp.yml").write_text("generate_secrets: true\n" + WAYS[way] + _OF_CLUSTER)
        if way != "two workers":
            return _resolve(target, {})
        (Path(other) / "cluster").mkdir()
        with standalone_cluster(Path(other) / "cluster", memory="2g") as cluster:
            return _resolve(target, {"CDP_SPARK_MASTER": cluster.url})


def _resolve(workspace: Path, environment: dict[str, str]) -> dict[str, Any]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.nights.driver_memory", "resolve", str(workspace)],
        cwd=ROOT, text=True, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    peaks = {"peak_mb": 0.0, "process_mb": 0.0, "jvm_mb": 0.0}
    watcher = threading.Thread(target=_watch, args=(process, peaks), daemon=True)
    watcher.start()
    try:
        out, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"wrong": f"not ended in {LIMIT:.0f} s"}
    if process.returncode:
        return {"wrong": f"failed with exit {process.returncode}: {errors.strip()[-400:]}"}
    watcher.join()
    return {**json.loads(out.splitlines()[-1]), **peaks, "hashes": hashes_of(workspace)}


def hashes_of(workspace: Path) -> dict[str, str]:
    """Give the hash of every table of identity."""
    from identity.nights.resolve import TABLES
    from lakehouse.query.hashing import table_hash
    from lakehouse.settings.settings import load_settings

    settings = load_settings(workspace)
    return {name: table_hash(settings, name) for name in TABLES}


def _watch(process: subprocess.Popen[str], peaks: dict[str, float]) -> None:
    while process.poll() is None:
        try:
            own = psutil.Process(process.pid)
            mine = own.memory_info().rss / 2**20
            jvm = sum(p.memory_info().rss / 2**20 for p in own.children(recursive=True) if p.name() == "java")
        except psutil.NoSuchProcess:
            continue
        for name, value in (("peak_mb", mine + jvm), ("process_mb", mine), ("jvm_mb", jvm)):
            peaks[name] = max(peaks[name], value)
        time.sleep(_EVERY)


def _child(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "benchmarks.nights.driver_memory", *words], cwd=ROOT, check=True)


def make(folder: Path, size: int) -> None:
    """Write the trusted tables of a first night."""
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake

    (folder / "cdp.yml").write_text("generate_secrets: true\n")
    settings = load_settings(folder)
    settings.secret("identity_key")
    deliver(open_lake(settings), FIRST, first=0, profiles=size)


def resolve_lake(folder: Path) -> None:
    """Resolve the first night and print what it took as one JSON object."""
    from identity import resolve
    from lakehouse.query.desk import limit_memory
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake

    settings = load_settings(folder)
    limit_memory(settings)
    lake = open_lake(settings)
    if settings.engine.name == "spark":
        _ = lake.spark  # its start is no part of the night
    began = time.perf_counter()
    result = resolve(lake, FIRST)
    figures = {
        "seconds": time.perf_counter() - began,
        "stages": result.seconds,
        "one_ids": result.one_ids,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        resolve_lake(Path(sys.argv[2]))
