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
from lakehouse.tables.staged_files import StagedFile

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BROKEN_SCHEMA = pa.schema(
    [(FILE, pa.string()), (ROW, pa.int64()), (PROBLEM, pa.string()), (RAW, pa.string())]
)
# A dictionary is kept for columns whose values return; by the share of different ones among the first records.
RETURNING, FIRST = 0.2, 5_000


def whole_schema(feed: Feed) -> pa.Schema:
    """Give the schema of the files in ``whole``: the landing table's but for the column that partitions it."""
    schema = landing_contract(feed).arrow_schema()
    return schema.remove(schema.get_field_index(ARRIVED_ON))


@dataclass(frozen=True)
class RecordFiles:
    """The records of ``feed`` below ``folder``."""

    feed: Feed
    folder: Path

    @property
    def whole(self) -> Path:
        """Where the records lie that could be split."""
        return self.folder / "whole"

    @property
    def broken(self) -> Path:
        """Where the others lie."""
        return self.folder / "broken"

    @contextmanager
    def writer(self, name: str, path: str, business_date: date) -> Iterator[RecordWriter]:
        """Give what writes the records of one delivered file, known as ``path``, into files called ``name``."""
        day = f"{BUSINESS_DATE}={business_date}"
        with RecordWriter(self.feed, path, self.whole / day / name, self.broken / day / name) as made:
            yield made

    def whole_files(self) -> list[tuple[Path, date]]:
        """Give the files of split records with their business dates."""
        return [(file, _business_date(file)) for file in sorted(self.whole.rglob("*.parquet"))]

    def count(self) -> int:
        """Give the number of records, broken ones included."""
        return sum(pq.read_metadata(file).num_rows for file in self.folder.rglob("*.parquet"))

    def staged(self, nights: Nights) -> list[StagedFile]:
        """Give the files as those of the landing table."""
        return [
            StagedFile(file, {ARRIVED_ON: nights.of(business_date)})
            for file, business_date in self.whole_files()
        ]

    def sql(self, nights: Nights) -> str:
        """Give DuckDB SQL of all records: place, ``_problem``, ``_raw``, the delivered columns as ``c0``…, ``_night``.

        Columns are numbered there, so that any delivered name will do.
        """
        names = landing_names(self.feed)
        given = [f"{_quoted(names[name])} AS c{at}" for at, name in enumerate(self.feed.columns)]
        nothing = [f"NULL::VARCHAR AS {name}" for name in (PROBLEM, RAW)]
        found = ", ".join([FILE, BUSINESS_DATE, ROW, *nothing, *given, EXTRA])
        parts = [f"SELECT {found} FROM {_parquet(self.whole)}"]
        if any(self.broken.rglob("*.parquet")):
            empty = [f"NULL::VARCHAR AS c{at}" for at in range(len(self.feed.columns))]
            found = ", ".join([FILE, BUSINESS_DATE, ROW, PROBLEM, RAW, *empty, f"NULL::VARCHAR AS {EXTRA}"])
            parts.append(f"SELECT {found} FROM {_parquet(self.broken)}")
        return f"SELECT *, {nights.sql} AS _night FROM ({' UNION ALL '.join(parts)})"

    def export_sql(self) -> tuple[str, str]:
        """Give what to select of the records of ``sql`` to have ``whole`` again, and how ``COPY`` writes it there."""
        names = landing_names(self.feed)
        given = [f"c{at} AS {_quoted(names[name])}" for at, name in enumerate(self.feed.columns)]
        columns = ", ".join([*given, EXTRA, f"'{self.feed.feed}' AS {FEED}", FILE, ROW, BUSINESS_DATE])
        return columns, f"(FORMAT parquet, PARTITION_BY ({BUSINESS_DATE}))"

    def frame(self, spark: SparkSession, nights: Nights) -> DataFrame:
        """Give the records with the delivered columns under their own names, and ``_night``."""
        from pyspark.sql.pandas.types import from_arrow_schema

        names = landing_names(self.feed)
        day = pa.field(BUSINESS_DATE, pa.date32())

        def read(folder: Path, schema: pa.Schema) -> DataFrame:
            found = from_arrow_schema(schema.append(day))
            return (
                spark.read.schema(found).parquet(str(folder))
                if folder.is_dir()
                else spark.createDataFrame([], found)
            )

        place = [FILE, BUSINESS_DATE, f"{nights.sql} as _night", ROW]
        nothing = [f"cast(null as string) as {name}" for name in (PROBLEM, RAW)]
        named = [f"`{names[name]}` as `{name}`" for name in self.feed.columns]
        whole = read(self.whole, whole_schema(self.feed)).selectExpr(*place, *nothing, *named)
        if not self.broken.is_dir():
            return whole
        empty = [f"cast(null as string) as `{name}`" for name in self.feed.columns]
        return whole.unionAll(read(self.broken, BROKEN_SCHEMA).selectExpr(*place, PROBLEM, RAW, *empty))


class RecordWriter:
    """Writes the records of one delivered file; there is a file of split records even if there are none."""

    def __init__(self, feed: Feed, path: str, whole: Path, broken: Path) -> None:
        self._feed, self._path = feed, path
        self._whole_file, self._broken_file = whole, broken
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
            self._open_whole(_returning(batch.select(self._feed.columns), self._names))
        assert self._whole is not None
        given = {self._names[name]: batch.column(name) for name in self._feed.columns}
        given |= {name: batch.column(name) for name in (EXTRA, ROW)}
        given |= {
            FILE: pa.repeat(pa.scalar(self._path), batch.num_rows),
            FEED: pa.repeat(pa.scalar(self._feed.feed), batch.num_rows),
        }
        self._whole.write_batch(
            pa.record_batch([given[name] for name in self._schema.names], schema=self._schema)
        )

    def _open_whole(self, returning: Sequence[str]) -> None:
        self._whole_file.parent.mkdir(parents=True, exist_ok=True)
        self._whole = pq.ParquetWriter(
            self._whole_file,
            self._schema,
            compression="snappy",
            use_dictionary=[FILE, FEED, EXTRA, *returning],
            write_statistics=[FILE, FEED, ROW],
            store_schema=False,
        )

    def _write_broken(self, batch: pa.RecordBatch) -> None:
        if self._broken is None:
            self._broken_file.parent.mkdir(parents=True, exist_ok=True)
            self._broken = pq.ParquetWriter(self._broken_file, BROKEN_SCHEMA)
        path = pa.repeat(pa.scalar(self._path), batch.num_rows)
        given = [path, *(batch.column(name) for name in (ROW, PROBLEM, RAW))]
        self._broken.write_batch(pa.record_batch(given, schema=BROKEN_SCHEMA))


def _returning(batch: pa.RecordBatch, names: dict[str, str]) -> list[str]:
    first = batch.slice(0, FIRST)
    most = RETURNING * first.num_rows
    return [
        names[name] for name in first.schema.names if pc.count_distinct(first.column(name)).as_py() <= most
    ]


def _business_date(file: Path) -> date:
    return date.fromisoformat(file.parent.name.partition("=")[2])


def _parquet(folder: Path) -> str:
    files = ", ".join("'" + str(file).replace("'", "''") + "'" for file in sorted(folder.rglob("*.parquet")))
    return f"read_parquet([{files}], hive_partitioning = true, hive_types = {{'{BUSINESS_DATE}': DATE}})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
