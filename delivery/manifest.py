"""Writing and reading the manifest of a delivered audience; its shape and equations stand in ``delivery.contract.verify_audience``.

Nothing of the attempt (clock, host, table versions) is in it: the same run gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery.contract import verify_audience
from delivery.contract.verify_audience import LATEST, MANIFEST, MANIFEST_SCHEMA, OPS, UnreadableAudience
from lakehouse.errors import StepFailed

if TYPE_CHECKING:
    import pyarrow as pa

POINTER_REPAIR = "restore the file from a backup, or move the segment's folder away to begin anew"
OP_COLUMN = {"name": "op", "type": "string", "level": "C1", "allowed": list(OPS)}


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Give the manifest as it is written: keys in the documented order, UTF-8, one line break at the end."""
    body = {key: manifest[key] for key in MANIFEST_SCHEMA["properties"] if key in manifest}
    return (json.dumps(body, ensure_ascii=False, indent=2) + "\n").encode()


def schema_of(rows: pa.Table, levels: Mapping[str, str]) -> list[dict[str, str]]:
    """Give name, type (as Spark SQL writes it) and personal level of each column."""
    return [
        {"name": f.name, "type": type_name(f.type), "level": levels.get(f.name, "C1")} for f in rows.schema
    ]


def type_name(kind: pa.DataType) -> str:
    """Give an Arrow type as Spark SQL writes it."""
    text = str(kind)
    if match := re.fullmatch(r"decimal128\((\d+), (\d+)\)", text):
        return f"decimal({match[1]},{match[2]})"
    if text.startswith("list<"):
        return f"array<{type_name(kind.value_type)}>"
    names = {
        "int64": "bigint",
        "int32": "int",
        "bool": "boolean",
        "date32[day]": "date",
        "large_string": "string",
    }
    return names.get(text, text)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Give the manifest of a run's folder; one that cannot be read raises ``StepFailed``."""
    try:
        return verify_audience.read_manifest(folder)
    except UnreadableAudience as wrong:
        repair = "restore the run's folder as it was delivered"
        raise StepFailed(f"{wrong}; {repair}", file=folder / MANIFEST) from None


def read_latest(root: Path) -> dict[str, Any] | None:
    """Give what ``LATEST.json`` of a segment's folder points to; None before the first delivery.

    One that cannot be read, or that points out of the folder, raises ``StepFailed``.
    """
    try:
        return verify_audience.read_latest(root)
    except UnreadableAudience as wrong:
        raise StepFailed(f"{wrong}; {POINTER_REPAIR}", file=root / LATEST) from None
