"""Tables of the lake as identity asks them: one DuckDB connection over the versions of the moment, no JVM."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Protocol

import duckdb
import pyarrow as pa

_NAMED = re.compile(r"\b(identity|trusted)\.([a-z_]+)\b")


class Relations(Protocol):
    """Whoever knows where the rows of a table are: a lake its newest ones, a publication those it names."""

    def relation(self, table: str, connection: duckdb.DuckDBPyConnection) -> str:
        """Give SQL that reads the rows of a table."""


class Tables:
    """Reads tables by name in SQL; what was written after a table was first named is not seen."""

    def __init__(self, lake: Relations, business_date: date) -> None:
        self.lake = lake
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET VARIABLE day = ?::DATE", [business_date])
        self._made: set[str] = set()

    def since(self, last_night: date) -> None:
        """Let ``$before`` stand for the date of the night before."""
        self.connection.execute("SET VARIABLE before = ?::DATE", [last_night])

    def sql(self, statement: str) -> pa.Table:
        """Give the rows of a statement; ``$day`` is the business date, ``$before`` that of the night before."""
        return self.connection.sql(self._prepared(statement)).to_arrow_table()

    def one(self, statement: str) -> Any:
        """Give the single value of a statement."""
        return self.run(statement)[0][0]

    def keep(self, name: str, statement: str) -> None:
        """Keep the rows of a statement under a name for later ones."""
        self.run(f"CREATE OR REPLACE TEMP TABLE {name} AS {statement}")

    def take(self, name: str, rows: pa.Table) -> None:
        """Keep Arrow rows under a name."""
        self.connection.register("_taken", rows)
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM _taken")
        self.connection.unregister("_taken")

    def run(self, statement: str) -> list[Any]:
        """Execute a statement after making the tables it names known, and give its few rows.

        They are fetched at once: DuckDB starts nothing else on a connection that has rows waiting.
        """
        return self.connection.execute(self._prepared(statement)).fetchall()

    def _prepared(self, statement: str) -> str:
        for database, name in _NAMED.findall(statement):
            if f"{database}.{name}" not in self._made:
                body = self.lake.relation(f"{database}.{name}", self.connection)
                self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {database}")
                self.connection.execute(f"CREATE OR REPLACE VIEW {database}.{name} AS {body}")
                self._made.add(f"{database}.{name}")
        return statement.replace("$day", "getvariable('day')").replace("$before", "getvariable('before')")


# What the dictionary of OneIDs says of the kinds of people it has in the map.
KINDS = "SELECT coalesce(sum(hash(one_id, kind)), 0)::VARCHAR FROM identity.one_ids WHERE status = 'active'"
# Rows of trusted states as known on the day, or on that of the night before.
KNOWN = "valid_from <= $day AND (valid_to IS NULL OR valid_to > $day)"
WAS_KNOWN = "valid_from <= $before AND (valid_to IS NULL OR valid_to > $before)"
# Rows of our own states as the night before left them: what an earlier attempt of this night did is looked through.
LEFT = "valid_from < $day AND (valid_to IS NULL OR valid_to >= $day)"
# The same of the people the night before had in the map: a later attempt may have left others active.
KINDS_LEFT = f"""
SELECT coalesce(sum(hash(one_id, kind)), 0)::VARCHAR FROM identity.one_ids
WHERE one_id IN (SELECT one_id FROM identity.memberships WHERE {LEFT})
"""
