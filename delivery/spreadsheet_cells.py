"""Cells of a CSV audience that a spreadsheet would run as a formula, and what a destination wants done with them.

Which cells these are stands in ``delivery.contract.verify_audience``, by which consumers look for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from delivery.contract.verify_audience import is_formula

if TYPE_CHECKING:
    import pyarrow as pa

SpreadsheetRule = Literal["neutralise", "refuse", "keep"]
MARK = "'"


def formula_cells(rows: pa.Table) -> dict[str, int]:
    """Give the number of such cells by column, for the columns of text and of lists that have some."""
    import pyarrow as pa

    counts = {
        field.name: sum(is_formula(_first_text(value)) for value in rows[field.name].to_pylist())
        for field in rows.schema
        if pa.types.is_string(field.type) or pa.types.is_list(field.type)
    }
    return {name: count for name, count in counts.items() if count}


def neutral_cells(rows: pa.Table) -> pa.Table:
    """Give rows in which every such cell begins with an apostrophe, and so does one that began with an apostrophe before.

    Whoever takes one leading apostrophe away has the value that was meant. Numbers, days and booleans are as they were.
    """
    import pyarrow as pa

    for position, field in enumerate(rows.schema):
        if pa.types.is_string(field.type) or pa.types.is_list(field.type):
            values = [_neutral(value) for value in rows[field.name].to_pylist()]
            rows = rows.set_column(position, field, pa.array(values, field.type))
    return rows


def _neutral(value: Any) -> Any:
    text = _first_text(value)
    if not is_formula(text) and not text.startswith(MARK):
        return value
    return MARK + text if isinstance(value, str) else [MARK + text, *value[1:]]


def _first_text(value: Any) -> str:
    """Give the text a cell begins with: of a list that of its first member."""
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) else ""
