"""Changing a state table from an Arrow table without a JVM: the same rows as ``lakehouse.states``, in one commit.

For rooms that compute on the driver. The change set is found by DuckDB; inserts alone are an append, anything else
is one MERGE by ``deltalake`` whose source is the change set only.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Literal

from lakehouse.contracts import Contract, contract
from lakehouse.errors import ContractBroken
from lakehouse.states import StateCounts

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.lake import Lake


def change_states_of_arrow(
    lake: Lake,
    table: str,
    rows: pa.Table,
    *,
    feed: str,
    business_date: date,
    mode: Literal["snapshot", "delta"],
) -> StateCounts:
    """Write what ``feed`` says on ``business_date``; ``rows`` as for ``Lake.change_states``, one row per key."""
    found = contract(table)
    if found.shape != "state":
        raise ContractBroken(f"{table} is a {found.shape}, not a state table")
    schema = found.arrow_schema()
    wanted = [name for name in found.columns if name not in ("_feed", "valid_from", "valid_to")]
    missing = [name for name in wanted if name not in rows.column_names]
    if missing:
        raise ContractBroken(f"rows for {table} lack column '{missing[0]}'")
    incoming = rows.select(wanted).cast(_only(schema, wanted))
    actions = _actions(_current(lake, table, feed, business_date), incoming, found, feed, business_date, mode)
    counts = {
        row["_action"]: row["_action_count"]
        for row in actions.group_by("_action").aggregate([("_action", "count")]).to_pylist()
    }
    done = StateCounts(counts.get("insert", 0), counts.get("update", 0), counts.get("delete", 0))
    if not counts:
        return done
    if set(counts) == {"insert"}:
        lake.append(table, actions.select(list(found.columns)))
        return done
    _merge(lake, found, actions)
    return done


def _only(schema: pa.Schema, names: list[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([schema.field(name) for name in names])


def _current(lake: Lake, table: str, feed: str, business_date: date) -> pa.Table:
    """Give the rows night D can touch: open ones, and those it closed or opened in an earlier attempt."""
    import pyarrow.dataset as ds

    rows = lake.delta(table).to_pyarrow_dataset()
    touchable = ds.field("valid_to").is_null() | (ds.field("valid_to") >= business_date)
    return rows.to_table(filter=(ds.field("_feed") == feed) & touchable).cast(contract(table).arrow_schema())


def _actions(
    current: pa.Table, incoming: pa.Table, found: Contract, feed: str, business_date: date, mode: str
) -> pa.Table:
    """Give one row per change: the row as it shall be, and ``_action`` (insert, update, delete)."""
    import duckdb

    day = f"DATE '{business_date.isoformat()}'"
    columns = list(found.columns)
    business = list(found.business_columns)

    def equal(one: str, other: str, names: list[str]) -> str:
        return "(" + " AND ".join(f'{one}."{n}" IS NOT DISTINCT FROM {other}."{n}"' for n in names) + ")"

    def row(side: str, valid_to: str) -> str:
        return ", ".join(f'{valid_to} AS "{n}"' if n == "valid_to" else f'{side}."{n}"' for n in columns)

    on = " AND ".join(f'{{0}}."{k}" = {{1}}."{k}"' for k in found.key)
    first_key = found.key[0]
    says, knew, tried = (f'{side}."{first_key}" IS NOT NULL' for side in "ibt")
    same = f"({says} AND {knew} AND {equal('i', 'b', business)})"
    stays = f"({same} OR NOT ({says}))" if mode == "delta" else same
    ends = f"CASE WHEN {stays} THEN NULL ELSE {day} END"
    opens = f"({says} AND NOT {same})"
    connection = duckdb.connect()
    connection.register("current_rows", current)
    connection.register("incoming_rows", incoming)
    quoted_feed = feed.replace("'", "''")
    query = f"""
        WITH b AS (SELECT * FROM current_rows WHERE valid_from < {day} AND (valid_to IS NULL OR valid_to = {day})),
        t AS (SELECT * FROM current_rows WHERE valid_from = {day}),
        i AS (SELECT *, '{quoted_feed}' AS _feed, {day} AS valid_from, NULL::DATE AS valid_to FROM incoming_rows)
        SELECT 'update' AS _action, {row("b", ends)}
        FROM b LEFT JOIN i ON {on.format("b", "i")} WHERE b.valid_to IS DISTINCT FROM ({ends})
        UNION ALL
        SELECT 'delete', {row("t", "NULL::DATE")}
        FROM t LEFT JOIN i ON {on.format("t", "i")} LEFT JOIN b ON {on.format("t", "b")} WHERE NOT coalesce({opens}, false)
        UNION ALL
        SELECT CASE WHEN {tried} THEN 'update' ELSE 'insert' END, {row("i", "NULL::DATE")}
        FROM i LEFT JOIN b ON {on.format("i", "b")} LEFT JOIN t ON {on.format("i", "t")}
        WHERE {opens} AND NOT ({tried} AND {equal("i", "t", [*business, "_file", "_row"])})
    """
    import pyarrow as pa

    actions = connection.sql(query).to_arrow_table()
    fields = [pa.field("_action", pa.string()), *found.arrow_schema()]
    return actions.cast(pa.schema(fields))


def _merge(lake: Lake, found: Contract, actions: pa.Table) -> None:
    from deltalake import CommitProperties

    on = " AND ".join(f"t.{name} = s.{name}" for name in ("_feed", "valid_from", *found.key))
    values = {f"`{name}`": f"s.`{name}`" for name in found.columns}
    (
        lake.delta(found.name)
        .merge(
            source=actions,
            predicate=on,
            source_alias="s",
            target_alias="t",
            commit_properties=CommitProperties(custom_metadata={"userMetadata": lake.run_id}),
        )
        .when_matched_delete(predicate="s._action = 'delete'")
        .when_matched_update(updates=values, predicate="s._action = 'update'")
        .when_not_matched_insert(updates=values)
        .execute()
    )
