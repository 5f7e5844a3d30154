"""Connections for short questions keep what they make to themselves."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from lakehouse.query.scratch import scratch


def test_connections_open_at_once_do_not_see_each_others_rows():
    with scratch() as one, scratch() as other:
        for connection, number in ((one, 1), (other, 2)):
            connection.register("given", pa.table({"n": [number]}))
            connection.execute("CREATE TEMP TABLE kept AS SELECT n FROM given")
            connection.execute("SET VARIABLE n = ?::BIGINT", [number])
        for connection, number in ((one, 1), (other, 2)):
            found = connection.execute("SELECT n, getvariable('n') FROM kept JOIN given USING (n)").fetchall()
            assert found == [(number, number)]


def test_nothing_is_left_for_the_next_connection_even_after_an_error():
    with pytest.raises(duckdb.Error), scratch() as connection:
        connection.execute("CREATE TEMP TABLE kept AS SELECT 1 AS n")
        connection.execute("SELECT nothing")
    with scratch() as connection:
        assert connection.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
        with pytest.raises(duckdb.CatalogException):
            connection.execute("SELECT n FROM kept")
