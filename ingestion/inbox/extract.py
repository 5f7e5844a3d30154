"""Tables of other systems, read once a night into the inbox: from there on they are files like any other.

What a table held when a night read it cannot be had again, so the night keeps it: a rerun and a replay read the
extract, not the table. Deleting the extract has the next run of the night read the table again.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion.feeds.feeds import DeltaTable, Feed, JdbcTable
from lakehouse.errors import CdpError, EnvironmentUnready, InputInvalid, SettingsInvalid
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.ingestion")

NO_DELTA_TABLE = (
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_PATH_DOES_NOT_EXIST",
    "PATH_NOT_FOUND",
)
DEEPEST_CAUSE = 20


def extract_tables(lake: Lake, feeds: Sequence[Feed], business_date: date) -> list[Path]:
    """Write the extract of night ``business_date`` for every feed that reads a table; give those made now.

    A source that does not answer, a missing table or a refused login raises one sentence; no half file is left.
    """
    extracts = []
    for feed in feeds:
        if feed.extract is None:
            continue
        target = lake.settings.inbox / feed.files.path.replace("{date}", business_date.isoformat())
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        _write(lake.spark, feed, lake.settings, business_date, draft)
        next(iter(draft.glob("part-*.parquet"))).rename(target)
        shutil.rmtree(draft)
        log.info(
            "%s: the table was extracted for %s (%d bytes)", feed.feed, business_date, target.stat().st_size
        )
        extracts.append(target)
    return extracts


def _write(spark: SparkSession, feed: Feed, settings: Settings, business_date: date, folder: Path) -> None:
    from pyspark.errors import PySparkException

    try:
        rows = _frame(spark, feed, settings, business_date)
        # One file: a table small enough to be read every night is one task's work, and the file is one delivery.
        writer = rows.coalesce(1).write.option("compression", "zstd")
        writer.option("outputTimestampType", "TIMESTAMP_MICROS").parquet(str(folder))
    except PySparkException as wrong:
        shutil.rmtree(folder, ignore_errors=True)
        raise _source_error(feed, wrong) from None
    except Exception as wrong:
        shutil.rmtree(folder, ignore_errors=True)
        if type(wrong).__name__ != "Py4JJavaError":
            raise
        raise _source_error(feed, wrong) from None


def _frame(spark: SparkSession, feed: Feed, settings: Settings, business_date: date) -> DataFrame:
    assert feed.extract is not None
    if feed.extract.delta is not None:
        return _delta_rows(spark, feed.extract.delta, settings, business_date)
    assert feed.extract.jdbc is not None
    return _jdbc_rows(spark, feed.extract.jdbc, settings, business_date)


def _delta_rows(spark: SparkSession, table: DeltaTable, settings: Settings, business_date: date) -> DataFrame:
    reader = spark.read.format("delta")
    if table.version is not None:
        reader = reader.option("versionAsOf", table.version)
    path = table.path if "://" in table.path else str((settings.workspace / table.path).resolve())
    rows = reader.load(path)
    return rows.where(table.where.replace("{date}", business_date.isoformat())) if table.where else rows


def _jdbc_rows(spark: SparkSession, table: JdbcTable, settings: Settings, business_date: date) -> DataFrame:
    query = f"SELECT * FROM {table.table}"
    if table.where:
        query += f" WHERE {table.where.replace('{date}', business_date.isoformat())}"
    options = {"url": table.url, "dbtable": f"({query}) wanted", "fetchsize": str(table.fetch_rows)}
    # A database's timestamp without a zone is what its clock showed; it must not be moved to another zone.
    options["preferTimestampNTZ"] = "true"
    if table.user:
        options["user"] = table.user
    if table.password_secret:
        options["password"] = settings.secret(table.password_secret).decode()
    if table.driver:
        options["driver"] = table.driver
    return spark.read.format("jdbc").options(**options).load()


def _source_error(feed: Feed, wrong: Exception) -> CdpError:
    """Give what went wrong in one sentence, without what the driver says: it may hold a value or a password."""
    assert feed.extract is not None
    kinds, state = _causes(wrong)
    place = feed.fault("", "extract", "jdbc" if feed.extract.jdbc else "delta")
    at: dict[str, Any] = {"file": place.file, "line": place.line}
    condition = str(getattr(wrong, "getCondition", str)() or "")
    if "ClassNotFoundException" in kinds or (state == "08001" and "No suitable driver" in str(wrong)):
        return EnvironmentUnready(
            f"the database driver of feed '{feed.feed}' is not on the class path; put its JAR beside Delta's "
            "(`cdp doctor` names the folder) and name its class as 'driver'",
            **at,
        )
    if feed.extract.delta is not None and condition in NO_DELTA_TABLE:
        return InputInvalid(f"the Delta table of feed '{feed.feed}' is not there; check 'path'", **at)
    if state.startswith("42") or condition.startswith(("UNRESOLVED_COLUMN", "PARSE_SYNTAX_ERROR")):
        return SettingsInvalid(
            f"the source of feed '{feed.feed}' does not know the table or a column of 'where'; check 'extract'",
            **at,
        )
    if state.startswith("28"):
        return SettingsInvalid(
            f"the source of feed '{feed.feed}' refused the login; check 'user' and the secret 'password_secret' names",
            **at,
        )
    what = f"{kinds[-1] if kinds else type(wrong).__name__}{f', SQL state {state}' if state else ''}"
    return InputInvalid(
        f"the source of feed '{feed.feed}' did not answer ({what}); run the same command again when it is up",
        **at,
    )


def _causes(wrong: Exception) -> tuple[list[str], str]:
    """Give the classes of the exceptions below, outermost first, and the SQL state a driver gave, if any."""
    kinds: list[str] = []
    state = ""
    cause: Any = getattr(wrong, "_origin", None) or getattr(wrong, "java_exception", None)
    while cause is not None and len(kinds) < DEEPEST_CAUSE:
        kinds.append(cause.getClass().getSimpleName())
        if hasattr(cause, "getSQLState") and not state:
            state = _sql_state(cause)
        cause = cause.getCause()
    return kinds, state


def _sql_state(cause: Any) -> str:
    from py4j.protocol import Py4JError

    try:
        return str(cause.getSQLState() or "")
    except Py4JError:
        return ""
