"""A delivered file as lines of bytes and as UTF-8, strictly."""

from __future__ import annotations

import codecs
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path

from ingestion.records.layout import Layout


def open_bytes(path: Path) -> io.BufferedReader | gzip.GzipFile:
    """Open a file for reading, unpacked if its name ends in .gz."""
    if Path(path).suffix == ".gz":
        return gzip.open(path, "rb")
    return Path(path).open("rb")


def text_lines(path: Path, layout: Layout) -> Iterator[bytes]:
    """Give a file's physical lines in ``layout.line_encoding``, without the byte order mark."""
    with open_bytes(path) as raw:
        lines = _physical_lines(raw, layout)
        first = next(lines, None)
        if first is not None:
            yield first.removeprefix(codecs.BOM_UTF8)
            yield from lines


def readable_line(line: bytes, layout: Layout) -> str:
    """Give a line for people, bytes that are no text written as escapes."""
    return line.decode(layout.line_encoding, "backslashreplace").rstrip("\r\n")


def _physical_lines(raw: io.BufferedReader | gzip.GzipFile, layout: Layout) -> Iterator[bytes]:
    if layout.is_wide:
        yield from (line.encode() for line in io.TextIOWrapper(raw, encoding=layout.encoding, newline="\n"))
    else:
        yield from raw


class Utf8Stream(io.RawIOBase):
    """A byte stream turned into UTF-8, strictly, that counts the quotes passing through."""

    def __init__(self, raw: io.BufferedReader | gzip.GzipFile, layout: Layout) -> None:
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
