"""What an engine does: rows are named, computed by SQL, numbered, and given to a kernel bucket by bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.tables.frames import Frame


class Rows(Protocol):
    """Rows that an engine keeps; as text, their name in its SQL."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""

    def __str__(self) -> str:
        """Give the name as SQL names it."""


class Kernel(Protocol):
    """A pure function of Arrow tables to Arrow tables, by name: it knows no lake, session, path or clock.

    It is called once per bucket with all rows of it (``takes`` has the columns of each input, in order and type) and gives
    tables of the columns of ``gives``. A bucket may be computed twice, and on any machine that has the product.
    """

    @property
    def takes(self) -> Mapping[str, pa.Schema]:
        """The columns of every input."""

    @property
    def gives(self) -> Mapping[str, pa.Schema]:
        """The columns of every output."""

    def __call__(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Compute one bucket."""


class Engine(Protocol):
    """Where the work of the size of the data is done. SQL names tables of the lake as ``database.table``."""

    name: str

    def let(self, **values: object) -> None:
        """Let ``$name`` stand for a value in every later statement."""

    @property
    def width(self) -> int:
        """How many buckets are computed at once."""

    def bucket_of(self, columns: Sequence[str], buckets: int) -> str:
        """Give SQL for a bucket of rows that are equal in ``columns``; what other engines answer is another one."""

    def hash_of(self, values: Sequence[str]) -> str:
        """Give SQL for a 64-bit hash of values, which stand as SQL; equal values have one, what other engines answer is another one."""

    def take(self, label: str, rows: Frame) -> Rows:
        """Name Arrow rows of this process, or a frame of this engine."""

    def read(self, label: str, folder: Path) -> Rows:
        """Name the rows of the Parquet files in a folder, of which there is at least one."""

    def define(self, label: str, sql: str) -> Rows:
        """Name rows that are computed at every use."""

    def keep(self, label: str, sql: str) -> Rows:
        """Name rows that are computed once."""

    def number(self, label: str, sql: str, *, order: Sequence[str], name: str, after: int) -> Rows:
        """Keep the rows of a query with a further column: ``after`` + 1, + 2 … in an ``order`` that no two rows share."""

    def run(self, kernel: Kernel, inputs: Mapping[str, Rows], *, by: str, buckets: int) -> Mapping[str, Rows]:
        """Give every bucket of rows (those with one number 0 … ``buckets`` - 1 in the column ``by``) to a kernel, and keep what it gives."""

    def records(self, sql: str) -> list[dict[str, Any]]:
        """Give the few rows of a query, each as its values by the names of the columns."""

    def frame(self, rows: Rows) -> Frame:
        """Give rows as a lake writes them."""

    def table(self, rows: Rows) -> Frame:
        """Give rows as something that may be read more than once: a lake changes states by it, links of nodes are streamed from it."""

    def at_desk(self, rows: Rows, desk: Desk) -> Relation:
        """Give rows to a desk that may touch the engine's files; what another process holds stays in files and is read at every use."""

    def renew(self, *tables: str) -> None:
        """Let later statements see tables of the lake as they are now; rows that are defined by them change with them."""

    def drop(self, *rows: Rows) -> None:
        """Let rows go that nobody asks for any more."""
