"""What is visible: the tables at the versions the newest publication names. No JVM.

``ops.publications`` gets one row per finished night, as its very last write. Whoever reads by it never sees a
half-written or refused night.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse.errors import UsageError
from lakehouse.query.desk import (
    Desk,
    file_errors,
    new_connection,
    newest_sql,
    open_scratch,
    open_table,
    table_folder,
)
from lakehouse.query.words import identifier, identifiers, literal
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

PUBLICATIONS = "ops.publications"


@dataclass(frozen=True)
class TableContent:
    """What a publication says of the bytes of one table: rows, files, their size, and a hash over their digests."""

    rows: int
    files: int
    bytes: int
    digest: str


@dataclass(frozen=True)
class Publication:
    """One finished night: its business date, what it ran on, and the version of every table it made visible.

    ``published_at_us`` is in microseconds since 1970 (UTC). ``contents`` and ``previous_hash`` are None where the night
    is older than they are: what it published cannot be verified.
    """

    business_date: date
    run_id: str
    seq: int
    fingerprint: str
    tables: dict[str, int]
    summary: dict[str, Any]
    published_at_us: int
    contents: dict[str, TableContent] | None = None
    previous_hash: str | None = None


def publications(settings: Settings) -> list[Publication]:
    """Give all publications, newest business date and newest attempt last; empty before the first night."""
    if not (settings.lake / "ops" / "publications" / "_delta_log").is_dir():
        return []
    # By DuckDB rather than ``deltalake``'s own reader, which imports pandas: a second of every `cdp sql`.
    with open_scratch(folders=[table_folder(settings, PUBLICATIONS)]) as desk:
        columns, values = desk.named_rows(
            "SELECT * REPLACE (epoch_us(published_at) AS published_at) "
            f"FROM ({newest_sql(settings, PUBLICATIONS)})"
        )
    rows = [dict(zip(columns, row, strict=True)) for row in values]
    entries = [
        Publication(
            business_date=row["business_date"],
            run_id=row["run_id"],
            seq=row["seq"],
            fingerprint=row["fingerprint"],
            tables={entry["table"]: entry["version"] for entry in row["tables"]},
            summary=json.loads(row["summary"]),
            published_at_us=row["published_at"],
            contents=_contents(row.get("contents")),
            previous_hash=row.get("previous_hash"),
        )
        for row in rows
    ]
    return sorted(entries, key=lambda p: p.seq)


def _contents(entries: list[dict[str, Any]] | None) -> dict[str, TableContent] | None:
    if entries is None:
        return None
    return {
        entry["table"]: TableContent(entry["rows"], entry["files"], entry["bytes"], entry["digest"])
        for entry in entries
    }


def newest_publication(settings: Settings, as_of: date | None = None) -> Publication | None:
    """Give the publication readers see: the last one, or the last one of business date ``as_of``."""
    entries = [p for p in publications(settings) if as_of is None or p.business_date == as_of]
    return entries[-1] if entries else None


class Published(Desk):
    """A desk over one publication: every table at the version it names. Days and times are those of the site.

    It may touch the folders of these tables. It runs statements of rooms only: what somebody else asks belongs to the
    reading desk (``lakehouse.query.reading``).
    """

    def __init__(self, settings: Settings, publication: Publication) -> None:
        self.folders = tuple(table_folder(settings, table) for table in publication.tables)
        super().__init__(new_connection(settings.time_zone, folders=self.folders), source=self.relation)
        self.settings = settings
        self.publication = publication

    def relation(self, table: str, connection: object = None) -> str:
        """Give SQL that reads ``table`` at its published version; an unknown one raises with its nearest name."""
        from lakehouse.query.deletions import require_rows

        require_rows(self.settings, table, self.delta(table), str(self.publication.business_date))
        return newest_sql(self.settings, table, self.version(table))

    def version(self, table: str) -> int:
        """Give the published version of a table; an unknown one raises with its nearest name."""
        if table not in self.publication.tables:
            from lakehouse.settings.yaml_files import did_you_mean

            raise UsageError(
                f"no published table is called '{table}'{did_you_mean(table, sorted(self.publication.tables))}"
            )
        return self.publication.tables[table]

    def exists(self, table: str) -> bool:
        """Tell whether the table is published."""
        return table in self.publication.tables

    def delta(self, table: str) -> DeltaTable:
        """Give a table at its published version."""
        return open_table(self.settings, table, self.version(table))

    def read_arrow(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        *,
        filters: list[tuple[str, str, Any]] | None = None,
    ) -> pa.Table:
        """Give the published rows of a table as an Arrow table; ``filters`` as ``deltalake`` takes them, all to hold."""
        # By DuckDB rather than ``deltalake``'s own reader, which imports pandas.
        conditions = [f"{identifier(name)} {sign} {literal(value)}" for name, sign, value in filters or ()]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return self.arrow(f"SELECT {identifiers(columns) if columns else '*'} FROM {table}{where}")

    def sql(self, statement: str, parameters: list[Any] | None = None) -> DuckDBPyConnection:
        """Run a statement of a room, parsed for the tables it names; give the connection with its result."""
        for table in named_tables(statement):
            self.view(table)
        with file_errors():
            return self.connection.execute(statement, parameters or [])


def named_tables(statement: str) -> list[str]:
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
    names: list[str] = []
    for tree in trees:
        for table in tree.find_all(exp.Table) if tree is not None else ():
            if table.db:
                names.append(f"{table.db}.{table.name}".lower())
    return list(dict.fromkeys(names))


def open_publication(settings: Settings, as_of: date | None = None) -> Published:
    """Give a desk over the newest publication, or the one of ``as_of``."""
    return Published(settings, require_publication(settings, as_of))


def require_publication(settings: Settings, as_of: date | None = None) -> Publication:
    """Give the newest publication, or the one of ``as_of``; ``UsageError`` where there is none."""
    publication = newest_publication(settings, as_of)
    if publication is None:
        which = f"for {as_of}" if as_of else "yet"
        raise UsageError(
            f"nothing was published {which} in {settings.workspace}; run `cdp nightly --date D` first"
        )
    return publication
