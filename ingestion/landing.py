"""Delivered files as rows of text: read once into Parquet for the night, kept as delivered in ``landing.<feed>``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.archives import unpack
from ingestion.feeds import Feed
from ingestion.inbox import DeliveredFile
from ingestion.records import BATCH_ROWS, EXTRA, FILE, PROBLEM, RAW, ROW, Layout, RecordReader, record_schema
from lakehouse.contracts import Contract, build_contract, register_contract
from lakehouse.errors import InputInvalid

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BUSINESS_DATE = "_business_date"
# On a cluster, below this size one process reads a feed faster than Spark starts its Python workers; above, one file is
# one task.
SPARK_READS_FROM_BYTES = 512 << 20
# Files of one feed that are read at the same time, where together they are this large.
FILES_AT_ONCE, SIDE_BY_SIDE_FROM_BYTES = 2, 16 << 20


@dataclass(frozen=True)
class FileReading:
    """What reading a file found: its records, broken ones included, and columns the feed does not name."""

    file: DeliveredFile
    records: int
    broken: int
    extra_columns: tuple[str, ...]
    unseen_columns: tuple[str, ...]


def layout_of(feed: Feed) -> Layout:
    """Give how the feed's records are written."""
    written = feed.format
    return Layout(
        columns=feed.columns,
        type=written.type,
        separator=written.separator,
        quote=written.quote,
        escape=written.escape,
        encoding=written.encoding,
        header=written.header,
    )


def landing_contract(feed: Feed) -> Contract:
    """Give, and make known, the contract of the feed's landing table: its delivered columns as text."""
    names = landing_names(feed)
    columns: dict[str, Any] = {
        names[name]: {
            "type": "string",
            "level": "C2",
            "description": f"'{name}' as delivered; empty text is null",
        }
        for name in feed.columns
    }
    columns[EXTRA] = {
        "type": "string",
        "level": "C2",
        "description": "JSON object of columns the feed does not name",
    }
    made = build_contract(
        {
            "table": feed.landing_table,
            "description": f"Records of feed {feed.feed} as delivered: {feed.description}",
            "grain": "one row per readable record of a file and night",
            "shape": "fact",
            "key": [FILE, ROW, "_arrived_on"],
            "owner": "data_platform",
            "columns": columns,
            "retention": {
                "days": 400,
                "why": "long enough to see what a source delivered when a figure is questioned",
            },
        },
        file=feed.file,
    )
    register_contract(made)
    return made


def landing_names(feed: Feed) -> dict[str, str]:
    """Give the landing column of each delivered column: the same name without signs Delta does not allow."""
    names: dict[str, str] = {}
    for name in feed.columns:
        safe = re.sub(r"[ ,;{}()\n\t=]", "_", name)
        while safe.lower() in {taken.lower() for taken in names.values()} or safe in (FILE, ROW, EXTRA):
            safe += "_"
        names[name] = safe
    return names


def parquet_schema(columns: Sequence[str]) -> pa.Schema:
    """Give the schema of a night's Parquet of records; columns are numbered, so that any delivered name will do."""
    given = record_schema([f"c{at}" for at in range(len(columns))])
    return pa.schema([pa.field(FILE, pa.string()), pa.field(BUSINESS_DATE, pa.date32()), *given])


def unpacked(files: Sequence[DeliveredFile], folder: Path) -> list[DeliveredFile]:
    """Give the files with every member of an archive unpacked below ``folder``, each archive read once."""
    wanted: dict[Path, list[DeliveredFile]] = {}
    for file in files:
        if file.member is not None:
            wanted.setdefault(file.location, []).append(file)
    places: dict[tuple[Path, str], Path] = {}
    for at, (archive, held) in enumerate(sorted(wanted.items())):
        names = {file.member for file in held if file.member is not None}
        placed = unpack(archive, names, folder / f"{at:05d}", name=held[0].path.partition("!")[0])
        for member in names:
            if member not in placed:
                raise InputInvalid(f"no longer holds '{member}'; have it delivered again", file=held[0].path)
        places |= {(archive, member): path for member, path in placed.items()}
    return [
        file
        if file.member is None
        else replace(file, location=places[file.location, file.member], member=None)
        for file in files
    ]


def read_files(feed: Feed, files: Sequence[DeliveredFile], folder: Path) -> list[FileReading]:
    """Read delivered files into one Parquet file each below ``folder``; give what was found.

    A file that cannot be used as a whole raises ``InputInvalid``; nothing of the lake is touched.
    """
    layout, schema = layout_of(feed), parquet_schema(feed.columns)

    def read(at: int, file: DeliveredFile) -> FileReading:
        reader = RecordReader(file.location, layout, name=file.path)
        with pq.ParquetWriter(folder / f"{at:05d}.parquet", schema, compression="snappy") as out:
            for batch in reader:
                out.write_batch(_with_file(batch, file.path, file.business_date, schema))
        return _checked(feed, file, reader)

    unpacked_files = list(enumerate(unpacked(files, folder.parent / "unpacked")))
    is_much = len(files) > 1 and sum(file.bytes for file in files) >= SIDE_BY_SIDE_FROM_BYTES
    # What reads is C++ that lets other threads run.
    with ThreadPoolExecutor(max_workers=FILES_AT_ONCE if is_much else 1) as pool:
        futures = [pool.submit(read, at, file) for at, file in unpacked_files]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def read_files_by_spark(
    spark: SparkSession, feed: Feed, files: Sequence[DeliveredFile], folder: Path
) -> list[FileReading]:
    """Do what ``read_files`` does inside Spark's workers, one file a task; the workers must see the inbox."""
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = from_arrow_schema(parquet_schema(feed.columns))
    files = unpacked(files, folder.parent / "unpacked")
    listed = [(str(file.location), file.path, file.business_date) for file in files]
    tasks = spark.createDataFrame(listed, "location string, path string, business_date date").repartition(
        len(listed)
    )
    records = tasks.mapInArrow(_SparkReader(layout_of(feed)), schema)
    records.write.mode("overwrite").parquet(str(folder))
    written = spark.read.schema(schema).parquet(str(folder))
    whole = written.where(f"{PROBLEM} like 'file:%' and {ROW} = 0").select(FILE, RAW).orderBy(FILE).first()
    if whole is not None:
        raise InputInvalid(whole[RAW], file=whole[FILE])
    counted = {
        row[FILE]: row
        for row in written.groupBy(FILE)
        .agg(F.count("*").alias("n"), F.count(PROBLEM).alias("broken"))
        .collect()
    }
    extras: dict[str, list[str]] = {}
    keys = F.explode(F.expr(f"json_object_keys({EXTRA})")).alias("key")
    for row in written.where(f"{EXTRA} is not null").select(FILE, keys).distinct().collect():
        extras.setdefault(row[FILE], []).append(row["key"])
    readings = []
    for file in files:
        found = counted.get(file.path)
        n, broken = (found["n"], found["broken"]) if found else (0, 0)
        readings.append(FileReading(file, n, broken, tuple(sorted(extras.get(file.path, []))), ()))
    return readings


class _SparkReader:
    """The record reader as ``mapInArrow`` wants it; a class, so that it is pickled by name with its layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = parquet_schema(self.layout.columns)
        for batch in batches:
            for task in batch.to_pylist():
                try:
                    for found in RecordReader(Path(task["location"]), self.layout, name=task["path"]):
                        yield _with_file(found, task["path"], task["business_date"], schema)
                except InputInvalid as wrong:
                    said = dict.fromkeys(schema.names)
                    said |= {FILE: task["path"], BUSINESS_DATE: task["business_date"], ROW: 0}
                    said |= {PROBLEM: "file: unusable", RAW: wrong.message}
                    yield pa.RecordBatch.from_pylist([said], schema=schema)


@dataclass(frozen=True)
class Nights:
    """The nights one pass takes, first to last: a file arrives on its own business date, or else on the first."""

    first: date
    last: date

    @property
    def is_history(self) -> bool:
        """Whether they are more than one."""
        return self.first < self.last

    def of(self, business_date: date) -> date:
        """Give the night that takes a file of ``business_date``."""
        return min(max(business_date, self.first), self.last)

    @property
    def sql(self) -> str:
        """Give the same as Spark SQL over ``_business_date``."""
        return f"least(greatest({BUSINESS_DATE}, date'{self.first}'), date'{self.last}')"


def records_frame(spark: SparkSession, feed: Feed, folder: Path, nights: Nights) -> DataFrame:
    """Give the records read into ``folder`` with the delivered columns under their own names, and ``_night``."""
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = from_arrow_schema(parquet_schema(feed.columns))
    named = [f"`c{at}` as `{name}`" for at, name in enumerate(feed.columns)]
    given = [FILE, BUSINESS_DATE, f"{nights.sql} as _night", ROW, PROBLEM, RAW]
    return spark.read.schema(schema).parquet(str(folder)).selectExpr(*given, *named)


def landing_rows(feed: Feed, folder: Path, nights: Nights) -> pa.RecordBatchReader:
    """Give the readable records of one or many nights as rows of the landing table, batch by batch."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    names = landing_names(feed)
    wanted = landing_contract(feed).arrow_schema()
    source = ds.dataset(folder, format="parquet", schema=parquet_schema(feed.columns))
    columns: dict[str, Any] = {names[name]: ds.field(f"c{at}") for at, name in enumerate(feed.columns)}
    columns |= {EXTRA: ds.field(EXTRA), FILE: ds.field(FILE), ROW: ds.field(ROW)}
    columns |= {"_arrived_on": ds.field(BUSINESS_DATE)}
    # One file after the other and little read ahead: the table is as large as what was delivered.
    batches = source.scanner(
        columns=columns, filter=pc.field(PROBLEM).is_null(), batch_size=BATCH_ROWS, fragment_readahead=1
    ).to_batches()
    first, last = pa.scalar(nights.first, pa.date32()), pa.scalar(nights.last, pa.date32())

    def landed() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            given = {name: batch.column(name) for name in batch.schema.names}
            given["_arrived_on"] = pc.min_element_wise(pc.max_element_wise(given["_arrived_on"], first), last)
            given["_feed"] = pa.repeat(pa.scalar(feed.feed), batch.num_rows)
            yield pa.record_batch([given[name] for name in wanted.names], schema=wanted)

    return pa.RecordBatchReader.from_batches(wanted, landed())


def _with_file(batch: pa.RecordBatch, path: str, business_date: date, schema: pa.Schema) -> pa.RecordBatch:
    count = batch.num_rows
    given = [pa.repeat(pa.scalar(path), count), pa.repeat(pa.scalar(business_date, pa.date32()), count)]
    return pa.record_batch([*given, *batch.columns], schema=schema)


def _checked(feed: Feed, file: DeliveredFile, reader: RecordReader) -> FileReading:
    if reader.records == 0 and feed.mode == "snapshot":
        raise InputInvalid(
            "holds no record, and a whole delivery without records would close everything it brought before; "
            "have it delivered again",
            file=file.path,
        )
    return FileReading(
        file, reader.records, reader.broken, tuple(sorted(reader.extra_columns)), reader.unseen_columns
    )
