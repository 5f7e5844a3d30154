"""Which engine computes a night's tags, and why; both give the same rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from lakehouse.errors import SettingsInvalid
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.expressions.tokens import short_text
from lakehouse.session.session import fault_of_java
from tags.build.dialect import duckdb_model
from tags.build.project import reason_for_spark
from tags.compile.entry_texts import texts_of

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake
    from tags.compile.compilation import Compilation

log = logging.getLogger("cdp.tags")

Engine = Literal["duckdb", "spark"]


def engine_for(lake: Lake, compilation: Compilation, tables: list[str]) -> Engine:
    """Give the engine the settings name; for ``auto``, DuckDB unless something speaks for Spark, which is logged.

    See ``require_engine`` for what it raises.
    """
    name = lake.settings.engine.name
    if name != "auto":
        require_engine(lake.settings, compilation)
        return name
    reason = (
        reason_for_spark(compilation)
        or ("a cluster is the master" if lake.is_on_cluster else None)
        or _size(lake, tables)
    )
    if reason is not None:
        log.info("Spark computes the tags: %s", reason)
        return "spark"
    return "duckdb"


def require_engine(settings: Settings, compilation: Compilation) -> None:
    """Raise ``SettingsInvalid`` where only Spark can say a model, and the settings or this machine have no Spark.

    The settings have none where they name the engine duckdb, the machine where Java is missing.
    """
    if settings.engine.name == "spark":
        return
    lack = None if settings.engine.name == "duckdb" else fault_of_java()
    if settings.engine.name != "duckdb" and lack is None:
        return
    reason = reason_for_spark(compilation)
    if reason is not None:
        instead = f"; {lack}" if lack else ""
        raise _fault_of_entry(compilation, instead) or SettingsInvalid(
            f"the engine duckdb cannot compute the tags: {reason}{instead}"
        )


def _fault_of_entry(compilation: Compilation, instead: str) -> SettingsInvalid | None:
    """Give the fault of the first expression of a tag that only Spark can say, with its file and line."""
    for entry in compilation.entries:
        for keys, text, _ in texts_of(entry):
            try:
                duckdb_model(f"select {compilation.writer_of(entry).text(entry, text, *keys)} as v")
            except Untranslatable as wrong:
                return compilation.registry.fault(
                    entry.code,
                    f"'{short_text(text)}' {wrong}{instead or '; `engine: spark` computes it'}",
                    *keys,
                )
    return None


def _size(lake: Lake, tables: list[str]) -> str | None:
    rows, limit = sum(lake.row_count(table) for table in tables), lake.settings.engine.rows_in_process
    return f"{rows} rows are above engine.rows_in_process ({limit})" if rows > limit else None
