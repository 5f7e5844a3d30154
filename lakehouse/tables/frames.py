"""Frames on their way into a table: rows in Spark, in Arrow memory or as a stream, brought to the contract's columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.contract import Contract
from lakehouse.errors import ContractBroken

if TYPE_CHECKING:
    import pyarrow as pa

Frame = Any  # a Spark DataFrame, a pyarrow.Table or a pyarrow.RecordBatchReader


def is_arrow(frame: Frame) -> bool:
    """Tell whether a frame is written without a JVM."""
    return type(frame).__module__.startswith("pyarrow")


def is_reader(frame: Frame) -> bool:
    """Tell whether a frame is a stream of batches, to be read once."""
    return is_arrow(frame) and hasattr(frame, "read_next_batch")


def fit(frame: Frame, contract: Contract) -> Any:
    """Give the frame with exactly the contract's columns, in its order and types."""
    names = (
        frame.schema.names if is_reader(frame) else frame.column_names if is_arrow(frame) else frame.columns
    )
    missing = [name for name in contract.columns if name not in names]
    unknown = [name for name in names if name not in contract.columns]
    if missing or unknown:
        what = (
            f"lack column '{missing[0]}'"
            if missing
            else f"have a column '{unknown[0]}' the contract does not know"
        )
        raise ContractBroken(f"rows for {contract.name} {what}")
    if is_reader(frame):
        return _fit_reader(frame, contract)
    if is_arrow(frame):
        return frame.select(list(contract.columns)).cast(contract.arrow_schema())
    from pyspark.sql import functions as F

    return frame.select(*[F.col(f"`{c.name}`").cast(c.type).alias(c.name) for c in contract.columns.values()])


def rows_without_keys(rows: pa.Table, keys: pa.Table) -> pa.Table:
    """Give the Arrow rows whose key is not among ``keys``, in their order.

    Only keys are joined: Arrow's join takes no lists and structs along.
    """
    import numpy as np
    import pyarrow as pa

    places = pa.array(np.arange(rows.num_rows))
    numbered = rows.select(keys.column_names).append_column("_place", places)
    fresh = numbered.join(keys, keys=keys.column_names, join_type="left anti").sort_by("_place")
    return rows.take(fresh["_place"])


def with_lost_columns(rows: Frame, fields: Sequence[Any]) -> Any:
    """Give Arrow rows with nulls in the columns of a table's ``fields`` that its contract has lost; older rows have them."""
    import pyarrow as pa

    names = rows.schema.names
    lost_fields = [pa.field(field.to_arrow()) for field in fields if field.name not in names]
    if not lost_fields:
        return rows
    if is_reader(rows):
        return _with_nulls(rows, lost_fields)
    for field in lost_fields:
        rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows


def _fit_reader(reader: Any, contract: Contract) -> Any:
    import pyarrow as pa

    schema = contract.arrow_schema()
    batches = (batch.select(schema.names).cast(schema) for batch in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _with_nulls(reader: Any, fields: list[pa.Field]) -> Any:
    import pyarrow as pa

    schema = pa.schema([*reader.schema, *fields])
    batches = (
        pa.record_batch([*b.columns, *(pa.nulls(b.num_rows, f.type) for f in fields)], schema=schema)
        for b in reader
    )
    return pa.RecordBatchReader.from_batches(schema, batches)
