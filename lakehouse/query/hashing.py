"""Order-free content hashes: equal rows give equal hashes, whatever files, versions or order they stand in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.query.desk import Desk, newest_sql, open_scratch
from lakehouse.query.words import identifier
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 1 << 16


def table_hash(
    settings: Settings, table: str, version: int | None = None, *, without: Iterable[str] = ()
) -> str:
    """Give ``rows:hash`` of a table's content (no JVM); columns in ``without`` do not count."""
    with open_scratch(folders=[settings.lake]) as desk:
        return _hash(desk, f"({newest_sql(settings, table, version)})", list(without))


def frame_hash(rows: pa.Table, *, without: Iterable[str] = ()) -> str:
    """Give ``rows:hash`` of an Arrow table's content."""
    with open_scratch() as desk:
        return _hash(desk, str(desk.lend("rows to hash", rows)), list(without))


@dataclass(frozen=True)
class RowSums:
    """What the hash of some rows is made of; that of more rows is of the sums of their parts.

    Sums of independent 64-bit hashes over rows: duplicates count, order does not (a XOR would lose pairs).
    """

    columns: tuple[str, ...]
    count: int
    low: int | None
    high: int | None

    def __add__(self, other: RowSums) -> RowSums:
        """Give the sums of both parts, which have the same columns."""
        if self.columns != other.columns:
            raise ValueError("rows of other columns have no common hash")
        low, high = (
            None if one is None and two is None else (one or 0) + (two or 0)
            for one, two in ((self.low, other.low), (self.high, other.high))
        )
        return RowSums(self.columns, self.count + other.count, low, high)

    @property
    def content(self) -> str:
        """The hash of the rows' content."""
        text = f"{','.join(self.columns)}|{self.count}|{self.low}|{self.high}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def row_sums(desk: Desk, sql: str) -> RowSums:
    """Give the sums that make the hash of the rows of a query; few of them are held at a time.

    In which time zone the desk is does not count.
    """
    with open_scratch() as other:
        return _sums(other, str(other.lend("rows to hash", desk.reader(sql, _BATCH_ROWS))), [])


def rows_hash(desk: Desk, sql: str) -> tuple[int, str]:
    """Give how many rows a query gives, and the hash of their content that ``frame_hash`` has; see ``row_sums``."""
    sums = row_sums(desk, sql)
    return sums.count, sums.content


def _hash(desk: Desk, relation: str, without: list[str]) -> str:
    sums = _sums(desk, relation, without)
    return f"{sums.count}:{sums.content}"


def _sums(desk: Desk, relation: str, without: list[str]) -> RowSums:
    fields = desk.rows(f"DESCRIBE SELECT * FROM {relation}")
    columns = tuple(sorted(field[0] for field in fields if field[0] not in without))
    row = "row(" + ", ".join(f"{identifier(name)}::VARCHAR" for name in columns) + ")"
    count, low, high = desk.rows(
        f"SELECT count(*), sum(hash({row})::HUGEINT), sum(hash('2', {row})::HUGEINT) FROM {relation}"
    )[0]
    return RowSums(columns, count, low, high)


def file_hash(path: Path) -> str:
    """Give the sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_hash(*parts: object) -> str:
    """Give a sha256 of parts with a separator and an explicit null mark between them."""
    text = "\x1f".join("\x00null" if part is None else str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()
