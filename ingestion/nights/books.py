"""The books of ingestion: what became of every delivered record, per file and table, and the ledger of files.

Conservation: per file and table, delivered = accepted + refused + exact duplicates + key duplicates + excluded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingestion.feeds.feeds import Feed
from ingestion.inbox.files import Choice, LedgerRow
from ingestion.judging.judging import FileCounts, Judgement
from ingestion.judging.mapping import table_maps
from ingestion.records import raw_texts
from ingestion.records.landing import Nights
from ingestion.records.reading import FileReading, layout_of
from lakehouse.contracts.reading import contract
from lakehouse.errors import ContractBroken

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

LEDGER, LOADS, REFUSED = "landing.files", "landing.loads", "quality.refused_rows"
LOST = "quality.lost_values"
OF_RECORDS = (REFUSED, LOST)


@dataclass(frozen=True)
class FeedCounts:
    """Records of a feed's files: delivered = accepted + refused + duplicates.

    A duplicate repeats another record to the letter, or its key in the first table the feed fills.
    """

    delivered: int = 0
    accepted: int = 0
    refused: int = 0
    duplicates: int = 0

    def as_dict(self) -> dict[str, int]:
        """Give the counts by name."""
        return asdict(self)

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.as_dict().items())


@dataclass(frozen=True)
class Load:
    """What became of one file's records in one table; counted in entries (rows a record may become there)."""

    path: str
    table_name: str
    entries: int
    delivered: int
    accepted: int
    refused: int
    exact_duplicates: int
    key_duplicates: int
    excluded: int


@dataclass
class Book:
    """The loads of a feed's night, its refused records, and the values that were left empty, counted."""

    loads: list[Load] = field(default_factory=list)
    refused_rows: list[dict[str, Any]] = field(default_factory=list)
    lost_values: list[dict[str, Any]] = field(default_factory=list)

    def feed_counts(self) -> FeedCounts:
        """Give the feed's counts in records, by the first table it fills."""
        if not self.loads:
            return FeedCounts()
        first = [load for load in self.loads if load.table_name == self.loads[0].table_name]
        entries = first[0].entries
        records = sum(load.delivered for load in first) // entries
        refused_records = sum(load.refused for load in first) // entries
        twins = sum(load.exact_duplicates for load in first) // entries
        keys = sum(load.key_duplicates for load in first) if entries == 1 else 0
        return FeedCounts(records, records - refused_records - twins - keys, refused_records, twins + keys)


def count_records(judgement: Judgement, readings: Sequence[FileReading]) -> Book:
    """Count what became of every record; a sum that does not balance is a bug and raises ``ContractBroken``."""
    feed, maps = judgement.feed, judgement.maps
    counts_of = judgement.counts()
    book = Book()
    for reading in readings:
        path = reading.file.path
        counts = counts_of.get(path, FileCounts())
        if counts.records != reading.records:
            raise ContractBroken(
                f"{path}: {reading.records} records were read but {counts.records} were judged"
            )
        if not maps:
            accepted_records = reading.records - counts.refused_records - counts.twins
            book.loads.append(
                Load(
                    path,
                    feed.landing_table,
                    1,
                    reading.records,
                    accepted_records,
                    counts.refused_records,
                    counts.twins,
                    0,
                    0,
                )
            )
        for table in maps:
            n = len(table.entries)
            rows, repeated = counts.rows[table.index], counts.repeated_rows[table.index]
            load = Load(
                path=path,
                table_name=table.name,
                entries=n,
                delivered=reading.records * n,
                accepted=rows - repeated,
                refused=counts.refused_records * n,
                exact_duplicates=counts.twins * n,
                key_duplicates=repeated,
                excluded=counts.without_fault * n - rows,
            )
            _check_balance(load)
            book.loads.append(load)
    book.refused_rows = _refused_rows(feed, judgement.refused_rows(), readings)
    for path, loss, value_count in judgement.losses():
        reason, _, name = loss.partition(":")
        table_name, _, column_name = name.rpartition(".")
        book.lost_values.append(
            {
                "path": path,
                "table_name": table_name,
                "column_name": column_name,
                "reason": reason,
                "value_count": value_count,
            }
        )
    return book


def loss_warnings(feed: Feed, book: Book, record_count: int) -> list[str]:
    """Say which optional columns were left empty in more records than the feed finds usual."""
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for value in book.lost_values:
        counts[value["table_name"], value["column_name"], value["reason"]] += value["value_count"]
    return [
        f"feed '{feed.feed}': {count} of {record_count} values of {table}.{column} cannot be kept ({reason}) and are empty"
        for (table, column, reason), count in sorted(counts.items())
        if count > feed.unreadable.warn_above * record_count
    ]


def check_files(choice: Choice, readings: Sequence[FileReading], book: Book | None) -> None:
    """Hold the files a night decided on against what it read: one that is taken is in the books, one that is refused is not."""
    paths = {reading.file.path for reading in readings}
    unread = {file.path for file, status in choice.decisions if status != "loaded"} & paths
    missing = {file.path for file, status in choice.decisions if status == "loaded"} - paths
    booked = {load.path for load in book.loads} if book else set()
    for path in sorted((unread - {file.path for file in choice.load}) | missing | (paths ^ booked)):
        raise ContractBroken(
            f"the books of {path} do not balance: what was read of it is not what was decided"
        )


def _check_balance(load: Load) -> None:
    parts = (load.accepted, load.refused, load.exact_duplicates, load.key_duplicates, load.excluded)
    if load.delivered != sum(parts) or min(parts) < 0:
        raise ContractBroken(
            f"the books of {load.path} for {load.table_name} do not balance: {load.delivered} delivered, "
            f"{' + '.join(map(str, parts))} accounted for"
        )


def check_written(lake: Lake, feed: Feed, book: Book, nights: Nights) -> None:
    """Compare what fact tables now hold of these nights with what the books say was accepted."""
    for table in table_maps(feed):
        if table.contract.shape != "fact":
            continue
        filters = [
            ("_arrived_on", ">=", nights.first),
            ("_arrived_on", "<=", nights.last),
            ("_feed", "=", feed.feed),
        ]
        row_count = lake.read_arrow(table.name, columns=["_row"], filters=filters).num_rows
        accepted_rows = sum(load.accepted for load in book.loads if load.table_name == table.name)
        if row_count != accepted_rows:
            raise ContractBroken(
                f"{table.name} holds {row_count} rows of {feed.feed} for what was loaded now, {accepted_rows} were accepted"
            )


def _refused_rows(
    feed: Feed, rows: list[dict[str, Any]], readings: Sequence[FileReading]
) -> list[dict[str, Any]]:
    """Give the refused records with their raw text; the files are read again for those that could be split."""
    whole: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        if row["_raw"] is None:
            whole[row["_file"]].append(row["_row"])
    layout, texts = layout_of(feed), {}
    for reading in readings:
        if whole.get(reading.file.path):
            width = (len(feed.columns) + len(reading.extra_columns)) if feed.format.type == "csv" else None
            texts[reading.file.path] = raw_texts(
                reading.file.location, layout, whole[reading.file.path], width=width
            )
    return [
        {
            "feed": feed.feed,
            "path": row["_file"],
            "row_number": row["_row"],
            "raw_text": row["_raw"] if row["_raw"] is not None else texts[row["_file"]].get(row["_row"]),
            "reasons": row["reasons"],
        }
        for row in rows
    ]


def write_books(
    lake: Lake, books: Mapping[str, tuple[Book, Mapping[str, date]]], feeds: Sequence[str], nights: Nights
) -> None:
    """Write the loads, refused records and lost values of ``feeds``, in place of an earlier attempt's, in one commit a table.

    ``books`` gives by feed its book and the night each file arrived on. A history has no earlier attempt, so it is added.
    """
    for table in (LOADS, REFUSED, LOST):
        rows = []
        for feed, (book, night_of) in books.items():
            entries = {
                LOADS: [asdict(load) for load in book.loads],
                REFUSED: book.refused_rows,
                LOST: book.lost_values,
            }[table]
            rows += [{**row, "feed": feed, "arrived_on": night_of[row["path"]]} for row in entries]
        _replace(lake, table, rows, feeds, nights)


def _replace(
    lake: Lake, table: str, rows: list[dict[str, Any]], feeds: Sequence[str], nights: Nights
) -> None:
    """Put rows of ``feeds`` in place of those an earlier attempt of the night entered for them; others stay."""
    if nights.is_history:
        lake.append_rows(table, rows)
        return
    if not feeds:
        return
    night, schema = nights.last, contract(table).arrow_schema()
    others = lake.read_arrow(table, filters=[("arrived_on", "=", night), ("feed", "not in", list(feeds))])
    new = pa.Table.from_pylist(rows, schema=schema)
    lake.replace_partition(
        table, pa.concat_tables([others.select(schema.names).cast(schema), new]), arrived_on=night
    )


def read_ledger(lake: Lake) -> dict[str, list[LedgerRow]]:
    """Give the ledger of files by feed."""
    ledger: dict[str, list[LedgerRow]] = defaultdict(list)
    if lake.exists(LEDGER):
        for row in lake.read_arrow(LEDGER).to_pylist():
            extra = row.pop("extra_columns")
            ledger[row["feed"]].append(
                LedgerRow(**row, extra_columns=tuple(extra) if extra is not None else None)
            )
    return ledger


def write_ledger(lake: Lake, rows: Sequence[LedgerRow], feeds: Sequence[str], nights: Nights) -> None:
    """Write what the nights met of ``feeds``, in place of an earlier attempt's entries for them."""
    _replace(lake, LEDGER, [_as_row(row) for row in rows], feeds, nights)


def _as_row(row: LedgerRow) -> dict[str, Any]:
    return {**asdict(row), "extra_columns": None if row.extra_columns is None else list(row.extra_columns)}
