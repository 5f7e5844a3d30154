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
from typing import TYPE_CHECKING

from ingestion.feeds import DeltaTable, Feed, JdbcTable
from lakehouse.errors import EnvironmentUnready, InputInvalid, SettingsInvalid
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.errors import PySparkException
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake import Lake

log = logging.getLogger("cdp.ingestion")


def extract_tables(lake: Lake, feeds: Sequence[Feed], business_date: date) -> list[Path]:
    """Write the extract of night ``business_date`` for every feed that reads a table; give those made now.

    A source that does not answer, a missing table or a refused login raises one sentence; no half file is left.
    """
    made = []
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
        made.append(target)
    return made


def _write(spark: SparkSession, feed: Feed, settings: Settings, business_date: date, folder: Path) -> None:
    from pyspark.errors import PySparkException

    try:
        rows = _frame(spark, feed, settings, business_date)
        # One file: a table small enough to be read every night is one task's work, and the file is one delivery.
        writer = rows.coalesce(1).write.option("compression", "zstd")
        writer.option("outputTimestampType", "TIMESTAMP_MICROS").parquet(str(folder))
    except PySparkException as wrong:
        shutil.rmtree(folder, ignore_errors=True)
        raise _told(feed, wrong) from None
    except Exception as wrong:
        shutil.rmtree(folder, ignore_errors=True)
        if type(wrong).__name__ != "Py4JJavaError":
            raise
        raise _told(feed, wrong) from None


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
    wanted = f"SELECT * FROM {table.table}"
    if table.where:
        wanted += f" WHERE {table.where.replace('{date}', business_date.isoformat())}"
    options = {"url": table.url, "dbtable": f"({wanted}) wanted", "fetchsize": str(table.fetch_rows)}
    # A database's timestamp without a zone is what its clock showed; it must not be moved to another zone.
    options["preferTimestampNTZ"] = "true"
    if table.user:
        options["user"] = table.user
    if table.password_secret:
        options["password"] = settings.secret(table.password_secret).decode()
    if table.driver:
        options["driver"] = table.driver
    return spark.read.format("jdbc").options(**options).load()


def _told(feed: Feed, wrong: Exception | PySparkException) -> Exception:
    """Give what went wrong in one sentence, without what the driver says: it may hold a value or a password."""
    assert feed.extract is not None
    text, source = str(wrong), "jdbc" if feed.extract.jdbc else "delta"
    place = feed.fault("", "extract", source)
    if "ClassNotFoundException" in text or "No suitable driver" in text:
        return EnvironmentUnready(
            f"the database driver of feed '{feed.feed}' is not on the class path; put its JAR beside Delta's "
            "(`cdp doctor` names the folder) and name its class as 'driver'",
            file=place.file,
            line=place.line,
        )
    if source == "delta" and any(
        mark in text
        for mark in (
            "DELTA_TABLE_NOT_FOUND",
            "PATH_NOT_FOUND",
            "DELTA_MISSING_DELTA_TABLE",
            "DELTA_PATH_DOES_NOT_EXIST",
        )
    ):
        return InputInvalid(
            f"the Delta table of feed '{feed.feed}' is not there; check 'path'",
            file=place.file,
            line=place.line,
        )
    if any(
        mark in text
        for mark in ("UNRESOLVED_COLUMN", "PARSE_SYNTAX_ERROR", "does not exist", "SQLSyntaxError")
    ):
        return SettingsInvalid(
            f"the source of feed '{feed.feed}' does not know the table or a column of 'where'; check 'extract'",
            file=place.file,
            line=place.line,
        )
    if any(mark in text for mark in ("authentication failed", "Access denied", "SQLInvalidAuthorization")):
        return SettingsInvalid(
            f"the source of feed '{feed.feed}' refused the login; check 'user' and the secret 'password_secret' names",
            file=place.file,
            line=place.line,
        )
    return InputInvalid(
        f"the source of feed '{feed.feed}' did not answer ({_kind(text)}); run the same command again when it is up",
        file=place.file,
        line=place.line,
    )


def _kind(text: str) -> str:
    """Give the class of the error a driver raised."""
    for word in text.replace(":", " ").split():
        if word.endswith(("Exception", "Error")) and "." in word:
            return word.rpartition(".")[2]
    return "unknown error"
