"""The facts of the machine and the software that a figure means nothing without."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "networkx",
    "pyarrow",
    "duckdb",
    "deltalake",
    "splink",
    "pyspark",
    "delta-spark",
)


def machine_facts() -> dict[str, Any]:
    """Give cores, memory, versions, the commit measured, and how busy the machine was."""
    import psutil

    from lakehouse.session.session import java_version

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "java": java_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    process = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return process.stdout.strip() or None
