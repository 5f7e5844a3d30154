"""The workers of a cluster: the product is sent to them, and they are asked what a night would fail on hours later.

What they lack is one sentence: the libraries or the Python of the driver, the folder of the lake, Delta's JARs.
Executors that a cluster adds later are not asked.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import EnvironmentUnready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings.settings import Settings

# The packages that a worker's tasks import, and the libraries that decide what they compute.
PACKAGES = ("lakehouse", "vocabulary", "ingestion", "identity")
LIBRARIES = ("pyarrow", "numpy", "pydantic", "scipy", "networkx", "duckdb", "deltalake")
_TASKS_PER_CORE = 4
# A zip says when a file was written; equal content is to be one archive.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def send_product(spark: SparkSession, settings: Settings) -> str:
    """Send the product's own code to all workers, now and later, whatever version their machines have; give its name."""
    archive = write_archive(settings.generated)
    paths = list(sys.path)
    spark.sparkContext.addPyFile(str(archive))
    # Here the product stays where it is: what is beside its modules cannot be read from an archive.
    sys.path[:] = paths
    return archive.name


def write_archive(folder: Path) -> Path:
    """Write the modules of the product into ``folder`` as one archive, named by what it holds."""
    root = Path(__file__).resolve().parents[2]
    modules = sorted(file for package in PACKAGES for file in (root / package).rglob("*.py"))
    digest = hashlib.sha256()
    for module in modules:
        digest.update(f"{module.relative_to(root)}\n".encode())
        digest.update(module.read_bytes())
    archive = folder / f"oneid_cdp_{digest.hexdigest()[:16]}.zip"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_suffix(".unfinished")
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as out:
            for module in modules:
                entry = zipfile.ZipInfo(str(module.relative_to(root)), _EPOCH)
                out.writestr(entry, module.read_bytes(), zipfile.ZIP_DEFLATED)
        unfinished.rename(archive)
    return archive


def check_workers(spark: SparkSession, settings: Settings, archive: str) -> None:
    """Raise ``EnvironmentUnready`` where a worker could not do its part of a night."""
    from py4j.protocol import Py4JError

    context = spark.sparkContext
    token = settings.lake / "_exchange" / f"seen_by_workers_{context.applicationId}"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text(context.applicationId, encoding="utf-8")
    versions = tuple((name, version(name)) for name in LIBRARIES)
    question = WorkerQuestion(str(token), context.applicationId, archive, versions)
    tasks = _TASKS_PER_CORE * context.defaultParallelism
    try:
        answers = context.parallelize(range(tasks), tasks).mapPartitions(question).collect()
    except Py4JError as wrong:
        raise EnvironmentUnready(_sentence(str(wrong))) from None
    finally:
        token.unlink(missing_ok=True)
    for fault in sorted(set(answers)):
        raise EnvironmentUnready(fault)
    _require_delta(spark, settings)


@dataclass(frozen=True)
class WorkerQuestion:
    """What a task is asked: it gives a sentence for each fault that it finds where it runs."""

    token: str
    text: str
    archive: str
    versions: tuple[tuple[str, str], ...]

    def __call__(self, _: Iterable[int]) -> Iterator[str]:
        """Give the faults of this worker."""
        host = platform.node()
        for name, expected_version in self.versions:
            try:
                present = version(name)
            except ModuleNotFoundError:
                yield (
                    f"a worker ({host}) has no {name}: give the workers the driver's Python environment "
                    "(spark.archives, or the same image), see docs/cluster.md"
                )
                return
            if present != expected_version:
                yield (
                    f"a worker ({host}) has {name} {present}, the driver {expected_version}: give the workers the driver's Python "
                    "environment, see docs/cluster.md"
                )
                return
        if self.archive not in __file__:
            yield (
                f"a worker ({host}) runs another copy of the product ({__file__}): remove it from the workers' PYTHONPATH; "
                "the driver sends its own"
            )
            return
        try:
            is_same = Path(self.token).read_text(encoding="utf-8") == self.text
            if not os.access(Path(self.token).parent, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as wrong:
            yield (
                f"a worker ({host}) cannot read and write the lake at {Path(self.token).parents[1]} ({wrong.strerror}): mount the folder "
                "on every machine under the same path, readable and writable for the user that Spark runs as"
            )
            return
        if not is_same:
            yield f"a worker ({host}) sees another folder at {Path(self.token).parents[1]} than the driver: mount the same one"


def _require_delta(spark: SparkSession, settings: Settings) -> None:
    """Read the log of a table in the workers, for which they need Delta's classes."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    table = next(iter(sorted(settings.lake.glob("*/*/_delta_log"))), None)
    if table is None:
        return
    try:
        spark.read.format("delta").load(str(table.parent)).limit(1).collect()
    except (Py4JError, PySparkException) as wrong:
        text = str(wrong)
        if any(
            word in text for word in ("ClassNotFoundException", "NoClassDefFoundError", "SerializedLambda")
        ):
            raise EnvironmentUnready(
                "the workers do not have Delta's JARs: start Spark with them (spark.jars, `cdp jars fetch`), or put them "
                "into the image of driver and workers, see docs/cluster.md"
            ) from None
        raise


def _sentence(text: str) -> str:
    if "PYTHON_VERSION_MISMATCH" in text:
        return (
            f"the workers have another Python than the driver ({platform.python_version()}): name the driver's with "
            "PYSPARK_PYTHON, or give the workers its environment, see docs/cluster.md"
        )
    if "No module named" in text:
        module = text.partition("No module named ")[2].splitlines()[0].strip("'\". ")
        return (
            f"the workers have no Python module {module}: give them the driver's Python environment (spark.archives, or the "
            "same image), see docs/cluster.md"
        )
    if "Cannot run program" in text:
        return (
            "the workers cannot start Python: name one that is on every machine with PYSPARK_PYTHON, or give them the driver's "
            "environment, see docs/cluster.md"
        )
    lines = [line for line in text.splitlines() if "Error" in line or "Exception" in line]
    return f"the workers cannot run a task ({(lines or ['no reason is given'])[0].strip()[:200]}); see docs/cluster.md"
