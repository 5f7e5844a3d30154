"""A reader's SQL statement and its rows, over what is published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from lakehouse.errors import UsageError
from lakehouse.query.desk import open_alone
from lakehouse.query.published import named_tables, open_publication
from lakehouse.settings.settings import load_settings


@dataclass(frozen=True)
class Answer:
    """The rows of a statement, in its order, with the names of its columns."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def rows_of(statement: str, workspace: Path | None, as_of: date | None = None) -> Answer:
    """Run a statement over the newest publication, or over that of ``as_of``.

    A statement that names no table of ours needs no workspace. A wrong statement raises ``UsageError``.
    """
    try:
        if named_tables(statement):
            result = open_publication(load_settings(workspace), as_of).sql(statement)
            return Answer(tuple(column[0] for column in result.description or ()), result.fetchall())
        return Answer(*open_alone().named_rows(statement))
    except duckdb.Error as wrong:
        raise UsageError(f"the SQL failed: {str(wrong).splitlines()[0]}") from None
