"""One feed on its way through a night or a history: read, plan, judge; and the same for several at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion import landing, mapping
from ingestion.feeds import Feed
from ingestion.files import Choice
from lakehouse.contracts import contract

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake import Lake

log = logging.getLogger("cdp.ingestion")

FEEDS_AT_ONCE = 3
# Feeds up to here are judged by interpreted expressions in one partition (a third of the time, measured on 5,000).
QUICK_RECORDS = 100_000


@dataclass
class Work:
    """One feed's files, what was read of them, and the frames planned over it; its Parquet lies in ``folder``."""

    feed: Feed
    choice: Choice
    folder: Path
    nights: landing.Nights
    readings: list[landing.FileReading] = field(default_factory=list)
    records: DataFrame | None = None
    judged: DataFrame | None = None
    known: dict[str, DataFrame] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def record_count(self) -> int:
        """The number of records read."""
        return sum(reading.records for reading in self.readings)

    def timed(self, name: str, began: float) -> None:
        """Add the seconds since ``began`` to a phase."""
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - began, 2)


def side_by_side(do: Callable[[Work], Any], works: Sequence[Work]) -> list[Any]:
    """Do the same for several feeds, a few at once; the first failure is raised after the running ones ended."""
    with ThreadPoolExecutor(max_workers=FEEDS_AT_ONCE) as pool:
        futures = [pool.submit(do, work) for work in works]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def read_all(lake: Lake, works: Sequence[Work]) -> None:
    """Read every feed's files into Parquet; a file that cannot be used raises ``InputInvalid``."""

    def read(work: Work) -> None:
        began = time.monotonic()
        folder = work.folder / "records"
        folder.mkdir()
        size = sum(file.bytes for file in work.choice.load)
        if size >= landing.SPARK_READS_FROM_BYTES:
            work.readings = landing.read_files_by_spark(lake.spark, work.feed, work.choice.load, folder)
        elif work.choice.load:
            work.readings = landing.read_files(work.feed, work.choice.load, folder)
        _warn_of_columns(work)
        work.timed("read", began)

    side_by_side(read, works)


def _warn_of_columns(work: Work) -> None:
    """Say once per feed what its files bring beyond its columns, and what no record carries."""
    extra: dict[tuple[str, ...], list[str]] = {}
    unseen: dict[tuple[str, ...], list[str]] = {}
    for reading in work.readings:
        if reading.extra_columns:
            extra.setdefault(reading.extra_columns, []).append(reading.file.path)
        if reading.unseen_columns:
            unseen.setdefault(reading.unseen_columns, []).append(reading.file.path)
    for names, paths in extra.items():
        work.warnings.append(
            f"{_some(paths)} columns the feed does not name, kept in landing: {', '.join(names)}"
        )
    for names, paths in unseen.items():
        work.warnings.append(f"{paths[0]}: no record carries {', '.join(names)}")


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 1} more bring" if len(paths) > 1 else " brings"
    return f"{paths[0]}{more}"


def plan_all(lake: Lake, works: Sequence[Work]) -> None:
    """Have Spark analyse what every feed asks for before the first row is written."""
    from pyspark.errors import AnalysisException, ParseException

    quick: SparkSession | None = None

    def plan(work: Work) -> None:
        began = time.monotonic()
        feed = work.feed
        is_small = work.record_count <= QUICK_RECORDS
        session = quick if is_small and quick is not None else lake.spark
        for table in feed.tables:
            keys = known_keys(lake, session, work, table)
            if keys is not None:
                work.known[table] = keys
        work.records = landing.records_frame(session, feed, work.folder / "records", work.nights)
        try:
            work.judged = mapping.judge_records(
                work.records, feed, work.known, is_history=work.nights.is_history
            )
        except (AnalysisException, ParseException):
            mapping.blame_analysis(work.records, feed)
            raise
        work.timed("plan", began)

    loading = [work for work in works if work.choice.load]
    if loading:
        quick = _quick_session(lake.spark)
        side_by_side(plan, loading)


def _quick_session(spark: SparkSession) -> SparkSession:
    """Give a session on the same context for frames of some thousand rows.

    Compiling code for each feed's own expressions would take longer than interpreting them, and one partition will do.
    """
    session = spark.newSession()
    session.conf.set("spark.sql.session.timeZone", str(spark.conf.get("spark.sql.session.timeZone")))
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    session.conf.set("spark.sql.shuffle.partitions", "1")
    return session


def judge(work: Work) -> None:
    """Compute the judged records and the rows of tables that take several from one record, as Parquet."""
    from pyspark.errors import PySparkException

    assert work.records is not None and work.judged is not None
    began = time.monotonic()
    judged_folder = str(work.folder / "judged")
    try:
        work.judged.write.parquet(judged_folder)
        for table in mapping.table_maps(work.feed):
            if not table.is_single:
                judged = work.judged.sparkSession.read.schema(work.judged.schema).parquet(judged_folder)
                rows = mapping.explode_rows(
                    judged, work.feed, table, work.known.get(table.name), is_history=work.nights.is_history
                )
                rows.write.parquet(str(work.folder / f"rows{table.index}"))
    except PySparkException as wrong:
        fault = mapping.blame_expression(work.records, work.feed)
        if fault is None:
            raise
        raise fault from wrong
    work.timed("judge", began)


def known_keys(lake: Lake, session: SparkSession, work: Work, table: str) -> DataFrame | None:
    """Give the keys of a fact that earlier nights brought within the days the feed looks back, if there are any."""
    feed, night = work.feed, work.nights.first
    found = contract(table)
    days = feed.dedupe_window(table) if found.shape == "fact" else 0
    if not days:
        return None
    first = night - timedelta(days=days)
    partitions = [part.get("_arrived_on") for part in lake.delta(table).partitions()]
    if not any(day and first.isoformat() <= str(day) < night.isoformat() for day in partitions):
        return None
    rows = (
        session.read.format("delta")
        .load(lake.path(table))
        .where(f"_arrived_on >= date'{first}' and _arrived_on < date'{night}' and source = '{feed.source}'")
    )
    return rows.selectExpr(*[f"`{name}`" for name in found.key if name != "source"])
