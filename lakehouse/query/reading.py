"""The reading desk: one question of somebody else, answered from the files of the tables it names and from nothing else.

Before the statement runs, DuckDB may open these files only (``lakehouse.query.desk``), the configuration is locked, and
a read-only transaction has begun. Which statements come here stands in ``lakehouse.query.question``.

Columns that are masked are pseudonyms already where the statement meets them, in the view of the table: whatever it
does (``substr``, ``LIKE``, a join, a hash), it does to ``masked:`` and 16 hexadecimal digits. They come from a key that
is drawn for this one answer and is gone with it. So equal values have equal pseudonyms within one statement, in all of
its tables: they can be counted and joined. Two answers cannot be laid side by side, and no value can be tried out.
Of what is withheld, tags that may only exclude, there is one word for all values, so that not even their numbers are told.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from lakehouse.errors import UsageError
from lakehouse.query.deletions import require_rows
from lakehouse.query.desk import Desk, file_errors, new_connection, open_scratch, open_table
from lakehouse.query.files import file_paths, table_sql
from lakehouse.query.masks import Masks, masked_sql
from lakehouse.query.published import Publication
from lakehouse.query.question import Question
from lakehouse.query.words import duck_type, identifier
from lakehouse.settings.settings import Settings
from lakehouse.settings.yaml_files import did_you_mean

if TYPE_CHECKING:
    from deltalake import DeltaTable

_WORD = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True)
class Answer:
    """The rows of a statement, in its order, with the names of its columns; ``masked`` are columns it may have met masked.

    ``columns_read`` are those of the tables, by whatever name the statement has for them.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    masked: tuple[str, ...] = ()
    columns_read: frozenset[str] = frozenset()


class StatementFailed(UsageError):
    """A statement that ended by a value that it met; the sentence does not tell the value."""

    def __init__(self, kind: str, columns_read: frozenset[str]) -> None:
        super().__init__(
            f"the SQL failed on a value that it met ({kind}); which one is not told, so that no row leaves by an error. "
            "try_cast(… AS …) gives null where a value does not fit"
        )
        self.columns_read = columns_read


def check_tables(question: Question, publication: Publication) -> None:
    """Refuse a question about a table that is not published, with the nearest name."""
    for table in question.tables:
        if table not in publication.tables:
            raise UsageError(unknown_table(table, publication))


def unknown_table(table: str, publication: Publication) -> str:
    """Give the sentence about a table that is not published."""
    return f"no published table is called '{table}'{did_you_mean(table, sorted(publication.tables))}"


def published_table(settings: Settings, publication: Publication, table: str) -> DeltaTable:
    """Give a table at its published version."""
    return open_table(settings, table, publication.tables[table])


def types_of(table: DeltaTable) -> dict[str, Any]:
    """Give the types of a table's columns, in its order, as Delta writes them."""
    return {field["name"]: field["type"] for field in json.loads(table.schema().to_json())["fields"]}


def answer(question: Question, settings: Settings, publication: Publication, masks: Masks) -> Answer:
    """Answer a question from the tables of a publication.

    An error that DuckDB finds before a row is read is raised as it is, a later one is ``StatementFailed``.
    """
    check_tables(question, publication)
    names = publication.tables if question.reads_catalogue else question.tables
    tables = {name: published_table(settings, publication, name) for name in names}
    for name in question.tables:
        require_rows(settings, name, tables[name], str(publication.business_date))
    files = [file for name in question.tables for file in file_paths(tables[name])]
    masked: list[str] = []
    key = secrets.token_hex(32)
    with Desk(new_connection(settings.time_zone, files=files)) as desk:
        for name, table in tables.items():
            fields = types_of(table)
            if name in question.tables:
                column_masks = masks(name, fields)
                masked += [
                    f"{name}.{column}" for column in fields
                    if column in column_masks and (question.has_star or column.lower() in question.columns)
                ]  # fmt: skip
                sql = masked_sql(table_sql(table, name), fields, column_masks, key)
            else:
                # Only to be listed: a question about its rows names it.
                nulls = (f"CAST(NULL AS {duck_type(kind)}) AS {identifier(c)}" for c, kind in fields.items())
                sql = f"SELECT {', '.join(nulls)} WHERE false"
            database, _, own_name = name.partition(".")
            with file_errors():
                desk.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(database)}")
                desk.connection.execute(f"CREATE VIEW {identifier(database)}.{identifier(own_name)} AS {sql}")
        columns_read = _begin(desk, question)
        try:
            columns_of_answer, rows = _run(desk, question)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as wrong:
            raise StatementFailed(type(wrong).__name__.removesuffix("Exception"), columns_read) from None
    return Answer(columns_of_answer, rows, tuple(masked), columns_read)


def answer_alone(question: Question) -> Answer:
    """Answer a question that names no table."""
    with open_scratch() as desk:
        _begin(desk, question)
        return Answer(*_run(desk, question))


def _begin(desk: Desk, question: Question) -> frozenset[str]:
    """Begin to read, plan the statement and give the columns that it will read from files, in small letters."""
    desk.connection.execute("BEGIN TRANSACTION READ ONLY")
    with file_errors():
        row = desk.connection.execute(f"EXPLAIN (FORMAT json) {question.text}").fetchone()
    try:
        waiting = json.loads(row[1]) if row else []
    except RecursionError:
        raise UsageError("the SQL is nested too deep to be read") from None
    columns_read: set[str] = set()
    while waiting:
        part = waiting.pop()
        waiting += part["children"]
        if part["name"].strip() == "READ_PARQUET":
            columns_read |= set(_WORD.findall(json.dumps(part["extra_info"]).lower()))
    return frozenset(columns_read)


def _run(desk: Desk, question: Question) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    with file_errors():
        result = desk.connection.execute(question.text)
        return tuple(column[0] for column in result.description or ()), result.fetchall()
