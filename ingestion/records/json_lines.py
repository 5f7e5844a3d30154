"""JSON lines: one object a line, nested values by dotted names; plain lines many at a time, others one by one."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ingestion.records.json_learning import LineReader
from ingestion.records.layout import BATCH_ROWS, ROW, DeliveredText, Layout, from_rows, record_schema
from ingestion.records.line_blocks import LineBlock, line_blocks
from ingestion.records.opening import shown, text_lines

BLOCK_BYTES = 8 << 20
# Fewer lines are read one by one before their shape is known.
FEWEST_LINES = 200


def json_batches(text: DeliveredText) -> Iterator[pa.RecordBatch]:
    """Give the records of a file of JSON lines as batches of ``record_schema``."""
    columns = text.layout.columns
    shape = _Shape(columns)
    number = 0
    is_utf8 = codecs.lookup(text.layout.encoding).name in {"utf-8", "ascii"}
    for batch in _by_template(text, shape) if is_utf8 else _one_by_one(text, shape):
        number = batch.column(ROW)[-1].as_py()
        yield batch
    if number == 0:
        raise text.invalid("is empty; have it delivered again")
    text.refuse_other_encoding(number)
    text.findings.extra_columns = tuple(shape.extras)
    text.findings.unseen_columns = tuple(name for name in columns if name not in shape.seen)


def _one_by_one(text: DeliveredText, shape: _Shape) -> Iterator[pa.RecordBatch]:
    """Give the records by reading one line after the other."""
    columns = text.layout.columns
    rows: list[tuple[Any, ...]] = []
    for number, line, problem in json_lines(text.path, text.layout):
        rows.append(_row(text, shape, number, line, problem))
        if len(rows) >= BATCH_ROWS:
            yield from_rows(rows, columns)
            rows = []
    if rows:
        yield from_rows(rows, columns)


def _row(text: DeliveredText, shape: _Shape, number: int, line: str, problem: str | None) -> tuple[Any, ...]:
    """Give one line as a row of ``record_schema``."""
    found: Any = None
    if problem is None:
        found, problem = _parsed(line)
    else:
        text.findings.undecodable += 1
    if problem is None:
        return (number, None, None, *shape.values(found), shape.beyond(found))
    return (number, problem, line, *(None for _ in text.layout.columns), None)


def _by_template(text: DeliveredText, shape: _Shape) -> Iterator[pa.RecordBatch]:
    """Give the same with lines of a known shape read in columns."""
    reader = LineReader(text.layout.columns, FEWEST_LINES)
    number = 0
    try:
        for block in line_blocks(text.path, BLOCK_BYTES):
            batch = _block_batch(text, shape, reader, block, number)
            if batch.num_rows:
                number = batch.column(ROW)[-1].as_py()
                yield batch
    finally:
        reader.close()


def _block_batch(
    text: DeliveredText, shape: _Shape, reader: LineReader, block: LineBlock, before: int
) -> pa.RecordBatch:
    """Give the records of a block; those before it were ``before``."""
    left = np.ones(len(block), dtype=bool)
    parts: list[tuple[np.ndarray, list[pa.Array]]] = []
    for found, at, values in reader.read(block):
        left[at] = False
        shape.seen.update(found.seen)
        shape.extras.update(dict.fromkeys(found.extras))
        parts.append((at, values))
    texts = {int(at): block.line(at) for at in np.flatnonzero(left)}
    counted = np.ones(len(block), dtype=np.int64)
    counted[[at for at, line in texts.items() if not line.strip()]] = 0
    numbers = before + np.cumsum(counted)
    rows = [
        _row(text, shape, int(numbers[at]), *decoded(line, text.layout))
        for at, line in texts.items()
        if counted[at]
    ]
    columns = text.layout.columns
    schema = record_schema(columns)
    batches = [from_rows(rows, columns)] if rows else []
    for at, values in parts:
        nothing = pa.nulls(len(at), pa.string())
        batches.append(pa.record_batch([pa.array(numbers[at]), nothing, nothing, *values], schema=schema))
    if not batches:
        return pa.RecordBatch.from_pylist([], schema=schema)
    whole = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
    order = whole.column(ROW).to_numpy()
    return whole if (np.diff(order) > 0).all() else whole.take(pa.array(np.argsort(order)))


def json_lines(path: Path, layout: Layout) -> Iterator[tuple[int, str, str | None]]:
    """Give number, text and, where it cannot be decoded, the problem of every line that is not blank."""
    number = 0
    for line in text_lines(path, layout):
        if not line.strip():
            continue
        number += 1
        yield number, *decoded(line, layout)


def decoded(line: bytes, layout: Layout) -> tuple[str, str | None]:
    """Give the text of a line and, where it cannot be decoded, the problem."""
    try:
        return line.decode(layout.line_encoding).rstrip("\r\n"), None
    except UnicodeDecodeError:
        return shown(line, layout), f"undecodable: bytes that are not {layout.encoding}"


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
