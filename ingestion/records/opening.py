"""A delivered file as lines of bytes and as UTF-8, strictly."""

from __future__ import annotations

import codecs
import gzip
import io
import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, AnyStr

import pyarrow as pa

from ingestion.feeds.limits import Limits
from ingestion.records.layout import Layout

PIECE_BYTES = 1 << 20
# A longer last line is no trailer.
LONGEST_TRAILER = 64 << 10
# So much of the end of a text is looked at.
_END_BYTES = 4_096
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


def text_lines(path: Path, layout: Layout, trailer: list[str] | None = None) -> Iterator[bytes]:
    """Give a file's physical lines in ``layout.line_encoding``, without the byte order mark.

    Of a layout with a trailer the last line is not given; its text is added to ``trailer``.
    """
    with open_bytes(path, layout.limits) as raw:
        lines = _physical_lines(raw, layout)
        if layout.trailer is not None:
            lines = _without_last(lines, layout, [] if trailer is None else trailer)
        first = next(lines, None)
        if first is not None:
            yield first.removeprefix(codecs.BOM_UTF8)
            yield from lines


def _without_last(lines: Iterator[bytes], layout: Layout, trailer: list[str]) -> Iterator[bytes]:
    """Give all lines but the last one that is not blank."""
    waiting: list[bytes] = []
    for line in lines:
        if line.strip():
            yield from waiting
            waiting.clear()
        waiting.append(line)
    if waiting:
        trailer.append(readable_line(waiting[0], layout))


def readable_line(line: bytes, layout: Layout) -> str:
    """Give a line for people, bytes that are no text written as escapes."""
    return line[:SHOWN_BYTES].decode(layout.line_encoding, "backslashreplace").rstrip("\r\n")


def _physical_lines(raw: io.BufferedReader, layout: Layout) -> Iterator[bytes]:
    """Give lines; of one that is longer than a record may be only so much that it is seen to be longer."""
    most = layout.limits.record_bytes + 1
    if layout.is_wide:
        with io.TextIOWrapper(raw, encoding=layout.encoding, newline="\n") as text:
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


def _cut_sign_length(text: bytes) -> int:
    """Give how many bytes at the end begin a sign of UTF-8 that does not end there."""
    for length in range(1, min(3, len(text)) + 1):
        byte = text[-length]
        if byte >= 0xC0:
            return length if length < (2 + (byte >= 0xE0) + (byte >= 0xF0)) else 0
        if byte < 0x80:
            return 0
    return 0


class Utf8Stream(io.RawIOBase):
    """A byte stream turned into UTF-8, strictly, that counts the quotes passing through and knows how it ends.

    Of a layout with a trailer the last line is not given; it is in ``trailer`` when all is read.
    """

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
        self._cut_sign = b""
        self._has_trailer, self._last_line, self._is_end = layout.trailer is not None, b"", False
        self.trailer: str | None = None
        self.quotes = 0
        self.last_bytes = b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Give up to ``size`` bytes of the source's text in UTF-8."""
        chunk = self._without_last_line(size) if self._has_trailer else self._decoded(size)
        if self._quote:
            self.quotes += self._quotes_in(chunk)
        self.last_bytes = (
            (self.last_bytes + chunk)[-_END_BYTES:] if len(chunk) < _END_BYTES else chunk[-_END_BYTES:]
        )
        return chunk

    def ends_within_quote(self, last_value: str | None) -> bool:
        """Tell whether a quote may be open where the text ends, whose last record has this as its last value.

        Counting quotes is not enough: a sign within a value that is not quoted is one of them.
        """
        if self.quotes == 0:
            return False
        if self.quotes % 2 == 1:
            return True
        end = self.last_bytes
        if not last_value:
            return end.endswith(self._quote) and not end.endswith(2 * self._quote)
        value = last_value.encode()
        if self._escaped is not None or len(value) >= _END_BYTES // 2:
            return not end.endswith((b"\n", b"\r")) or value.endswith((b"\n", b"\r"))
        return end.endswith(self._quote + value.replace(self._quote, 2 * self._quote))

    def _without_last_line(self, size: int) -> bytes:
        """Keep back the last line that is not blank, as far as a trailer may be long."""
        while not self._is_end:
            piece = self._decoded(size if size < 0 else max(size - len(self._last_line), 1))
            text = self._last_line + piece
            if not piece:
                self._is_end = True
                self.trailer = text.decode("utf-8", "backslashreplace").strip("\r\n")
                break
            begin = text.rfind(b"\n", 0, len(text.rstrip(b"\r\n"))) + 1
            if begin == 0 and len(text) > LONGEST_TRAILER:
                begin = len(text)
            self._last_line = text[begin:]
            if begin:
                return text[:begin]
        return b""

    def _decoded(self, size: int) -> bytes:
        if self._decoder is None:
            chunk = self._raw.read(size)
            self._refuse_other_bytes(chunk)
        else:
            chunk, is_end = self._rest, False
            while not is_end and (size < 0 or len(chunk) < size):
                piece = self._raw.read(size)
                is_end = not piece
                chunk += self._decoder.decode(piece, final=is_end).encode()
            chunk, self._rest = (chunk, b"") if size < 0 else (chunk[:size], chunk[size:])
        return chunk

    def _refuse_other_bytes(self, chunk: bytes) -> None:
        """Raise ``UnicodeDecodeError`` where bytes are no UTF-8; a sign that a chunk cuts is looked at with the next one."""
        if not self._cut_sign and chunk.isascii():
            return
        text = self._cut_sign + chunk
        whole_length = len(text) - (_cut_sign_length(text) if chunk else 0)
        self._cut_sign = text[whole_length:]
        whole = pa.py_buffer(text).slice(0, whole_length)
        ends = pa.py_buffer(array("q", (0, whole_length)))
        try:
            pa.Array.from_buffers(pa.large_string(), 1, [None, ends, whole]).validate(full=True)
        except pa.ArrowInvalid:
            raise UnicodeDecodeError("utf-8", b"", 0, 0, "bytes that are no UTF-8") from None

    def _quotes_in(self, chunk: bytes) -> int:
        if self._escaped is None:
            return chunk.count(self._quote)
        plain = self._escaped.sub(b"", self._cut_escape + chunk)
        # An escape at the very end of a chunk takes the first sign of the next one.
        self._cut_escape = plain[-1:] if self._escaped.match(plain[-1:] + b".") else b""
        return plain.count(self._quote)
