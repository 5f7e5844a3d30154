"""A DuckDB file over tables of a lake, for a program that works in one of its own: dbt.

It holds functions and, per table, a view over the files of its version; what that program leaves in it can be taken out
as Parquet.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lakehouse.query.desk import Desk, file_errors, new_connection, newest_sql
from lakehouse.query.words import identifier, literal
from lakehouse.settings.settings import Settings


def write_database(
    settings: Settings,
    file: Path,
    tables: Iterable[str],
    functions: Iterable[str],
    *,
    schema: str,
    anew: bool,
    versions: Mapping[str, int] | None = None,
    results: Mapping[str, str] | None = None,
) -> None:
    """Write the file: ``functions`` are statements, ``tables`` those it shows, ``schema`` is where one may write.

    Unless it is made ``anew``, what a program left in it stays, beside views over the tables as they are now, or at their
    ``versions``. In the schema ``results`` are shown: tables of the lake by the name they have there.
    """
    for old in (file, file.with_name(f"{file.name}.wal")) if anew else ():
        old.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(tables)
    with open_database(settings, file) as desk, file_errors():
        for statement in functions:
            desk.connection.execute(statement)
        for database in sorted({name.partition(".")[0] for name in names} | {schema}):
            desk.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(database)}")
        views = {_path(*name.split(".")): name for name in names}
        views |= {_path(schema, name): table for name, table in (results or {}).items()}
        for view, table in views.items():
            version = None if versions is None else versions[table]
            desk.connection.execute(
                f"CREATE OR REPLACE VIEW {view} AS {newest_sql(settings, table, version)}"
            )


@contextmanager
def replacement(file: Path) -> Iterator[Path]:
    """Give a path beside ``file`` to write to; what stands there takes the place of ``file`` when nothing went wrong.

    Whoever has the older file open goes on reading it.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield part
        part.replace(file)
    finally:
        for file_of_part in (part, part.with_name(f"{part.name}.wal")):
            file_of_part.unlink(missing_ok=True)


def export_tables(settings: Settings, file: Path, schema: str, names: Iterable[str], folder: Path) -> None:
    """Write tables of the file as Parquet into ``folder``, each into a folder of its name."""
    with open_database(settings, file) as desk, file_errors():
        for name in names:
            (folder / name).mkdir(parents=True, exist_ok=True)
            desk.connection.execute(
                f"COPY {_path(schema, name)} TO {literal(str(folder / name / 'part.parquet'))} (FORMAT parquet)"
            )


def open_database(settings: Settings, file: Path) -> Desk:
    """Give a desk on such a file; it touches nothing beside it but the lake."""
    return Desk(new_connection(settings.time_zone, database=file, folders=[settings.lake]))


def _path(schema: str, name: str) -> str:
    return f"{identifier(schema)}.{identifier(name)}"
