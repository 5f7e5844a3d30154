"""The change of a part of a state table without a JVM: whoever decides a few keys anew rewrites nobody else's rows.

The rules are those of ``lakehouse.states.states`` in mode ``snapshot``, for the keys whose column lies in a given set (or for
all). Rows that stay as they are fall out by one join before anything else is compared, so that five million rows of
which few change take seconds; an empty table is simply appended to.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from lakehouse.contracts.contract import Contract
from lakehouse.query.published import sql_of
from lakehouse.query.scratch import scratch
from lakehouse.states.small_states import apply_actions, state_actions

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from lakehouse.tables.lake import Lake


def change_part(
    lake: Lake,
    found: Contract,
    rows: pa.Table,
    *,
    feed: str,
    business_date: date,
    within: tuple[str, pa.Array] | None,
) -> None:
    """Bring the rows of ``feed`` whose column is among ``within`` (column, values) to ``rows``, in one commit or none.

    ``rows`` have the contract's business columns, ``_file`` and ``_row``, one row per key, all of them ``within``.
    """
    import pyarrow as pa

    told = [field for field in found.arrow_schema() if field.name not in ("_feed", "valid_from", "valid_to")]
    incoming = rows.select([field.name for field in told]).cast(pa.schema(told))
    table = lake.delta(found.name)
    moved = None
    if table.file_uris():
        with scratch() as connection:
            connection.execute("SET VARIABLE day = ?::DATE", [business_date])
            connection.register("incoming", incoming)
            moved, incoming = _differing(connection, sql_of(table, found.name), found, feed, within)
    if moved is None or not moved.num_rows:
        if incoming.num_rows:
            lake.append(found.name, _opened(incoming, feed, business_date))
        return
    actions = state_actions(
        moved, incoming, found, feed=feed, business_date=business_date, mode="snapshot", key=found.key
    )
    if actions.num_rows:
        apply_actions(lake, found, actions, found.key, table=table)


def _differing(
    connection: DuckDBPyConnection,
    source: str,
    found: Contract,
    feed: str,
    within: tuple[str, pa.Array] | None,
) -> tuple[pa.Table, pa.Table]:
    """Give the stored rows that may not stay as they are, and of the ``incoming`` ones those that are not there already."""
    import pyarrow as pa

    meant = ""
    if within is not None:
        connection.register("meant", pa.table({"one": within[1]}))
        meant = f'AND "{within[0]}" IN (SELECT one FROM meant)'
    names = ", ".join(f'"{name}"' for name in found.columns)
    connection.execute(
        f"""
        CREATE TEMP TABLE stored AS SELECT {names} FROM ({source}) WHERE _feed = '{feed}'
        AND (valid_to IS NULL OR valid_to = getvariable('day') OR valid_from = getvariable('day')) {meant}
        """
    )
    keys = ", ".join(f'"{name}"' for name in found.key)
    equal = " AND ".join(
        f's."{n}" IS NOT DISTINCT FROM i."{n}"' for n in found.business_columns if n not in found.key
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE stays AS
        SELECT {", ".join(f's."{k}"' for k in found.key)} FROM stored s JOIN incoming i USING ({keys})
        ANTI JOIN (SELECT {keys} FROM stored WHERE valid_from = getvariable('day')) tried USING ({keys})
        WHERE s.valid_from < getvariable('day') AND s.valid_to IS NULL AND {equal or "true"}
        """
    )
    moved, fresh = (
        connection.sql(f"SELECT * FROM {rows} ANTI JOIN stays USING ({keys})").to_arrow_table()
        for rows in ("stored", "incoming")
    )
    return moved, fresh


def _opened(incoming: pa.Table, feed: str, business_date: date) -> pa.Table:
    import pyarrow as pa

    size = incoming.num_rows
    return (
        incoming.append_column("_feed", pa.repeat(pa.scalar(feed), size))
        .append_column("valid_from", pa.repeat(pa.scalar(business_date, pa.date32()), size))
        .append_column("valid_to", pa.nulls(size, pa.date32()))
    )
