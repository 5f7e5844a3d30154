"""Delivered files read once, here or by Spark's workers, into the Parquet of ``ingestion.records.record_files``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ingestion.feeds.feeds import Feed
from ingestion.inbox.archives import unpack
from ingestion.inbox.inbox import DeliveredFile
from ingestion.records import Layout, RecordReader
from ingestion.records.record_files import RecordFiles
from lakehouse.errors import InputInvalid

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

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


def read_files(files: RecordFiles, delivered: Sequence[DeliveredFile]) -> list[FileReading]:
    """Read delivered files; give what was found.

    A file that cannot be used as a whole raises ``InputInvalid``; nothing of the lake is touched.
    """
    layout = layout_of(files.feed)

    def read(at: int, file: DeliveredFile) -> FileReading:
        reader = _read(files, layout, at, file.location, file.path, file.business_date)
        named = (reader.extra_columns, reader.unseen_columns)
        return _checked(files.feed, file, reader.records, reader.broken, *named)

    is_much = len(delivered) > 1 and sum(file.bytes for file in delivered) >= SIDE_BY_SIDE_FROM_BYTES
    # What reads is C++ that lets other threads run.
    with ThreadPoolExecutor(max_workers=FILES_AT_ONCE if is_much else 1) as pool:
        found = enumerate(unpacked(delivered, _unpacking(files)))
        futures = [pool.submit(read, at, file) for at, file in found]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def read_files_by_spark(
    spark: SparkSession, files: RecordFiles, delivered: Sequence[DeliveredFile]
) -> list[FileReading]:
    """Do what ``read_files`` does inside Spark's workers, one file a task; the workers must see the inbox and the lake."""
    found = unpacked(delivered, _unpacking(files))
    listed = [(at, str(f.location), f.path, f.business_date) for at, f in enumerate(found)]
    tasks = spark.createDataFrame(listed, "at long, location string, path string, business_date date")
    told = tasks.repartition(len(listed)).mapInArrow(_SparkReader(files), _TOLD).collect()
    readings = []
    for row in sorted(told, key=lambda row: row["at"]):
        file = found[row["at"]]
        if row["wrong"] is not None:
            raise InputInvalid(row["wrong"], file=file.path)
        named = (row["extra_columns"], row["unseen_columns"])
        readings.append(_checked(files.feed, file, row["records"], row["broken"], *named))
    return readings


_TOLD = "at long, records long, broken long, extra_columns array<string>, unseen_columns array<string>, wrong string"
_TOLD_SCHEMA = pa.schema(
    [
        ("at", pa.int64()), ("records", pa.int64()), ("broken", pa.int64()),
        ("extra_columns", pa.list_(pa.string())), ("unseen_columns", pa.list_(pa.string())), ("wrong", pa.string()),
    ]
)  # fmt: skip


class _SparkReader:
    """The record reader as ``mapInArrow`` wants it; a class, so that it is pickled by name with what it needs."""

    def __init__(self, files: RecordFiles) -> None:
        self.files = files

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        layout = layout_of(self.files.feed)
        for batch in batches:
            for task in batch.to_pylist():
                at, location, path, day = (
                    task["at"],
                    Path(task["location"]),
                    task["path"],
                    task["business_date"],
                )
                said: dict[str, Any] = {"at": at}
                try:
                    reader = _read(self.files, layout, at, location, path, day)
                    said |= {"records": reader.records, "broken": reader.broken}
                    said |= {
                        "extra_columns": list(reader.extra_columns),
                        "unseen_columns": list(reader.unseen_columns),
                    }
                except InputInvalid as wrong:
                    said["wrong"] = wrong.message
                yield pa.RecordBatch.from_pylist([said], schema=_TOLD_SCHEMA)


def _read(
    files: RecordFiles, layout: Layout, at: int, location: Path, path: str, business_date: date
) -> RecordReader:
    reader = RecordReader(location, layout, name=path)
    with files.writer(f"{at:05d}.parquet", path, business_date) as out:
        for batch in reader:
            out.write(batch)
    return reader


def _unpacking(files: RecordFiles) -> Path:
    return files.folder.parent / "unpacked"


def _checked(
    feed: Feed,
    file: DeliveredFile,
    records: int,
    broken: int,
    extra_columns: Sequence[str],
    unseen_columns: Sequence[str],
) -> FileReading:
    if records == 0 and feed.mode == "snapshot":
        raise InputInvalid(
            "holds no record, and a whole delivery without records would close everything it brought before; "
            "have it delivered again",
            file=file.path,
        )
    return FileReading(file, records, broken, tuple(sorted(extra_columns)), tuple(unseen_columns))
