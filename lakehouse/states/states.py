"""States: what we knew from when to when. Rewinding, closing and opening a feed's rows is one MERGE.

A state row is valid over ``[valid_from, valid_to)`` in business dates. Night D compares what a feed says now with
what was open before D. A rerun of D first looks through what the earlier attempt did (rows it opened on D do not
count, rows it closed on D count as open), so the same input gives the same rows however often D runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from lakehouse.contracts.contract import Contract
from lakehouse.errors import ContractBroken

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.tables.lake import Lake


@dataclass(frozen=True)
class StateCounts:
    """What one change of a state table did: rows opened, closed, reopened or corrected, and withdrawn."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


def change_states(
    lake: Lake,
    found: Contract,
    frame: Any,
    *,
    feed: str,
    business_date: date,
    mode: Literal["snapshot", "delta"],
    key: Sequence[str] | None = None,
) -> StateCounts:
    """Write what ``feed`` says on ``business_date`` into the state table, in one commit or none.

    ``frame`` has the contract's business columns, ``_file`` and ``_row``, one row per key. In mode ``snapshot`` an
    open row whose key is absent is closed; in mode ``delta`` it stays. A row whose content is unchanged stays as it
    is, with the file it first came from.
    """
    if found.shape != "state":
        raise ContractBroken(f"{found.name} is a {found.shape}, not a state table")
    if type(frame).__module__.startswith("pyarrow"):
        done = _change_small(lake, found, frame, feed, business_date, mode, key or found.key)
        if done is not None:
            return done
    incoming = _incoming(lake, found, frame)
    path = lake.path(found.name)
    if not lake.delta(found.name).file_uris():
        opened = _opened(incoming, found, feed, business_date)
        opened.write.format("delta").mode("append").save(path)
        return StateCounts(inserted=lake.row_count(found.name))
    actions = _actions(
        lake.read(found.name).where(f"_feed = '{feed}'"),
        incoming,
        found,
        feed,
        business_date,
        mode,
        key or found.key,
    ).persist()
    try:
        counts = {row["_action"]: row["count"] for row in actions.groupBy("_action").count().collect()}
        done = StateCounts(counts.get("insert", 0), counts.get("update", 0), counts.get("delete", 0))
        if not counts:
            return done
        if set(counts) == {"insert"}:
            actions.drop("_action").select(*found.columns).write.format("delta").mode("append").save(path)
            return done
        _merge(lake, path, actions, found, key or found.key)
        return done
    finally:
        actions.unpersist()


def _change_small(
    lake: Lake,
    found: Contract,
    rows: Any,
    feed: str,
    business_date: date,
    mode: Literal["snapshot", "delta"],
    key: Sequence[str],
) -> StateCounts | None:
    """Do the change without a JVM where incoming and stored rows fit in memory; give None where they do not."""
    import pyarrow as pa

    from lakehouse.states.small_states import MOST_ROWS, apply_actions, state_actions

    if rows.num_rows > MOST_ROWS or lake.row_count(found.name) > MOST_ROWS:
        return None
    fields = [
        field for field in found.arrow_schema() if field.name not in ("_feed", "valid_from", "valid_to")
    ]
    missing = [field.name for field in fields if field.name not in rows.column_names]
    if missing:
        raise ContractBroken(f"rows for {found.name} lack column '{missing[0]}'")
    incoming = rows.select([field.name for field in fields]).cast(pa.schema(fields))
    stored = lake.read_arrow(found.name, filters=[("_feed", "=", feed)])
    actions = state_actions(
        stored, incoming, found, feed=feed, business_date=business_date, mode=mode, key=key
    )
    said = actions["_action"].to_pylist()
    if said:
        apply_actions(lake, found, actions, key)
    return StateCounts(said.count("insert"), said.count("update"), said.count("delete"))


def _incoming(lake: Lake, found: Contract, frame: Any) -> DataFrame:
    if type(frame).__module__.startswith("pyarrow"):
        frame = lake.spark.createDataFrame(frame)
    wanted = [name for name in found.columns if name not in ("_feed", "valid_from", "valid_to")]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise ContractBroken(f"rows for {found.name} lack column '{missing[0]}'")
    from pyspark.sql import functions as F

    return frame.select(*[F.col(f"`{name}`").cast(found.columns[name].type).alias(name) for name in wanted])


def _opened(incoming: DataFrame, found: Contract, feed: str, business_date: date) -> DataFrame:
    from pyspark.sql import functions as F

    return (
        incoming.withColumn("_feed", F.lit(feed))
        .withColumn("valid_from", F.lit(business_date))
        .withColumn("valid_to", F.lit(None).cast("date"))
        .select(*found.columns)
    )


def _actions(
    current: DataFrame,
    incoming: DataFrame,
    found: Contract,
    feed: str,
    business_date: date,
    mode: str,
    key: Sequence[str],
) -> DataFrame:
    """Give one row per change of the table: all columns of the row as it shall be, and ``_action``."""
    from pyspark.sql import functions as F

    day = F.lit(business_date)
    names = list(found.columns)
    business = list(found.business_columns)
    before = current.where(
        (F.col("valid_from") < day) & (F.col("valid_to").isNull() | (F.col("valid_to") == day))
    )
    attempt = current.where(F.col("valid_from") == day)

    def packed(rows: DataFrame, label: str) -> DataFrame:
        return rows.select(*[F.col(k).alias(f"_k_{k}") for k in key], F.struct(*names).alias(label))

    on = [f"_k_{k}" for k in key]
    joined = (
        packed(before, "b")
        .join(packed(attempt, "t"), on=on, how="full")
        .join(packed(_opened(incoming, found, feed, business_date), "i"), on=on, how="full")
    )
    says, knew, tried = F.col("i").isNotNull(), F.col("b").isNotNull(), F.col("t").isNotNull()
    same = says & knew & _all_equal("i", "b", business)
    stays = same | (~says & F.lit(mode == "delta"))
    ends = F.when(stays, F.lit(None).cast("date")).otherwise(day)
    opens = says & ~same
    content = [*business, "_file", "_row"]

    def change(action: Column, row: str, valid_to: Column) -> Column:
        fields = [F.col(f"{row}.{n}").alias(n) if n != "valid_to" else valid_to.alias(n) for n in names]
        return F.struct(action.alias("_action"), *fields)

    of_before = F.when(knew & ~F.col("b.valid_to").eqNullSafe(ends), F.lit("update"))
    of_attempt = F.when(tried & ~opens, F.lit("delete"))
    of_incoming = F.when(opens & ~tried, F.lit("insert")).when(
        opens & tried & ~_all_equal("i", "t", content), F.lit("update")
    )
    none = F.lit(None).cast("date")
    changes = F.array(
        change(of_before, "b", ends), change(of_attempt, "t", none), change(of_incoming, "i", none)
    )
    return joined.select(F.explode(changes).alias("c")).select("c.*").where("_action IS NOT NULL")


def _all_equal(left: str, right: str, names: Sequence[str]) -> Column:
    from pyspark.sql import functions as F

    equal = F.lit(True)
    for name in names:
        equal = equal & F.col(f"{left}.{name}").eqNullSafe(F.col(f"{right}.{name}"))
    return equal


def _merge(lake: Lake, path: str, actions: DataFrame, found: Contract, key: Sequence[str]) -> None:
    from delta.tables import DeltaTable

    on = " AND ".join(f"t.{name} <=> s.{name}" for name in ("_feed", "valid_from", *key))
    assignments: dict[str, str | Column] = {f"`{name}`": f"s.`{name}`" for name in found.columns}
    (
        DeltaTable.forPath(lake.spark, path)
        .alias("t")
        .merge(actions.alias("s"), on)
        .whenMatchedDelete(condition="s._action = 'delete'")
        .whenMatchedUpdate(set=assignments)
        .whenNotMatchedInsert(values=assignments)
        .execute()
    )
