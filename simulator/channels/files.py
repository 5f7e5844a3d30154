"""How a file is written: separator, encoding, compression, bad and duplicate rows; and a note of what each file holds."""

from __future__ import annotations

import gzip
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
    """What one file holds, for `truth/files.csv`."""

    feed: str
    business_date: date
    file: str
    rows: int
    broken_rows: int
    duplicate_rows: int
    note: str


@dataclass(frozen=True)
class CsvFormat:
    """The format of a CSV file."""

    separator: str = ","
    has_header: bool = True
    encoding: str = "utf-8"
    is_quoted: bool = False


@dataclass
class Inbox:
    """A writer of files below `root`, with a note of each file."""

    root: Path
    seed: int
    notes: list[FileNote] = field(default_factory=list)

    def write_csv(
        self, feed: str, day: date, name: str, tables: Iterable[pa.Table], csv_format: CsvFormat = CsvFormat(), *, bad_values: dict[str, str] | None = None,
        bad_share: float = 0.0, duplicate_share: float = 0.0, is_cut: bool = False, note: str = "",
    ) -> None:  # fmt: skip
        """Write one CSV file from tables of one schema; with `is_cut` it ends within a copy of its first record.

        `bad_values` maps a column to a value that makes a row unusable. The file gets copies of a few rows with one such value each,
        and a few exact duplicates: `bad_share` and `duplicate_share` of the rows, but at least one where there is such a value or share.
        """
        rows, bad_rows, duplicate_rows, first_half = 0, 0, 0, b""
        with _Sink(self.root / feed / day.isoformat() / name, csv_format.encoding) as sink:
            options = pacsv.WriteOptions(
                include_header=False,
                delimiter=csv_format.separator,
                quoting_style="needed" if csv_format.is_quoted else "none",
            )
            for number, table in enumerate(tables):
                if number == 0 and csv_format.has_header:
                    sink.write((csv_format.separator.join(table.column_names) + "\n").encode())
                sink.write_table(table, options)
                rows += len(table)
                if number == 0 and len(table):
                    first_half = _first_half_of(table, options, csv_format.separator)
                if number or not len(table) or not (bad_values or duplicate_share):
                    continue
                rng = generator(self.seed, "broken rows", feed, day.toordinal(), name)
                text = table.slice(0, 20_000).cast(
                    pa.schema([(c, pa.large_string()) for c in table.column_names])
                )
                for column, value in (bad_values or {}).items():
                    picks = rng.choice(
                        len(text), max(1, min(10, round(bad_share * len(table)))), replace=False
                    )
                    bad_table = text.take(pa.array(np.sort(picks)))
                    place = bad_table.column_names.index(column)
                    bad_table = bad_table.set_column(
                        place, column, pa.array([value] * len(bad_table), pa.large_string())
                    )
                    sink.write_table(bad_table, options)
                    bad_rows += len(bad_table)
                if duplicate_share:
                    picks = rng.choice(
                        len(text), max(1, min(20, round(duplicate_share * len(table)))), replace=False
                    )
                    sink.write_table(table.take(pa.array(np.sort(picks))), options)
                    duplicate_rows += len(picks)
            if is_cut and first_half:
                sink.write(first_half)
                bad_rows, note = bad_rows + 1, note or "the last line is cut"
        self._add_note(feed, day, name, rows + bad_rows + duplicate_rows, bad_rows, duplicate_rows, note)

    def write_lines(
        self, feed: str, day: date, name: str, chunks: Iterable[pa.Array], *, bad_texts: list[tuple[str, str]] | None = None,
        duplicate_share: float = 0.0, note: str = "",
    ) -> None:  # fmt: skip
        """Write JSON lines (each string ends in a line break); without a line there is no file.

        `bad_texts` are pairs (text, replacement): each one spoils a copy of a line.
        """
        rows, bad_rows, duplicate_rows = 0, 0, 0
        with _Sink(self.root / feed / day.isoformat() / name, "utf-8") as sink:
            for number, chunk in enumerate(chunks):
                sink.write(_text_bytes(chunk))
                rows += len(chunk)
                if number or not len(chunk) or not (bad_texts or duplicate_share):
                    continue
                rng = generator(self.seed, "broken rows", feed, day.toordinal(), name)
                for text, replacement in bad_texts or []:
                    line = chunk[int(rng.integers(len(chunk)))].as_py()
                    sink.write(line.replace(text, replacement, 1).encode())
                    bad_rows += 1
                if duplicate_share:
                    count = max(1, min(20, round(duplicate_share * len(chunk))))
                    picks = np.sort(rng.choice(len(chunk), count, replace=False))
                    sink.write(_text_bytes(chunk.take(pa.array(picks))))
                    duplicate_rows += count
        if not rows:  # a channel without events delivers no file
            (self.root / feed / day.isoformat() / name).unlink()
            return
        self._add_note(feed, day, name, rows + bad_rows + duplicate_rows, bad_rows, duplicate_rows, note)

    def repeat_file(self, feed: str, day: date, name: str, second_name: str) -> None:
        """Deliver the same bytes a second time under another name."""
        folder = self.root / feed / day.isoformat()
        (folder / second_name).write_bytes((folder / name).read_bytes())
        first_note = next(n for n in self.notes if (n.feed, n.business_date, n.file) == (feed, day, name))
        self._add_note(
            feed,
            day,
            second_name,
            first_note.rows,
            first_note.broken_rows,
            first_note.duplicate_rows,
            "the same bytes again",
        )

    def _add_note(
        self, feed: str, day: date, name: str, rows: int, bad_rows: int, duplicate_rows: int, note: str
    ) -> None:
        self.notes.append(FileNote(feed, day, name, rows, bad_rows, duplicate_rows, note))


def _first_half_of(table: pa.Table, options: pacsv.WriteOptions, separator: str) -> bytes:
    """Give the first half of a table's first record, by its fields and without a line break."""
    buffer = pa.BufferOutputStream()
    pacsv.write_csv(_blanks_as_nulls(table.slice(0, 1)), buffer, options)
    parts = buffer.getvalue().to_pybytes().decode().rstrip("\n").split(separator)
    return separator.join(parts[: len(parts) // 2]).encode()


def _text_bytes(lines: pa.Array) -> memoryview | bytes:
    if not len(lines):
        return b""
    whole = pa.concat_arrays([lines.cast(pa.large_string())])  # drops the offset of a slice
    offsets = np.frombuffer(whole.buffers()[1], dtype=np.int64)
    return memoryview(whole.buffers()[2])[offsets[whole.offset] : offsets[whole.offset + len(whole)]]


class _Sink:
    """A file in an encoding, compressed if its suffix says so, with no clock in it."""

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
        # with slices the text of a big table is never in memory as a whole
        for offset in range(0, len(table), 100_000):
            buffer = pa.BufferOutputStream()
            pacsv.write_csv(_blanks_as_nulls(table.slice(offset, 100_000)), buffer, options)
            self.write(memoryview(buffer.getvalue()))


def _blanks_as_nulls(table: pa.Table) -> pa.Table:
    """Give empty strings as nulls: both become nothing between two separators."""
    columns = []
    for column in table.columns:
        if pa.types.is_large_string(column.type):
            column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
        columns.append(column)
    return pa.table(columns, names=table.column_names)
