"""How the records of a file are written, and the shape in which every reader hands them over."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.feeds.limits import Limits
from lakehouse.errors import InputInvalid

CUT = "cut: the last record has no line end"
# A NUL inside a value, and how people are shown it.
NUL, NUL_SHOWN = "\0", "\\x00"
# How JSON writes it: there a backslash stands for itself only behind another.
ESCAPED_NUL = r"(?:^|[^\\])(?:\\\\)*\\u0000"
ROW, PROBLEM, RAW, EXTRA, FILE = "_row", "_problem", "_raw", "_extra", "_file"
BATCH_ROWS = 50_000
# A file with more undecodable records than this share is in another encoding; fewer are damage inside a good file.
LARGEST_UNDECODABLE_RATIO = 0.1


@dataclass(frozen=True)
class Layout:
    """How the records of a file are written and which of their columns are wanted, in this order.

    ``trailer`` is what the last line begins with that is no record but says what the file holds.
    """

    columns: tuple[str, ...]
    type: Literal["csv", "json_lines", "parquet"] = "csv"
    separator: str = ","
    quote: str | None = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    line_end: Literal["required", "optional"] = "optional"
    trailer: str | None = None
    limits: Limits = field(default_factory=Limits)

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
    """What reading found beside the records: names beyond the layout, JSON keys no record carried, lost text, the trailer."""

    extra_columns: tuple[str, ...] = ()
    unseen_columns: tuple[str, ...] = ()
    undecodable: int = 0
    trailer: str | None = None


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


def without_line_end(layout: Layout, last_bytes: bytes) -> bool:
    """Tell whether a text that ends with these bytes (UTF-8) was cut: nothing else ends its last value."""
    return layout.line_end == "required" and not last_bytes.endswith((b"\n", b"\r"))


def wrong_width(width_of_file: int, width_of_record: int) -> str:
    """Give the problem of a record with another number of columns."""
    return f"columns: {width_of_record} instead of {width_of_file}"


def refuse_strange_values(batch: pa.RecordBatch, layout: Layout) -> pa.RecordBatch:
    """Give a batch in which records with a value above the limits, or with a NUL, are broken ones."""
    return _refuse_nul(_refuse_large_fields(batch, layout), layout)


def _refuse_large_fields(batch: pa.RecordBatch, layout: Layout) -> pa.RecordBatch:
    """Break the records with a value, or values together, above the limits."""
    most_field, most_record = layout.limits.field_bytes, layout.limits.record_bytes
    texts = [batch.column(name) for name in (*layout.columns, EXTRA)]
    if batch.nbytes <= min(most_field, most_record):
        return batch
    sizes = [pc.fill_null(pc.binary_length(column), 0) for column in texts]
    is_large = [pc.greater(size, most_field) for size in sizes]
    total = pa.array(sum(size.to_numpy(zero_copy_only=False).astype("int64") for size in sizes))
    is_field, is_record = is_large[0], pc.greater(total, most_record)
    for more in is_large[1:]:
        is_field = pc.or_(is_field, more)
    is_broken = pc.and_(pc.or_(is_field, is_record), pc.is_null(batch.column(PROBLEM)))
    if not pc.any(is_broken).as_py():
        return batch
    problem = pc.if_else(
        is_field,
        f"too_long: a value has more than {most_field} bytes",
        f"too_long: more than {most_record} bytes",
    )
    return _with_broken(batch, is_broken, problem, pc.utf8_slice_codeunits(pc.coalesce(*texts), 0, 1_000))


def _refuse_nul(batch: pa.RecordBatch, layout: Layout) -> pa.RecordBatch:
    """Break the records with a value that holds a NUL, and write the NUL of raw texts as an escape.

    A NUL is no character of a text: databases refuse it, and what ends texts by it reads one key as another.
    """
    texts = [batch.column(name) for name in layout.columns]
    has_nul = pc.fill_null(pc.match_substring_regex(batch.column(EXTRA), ESCAPED_NUL), False)
    if not pc.any(has_nul).as_py() and not any(_may_hold_nul(one) for one in (*texts, batch.column(RAW))):
        return batch
    for column in texts:
        has_nul = pc.or_(has_nul, pc.fill_null(pc.match_substring(column, NUL), False))
    values = [pc.coalesce(column, "") for column in texts]
    raw = pc.binary_join_element_wise(*values, layout.separator)
    whole = _with_broken(batch, has_nul, pa.scalar("nul", pa.string()), raw)
    readable = pc.replace_substring(whole.column(RAW), NUL, NUL_SHOWN)
    return whole.set_column(whole.schema.get_field_index(RAW), whole.schema.field(RAW), readable)


def _may_hold_nul(column: pa.Array) -> bool:
    """Tell whether the bytes of a column of texts hold a NUL; bytes of its neighbours may be among them."""
    content = column.buffers()[2]
    return content is not None and not np.frombuffer(content, dtype=np.uint8).all()


def _with_broken(
    batch: pa.RecordBatch, is_broken: pa.Array, problem: pa.Array | pa.Scalar, raw: pa.Array
) -> pa.RecordBatch:
    """Give a batch whose records at some places are broken, with their problem and what stands for their raw text."""
    nothing = pa.scalar(None, pa.string())
    fixed = (ROW, PROBLEM, RAW)
    columns = {
        name: pc.if_else(is_broken, nothing, batch.column(name))
        for name in batch.schema.names
        if name not in fixed
    }
    columns |= {
        ROW: batch.column(ROW),
        PROBLEM: pc.if_else(is_broken, problem, batch.column(PROBLEM)),
        RAW: pc.if_else(is_broken, raw, batch.column(RAW)),
    }
    return pa.record_batch([columns[name] for name in batch.schema.names], schema=batch.schema)
