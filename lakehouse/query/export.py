"""An export: a DuckDB file with a view of each published table, for programs that are none of ours.

It holds no row. Its views read the Parquet files of the published versions, so whoever opens it needs the right to read
those. Columns that readers see masked are pseudonyms as at the reading desk (``lakehouse.query.reading``), by a key that
is drawn for the file and stands in its views: this keeps values from who does not look for them, and from nobody else.
"""

from __future__ import annotations

import secrets
import shutil
import stat
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.errors import UsageError
from lakehouse.query.database import replacement
from lakehouse.query.desk import Desk, file_errors, new_connection
from lakehouse.query.files import table_sql
from lakehouse.query.masks import Mask, Masks, masked_sql
from lakehouse.query.published import Publication
from lakehouse.query.reading import published_table, types_of
from lakehouse.query.words import identifier, literal, literals
from lakehouse.settings.file_rights import closed_files, give_to_group
from lakehouse.settings.settings import Settings

SUFFIX = ".duckdb"
# The oldest version that keeps comments of columns; later ones read it, too.
STORAGE = "v1.0.0"
# What an export says of itself: the row of this table.
DATABASE, TABLE = "cdp", "publication"

_MAGIC, _MAGIC_AT = b"DUCK", 8
# Views of a hundred wide tables are a megabyte.
_MOST_BYTES = 256_000_000
_OF_DUCKDB = ("main", "system", "temp", "information_schema", "pg_catalog")


@dataclass(frozen=True)
class Texts:
    """What is said of a table: its description, and those of its columns by their names."""

    description: str
    columns: Mapping[str, str] = field(default_factory=dict)


def export_place(settings: Settings, tables: Collection[str], file: Path) -> Path:
    """Give the path of an export of published ``tables``; ``UsageError`` where no export may be written there.

    A file is replaced only if it is an export of this lake to which nobody added a table.
    """
    place = file.parent.resolve() / file.name
    if place.suffix != SUFFIX:
        raise UsageError(f"an export is called NAME{SUFFIX}", file=place)
    if "?" in str(place):
        raise UsageError(
            "DuckDB takes what follows a '?' in a path for options; name a place without one", file=place
        )
    databases = {name.partition(".")[0] for name in tables}
    if place.stem.lower() in {DATABASE, *databases, *_OF_DUCKDB}:
        raise UsageError(
            f"'{place.stem}' is the name of a database, and DuckDB calls a file by its name, too; take another one",
            file=place,
        )
    if not place.parent.is_dir():
        raise UsageError("the folder of the export does not exist; make it first", file=place)
    for folder in (settings.lake, settings.inbox, settings.published, settings.generated):
        if folder in place.parents:
            raise UsageError(f"{folder} is a folder of the product; name a file elsewhere", file=place)
    _require_own(settings, place)
    return place


def write_export(
    settings: Settings,
    publication: Publication,
    place: Path,
    texts: Mapping[str, Texts],
    masks: Masks,
) -> tuple[str, ...]:
    """Write the export of a publication and put it in its place at once; give the columns that it shows masked.

    ``texts`` are those of each published table. Its rights are those of the lake.
    """
    masked: list[str] = []
    key = secrets.token_hex(32)
    with closed_files(settings), replacement(place) as part:
        connection = new_connection(
            settings.time_zone, database=part, folders=[settings.lake], storage=STORAGE
        )
        with Desk(connection) as desk, file_errors():
            connection.execute("BEGIN TRANSACTION")
            for name in sorted(publication.tables):
                table = published_table(settings, publication, name)
                fields = types_of(table)
                column_masks = masks(name, fields)
                masked += [f"{name}.{column}" for column in fields if column in column_masks]
                _write_view(desk, name, masked_sql(table_sql(table, name), fields, column_masks, key))
                _write_comments(desk, name, texts[name], fields, column_masks)
            _write_mark(desk, settings, publication, is_masked=bool(masked))
            connection.execute("COMMIT")
        give_to_group(settings, part)
    return tuple(masked)


def _write_view(desk: Desk, name: str, sql: str) -> None:
    database = name.partition(".")[0]
    desk.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(database)}")
    desk.connection.execute(f"CREATE VIEW {_path(name)} AS {sql}")


def _write_comments(
    desk: Desk, name: str, texts: Texts, columns: Mapping[str, object], masked: Mapping[str, Mask]
) -> None:
    desk.connection.execute(f"COMMENT ON VIEW {_path(name)} IS {literal(texts.description)}")
    for column in columns:
        parts = [texts.columns.get(column, ""), "masked" if column in masked else ""]
        if text := "; ".join(part for part in parts if part):
            desk.connection.execute(
                f"COMMENT ON COLUMN {_path(name)}.{identifier(column)} IS {literal(text)}"
            )


def _write_mark(desk: Desk, settings: Settings, publication: Publication, *, is_masked: bool) -> None:
    desk.connection.execute(f"CREATE SCHEMA {DATABASE}")
    desk.connection.execute(
        f"CREATE TABLE {DATABASE}.{TABLE} "
        "(business_date DATE, run_id VARCHAR, seq BIGINT, published_at TIMESTAMPTZ, is_masked BOOLEAN, lake VARCHAR)"
    )
    values = literals([publication.business_date, publication.run_id, publication.seq])
    desk.connection.execute(
        f"INSERT INTO {DATABASE}.{TABLE} SELECT {values}, make_timestamptz({publication.published_at_us}), "
        f"{literal(is_masked)}, {literal(settings.lake)}"
    )


def _require_own(settings: Settings, place: Path) -> None:
    try:
        facts = place.lstat()
    except FileNotFoundError:
        facts = None
    if facts is not None and stat.S_ISLNK(facts.st_mode):
        raise UsageError("is a link; name the file itself", file=place)
    if facts is not None and not stat.S_ISREG(facts.st_mode):
        raise UsageError("is no file", file=place)
    if place.with_name(f"{place.name}.wal").exists():
        raise UsageError(
            f"somebody writes to it ({place.name}.wal is there); open an export for reading only", file=place
        )
    if facts is not None:
        lake = _lake_of(place) if facts.st_size <= _MOST_BYTES else None
        if lake is None:
            raise UsageError(
                "is no export, or tables were added to it; name another file, or remove this one", file=place
            )
        if lake != str(settings.lake):
            raise UsageError(
                f"is an export of another lake ({lake}); name another file, or remove this one", file=place
            )


def _lake_of(place: Path) -> str | None:
    """Give the lake of an export; None where the file is something else.

    A copy is looked at: another program may have locked the file. Of what is not DuckDB's own nothing is opened, since
    DuckDB would look for an extension that can.
    """
    import duckdb

    with place.open("rb") as stream:
        if stream.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] != _MAGIC:
            return None
    with tempfile.TemporaryDirectory(prefix="cdp-export-") as folder:
        copy = Path(folder) / "copy"
        shutil.copyfile(place, copy)
        try:
            with Desk(new_connection(database=copy)) as desk:
                tables = desk.rows("SELECT schema_name, table_name FROM duckdb_tables()")
                if tables != [(DATABASE, TABLE)]:
                    return None
                rows = desk.rows(f"SELECT lake FROM {DATABASE}.{TABLE}")
        except duckdb.Error:
            return None
    return str(rows[0][0]) if len(rows) == 1 else None


def _path(name: str) -> str:
    database, _, own_name = name.partition(".")
    return f"{identifier(database)}.{identifier(own_name)}"
