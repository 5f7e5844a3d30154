"""Parquet files as records of text: what a source typed is written out plainly and typed again by the feed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.records.layout import BATCH_ROWS, DeliveredText, record_schema
from lakehouse.settings.yaml_files import did_you_mean


def parquet_batches(text: DeliveredText) -> Iterator[pa.RecordBatch]:
    """Give the records of a Parquet file as batches of ``record_schema``.

    Dates and instants become ISO text (instants with their offset when they have one), decimals keep their scale,
    lists, structs and maps become JSON. Bytes that are no text make the file unusable.
    """
    try:
        file = pq.ParquetFile(text.path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as wrong:
        if isinstance(wrong, (FileNotFoundError, PermissionError, IsADirectoryError)):
            raise
        is_empty = text.path.stat().st_size == 0
        problem = "is empty" if is_empty else "is no whole Parquet file"
        raise text.invalid(f"{problem}; have it delivered again") from None
    with file:
        sizes = [file.metadata.row_group(at).total_byte_size for at in range(file.metadata.num_row_groups)]
        fault = text.layout.limits.fault(sum(sizes), text.path.stat().st_size)
        if fault:
            raise text.invalid(f"{fault}; have it delivered again")
        if len(file.schema_arrow.names) > text.layout.limits.columns:
            raise text.invalid(
                f"has more than {text.layout.limits.columns} columns (limits: columns of the feed)"
            )
        yield from _batches(text, file)


def _batches(text: DeliveredText, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    names = list(file.schema_arrow.names)
    columns = text.layout.columns
    for column in columns:
        if column not in names:
            raise text.invalid(
                f"has no column '{column}' that the feed maps{did_you_mean(column, names)}; "
                "have it delivered again or change 'columns' of the feed"
            )
    extras = [name for name in names if name not in columns]
    text.findings.extra_columns = tuple(extras)
    number = 0
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            count = batch.num_rows
            nothing = pa.nulls(count, pa.string())
            numbers = pa.array(range(number + 1, number + count + 1), pa.int64())
            values = [_plain(text, name, batch.column(name)) for name in columns]
            _refuse_damaged_text(text, [*values])
            extra = nothing
            if extras:
                rows = batch.select(extras).to_pylist()
                extra = pa.array([json.dumps(r, ensure_ascii=False, default=str) for r in rows], pa.string())
            yield pa.record_batch([numbers, nothing, nothing, *values, extra], schema=record_schema(columns))
            number += count
        if number != file.metadata.num_rows:
            raise text.invalid("is a damaged Parquet file; have it delivered again")
    except (pa.ArrowException, UnicodeError, OSError) as wrong:
        if not isinstance(wrong, OSError) or "parquet" in str(wrong).lower() or wrong.errno is None:
            raise text.invalid("is a damaged Parquet file; have it delivered again") from None
        raise


def _plain(text: DeliveredText, name: str, values: Any) -> pa.Array:
    """Give a column as text; empty text is null, as in every other form."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.dictionary_decode(), kind.value_type
    if pa.types.is_nested(kind):
        texts = [
            None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in values.to_pylist()
        ]
        return pa.array(texts, pa.string())
    try:
        texts = _timestamps(values) if pa.types.is_timestamp(kind) else values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise text.invalid(
            f"has a column '{name}' of {kind}, which cannot be written as text; have it delivered as another type"
        ) from None
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _timestamps(values: pa.Array) -> pa.Array:
    if values.type.tz is None:
        return values.cast(pa.string())
    return pc.strftime(values.cast(pa.timestamp("us", "UTC")), format="%Y-%m-%dT%H:%M:%SZ")


def _refuse_damaged_text(text: DeliveredText, columns: list[pa.Array]) -> None:
    """Refuse a file whose texts are no UTF-8; the reader does not look."""
    for column in columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            raise text.invalid("is a damaged Parquet file; have it delivered again") from None
