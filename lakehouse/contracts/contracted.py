"""Tables as their contracts say, whatever they were like when an older publication was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.contracts.reading import contract, contract_names
from lakehouse.query.files import table_sql

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk
    from lakehouse.query.reader import TableReader


def contracted_sql(reader: TableReader, desk: Desk, table: str) -> str:
    """Give SQL that reads a table with all columns of its contract: those it had not yet when it was published are null.

    A table that was not there yet has no rows. One whose columns follow from a workspace is read as it is.
    """
    if table not in contract_names():
        return table_sql(reader.delta(table), table)
    schema = contract(table).arrow_schema()
    if not reader.exists(table):
        return f"SELECT * FROM {desk.lend(table, schema.empty_table())}"
    delta = reader.delta(table)
    sql = table_sql(delta, table)
    if set(schema.names) <= {field.name for field in delta.schema().fields}:
        return sql
    return f"{sql} UNION ALL BY NAME SELECT * FROM {desk.lend(table, schema.empty_table())}"
