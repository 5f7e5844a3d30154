"""A long history in one pass: every file arrives on its own business date, as if its night had taken it.

Which night takes which file is decided night by night, as always; then each feed is read, judged and written once.
Every table, the books and the ledger hold afterwards what the nights would have left.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal

from ingestion.feeds.feeds import Feed, load_feeds
from ingestion.inbox.files import Choice, LedgerRow, choose_files
from ingestion.inbox.inbox import DeliveredFile, FileHashes, find_files
from ingestion.judging.judging import Judgement
from ingestion.judging.mapping import TableMap
from ingestion.nights import books
from ingestion.nights.landing_tables import create_landing_tables
from ingestion.nights.night import (
    FeedResult,
    IngestResult,
    ingest_result,
    require_inbox,
    write_books,
    write_feed,
    write_ledger,
)
from ingestion.nights.work import FeedWork, analyse_all, read_all
from ingestion.records import landing
from lakehouse.contracts.reading import contract
from lakehouse.errors import InputInvalid, UsageError
from lakehouse.ledger.progress import PartCount

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.ingestion")


def ingest_history(lake: Lake, first: date, last: date) -> IngestResult:
    """Take what was delivered for the nights ``first`` to ``last`` into landing and trusted tables, in one pass.

    A file older than ``first`` arrives on ``first``. Only feeds that were never loaded can be given a history:
    ``UsageError`` otherwise. Errors of feeds and deliveries are those of a single night.
    """
    feeds = load_feeds(lake.settings.workspace)
    nights = landing.Nights(first, last)
    inbox = _Inbox(lake, feeds, nights)
    works = [FeedWork(feed, partial(inbox.choice, feed), lake.settings.lake, nights) for feed in feeds]
    _refuse_shared_keys([work.feed for work in works if work.choice.load])
    create_landing_tables(lake, feeds)
    results: dict[str, FeedResult] = {}
    parts = PartCount(sum(bool(work.choice.load) for work in works))
    for work in works:
        if not work.choice.load:
            continue
        # One feed at a time: a history may fill the exchange folder with more than a night's Parquet.
        with ExitStack() as stack:
            work.folder = stack.enter_context(lake.exchange(f"history_{work.feed.feed}"))
            read_all(lake, [work])
            if work.choice.load:
                analyse_all(lake, [work])
                results[work.feed.feed] = _take(lake, work)
        parts.end(work.feed.feed)
    write_books(lake, [work for work in works if work.choice.load], nights)
    write_ledger(lake, works, nights)
    return ingest_result(works, results)


def inputs_of_history(lake: Lake, first: date, last: date) -> list[tuple[str, str]]:
    """Give (path, sha256) of every file a history would take; needs no JVM."""
    feeds = load_feeds(lake.settings.workspace)
    inbox = _Inbox(lake, feeds, landing.Nights(first, last))
    return sorted({(f.path, f.sha256) for feed in feeds for f, _ in inbox.choice(feed).decisions})


class _Inbox:
    """What lies in the inbox for a history: what choosing begins with, and choosing again."""

    def __init__(self, lake: Lake, feeds: Sequence[Feed], nights: landing.Nights) -> None:
        require_inbox(lake.settings)
        ledger = books.read_ledger(lake)
        hashes = FileHashes(lake.settings.generated)
        self.nights = nights
        self._files: dict[str, tuple[list[DeliveredFile], list[str]]] = {}
        for feed in feeds:
            if ledger.get(feed.feed):
                newest = max(row.arrived_on for row in ledger[feed.feed])
                raise UsageError(
                    f"feed '{feed.feed}' was loaded up to {newest}, and a history goes before the first night; "
                    f"use `cdp backfill --from {nights.first}` to load more nights in order"
                )
            self._files[feed.feed] = find_files(feed, lake.settings.inbox, until=nights.last, hashes=hashes)
        hashes.save()

    def choice(self, feed: Feed, faults: Mapping[str, str] | None = None) -> Choice:
        """Decide night by night what becomes of a feed's files, and give all of it as one choice."""
        files, waiting = self._files[feed.feed]
        ledger: list[LedgerRow] = []
        whole = Choice(waiting=tuple(waiting))
        for night in _nights_to_decide(feed, self.nights, {file.business_date for file in files}):
            due = [file for file in files if file.business_date <= night]
            choice = choose_files(feed, due, (), ledger, night, faults)
            ledger += [
                LedgerRow(f.feed, f.path, f.sha256, f.business_date, night, status, f.bytes)
                for f, status in choice.decisions
            ]
            whole = replace(
                whole,
                load=(*whole.load, *choice.load),
                decisions=(*whole.decisions, *choice.decisions),
                reasons={**whole.reasons, **choice.reasons},
                warnings=(*whole.warnings, *choice.warnings),
            )
        return whole


def _nights_to_decide(feed: Feed, nights: landing.Nights, days: set[date]) -> list[date]:
    """Give the nights on which something may have to be decided: all where a file is due each night."""
    if feed.required:
        return [nights.first + timedelta(days=n) for n in range((nights.last - nights.first).days + 1)]
    return sorted({nights.of(day) for day in days})


def _refuse_shared_keys(feeds: Sequence[Feed]) -> None:
    """Refuse two feeds that look for each other's keys night by night, which one feed at a time cannot."""
    feed_of: dict[tuple[str, str], Feed] = {}
    for feed in feeds:
        for table in feed.tables:
            if contract(table).shape != "fact" or not feed.dedupe_window(table):
                continue
            other = feed_of.setdefault((feed.source, table), feed)
            if other is not feed:
                raise InputInvalid(
                    f"feeds '{other.feed}' and '{feed.feed}' of one source both fill {table} and look for each other's "
                    "duplicates; load their history in order with `cdp backfill --from … --to …`"
                )


def _take(lake: Lake, work: FeedWork) -> FeedResult:
    feed = work.feed

    def land() -> None:
        lake.take_files(feed.landing_table, work.records.staged_files(work.nights))

    return write_feed(lake, work, land, lambda judgement, table: _write_table(lake, work, judgement, table))


def _write_table(lake: Lake, work: FeedWork, judgement: Judgement, table: TableMap) -> None:
    feed = work.feed
    if table.contract.shape == "state":
        states_on = sorted({work.nights.of(file.business_date) for file in work.choice.load})
        mode: Literal["snapshot", "delta"] = "snapshot" if feed.mode == "snapshot" else "delta"
        rows = judgement.accepted_rows(table).read_all().drop_columns(["_feed"])
        lake.load_states(table.name, rows, feed=feed.feed, nights=states_on, mode=mode)
    else:
        lake.take_files(table.name, judgement.accepted_files(table, work.folder / f"accepted{table.index}"))
