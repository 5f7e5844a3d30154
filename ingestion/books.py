"""The books of ingestion: what became of every delivered record, per file and table, and the ledger of files.

Conservation: per file and table, delivered = accepted + refused + exact duplicates + key duplicates + excluded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from ingestion.feeds import Feed
from ingestion.files import LedgerRow
from ingestion.landing import FileReading, layout_of
from ingestion.mapping import TableMap, table_maps
from ingestion.records import raw_texts
from lakehouse.contracts import contract
from lakehouse.errors import ContractBroken

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake import Lake

LEDGER, LOADS, REFUSED = "landing.files", "landing.loads", "quality.refused_rows"


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
    """The loads of a feed's night and its refused records."""

    loads: list[Load] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def feed_counts(self) -> FeedCounts:
        """Give the feed's counts in records, by the first table it fills."""
        if not self.loads:
            return FeedCounts()
        first = [load for load in self.loads if load.table_name == self.loads[0].table_name]
        entries = first[0].entries
        delivered = sum(load.delivered for load in first) // entries
        refused = sum(load.refused for load in first) // entries
        twins = sum(load.exact_duplicates for load in first) // entries
        keys = sum(load.key_duplicates for load in first) if entries == 1 else 0
        return FeedCounts(delivered, delivered - refused - twins - keys, refused, twins + keys)


def count_records(feed: Feed, folder: Path, readings: Sequence[FileReading]) -> Book:
    """Count what became of every record; a sum that does not balance is a bug and raises ``ContractBroken``."""
    judged = ds.dataset(folder / "judged", format="parquet")
    maps = table_maps(feed)
    single = [table for table in maps if table.is_single]
    flags = [name for table in single for name in (f"in{table.index}_0", f"dup{table.index}")]
    rows = judged.to_table(columns=["_file", "_row", "_raw", "reasons", "is_twin", *flags])
    is_refused = pc.greater(pc.list_value_length(rows["reasons"]), 0)
    book = Book()
    for reading in readings:
        here = pc.equal(rows["_file"], reading.file.path)
        if _count(here) != reading.records:
            raise ContractBroken(
                f"{reading.file.path}: {reading.records} records were read but {_count(here)} were judged"
            )
        refused = _count(pc.and_(here, is_refused))
        twins = _count(pc.and_(here, rows["is_twin"]))
        if not maps:
            kept = reading.records - refused - twins
            book.loads.append(
                Load(reading.file.path, feed.landing_table, 1, reading.records, kept, refused, twins, 0, 0)
            )
        for table in maps:
            n = len(table.entries)
            ok = pc.and_not(pc.and_not(here, is_refused), rows["is_twin"])
            if table.is_single:
                inside = pc.and_(ok, rows[f"in{table.index}_0"])
                emitted, doubled = _count(inside), _count(pc.and_(inside, rows[f"dup{table.index}"]))
            else:
                made = ds.dataset(folder / f"rows{table.index}", format="parquet")
                of_file = ds.field("_file") == reading.file.path
                emitted, doubled = (
                    made.count_rows(filter=of_file),
                    made.count_rows(filter=of_file & ds.field("dup")),
                )
            load = Load(
                path=reading.file.path,
                table_name=table.name,
                entries=n,
                delivered=reading.records * n,
                accepted=emitted - doubled,
                refused=refused * n,
                exact_duplicates=twins * n,
                key_duplicates=doubled,
                excluded=_count(ok) * n - emitted,
            )
            _balanced(load)
            book.loads.append(load)
    book.refused = _refused(feed, rows.filter(is_refused), readings)
    return book


def _balanced(load: Load) -> None:
    parts = (load.accepted, load.refused, load.exact_duplicates, load.key_duplicates, load.excluded)
    if load.delivered != sum(parts) or min(parts) < 0:
        raise ContractBroken(
            f"the books of {load.path} for {load.table_name} do not balance: {load.delivered} delivered, "
            f"{' + '.join(map(str, parts))} accounted for"
        )


def check_written(lake: Lake, feed: Feed, book: Book, business_date: date) -> None:
    """Compare what fact tables now hold of this night with what the books say was accepted."""
    for table in table_maps(feed):
        if table.contract.shape != "fact":
            continue
        filters = [("_arrived_on", "=", business_date), ("_feed", "=", feed.feed)]
        held = lake.read_arrow(table.name, columns=["_row"], filters=filters).num_rows
        accepted = sum(load.accepted for load in book.loads if load.table_name == table.name)
        if held != accepted:
            raise ContractBroken(
                f"{table.name} holds {held} rows of {feed.feed} for this night, {accepted} were accepted"
            )


def _refused(feed: Feed, rows: pa.Table, readings: Sequence[FileReading]) -> list[dict[str, Any]]:
    """Give the refused records with their raw text; the files are read again for those that could be split."""
    found = rows.select(["_file", "_row", "_raw", "reasons"]).to_pylist()
    whole: dict[str, list[int]] = defaultdict(list)
    for row in found:
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
        for row in sorted(found, key=lambda r: (r["_file"], r["_row"]))
    ]


def accepted_frame(spark: SparkSession, table: TableMap, folder: Path) -> DataFrame:
    """Give the accepted rows of a table as a Spark frame: the contract's business columns, ``_file``, ``_row``."""
    k = table.index
    if not table.is_single:
        rows = spark.read.parquet(str(folder / f"rows{k}")).where("not dup")
        return rows.select("m.*", "_file", "_row")
    judged = spark.read.parquet(str(folder / "judged"))
    rows = judged.where(f"size(reasons) = 0 and not is_twin and in{k}_0 and not dup{k}")
    return rows.select(f"m{k}_0.*", "_file", "_row")


def accepted_arrow(table: TableMap, folder: Path, constants: dict[str, Any]) -> pa.Table:
    """Give the accepted rows of a table as an Arrow table, without the JVM.

    It has the contract's columns as far as the feed or ``constants`` give them; for states the validity is not here.
    """
    k = table.index
    if table.is_single:
        names = ["_file", "_row", f"m{k}_0", f"in{k}_0", f"dup{k}", "is_twin", "reasons"]
        rows = ds.dataset(folder / "judged", format="parquet").to_table(columns=names)
        ok = pc.and_(pc.equal(pc.list_value_length(rows["reasons"]), 0), rows[f"in{k}_0"])
        rows = rows.filter(pc.and_not(pc.and_not(ok, rows["is_twin"]), rows[f"dup{k}"]))
        packed = rows[f"m{k}_0"]
    else:
        rows = ds.dataset(folder / f"rows{k}", format="parquet").to_table(filter=~ds.field("dup"))
        packed = rows["m"]
    columns = {"_file": rows["_file"], "_row": rows["_row"]}
    columns |= {name: pa.repeat(pa.scalar(value), rows.num_rows) for name, value in constants.items()}
    for name in table.contract.business_columns:
        columns[name] = pc.struct_field(packed, name)
    fields = [f for f in table.contract.arrow_schema() if f.name in columns]
    return pa.table({f.name: columns[f.name] for f in fields}).cast(pa.schema(fields))


def write_books(lake: Lake, feed: Feed, book: Book, business_date: date) -> None:
    """Write the loads and the refused records of a feed's night, in place of an earlier attempt's."""
    for table, rows in ((LOADS, [asdict(load) for load in book.loads]), (REFUSED, book.refused)):
        told = [{**row, "feed": feed.feed, "arrived_on": business_date} for row in rows]
        made = pa.Table.from_pylist(told, schema=contract(table).arrow_schema())
        lake.replace_partition(table, made, arrived_on=business_date, feed=feed.feed)


def read_ledger(lake: Lake) -> dict[str, list[LedgerRow]]:
    """Give the ledger of files by feed."""
    known: dict[str, list[LedgerRow]] = defaultdict(list)
    if lake.exists(LEDGER):
        for row in lake.read_arrow(LEDGER).to_pylist():
            extra = row.pop("extra_columns")
            known[row["feed"]].append(
                LedgerRow(**row, extra_columns=tuple(extra) if extra is not None else None)
            )
    return known


def write_ledger(lake: Lake, rows: Sequence[LedgerRow], feeds: Sequence[str], business_date: date) -> None:
    """Write what the night met of ``feeds``, in place of an earlier attempt's entries for them."""
    told = [
        {**asdict(row), "extra_columns": list(row.extra_columns) if row.extra_columns is not None else None}
        for row in rows
    ]
    if not rows and business_date not in {
        row.arrived_on for known in read_ledger(lake).values() for row in known
    }:
        return
    kept = [
        row
        for row in lake.read_arrow(LEDGER, filters=[("arrived_on", "=", business_date)]).to_pylist()
        if row["feed"] not in feeds
    ]
    made = pa.Table.from_pylist([*kept, *told], schema=contract(LEDGER).arrow_schema())
    lake.replace_partition(LEDGER, made, arrived_on=business_date)


def _count(mask: Any) -> int:
    return pc.sum(mask).as_py() or 0
