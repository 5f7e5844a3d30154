"""States of many nights at once: from what was told on which night to the rows the nights would have left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Literal

from lakehouse.contracts.contract import Contract
from lakehouse.errors import ContractBroken
from lakehouse.query.scratch import scratch

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.tables.lake import Lake


def load_state_history(
    lake: Lake,
    found: Contract,
    rows: pa.Table,
    *,
    feed: str,
    told_on: Sequence[date],
    mode: Literal["snapshot", "delta"],
) -> int:
    """Write the states that ``feed`` told on the nights ``told_on``, in one commit; give the number of rows.

    ``rows`` has the contract's business columns, ``_file``, ``_row`` and ``_arrived_on`` (the night), one row per key
    and night. The table must hold nothing of the feed: ``ContractBroken`` otherwise.
    """
    if lake.read_arrow(found.name, columns=["_feed"], filters=[("_feed", "=", feed)]).num_rows:
        raise ContractBroken(
            f"{found.name} holds states of {feed} already; a history goes before the first night"
        )
    states = state_intervals(rows, found, feed=feed, told_on=told_on, mode=mode)
    lake.append(found.name, states)
    return states.num_rows


def state_intervals(
    rows: pa.Table,
    found: Contract,
    *,
    feed: str,
    told_on: Sequence[date],
    mode: Literal["snapshot", "delta"],
) -> pa.Table:
    """Give the state rows with their validity, by the rules of ``lakehouse.states.states``.

    A key told again with the same content stays as it is, with the file it first came from. In mode ``snapshot`` a
    key absent on a night ends there; in mode ``delta`` it stays until it is told otherwise.
    """
    import pyarrow as pa

    nights = pa.table(
        {"night": pa.array(told_on, pa.date32()), "nth": pa.array(range(len(told_on)), pa.int64())}
    )
    keys = ", ".join(f'"{name}"' for name in found.key)
    content = ", ".join(f'"{name}" := "{name}"' for name in found.business_columns)
    gap = "nth <> before_nth + 1" if mode == "snapshot" else "false"
    ends = (
        "(SELECT night FROM nights WHERE nights.nth = spans.ends_nth + 1)"
        if mode == "snapshot"
        else f"lead(valid_from) OVER (PARTITION BY {keys} ORDER BY valid_from)"
    )
    query = f"""
    WITH placed AS (
      SELECT told.*, nights.nth, struct_pack({content}) AS content FROM told JOIN nights ON told._arrived_on = nights.night
    ), compared AS (
      SELECT *, lag(content) OVER w AS before, lag(nth) OVER w AS before_nth FROM placed
      WINDOW w AS (PARTITION BY {keys} ORDER BY nth)
    ), numbered AS (
      SELECT *, sum(CASE WHEN before_nth IS NULL OR {gap} OR content IS DISTINCT FROM before THEN 1 ELSE 0 END)
        OVER (PARTITION BY {keys} ORDER BY nth) AS span
      FROM compared
    ), spans AS (
      SELECT {keys}, arg_min(struct_pack(content := content, "_file" := "_file", "_row" := "_row"), nth) AS opened,
        min(_arrived_on) AS valid_from, max(nth) AS ends_nth
      FROM numbered GROUP BY {keys}, span
    )
    SELECT unnest(opened.content), opened._file, opened._row, '{feed}' AS _feed, valid_from, {ends} AS valid_to FROM spans
    """
    schema = found.arrow_schema()
    with scratch() as connection:
        connection.register("told", rows)
        connection.register("nights", nights)
        return connection.sql(query).to_arrow_table().select(schema.names).cast(schema)
