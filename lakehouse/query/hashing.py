"""Order-free content hashes: equal rows give equal hashes, whatever files, versions or order they stand in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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


def rows_hash(desk: Desk, sql: str) -> tuple[int, str]:
    """Give how many rows a query gives, and the hash of their content that ``frame_hash`` has; few of them are held at a time.

    In which time zone the desk is does not count.
    """
    with open_scratch() as other:
        batches = other.lend("rows to hash", desk.reader(sql, _BATCH_ROWS))
        count, _, content = _hash(other, str(batches), []).partition(":")
    return int(count), content


def _hash(desk: Desk, relation: str, without: list[str]) -> str:
    fields = desk.rows(f"DESCRIBE SELECT * FROM {relation}")
    columns = sorted(field[0] for field in fields if field[0] not in without)
    # Sums of independent 64-bit hashes over rows: duplicates count, order does not (a XOR would lose pairs).
    row = "row(" + ", ".join(f"{identifier(name)}::VARCHAR" for name in columns) + ")"
    count, low, high = desk.rows(
        f"SELECT count(*), sum(hash({row})::HUGEINT), sum(hash('2', {row})::HUGEINT) FROM {relation}"
    )[0]
    text = f"{','.join(columns)}|{count}|{low}|{high}"
    return f"{count}:{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def file_hash(path: Path) -> str:
    """Give the sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_hash(*parts: object) -> str:
    """Give a sha256 of parts with a separator and an explicit null mark between them."""
    text = "\x1f".join("\x00null" if part is None else str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()
