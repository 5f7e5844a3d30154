"""JSON lines: one object a line, nested values by dotted names; lines of one shape many at a time, others one by one."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ingestion.feeds.limits import MOST_DIGITS
from ingestion.records.json_cuts import CutLines, CutReader
from ingestion.records.layout import (
    BATCH_ROWS,
    ESCAPED_NUL,
    ROW,
    DeliveredText,
    Layout,
    from_rows,
    record_schema,
)
from ingestion.records.line_blocks import LineBlock, line_blocks
from ingestion.records.opening import readable_line, text_lines, too_long

BLOCK_BYTES = 8 << 20
# Fewer lines are read one by one before their shape is known.
FEWEST_LINES = 200


def json_batches(text: DeliveredText) -> Iterator[pa.RecordBatch]:
    """Give the records of a file of JSON lines as batches of ``record_schema``."""
    columns = text.layout.columns
    objects = _ObjectReader(columns)
    number = 0
    is_utf8 = codecs.lookup(text.layout.encoding).name in {"utf-8", "ascii"}
    for batch in _by_blocks(text, objects) if is_utf8 else _one_by_one(text, objects):
        number = batch.column(ROW)[-1].as_py()
        yield batch
    if number == 0:
        raise text.invalid("is empty; have it delivered again")
    text.refuse_other_encoding(number)
    most = text.layout.limits.columns
    if len(objects.extras) > most:
        raise text.invalid(f"has more than {most} different keys (limits: columns of the feed)")
    text.findings.extra_columns = tuple(objects.extras)
    text.findings.unseen_columns = tuple(name for name in columns if name not in objects.present)


def _one_by_one(text: DeliveredText, objects: _ObjectReader) -> Iterator[pa.RecordBatch]:
    """Give the records by reading one line after the other."""
    columns = text.layout.columns
    rows: list[tuple[Any, ...]] = []
    for number, line, problem in json_lines(text.path, text.layout):
        rows.append(_row(text, objects, number, line, problem))
        if len(rows) >= BATCH_ROWS:
            yield from_rows(rows, columns)
            rows = []
    if rows:
        yield from_rows(rows, columns)


def _row(
    text: DeliveredText, objects: _ObjectReader, number: int, line: str, problem: str | None
) -> tuple[Any, ...]:
    """Give one line as a row of ``record_schema``."""
    if problem is not None:
        text.findings.undecodable += problem.startswith("undecodable")
    else:
        value, problem = _parse(line, text.layout.limits.levels)
        if problem is None:
            return (number, None, None, *objects.values(value), objects.rest(value))
    return (number, problem, line, *(None for _ in text.layout.columns), None)


def _by_blocks(text: DeliveredText, objects: _ObjectReader) -> Iterator[pa.RecordBatch]:
    """Give the same with lines of one shape read in columns."""
    cuts = CutReader(text.layout.columns, FEWEST_LINES)
    number = 0
    for block in line_blocks(text.path, BLOCK_BYTES, text.layout.limits):
        batch = _block_batch(text, objects, list(cuts.read(block)), block, number)
        if batch.num_rows:
            number = batch.column(ROW)[-1].as_py()
            yield batch


def _block_batch(
    text: DeliveredText, objects: _ObjectReader, cut_lines: list[CutLines], block: LineBlock, before: int
) -> pa.RecordBatch:
    """Give the records of a block, of which cuts have read some lines; ``before`` is the number of records before it."""
    is_single = np.ones(len(block), dtype=bool)
    for lines in cut_lines:
        is_single[lines.places] = False
        objects.present.update(lines.shape.columns)
        objects.extras.update(dict.fromkeys(lines.shape.extras))
    single = {int(place): block.line(place) for place in np.flatnonzero(is_single)}
    is_record = np.ones(len(block), dtype=np.int64)
    is_record[[place for place, line in single.items() if not line.strip()]] = 0
    numbers = before + np.cumsum(is_record)
    rows = [
        _row(text, objects, int(numbers[place]), *decode_line(line, text.layout))
        for place, line in single.items()
        if is_record[place]
    ]
    columns = text.layout.columns
    schema = record_schema(columns)
    batches = [from_rows(rows, columns)] if rows else []
    for lines in cut_lines:
        nothing = pa.nulls(len(lines.places), pa.string())
        arrays = [pa.array(numbers[lines.places]), nothing, nothing, *lines.columns]
        batches.append(pa.record_batch(arrays, schema=schema))
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
        yield number, *decode_line(line, layout)


def decode_line(line: bytes, layout: Layout) -> tuple[str, str | None]:
    """Give the text of a line and, where it cannot be decoded, the problem."""
    problem = too_long(line, layout)
    if problem is not None:
        return readable_line(line, layout), problem
    try:
        return line.decode(layout.line_encoding).rstrip("\r\n"), None
    except UnicodeDecodeError:
        return readable_line(line, layout), f"undecodable: bytes that are not {layout.encoding}"


def _parse(line: str, most_levels: int) -> tuple[Any, str | None]:
    """Give the object of a line, or the problem."""
    if line.count("[") + line.count("{") > most_levels and _levels(line) > most_levels:
        return None, f"too_deep: more than {most_levels} levels"
    try:
        if _LONG_NUMBER.search(line) and _LONG_NUMBER.search(_TEXT.sub('""', line)):
            return None, "long_number"
        value = json.loads(
            line, parse_float=_DeliveredNumber, parse_constant=_refuse_constant, object_pairs_hook=_members
        )
    except _KeyTwice:
        return None, "duplicate_key"
    except ValueError:
        return None, "not_json"
    if "\\u" in line and _SURROGATE.search(line) and not _is_text(value):
        return None, "undecodable: half a surrogate pair"
    if "\\u0000" in line and _NUL.search(line):
        return None, "nul"
    return value, None if isinstance(value, dict) else "not_a_json_object"


class _KeyTwice(ValueError):
    """An object names a key twice: nobody can say which value is meant."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _KeyTwice
    return members


def _refuse_constant(name: str) -> None:
    """Refuse ``NaN`` and ``Infinity``, which Python's reader takes for numbers."""
    raise ValueError(name)


_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(r"[\[\]{}]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NUL = re.compile(ESCAPED_NUL)
_LONG_NUMBER = re.compile(rf"[0-9]{{{MOST_DIGITS + 1}}}")


def _levels(line: str) -> int:
    """Give how deep lists and objects stand in one another, brackets in texts not counted."""
    deepest = level = 0
    for bracket in _BRACKET.findall(_TEXT.sub("", line)):
        level += 1 if bracket in "[{" else -1
        deepest = max(deepest, level)
    return deepest


def _is_text(value: Any) -> bool:
    """Tell whether all texts of a JSON value can be written as UTF-8."""
    try:
        as_json(value).encode()
    except UnicodeEncodeError:
        return False
    return True


class _ObjectReader:
    """Reads the columns' values of objects, and notes which columns were present and which keys are of no column."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._paths = [(name, tuple(name.split("."))) for name in columns]
        self._roots = {path[0] for _, path in self._paths} | set(columns)
        self.extras: dict[str, None] = {}
        self.present: set[str] = set()

    def values(self, members: dict[str, Any]) -> list[str | None]:
        """Give the columns' values as text."""
        values = []
        for name, path in self._paths:
            value, is_present = _value_at(members, name, path)
            if is_present:
                self.present.add(name)
            values.append(as_text(value))
        return values

    def rest(self, members: dict[str, Any]) -> str | None:
        """Give the values of no column as one JSON object."""
        rest = {key: members[key] for key in members if key not in self._roots}
        self.extras.update(dict.fromkeys(rest))
        return as_json(rest) if rest else None


class _DeliveredNumber(float):
    """A JSON number that remembers how it was written, so that 1.10 does not become 1.1."""

    text: str

    def __new__(cls, text: str) -> _DeliveredNumber:
        number = super().__new__(cls, text)
        number.text = text
        return number


def _value_at(members: dict[str, Any], name: str, path: tuple[str, ...]) -> tuple[Any, bool]:
    if name in members:
        return members[name], True
    value: Any = members
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
    return as_json(value)


def as_json(value: Any) -> str:
    """Give a value as ``json.dumps`` writes it, but numbers to the letter: as floats they would lose digits."""
    if isinstance(value, dict):
        members = (f"{json.dumps(key, ensure_ascii=False)}: {as_json(one)}" for key, one in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(as_json(one) for one in value)}]"
    return value.text if isinstance(value, _DeliveredNumber) else json.dumps(value, ensure_ascii=False)
