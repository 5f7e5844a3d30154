"""Writes tables drawn as text into a lake, with the columns a test does not draw left null or filled by shape."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from lakehouse.contracts.reading import contract

EARLY = dt.date(2020, 1, 1)


def rows_of(text: str) -> list[dict[str, str | None]]:
    """Give the rows of a table drawn with ``|``; an empty cell or ``-`` is null."""
    lines = [line.strip().strip("|") for line in text.strip().splitlines()]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines if not set(line) <= set("-+| ")]
    names = cells[0]
    return [
        {name: (None if value in ("", "-") else value) for name, value in zip(names, row, strict=True)}
        for row in cells[1:]
    ]


def draw(lake, table: str, text: str, **everywhere: Any) -> None:
    """Append drawn rows to a table; ``everywhere`` gives columns the same value in every row."""
    write(lake, table, [{**everywhere, **row} for row in rows_of(text)])


def write(lake, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows whose cells may be texts; the columns that every row of the table's shape has are filled."""
    found = contract(table)
    filled = []
    for number, row in enumerate(rows, start=1):
        values = {"source": "bank", **row}
        if found.shape == "fact":
            day = values.get(found.event_date)
            values = {"_feed": "drawn", "_file": "drawn", "_row": number, "_arrived_on": day, **values}
        if found.shape == "state":
            values = {"_feed": "drawn", "_file": "drawn", "_row": number, "valid_from": EARLY, **values}
        filled.append({name: cell(values.get(name), column.type) for name, column in found.columns.items()})
    lake.append(table, pa.Table.from_pylist(filled, schema=found.arrow_schema()))


def cell(value: Any, kind: str) -> Any:
    """Give a drawn cell as a value of the column's type."""
    if value is None or not isinstance(value, str):
        return value
    if kind == "date":
        return dt.date.fromisoformat(value)
    if kind == "timestamp":
        return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
    if kind in ("int", "bigint"):
        return int(value)
    if kind.startswith("decimal"):
        return Decimal(value)
    return value == "true" if kind == "boolean" else value
