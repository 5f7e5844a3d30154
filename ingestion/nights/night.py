"""One night of ingestion: choose files, read them all, then judge, land and write feed by feed.

Everything that can be wrong with a delivery as a whole is found before the first row is written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from ingestion.feeds.feeds import Feed, load_feeds
from ingestion.inbox.files import Choice, LedgerRow, choose_files
from ingestion.inbox.inbox import DeliveredFile, FileHashes, find_files
from ingestion.judging import mapping, volume
from ingestion.judging.judging import Judgement
from ingestion.nights import books, references
from ingestion.nights.landing_tables import create_landing_tables
from ingestion.nights.work import FeedWork, analyse_all, judge, read_all, side_by_side
from ingestion.records import landing
from lakehouse.errors import InputInvalid
from lakehouse.ledger.progress import PartCount
from lakehouse.session.parquet import parquet_frame
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.ingestion")

# Incoming and stored rows up to here are compared in this process; a million wide rows take about a gigabyte.
MOST_ROWS = 1_000_000


@dataclass(frozen=True)
class FeedResult:
    """What a night did with one feed, in records of its files; the seconds by phase; the tables it wrote."""

    feed: str
    counts: books.FeedCounts
    seconds: dict[str, float]
    tables: tuple[str, ...]


@dataclass(frozen=True)
class IngestResult:
    """What a night took in: results by feed, its files (path, sha256), the tables it wrote, what to look at.

    ``refused_files`` says by path why a file was refused as a whole.
    """

    feeds: dict[str, FeedResult]
    inputs: tuple[tuple[str, str], ...]
    tables: tuple[str, ...]
    waiting: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refused_files: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> dict[str, dict[str, int]]:
        """Give ``{feed: {delivered, accepted, refused, duplicates}}`` in records; the first is the sum of the rest."""
        return {name: result.counts.as_dict() for name, result in self.feeds.items()}


def ingest(lake: Lake, business_date: date, only: Sequence[str] | None = None) -> IngestResult:
    """Take what was delivered for night ``business_date`` into landing and trusted tables.

    ``only`` names feeds to restrict to. Before anything is written it raises ``SettingsInvalid`` for a faulty feed,
    ``InputInvalid`` for an unusable delivery of a required feed, ``GateStopped`` for one whose size cannot be right; an expression that
    fails on a value is only found while rows are computed.
    """
    feeds = [feed for feed in load_feeds(lake.settings.workspace) if only is None or feed.feed in only]
    nights = landing.Nights(business_date, business_date)
    inbox = _Inbox(lake, feeds, business_date)
    create_landing_tables(lake, feeds)
    results: dict[str, FeedResult] = {}
    with ExitStack() as stack:
        works = [
            FeedWork(
                feed,
                partial(inbox.choice, feed),
                stack.enter_context(lake.exchange(f"ingest_{feed.feed}")),
                nights,
            )
            for feed in feeds
        ]
        active = [work for work in works if work.choice.load or work.choice.is_rerun]
        read_all(lake, active)
        for work in active:
            ledger = inbox.ledger.get(work.feed.feed, [])
            volume.check_volume(work.feed, work.readings, ledger, business_date)
        active = [work for work in active if work.choice.load or work.choice.is_rerun]
        analyse_all(lake, active)
        parts = PartCount(len(active))

        def take(work: FeedWork) -> FeedResult:
            result = _take(lake, work)
            parts.end(work.feed.feed)
            return result

        for _, group in groupby(active, key=lambda work: work.feed.order):
            for result in side_by_side(take, list(group)):
                results[result.feed] = result
        write_books(lake, active, nights)
        write_ledger(lake, works, nights)
    return ingest_result(works, results)


def ingest_result(works: Sequence[FeedWork], results: dict[str, FeedResult]) -> IngestResult:
    """Give the result of all feeds, and log what somebody should look at."""
    warnings = tuple(text for work in works for text in (*work.choice.warnings, *work.warnings))
    for warning in warnings:
        log.warning("%s", warning)
    waiting = tuple(name for work in works for name in work.choice.waiting)
    if waiting:
        log.info("%d delivered files are of later dates and wait", len(waiting))
    names = [work.feed.feed for work in works]
    by_feed = {name: results.get(name, FeedResult(name, books.FeedCounts(), {}, ())) for name in names}
    return IngestResult(
        feeds=by_feed,
        inputs=tuple(_inputs(work.choice for work in works)),
        tables=tuple(sorted({name for result in by_feed.values() for name in result.tables})),
        waiting=waiting,
        warnings=warnings,
        refused_files={path: reason for work in works for path, reason in work.choice.reasons.items()},
    )


def inputs_of_night(lake: Lake, business_date: date) -> list[tuple[str, str]]:
    """Give (path, sha256) of every file night ``business_date`` takes or has taken; needs no JVM."""
    feeds = load_feeds(lake.settings.workspace)
    inbox = _Inbox(lake, feeds, business_date)
    return _inputs(inbox.choice(feed) for feed in feeds)


class _Inbox:
    """What lies in the inbox for a night, and the ledger before it: what choosing begins with, and choosing again."""

    def __init__(self, lake: Lake, feeds: Iterable[Feed], business_date: date) -> None:
        settings: Settings = lake.settings
        require_inbox(settings)
        self.business_date, self.ledger = business_date, books.read_ledger(lake)
        hashes = FileHashes(settings.generated)
        self._files: dict[str, tuple[list[DeliveredFile], list[str]]] = {
            feed.feed: find_files(feed, settings.inbox, until=business_date, hashes=hashes) for feed in feeds
        }
        hashes.save()

    def choice(self, feed: Feed, faults: Mapping[str, str] | None = None) -> Choice:
        """Give what the night does with a feed's files; a fault of a required one raises ``InputInvalid``."""
        rows = self.ledger.get(feed.feed, [])
        return choose_files(feed, *self._files[feed.feed], rows, self.business_date, faults)


def brings_rows(lake: Lake, business_date: date, table: str) -> bool:
    """Tell whether the night takes a file of a feed that fills ``table``; needs no JVM."""
    feeds = [feed for feed in load_feeds(lake.settings.workspace) if table in feed.tables]
    inbox = _Inbox(lake, feeds, business_date)
    return any(inbox.choice(feed).load for feed in feeds)


def require_inbox(settings: Settings) -> None:
    """Refuse a workspace without an inbox."""
    if not settings.inbox.is_dir():
        raise InputInvalid(
            f"the inbox {settings.inbox} does not exist; deliver files there or name it in cdp.yml"
        )


def _inputs(choices: Iterable[Choice]) -> list[tuple[str, str]]:
    return sorted(
        {
            (f.path, f.sha256)
            for choice in choices
            for f in (*choice.load, *(file for file, _ in choice.decisions))
        }
    )


def _take(lake: Lake, work: FeedWork) -> FeedResult:
    """Judge, land and write one feed; its books must balance."""
    feed = work.feed
    if not work.choice.load:
        return _withdraw(lake, work)

    def land() -> None:
        night = work.nights.last
        lake.take_files(feed.landing_table, work.records.staged_files(work.nights), _arrived_on=night)

    return write_feed(lake, work, land, lambda judgement, table: _write_table(lake, work, judgement, table))


def write_feed(
    lake: Lake,
    work: FeedWork,
    land: Callable[[], None],
    write_table: Callable[[Judgement, mapping.TableMap], None],
) -> FeedResult:
    """Judge a feed and count; then land its records beside writing its tables, and close the books."""
    with closing(judge(lake, work)) as judgement, ThreadPoolExecutor(max_workers=1) as other:
        start = time.monotonic()
        book = books.count_records(judgement, work.readings)
        references.check_unknown_references(work, judgement.unknown_references())
        work.add_seconds("count", start)
        landing_start = time.monotonic()
        landing_future = other.submit(land)
        landing_future.add_done_callback(lambda _: work.add_seconds("land", landing_start))
        for table in judgement.maps:
            start = time.monotonic()
            write_table(judgement, table)
            work.add_seconds(table.name, start)
        landing_future.result()
    return close_books(lake, work, book)


def close_books(lake: Lake, work: FeedWork, book: books.Book) -> FeedResult:
    """Hold a feed's books against the tables, keep them for the end of the night, and give the result."""
    start = time.monotonic()
    feed, work.book = work.feed, book
    books.check_written(lake, feed, book, work.nights)
    work.warnings += books.loss_warnings(feed, book, work.record_count)
    work.add_seconds("books", start)
    log.info("%s: %s", feed.feed, book.feed_counts())
    log.debug("%s: seconds %s", feed.feed, work.seconds)
    tables = (feed.landing_table, *feed.tables, "landing.loads", "landing.files", *books.OF_RECORDS)
    return FeedResult(feed.feed, book.feed_counts(), work.seconds, tables)


def _write_table(lake: Lake, work: FeedWork, judgement: Judgement, table: mapping.TableMap) -> None:
    feed, night = work.feed, work.nights.last
    if table.contract.shape != "state":
        files = judgement.accepted_files(table, work.folder / f"accepted{table.index}")
        lake.take_files(table.name, files, _arrived_on=night, _feed=feed.feed)
        return
    mode: Literal["snapshot", "delta"] = "snapshot" if feed.mode == "snapshot" else "delta"
    rows: Any
    if not lake.is_for_spark(is_large=work.record_count * table.rows_per_record > MOST_ROWS):
        rows = judgement.accepted_rows(table).read_all().drop_columns(["_feed"])
    else:
        files = judgement.accepted_files(table, work.folder / f"states{table.index}")
        rows = parquet_frame(lake.spark, *(file.path for file in files))
    lake.change_states(table.name, rows, feed=feed.feed, business_date=night, mode=mode)


def _withdraw(lake: Lake, work: FeedWork) -> FeedResult:
    """Take back what an earlier attempt of this night wrote for a feed that now brings nothing new."""
    feed, night = work.feed, work.nights.last
    equals = {"_arrived_on": night, "_feed": feed.feed}
    for table in mapping.table_maps(feed):
        empty = table.stored_contract.arrow_schema().empty_table()
        if table.contract.shape == "fact":
            lake.replace_partition(table.name, empty, **equals)
        else:
            rows = empty.drop_columns(["_feed", "valid_from", "valid_to"])
            lake.change_states(table.name, rows, feed=feed.feed, business_date=night, mode="delta")
    lake.replace_partition(
        feed.landing_table, landing.landing_contract(feed).arrow_schema().empty_table(), **equals
    )
    return FeedResult(feed.feed, books.FeedCounts(), work.seconds, (feed.landing_table, *feed.tables))


def write_books(lake: Lake, works: Sequence[FeedWork], nights: landing.Nights) -> None:
    """Enter what became of every record, after all feeds: thirty feeds are a commit a table, not thirty."""
    by_feed = {}
    for work in works:
        night_of = {reading.file.path: nights.of(reading.file.business_date) for reading in work.readings}
        by_feed[work.feed.feed] = (work.book or books.Book(), night_of)
    books.write_books(lake, by_feed, list(by_feed), nights)


def write_ledger(lake: Lake, works: Sequence[FeedWork], nights: landing.Nights) -> None:
    """Enter what became of every file, last of all: an attempt that failed leaves no entry."""
    rows: list[LedgerRow] = []
    for work in works:
        books.check_files(work.choice, work.readings, work.book)
        readings = {reading.file.path: reading for reading in work.readings}
        rows += work.choice.earlier_rows
        for file, status in work.choice.decisions:
            reading = readings.get(file.path)
            rows.append(
                LedgerRow(
                    feed=file.feed,
                    path=file.path,
                    sha256=file.sha256,
                    business_date=file.business_date,
                    arrived_on=nights.of(file.business_date),
                    status=status,
                    bytes=file.bytes,
                    records=reading.records if reading else None,
                    extra_columns=reading.extra_columns if reading else None,
                    reason=work.choice.reasons.get(file.path),
                )
            )
    books.write_ledger(lake, rows, [work.feed.feed for work in works], nights)
