"""Records on which an expression of a feed fails: parts one by one and refused, so that a record's fault never stops a night.

Only where an expression fails on more than half of a delivery is it at fault itself.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from ingestion.feeds.feeds import Feed
from ingestion.judging.faults import all_expressions, failed_expression
from ingestion.judging.mapping import exact_dialect
from ingestion.records.landing import BUSINESS_DATE
from ingestion.records.layout import EXTRA, FILE, PROBLEM, RAW, ROW
from lakehouse.query.desk import Desk, Relation
from lakehouse.query.words import identifier, literal, spark_identifier

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

log = logging.getLogger("cdp.ingestion")
NIGHT = "_night"
FEW = 10
"""So many records do not tell whose fault it is."""
_ERROR = re.compile(r"\berror\('[^']*'\)")
# `try` does not see `error`, which is no function of its arguments; this fails as well, on any record.
_FAILURE = f"[NULL][CAST('no ' || {ROW} AS INTEGER)]"
_OF_RECORD = (FILE, ROW, BUSINESS_DATE, NIGHT, PROBLEM, RAW, EXTRA)


def without_failing(desk: Desk, records: str, feed: Feed, zone: str, record_count: int) -> str | None:
    """Give SQL of the same records, in which those that an expression fails on are broken: ``failed:<column>``.

    None where no expression fails. One that fails on more than half of so many records (``record_count``), and on more than a few, raises
    ``InputInvalid`` with its line.
    """
    failing = _failing(desk, records, feed, zone, record_count)
    if failing is None:
        return None
    names = desk.define("asked", f"SELECT * FROM ({records})").columns
    columns = [
        f"coalesce(d.{PROBLEM}, f.problem) AS {PROBLEM}" if name == PROBLEM
        else f"d.{identifier(name)}" if name in _OF_RECORD
        else f"CASE WHEN f.problem IS NULL THEN d.{identifier(name)} END AS {identifier(name)}"
        for name in names
    ]  # fmt: skip
    return f"SELECT {', '.join(columns)} FROM ({records}) d LEFT JOIN {failing} f ON f.{FILE} = d.{FILE} AND f.{ROW} = d.{ROW}"


def _failing(desk: Desk, records: str, feed: Feed, zone: str, record_count: int) -> Relation | None:
    """Keep the records on which expressions fail: file, row, problem, by the first of them."""
    dialect = exact_dialect(feed, zone)
    parts = []
    whole = f"(SELECT * FROM ({records}) WHERE {PROBLEM} IS NULL)"
    for at, (what, text, path) in enumerate(all_expressions(feed)):
        sql = _ERROR.sub(lambda _: _FAILURE, dialect.expression(text))
        rows = desk.keep(
            f"failing_{at}",
            f"SELECT {FILE}, {ROW}, {literal(_problem(what))} AS problem, {at} AS place FROM {whole} WHERE try([{sql}]) IS NULL",
        )
        number = desk.value(f"SELECT count(*) FROM {rows}")
        if not number:
            continue
        _tell(feed, what, path, number, record_count)
        parts.append(f"FROM {rows}")
    if not parts:
        return None
    return desk.keep(
        "failing",
        f"SELECT {FILE}, {ROW}, min_by(problem, place) AS problem FROM ({' UNION ALL '.join(parts)}) GROUP BY ALL",
    )


def without_failing_by_spark(records: DataFrame, feed: Feed, record_count: int) -> DataFrame | None:
    """Give the same of a frame of Spark; see ``without_failing``."""
    from pyspark.sql import functions as f

    failures = {expression: _is_failing(records, expression[1]) for expression in all_expressions(feed)}
    whole = records.where(f"{PROBLEM} is null")
    numbers = whole.agg(*(f.count_if(failure) for failure in failures.values())).collect()[0]
    if not any(numbers):
        return None
    failing = {expression: number for expression, number in zip(failures, numbers, strict=True) if number}
    problem = f.col(PROBLEM)
    for expression, number in failing.items():
        what, _, path = expression
        _tell(feed, what, path, number, record_count)
        problem = f.coalesce(problem, f.when(failures[expression], _problem(what)))
    columns = [
        f.col(name) if name in _OF_RECORD
        else f.when(f.col(PROBLEM).isNull(), f.col(spark_identifier(name))).alias(name)
        for name in records.columns
    ]  # fmt: skip
    sound = records.withColumn(PROBLEM, problem).select(*columns)
    for what, text, path in failing:
        if _fails(sound.where(f"{PROBLEM} is null").selectExpr(text)):
            # A part of it has no column, and fails before any record is read.
            raise failed_expression(feed, what, path, "all")
    return sound


def _is_failing(records: DataFrame, text: str) -> Column:
    """Give whether an expression fails on a record, as Spark's own ``try_…`` functions find out.

    Spark has a name in SQL for each of them, and for the general one none. What stands twice in an expression Spark computes
    once, in front of all, where it is computed for every record; so it stands where it is not, though it is.
    """
    from pyspark.sql import Column
    from pyspark.sql import functions as f

    catalyst = records.sparkSession._jvm.org.apache.spark.sql  # type: ignore[union-attr]
    value = f.when(f.col(ROW) >= 0, f.array(f.expr(text)))
    attempt = catalyst.catalyst.expressions.TryEval(catalyst.classic.ExpressionUtils.expression(value._jc))  # type: ignore[attr-defined]
    return Column(catalyst.classic.ExpressionUtils.column(attempt)).isNull()


def _fails(rows: DataFrame) -> bool:
    """Tell whether a value of rows cannot be computed; a worker that is lost says nothing about a record."""
    from pyspark.errors import PySparkException

    try:
        rows.write.format("noop").mode("overwrite").save()
    except PySparkException as wrong:
        if not (wrong.getSqlState() or "").startswith("22"):
            raise
        return True
    return False


def _problem(what: str) -> str:
    """Give the reason of a record, by the name of the rule or column whose expression failed."""
    name = re.split(r"[ .]", what)[-1]
    return f"failed:{name}"


def _tell(feed: Feed, what: str, path: tuple[str | int, ...], number: int, record_count: int) -> None:
    """Warn of records on which an expression fails; most of a delivery are the expression's own fault."""
    if number > FEW and 2 * number > record_count:
        raise failed_expression(feed, what, path, f"{number} of {record_count}")
    log.warning(
        "feed %s: the expression of %s failed on %d of %d records, which are refused; the try_… form of the function says what they lack",
        feed.feed, what, number, record_count,
    )  # fmt: skip
