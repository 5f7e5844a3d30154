"""Which engine computes a night's tags, and why; both give the same rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from lakehouse.errors import SettingsInvalid
from tags.build.project import reason_for_spark

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
    """Raise ``SettingsInvalid`` where the settings name the engine duckdb and a model cannot be said in its words."""
    reason = reason_for_spark(compilation) if settings.engine.name == "duckdb" else None
    if reason is not None:
        raise SettingsInvalid(f"the engine duckdb cannot compute the tags: {reason}")


def _size(lake: Lake, tables: list[str]) -> str | None:
    rows, limit = sum(lake.row_count(table) for table in tables), lake.settings.engine.rows_in_process
    return f"{rows} rows are above engine.rows_in_process ({limit})" if rows > limit else None
