"""One reader for every form a delivered file may have."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from ingestion.records.careful import iter_records
from ingestion.records.columnar import parquet_batches
from ingestion.records.delimited import DelimitedReader
from ingestion.records.json_lines import json_batches, json_lines
from ingestion.records.layout import (
    NUL,
    NUL_SHOWN,
    PROBLEM,
    ROW,
    DeliveredText,
    Layout,
    refuse_strange_values,
)
from ingestion.records.opening import TooLarge


class RecordReader:
    """The records of one file as Arrow batches of ``record_schema``; empty text is null.

    A broken record has ``_problem`` and ``_raw`` and null columns. Columns the layout does not name come as one
    JSON object in ``_extra``. After iteration ``records`` counts all, ``broken`` the broken ones, ``extra_columns``
    names what the file brings beyond the layout, ``unseen_columns`` JSON keys no record carried. A file that cannot
    be read at all (empty, damaged archive, missing column, another encoding) raises ``InputInvalid``.
    """

    def __init__(self, path: Path, layout: Layout, *, name: str | None = None) -> None:
        self._text = DeliveredText(Path(path), layout, name or str(path))
        self.records = 0
        self.broken = 0

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The names the file brings beyond the layout."""
        return self._text.findings.extra_columns

    @property
    def trailer(self) -> str | None:
        """The last line of a file whose layout has a trailer, after iteration."""
        return self._text.findings.trailer

    @property
    def unseen_columns(self) -> tuple[str, ...]:
        """The keys of JSON objects that the layout names and no record carried."""
        return self._text.findings.unseen_columns

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches():
                batch = refuse_strange_values(batch, self._text.layout)
                self.records += batch.num_rows
                self.broken += batch.num_rows - batch.column(PROBLEM).null_count
                yield batch
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise self._text.invalid("is a damaged or cut gzip archive; have it delivered again") from None
        except TooLarge as wrong:
            raise self._text.invalid(f"{wrong}; have it delivered again") from None
        except (FileNotFoundError, IsADirectoryError, PermissionError) as wrong:
            raise self._text.invalid(f"cannot be opened ({wrong.strerror}); check the delivery") from None

    def _batches(self) -> Iterable[pa.RecordBatch]:
        kind = self._text.layout.type
        if kind == "parquet":
            return parquet_batches(self._text)
        return json_batches(self._text) if kind == "json_lines" else DelimitedReader(self._text)


def raw_texts(
    path: Path, layout: Layout, numbers: Iterable[int], *, width: int | None = None
) -> dict[int, str]:
    """Give the raw text of some records by number, as they stand in the file (of Parquet: their columns as JSON)."""
    searched = set(numbers)
    last = max(searched, default=0)
    texts: dict[int, str] = {}
    for number, text in _numbered_texts(path, layout, width) if searched else ():
        if number in searched:
            texts[number] = text.replace(NUL, NUL_SHOWN)
        if number >= last:
            break
    return texts


def _numbered_texts(path: Path, layout: Layout, width: int | None) -> Iterator[tuple[int, str]]:
    if layout.type == "json_lines":
        yield from ((number, text) for number, text, _ in json_lines(path, layout))
    elif layout.type == "csv":
        yield from ((record.number, record.text) for record in iter_records(path, layout, width=width))
    else:
        for batch in RecordReader(path, layout):
            for row in batch.select([ROW, *layout.columns]).to_pylist():
                number = row.pop(ROW)
                yield number, json.dumps(row, ensure_ascii=False)
