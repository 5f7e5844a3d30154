"""The Parquet files of one version of a Delta table: their paths on this machine, and SQL that reads them."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from lakehouse.errors import StepFailed, disk_refusal
from lakehouse.query.words import duck_type, identifier, literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deltalake import DeltaTable


def delta_for_readers(folder: Path, name: str, version: int | None = None) -> DeltaTable:
    """Give what ``open_delta`` gives, for those who only read: one object for all, while the log stays as it is.

    To open a table takes milliseconds, and a night asks some hundred tables a thousand times.
    """
    return _opened(folder, name, version, _state_of_log(folder))


@lru_cache(maxsize=256)
def _opened(folder: Path, name: str, version: int | None, state: object) -> DeltaTable:
    return open_delta(folder, name, version)


def _state_of_log(folder: Path) -> object:
    try:
        with os.scandir(folder / "_delta_log") as entries:
            facts = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError:
        return None
    return frozenset((name, each.st_ino, each.st_size, each.st_mtime_ns) for name, each in facts)


def open_delta(folder: Path, name: str, version: int | None = None) -> DeltaTable:
    """Give the Delta table in a folder at a version, or at its newest one; ``name`` stands in the error.

    A log that cannot be read, or that the disk refuses to give, raises ``StepFailed``.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return DeltaTable(folder, version=version)
    except (DeltaError, OSError, ValueError) as wrong:
        refusal = disk_refusal(wrong)
        if refusal is not None:
            raise refusal from None
        which = "" if version is None else f" at version {version}"
        raise StepFailed(
            f"the log of {name} cannot be read{which} ({_first_line(wrong)}); restore its _delta_log from a backup",
            file=folder,
        ) from None


def _first_line(wrong: Exception) -> str:
    return next(iter(str(wrong).strip().splitlines()), type(wrong).__name__)[:160].rstrip(". ")


def file_paths(table: DeltaTable, predicate: str | None = None) -> list[Path]:
    """Give the paths of the table's files, sorted; with a ``predicate`` those that may hold rows for which it is true.

    ``deltalake`` escapes the folder of the table (a space, ``#``, ``?``, Chinese characters) and leaves the rest of a
    path as it stands on disk, where a folder of a partition may be named ``k=a%20b``.
    """
    root = table.table_uri.rstrip("/")
    escaped = urlparse(root).path if root.startswith("file:") else root
    folder = Path(unquote(escaped))
    uris = table.file_uris(file_pruning_predicate=predicate)
    return sorted(folder / uri.removeprefix("file://")[len(escaped) + 1 :] for uri in uris)


def parquet_sql(files: Iterable[Path | str], options: str = "") -> str:
    """Give SQL that reads exactly these Parquet files."""
    return f"SELECT * FROM {parquet_call(files, options)}"


def parquet_call(files: Iterable[Path | str], options: str = "") -> str:
    """Give the call that reads exactly these Parquet files: what DuckDB takes for a pattern is escaped."""
    listing = ", ".join(literal(escaped_pattern(str(file))) for file in files)
    return f"read_parquet([{listing}]{', ' + options if options else ''})"


def folder_call(folder: Path) -> str:
    """Give the call that reads the Parquet files that lie in a folder, one at least, and takes nothing from their paths."""
    return parquet_call(sorted(folder.glob("*.parquet")), "hive_partitioning = false")


def escaped_pattern(path: str) -> str:
    """Give the pattern that finds a path and nothing else."""
    return path.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")


def table_sql(table: DeltaTable, name: str) -> str:
    """Give SQL that reads one version of a Delta table; ``name`` stands in the error.

    Columns that partition the table are cast to their types, since a path holds text. ``StepFailed`` where the table
    needs a newer reader: deleted rows would show.
    """
    if table.protocol().min_reader_version > 1:
        raise StepFailed(
            f"{name} needs Delta reader version {table.protocol().min_reader_version}; it cannot be read as files"
        )
    files = file_paths(table)
    fields = {field["name"]: field["type"] for field in json.loads(table.schema().to_json())["fields"]}
    if not files:
        columns = ", ".join(
            f"CAST(NULL AS {duck_type(kind)}) AS {identifier(n)}" for n, kind in fields.items()
        )
        return f"SELECT {columns} WHERE false"
    casts = ", ".join(
        f"CAST({identifier(n)} AS {duck_type(fields[n])}) AS {identifier(n)}"
        for n in table.metadata().partition_columns
    )
    hive = "true" if casts else "false"
    sql = parquet_sql(files, f"hive_partitioning={hive}, union_by_name=true, hive_types_autocast=false")
    return sql.replace("SELECT *", f"SELECT * REPLACE ({casts})", 1) if casts else sql
