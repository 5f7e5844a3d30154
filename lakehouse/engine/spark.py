"""The engine of a cluster: Spark reads, shuffles, retries and writes; a kernel runs in its workers, one bucket a task.

What is computed once is kept as Parquet in a folder of the lake, which the driver and all workers see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.engine.buckets import Buckets
from lakehouse.query.desk import Desk, Relation, table_names, with_variables
from lakehouse.query.files import folder_call
from lakehouse.query.words import spark_hash, spark_identifier, spark_literal
from lakehouse.session.parquet import parquet_frame
from lakehouse.tables.frames import Frame, is_arrow

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.engine.engine import Kernel, Rows

_BUCKET, _OUTPUT = "_bucket", "_output"
# Spark numbers the rows of a partition from the number of the partition times this.
_PARTITION = 1 << 33


@dataclass(frozen=True)
class SparkRows:
    """A frame under the name of its view; ``folder`` has the files of one that is kept."""

    name: str
    frame: DataFrame
    folder: Path | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.frame.columns)

    def __str__(self) -> str:
        """Give the name as SQL text names it."""
        return spark_identifier(self.name)


class SparkEngine:
    """Rows as views of a session; ``register`` makes tables of the lake known to it, ``folder`` is an empty one of the lake."""

    name = "spark"

    def __init__(
        self, session: SparkSession, folder: Path, register: Callable[[Iterable[str]], None]
    ) -> None:
        self.session = session
        self._folder = folder
        self._register = register
        self._numbers = count(1)
        self._names: list[str] = []
        self._variables: dict[str, object] = {}

    def let(self, **values: object) -> None:
        """Let ``$name`` stand for a value in every later statement."""
        self._variables |= values

    @property
    def width(self) -> int:
        """As many buckets at once as the session shuffles into, or as the cluster has cores."""
        return max(self._partitions, self.session.sparkContext.defaultParallelism)

    def bucket_of(self, columns: Sequence[str], buckets: int) -> str:
        """Give SQL for a bucket of rows that are equal in ``columns``."""
        return (
            f"CAST(pmod({self.hash_of([spark_identifier(column) for column in columns])}, {buckets}) AS INT)"
        )

    def hash_of(self, values: Sequence[str]) -> str:
        """Give SQL for a 64-bit hash of values, which stand as SQL."""
        return spark_hash(values)

    def take(self, label: str, rows: Frame) -> SparkRows:
        """Name Arrow rows of this process, or a frame."""
        import pyarrow.parquet as pq

        if not is_arrow(rows):
            return self._view(label, rows)
        target = self._new_folder(label)
        target.mkdir()
        pq.write_table(rows, target / "rows.parquet")
        return self.read(label, target)

    def read(self, label: str, folder: Path) -> SparkRows:
        """Name the rows of the Parquet files in a folder."""
        return self._view(label, parquet_frame(self.session, folder), folder)

    def define(self, label: str, sql: str) -> SparkRows:
        """Name rows that are computed at every use."""
        return self._view(label, self._sql(sql))

    def keep(self, label: str, sql: str) -> SparkRows:
        """Name rows that are computed once."""
        return self._keep(label, self._sql(sql))

    def number(self, label: str, sql: str, *, order: Sequence[str], name: str, after: int) -> SparkRows:
        """Keep the rows of a query with a further column: ``after`` + 1, + 2 … in an ``order`` that no two rows share.

        Ranges of the order are sorted side by side and written; how many rows each has says where the next one begins.
        """
        from pyspark.sql import functions as F

        columns = [spark_identifier(column) for column in order]
        in_ranges = (
            self._sql(sql).repartitionByRange(self._partitions, *columns).sortWithinPartitions(*columns)
        )
        rows_in_ranges = self._keep(label, in_ranges.withColumn("_at", F.monotonically_increasing_id())).frame
        range_of = F.floor(F.col("_at") / _PARTITION)
        sizes = {
            row["range"]: row["count"]
            for row in rows_in_ranges.groupBy(range_of.alias("range")).count().collect()
        }
        if not sizes:
            return self._view(label, rows_in_ranges.withColumn(name, F.lit(after).cast("bigint")).drop("_at"))
        starts = accumulate((sizes.get(number, 0) for number in range(max(sizes))), initial=after)
        begins = F.array(*(F.lit(start).cast("bigint") for start in starts))[range_of.cast("int")]
        place = begins + F.col("_at") % _PARTITION + 1
        return self._view(label, rows_in_ranges.withColumn(name, place).drop("_at"))

    def run(
        self, kernel: Kernel, inputs: Mapping[str, Rows], *, by: str, buckets: int
    ) -> dict[str, SparkRows]:
        """Give every bucket of rows (those with one number 0 … ``buckets`` - 1 in the column ``by``) to a kernel, and keep what it gives.

        All inputs travel in one shuffle, each as a column of its own that is null in the rows of the others.
        """
        from pyspark.sql import functions as F
        from pyspark.sql.pandas.types import from_arrow_schema
        from pyspark.sql.types import StringType, StructField, StructType

        takes = {name: from_arrow_schema(kernel.takes[name]) for name in inputs}
        parts = []
        for name, rows in inputs.items():
            values = [F.col(spark_identifier(c)).cast(kind.dataType).alias(c) for c, kind in zip(
                kernel.takes[name].names, takes[name].fields, strict=True)]  # fmt: skip
            nothing = {other: F.lit(None).cast(kind).alias(other) for other, kind in takes.items()}
            columns = [F.struct(*values).alias(name) if other == name else nothing[other] for other in takes]
            parts.append(
                _frame(rows).select(F.col(spark_identifier(by)).cast("int").alias(_BUCKET), *columns)
            )
        together = reduce(lambda one, other: one.unionAll(other), parts)
        outputs = StructType(
            [StructField(_OUTPUT, StringType())]
            + [StructField(name, from_arrow_schema(schema)) for name, schema in kernel.gives.items()]
        )
        answers = together.repartitionById(buckets, _BUCKET).mapInArrow(_Task(kernel), outputs)
        target = self._new_folder("answers")
        answers.write.partitionBy(_OUTPUT).parquet(str(target))
        return {name: self._answers(target, name, outputs) for name in kernel.gives}

    def records(self, sql: str) -> list[dict[str, Any]]:
        """Give the few rows of a query, each as its values by the names of the columns."""
        return [row.asDict() for row in self._sql(sql).collect()]

    def frame(self, rows: Rows) -> DataFrame:
        """Give rows as a lake writes them."""
        return _frame(rows)

    def table(self, rows: Rows) -> DataFrame:
        """Give rows as a frame."""
        return _frame(rows)

    def at_desk(self, rows: Rows, desk: Desk) -> Relation:
        """Give rows to a desk as a view of their files, which are written if they are not kept."""
        assert isinstance(rows, SparkRows)
        folder = rows.folder or self._keep("at_desk", rows.frame).folder
        assert folder is not None
        return desk.define(rows.name, f"SELECT * FROM {folder_call(folder)}")

    def renew(self, *tables: str) -> None:
        """Do nothing: a table that a statement names is read at its newest version."""

    def close(self) -> None:
        """Forget all views; their files go with the folder."""
        for name in self._names:
            self.session.catalog.dropTempView(name)

    def drop(self, *rows: Rows) -> None:
        """Let rows go that nobody asks for any more; their files go with the folder."""
        for one in rows:
            assert isinstance(one, SparkRows)
            self.session.catalog.dropTempView(one.name)

    @property
    def _partitions(self) -> int:
        return int(str(self.session.conf.get("spark.sql.shuffle.partitions")))

    def _answers(self, folder: Path, name: str, outputs: Any) -> SparkRows:
        place = folder / f"{_OUTPUT}={name}"
        schema = outputs[name].dataType
        if not place.is_dir():  # no bucket gave any
            return self._view(name, self.session.createDataFrame([], schema))
        return self._view(name, parquet_frame(self.session, place).select(f"{name}.*"))

    def _sql(self, sql: str) -> DataFrame:
        self._register(table_names(sql))
        return self.session.sql(
            with_variables(sql, {n: spark_literal(v) for n, v in self._variables.items()})
        )

    def _keep(self, label: str, frame: DataFrame) -> SparkRows:
        target = self._new_folder(label)
        frame.write.parquet(str(target))
        return self.read(label, target)

    def _view(self, label: str, frame: DataFrame, folder: Path | None = None) -> SparkRows:
        name = f"{label.replace('.', '_')}_{next(self._numbers)}"
        frame.createOrReplaceTempView(name)
        self._names.append(name)
        return SparkRows(name, frame, folder)

    def _new_folder(self, label: str) -> Path:
        return self._folder / f"{next(self._numbers):03d}_{label}"


def _frame(rows: Rows) -> DataFrame:
    assert isinstance(rows, SparkRows)
    return rows.frame


@dataclass(frozen=True)
class _Task:
    """A kernel as ``mapInArrow`` wants it: a class, so that it is pickled by name with what it needs."""

    kernel: Kernel

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.compute as pc

        takes, gives = self.kernel.takes, self.kernel.gives
        rows: dict[str, list[pa.Table]] = {name: [] for name in takes}
        is_empty = True
        for batch in batches:
            for name in takes:
                values = batch.column(name)
                mine = values.filter(pc.is_valid(values))
                if len(mine):
                    is_empty = False
                    rows[name].append(pa.Table.from_arrays(mine.flatten(), schema=_plain(mine.type)))
        if is_empty:
            return
        tables = {
            name: pa.concat_tables(parts) if parts else takes[name].empty_table()
            for name, parts in rows.items()
        }
        rows.clear()
        for name, table in Buckets(self.kernel).answer(tables).items():
            for batch in table.to_batches(max_chunksize=1 << 16):
                values = pa.StructArray.from_arrays(batch.columns, fields=list(batch.schema))
                columns = [values if other == name else pa.nulls(len(values), pa.struct(list(schema)))
                           for other, schema in gives.items()]  # fmt: skip
                yield pa.RecordBatch.from_arrays(
                    [pa.repeat(name, len(values)), *columns], names=[_OUTPUT, *gives]
                )


def _plain(kind: pa.StructType) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([kind.field(at) for at in range(kind.num_fields)])
