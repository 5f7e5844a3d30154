"""A file held against what its source says of it: the number of its records, and sums of their amounts.

Sums are exact. A record that could not be read is missing from them, so that they differ: the source states a whole.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.feeds.control import Control, Place
from ingestion.records.careful import split_line
from ingestion.records.layout import Layout
from lakehouse.errors import InputInvalid

LARGEST_FILE = 64 << 10
_NUMBER = r"[-+]?[0-9]{1,30}(\.[0-9]{1,18})?"
_EXACT = pa.decimal256(76, 18)


class ControlSums:
    """What the records of a file add up to, batch by batch, and whether its control says the same."""

    def __init__(self, control: Control | None) -> None:
        self._control = control
        self._sums = dict.fromkeys(control.sums if control else (), Decimal(0))
        self._unreadable = dict.fromkeys(self._sums, 0)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch of ``record_schema``."""
        for column in self._sums:
            values = batch.column(column).drop_null()
            numbers = values.filter(pc.match_substring_regex(values, rf"\A{_NUMBER}\z"))
            self._unreadable[column] += len(values) - len(numbers)
            self._sums[column] += pc.sum(numbers.cast(_EXACT)).as_py() or 0

    def check(self, path: Path, layout: Layout, records: int, trailer: str | None) -> None:
        """Refuse a file by ``InputInvalid`` whose control says something else, or is not there."""
        if self._control is None:
            return
        values = _trailer_values(self._control, layout, trailer) or _file_values(self._control, layout, path)
        if self._control.rows is not None:
            count = _number(values, self._control.rows, "the number of records")
            if count != records:
                raise InputInvalid(
                    f"holds {records} records and its control states {count}; have it delivered again"
                )
        for column, place in self._control.sums.items():
            total = _number(values, place, f"the sum of {column}")
            if total != self._sums[column]:
                unreadable = self._unreadable[column]
                beside = f" ({unreadable} values are no plain numbers)" if unreadable else ""
                raise InputInvalid(
                    f"holds records whose {column} does not add up to what its control states{beside}; "
                    "have it delivered again"
                )


def _trailer_values(control: Control, layout: Layout, trailer: str | None) -> dict[Place, Any] | None:
    """Give the values of the last line by place; None where the control is a file."""
    if control.trailer is None:
        return None
    values = split_line(trailer or "", layout)
    if not values or values[0].strip() != control.trailer:
        raise InputInvalid(
            f"does not end with its trailer, a line that begins with '{control.trailer}'; it is cut, have it delivered again"
        )
    return dict(enumerate(values, 1))


def _file_values(control: Control, layout: Layout, path: Path) -> dict[Place, Any]:
    """Give the values of the file beside, by place and by name."""
    file = path.with_name(str(control.file_of(path.name)))
    if not file.is_file():
        raise InputInvalid(missing_file(file.name))
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise InputInvalid(f"its control file {file.name} is larger than {LARGEST_FILE} bytes")
        text = file.read_bytes().decode(layout.encoding).lstrip("\ufeff").strip()
    except OSError:
        raise InputInvalid(missing_file(file.name)) from None
    except UnicodeDecodeError:
        raise InputInvalid(f"its control file {file.name} is not {layout.encoding} text") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    values: dict[Place, Any] = dict(enumerate(split_line(lines[0], layout), 1)) if lines else {}
    names = (re.match(r"([^=:]+)[=:](.*)", line) for line in lines)
    values |= {match[1].strip(): match[2].strip() for match in names if match}
    if text.startswith("{"):
        try:
            values |= json.loads(text, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            raise InputInvalid(f"its control file {file.name} is no JSON") from None
    return values


def missing_file(name: str) -> str:
    """Give the fault of a file whose control is not there."""
    return f"comes without its control file {name}; have that delivered"


def _number(values: dict[Place, Any], place: Place, what: str) -> Decimal:
    text = str(values.get(place, "")).strip()
    if not re.fullmatch(_NUMBER, text, re.ASCII):
        where = f"place {place}" if isinstance(place, int) else f"'{place}'"
        raise InputInvalid(f"has a control without {what} at {where}; have it delivered again")
    return Decimal(text)
