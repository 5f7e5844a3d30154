"""JSON Schemas of what a destination reads and of what it writes: manifest, pointer, receipt, and what goes over a wire.

The first two are those by which ``verify_audience`` judges; the receipt follows from the contract of ``trusted.receipts``.
"""

from __future__ import annotations

import json
from typing import Any

from delivery.contract.messages import message_schemas
from delivery.contract.verify_audience import LATEST, MANIFEST, MANIFEST_SCHEMA, POINTER_SCHEMA
from lakehouse.contracts.contract import Column
from lakehouse.contracts.reading import contract

_DIALECT = "http://json-schema.org/draft-07/schema#"
RECEIPTS = "trusted.receipts"
# What the platform's feed fills by itself.
_OF_FEED = ("source", "event_on")
_NULLABLE_TEXT = {"type": ["string", "null"]}


def audience_schemas() -> dict[str, dict[str, Any]]:
    """Give each schema by its name: manifest, pointer, receipt, and those of ``delivery.contract.messages``."""
    return {
        "manifest": _document(f"{MANIFEST} of a run", MANIFEST_SCHEMA),
        "pointer": _document(f"{LATEST} of a segment", POINTER_SCHEMA),
        "receipt": _document("One line of a file of receipts", _receipt()),
        **{name: {"$schema": _DIALECT, **schema} for name, schema in message_schemas().items()},
    }


def schema_files() -> dict[str, str]:
    """Give the text of each schema by file name."""
    return {
        f"{name}.json": json.dumps(schema, ensure_ascii=False, indent=1) + "\n"
        for name, schema in audience_schemas().items()
    }


def _document(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, "title": title, **schema}


def _receipt() -> dict[str, Any]:
    """Give the schema of a receipt as a destination writes it; in CSV an empty cell is null."""
    columns = [c for c in contract(RECEIPTS).business_columns.values() if c.name not in _OF_FEED]
    properties = {column.name: _value(column) | {"description": column.description} for column in columns}
    properties["event_at"]["description"] = "when, with its offset, such as 2026-11-21T09:03:00+08:00"
    return {
        "type": "object",
        "required": [column.name for column in columns if column.required],
        "properties": properties,
        "additionalProperties": False,
    }


def _value(column: Column) -> dict[str, Any]:
    if column.type == "timestamp":
        return {"type": "string", "format": "date-time"}
    if column.type.startswith("decimal"):
        return {"type": ["string", "null"], "pattern": r"^-?[0-9]+(\.[0-9]{1,2})?$"}
    if column.allowed:
        values: list[str | None] = list(column.allowed)
        return {"enum": values if column.required else [*values, None]}
    return {"type": "string", "minLength": 1} if column.required else dict(_NULLABLE_TEXT)
