"""Parquet files as records of text: what a source typed is written out plainly and typed again by the feed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.records.layout import (
    BATCH_ROWS,
    ESCAPED_NUL,
    EXTRA,
    PROBLEM,
    RAW,
    ROW,
    DeliveredText,
    record_schema,
)
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
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise text.invalid(f"has two columns that are called '{twice[0]}'; have it delivered again")
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
            faults: dict[int, str] = {}
            values = [_plain(text, name, batch.column(name), faults) for name in columns]
            _refuse_damaged_text(text, [*values])
            extra = nothing
            if extras:
                rows = pa.StructArray.from_arrays([batch.column(name) for name in extras], names=extras)
                extra = pa.array(_json_texts(rows)[0], pa.string())
            whole = pa.record_batch(
                [numbers, nothing, nothing, *values, extra], schema=record_schema(columns)
            )
            yield _with_faults(whole, faults) if faults else whole
            number += count
        if number != file.metadata.num_rows:
            raise text.invalid("is a damaged Parquet file; have it delivered again")
    except (pa.ArrowException, UnicodeError, OSError) as wrong:
        if not isinstance(wrong, OSError) or "parquet" in str(wrong).lower() or wrong.errno is None:
            raise text.invalid("is a damaged Parquet file; have it delivered again") from None
        raise


def _with_faults(batch: pa.RecordBatch, faults: dict[int, str]) -> pa.RecordBatch:
    """Give a batch whose records at some places are broken; what could be read of them is their raw text."""
    rows = batch.to_pylist()
    for at, problem in faults.items():
        texts = {
            name: rows[at][name] for name in batch.schema.names if name not in (ROW, PROBLEM, RAW, EXTRA)
        }
        rows[at] |= dict.fromkeys((*texts, EXTRA)) | {
            PROBLEM: problem,
            RAW: json.dumps(texts, ensure_ascii=False),
        }
    return pa.RecordBatch.from_pylist(rows, schema=batch.schema)


def _json_texts(values: pa.Array) -> tuple[list[str | None], list[int]]:
    """Give values as JSON, and the places of those that hold a day or instant of no calendar, which are null."""
    places: list[int] = []
    try:
        items = values.to_pylist()
    except (OverflowError, ValueError):
        items = []
        for at, value in enumerate(values):
            try:
                items.append(value.as_py())
            except (OverflowError, ValueError):
                items.append(None)
                places.append(at)
    return [
        None if one is None else json.dumps(one, ensure_ascii=False, default=str) for one in items
    ], places


def _plain(text: DeliveredText, name: str, values: Any, faults: dict[int, str]) -> pa.Array:
    """Give a column as text; empty text is null, as in every other form. Values of no calendar are told in ``faults`` by their place."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.dictionary_decode(), kind.value_type
    if pa.types.is_nested(kind):
        texts, places = _json_texts(values)
        faults.update((at, f"unreadable:{name}") for at in places)
        values = pa.array(texts, pa.string())
        is_nul = pc.fill_null(pc.match_substring_regex(values, ESCAPED_NUL), False)
        faults.update((int(at), "nul") for at in pc.indices_nonzero(is_nul).to_pylist())
        return values
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
    # Tables hold microseconds; what a source writes beyond them is cut, as Spark cuts it.
    return pc.strftime(
        values.cast(pa.timestamp("us", "UTC"), safe=values.type.unit != "ns"), format="%Y-%m-%dT%H:%M:%SZ"
    )


def _refuse_damaged_text(text: DeliveredText, columns: list[pa.Array]) -> None:
    """Refuse a file whose texts are no UTF-8; the reader does not look."""
    for column in columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            raise text.invalid("is a damaged Parquet file; have it delivered again") from None
