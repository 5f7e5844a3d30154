"""The change of a state table without a JVM, for tables that fit in memory: the rules of ``lakehouse.states.states``.

On the rows of a feed of ten thousand persons Spark takes three to four seconds of planning and log work, this a tenth
of a second; a night has twenty such tables. A test holds both to the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Literal

from lakehouse.contracts.contract import Contract
from lakehouse.query.scratch import scratch
from lakehouse.tables.packing import packed

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

    from lakehouse.tables.lake import Lake

# Incoming and stored rows up to here are compared in this process; a million wide rows take about a gigabyte.
MOST_ROWS = 1_000_000


def state_actions(
    stored: pa.Table,
    incoming: pa.Table,
    found: Contract,
    *,
    feed: str,
    business_date: date,
    mode: Literal["snapshot", "delta"],
    key: Sequence[str],
) -> pa.Table:
    """Give one row per change: ``_action`` (insert, update, delete) and all columns as the row shall be.

    ``stored`` are the feed's rows of the table, ``incoming`` what it says now, with business columns, ``_file`` and
    ``_row``, one row per key.
    """
    names = list(found.columns)
    business = list(found.business_columns)
    opened = {"_feed": f"'{feed}'", "valid_from": "getvariable('day')", "valid_to": "NULL::DATE"}

    def packed(columns: Sequence[str], table: str = "", instead: dict[str, str] | None = None) -> str:
        prefix = f"{table}." if table else ""
        fields = ", ".join(
            f'"{n}" := {(instead or {}).get(n) or prefix + chr(34) + n + chr(34)}' for n in columns
        )
        return f"struct_pack({fields})"

    keys = ", ".join(f'"{name}"' for name in key)
    same = f"(i IS NOT NULL AND b IS NOT NULL AND {packed(business, 'i')} IS NOT DISTINCT FROM {packed(business, 'b')})"
    stays = f"({same} OR (i IS NULL AND {'true' if mode == 'delta' else 'false'}))"
    opens = f"(i IS NOT NULL AND NOT {same})"
    content = [*business, "_file", "_row"]
    changed = f"{packed(content, 'i')} IS DISTINCT FROM {packed(content, 't')}"
    query = f"""
    WITH known AS (
      SELECT {keys}, {packed(names)} AS b FROM stored
      WHERE valid_from < getvariable('day') AND (valid_to IS NULL OR valid_to = getvariable('day'))
    ), tried AS (
      SELECT {keys}, {packed(names)} AS t FROM stored WHERE valid_from = getvariable('day')
    ), told AS (
      SELECT {keys}, {packed(names, "", opened)} AS i FROM incoming
    ), decided AS (
      SELECT b, t, i, {opens} AS opens, CASE WHEN NOT {stays} THEN getvariable('day') END AS ends
      FROM known FULL JOIN tried USING ({keys}) FULL JOIN told USING ({keys})
    ), changes AS (
      SELECT 'update' AS _action, {packed(names, "b", {"valid_to": "ends"})} AS c FROM decided
      WHERE b IS NOT NULL AND b.valid_to IS DISTINCT FROM ends
      UNION ALL
      SELECT 'delete', t FROM decided WHERE t IS NOT NULL AND NOT opens
      UNION ALL
      SELECT CASE WHEN t IS NULL THEN 'insert' ELSE 'update' END, i FROM decided
      WHERE opens AND (t IS NULL OR {changed})
    )
    SELECT _action, {", ".join(f'c."{name}" AS "{name}"' for name in names)} FROM changes
    """
    with scratch() as connection:
        connection.execute("SET VARIABLE day = ?::DATE", [business_date])
        connection.register("stored", stored)
        connection.register("incoming", incoming)
        changes = connection.sql(query).to_arrow_table()
    import pyarrow as pa

    schema = pa.schema([pa.field("_action", pa.string()), *found.arrow_schema()])
    return changes.select(schema.names).cast(schema)


def apply_actions(
    lake: Lake, found: Contract, actions: pa.Table, key: Sequence[str], *, table: DeltaTable | None = None
) -> None:
    """Write the changes in one commit: a plain append where rows are only added. ``table`` is the newest one, if opened."""
    from deltalake import CommitProperties, write_deltalake

    metadata = CommitProperties(custom_metadata={"userMetadata": lake.run_id})
    if set(actions["_action"].to_pylist()) == {"insert"}:
        write_deltalake(
            table or lake.path(found.name),
            actions.drop_columns(["_action"]),
            mode="append",
            commit_properties=metadata,
            writer_properties=packed(actions.schema),
        )
        return
    on = " AND ".join(f't."{name}" = s."{name}"' for name in ("_feed", "valid_from", *key))
    values = {f'"{name}"': f's."{name}"' for name in found.columns}
    (
        (table or lake.delta(found.name))
        .merge(
            actions,
            predicate=on,
            source_alias="s",
            target_alias="t",
            commit_properties=metadata,
            writer_properties=packed(actions.schema),
        )
        .when_matched_delete(predicate="s._action = 'delete'")
        .when_matched_update(updates=values)
        .when_not_matched_insert(updates=values)
        .execute()
    )
