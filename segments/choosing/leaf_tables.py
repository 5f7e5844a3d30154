"""Making the leaf table of a night: the compiled Spark SQL, run by Spark or, on a small lake, inside the process.

Spark needs seconds of planning for a dozen small tables. Below ``IN_PROCESS_BYTES`` of input the same SQL, translated
by sqlglot, runs in DuckDB on the same Delta files; a test holds the two equal, run ids included.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.query.files import parquet_sql
from lakehouse.session.parquet import parquet_frame
from segments.choosing.compile import LIST_VIEW, MEMBERSHIPS, TAG_TABLE, LeafTable, Leaves
from segments.language.lists import StaticList

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.query.reader import TableReader
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.segments")
IN_PROCESS_BYTES = 1 << 30
Engine = Literal["spark", "duckdb"]


def make_leaf_table(
    lake: Lake,
    desk: Desk,
    leaf_table: LeafTable,
    lists: dict[str, StaticList],
    business_date: date,
    folder: Path,
    *,
    engine: Engine | None = None,
) -> Leaves:
    """Give the rows of the leaf table from what the night has written so far.

    Unless it is given, ``engine`` is what the settings say of a piece of the size of the tables that are read. What Spark writes
    stays in ``folder``, an empty one of the lake.
    """
    if engine is None:
        is_large = _input_bytes(lake, leaf_table) >= IN_PROCESS_BYTES
        engine = "spark" if lake.is_for_spark(is_large=is_large) else "duckdb"
    log.debug("leaf table of %d columns by %s", leaf_table.sql.count(" AS leaf_"), engine)
    if engine == "duckdb":
        return leaves_by_duckdb(lake, desk, leaf_table, lists, business_date)
    rows = _by_spark(lake, desk, leaf_table, list_rows(lists, business_date), folder)
    return Leaves(rows, leaf_table.columns_of, folder / "leaves")


def leaves_by_duckdb(
    reader: TableReader,
    desk: Desk,
    leaf_table: LeafTable,
    lists: dict[str, StaticList],
    business_date: date,
    *,
    people: Relation | None = None,
) -> Leaves:
    """Give the rows of the leaf table from the tables of a night or of a publication, inside this process.

    With ``people`` (one_id) those rows alone.
    """
    relations = {LIST_VIEW: desk.lend(LIST_VIEW, list_rows(lists, business_date))}
    if people is not None:
        among = f"WHERE one_id IN (SELECT one_id FROM {people})"
        rows_of_tags = f"SELECT * FROM ({contracted_sql(reader, desk, TAG_TABLE)}) {among}"
        relations[TAG_TABLE] = desk.define(TAG_TABLE, rows_of_tags)
        # Kept, so that the few of them are what the large tables are joined to.
        profiles = f"SELECT one_id, source, source_key, valid_to FROM ({contracted_sql(reader, desk, MEMBERSHIPS)}) {among}"
        relations[MEMBERSHIPS] = desk.keep(MEMBERSHIPS, profiles)
    sql = duckdb_sql(reader, desk, leaf_table.sql, leaf_table.tables, relations)
    return Leaves(desk.keep("leaf_table", sql), leaf_table.columns_of)


def list_rows(lists: dict[str, StaticList], business_date: date) -> pa.Table:
    """Give the entries of all lists that hold on the business date: list, one_id, source, source_key."""
    import pyarrow as pa

    schema = pa.schema(
        [("list", pa.string()), ("one_id", pa.int64()), ("source", pa.string()), ("source_key", pa.string())]
    )
    parts = [schema.empty_table()]
    for reference, entries in lists.items():
        holders = entries.holding(business_date)
        name = pa.repeat(pa.scalar(reference), holders.num_rows)
        parts.append(holders.add_column(0, "list", name).select(schema.names))
    return pa.concat_tables(parts)


def _by_spark(lake: Lake, desk: Desk, leaf_table: LeafTable, entries: pa.Table, folder: Path) -> Relation:
    import pyarrow.parquet as pq

    lake.register(leaf_table.tables)
    pq.write_table(entries, folder / "lists.parquet")
    parquet_frame(lake.spark, folder / "lists.parquet").createOrReplaceTempView(LIST_VIEW)
    lake.spark.sql(leaf_table.sql).write.parquet(str(folder / "leaves"))
    return desk.define("leaf_table", parquet_sql(sorted((folder / "leaves").glob("*.parquet"))))


def duckdb_sql(
    reader: TableReader,
    desk: Desk,
    sql: str,
    tables: Iterable[str],
    relations_by_name: Mapping[str, Relation],
) -> str:
    """Give Spark SQL over tables, at the reader's versions, and over relations of a desk as SQL of that desk."""
    relations = dict(relations_by_name)
    for name in tables:
        if name not in relations:
            relations[name] = desk.define(name, contracted_sql(reader, desk, name))
    return translated_sql(sql, relations)


def translated_sql(sql: str, relations: Mapping[str, Relation]) -> str:
    """Give Spark SQL as that of DuckDB; tables among the relations stand as these, others keep their names."""
    return _duckdb_text(sql, tuple((name, relation.name) for name, relation in relations.items()))


@lru_cache(maxsize=64)
def _duckdb_text(sql: str, names: tuple[tuple[str, str], ...]) -> str:
    import sqlglot
    from sqlglot import exp

    name_of = dict(names)
    query = sqlglot.parse_one(sql, read="spark")
    for table in list(query.find_all(exp.Table)):
        name = name_of.get(f"{table.db}.{table.name}" if table.db else table.name)
        if name is not None:
            table.set("this", exp.to_identifier(name, quoted=True))
            table.set("db", None)
    # A function that sqlglot leaves as it is.
    for function in list(query.find_all(exp.Anonymous)):
        if function.name.lower() == "arrays_overlap":
            function.set("this", "list_has_any")
    # Spark gives null for text that is no JSON, where DuckDB raises.
    for path in list(query.find_all(exp.JSONExtractScalar)):
        path.replace(exp.Case(ifs=[exp.If(this=exp.func("json_valid", path.this.copy()), true=path.copy())]))
    return query.sql(dialect="duckdb", copy=False)


def _input_bytes(lake: Lake, leaf_table: LeafTable) -> int:
    """Give the bytes of the files of all tables that are read, from the Delta logs alone."""
    import pyarrow as pa

    total = 0
    for table in leaf_table.tables:
        sizes = pa.table(lake.delta(table).get_add_actions(flatten=True)).column("size_bytes").to_pylist()
        total += sum(sizes)
    return total
