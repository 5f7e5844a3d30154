"""The desk: questions to the tables of a lake and to rows in memory, in DuckDB's SQL and without a JVM.

A desk is opened over the newest versions of a lake, over a publication, or over no table at all. Statements name tables
as ``database.table``; the desk makes them known at its versions. What a desk keeps for later statements is a
``Relation``, an object that is passed on: its name is made here, so nobody can read what was not handed over.

What a desk may touch of the disk is said when it is opened and cannot be changed: DuckDB's external access is off but
for that, no extension is installed or loaded, and the configuration is locked. Beside its own private folder, to which
DuckDB spills what does not fit into memory,

- a *scratch* desk and one *alone* touch nothing but the folders they are opened with: the lake for what reads or
  writes its files, the folder of one feed's records for ingestion;
- a desk over the *newest* versions touches the lake;
- a desk over a *publication* touches the folders of the tables it names (``lakehouse.query.published``);
- the *reading* desk, the only one that runs a statement of somebody else, touches the files of the tables that the
  statement names, and writes nothing (``lakehouse.query.reading``).
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lakehouse.errors import SettingsInvalid, StepFailed, disk_refusal, memory_refusal
from lakehouse.query.arrow import postpone_pandas
from lakehouse.query.files import delta_for_readers, escaped_pattern, table_sql
from lakehouse.query.words import identifier, literal, literals
from lakehouse.settings.settings import FILE_NAME, Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

log = logging.getLogger("cdp.sql")

_SPILL = "cdp-spill-"
_TABLE = re.compile(r"\b(landing|trusted|identity|tags|marts|segments|quality|ops)\.([a-z_][a-z_0-9]*)\b")
_VARIABLE = re.compile(r"\$([a-z_]+)\b")
_OF_PARQUET = re.compile(r"parquet|TProtocolException|[Ss]nappy|ZSTD|dictionary offset|page header", re.I)
_PARQUET_FILE = re.compile(r"""["']([^"']+\.parquet)["']""")
FIND_DAMAGE = "`cdp fsck --deep` names all that is damaged, to be restored from a backup"
_LITERAL = re.compile(r"('(?:[^']|'')*')")

# A process that works on more lakes at once than this opens their databases again.
_MOST_SHARED = 8
_spill_numbers = count(1)
# What a workspace says of DuckDB's memory, by name; see ``limit_memory``.
_limits: dict[str, str] = {}

# Gives SQL that reads a table, by the table's name.
Source = Callable[[str], str]


@dataclass(frozen=True)
class Relation:
    """Rows that a desk keeps: the unique name it gave them, and their columns. In SQL text it stands as its name."""

    name: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        """Give the name as SQL text names it."""
        return identifier(self.name)


class Desk:
    """One connection to DuckDB; see the module. Close it, or use it in a ``with`` block."""

    def __init__(self, connection: DuckDBPyConnection, *, source: Source | None = None) -> None:
        self.connection = connection
        self._source = source
        self._tables: set[str] = set()
        self._numbers = count(1)
        self._variables: set[str] = set()

    def __enter__(self) -> Self:
        """Give the desk itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; its relations are gone."""
        self.connection.close()

    # -- relations -----------------------------------------------------------------------------------------

    def keep(self, label: str, sql: str) -> Relation:
        """Keep the rows of a query; ``label`` says in plans and errors what they are."""
        return self._new(label, "TEMP TABLE", sql)

    def define(self, label: str, sql: str) -> Relation:
        """Give a relation that is computed at every use."""
        return self._new(label, "TEMP VIEW", sql)

    def take(self, label: str, rows: pa.Table) -> Relation:
        """Keep a copy of Arrow rows."""
        lent = self.lend(label, rows)
        try:
            return self.keep(label, f"SELECT * FROM {lent}")
        finally:
            self.connection.unregister(lent.name)

    def lend(self, label: str, rows: Any) -> Relation:
        """Give a relation over Arrow rows where they are; a reader can be read once."""
        relation = Relation(self._name(label), tuple(rows.schema.names))
        self.connection.register(relation.name, rows)
        return relation

    def extend(self, relation: Relation, sql: str) -> None:
        """Add the rows of a query to a kept relation; its columns are those of the relation, in order."""
        self.run(f"INSERT INTO {relation} {sql}")

    def add(self, relation: Relation, rows: pa.Table) -> None:
        """Add Arrow rows to a kept relation; their columns are those of the relation, in order."""
        lent = self.lend(relation.name, rows)
        try:
            self.extend(relation, f"SELECT * FROM {lent}")
        finally:
            self.connection.unregister(lent.name)

    def drop(self, relation: Relation) -> None:
        """Let the rows of a kept relation go."""
        self.connection.execute(f"DROP TABLE IF EXISTS {relation}")

    # -- questions -----------------------------------------------------------------------------------------

    def arrow(self, sql: str) -> pa.Table:
        """Give the rows of a query as an Arrow table."""
        with file_errors():
            return self.connection.sql(self.text(sql)).to_arrow_table()

    def reader(self, sql: str, batch_rows: int) -> pa.RecordBatchReader:
        """Give the rows of a query batch by batch; nothing else is asked of this desk until they are read."""
        with file_errors():
            return self.connection.sql(self.text(sql)).to_arrow_reader(batch_rows)

    def rows(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Give the few rows of a query as tuples; ``parameters`` stand for ``?``.

        They are fetched at once: DuckDB starts nothing else on a connection that has rows waiting.
        """
        with file_errors():
            return self.connection.execute(self.text(sql), parameters or []).fetchall()

    def named_rows(self, sql: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Give the names of the columns of a query, and its few rows as tuples."""
        with file_errors():
            result = self.connection.execute(self.text(sql))
            return tuple(column[0] for column in result.description or ()), result.fetchall()

    def records(self, sql: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
        """Give the few rows of a query, each as its values by the names of the columns."""
        with file_errors():
            result = self.connection.execute(self.text(sql), parameters or [])
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def value(self, sql: str) -> Any:
        """Give the single value of a query."""
        return self.rows(sql)[0][0]

    def run(self, sql: str) -> None:
        """Execute a statement that gives no rows."""
        self.rows(sql)

    def add_function(self, name: str, answers: Callable[..., Any], kinds: Sequence[str], kind: str) -> None:
        """Let later statements call ``name``: of Arrow columns of these ``kinds``, nulls included, it gives one of ``kind``."""
        from duckdb.func import FunctionNullHandling, PythonUDFType

        self.connection.create_function(
            name,
            answers,
            list(kinds),
            kind,
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )

    def let(self, **values: object) -> None:
        """Set variables: ``let(day=d)`` makes ``$day`` stand for ``d`` in every later statement."""
        for name, value in values.items():
            self.connection.execute(f"SET VARIABLE {name} = {literal(value)}")
            self._variables.add(name)

    def session(self) -> Desk:
        """Give a second connection to the same database, for another thread; temporary relations are not seen there."""
        return Desk(self.connection.cursor(), source=self._source)

    def view(self, table: str) -> str:
        """Make a table of the lake known as ``database.table`` and give that name."""
        if self._source is not None and table not in self._tables:
            database, _, name = table.partition(".")
            sql = self._source(table)
            with file_errors():
                self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(database)}")
                self.connection.execute(
                    f"CREATE OR REPLACE VIEW {identifier(database)}.{identifier(name)} AS {sql}"
                )
            self._tables.add(table)
        return table

    def renew(self, *tables: str) -> None:
        """Let statements that come see the newest versions of these tables; see ``view``."""
        self._tables.difference_update(tables)

    def text(self, sql: str) -> str:
        """Give a statement ready to run: the tables it names are known, its variables are read.

        What stands in a literal is a value: an event may be called ``ops.click``.
        """
        if self._source is not None:
            for table in table_names(sql):
                self.view(table)
        return with_variables(sql, {name: f"getvariable('{name}')" for name in self._variables})

    def _new(self, label: str, kind: str, sql: str) -> Relation:
        name = self._name(label)
        with file_errors():
            self.connection.execute(f"CREATE {kind} {identifier(name)} AS {self.text(sql)}").fetchall()
        description = self.connection.execute(f"SELECT * FROM {identifier(name)} LIMIT 0").description
        return Relation(name, tuple(column[0] for column in description or ()))

    def _name(self, label: str) -> str:
        # Without a point: a relation that is called like a table is none, and the table may not be there.
        return f"{label.replace('.', ' ')} {next(self._numbers)}"


def table_names(sql: str) -> list[str]:
    """Give the tables of a lake that a statement names, each once."""
    code = "''".join(_LITERAL.split(sql)[::2])
    return [f"{database}.{name}" for database, name in dict.fromkeys(_TABLE.findall(code))]


def with_variables(sql: str, values: Mapping[str, str]) -> str:
    """Give a statement with SQL in place of each ``$name``, but for those that stand in a literal."""
    if not values:
        return sql
    parts = _LITERAL.split(sql)
    parts[::2] = [_VARIABLE.sub(lambda name: values.get(name[1], name[0]), part) for part in parts[::2]]
    return "".join(parts)


@contextmanager
def open_scratch(time_zone: str = "UTC", *, folders: Iterable[Path] = ()) -> Iterator[Desk]:
    """Give a desk without tables, for a few statements, that may touch ``folders``.

    Those of one zone and the same folders share one database: to make one takes 15 ms.
    """
    with Desk(_shared_database(time_zone, tuple(folders)).cursor()) as desk:
        yield desk


@contextmanager
def file_errors() -> Iterator[None]:
    """Turn a Parquet file that cannot be read into one ``StepFailed`` without a value of it.

    Some damages invalidate the database that met them: the shared one is made anew for whoever comes next.
    """
    import duckdb

    try:
        yield
    except (duckdb.FatalException, duckdb.InternalException):
        _shared_database.cache_clear()
        raise StepFailed(
            f"a data file is damaged in a way that its reader cannot tell; {FIND_DAMAGE}"
        ) from None
    except (
        duckdb.BinderException,
        duckdb.CatalogException,
        duckdb.ParserException,
        duckdb.PermissionException,
    ):
        # What a statement says, not what a file holds.
        raise
    except duckdb.Error as wrong:
        text = str(wrong)
        if (full := memory_refusal(wrong)) is not None:
            raise full from None
        if "No space left" in text:
            raise StepFailed("the disk is full; free some and run the same command again") from None
        if not isinstance(wrong, duckdb.IOException) and not _OF_PARQUET.search(text):
            raise
        refusal = disk_refusal(wrong)
        if refusal is not None:
            raise refusal from None
        file = _PARQUET_FILE.search(text)
        raise StepFailed(
            f"the data file {file[1] if file else 'of a table'} is missing or damaged; {FIND_DAMAGE}"
        ) from None


@contextmanager
def table_errors(table: str) -> Iterator[None]:
    """Turn data files of a table that Arrow's reader cannot read into one ``StepFailed`` without a value of them."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as wrong:
        refusal = memory_refusal(wrong) or disk_refusal(wrong)
        raise refusal or StepFailed(f"{table}: a data file is missing or damaged; {FIND_DAMAGE}") from None


def open_alone(
    time_zone: str = "UTC",
    *,
    folders: Iterable[Path] = (),
    threads: int | None = None,
    memory: str | None = None,
    spill: Path | None = None,
) -> Desk:
    """Give a desk without tables, with a database of its own that several sessions may share; see ``new_connection``."""
    return Desk(new_connection(time_zone, folders=folders, threads=threads, memory=memory, spill=spill))


def open_newest(settings: Settings, time_zone: str = "UTC") -> Desk:
    """Give a desk over the newest version of every table; a table written after its first use keeps its first version."""
    connection = new_connection(time_zone, folders=[settings.lake])
    return Desk(connection, source=lambda table: newest_sql(settings, table))


def newest_sql(settings: Settings, table: str, version: int | None = None) -> str:
    """Give SQL that reads a table at a version, or at its newest one."""
    return table_sql(open_table(settings, table, version), table)


def open_table(settings: Settings, table: str, version: int | None = None) -> DeltaTable:
    """Give a table at a version, or at its newest one, for reading; see ``lakehouse.query.files.open_delta``."""
    return delta_for_readers(table_folder(settings, table), table, version)


def table_folder(settings: Settings, table: str) -> Path:
    """Give the folder of a table."""
    database, _, name = table.partition(".")
    return settings.lake / database / name


def limit_memory(settings: Settings) -> None:
    """Let every desk of this process that is opened from now on keep to ``engine.memory``, and spill where ``engine.spill`` says.

    A folder to spill to that is not there is made; one that cannot be used raises ``SettingsInvalid``.
    """
    engine = settings.engine
    if engine.spill is not None:
        try:
            Path(engine.spill).mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=engine.spill):
                pass
        except OSError as wrong:
            raise SettingsInvalid(
                f"engine.spill: the folder {engine.spill} cannot be used ({wrong.strerror})",
                file=settings.workspace / FILE_NAME,
            ) from None
    for name, value in (("memory", engine.memory), ("spill", engine.spill)):
        if value is None:
            _limits.pop(name, None)
        else:
            _limits[name] = value


def new_connection(
    time_zone: str = "UTC",
    *,
    database: Path | None = None,
    folders: Iterable[Path] = (),
    files: Iterable[Path] = (),
    threads: int | None = None,
    memory: str | None = None,
    spill: Path | None = None,
    storage: str | None = None,
) -> DuckDBPyConnection:
    """Give a connection to a new database that may touch these folders and files, and nothing else for good.

    It lies in memory, or in the file ``database``, which is written as the version ``storage`` of DuckDB reads it.
    ``memory`` is the most it takes before it spills to the folder ``spill``, or else to one of this process's own.
    """
    import duckdb

    postpone_pandas()
    memory = memory or _limits.get("memory")
    # Extensions are closed first: to look for one is external access.
    config: dict[str, Any] = {"threads": threads, "storage_compatibility_version": storage}
    connection = duckdb.connect(
        database or ":memory:", config={name: value for name, value in config.items() if value is not None}
    )
    settings = {
        "GLOBAL TimeZone": literal(time_zone),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",
        "temp_directory": literal(spill or _spill_folders() / str(next(_spill_numbers))),
        "allowed_directories": _listing(folders),
        "allowed_paths": _listing(files),
        "enable_external_access": "false",
    }
    if memory is not None:
        settings = {"memory_limit": literal(memory), **settings}
    for name, value in settings.items():
        connection.execute(f"SET {name} = {value}")
    connection.execute("SET lock_configuration = true")
    return connection


def _listing(paths: Iterable[Path]) -> str:
    """Give a list of paths, each also as the pattern that finds it: DuckDB compares what a statement writes."""
    names = {name for path in paths for name in (str(path), escaped_pattern(str(path)))}
    return f"[{literals(sorted(names))}]"


@cache
def _spill_folders() -> Path:
    """Make the folder for what this process's desks spill; nobody else may look into it, and it goes with the process.

    What a killed process left, rows of people among it, goes with the next one: a folder that nobody has locked is nobody's.
    """
    base = Path(_limits.get("spill") or tempfile.gettempdir())
    for folder in base.glob(f"{_SPILL}*"):
        if (handle := _locked(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)
    for _ in range(10):
        folder = Path(tempfile.mkdtemp(prefix=_SPILL, dir=base))
        # Held until the process ends; where another one took it for forgotten in the moment before, a new one is made.
        # A disk that cannot lock folders keeps what a killed process left.
        _locked(folder)
        if folder.is_dir():
            break
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _locked(folder: Path) -> int | None:
    """Give the handle of a folder that is now locked by this process; None where another one holds it, or may."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(handle).st_uid == os.getuid():
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        reason = "it is somebody else's"
    except OSError as wrong:
        reason = str(wrong.strerror)
    log.debug("%s stays: %s", folder, reason)
    os.close(handle)
    return None


@lru_cache(maxsize=_MOST_SHARED)
def _shared_database(time_zone: str, folders: tuple[Path, ...]) -> DuckDBPyConnection:
    return new_connection(time_zone, folders=folders)
