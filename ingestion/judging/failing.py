"""Records on which an expression of a feed fails: parts one by one and refused, so that a record's fault never stops a night.

Only where an expression fails on more than half of a delivery is it at fault itself.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from ingestion.feeds.exact_translation import make_known
from ingestion.feeds.feeds import Feed
from ingestion.judging.faults import all_expressions, failed_expression
from ingestion.judging.mapping import exact_dialect
from ingestion.records.landing import BUSINESS_DATE, Nights
from ingestion.records.layout import EXTRA, FILE, PROBLEM, RAW, ROW
from ingestion.records.record_files import RecordFiles
from lakehouse.query.desk import Desk, Relation, open_alone
from lakehouse.query.words import identifier, literal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("cdp.ingestion")
NIGHT = "_night"
FEW = 10
"""So many records do not tell whose fault it is."""
MOST_PROBES = 400
"""How often Spark is asked for the records on which one expression fails."""
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


def problems_in_files(
    files: RecordFiles, nights: Nights, zone: str, record_count: int
) -> dict[tuple[str, int], str]:
    """Give the problem, by file and row, of the records on which an expression fails, of a feed that this process can map."""
    with open_alone(folders=[files.folder]) as desk:
        make_known(desk)
        failing = _failing(desk, files.sql(nights), files.feed, zone, record_count)
        rows = [] if failing is None else desk.rows(f"SELECT {FILE}, {ROW}, problem FROM {failing}")
    return {(file, row): problem for file, row, problem in rows}


def problems_by_spark(records: DataFrame, feed: Feed, record_count: int) -> dict[tuple[str, int], str]:
    """Give the same of a frame of Spark, whose expressions nobody else knows: records are found by halves.

    An expression that fails on very many raises ``InputInvalid``, too.
    """
    whole = records.where(f"{PROBLEM} is null")
    problems: dict[tuple[str, int], str] = {}
    for what, text, path in all_expressions(feed):
        if not _fails(whole, text):
            continue
        places = _failing_places(whole, text, feed, what, path)
        _tell(feed, what, path, len(places), record_count)
        for place in places:
            problems.setdefault(place, _problem(what))
    return problems


def without_failing_by_spark(records: DataFrame, problems: dict[tuple[str, int], str]) -> DataFrame:
    """Give a frame in which the records that have a problem are broken; see ``without_failing``."""
    from pyspark.sql import functions as f

    failing = records.sparkSession.createDataFrame(
        [(file, row, problem) for (file, row), problem in sorted(problems.items())],
        f"failed_file string, failed_row {records.schema[ROW].dataType.simpleString()}, failed_problem string",
    )
    with_problems = records.join(
        f.broadcast(failing),
        (records[FILE] == failing.failed_file) & (records[ROW] == failing.failed_row),
        "left",
    )
    columns = [
        f.coalesce(records[name], failing.failed_problem).alias(name) if name == PROBLEM
        else records[name] if name in _OF_RECORD
        else f.when(failing.failed_problem.isNull(), records[f"`{name}`"]).alias(name)
        for name in records.columns
    ]  # fmt: skip
    return with_problems.select(*columns)


def _failing_places(
    whole: DataFrame, text: str, feed: Feed, what: str, path: tuple[str | int, ...]
) -> list[tuple[str, int]]:
    from pyspark.sql import functions as f

    ranges = [
        (row[0], row[1], row[2])
        for row in whole.groupBy(FILE).agg(f.min(ROW), f.max(ROW)).orderBy(FILE).collect()
    ]
    places, probes = [], 0
    while ranges:
        file, first, last = ranges.pop()
        probes += 1
        if probes > MOST_PROBES:
            raise failed_expression(feed, what, path, "very many")
        if not _fails(whole.where((f.col(FILE) == file) & f.col(ROW).between(first, last)), text):
            continue
        if first == last:
            places.append((file, first))
            continue
        middle = (first + last) // 2
        ranges += [(file, middle + 1, last), (file, first, middle)]
    return places


def _fails(records: DataFrame, text: str) -> bool:
    from pyspark.errors import PySparkException

    try:
        records.selectExpr(f"{text} as v").selectExpr("max(cast(v as string))").collect()
    except PySparkException as wrong:
        # Of class 22 are errors of values; a worker that is lost is none.
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
