"""The careful and slower way through a text file: one record after the other, each with its raw text."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingestion.records.layout import CUT, Layout, Record, without_line_end, wrong_width
from ingestion.records.opening import readable_line, text_lines, too_long

# A record of more lines than this is taken for an open quote: an address has five lines, a contract's text fifty.
LONGEST_RECORD_LINES = 1_000
_RETURN = re.compile(rb"(?<=\r)(?=[^\n])")
OPEN_QUOTE = "open_quote: a quote is never closed"


def iter_records(
    path: Path,
    layout: Layout,
    *,
    width: int | None = None,
    with_header: bool = False,
    trailer: list[str] | None = None,
) -> Iterator[Record]:
    """Give the records of a delimited file one by one, each with its raw text.

    A record whose quote stays open, or that spans lines and has not ``width`` columns, is broken at its first line
    and reading goes on with the next line. With ``with_header`` the header comes first, as number 0. The last line of a
    layout with a trailer is no record; it is added to ``trailer``.
    """
    lines = _all_lines(path, layout, trailer)
    waiting: deque[bytes] = deque()
    number = 0 if layout.header else 1
    while True:
        line = waiting.popleft() if waiting else next(lines, None)
        if line is None:
            return
        if not line.strip(b"\r\n"):
            continue
        record, unread = _gather(line, lines, waiting, layout, width if number > 0 else None, number)
        waiting.extendleft(reversed(unread))
        if number > 0 or with_header:
            yield record
        number += 1


def _all_lines(path: Path, layout: Layout, trailer: list[str] | None) -> Iterator[bytes]:
    """Give lines that a carriage return alone may end, too; within a quote they are put together again."""
    for line in text_lines(path, layout, trailer):
        if b"\r" in line:
            yield from _RETURN.split(line)
        else:
            yield line


def _gather(
    line: bytes,
    lines: Iterator[bytes],
    waiting: deque[bytes],
    layout: Layout,
    width: int | None,
    number: int,
) -> tuple[Record, list[bytes]]:
    """Give the record that begins with ``line`` and the lines read beyond it that must be read again."""
    parts = [line]
    quote = (layout.quote or "").encode()
    while True:
        problem = too_long(b"".join(parts), layout)
        if problem is not None:
            return Record(number, readable_line(line, layout), None, problem), parts[1:]
        try:
            text = b"".join(parts).decode(layout.line_encoding).rstrip("\r\n")
        except UnicodeDecodeError:
            problem = f"undecodable: bytes that are not {layout.encoding}"
            return Record(number, readable_line(line, layout), None, problem), parts[1:]
        values, is_open = _split(text, layout)
        if not is_open:
            if width is not None and values is not None and len(values) != width:
                if len(parts) > 1:
                    return Record(number, readable_line(line, layout), None, OPEN_QUOTE), parts[1:]
                return Record(number, text, None, wrong_width(width, len(values))), []
            if number > 0 and without_line_end(layout, parts[-1]):
                return Record(number, text, None, CUT), []
            return Record(number, text, values), []
        more = None
        while len(parts) < LONGEST_RECORD_LINES:
            more = waiting.popleft() if waiting else next(lines, None)
            if more is None:
                break
            parts.append(more)
            if quote in more:
                break
        else:
            more = None
        if more is None:
            width_here = len(values) if values else 0
            if width is not None and width_here != width and len(parts) == 1:
                return Record(number, text, None, wrong_width(width, width_here)), []
            return Record(number, readable_line(line, layout), None, OPEN_QUOTE), parts[1:]


def split_line(text: str, layout: Layout) -> list[str]:
    """Give the values of one line."""
    return _split(text, layout)[0] or []


def _split(text: str, layout: Layout) -> tuple[list[str] | None, bool]:
    """Give the values of a record and whether a quote is still open at its end."""
    dialect: dict[str, Any] = {"delimiter": layout.separator, "doublequote": True}
    if layout.quote:
        dialect["quotechar"] = layout.quote
    else:
        dialect["quoting"] = csv.QUOTE_NONE
    if layout.escape:
        dialect["escapechar"] = layout.escape
    csv.field_size_limit(1 << 30)
    try:
        return next(csv.reader([text], strict=True, **dialect), []), False
    except csv.Error as wrong:
        values = next(csv.reader(io.StringIO(text, newline=""), strict=False, **dialect), [])
        return values, "unexpected end of data" in str(wrong)
