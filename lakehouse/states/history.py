"""States of many nights at once: from what a feed says on each night to the rows that the nights leave."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from lakehouse.contracts.contract import Contract
from lakehouse.query.desk import open_scratch
from lakehouse.query.words import identifier, identifiers, literal
from lakehouse.states.rule import Mode

if TYPE_CHECKING:
    import pyarrow as pa


def state_intervals(
    rows: pa.Table,
    contract: Contract,
    *,
    feed: str,
    nights: Sequence[date],
    mode: Mode,
) -> pa.Table:
    """Give the state rows with their validity, by the rule of ``lakehouse.states.rule``.

    A key with the same content on the next night stays as it is, with the file it first came from. In mode ``snapshot``
    a key that is absent on a night ends there; in mode ``delta`` it stays until the feed says something else.
    """
    import pyarrow as pa

    calendar = pa.table(
        {"night": pa.array(nights, pa.date32()), "nth": pa.array(range(len(nights)), pa.int64())}
    )
    keys = identifiers(contract.key)
    content = ", ".join(f"{identifier(name)} := {identifier(name)}" for name in contract.business_columns)
    gap = "nth <> before_nth + 1" if mode == "snapshot" else "false"
    schema = contract.arrow_schema()
    with open_scratch() as desk:
        news, nth_night = desk.lend("news", rows), desk.lend("nights", calendar)
        ends = (
            f"(SELECT night FROM {nth_night} c WHERE c.nth = spans.ends_nth + 1)"
            if mode == "snapshot"
            else f"lead(valid_from) OVER (PARTITION BY {keys} ORDER BY valid_from)"
        )
        query = f"""
        WITH placed AS (
          SELECT r.*, c.nth, struct_pack({content}) AS content FROM {news} r JOIN {nth_night} c ON r._arrived_on = c.night
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
        SELECT unnest(opened.content), opened._file, opened._row, {literal(feed)} AS _feed, valid_from, {ends} AS valid_to FROM spans
        """
        return desk.arrow(query).select(schema.names).cast(schema)
