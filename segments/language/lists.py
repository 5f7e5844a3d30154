"""Static lists: ``lists/<name>@<version>.csv`` of the workspace, a version is never edited.

A header names either ``one_id`` or ``source,source_key``; an optional ``expires_on`` ends an entry
(first day it no longer holds). The file's hash is part of the run's inputs.
"""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import SettingsInvalid
from lakehouse.query.hashing import file_hash
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.yaml_limits import open_file
from segments.language.conditions import ListLeaf

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "lists"
KIND = "list"
_HEADERS = ({"one_id"}, {"source", "source_key"})
_MOST_HEADER = 1_000
_BLOCK = 1 << 22
NO_TEXT = "the file is no CSV of UTF-8 text; save it as UTF-8, one entry a line"


@dataclass(frozen=True, eq=False)
class StaticList:
    """One list file as read."""

    reference: str
    file: Path
    sha256: str
    entries: pa.Table
    """One row per line: one_id, or source and source_key, and expires_on (null: without end)."""

    def holding(self, business_date: date) -> pa.Table:
        """Give the entries that hold on a business date, with the columns of ``entries``."""
        import pyarrow.compute as pc

        ends = self.entries["expires_on"]
        return self.entries.filter(pc.or_kleene(pc.is_null(ends), pc.greater(ends, business_date)))


def list_file(workspace: Path, leaf: ListLeaf) -> Path:
    """Give the file a list leaf names."""
    return workspace / FOLDER / f"{leaf.reference}.csv"


def known_lists(workspace: Path) -> list[str]:
    """Give the references of all lists of the workspace."""
    return [file.stem for file in files_in(workspace / FOLDER, "*@*.csv") if file.is_file()]


def read_list(workspace: Path, leaf: ListLeaf) -> StaticList:
    """Read a list; an unreadable line raises ``SettingsInvalid`` with file and line, and no value of it.

    Lists of millions of people are columns from their bytes on, and no objects.
    """
    import pyarrow as pa
    import pyarrow.csv as pacsv

    file = list_file(workspace, leaf)
    names = _header(file)
    _require_utf8(file)
    wrong_lines: list[int | None] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        wrong_lines.append(row.number)
        return "skip"

    with open_file(file, KIND) as content:
        try:
            table = pacsv.read_csv(
                content,
                # One thread, so that a wrong row has its number.
                read_options=pacsv.ReadOptions(use_threads=False),
                parse_options=pacsv.ParseOptions(invalid_row_handler=refuse),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=True,
                    null_values=[""],
                    quoted_strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid:
            # Its own sentence quotes the line.
            raise SettingsInvalid(NO_TEXT, file=file) from None
    if wrong_lines:
        text = f"a line has another number of cells than the header, which has {len(names)}"
        raise SettingsInvalid(text, file=file, line=wrong_lines[0])
    return StaticList(leaf.reference, file, file_hash(file), _entries(table, file))


def _require_utf8(file: Path) -> None:
    """Refuse bytes that are no text before they are parsed: what the parser tells of a line of such it cannot say."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1
    with open_file(file, KIND) as content:
        while block := content.read(_BLOCK):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as wrong:
                line = lines + wrong.object.count(b"\n", 0, wrong.start)
                raise SettingsInvalid(NO_TEXT, file=file, line=line) from None
            lines += block.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise SettingsInvalid(NO_TEXT, file=file, line=lines) from None


def _header(file: Path) -> list[str]:
    with open_file(file, KIND) as content:
        first = content.readline(_MOST_HEADER).decode("utf-8-sig", errors="replace")
    names = next(csv.reader([first.rstrip("\r\n")]), [])
    if set(names) - {"expires_on"} not in _HEADERS or len(set(names)) != len(names):
        raise SettingsInvalid(
            "the header of a list is one_id or source,source_key, and optionally expires_on",
            file=file,
            line=1,
        )
    return names


def _entries(table: pa.Table, file: Path) -> pa.Table:
    """Give the lines as typed columns; the first that cannot be read raises ``SettingsInvalid``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def text(name: str) -> pa.ChunkedArray:
        if name not in table.column_names:
            return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
        return table[name]

    def refuse(is_sound: pa.ChunkedArray, sentence: str) -> None:
        at = pc.index(pc.fill_null(is_sound, False), False).as_py()
        if at >= 0:
            raise SettingsInvalid(sentence, file=file, line=_line_of(file, at))

    numbers, ends = pc.utf8_trim_whitespace(text("one_id")), pc.utf8_trim_whitespace(text("expires_on"))
    for name in table.column_names:
        has_line_end = pc.match_substring(pc.fill_null(text(name), ""), "\n")
        refuse(pc.invert(has_line_end), "a quote is not closed on its line")
    if "one_id" in table.column_names:
        refuse(
            pc.match_substring_regex(numbers, "^[0-9]{1,18}$"),
            "one_id is a whole number of at most 18 digits",
        )
    else:
        refuse(
            pc.and_(pc.is_valid(text("source")), pc.is_valid(text("source_key"))),
            "source and source_key are both needed",
        )
    is_day = pc.match_substring_regex(ends, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    days = pc.strptime(pc.if_else(is_day, ends, None), format="%Y-%m-%d", unit="s", error_is_null=True).cast(
        pa.date32()
    )
    # A day that no month has becomes one of the next.
    refuse(
        pc.or_(pc.is_null(ends), pc.fill_null(pc.equal(days.cast(pa.string()), ends), False)),
        "expires_on is a day like 2026-12-31, or empty",
    )
    return pa.table(
        {
            "one_id": numbers.cast(pa.int64()),
            "source": text("source"),
            "source_key": text("source_key"),
            "expires_on": days,
        }
    )


def _line_of(file: Path, row: int) -> int:
    """Give the line of a row of data, from 0; empty lines are no rows."""
    with open_file(file, KIND) as content:
        lines = (number for number, line in enumerate(content, start=1) if line.strip(b"\r\n"))
        return next(islice(lines, row + 1, None), row + 2)
