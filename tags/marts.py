"""Marts: aggregates of a night's tags, events and receipts, for analysts; built after the tags, by one more run of dbt."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.query.desk import open_newest
from tags.build.computation import NIGHT, run_dbt
from tags.build.engine import engine_for
from tags.build.project import source_tables, write_project
from tags.compile.compilation import compile_tags
from tags.compile.marts.declaration import EVENTS
from tags.compile.marts.models import NEEDS
from vocabulary.entities import PERSON

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.tables.lake import Lake
    from tags.compile.marts.models import MartModels

log = logging.getLogger("cdp.tags")

DATABASE = "marts"
MIGRATIONS = ("stage_migration", "tier_migration")
TABLES = {name: f"{DATABASE}.{name}" for name in NEEDS}


def build_marts(lake: Lake, business_date: dt.date) -> tuple[str, ...]:
    """Build the marts that a workspace declares, as of ``business_date``; give their names.

    They read the snapshot that the tags of that date left. A mart that lacks what it reads is off, with its reason in the log, and
    has no rows of the date; neither has any where there is no ``marts.yml``. A failing model raises ``StepFailed``.
    """
    compilation = compile_tags(lake.settings.workspace)
    marts = compilation.marts
    active = marts.active if marts else ()
    if marts is not None:
        _tell_state(marts)
    if marts is not None and active:
        compared_on = compared_day(
            snapshot_days(lake), business_date, marts.declaration.entries.compare_months
        )
        if compared_on is None and set(active) & set(MIGRATIONS):
            log.info("no snapshot of tags to compare with is kept: %s have no rows", ", ".join(MIGRATIONS))
        project = lake.settings.generated / NIGHT
        write_project(compilation, project, lake.settings)
        sources = source_tables(compilation)
        engine = engine_for(lake, compilation, sources)
        selection = ("--select", *(f"+{name}" for name in active))
        run_dbt(
            lake,
            project,
            business_date,
            sources,
            engine,
            selection=selection,
            excluded=(),
            # The date itself is no earlier day: nobody moved.
            compare_on=compared_on or business_date,
        )
    for name, table in TABLES.items():
        if name in active:
            lake.replace_partition(table, built_rows(lake, name), as_of=business_date)
        elif lake.row_count(table):
            empty = lake.contracts.get(table).arrow_schema().empty_table()
            lake.replace_partition(table, empty, as_of=business_date)
    if marts is not None and active:
        _warn_of_events(lake, marts)
        log.info("marts of %s: %s", business_date, ", ".join(active))
    return active


def snapshot_days(lake: Lake) -> list[dt.date]:
    """Give the days of which a snapshot of people's tags is kept, by the Delta log alone."""
    partitions = lake.delta(PERSON.daily).partitions()
    return sorted({dt.date.fromisoformat(str(each["as_of"])) for each in partitions})


def compared_day(days: Collection[dt.date], business_date: dt.date, months: int) -> dt.date | None:
    """Give the last of ``days`` in the month that is ``months`` before that of ``business_date``; None where there is none."""
    month = _month(business_date) - months
    return max((day for day in days if _month(day) == month), default=None)


def _month(day: dt.date) -> int:
    return day.year * 12 + day.month


def built_rows(lake: Lake, name: str) -> pa.Table:
    """Give what the last build left of a mart, as its contract has it: a few rows, whichever engine made them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(Path(lake.path(f"tags_work.{name}")).glob("*.parquet"))
    columns = list(lake.contracts.get(TABLES[name]).columns)
    return pa.concat_tables(pq.read_table(file, columns=columns) for file in files)


def _tell_state(marts: MartModels) -> None:
    """Log which marts are off, and why."""
    for name in NEEDS:
        if reason := marts.reason(name):
            log.info("the mart %s is off: %s", name, reason)


def _warn_of_events(lake: Lake, marts: MartModels) -> None:
    """Warn of events that funnels and retentions name and that never came, with file, line and the name that may be meant."""
    names = marts.declaration.event_names
    with open_newest(lake.settings) as desk:
        # A name that is there ends its search with the first row; all are read only to say which one may be meant.
        if all(desk.rows(f"SELECT 1 FROM {EVENTS} WHERE event_name = ? LIMIT 1", [name]) for name in names):
            return
        every = {name for (name,) in desk.rows(f"SELECT DISTINCT event_name FROM {EVENTS}")}
    for complaint in marts.declaration.unknown_events(every) if every else ():
        log.warning("%s", complaint)
