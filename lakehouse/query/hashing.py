"""Order-free content hashes: equal rows give equal hashes, whatever files, versions or order they stand in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.query.published import relation_sql
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa


def table_hash(
    settings: Settings, table: str, version: int | None = None, *, without: Iterable[str] = ()
) -> str:
    """Give ``rows:hash`` of a table's content (no JVM); columns in ``without`` do not count."""
    import duckdb

    return _hash(duckdb.connect(), f"({relation_sql(settings, table, version)})", list(without))


def frame_hash(rows: pa.Table, *, without: Iterable[str] = ()) -> str:
    """Give ``rows:hash`` of an Arrow table's content."""
    import duckdb

    connection = duckdb.connect()
    connection.register("frame_rows", rows)
    return _hash(connection, "frame_rows", list(without))


def _hash(connection: object, relation: str, without: list[str]) -> str:
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()  # type: ignore[attr-defined]
    columns = sorted(row[0] for row in described if row[0] not in without)
    # Sums of independent 64-bit hashes over rows: duplicates count, order does not (a XOR would lose pairs).
    row = "row(" + ", ".join(f'"{name}"::VARCHAR' for name in columns) + ")"
    count, low, high = connection.execute(  # type: ignore[attr-defined]
        f"SELECT count(*), sum(hash({row})::HUGEINT), sum(hash('2', {row})::HUGEINT) FROM {relation}"
    ).fetchone()
    text = f"{','.join(columns)}|{count}|{low}|{high}"
    return f"{count}:{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def file_hash(path: Path) -> str:
    """Give the sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_hash(*parts: object) -> str:
    """Give a sha256 of parts with a separator and an explicit null mark between them."""
    joined = "\x1f".join("\x00null" if part is None else str(part) for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()
