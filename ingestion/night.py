"""One night of ingestion: choose files, read them all, then judge, land and write feed by feed.

Everything that can be wrong with a delivery as a whole is found before the first row is written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ingestion import books, landing, mapping
from ingestion.feeds import Feed, load_feeds
from ingestion.files import Choice, LedgerRow, choose_files
from ingestion.inbox import Hashes, find_files
from lakehouse.errors import InputInvalid
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake import Lake

log = logging.getLogger("cdp.ingestion")

FEEDS_AT_ONCE = 3
# Feeds up to here are judged by interpreted expressions in one partition (a third of the time, measured on 5,000).
QUICK_RECORDS = 100_000
# Up to so many rows a table is written from Arrow without the JVM (tens of milliseconds a commit); beyond, by Spark.
ARROW_ROWS = 2_000_000


@dataclass(frozen=True)
class FeedResult:
    """What a night did with one feed, in records of its files, and where the seconds went."""

    feed: str
    counts: books.FeedCounts
    seconds: dict[str, float]
    touched: tuple[str, ...]


@dataclass(frozen=True)
class IngestResult:
    """What a night took in: results per feed, the files taken (path, sha256), tables written, what to look at."""

    feeds: dict[str, FeedResult]
    inputs: tuple[tuple[str, str], ...]
    touched: tuple[str, ...]
    waiting: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def summary(self) -> dict[str, dict[str, int]]:
        """Give ``{feed: {delivered, accepted, refused, duplicates}}`` in records; the first is the sum of the rest."""
        return {name: result.counts.as_dict() for name, result in self.feeds.items()}


@dataclass
class _Work:
    """One feed on its way through the night."""

    feed: Feed
    choice: Choice
    folder: Path
    readings: list[landing.FileReading] = field(default_factory=list)
    records: DataFrame | None = None
    judged: DataFrame | None = None
    known: dict[str, DataFrame] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, began: float) -> None:
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - began, 2)


def ingest(lake: Lake, business_date: date, only: Sequence[str] | None = None) -> IngestResult:
    """Take what was delivered for night ``business_date`` into landing and trusted tables.

    ``only`` names feeds to restrict to. Raises ``SettingsInvalid`` for a faulty feed and ``InputInvalid`` for an
    unusable delivery, before anything is written, unless an expression fails on a value while rows are computed.
    """
    feeds = [feed for feed in load_feeds(lake.settings.workspace) if only is None or feed.feed in only]
    choices = choose(lake, feeds, business_date)
    for feed in feeds:
        landing.landing_contract(feed)
    lake.create([feed.landing_table for feed in feeds])
    results: dict[str, FeedResult] = {}
    with ExitStack() as stack:
        works = [
            _Work(feed, choices[feed.feed], stack.enter_context(lake.exchange(f"ingest_{feed.feed}")))
            for feed in feeds
        ]
        active = [work for work in works if work.choice.load or work.choice.is_rerun]
        _read_all(lake, active)
        _plan_all(lake, active, business_date)
        for _, group in groupby(active, key=lambda work: work.feed.order):
            for result in _side_by_side(lambda work: _take(lake, work, business_date), list(group)):
                results[result.feed] = result
        _write_ledger(lake, works, business_date)
    for work in works:
        for warning in work.choice.warnings:
            log.warning("%s", warning)
    waiting = sum(len(work.choice.waiting) for work in works)
    if waiting:
        log.info("%d delivered files are of later dates and wait", waiting)
    found = {f.feed: results.get(f.feed, FeedResult(f.feed, books.FeedCounts(), {}, ())) for f in feeds}
    touched = sorted({name for result in found.values() for name in result.touched})
    return IngestResult(
        feeds=found,
        inputs=tuple(_inputs(choices.values())),
        touched=tuple(touched),
        waiting=tuple(name for work in works for name in work.choice.waiting),
        warnings=tuple(warning for work in works for warning in work.choice.warnings),
    )


def inputs_of_night(lake: Lake, business_date: date) -> list[tuple[str, str]]:
    """Give (path, sha256) of every file night ``business_date`` takes or has taken; needs no JVM."""
    feeds = load_feeds(lake.settings.workspace)
    return _inputs(choose(lake, feeds, business_date).values())


def choose(lake: Lake, feeds: Iterable[Feed], business_date: date) -> dict[str, Choice]:
    """Give what the night does with each feed's files; a fault of a delivery raises ``InputInvalid``."""
    settings: Settings = lake.settings
    if not settings.inbox.is_dir():
        raise InputInvalid(
            f"the inbox {settings.inbox} does not exist; deliver files there or name it in cdp.yml"
        )
    known = books.read_ledger(lake)
    hashes = Hashes(settings.generated)
    choices = {}
    for feed in feeds:
        found, waiting = find_files(feed, settings.inbox, until=business_date, hashes=hashes)
        choices[feed.feed] = choose_files(feed, found, waiting, known.get(feed.feed, []), business_date)
    hashes.save()
    return choices


def _inputs(choices: Iterable[Choice]) -> list[tuple[str, str]]:
    return sorted(
        {(f.path, f.sha256) for choice in choices for f in (*choice.load, *(d for d, _ in choice.decided))}
    )


def _side_by_side(do: Callable[[_Work], Any], works: Sequence[_Work]) -> list[Any]:
    """Do the same for several feeds, a few at once; the first failure is raised after the running ones ended."""
    with ThreadPoolExecutor(max_workers=FEEDS_AT_ONCE) as pool:
        futures = [pool.submit(do, work) for work in works]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _read_all(lake: Lake, works: Sequence[_Work]) -> None:
    def read(work: _Work) -> None:
        began = time.monotonic()
        folder = work.folder / "records"
        folder.mkdir()
        size = sum(file.bytes for file in work.choice.load)
        if size >= landing.SPARK_READS_FROM_BYTES:
            work.readings = landing.read_files_by_spark(lake.spark, work.feed, work.choice.load, folder)
        elif work.choice.load:
            work.readings = landing.read_files(work.feed, work.choice.load, folder)
        for reading in work.readings:
            if reading.extra_columns:
                names = ", ".join(reading.extra_columns)
                log.warning(
                    "%s brings columns the feed does not name, kept in landing: %s", reading.file.path, names
                )
            if reading.unseen_columns:
                log.warning("%s: no record carries %s", reading.file.path, ", ".join(reading.unseen_columns))
        work.timed("read", began)

    _side_by_side(read, works)


def _plan_all(lake: Lake, works: Sequence[_Work], business_date: date) -> None:
    """Have Spark analyse what every feed asks for before the first row is written."""
    from pyspark.errors import AnalysisException, ParseException

    quick: SparkSession | None = None

    def plan(work: _Work) -> None:
        began = time.monotonic()
        feed = work.feed
        is_small = sum(reading.records for reading in work.readings) <= QUICK_RECORDS
        session = quick if is_small and quick is not None else lake.spark
        for table in feed.tables:
            keys = _known_keys(lake, session, feed, table, business_date)
            if keys is not None:
                work.known[table] = keys
        work.records = landing.records_frame(session, feed, work.folder / "records")
        try:
            work.judged = mapping.judge_records(work.records, feed, work.known)
        except (AnalysisException, ParseException):
            mapping.blame_analysis(work.records, feed)
            raise
        work.timed("plan", began)

    loading = [work for work in works if work.choice.load]
    if loading:
        quick = _quick_session(lake.spark)
        _side_by_side(plan, loading)


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


def _take(lake: Lake, work: _Work, business_date: date) -> FeedResult:
    """Judge, land and write one feed; its books must balance."""
    from pyspark.errors import PySparkException

    feed = work.feed
    if not work.choice.load:
        return _withdraw(lake, work, business_date)
    assert work.records is not None and work.judged is not None
    began = time.monotonic()
    judged_folder = str(work.folder / "judged")
    try:
        work.judged.write.parquet(judged_folder)
        for table in mapping.table_maps(feed):
            if not table.is_single:
                judged = work.judged.sparkSession.read.schema(work.judged.schema).parquet(judged_folder)
                rows = mapping.explode_rows(judged, feed, table, work.known.get(table.name))
                rows.write.parquet(str(work.folder / f"rows{table.index}"))
    except PySparkException as wrong:
        fault = mapping.blame_expression(work.records, feed)
        if fault is None:
            raise
        raise fault from wrong
    work.timed("judge", began)
    began = time.monotonic()
    lake.replace_partition(
        feed.landing_table,
        landing.landing_rows(feed, work.folder / "records", business_date),
        _arrived_on=business_date,
    )
    work.timed("land", began)
    began = time.monotonic()
    book = books.count_records(feed, work.folder, work.readings)
    work.timed("count", began)
    for table in mapping.table_maps(feed):
        began = time.monotonic()
        _write_table(lake, work, table, business_date)
        work.timed(table.name, began)
    began = time.monotonic()
    books.write_books(lake, feed, book, business_date)
    books.check_written(lake, feed, book, business_date)
    work.timed("books", began)
    log.info("%s: %s", feed.feed, book.feed_counts())
    log.debug("%s: seconds %s", feed.feed, work.seconds)
    touched = (feed.landing_table, *feed.tables, "landing.loads", "landing.files", "quality.refused_rows")
    return FeedResult(feed.feed, book.feed_counts(), work.seconds, touched)


def _write_table(lake: Lake, work: _Work, table: mapping.TableMap, business_date: date) -> None:
    feed, found = work.feed, table.contract
    is_small = sum(reading.records for reading in work.readings) * len(table.entries) <= ARROW_ROWS
    rows: Any
    if found.shape == "state":
        rows = (
            books.accepted_arrow(table, work.folder, {})
            if is_small
            else books.accepted_frame(lake.spark, table, work.folder)
        )
        mode: Literal["snapshot", "delta"] = "snapshot" if feed.mode == "snapshot" else "delta"
        lake.change_states(found.name, rows, feed=feed.feed, business_date=business_date, mode=mode)
        return
    equals = {"_arrived_on": business_date, "_feed": feed.feed}
    if is_small:
        lake.replace_partition(found.name, books.accepted_arrow(table, work.folder, equals), **equals)
    else:
        from pyspark.sql import functions as F

        rows = books.accepted_frame(lake.spark, table, work.folder)
        rows = rows.withColumns({name: F.lit(value) for name, value in equals.items()})
        lake.replace_partition(found.name, rows, **equals)


def _withdraw(lake: Lake, work: _Work, business_date: date) -> FeedResult:
    """Take back what an earlier attempt of this night wrote for a feed that now brings nothing new."""
    feed = work.feed
    equals = {"_arrived_on": business_date, "_feed": feed.feed}
    for table in mapping.table_maps(feed):
        empty = table.contract.arrow_schema().empty_table()
        if table.contract.shape == "fact":
            lake.replace_partition(table.name, empty, **equals)
        else:
            rows = empty.drop_columns(["_feed", "valid_from", "valid_to"])
            lake.change_states(table.name, rows, feed=feed.feed, business_date=business_date, mode="delta")
    lake.replace_partition(
        feed.landing_table, landing.landing_contract(feed).arrow_schema().empty_table(), **equals
    )
    book = books.Book()
    books.write_books(lake, feed, book, business_date)
    return FeedResult(feed.feed, book.feed_counts(), work.seconds, (feed.landing_table, *feed.tables))


def _known_keys(
    lake: Lake, session: SparkSession, feed: Feed, table: str, business_date: date
) -> DataFrame | None:
    """Give the keys of a fact that earlier nights brought within the days the feed looks back, if there are any."""
    from lakehouse.contracts import contract

    found = contract(table)
    days = feed.dedupe_window(table) if found.shape == "fact" else 0
    if not days:
        return None
    first = business_date - timedelta(days=days)
    partitions = [part.get("_arrived_on") for part in lake.delta(table).partitions()]
    if not any(day and first.isoformat() <= str(day) < business_date.isoformat() for day in partitions):
        return None
    rows = (
        session.read.format("delta")
        .load(lake.path(table))
        .where(
            f"_arrived_on >= date'{first}' and _arrived_on < date'{business_date}' and source = '{feed.source}'"
        )
    )
    return rows.selectExpr(*[f"`{name}`" for name in found.key if name != "source"])


def _write_ledger(lake: Lake, works: Sequence[_Work], business_date: date) -> None:
    """Enter what became of every file the night met, last of all: an attempt that failed has met none."""
    rows: list[LedgerRow] = []
    for work in works:
        read = {reading.file.path: reading for reading in work.readings}
        rows += work.choice.kept
        for file, status in work.choice.decided:
            reading = read.get(file.path)
            rows.append(
                LedgerRow(
                    feed=file.feed,
                    path=file.path,
                    sha256=file.sha256,
                    business_date=file.business_date,
                    arrived_on=business_date,
                    status=status,
                    bytes=file.bytes,
                    records=reading.records if reading else None,
                    extra_columns=reading.extra_columns if reading else None,
                )
            )
    books.write_ledger(lake, rows, [work.feed.feed for work in works], business_date)
