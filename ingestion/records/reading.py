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
from ingestion.feeds.limits import Limits
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
    broken_records: int
    extra_columns: tuple[str, ...]
    unseen_columns: tuple[str, ...]


def layout_of(feed: Feed) -> Layout:
    """Give how the feed's records are written."""
    form = feed.format
    return Layout(
        columns=feed.columns,
        type=form.type,
        separator=form.separator,
        quote=form.quote,
        escape=form.escape,
        encoding=form.encoding,
        header=form.header,
        limits=feed.limits,
    )


def unpack_members(files: Sequence[DeliveredFile], folder: Path, limits: Limits) -> list[DeliveredFile]:
    """Give the files with every member of an archive unpacked below ``folder``, each archive read once."""
    archives: dict[Path, list[DeliveredFile]] = {}
    for file in files:
        if file.member is not None:
            archives.setdefault(file.location, []).append(file)
    places: dict[tuple[Path, str], Path] = {}
    for at, (archive, members) in enumerate(sorted(archives.items())):
        names = {file.member for file in members if file.member is not None}
        paths = unpack(
            archive, names, folder / f"{at:05d}", name=members[0].path.partition("!")[0], limits=limits
        )
        for member in names:
            if member not in paths:
                raise InputInvalid(
                    f"no longer holds '{member}'; have it delivered again", file=members[0].path
                )
        places |= {(archive, member): path for member, path in paths.items()}
    return [
        file
        if file.member is None
        else replace(file, location=places[file.location, file.member], member=None)
        for file in files
    ]


def read_files(files: RecordFiles, delivered_files: Sequence[DeliveredFile]) -> list[FileReading]:
    """Read delivered files; give what was found.

    A file that cannot be used as a whole raises ``InputInvalid``; nothing of the lake is touched.
    """
    layout = layout_of(files.feed)

    def read(at: int, file: DeliveredFile) -> FileReading:
        reader = _read(files, layout, at, file.location, file.path, file.business_date)
        columns = (reader.extra_columns, reader.unseen_columns)
        return _file_reading(files.feed, file, reader.records, reader.broken, *columns)

    is_much = (
        len(delivered_files) > 1 and sum(file.bytes for file in delivered_files) >= SIDE_BY_SIDE_FROM_BYTES
    )
    # What reads is C++ that lets other threads run.
    with ThreadPoolExecutor(max_workers=FILES_AT_ONCE if is_much else 1) as pool:
        unpacked_files = enumerate(unpack_members(delivered_files, _unpacking(files), files.feed.limits))
        futures = [pool.submit(read, at, file) for at, file in unpacked_files]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def read_files_by_spark(
    spark: SparkSession, files: RecordFiles, delivered_files: Sequence[DeliveredFile]
) -> list[FileReading]:
    """Do what ``read_files`` does inside Spark's workers, one file a task; the workers must see the inbox and the lake."""
    unpacked_files = unpack_members(delivered_files, _unpacking(files), files.feed.limits)
    rows = [(at, str(f.location), f.path, f.business_date) for at, f in enumerate(unpacked_files)]
    tasks = spark.createDataFrame(rows, "at long, location string, path string, business_date date")
    answers = tasks.repartition(len(rows)).mapInArrow(_SparkReader(files), _ANSWER).collect()
    readings = []
    for row in sorted(answers, key=lambda row: row["at"]):
        file = unpacked_files[row["at"]]
        if row["wrong"] is not None:
            raise InputInvalid(row["wrong"], file=file.path)
        columns = (row["extra_columns"], row["unseen_columns"])
        readings.append(_file_reading(files.feed, file, row["records"], row["broken"], *columns))
    return readings


_ANSWER = "at long, records long, broken long, extra_columns array<string>, unseen_columns array<string>, wrong string"
_ANSWER_SCHEMA = pa.schema(
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
                answer: dict[str, Any] = {"at": at}
                try:
                    reader = _read(self.files, layout, at, location, path, day)
                    answer |= {"records": reader.records, "broken": reader.broken}
                    answer |= {
                        "extra_columns": list(reader.extra_columns),
                        "unseen_columns": list(reader.unseen_columns),
                    }
                except InputInvalid as wrong:
                    answer["wrong"] = wrong.message
                yield pa.RecordBatch.from_pylist([answer], schema=_ANSWER_SCHEMA)


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


def _file_reading(
    feed: Feed,
    file: DeliveredFile,
    records: int,
    broken_records: int,
    extra_columns: Sequence[str],
    unseen_columns: Sequence[str],
) -> FileReading:
    if records == 0 and feed.mode == "snapshot":
        raise InputInvalid(
            "holds no record, and a whole delivery without records would close everything it brought before; "
            "have it delivered again",
            file=file.path,
        )
    return FileReading(file, records, broken_records, tuple(sorted(extra_columns)), tuple(unseen_columns))
