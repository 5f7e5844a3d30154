"""Delivered files: separators, encodings, compression, broken and repeated rows; and the note of what each file holds."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from simulator.world.draws import generator


@dataclass(frozen=True)
class FileNote:
    """What one delivered file holds, for `truth/files.csv`."""

    feed: str
    business_date: date
    file: str
    rows: int
    broken_rows: int
    duplicate_rows: int
    note: str


@dataclass(frozen=True)
class Shape:
    """How a CSV feed is written."""

    separator: str = ","
    header: bool = True
    encoding: str = "utf-8"
    quoted: bool = False


@dataclass
class Inbox:
    """Writes files below `<out>/inbox` and remembers a note of each."""

    root: Path
    seed: int
    notes: list[FileNote] = field(default_factory=list)

    def csv(
        self, feed: str, day: date, name: str, tables: Iterable[pa.Table], shape: Shape = Shape(), *, broken: dict[str, str] | None = None,
        bad_share: float = 0.0, duplicate_share: float = 0.0, is_cut: bool = False, note: str = "",
    ) -> None:  # fmt: skip
        """Write one CSV file from tables of one schema; `is_cut` ends it within a copy of its first record.

        `broken` maps columns to the value that makes a row unusable: copies of a few rows with one such value each are added, as are
        a few exact duplicates, in the given shares of the rows but at least one of each when the share is above zero.
        """
        rows, bad_rows, again_rows, start = 0, 0, 0, b""
        with _Sink(self.root / feed / day.isoformat() / name, shape.encoding) as sink:
            options = pacsv.WriteOptions(
                include_header=False,
                delimiter=shape.separator,
                quoting_style="needed" if shape.quoted else "none",
            )
            for number, table in enumerate(tables):
                if number == 0 and shape.header:
                    sink.write((shape.separator.join(table.column_names) + "\n").encode())
                sink.write_table(table, options)
                rows += len(table)
                if number == 0 and len(table):
                    start = _first_half(table, options, shape.separator)
                if number or not len(table) or not (broken or duplicate_share):
                    continue
                rng = generator(self.seed, "broken rows", feed, day.toordinal(), name)
                text = table.slice(0, 20_000).cast(
                    pa.schema([(c, pa.large_string()) for c in table.column_names])
                )
                for column, value in (broken or {}).items():
                    picks = rng.choice(
                        len(text), max(1, min(10, round(bad_share * len(table)))), replace=False
                    )
                    spoilt = text.take(pa.array(np.sort(picks)))
                    place = spoilt.column_names.index(column)
                    spoilt = spoilt.set_column(
                        place, column, pa.array([value] * len(spoilt), pa.large_string())
                    )
                    sink.write_table(spoilt, options)
                    bad_rows += len(spoilt)
                if duplicate_share:
                    picks = rng.choice(
                        len(text), max(1, min(20, round(duplicate_share * len(table)))), replace=False
                    )
                    sink.write_table(table.take(pa.array(np.sort(picks))), options)
                    again_rows += len(picks)
            if is_cut and start:
                sink.write(start)
                bad_rows, note = bad_rows + 1, note or "the last line is cut"
        self._remember(feed, day, name, rows + bad_rows + again_rows, bad_rows, again_rows, note)

    def lines(
        self, feed: str, day: date, name: str, chunks: Iterable[pa.Array], *, broken: list[tuple[str, str]] | None = None,
        duplicate_share: float = 0.0, note: str = "",
    ) -> None:  # fmt: skip
        """Write JSON lines (each string ends in a line break), no file where there is none; `broken` are pairs (text, replacement) that spoil a copied line."""
        rows, bad_rows, again_rows = 0, 0, 0
        with _Sink(self.root / feed / day.isoformat() / name, "utf-8") as sink:
            for number, chunk in enumerate(chunks):
                sink.write(_content(chunk))
                rows += len(chunk)
                if number or not len(chunk) or not (broken or duplicate_share):
                    continue
                rng = generator(self.seed, "broken rows", feed, day.toordinal(), name)
                for text, replacement in broken or []:
                    line = chunk[int(rng.integers(len(chunk)))].as_py()
                    sink.write(line.replace(text, replacement, 1).encode())
                    bad_rows += 1
                if duplicate_share:
                    count = max(1, min(20, round(duplicate_share * len(chunk))))
                    picks = np.sort(rng.choice(len(chunk), count, replace=False))
                    sink.write(_content(chunk.take(pa.array(picks))))
                    again_rows += count
        if not rows:  # a channel where nothing happened delivers no file
            (self.root / feed / day.isoformat() / name).unlink()
            return
        self._remember(feed, day, name, rows + bad_rows + again_rows, bad_rows, again_rows, note)

    def again(self, feed: str, day: date, name: str, second_name: str) -> None:
        """Deliver the same bytes a second time under another name."""
        folder = self.root / feed / day.isoformat()
        (folder / second_name).write_bytes((folder / name).read_bytes())
        first = next(n for n in self.notes if (n.feed, n.business_date, n.file) == (feed, day, name))
        self._remember(
            feed,
            day,
            second_name,
            first.rows,
            first.broken_rows,
            first.duplicate_rows,
            "the same bytes again",
        )

    def _remember(self, feed: str, day: date, name: str, rows: int, bad: int, again: int, note: str) -> None:
        self.notes.append(FileNote(feed, day, name, rows, bad, again, note))


def _first_half(table: pa.Table, options: pacsv.WriteOptions, separator: str) -> bytes:
    """Give the first half of a table's first record, by its fields and without a line break."""
    buffer = pa.BufferOutputStream()
    pacsv.write_csv(_texts_first(table.slice(0, 1)), buffer, options)
    parts = buffer.getvalue().to_pybytes().decode().rstrip("\n").split(separator)
    return separator.join(parts[: len(parts) // 2]).encode()


def _content(lines: pa.Array) -> memoryview | bytes:
    if not len(lines):
        return b""
    whole = pa.concat_arrays([lines.cast(pa.large_string())])  # drops the offset of a slice
    offsets = np.frombuffer(whole.buffers()[1], dtype=np.int64)
    return memoryview(whole.buffers()[2])[offsets[whole.offset] : offsets[whole.offset + len(whole)]]


class _Sink:
    """A file that is compressed by its suffix, with no clock in it, and re-encoded when asked."""

    def __init__(self, path: Path, encoding: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._encoding = encoding
        self._raw = path.open("wb")
        self._out = (
            gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=self._raw, mtime=0)
            if path.suffix == ".gz"
            else self._raw
        )

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()
        self._raw.close()

    def write(self, content: bytes | memoryview) -> None:
        if self._encoding != "utf-8":
            content = bytes(content).decode().encode(self._encoding)
        self._out.write(content)

    def write_table(self, table: pa.Table, options: pacsv.WriteOptions) -> None:
        # slices keep the text of a big table from standing in memory at once
        for offset in range(0, len(table), 100_000):
            buffer = pa.BufferOutputStream()
            pacsv.write_csv(_texts_first(table.slice(offset, 100_000)), buffer, options)
            self.write(memoryview(buffer.getvalue()))


def _texts_first(table: pa.Table) -> pa.Table:
    """Empty strings as nulls: both are delivered as nothing between two separators."""
    columns = []
    for column in table.columns:
        if pa.types.is_large_string(column.type):
            column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
        columns.append(column)
    return pa.table(columns, names=table.column_names)


def checksum(path: Path) -> int:
    """CRC of a file, for tests that compare deliveries."""
    return zlib.crc32(path.read_bytes())
