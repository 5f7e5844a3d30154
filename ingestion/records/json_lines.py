"""JSON lines: one object a line, nested values by dotted names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingestion.records.layout import BATCH_ROWS, DeliveredText, Layout, from_rows
from ingestion.records.opening import shown, text_lines


def json_batches(text: DeliveredText) -> Iterator[pa.RecordBatch]:
    """Give the records of a file of JSON lines as batches of ``record_schema``."""
    columns = text.layout.columns
    shape = _Shape(columns)
    rows: list[tuple[Any, ...]] = []
    number = 0
    for number, line, problem in json_lines(text.path, text.layout):
        found: Any = None
        if problem is None:
            found, problem = _parsed(line)
        else:
            text.findings.undecodable += 1
        if problem is None:
            rows.append((number, None, None, *shape.values(found), shape.beyond(found)))
        else:
            rows.append((number, problem, line, *(None for _ in columns), None))
        if len(rows) >= BATCH_ROWS:
            yield from_rows(rows, columns)
            rows = []
    if number == 0:
        raise text.invalid("is empty; have it delivered again")
    text.refuse_other_encoding(number)
    text.findings.extra_columns = tuple(shape.extras)
    text.findings.unseen_columns = tuple(name for name in columns if name not in shape.seen)
    if rows:
        yield from_rows(rows, columns)


def json_lines(path: Path, layout: Layout) -> Iterator[tuple[int, str, str | None]]:
    """Give number, text and, where it cannot be decoded, the problem of every line that is not blank."""
    number = 0
    for line in text_lines(path, layout):
        if not line.strip():
            continue
        number += 1
        try:
            yield number, line.decode(layout.line_encoding).rstrip("\r\n"), None
        except UnicodeDecodeError:
            yield number, shown(line, layout), f"undecodable: bytes that are not {layout.encoding}"


def _parsed(line: str) -> tuple[Any, str | None]:
    try:
        found = json.loads(line, parse_float=_DeliveredNumber)
    except ValueError:
        return None, "not_json"
    return found, None if isinstance(found, dict) else "not_a_json_object"


class _Shape:
    """The values wanted of every object, and what was met beside them."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._paths = [(name, tuple(name.split("."))) for name in columns]
        self._roots = {path[0] for _, path in self._paths} | set(columns)
        self.extras: dict[str, None] = {}
        self.seen: set[str] = set()

    def values(self, found: dict[str, Any]) -> list[str | None]:
        """Give the wanted values as text."""
        values = []
        for name, path in self._paths:
            value, is_present = _value_at(found, name, path)
            if is_present:
                self.seen.add(name)
            values.append(as_text(value))
        return values

    def beyond(self, found: dict[str, Any]) -> str | None:
        """Give what nobody asked for as one JSON object."""
        left = {key: found[key] for key in found if key not in self._roots}
        self.extras.update(dict.fromkeys(left))
        return json.dumps(left, ensure_ascii=False) if left else None


class _DeliveredNumber(float):
    """A JSON number that remembers how it was written, so that 1.10 does not become 1.1."""

    text: str

    def __new__(cls, text: str) -> _DeliveredNumber:
        number = super().__new__(cls, text)
        number.text = text
        return number


def _value_at(found: dict[str, Any], name: str, path: tuple[str, ...]) -> tuple[Any, bool]:
    if name in found:
        return found[name], True
    value: Any = found
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return None, False
        value = value[step]
    return value, True


def as_text(value: Any) -> str | None:
    """Give a JSON value as it was written: text without quotes, numbers to the letter, the rest as JSON."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _DeliveredNumber):
        return value.text
    return json.dumps(value, ensure_ascii=False)
