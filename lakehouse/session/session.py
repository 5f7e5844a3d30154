"""The Spark session: embedded by default, a cluster's own where one is configured.

Delta's JARs come, in this order, from the class path (a cluster image has them), from a folder of JARs
(filled by ``cdp jars fetch``), or from the Maven resolver inside Spark.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import EnvironmentUnready
from lakehouse.session.workers import check_workers, send_product
from lakehouse.settings.file_rights import umask_of
from lakehouse.settings.settings import is_cluster

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings.settings import Settings

log = logging.getLogger("cdp.lakehouse")

DELTA_PACKAGE = "io.delta:delta-spark_4.2_2.13:4.4.0"
# pyspark brings these itself; a second copy on the class path wins by accident.
DELTA_EXCLUDES = (
    "org.apache.hadoop:*,org.apache.parquet:*,com.fasterxml.jackson.core:*,com.fasterxml.jackson.datatype:*,"
    "org.slf4j:*,org.apache.logging.log4j:*,org.roaringbitmap:*,org.antlr:*"
)
JAVA_VERSIONS = (17, 21)
_PAGE_SIZE, _PAGE = "spark.buffer.pageSize", "2m"


@cache
def java_version() -> int | None:
    """Give the major version of the Java that Spark would start, or None where there is none."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if not java or not Path(java).exists():
        return None
    process = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(\d+)(?:\.(\d+))?', process.stderr + process.stdout)
    if not match:
        return None
    return int(match[2]) if match[1] == "1" and match[2] else int(match[1])


def require_java() -> None:
    """Raise ``EnvironmentUnready`` unless a Java that Spark 4 runs on is there."""
    version = java_version()
    if version is None:
        raise EnvironmentUnready(
            "Java was not found: install a JDK 17 or 21 (Debian: apt install openjdk-17-jre-headless) "
            "and set JAVA_HOME if it is not on the PATH"
        )
    if version not in JAVA_VERSIONS and version < JAVA_VERSIONS[-1]:
        raise EnvironmentUnready(
            f"Java {version} cannot run Spark 4: install a JDK 17 or 21 and set JAVA_HOME to it"
        )


def fault_of_java() -> str | None:
    """Give what is wrong with this machine's Java, and what to do; None where Spark can run on it."""
    try:
        require_java()
    except EnvironmentUnready as wrong:
        return wrong.message
    return None


def jars_folder(settings: Settings | None = None) -> Path:
    """Give the folder of Delta's JARs: the setting, ``CDP_JARS``, ``jars/`` of a clone, else one of this user's caches.

    An installed product writes nothing beside its own code.
    """
    if settings is not None and settings.jars is not None:
        return settings.jars
    if folder := os.environ.get("CDP_JARS"):
        return Path(folder)
    product = Path(__file__).resolve().parents[2]
    return product / "jars" if (product / "pyproject.toml").is_file() else cache_folder() / "jars"


def fetch_jars(folder: Path) -> list[Path]:
    """Resolve Delta's JARs by Spark's own Maven resolver into ``folder`` and check them against the known sums."""
    require_java()
    folder.mkdir(parents=True, exist_ok=True)
    ivy = folder / ".ivy"
    script = (
        "from pyspark.sql import SparkSession\n"
        "SparkSession.builder.master('local[1]').config('spark.ui.enabled','false')"
        f".config('spark.jars.packages','{DELTA_PACKAGE}').config('spark.jars.excludes','{DELTA_EXCLUDES}')"
        f".config('spark.jars.ivy',{str(ivy)!r}).config('spark.driver.host','127.0.0.1')"
        ".config('spark.driver.bindAddress','127.0.0.1').getOrCreate().stop()\n"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if process.returncode != 0:
        raise EnvironmentUnready(
            "Delta's JARs could not be fetched: check the network or the Maven mirror (ivysettings via "
            "spark.jars.ivySettings), or copy them into the folder by hand and name it with `jars:` in cdp.yml"
        )
    for jar in (ivy / "jars").glob("*.jar"):
        shutil.move(jar, folder / jar.name)
    shutil.rmtree(ivy, ignore_errors=True)
    wrong = [name for name, good in verify_jars(folder).items() if not good]
    if wrong:
        raise EnvironmentUnready(
            f"{wrong[0]} in {folder} differs from its known sha256; remove the folder and fetch again"
        )
    return sorted(folder.glob("*.jar"))


def known_sums() -> dict[str, str]:
    """Give the sha256 of every JAR the product is tested with, by file name."""
    lines = (Path(__file__).parent / "jars.sha256").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines if line.strip())}


def verify_jars(folder: Path) -> dict[str, bool]:
    """Give per known JAR whether it is in ``folder`` with the right content."""
    return {
        name: (folder / name).is_file() and hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in known_sums().items()
    }


def _spark_home_jars() -> Path:
    if os.environ.get("SPARK_HOME"):
        return Path(os.environ["SPARK_HOME"]) / "jars"
    import pyspark

    return Path(pyspark.__file__).parent / "jars"


def _jar_conf(settings: Settings | None) -> dict[str, str]:
    if any(_spark_home_jars().glob("delta-spark*.jar")):
        return {}
    files = sorted(jars_folder(settings).glob("*.jar"))
    if any("delta-spark" in jar.name for jar in files):
        return {"spark.jars": ",".join(str(jar) for jar in files)}
    return {"spark.jars.packages": DELTA_PACKAGE, "spark.jars.excludes": DELTA_EXCLUDES}


def has_jars(settings: Settings) -> bool:
    """Tell whether Delta's JARs are on this machine; without them Spark fetches them when a session starts."""
    return "spark.jars.packages" not in _jar_conf(settings)


def cache_folder() -> Path:
    """Give the folder of what may be lost and rebuilt (class data archives)."""
    from platformdirs import user_cache_path

    return user_cache_path("oneid-cdp")


def _class_data_options(jars: dict[str, str]) -> str:
    """Give JVM options that use the class data archive, or that write one when the JVM ends.

    The archive is named by Java version and JARs, since a mismatch is silently ignored by the JVM.
    A JVM writes its archive while it ends, under this process's pid; it is taken only once it has rested for a
    minute, so a half-written one is never read.
    """
    parts = [str(java_version())]
    for jar in sorted(
        [*_spark_home_jars().glob("*.jar"), *map(Path, filter(None, jars.get("spark.jars", "").split(",")))]
    ):
        facts = jar.stat()
        parts.append(f"{jar}:{facts.st_size}:{int(facts.st_mtime)}")
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    folder = cache_folder()
    archive = folder / f"classes-{name}.jsa"
    if not archive.exists():
        for candidate in sorted(folder.glob(f"classes-{name}.jsa.*")):
            if time.time() - candidate.stat().st_mtime > 60:
                candidate.rename(archive)
                break
    if archive.exists():
        return f"{_option('-XX:SharedArchiveFile', archive)} -Xlog:disable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    unfinished = folder / f"classes-{name}.jsa.{os.getpid()}"
    return f"{_option('-XX:ArchiveClassesAtExit', unfinished)} -Xlog:disable"


def _option(name: str, path: Path | str) -> str:
    """Give a JVM option whose value is a path; Spark splits options at spaces that no quotes enclose."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{text}"'


def conf_for_reader(settings: Settings, folder: str) -> dict[str, str]:
    """Give what a Spark session needs that another program starts to read the lake, with a catalogue of its own.

    Its catalogue and its tables lie in ``folder``, which may be relative to where the program runs. What the site keeps in
    ``spark.conf`` is left out, since it may hold secrets, and so is what it would replace.
    """
    size = settings.spark
    master = {} if size.cores == "all" or is_cluster(settings) else {"spark.master": f"local[{size.cores}]"}
    conf = {
        **_conf_of_lake(settings),
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:;databaseName=metastore;create=true",
        "spark.driver.extraJavaOptions": _java_options(folder, "plain"),
        **master,
        **_jar_conf(settings),
    }
    return {name: value for name, value in conf.items() if name not in size.conf}


def _java_options(derby: Path | str, log_form: str) -> str:
    return f"-Duser.timezone=UTC -Dcdp.log={log_form} {_option('-Dderby.system.home', derby)} " + _option(
        "-Dlog4j2.configurationFile", Path(__file__).parent / "log4j2.properties"
    )


def _conf_of_lake(settings: Settings) -> dict[str, str]:
    size = settings.spark
    return {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": settings.time_zone,
        "spark.sql.shuffle.partitions": str(size.shuffle_partitions),
        "spark.sql.adaptive.enabled": "true",
        # The default of 50 makes reading the log of every small table take 50 tasks.
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.databricks.delta.stats.collect": "true",
        # Every commit would otherwise list its files again to check a checkpoint nobody needs yet.
        "spark.databricks.delta.checkpoint.partSize": "1000000",
        # Inferring filters from constraints grows exponentially with aliased expressions (a feed's mapping has 40).
        "spark.sql.constraintPropagation.enabled": "false",
        # A night's tags generate some 450 classes; with the default of 100 kept, the next night of the
        # same process compiles all of them again.
        "spark.sql.codegen.cache.maxEntries": "2000",
        # The small side of a join holds whole pages of memory that no limit counts, and the default takes 64 MB for ten rows:
        # the tags' many small joins together filled the heap.
        _PAGE_SIZE: _PAGE,
        # A worker that receives such a side asks its JVM's properties and not the settings, and Spark wants none of its own
        # settings there by their plain name.
        "spark.executor.defaultJavaOptions": f'-D"spark"{_PAGE_SIZE.removeprefix("spark")}={size.conf.get(_PAGE_SIZE, _PAGE)}',
        # Spark keeps the plans and figures of finished statements for a UI that is off: a night has thousands of them.
        "spark.sql.ui.retainedExecutions": "20",
        "spark.ui.retainedJobs": "50",
        "spark.ui.retainedStages": "50",
        "spark.ui.retainedTasks": "1000",
        "spark.sql.maxPlanStringLength": "100000",
        # A join's smaller side is waited for as long as it takes: on a busy machine the default of 300 seconds ended
        # whole nights, although the same statement comes to an end.
        "spark.sql.broadcastTimeout": "-1",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # Hadoop sets the rights of local files itself; it does not look at the umask of the process.
        "spark.hadoop.fs.permissions.umask-mode": f"{umask_of(settings):03o}",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": size.driver_memory,
        **(
            dict.fromkeys(("spark.driver.host", "spark.driver.bindAddress"), "127.0.0.1")
            if _is_alone(settings)
            else {}
        ),
        # Two feeds' jobs run side by side; fair shares keep a small one from waiting behind a large one.
        "spark.scheduler.mode": "FAIR",
    }


def sibling_session(spark: SparkSession) -> SparkSession:
    """Give a new session of the same process in the time zone of this one: a new one begins with that of the first of all."""
    zone = "spark.sql.session.timeZone"
    session = spark.newSession()
    session.conf.set(zone, str(spark.conf.get(zone)))
    return session


def start_session(settings: Settings, *, name: str = "cdp") -> SparkSession:
    """Give the Spark session of this process, started on first use with Delta and the product's settings."""
    require_java()
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if _is_alone(settings):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    size = settings.spark
    jars = _jar_conf(settings)
    log_form = "plain" if sys.stderr.isatty() else "lines"
    java_options = _java_options(settings.generated, log_form)
    if size.class_data_sharing and "spark.jars.packages" not in jars:
        java_options += " " + _class_data_options(jars)
    conf = {
        **_conf_of_lake(settings),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": str(settings.generated / "warehouse"),
        "spark.sql.ansi.enabled": "true",
        "spark.driver.extraJavaOptions": java_options,
        **jars,
        **size.conf,
    }
    builder = SparkSession.builder.appName(name)
    if "spark.master" not in size.conf and not os.environ.get("CDP_SPARK_MASTER"):
        cores = "*" if size.cores == "all" else str(size.cores)
        builder = builder.master(f"local[{cores}]")
    elif os.environ.get("CDP_SPARK_MASTER"):
        builder = builder.master(os.environ["CDP_SPARK_MASTER"])
    for key, value in conf.items():
        builder = builder.config(key, value)
    try:
        with _output_to_errors():
            session = builder.getOrCreate()
    except (PySparkRuntimeError, Py4JError, RuntimeError) as wrong:
        if "JAVA_GATEWAY_EXITED" in str(wrong) or "Java gateway" in str(wrong):
            raise EnvironmentUnready(
                "Spark could not start, most often because Delta's JARs could not be resolved or memory is short: "
                "run `cdp jars fetch` once with a network, lower spark.driver_memory in cdp.yml, or see `cdp doctor`"
            ) from wrong
        raise
    # A JVM that was there before this process (spark-submit) does not have it as a property.
    session._jvm.System.setProperty(_PAGE_SIZE, str(conf[_PAGE_SIZE]))  # type: ignore[attr-defined,union-attr]
    _keep_values_out_of_logs()
    if not str(session.sparkContext.master).startswith("local"):
        check_workers(session, settings, send_product(session, settings))
    return session


@contextmanager
def _output_to_errors() -> Iterator[None]:
    """Let what a child of this process writes to its output go to the errors: the output of a command is its answer.

    Spark's resolver of packages writes there before any log is configured.
    """
    sys.stdout.flush()
    try:
        output = os.dup(1)
    except OSError:  # without an output there is nothing to keep clean
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(output, 1)
        os.close(output)


def _is_alone(settings: Settings) -> bool:
    """Tell whether Spark talks to nobody beyond this machine: its workers are threads, or its master listens here alone."""
    master = os.environ.get("CDP_SPARK_MASTER") or settings.spark.conf.get("spark.master") or "local"
    return master.startswith("local") or "//127.0.0.1" in master or "//localhost" in master


def _keep_values_out_of_logs() -> None:
    """Silence PySpark's own copy of every SQL error on stderr: a page of JSON that quotes delivered values."""
    from pyspark.logger import PySparkLogger

    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL + 1)


def stop_session(*, wait: bool = False) -> None:
    """Stop this process's Spark session, if one runs; with ``wait``, until its JVM is gone."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession() or SparkSession._instantiatedSession
    gateway = SparkContext._gateway
    if active is not None:
        active.stop()
    if gateway is not None:
        process = getattr(gateway, "proc", None)
        gateway.shutdown()
        SparkContext._gateway = None
        SparkContext._jvm = None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            if wait:
                process.wait(timeout=60)


def jvm_pid() -> int | None:
    """Give the process id of this process's JVM, or None where none runs."""
    from pyspark import SparkContext

    process = getattr(SparkContext._gateway, "proc", None)
    return process.pid if process is not None else None
