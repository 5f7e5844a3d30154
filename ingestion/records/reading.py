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
from ingestion.records.control import ControlSums
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
    """What reading a file found: its records, broken ones included, and columns the feed does not name.

    A file with a ``fault`` cannot be used, and nothing of it is kept. ``place`` is the name of what is kept of others.
    """

    file: DeliveredFile
    records: int = 0
    broken_records: int = 0
    extra_columns: tuple[str, ...] = ()
    unseen_columns: tuple[str, ...] = ()
    fault: str | None = None
    place: str = ""


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
        line_end=form.line_end,
        trailer=feed.control.trailer if feed.control else None,
        limits=feed.limits,
    )


def unpack_members(files: Sequence[DeliveredFile], folder: Path, limits: Limits) -> list[DeliveredFile]:
    """Give the files with every member of an archive unpacked below ``folder``, each archive read once.

    Members of an archive that cannot be unpacked have a fault.
    """
    archives: dict[Path, list[DeliveredFile]] = {}
    for file in files:
        if file.member is not None:
            archives.setdefault(file.location, []).append(file)
    places: dict[tuple[Path, str], Path] = {}
    faults: dict[Path, str] = {}
    for at, (archive, members) in enumerate(sorted(archives.items())):
        names = {file.member for file in members if file.member is not None}
        try:
            paths = unpack(archive, names, folder / f"{at:05d}", name=archive.name, limits=limits)
        except InputInvalid as wrong:
            faults[archive] = wrong.message
            continue
        places |= {(archive, member): path for member, path in paths.items()}

    def unpacked(file: DeliveredFile) -> DeliveredFile:
        if file.member is None:
            return file
        place = places.get((file.location, file.member))
        if place is not None:
            return replace(file, location=place, member=None)
        fault = f"its archive no longer holds '{file.member}'; have it delivered again"
        return replace(file, fault=faults.get(file.location, fault))

    return [unpacked(file) for file in files]


def read_files(
    files: RecordFiles, delivered_files: Sequence[DeliveredFile], first: int = 0
) -> list[FileReading]:
    """Read delivered files; give what was found, also of those that cannot be used. Nothing of the lake is touched.

    What is kept of them is numbered from ``first`` on.
    """
    layout = layout_of(files.feed)

    def read(at: int, file: DeliveredFile) -> FileReading:
        if file.fault is not None:
            return FileReading(file, fault=file.fault)
        try:
            place = _place(first + at)
            reader = _read(files, layout, place, file.location, file.path, file.business_date)
        except InputInvalid as wrong:
            return FileReading(file, fault=wrong.message)
        columns = (tuple(sorted(reader.extra_columns)), reader.unseen_columns)
        return FileReading(file, reader.records, reader.broken, *columns, place=place)

    is_much = (
        len(delivered_files) > 1 and sum(file.bytes for file in delivered_files) >= SIDE_BY_SIDE_FROM_BYTES
    )
    # What reads is C++ that lets other threads run.
    with ThreadPoolExecutor(max_workers=FILES_AT_ONCE if is_much else 1) as pool:
        unpacked_files = enumerate(
            unpack_members(delivered_files, _unpacking(files, first), files.feed.limits)
        )
        futures = [pool.submit(read, at, file) for at, file in unpacked_files]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def read_files_by_spark(
    spark: SparkSession, files: RecordFiles, delivered_files: Sequence[DeliveredFile], first: int = 0
) -> list[FileReading]:
    """Do what ``read_files`` does inside Spark's workers, one file a task; the workers must see the inbox and the lake."""
    unpacked_files = unpack_members(delivered_files, _unpacking(files, first), files.feed.limits)
    readings = [FileReading(file, fault=file.fault) for file in unpacked_files]
    rows = [
        (at, _place(first + at), str(f.location), f.path, f.business_date)
        for at, f in enumerate(unpacked_files)
        if f.fault is None
    ]
    if not rows:
        return readings
    tasks = spark.createDataFrame(
        rows, "at long, place string, location string, path string, business_date date"
    )
    answers = tasks.repartition(len(rows)).mapInArrow(_SparkReader(files), _ANSWER).collect()
    for row in answers:
        file = unpacked_files[row["at"]]
        if row["wrong"] is not None:
            readings[row["at"]] = FileReading(file, fault=row["wrong"])
            continue
        columns = (tuple(sorted(row["extra_columns"])), tuple(row["unseen_columns"]))
        place = _place(first + row["at"])
        readings[row["at"]] = FileReading(file, row["records"], row["broken"], *columns, place=place)
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
                location = Path(task["location"])
                answer: dict[str, Any] = {"at": task["at"]}
                try:
                    reader = _read(
                        self.files, layout, task["place"], location, task["path"], task["business_date"]
                    )
                    answer |= {"records": reader.records, "broken": reader.broken}
                    answer |= {
                        "extra_columns": list(reader.extra_columns),
                        "unseen_columns": list(reader.unseen_columns),
                    }
                except InputInvalid as wrong:
                    answer["wrong"] = wrong.message
                yield pa.RecordBatch.from_pylist([answer], schema=_ANSWER_SCHEMA)


def _read(
    files: RecordFiles, layout: Layout, place: str, location: Path, path: str, business_date: date
) -> RecordReader:
    """Read one file into Parquet; of one that cannot be used nothing stays and ``InputInvalid`` is raised."""
    reader = RecordReader(location, layout, name=path)
    sums = ControlSums(files.feed.control)
    try:
        with files.writer(place, path, business_date) as out:
            for batch in reader:
                sums.add(batch)
                out.write(batch)
        sums.check(location, layout, reader.records, reader.trailer)
        if reader.records == 0 and files.feed.mode == "snapshot":
            raise InputInvalid(
                "holds no record, and a whole delivery without records would close everything it brought before; "
                "have it delivered again"
            )
    except InputInvalid:
        files.discard(place, business_date)
        raise
    return reader


def _place(number: int) -> str:
    return f"{number:05d}.parquet"


def _unpacking(files: RecordFiles, first: int) -> Path:
    return files.folder.parent / f"unpacked{first}"
