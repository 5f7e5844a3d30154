"""One feed in a night or a history: read, analyse, judge; and the same for several feeds at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion.feeds.feeds import Feed
from ingestion.inbox.files import Choice
from ingestion.inbox.inbox import DeliveredFile
from ingestion.judging import faults, judging, mapping
from ingestion.judging.failing import without_failing_by_spark
from ingestion.judging.lookups import records_with_lookups
from ingestion.records.landing import Nights
from ingestion.records.reading import SPARK_READS_FROM_BYTES, FileReading, read_files, read_files_by_spark
from ingestion.records.record_files import RecordFiles
from lakehouse.contracts.reading import contract
from lakehouse.query.desk import newest_sql
from lakehouse.query.files import file_paths, parquet_call
from lakehouse.query.words import literal, spark_identifier, spark_literal
from lakehouse.session.session import sibling_session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from ingestion.nights.books import Book
    from lakehouse.engine.spark import SparkEngine
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.ingestion")

FEEDS_AT_ONCE = 3
# Feeds up to here are judged by interpreted expressions in one partition (a third of the time, measured on 5,000).
QUICK_RECORDS = 100_000


@dataclass
class FeedWork:
    """One feed's files in a night, what reading them gives, and its book; its Parquet lies in ``folder``.

    ``choose`` gives the choice without files that reading found unusable: their faults, by path.
    """

    feed: Feed
    choose: Callable[[Mapping[str, str]], Choice]
    folder: Path
    nights: Nights
    readings: list[FileReading] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    book: Book | None = None
    choice: Choice = field(init=False)

    def __post_init__(self) -> None:
        self.choice = self.choose({})

    @property
    def records(self) -> RecordFiles:
        """What was read of the files."""
        return RecordFiles(self.feed, self.folder / "records")

    @property
    def record_count(self) -> int:
        """The number of records read."""
        return sum(reading.records for reading in self.readings)

    @property
    def is_large(self) -> bool:
        """Whether a cluster's workers read the files, if there are any."""
        return sum(file.bytes for file in self.choice.load) >= SPARK_READS_FROM_BYTES

    def add_seconds(self, name: str, start: float) -> None:
        """Add the seconds since ``start`` to a phase."""
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - start, 2)


def side_by_side(do: Callable[[FeedWork], Any], works: Sequence[FeedWork]) -> list[Any]:
    """Do the same for several feeds, a few at once; the first failure is raised when the running ones have ended."""
    with ThreadPoolExecutor(max_workers=FEEDS_AT_ONCE) as pool:
        futures = [pool.submit(do, work) for work in works]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def read_all(lake: Lake, works: Sequence[FeedWork]) -> None:
    """Read every feed's files into Parquet; without a file that cannot be used its feed chooses again.

    ``InputInvalid`` where a required feed has such a file.
    """

    def read(work: FeedWork) -> None:
        start = time.monotonic()
        readings: dict[str, FileReading] = {}
        while unread := [file for file in work.choice.load if file.path not in readings]:
            readings |= {r.file.path: r for r in _read(lake, work, unread, len(readings))}
            faults = {path: r.fault for path, r in readings.items() if r.fault is not None}
            if faults:
                work.choice = work.choose(faults)
        paths = {file.path for file in work.choice.load}
        for path, reading in readings.items():
            if path not in paths and reading.fault is None:
                work.records.discard(reading.place, reading.file.business_date)
        work.readings = [readings[file.path] for file in work.choice.load]
        _warn_of_columns(work)
        work.add_seconds("read", start)

    side_by_side(read, works)


def _read(lake: Lake, work: FeedWork, files: Sequence[DeliveredFile], first: int) -> list[FileReading]:
    if work.is_large and lake.is_on_cluster and lake.is_for_spark(is_large=True):
        return read_files_by_spark(lake.spark, work.records, files, first)
    return read_files(work.records, files, first)


def _warn_of_columns(work: FeedWork) -> None:
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


def analyse_all(lake: Lake, works: Sequence[FeedWork]) -> None:
    """Have Spark analyse what it will be asked for, before the first row is written."""
    # What is looked up is known when the feeds before have been written.
    loading = [work for work in works if work.choice.load and not work.feed.lookup_uses]
    by_spark = [work for work in loading if not is_in_process(lake, work) and is_for_spark(lake, work)]

    def analyse(work: FeedWork) -> None:
        start = time.monotonic()
        session = quick if work.record_count <= QUICK_RECORDS else lake.spark
        frame_by_spark(session, work.records, work.nights)
        work.add_seconds("plan", start)

    if by_spark:
        quick = _quick_session(lake)
        side_by_side(analyse, by_spark)


def frame_by_spark(
    session: SparkSession, files: RecordFiles, nights: Nights, text: Sequence[str] = ()
) -> DataFrame:
    """Give the mapped records as Spark will compute them (``map_by_spark``); ``SettingsInvalid`` where it refuses to."""
    from pyspark.errors import AnalysisException, ParseException

    records = files.frame(session, nights)
    try:
        return mapping.map_by_spark(records, files.feed, text)
    except (AnalysisException, ParseException):
        faults.blame_analysis(records, files.feed)
        raise


def is_in_process(lake: Lake, work: FeedWork) -> bool:
    """Tell whether this process maps in bulk what it is sure of."""
    if mapping.map_in_process(work.feed) is None:
        return False
    return not lake.is_for_spark(is_large=work.is_large)


def is_for_spark(lake: Lake, work: FeedWork) -> bool:
    """Tell whether Spark maps what is not mapped in bulk; the engine duckdb has no feed for which it must."""
    if lake.is_for_spark(is_large=work.is_large):
        return True
    return not mapping.is_exact(work.feed, lake.settings.time_zone)


def _quick_session(lake: Lake) -> SparkSession:
    """Give a session on the same context for frames of some thousand rows.

    Compiling code for each feed's own expressions would take longer than interpreting them, and one partition will do.
    """
    session = sibling_session(lake.spark)
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    session.conf.set("spark.sql.shuffle.partitions", "1")
    return session


def judge(lake: Lake, work: FeedWork) -> judging.Judgement:
    """Judge the records of a feed; the caller closes what is given."""
    start = time.monotonic()
    files = None
    if work.feed.lookup_uses:
        files = records_with_lookups(
            work.feed, work.records, work.folder / "joined", work.nights, lake.settings
        )

    def by_spark(records: RecordFiles, into: Path, text: Sequence[str]) -> None:
        session = _quick_session(lake) if records.count() <= QUICK_RECORDS else lake.spark
        map_into_parquet(session, records, into, work.nights, record_count=work.record_count, text=text)

    with _engine_of_hashes(lake, work) as engine:
        keys = {table: earlier_keys(lake, work, table, engine) for table in work.feed.tables}
        judgement = judging.judge_records(
            work.feed, work.folder, work.nights,
            by_spark=by_spark if is_for_spark(lake, work) else None, zone=lake.settings.time_zone,
            currency=lake.settings.currency,
            engine=engine,
            in_process=is_in_process(lake, work),
            earlier_keys={table: sql for table, sql in keys.items() if sql is not None},
            earlier_folders=lake.folders,
            known_rows=known_rows(lake, work.feed),
            record_files=files,
        )  # fmt: skip
    work.add_seconds("judge", start)
    return judgement


@contextmanager
def _engine_of_hashes(lake: Lake, work: FeedWork) -> Iterator[SparkEngine | None]:
    """Give Spark where it maps all records of a feed and they bring more keys than a bucket has rows; else None.

    Fewer are compared in this process, eight bytes a key, in less time than Spark needs to begin.
    """
    keys = work.record_count * sum(len(table.entries) for table in mapping.table_maps(work.feed))
    is_many = keys > lake.settings.engine.bucket_rows
    if not is_many or not lake.is_for_spark(is_large=work.is_large):
        yield None
        return
    from lakehouse.engine.spark import SparkEngine

    folder = work.folder / "hashes"
    folder.mkdir()
    # Feeds are judged side by side, and a view is one of its session.
    engine = SparkEngine(sibling_session(lake.spark), folder, lake.register)
    try:
        yield engine
    finally:
        engine.close()


def known_rows(lake: Lake, feed: Feed) -> dict[str, str]:
    """Give, as DuckDB SQL, the rows of the tables that the contracts of a feed's tables refer to."""
    references = [reference for table in feed.tables for reference in contract(table).references]
    return {reference.table: newest_sql(lake.settings, reference.table) for reference in references}


def map_into_parquet(
    session: SparkSession,
    records: RecordFiles,
    into: Path,
    nights: Nights,
    *,
    record_count: int | None = None,
    text: Sequence[str] = (),
) -> None:
    """Have Spark map records into Parquet; those that an expression fails on are refused (``ingestion.judging.failing``).

    ``record_count`` is the number of records of the whole delivery, where these are a part of it. ``text`` names the columns that
    their text is hashed of (``map_by_spark``).
    """
    from pyspark.errors import PySparkException

    rows = frame_by_spark(session, records, nights, text)
    try:
        rows.write.parquet(str(into))
    except PySparkException:
        sound = without_failing_by_spark(
            records.frame(session, nights), records.feed, record_count or records.count()
        )
        if sound is None:
            raise
        mapping.map_by_spark(sound, records.feed, text).write.mode("overwrite").parquet(str(into))


def earlier_keys(lake: Lake, work: FeedWork, table: str, engine: SparkEngine | None = None) -> str | None:
    """Give, as SQL of Spark's engine or else of DuckDB, the keys of a fact that earlier nights brought within the days the feed looks back, if any."""
    feed, night = work.feed, work.nights.first
    fact = contract(table)
    days = feed.dedupe_window(table) if fact.shape == "fact" else 0
    if not days:
        return None
    first, end = literal((night - timedelta(days=days)).isoformat()), literal(night.isoformat())
    nights = f"_arrived_on >= {first} AND _arrived_on < {end}"
    files = file_paths(lake.delta(table), nights)
    if not files:
        return None
    types = {name: fact.columns[name].type for name in fact.key if name != "source"}
    if engine is not None:
        frame = engine.session.read.format("delta").load(lake.path(table)).where(nights)
        keys = ", ".join(
            f"CAST({spark_identifier(name)} AS {kind}) AS {name}" for name, kind in types.items()
        )
        rows = engine.take("earlier", frame)
        return f"SELECT {keys} FROM {rows} WHERE source = {spark_literal(feed.source)}"
    keys = ", ".join(f"CAST({name} AS {mapping.duck_type(kind)}) AS {name}" for name, kind in types.items())
    return (
        f"SELECT {keys} FROM {parquet_call(files, 'hive_partitioning = false, union_by_name = true')} "
        f"WHERE source = {literal(feed.source)}"
    )
