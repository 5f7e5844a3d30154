"""A delivered file as lines of bytes and as UTF-8, strictly."""

from __future__ import annotations

import codecs
import gzip
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, AnyStr

from ingestion.feeds.limits import Limits
from ingestion.records.layout import Layout

PIECE_BYTES = 1 << 20
# So much of a broken line is kept for people.
SHOWN_BYTES = 100_000


class TooLarge(Exception):
    """A file holds more bytes than the limits of its feed allow; the text says which limit."""


class _Unpacked(io.RawIOBase):
    """The bytes of a gzip file as they come out of it, up to the limits."""

    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__()
        self._packed_size, self._limits, self._size = path.stat().st_size, limits, 0
        self._source = gzip.open(path, "rb")  # noqa: SIM115 - closed by close()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; more than the limits raises ``TooLarge``."""
        count = self._source.readinto(buffer)
        self._size += count
        fault = self._limits.fault(self._size, self._packed_size)
        if fault:
            raise TooLarge(fault)
        return count

    def close(self) -> None:
        """Close the file."""
        self._source.close()
        super().close()


def open_bytes(path: Path, limits: Limits) -> io.BufferedReader:
    """Open a file for reading, unpacked if its name ends in .gz; more bytes than the limits raise ``TooLarge``."""
    if Path(path).suffix == ".gz":
        return io.BufferedReader(_Unpacked(Path(path), limits), PIECE_BYTES)
    fault = limits.fault(Path(path).stat().st_size, Path(path).stat().st_size)
    if fault:
        raise TooLarge(fault)
    return Path(path).open("rb")


def text_lines(path: Path, layout: Layout) -> Iterator[bytes]:
    """Give a file's physical lines in ``layout.line_encoding``, without the byte order mark."""
    with open_bytes(path, layout.limits) as raw:
        lines = _physical_lines(raw, layout)
        first = next(lines, None)
        if first is not None:
            yield first.removeprefix(codecs.BOM_UTF8)
            yield from lines


def readable_line(line: bytes, layout: Layout) -> str:
    """Give a line for people, bytes that are no text written as escapes."""
    return line[:SHOWN_BYTES].decode(layout.line_encoding, "backslashreplace").rstrip("\r\n")


def _physical_lines(raw: io.BufferedReader, layout: Layout) -> Iterator[bytes]:
    """Give lines; of one that is longer than a record may be only so much that it is seen to be longer."""
    most = layout.limits.record_bytes + 1
    if layout.is_wide:
        text = io.TextIOWrapper(raw, encoding=layout.encoding, newline="\n")
        yield from (line.encode() for line in _bounded(text.readline, "\n", most))
    else:
        yield from _bounded(raw.readline, b"\n", most)


def _bounded(readline: Callable[[int], AnyStr], end: AnyStr, most: int) -> Iterator[AnyStr]:
    while line := readline(most):
        piece = line
        while len(piece) == most and not piece.endswith(end):
            piece = readline(most)
        yield line


def too_long(line: bytes, layout: Layout) -> str | None:
    """Give the problem of a line that is longer than a record may be."""
    most = layout.limits.record_bytes
    return f"too_long: more than {most} bytes" if len(line.rstrip(b"\r\n")) > most else None


class Utf8Stream(io.RawIOBase):
    """A byte stream turned into UTF-8, strictly, that counts the quotes passing through."""

    def __init__(self, raw: io.BufferedReader, layout: Layout) -> None:
        super().__init__()
        self._raw = raw
        self._quote = (layout.quote or "").encode()
        escape = re.escape((layout.escape or "").encode())
        self._escaped = re.compile(escape + b".", re.DOTALL) if escape else None
        self._cut_escape = b""
        name = codecs.lookup(layout.encoding).name
        self._decoder = None if name in {"utf-8", "ascii"} else codecs.getincrementaldecoder(name)("strict")
        self._rest = b""
        self.quotes = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Give up to ``size`` bytes of the source's text in UTF-8."""
        if self._decoder is None:
            chunk = self._raw.read(size)
        else:
            chunk, is_end = self._rest, False
            while not is_end and (size < 0 or len(chunk) < size):
                piece = self._raw.read(size)
                is_end = not piece
                chunk += self._decoder.decode(piece, final=is_end).encode()
            chunk, self._rest = (chunk, b"") if size < 0 else (chunk[:size], chunk[size:])
        if self._quote:
            self.quotes += self._quotes_in(chunk)
        return chunk

    def _quotes_in(self, chunk: bytes) -> int:
        if self._escaped is None:
            return chunk.count(self._quote)
        plain = self._escaped.sub(b"", self._cut_escape + chunk)
        # An escape at the very end of a chunk takes the first sign of the next one.
        self._cut_escape = plain[-1:] if self._escaped.match(plain[-1:] + b".") else b""
        return plain.count(self._quote)
