"""What a sample file would become, without writing anything: for whoever onboards a source."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ingestion.feeds.feeds import Feed
from ingestion.inbox.archives import is_archive
from ingestion.inbox.inbox import DeliveredFile, find_files, newest_member
from ingestion.judging import judging
from ingestion.judging.faults import require_engine
from ingestion.judging.lookups import records_with_lookups
from ingestion.judging.mapping import is_exact
from ingestion.nights import books
from ingestion.nights.work import map_into_parquet
from ingestion.onboarding.masking import masked_text
from ingestion.onboarding.suggestions import fillable_tables, suggestions
from ingestion.records import reading
from ingestion.records.landing import Nights
from ingestion.records.record_files import RecordFiles
from lakehouse.errors import InputInvalid
from lakehouse.settings.optional_files import require_ordinary
from lakehouse.settings.settings import Settings

MASKED_LEVELS = ("C2", "C3")


@dataclass(frozen=True)
class TableSample:
    """Mapped rows of one table (column → value) and what became of the sample's records there."""

    table: str
    rows: list[dict[str, Any]]
    load: books.Load


@dataclass(frozen=True)
class Sample:
    """What a sample became: mapped rows per table, refused records, values left empty, columns nobody asked for.

    ``left_empty`` counts values of optional columns that could not be kept, by reason and column.
    """

    path: str
    counts: books.FeedCounts
    tables: list[TableSample]
    refused: list[dict[str, Any]]
    extra_columns: tuple[str, ...] = ()
    unseen_columns: tuple[str, ...] = ()
    unmapped_columns: tuple[str, ...] = field(default=())
    left_empty: tuple[dict[str, Any], ...] = ()
    suggestions: tuple[str, ...] = field(default=())

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)


def newest_file(feed: Feed, settings: Settings) -> Path:
    """Give the newest delivered file of a feed (or the archive it is in), for a check without a named sample."""
    files, _ = find_files(feed, settings.inbox, until=date.max)
    if not files:
        raise InputInvalid(f"the inbox holds no file of feed '{feed.feed}' yet; name a sample with --file")
    if files[-1].fault is not None:
        raise InputInvalid(files[-1].fault, file=files[-1].path)
    return files[-1].location


def check_sample(
    settings: Settings, feed: Feed, path: Path, *, rows: int = 10, show_values: bool = False
) -> Sample:
    """Read and map ``path`` as the feed says; give up to ``rows`` rows per table, personal values masked.

    Duplicates are looked for in the sample only. A file without a business date of its own counts as of 2000-01-01.
    """
    require_ordinary(path)
    if not path.is_file():
        raise InputInvalid("the sample file does not exist", file=path)
    require_engine(settings, [feed])
    file = _as_delivered(feed, path)
    with tempfile.TemporaryDirectory(prefix="cdp-feeds-check-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        readings = reading.read_files(RecordFiles(feed, folder / "records"), [file])
        fault = readings[0].fault
        if fault is not None:
            raise InputInvalid(fault, file=file.path)
        judgement = stack.enter_context(closing(_judge(settings, feed, folder)))
        book = books.count_records(judgement, readings)
        loads = {load.table_name: load for load in book.loads}
        tables = []
        for table in judgement.maps:
            first_rows = judgement.first_accepted_rows(table, rows).drop_columns(["_feed", "_arrived_on"])
            masked = (
                set()
                if show_values
                else {c.name for c in table.contract.columns.values() if c.level in MASKED_LEVELS}
            )
            tables.append(
                TableSample(
                    table.name,
                    [_masked_row(row, masked) for row in first_rows.to_pylist()],
                    loads[table.name],
                )
            )
        refused_rows = [
            {**row, "raw_text": row["raw_text"] if show_values else masked_text(row["raw_text"])}
            for row in book.refused_rows[:rows]
        ]
    return Sample(
        path=str(path),
        counts=book.feed_counts(),
        tables=tables,
        refused=refused_rows,
        extra_columns=readings[0].extra_columns,
        unseen_columns=readings[0].unseen_columns,
        unmapped_columns=_unmapped(feed),
        left_empty=tuple(book.lost_values),
        suggestions=_hints(feed, (*readings[0].extra_columns, *_unmapped(feed))),
    )


def _as_delivered(feed: Feed, path: Path) -> DeliveredFile:
    """Give the sample as if it had been delivered; of an archive the newest member the feed reads."""
    if feed.files.member is not None and is_archive(path):
        return newest_member(feed, path)
    day = feed.files.business_date or _day_in(path)
    return DeliveredFile(feed.feed, path.name, path, day, "", path.stat().st_size)


def _day_in(path: Path) -> date:
    """Give the day a sample's path tells, or a fixed day of the past."""
    days = re.findall(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)", str(path))
    return date.fromisoformat(days[-1]) if days else date(2000, 1, 1)


def _judge(settings: Settings, feed: Feed, folder: Path) -> judging.Judgement:
    nights, zone = Nights(date.max, date.max), settings.time_zone

    def by_spark(records: RecordFiles, into: Path, text: Sequence[str]) -> None:
        from lakehouse.session.session import start_session

        map_into_parquet(start_session(settings), records, into, nights, text=text)

    careful = None if is_exact(feed, zone) else by_spark
    files = None
    if feed.lookup_uses:
        files = records_with_lookups(
            feed, RecordFiles(feed, folder / "records"), folder / "joined", nights, settings
        )
    return judging.judge_records(
        feed,
        folder,
        nights,
        by_spark=careful,
        zone=zone,
        currency=settings.currency,
        earlier_keys={},
        record_files=files,
    )


def _unmapped(feed: Feed) -> tuple[str, ...]:
    """Give the named columns that no expression reads."""
    from lakehouse.expressions.expression import parse_expression

    texts = [rule.refuse_when for rule in feed.row_rules]
    for target in feed.targets:
        texts += [text for entry in target.entries for text in entry.values()]
        texts += [target.where] if target.where else []
    names_read = {name.lower() for text in texts for name in parse_expression(text).columns}
    return tuple(name for name in feed.columns if name.lower() not in names_read)


def _hints(feed: Feed, names: tuple[str, ...]) -> tuple[str, ...]:
    """Give, for delivered columns nobody reads, what they may be, as sentences."""
    columns = {f"{t.table}.{name}" for t in feed.targets for entry in t.entries for name in entry}
    hints = suggestions(names, feed.tables or fillable_tables(), columns_in_use=columns)
    return tuple(f"'{s.source_name}' may be {s.meaning}" for s in hints)


def _masked_row(row: dict[str, Any], masked: set[str]) -> dict[str, Any]:
    values = {
        name: value for name, value in row.items() if value is not None and name not in ("_file", "_row")
    }
    return {name: masked_text(value) if name in masked else value for name, value in values.items()}
