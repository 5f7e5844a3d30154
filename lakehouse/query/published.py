"""What is visible: the tables at the versions the newest publication names. No JVM.

``ops.publications`` gets one row per finished night, as its very last write. Whoever reads by it never sees a
half-written or refused night.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import StepFailed, UsageError
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    import duckdb
    from deltalake import DeltaTable

PUBLICATIONS = "ops.publications"


@dataclass(frozen=True)
class Publication:
    """One finished night: its business date, what it ran on, and the version of every table it made visible."""

    business_date: date
    run_id: str
    seq: int
    fingerprint: str
    tables: dict[str, int]
    summary: dict[str, Any]


def _delta_columns(source: DeltaTable, table: str) -> tuple[list[str], dict[str, str]]:
    """Give file URIs and column types of a Delta table version, refusing what Parquet readers would misread."""
    if source.protocol().min_reader_version > 1:
        raise StepFailed(
            f"{table} needs Delta reader version {source.protocol().min_reader_version}; it cannot be read as files"
        )
    types = {
        field.name: str(field.type.type if hasattr(field.type, "type") else field.type)
        for field in source.schema().fields
    }
    partitioned = {name: types[name] for name in source.metadata().partition_columns}
    return source.file_uris(), partitioned


_DUCK_TYPES = {
    "date": "DATE",
    "string": "VARCHAR",
    "integer": "INTEGER",
    "long": "BIGINT",
    "boolean": "BOOLEAN",
}


def relation_sql(settings: Settings, table: str, version: int | None = None) -> str:
    """Give DuckDB SQL that reads one version of a table from its Parquet files."""
    from deltalake import DeltaTable

    database, _, name = table.partition(".")
    return sql_of(DeltaTable(settings.lake / database / name, version=version), table)


def sql_of(source: DeltaTable, table: str) -> str:
    """Give DuckDB SQL that reads an opened table, called ``table``, from its Parquet files."""
    uris, partitioned = _delta_columns(source, table)
    if not uris:
        return _empty_sql(source)
    files = ", ".join("'" + uri.replace("'", "''") + "'" for uri in sorted(uris))
    casts = ", ".join(
        f'CAST("{n}" AS {_DUCK_TYPES.get(t, "VARCHAR")}) AS "{n}"' for n, t in partitioned.items()
    )
    columns = f"* REPLACE ({casts})" if casts else "*"
    return (
        f"SELECT {columns} FROM read_parquet([{files}], hive_partitioning={'true' if casts else 'false'}, "
        "union_by_name=true, hive_types_autocast=false)"
    )


def _empty_sql(source: DeltaTable) -> str:
    """Give SQL for an empty relation with the table's columns."""
    fields = json.loads(source.schema().to_json())["fields"]
    columns = ", ".join(f'CAST(NULL AS {_duck_type(field["type"])}) AS "{field["name"]}"' for field in fields)
    return f"SELECT {columns} WHERE false"


def _duck_type(kind: Any) -> str:
    if isinstance(kind, dict):
        if kind["type"] == "array":
            return f"{_duck_type(kind['elementType'])}[]"
        inner = ", ".join(f'"{field["name"]}" {_duck_type(field["type"])}' for field in kind["fields"])
        return f"STRUCT({inner})"
    if kind == "timestamp":
        return "TIMESTAMPTZ"
    if kind.startswith("decimal"):
        return kind.upper()
    return {"double": "DOUBLE", "float": "FLOAT", "short": "SMALLINT"}.get(
        kind, _DUCK_TYPES.get(kind, "VARCHAR")
    )


def publications(settings: Settings) -> list[Publication]:
    """Give all publications, newest business date and newest attempt last; empty before the first night."""
    if not (settings.lake / "ops" / "publications" / "_delta_log").is_dir():
        return []
    import duckdb

    # By DuckDB rather than ``deltalake``'s own reader, which imports pandas: a second of every `cdp sql`.
    columns = ("business_date", "run_id", "seq", "fingerprint", "tables", "summary")
    statement = f"SELECT {', '.join(columns)} FROM ({relation_sql(settings, PUBLICATIONS)})"
    rows = [dict(zip(columns, row, strict=True)) for row in duckdb.connect().execute(statement).fetchall()]
    found = [
        Publication(
            business_date=row["business_date"],
            run_id=row["run_id"],
            seq=row["seq"],
            fingerprint=row["fingerprint"],
            tables={entry["table"]: entry["version"] for entry in row["tables"]},
            summary=json.loads(row["summary"]),
        )
        for row in rows
    ]
    return sorted(found, key=lambda p: p.seq)


def newest_publication(settings: Settings, as_of: date | None = None) -> Publication | None:
    """Give the publication readers see: the last one, or the last one of business date ``as_of``."""
    found = [p for p in publications(settings) if as_of is None or p.business_date == as_of]
    return found[-1] if found else None


class Published:
    """A DuckDB connection over one publication; ``view`` or ``sql`` make the tables a statement needs."""

    def __init__(self, settings: Settings, publication: Publication) -> None:
        import duckdb

        self.settings = settings
        self.publication = publication
        self.connection: duckdb.DuckDBPyConnection = duckdb.connect()
        self.connection.execute(f"SET TimeZone = '{settings.time_zone}'")
        self._made: set[str] = set()

    def view(self, table: str) -> str:
        """Make ``table`` known to the connection at its published version and give its name."""
        if table not in self._made:
            database = table.partition(".")[0]
            self.connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{database}"')
            self.connection.execute(
                f"CREATE OR REPLACE VIEW {table} AS {self.relation(table, self.connection)}"
            )
            self._made.add(table)
        return table

    def relation(self, table: str, connection: duckdb.DuckDBPyConnection) -> str:
        """Give SQL for any connection that reads ``table`` at its published version."""
        if table not in self.publication.tables:
            from lakehouse.settings.yaml_files import did_you_mean

            raise UsageError(
                f"no published table is called '{table}'{did_you_mean(table, sorted(self.publication.tables))}"
            )
        return relation_sql(self.settings, table, self.publication.tables[table])

    def views(self, tables: Iterable[str]) -> None:
        """Make several tables known."""
        for table in tables:
            self.view(table)

    def sql(self, statement: str, parameters: list[Any] | None = None) -> Any:
        """Run a statement after making every published table it names known; give DuckDB's relation result."""
        self.views(named_tables(statement, list(self.publication.tables)))
        return self.connection.execute(statement, parameters or [])


def named_tables(statement: str, known: list[str]) -> list[str]:
    """Give the ``database.table`` names a statement reads, in order of appearance.

    An unknown table of a database of ours is reported with its nearest name; a syntax error as what it is.
    """
    import sqlglot
    from sqlglot import exp

    try:
        trees = sqlglot.parse(statement, dialect="duckdb")
    except sqlglot.errors.ParseError as wrong:
        detail = wrong.errors[0] if wrong.errors else {}
        where = f" near line {detail.get('line')}, column {detail.get('col')}" if detail else ""
        raise UsageError(
            f"the SQL cannot be read{where}: {detail.get('description', 'syntax error')}"
        ) from None
    found: list[str] = []
    for tree in trees:
        for table in tree.find_all(exp.Table) if tree is not None else ():
            if table.db:
                found.append(f"{table.db}.{table.name}".lower())
    return list(dict.fromkeys(found))


def open_published(settings: Settings, as_of: date | None = None) -> Published:
    """Give a DuckDB connection over the newest publication, or the one of ``as_of``."""
    publication = newest_publication(settings, as_of)
    if publication is None:
        which = f"for {as_of}" if as_of else "yet"
        raise UsageError(
            f"nothing was published {which} in {settings.workspace}; run `cdp nightly --date D` first"
        )
    return Published(settings, publication)


def table_folder(settings: Settings, table: str) -> Path:
    """Give the folder of a table."""
    database, _, name = table.partition(".")
    return settings.lake / database / name
