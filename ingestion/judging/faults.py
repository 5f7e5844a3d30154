"""Which expression of a feed is at fault: what an engine refuses to say, and what fails on too many records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingestion.feeds.feeds import Feed
from ingestion.judging.mapping import exact_dialect, is_exact
from lakehouse.errors import InputInvalid, SettingsInvalid
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.session.session import fault_of_java
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def blame_analysis(records: DataFrame, feed: Feed) -> None:
    """Raise ``SettingsInvalid`` with the line of the first expression that Spark refuses to analyse."""
    from pyspark.errors import AnalysisException, ParseException

    for what, text, path in all_expressions(feed):
        try:
            records.selectExpr(text)
        except (AnalysisException, ParseException) as wrong:
            condition = str(wrong.getCondition() or "it cannot be analysed").replace("_", " ").lower()
            raise feed.fault(f"Spark refuses the expression of {what} ({condition})", *path) from None


def require_engine(settings: Settings, feeds: Sequence[Feed]) -> None:
    """Raise ``SettingsInvalid`` at the first thing that only Spark does where the settings or this machine have no Spark.

    The settings have none where they name the engine duckdb, the machine where Java is missing.
    """
    if settings.engine.name == "spark":
        return
    lack = fault_of_java()
    for feed in feeds:
        if feed.extract is not None and lack is not None:
            raise feed.fault(
                f"the feed reads a table of another system, which only Spark does; {lack}", "extract"
            )
        if settings.engine.name != "duckdb" and lack is None:
            continue
        if not is_exact(feed, settings.time_zone):
            instead = "`engine: auto` gives it to Spark" if settings.engine.name == "duckdb" else lack
            raise _fault_of_engine(feed, settings.time_zone, str(instead))


def _fault_of_engine(feed: Feed, zone: str, instead: str) -> SettingsInvalid:
    dialect = exact_dialect(feed, zone)
    for what, text, path in all_expressions(feed):
        try:
            dialect.expression(text)
        except Untranslatable as wrong:
            return feed.fault(
                f"the engine duckdb cannot compute the expression of {what} ({wrong}); {instead}", *path
            )
    return feed.fault(f"the engine duckdb cannot compute what the feed says; {instead}")


def failed_expression(feed: Feed, what: str, path: tuple[str | int, ...], share: str) -> InputInvalid:
    """Give the error of an expression that fails on so many records that it is at fault itself."""
    fault = feed.fault("", *path)
    return InputInvalid(
        f"the expression of {what} failed on {share} records; use the try_… form of the function, or mend what it says",
        file=fault.file,
        line=fault.line,
    )


def all_expressions(feed: Feed) -> list[tuple[str, str, tuple[str | int, ...]]]:
    """Give every expression of a feed: what it is, its text (of a column as what the column holds), and where it stands."""
    expressions: list[tuple[str, str, tuple[str | int, ...]]] = []
    for at, rule in enumerate(feed.row_rules):
        expressions.append((f"row rule {rule.rule}", rule.refuse_when, ("row_rules", at, "refuse_when")))
    for at, target in enumerate(feed.targets):
        if target.where:
            expressions.append((f"'where' of {target.table}", target.where, ("targets", at, "where")))
        columns = feed.contract(target.table).columns
        for number, entry in enumerate(target.entries):
            for name, text in entry.items():
                cast = f"try_cast(({text}) as {columns[name].type})"
                path = ("targets", at, *target.place(number, name))
                expressions.append((f"{target.table}.{name}", cast, path))
    return expressions
