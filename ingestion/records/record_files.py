"""A feed's records of one pass on disk: read once, as Parquet, in the very form in which landing keeps them.

Below a folder, by business date: ``whole`` has the records that could be split, with the columns of the feed's landing
table, so that these files become the table's own; ``broken`` has the place, problem and raw text of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.feeds.feeds import Feed
from ingestion.records import EXTRA, FILE, PROBLEM, RAW, ROW
from ingestion.records.landing import ARRIVED_ON, BUSINESS_DATE, FEED, Nights, landing_contract, landing_names
from lakehouse.query.files import parquet_call
from lakehouse.query.words import identifier, literal
from lakehouse.tables.staged_files import StagedFile

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BROKEN_SCHEMA = pa.schema(
    [(FILE, pa.string()), (ROW, pa.int64()), (PROBLEM, pa.string()), (RAW, pa.string())]
)
# A column gets a dictionary where at most this share of its values among the first records are different.
LARGEST_DISTINCT_RATIO, FIRST_RECORDS = 0.2, 5_000


def whole_schema(feed: Feed) -> pa.Schema:
    """Give the schema of the files in ``whole``: the landing table's but for the column that partitions it."""
    schema = landing_contract(feed).arrow_schema()
    return schema.remove(schema.get_field_index(ARRIVED_ON))


def numbered_column(position: int) -> str:
    """Give the name of a delivered column in ``RecordFiles.sql``, by its position in the feed."""
    return f"c{position}"


def numbered_columns(feed: Feed) -> list[str]:
    """Give the names of all delivered columns in ``RecordFiles.sql``."""
    return [numbered_column(position) for position in range(len(feed.columns))]


@dataclass(frozen=True)
class RecordFiles:
    """The records of ``feed`` below ``folder``."""

    feed: Feed
    folder: Path

    @property
    def whole_folder(self) -> Path:
        """Where the records lie that could be split."""
        return self.folder / "whole"

    @property
    def broken_folder(self) -> Path:
        """Where the others lie."""
        return self.folder / "broken"

    @contextmanager
    def writer(self, name: str, path: str, business_date: date) -> Iterator[RecordWriter]:
        """Give what writes the records of one delivered file, ``path`` in the inbox, into files called ``name``."""
        day = f"{BUSINESS_DATE}={business_date}"
        with RecordWriter(
            self.feed, path, self.whole_folder / day / name, self.broken_folder / day / name
        ) as writer:
            yield writer

    def discard(self, name: str, business_date: date) -> None:
        """Take away what was written of one delivered file."""
        for folder in (self.whole_folder, self.broken_folder):
            (folder / f"{BUSINESS_DATE}={business_date}" / name).unlink(missing_ok=True)

    def whole_files(self) -> list[tuple[Path, date]]:
        """Give the files of split records with their business dates."""
        return [(file, _business_date(file)) for file in sorted(self.whole_folder.rglob("*.parquet"))]

    def count(self) -> int:
        """Give the number of records, broken ones included."""
        return sum(pq.read_metadata(file).num_rows for file in self.folder.rglob("*.parquet"))

    def staged_files(self, nights: Nights) -> list[StagedFile]:
        """Give the files as those of the landing table."""
        return [
            StagedFile(file, {ARRIVED_ON: nights.of(business_date)})
            for file, business_date in self.whole_files()
        ]

    def sql(self, nights: Nights) -> str:
        """Give DuckDB SQL of all records, one row each; ``_file, _row`` is their key.

        Columns: place (``_file, _business_date, _row``), ``_problem``, ``_raw``, the delivered columns by number
        (``numbered_columns``), so that any delivered name will do, ``_extra`` and ``_night``.
        """
        names, numbers = landing_names(self.feed), numbered_columns(self.feed)
        place = [FILE, BUSINESS_DATE, ROW]
        nothing = [f"NULL::VARCHAR AS {name}" for name in (PROBLEM, RAW)]
        values = [
            f"{identifier(names[name])} AS {number}"
            for name, number in zip(self.feed.columns, numbers, strict=True)
        ]
        columns = ", ".join([*place, *nothing, *values, EXTRA])
        parts = [f"SELECT {columns} FROM {_parquet(self.whole_folder)}"]
        if any(self.broken_folder.rglob("*.parquet")):
            empty = [f"NULL::VARCHAR AS {name}" for name in (*numbers, EXTRA)]
            columns = ", ".join([*place, PROBLEM, RAW, *empty])
            parts.append(f"SELECT {columns} FROM {_parquet(self.broken_folder)}")
        return f"SELECT *, {nights.sql} AS _night FROM ({' UNION ALL '.join(parts)})"

    def export_sql(self, records: str) -> str:
        """Give the DuckDB statement that writes records with the columns of ``sql`` into ``whole``."""
        names, numbers = landing_names(self.feed), numbered_columns(self.feed)
        values = [
            f"{number} AS {identifier(names[name])}"
            for name, number in zip(self.feed.columns, numbers, strict=True)
        ]
        feed = f"{literal(self.feed.feed)} AS {FEED}"
        columns = ", ".join([*values, EXTRA, feed, FILE, ROW, BUSINESS_DATE])
        form = f"(FORMAT parquet, PARTITION_BY ({BUSINESS_DATE}))"
        return f"COPY (SELECT {columns} FROM ({records})) TO {literal(self.whole_folder)} {form}"

    def frame(self, spark: SparkSession, nights: Nights) -> DataFrame:
        """Give the records with the delivered columns under their own names, and ``_night``."""
        from pyspark.sql.pandas.types import from_arrow_schema

        names = landing_names(self.feed)
        day = pa.field(BUSINESS_DATE, pa.date32())

        def read(folder: Path, schema: pa.Schema) -> DataFrame:
            if not folder.is_dir():
                return spark.createDataFrame([], from_arrow_schema(schema.append(day)))
            return spark.read.schema(from_arrow_schema(schema.append(day))).parquet(str(folder))

        place = [FILE, BUSINESS_DATE, f"{nights.sql} as _night", ROW]
        nothing = [f"cast(null as string) as {name}" for name in (PROBLEM, RAW)]
        values = [f"`{names[name]}` as `{name}`" for name in self.feed.columns]
        whole = read(self.whole_folder, whole_schema(self.feed)).selectExpr(*place, *nothing, *values)
        if not self.broken_folder.is_dir():
            return whole
        empty = [f"cast(null as string) as `{name}`" for name in self.feed.columns]
        return whole.unionAll(
            read(self.broken_folder, BROKEN_SCHEMA).selectExpr(*place, PROBLEM, RAW, *empty)
        )


class RecordWriter:
    """Writes the records of one delivered file; there is a file of split records even if there are none."""

    def __init__(self, feed: Feed, path: str, whole_file: Path, broken_file: Path) -> None:
        self._feed, self._path = feed, path
        self._whole_file, self._broken_file = whole_file, broken_file
        self._schema = whole_schema(feed)
        self._names = landing_names(feed)
        self._whole: pq.ParquetWriter | None = None
        self._broken: pq.ParquetWriter | None = None

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._whole is None:
            self._open_whole([])
        for writer in (self._whole, self._broken):
            if writer is not None:
                writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch of ``record_schema``."""
        problem = batch.column(PROBLEM)
        if problem.null_count < batch.num_rows:
            self._write_broken(batch.filter(pc.is_valid(problem)))
            batch = batch.filter(pc.is_null(problem))
        if not batch.num_rows:
            return
        if self._whole is None:
            self._open_whole(_repetitive_columns(batch.select(self._feed.columns), self._names))
        assert self._whole is not None
        columns = {self._names[name]: batch.column(name) for name in self._feed.columns}
        columns |= {name: batch.column(name) for name in (EXTRA, ROW)}
        columns |= {
            FILE: pa.repeat(pa.scalar(self._path), batch.num_rows),
            FEED: pa.repeat(pa.scalar(self._feed.feed), batch.num_rows),
        }
        self._whole.write_batch(
            pa.record_batch([columns[name] for name in self._schema.names], schema=self._schema)
        )

    def _open_whole(self, repetitive: Sequence[str]) -> None:
        self._whole_file.parent.mkdir(parents=True, exist_ok=True)
        self._whole = pq.ParquetWriter(
            self._whole_file,
            self._schema,
            compression="snappy",
            use_dictionary=[FILE, FEED, EXTRA, *repetitive],
            write_statistics=[FILE, FEED, ROW],
            store_schema=False,
        )

    def _write_broken(self, batch: pa.RecordBatch) -> None:
        if self._broken is None:
            self._broken_file.parent.mkdir(parents=True, exist_ok=True)
            self._broken = pq.ParquetWriter(self._broken_file, BROKEN_SCHEMA)
        path = pa.repeat(pa.scalar(self._path), batch.num_rows)
        columns = [path, *(batch.column(name) for name in (ROW, PROBLEM, RAW))]
        self._broken.write_batch(pa.record_batch(columns, schema=BROKEN_SCHEMA))


def _repetitive_columns(batch: pa.RecordBatch, names: dict[str, str]) -> list[str]:
    first = batch.slice(0, FIRST_RECORDS)
    most = LARGEST_DISTINCT_RATIO * first.num_rows
    return [
        names[name] for name in first.schema.names if pc.count_distinct(first.column(name)).as_py() <= most
    ]


def _business_date(file: Path) -> date:
    return date.fromisoformat(file.parent.name.partition("=")[2])


def _parquet(folder: Path) -> str:
    options = f"hive_partitioning = true, hive_types = {{'{BUSINESS_DATE}': DATE}}"
    return parquet_call(sorted(folder.rglob("*.parquet")), options)
