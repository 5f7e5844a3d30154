"""Short questions to DuckDB: connections that share one database in memory, since to make one takes 15 milliseconds.

What such a connection keeps for itself, temporary tables and registered rows, nobody else sees, and it is gone with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@contextmanager
def scratch() -> Iterator[DuckDBPyConnection]:
    """Give a connection for a few statements, in UTC; only temporary things may be made in it."""
    connection = _database().cursor()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


@cache
def _database() -> DuckDBPyConnection:
    import duckdb

    return duckdb.connect()
