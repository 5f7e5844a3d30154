"""Making the leaf table of a night: the compiled Spark SQL, run by Spark or, on a small lake, inside the process.

Spark needs seconds of planning for a dozen small tables. Below ``IN_PROCESS_BYTES`` of input the same SQL, translated
by sqlglot, runs in DuckDB on the same Delta files; a test holds the two equal, run ids included.
"""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lakehouse.query.desk import newest_sql
from segments.choosing.compile import LIST_VIEW, LeafTable
from segments.language.lists import StaticList

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.segments")
IN_PROCESS_BYTES = 1 << 30
Engine = Literal["spark", "duckdb"]
# Functions of the compiled SQL that sqlglot leaves as they are.
_MACROS = ("CREATE OR REPLACE TEMP MACRO arrays_overlap(a, b) AS list_has_any(a, b)",)


def make_leaf_table(
    lake: Lake,
    connection: duckdb.DuckDBPyConnection,
    leaf_table: LeafTable,
    lists: dict[str, StaticList],
    business_date: date,
    *,
    engine: Engine | None = None,
) -> None:
    """Make ``leaf_table`` on the connection from what the night has written so far.

    ``engine`` is chosen by the size of the tables that are read unless it is given.
    """
    chosen = engine or ("duckdb" if _input_bytes(lake, leaf_table) < IN_PROCESS_BYTES else "spark")
    entries = list_rows(lists, business_date)
    log.debug("leaf table of %d columns by %s", leaf_table.sql.count(" AS leaf_"), chosen)
    if chosen == "spark":
        with lake.exchange("segments") as folder:
            _by_spark(lake, connection, leaf_table, entries, folder)
    else:
        _by_duckdb(lake, connection, leaf_table, entries)


def list_rows(lists: dict[str, StaticList], business_date: date) -> pa.Table:
    """Give the entries of all lists that hold on the business date: list, one_id, source, source_key."""
    import pyarrow as pa

    schema = pa.schema(
        [("list", pa.string()), ("one_id", pa.int64()), ("source", pa.string()), ("source_key", pa.string())]
    )
    rows = [
        {"list": reference, "one_id": e.one_id, "source": e.source, "source_key": e.source_key}
        for reference, found in lists.items()
        for e in found.holding(business_date)
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def _by_spark(
    lake: Lake, connection: duckdb.DuckDBPyConnection, leaf_table: LeafTable, entries: pa.Table, folder: Path
) -> None:
    import pyarrow.parquet as pq

    lake.register(leaf_table.tables)
    pq.write_table(entries, folder / "lists.parquet")
    lake.spark.read.parquet(str(folder / "lists.parquet")).createOrReplaceTempView(LIST_VIEW)
    lake.spark.sql(leaf_table.sql).write.parquet(str(folder / "leaves"))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE leaf_table AS FROM read_parquet('{folder}/leaves/*.parquet')"
    )


def _by_duckdb(
    lake: Lake, connection: duckdb.DuckDBPyConnection, leaf_table: LeafTable, entries: pa.Table
) -> None:
    import sqlglot

    connection.execute(f"SET TimeZone = '{lake.settings.time_zone}'")
    for macro in _MACROS:
        connection.execute(macro)
    for table in leaf_table.tables:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{table.partition(".")[0]}"')
        connection.execute(f"CREATE OR REPLACE VIEW {table} AS {newest_sql(lake.settings, table)}")
    connection.register(LIST_VIEW, entries)
    statement = sqlglot.transpile(leaf_table.sql, read="spark", write="duckdb")[0]
    connection.execute(f"CREATE OR REPLACE TEMP TABLE leaf_table AS {statement}")


def _input_bytes(lake: Lake, leaf_table: LeafTable) -> int:
    """Give the bytes of the files of all tables that are read, from the Delta logs alone."""
    import pyarrow as pa

    total = 0
    for table in leaf_table.tables:
        sizes = pa.table(lake.delta(table).get_add_actions(flatten=True)).column("size_bytes").to_pylist()
        total += sum(sizes)
    return total
