"""The engine in this process: DuckDB under its limit of memory, which spills, and one bucket after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.engine.buckets import Buckets
from lakehouse.query.desk import Desk, Relation
from lakehouse.query.files import folder_call
from lakehouse.query.words import duck_hash, identifier, identifiers

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.engine.engine import Kernel, Rows

# What a lake is given of rows at a time.
_BATCH_ROWS = 250_000


class DuckDBEngine:
    """The tables that a desk sees; a kernel holds one bucket at a time."""

    name = "duckdb"

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def let(self, **values: object) -> None:
        """Let ``$name`` stand for a value in every later statement."""
        self.desk.let(**values)

    @property
    def width(self) -> int:
        """One bucket after the other."""
        return 1

    def bucket_of(self, columns: Sequence[str], buckets: int) -> str:
        """Give SQL for a bucket of rows that are equal in ``columns``."""
        return f"CAST({self.hash_of([identifier(column) for column in columns])} % {buckets} AS INTEGER)"

    def hash_of(self, values: Sequence[str]) -> str:
        """Give SQL for a 64-bit hash of values, which stand as SQL."""
        return duck_hash(values)

    def take(self, label: str, rows: pa.Table) -> Relation:
        """Name Arrow rows of this process."""
        return self.desk.take(label, rows)

    def read(self, label: str, folder: Path) -> Relation:
        """Name the rows of the Parquet files in a folder."""
        return self.desk.define(label, f"SELECT * FROM {folder_call(folder)}")

    def define(self, label: str, sql: str) -> Relation:
        """Name rows that are computed at every use."""
        return self.desk.define(label, sql)

    def keep(self, label: str, sql: str) -> Relation:
        """Name rows that are computed once."""
        return self.desk.keep(label, sql)

    def number(self, label: str, sql: str, *, order: Sequence[str], name: str, after: int) -> Relation:
        """Keep the rows of a query with a further column: ``after`` + 1, + 2 … in an ``order`` that no two rows share."""
        place = f"{after} + row_number() OVER (ORDER BY {identifiers(order)})"
        return self.desk.keep(label, f"SELECT *, {place} AS {identifier(name)} FROM ({sql})")

    def run(
        self, kernel: Kernel, inputs: Mapping[str, Rows], *, by: str, buckets: int
    ) -> dict[str, Relation]:
        """Give every bucket of rows (those with one number 0 … ``buckets`` - 1 in the column ``by``) to a kernel, and keep what it gives."""
        work = Buckets(kernel)
        # In the order of buckets, so that the rows of one are read without the others.
        rows_by_bucket = {
            name: self.desk.keep(
                name, f"SELECT {identifiers([by, *kernel.takes[name].names])} FROM {rows} ORDER BY {identifier(by)}"
            )
            for name, rows in inputs.items()
        }  # fmt: skip
        outputs = {name: self.desk.take(name, schema.empty_table()) for name, schema in kernel.gives.items()}
        for bucket in range(buckets):
            tables = {
                name: self.desk.arrow(
                    f"SELECT {identifiers(kernel.takes[name].names)} FROM {rows} WHERE {identifier(by)} = {bucket}"
                )
                for name, rows in rows_by_bucket.items()
            }
            if any(table.num_rows for table in tables.values()):
                for name, rows_of_output in work.answer(tables).items():
                    self.desk.add(outputs[name], rows_of_output)
        for rows in rows_by_bucket.values():
            self.desk.drop(rows)
        return outputs

    def records(self, sql: str) -> list[dict[str, Any]]:
        """Give the few rows of a query, each as its values by the names of the columns."""
        return self.desk.records(sql)

    def frame(self, rows: Rows) -> pa.RecordBatchReader:
        """Give rows batch by batch, as a lake writes them; nothing else is asked meanwhile."""
        return self.desk.reader(f"SELECT * FROM {rows}", _BATCH_ROWS)

    def table(self, rows: Rows) -> pa.Table:
        """Give rows as an Arrow table."""
        return self.desk.arrow(f"SELECT * FROM {rows}")

    def at_desk(self, rows: Rows, desk: Desk) -> Relation:
        """Give rows to the desk of this engine, which has them."""
        assert desk is self.desk and isinstance(rows, Relation)
        return rows

    def renew(self, *tables: str) -> None:
        """Let later statements see tables of the lake as they are now."""
        self.desk.renew(*tables)

    def drop(self, *rows: Rows) -> None:
        """Let rows go that nobody asks for any more."""
        for one in rows:
            self.desk.run(f"DROP TABLE IF EXISTS {one}")
