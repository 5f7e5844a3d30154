"""What changes at an endpoint: the difference between what it holds from us and the people of a run who have not withdrawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.query.desk import open_scratch
from lakehouse.query.words import identifier, literal

if TYPE_CHECKING:
    import pyarrow as pa


def hashed_rows(rows: pa.Table) -> pa.Table:
    """Give rows of recipient_key and published columns with ``row_hash`` beside them."""
    values = [identifier(name) for name in rows.column_names]
    with open_scratch() as desk:
        table = desk.lend("rows", rows)
        row = f"row({', '.join(values)})"
        return desk.arrow(
            f"SELECT *, sha256(CAST({row} AS VARCHAR)) AS row_hash FROM {table} ORDER BY recipient_key"
        )


def doubtful_holdings(holdings: pa.Table) -> pa.Table:
    """Give the people whom an endpoint held, as if no answer to any of them had come."""
    with open_scratch() as desk:
        rows = desk.lend("holdings", holdings)
        return desk.arrow(
            "SELECT * REPLACE (NULL::VARCHAR AS row_hash, true AS is_doubtful, false AS is_rejected)\n"
            f"FROM {rows} WHERE is_held"
        )


def operations_of(rows: pa.Table, holdings: pa.Table, *, run_id: str, news: pa.Table | None) -> pa.Table:
    """Give op, recipient_key and the columns of ``rows`` (hashed), in the order in which they are sent: first who leaves.

    Only keys of ``holdings`` leave: nobody is removed whom we did not add. Who is held in doubt enters again, which sets the
    row anew. ``news`` (recipient_key) are the people whose change is news since the run that the endpoint holds; None where it
    holds another one, and then every change is. What the endpoint rejected in this run it is not asked again, but to remove somebody
    it is asked until it does.
    """
    columns = [name for name in rows.column_names if name != "row_hash"]
    with open_scratch() as desk:
        people, there = desk.lend("people", rows), desk.lend("holdings", holdings)
        is_news = "true"
        if news is not None:
            is_news = f"h.row_hash IS NULL OR p.recipient_key IN (SELECT recipient_key FROM {desk.lend('news', news)})"
        changes = desk.keep(
            "changes",
            "SELECT CASE WHEN p.recipient_key IS NULL THEN 'EXIT' WHEN h.is_held AND NOT h.is_doubtful THEN 'UPDATE'"
            " ELSE 'ENTER' END AS op, coalesce(p.recipient_key, h.recipient_key) AS recipient_key,"
            " h.op AS last_op, coalesce(h.is_rejected, false) AS is_rejected, h.run_id\n"
            f"FROM {people} p FULL JOIN {there} h ON h.recipient_key = p.recipient_key\n"
            "WHERE CASE WHEN p.recipient_key IS NULL THEN h.is_held\n"
            "  WHEN h.is_held AND NOT h.is_doubtful THEN h.row_hash IS DISTINCT FROM p.row_hash"
            f" AND ({is_news}) ELSE true END",
        )
        values = ", ".join(f"p.{identifier(name)}" for name in columns if name != "recipient_key")
        return desk.arrow(
            f"SELECT c.op, c.recipient_key{', ' + values if values else ''}\n"
            f"FROM {changes} c LEFT JOIN {people} p ON p.recipient_key = c.recipient_key\n"
            f"WHERE NOT (c.is_rejected AND c.last_op = c.op AND c.op <> 'EXIT' AND c.run_id = {literal(run_id)})\n"
            "ORDER BY list_position(['EXIT', 'UPDATE', 'ENTER'], c.op), c.recipient_key"
        )
