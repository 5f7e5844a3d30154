"""The change of a state table by Spark, for rows that are a Spark frame: the same rule, in frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakehouse.states.rule import Change

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def incoming_frame(change: Change, frame: DataFrame) -> DataFrame:
    """Give the feed's rows with exactly the contract's columns and types, valid from the business date on."""
    from pyspark.sql import functions as F

    columns = change.contract.columns
    rows = frame.select(*[F.col(f"`{n}`").cast(columns[n].type).alias(n) for n in change.incoming_columns])
    return (
        rows.withColumn("_feed", F.lit(change.feed))
        .withColumn("valid_from", F.lit(change.business_date))
        .withColumn("valid_to", F.lit(None).cast("date"))
        .select(*columns)
    )


def changes_by_spark(change: Change, rows_of_table: DataFrame, incoming: DataFrame) -> DataFrame:
    """Give the changes (see ``lakehouse.states.rule``); ``incoming`` are the rows of ``incoming_frame``, one per key."""
    from pyspark.sql import functions as F

    names = list(change.contract.columns)
    rows = rows_of_table.where(F.col("_feed") == change.feed)
    if change.scope is not None:
        column, values = change.scope.column, change.scope.values
        # Many values are a frame: as a list they would be a part of the statement.
        is_list = hasattr(values, "to_pylist")
        rows = (
            rows.where(F.col(column).isin(values.to_pylist()))
            if is_list
            else rows.join(values.select(column).distinct(), on=column, how="left_semi")
        )
    before = rows.where(f"valid_from < {change.day} AND (valid_to IS NULL OR valid_to = {change.day})")
    attempt = rows.where(f"valid_from = {change.day}")

    def row_as_struct(frame: DataFrame, label: str) -> DataFrame:
        return frame.select(*[F.col(k).alias(f"_k_{k}") for k in change.key], F.struct(*names).alias(label))

    on = [f"_k_{k}" for k in change.key]
    same = (
        f"i IS NOT NULL AND b IS NOT NULL AND {_all_equal('i', 'b', list(change.contract.business_columns))}"
    )
    cases = (
        row_as_struct(before, "b")
        .join(row_as_struct(attempt, "t"), on=on, how="full")
        .join(row_as_struct(incoming, "i"), on=on, how="full")
        .withColumn("is_same", F.expr(same))
    )
    differs = f"NOT ({_all_equal('i', 't', change.content_columns)})"

    def action(text: str, row: str, ends_on: str = "CAST(NULL AS DATE)") -> Column:
        values = [
            F.col(f"{row}.{n}").alias(n) if n != "valid_to" else F.expr(ends_on).alias(n) for n in names
        ]
        return F.struct(F.expr(text).alias("_action"), *values)

    actions = F.array(
        action(change.before_action(), "b", change.ends_on),
        action(change.attempt_action(), "t"),
        action(change.incoming_action(differs), "i"),
    )
    return cases.select(F.explode(actions).alias("c")).select("c.*").where("_action IS NOT NULL")


def _all_equal(one: str, other: str, names: Sequence[str]) -> str:
    return " AND ".join(f"{one}.`{n}` <=> {other}.`{n}`" for n in names) or "true"
