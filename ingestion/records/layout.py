"""How the records of a file are written, and the shape in which every reader hands them over."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from lakehouse.errors import InputInvalid

ROW, PROBLEM, RAW, EXTRA, FILE = "_row", "_problem", "_raw", "_extra", "_file"
BATCH_ROWS = 50_000
# A file with more undecodable records than this share is in another encoding; fewer are damage inside a good file.
LARGEST_UNDECODABLE_RATIO = 0.1


@dataclass(frozen=True)
class Layout:
    """How the records of a file are written and which of their columns are wanted, in this order."""

    columns: tuple[str, ...]
    type: Literal["csv", "json_lines", "parquet"] = "csv"
    separator: str = ","
    quote: str | None = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    header: bool = True

    @property
    def is_wide(self) -> bool:
        """Whether a line break takes several bytes, so that text becomes UTF-8 before lines are cut."""
        return codecs.lookup(self.encoding).name.startswith(("utf-16", "utf-32"))

    @property
    def line_encoding(self) -> str:
        """The encoding of single lines as they are cut."""
        return "utf-8" if self.is_wide else self.encoding


@dataclass(frozen=True)
class Record:
    """One record as it stands in the file; ``values`` is None when ``problem`` says why it cannot be split."""

    number: int
    text: str
    values: list[str] | None = None
    problem: str | None = None


@dataclass
class Findings:
    """What reading found beside the records: names beyond the layout, JSON keys no record carried, lost text."""

    extra_columns: tuple[str, ...] = ()
    unseen_columns: tuple[str, ...] = ()
    undecodable: int = 0


@dataclass(frozen=True)
class DeliveredText:
    """A file to read: where it lies, how it is written, the name people know it by, and what reading finds."""

    path: Path
    layout: Layout
    name: str
    findings: Findings = field(default_factory=Findings)

    def invalid(self, sentence: str) -> InputInvalid:
        """Give the error that says why the file cannot be used at all."""
        return InputInvalid(sentence, file=self.name)

    def refuse_other_encoding(self, records: int) -> None:
        """Refuse a file of which too many records cannot be decoded: it is in another encoding."""
        undecodable = self.findings.undecodable
        if undecodable > max(1, records * LARGEST_UNDECODABLE_RATIO):
            raise self.invalid(
                f"is not {self.layout.encoding} text: {undecodable} of {records} records cannot be decoded; "
                "set 'format: encoding' of the feed (gb18030 is usual for Chinese text)"
            )


def record_schema(columns: Iterable[str]) -> pa.Schema:
    """Give the Arrow schema of what the reader yields: number, problem, raw text of a broken record, text columns."""
    texts = [pa.field(name, pa.string()) for name in columns]
    fixed = [pa.field(ROW, pa.int64()), pa.field(PROBLEM, pa.string()), pa.field(RAW, pa.string())]
    return pa.schema([*fixed, *texts, pa.field(EXTRA, pa.string())])


def from_rows(rows: Sequence[tuple[Any, ...]], columns: Iterable[str]) -> pa.RecordBatch:
    """Give tuples in the order of ``record_schema`` as a batch."""
    schema = record_schema(columns)
    return pa.record_batch(
        [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)],
        schema=schema,
    )


def wrong_width(width_of_file: int, width_of_record: int) -> str:
    """Give the problem of a record with another number of columns."""
    return f"columns: {width_of_record} instead of {width_of_file}"
