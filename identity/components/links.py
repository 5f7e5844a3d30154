"""Links as the engine takes them: two integer columns of a table, of Parquet files, or of a Spark frame.

Hand-over between the JVM and Python is by Parquet in a folder of the lake's exchange: 1.7 million rows took 0.4 s that
way, 12 s as an Arrow table given to ``createDataFrame``.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs
import pyarrow.parquet as pq

from lakehouse.errors import ContractBroken

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SOURCE, TARGET = "source", "target"
_BATCH = 1 << 17
_HELD = 1 << 22
LINK_SCHEMA = pa.schema([(SOURCE, pa.int64()), (TARGET, pa.int64())])


@dataclass(frozen=True)
class Bounds:
    """How many links there are, and the smallest and largest node they name (0 and -1 where there is none)."""

    links: int
    low: int
    high: int

    @property
    def nodes(self) -> int:
        """The number of nodes at most."""
        return min(2 * self.links, self.high - self.low + 1)


@dataclass(frozen=True)
class LinkDataset:
    """Links that can be read as often as needed, without holding them: the first two columns of a dataset."""

    dataset: ds.Dataset

    @cached_property
    def bounds(self) -> Bounds:
        """What the files' own statistics say, or where they say nothing, one pass over the columns."""
        return (self._files and _bounds_by_files(self._files, self._names)) or self._bounds_by_scan()

    @cached_property
    def _files(self) -> list[ds.ParquetFileFragment] | None:
        """The Parquet files on disk that hold these links and nothing else, or None: rows in memory, or filtered."""
        if not isinstance(self.dataset, ds.FileSystemDataset):
            return None
        try:
            files = list(self.dataset.get_fragments())
        except ValueError:  # a filtered dataset
            return None
        is_plain = isinstance(self.dataset.filesystem, fs.LocalFileSystem) and all(
            isinstance(file, ds.ParquetFileFragment) and {*self._names} <= {*file.physical_schema.names}
            for file in files
        )
        return files if is_plain else None

    @property
    def _names(self) -> list[str]:
        return self.dataset.schema.names[:2]

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give (sources, targets) in batches, the next one being read meanwhile; a link without an end is refused."""
        for batch in _read_ahead(self._batches()):
            if batch.num_rows:
                yield _ends(batch.column(0), self._names[0]), _ends(batch.column(1), self._names[1])

    def _batches(self) -> Iterator[pa.RecordBatch]:
        if self._files is None:
            yield from self.dataset.to_batches(columns=self._names, batch_size=_BATCH)
            return
        # A scan of the dataset would take as long, but would not go on while a batch is worked on.
        for file in self._files:
            with pq.ParquetFile(file.path, memory_map=True) as reader:
                yield from reader.iter_batches(_BATCH, columns=self._names, use_threads=False)

    def frame(self, spark: SparkSession, folder: Path) -> DataFrame:
        """Give the links as a Spark frame of ``source`` and ``target``, handed over in ``folder``."""
        target = folder / "handed_over"
        target.mkdir()
        with pq.ParquetWriter(target / "links.parquet", LINK_SCHEMA) as writer:
            for ends in self.batches():
                writer.write_batch(pa.record_batch([pa.array(e) for e in ends], schema=LINK_SCHEMA))
        return spark.read.schema("source bigint, target bigint").parquet(str(target))

    def _bounds_by_scan(self) -> Bounds:
        count, low, high = 0, 0, -1
        for ends in self.batches():
            first = min(int(e.min()) for e in ends)
            low, high = (min(low, first) if count else first), max(high, *(int(e.max()) for e in ends))
            count += len(ends[0])
        return Bounds(count, low, high)


def links_of(source: Any, folder: Path) -> LinkDataset:
    """Give links of an Arrow table, a dataset, a folder of Parquet or a Spark frame (written into ``folder``)."""
    if isinstance(source, ds.Dataset):
        return LinkDataset(source)
    if isinstance(source, pa.Table):
        return LinkDataset(ds.dataset(source))
    if isinstance(source, str | Path):
        return LinkDataset(ds.dataset(source, format="parquet"))
    return LinkDataset(ds.dataset(_write(source, folder / "links"), format="parquet"))


def with_two_ends(frame: DataFrame) -> DataFrame:
    """Give the first two columns of a Spark frame as ``source`` and ``target``."""
    from pyspark.sql import functions as F

    first, second = frame.columns[:2]
    return frame.select(
        F.col(f"`{first}`").cast("bigint").alias(SOURCE), F.col(f"`{second}`").cast("bigint").alias(TARGET)
    )


def is_spark(source: Any) -> bool:
    """Tell whether the links stand in a Spark frame."""
    return type(source).__module__.startswith("pyspark")


def bounds_of_frame(frame: DataFrame) -> Bounds:
    """Give the bounds of a Spark frame of ``source`` and ``target``, by one aggregate; refuse a link without an end."""
    from pyspark.sql import functions as F

    bounds = frame.agg(
        F.count("*").alias("links"),
        F.min(F.least(SOURCE, TARGET)).alias("low"),
        F.max(F.greatest(SOURCE, TARGET)).alias("high"),
        F.count_if(F.col(SOURCE).isNull() | F.col(TARGET).isNull()).alias("endless"),
    ).first()
    assert bounds is not None
    if bounds.endless:
        raise ContractBroken(f"{bounds.endless} links have no end in column '{SOURCE}' or '{TARGET}'")
    return Bounds(bounds.links, bounds.low or 0, -1 if bounds.high is None else bounds.high)


def _write(frame: DataFrame, target: Path) -> Path:
    with_two_ends(frame).write.parquet(str(target))
    return target


def _ends(column: pa.Array, name: str) -> np.ndarray:
    if column.null_count:
        raise ContractBroken(f"{column.null_count} links have no end in column '{name}'")
    if not pa.types.is_integer(column.type):
        raise ContractBroken(f"column '{name}' of links is {column.type}, not an integer")
    return column.to_numpy(zero_copy_only=False)


def _read_ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _bounds_by_files(files: list[ds.ParquetFileFragment], names: list[str]) -> Bounds | None:
    links, lows, highs = 0, [], []
    for file in files:
        facts = file.metadata
        places = [facts.schema.to_arrow_schema().get_field_index(name) for name in names]
        for at in range(facts.num_row_groups):
            group = facts.row_group(at)
            links += group.num_rows
            for place in places:
                statistics = group.column(place).statistics if place >= 0 else None
                if group.num_rows and (statistics is None or not statistics.has_min_max):
                    return None
                if statistics is not None and statistics.has_min_max:
                    lows.append(int(statistics.min))
                    highs.append(int(statistics.max))
    return Bounds(links, min(lows), max(highs)) if lows else Bounds(links, 0, -1)


def distinct_ends(links: LinkDataset) -> np.ndarray:
    """Give the distinct nodes of links, ascending, in memory proportional to nodes."""
    from identity.components.arrays import distinct

    nodes, waiting, size = np.zeros(0, dtype=np.int64), [], 0
    for sources, targets in links.batches():
        waiting += [sources.astype(np.int64, copy=False), targets.astype(np.int64, copy=False)]
        size += 2 * len(sources)
        if size > max(_HELD, len(nodes)):
            nodes, waiting, size = distinct(np.concatenate([nodes, *waiting])), [], 0
    return distinct(np.concatenate([nodes, *waiting])) if waiting else nodes
