"""Records with what they look up in trusted tables, as further columns, so that every engine maps them as delivered ones."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from ingestion.feeds.feed_lookups import LookupUse
from ingestion.feeds.feeds import Feed
from ingestion.records.landing import Nights
from ingestion.records.record_files import RecordFiles, numbered_column
from lakehouse.contracts.reading import contract
from lakehouse.errors import GateStopped
from lakehouse.query.desk import Desk, Relation, newest_sql, open_alone, table_folder
from lakehouse.query.words import duck_type, literal
from lakehouse.settings.settings import Settings
from vocabulary.attributes import ATTRIBUTES, ENTITIES
from vocabulary.lookups import Lookup

# What DuckDB may hold while it joins; beyond, it writes to the folder of the records.
MEMORY = "1GB"


def records_with_lookups(
    feed: Feed, records: RecordFiles, folder: Path, nights: Nights, settings: Settings
) -> RecordFiles:
    """Give the records with what they look up as of their night; ``folder`` must not be there yet.

    A look-up that finds two rows for a record raises ``GateStopped``; in a table that is not there yet it finds none.
    """
    files = RecordFiles(feed.with_lookup_columns(), folder)
    folder.mkdir()
    folders = [records.folder, folder, settings.lake]
    with closing(open_alone(folders=folders, memory=MEMORY, spill=folder / "spilled")) as desk:
        joins = _Joins(desk, feed, settings)
        values = [
            f"CAST({joins.value(one)} AS VARCHAR) AS {numbered_column(at)}"
            for at, one in enumerate(feed.lookup_uses.values(), len(feed.columns))
        ]
        whole = f"(FROM ({records.sql(nights)}) WHERE _problem IS NULL) d"
        rows = f"SELECT d.*, {', '.join(values)} FROM {whole}{''.join(joins.parts.values())}"
        surplus = desk.value(f"SELECT count(*) - count(DISTINCT (_file, _row)) FROM ({rows})")
        if surplus:
            raise GateStopped(
                f"feed '{feed.feed}': the look-ups {', '.join(feed.lookup_uses)} find more than one row for {surplus} records; "
                f"a look-up finds at most one (in {', '.join(sorted(joins.tables))})",
                file=feed.file,
            )
        desk.run(files.export_sql(rows))
    if records.broken_folder.is_dir():
        shutil.copytree(records.broken_folder, files.broken_folder)
    return files


class _Joins:
    """The joins of records ``d`` to what they look up; each step of a path is joined once."""

    def __init__(self, desk: Desk, feed: Feed, settings: Settings) -> None:
        self.desk, self.feed, self.settings = desk, feed, settings
        self.parts: dict[str, str] = {}
        self.tables: dict[str, Relation] = {}

    def value(self, one: LookupUse) -> str:
        """Give the SQL of what a name finds."""
        path = one.end.path
        alias = self._first(path[0], one)
        for length in range(2, len(path) + 1):
            alias = self._next(path[length - 1], alias)
        attribute = one.end.attribute
        if attribute is None:
            return f"{alias}.{one.end.column.name}"
        own = f"{alias}__{attribute.code}"
        key = ENTITIES[attribute.entity][1]
        self._join(
            own,
            ATTRIBUTES,
            f"{own}.source = {alias}.source AND {own}.entity_key = {alias}.{key} AND {own}.entity = {literal(attribute.entity)}"
            f" AND {own}.attribute = {literal(attribute.code)} AND {own}.value_type = {literal(attribute.type)}",
        )
        return f"{own}.value"

    def _first(self, step: Lookup, one: LookupUse) -> str:
        """Join the first step, whose keys are delivered."""
        alias = f"{step.from_.partition('.')[2]}__{step.code}"
        source = literal(step.source or self.feed.source)
        conditions = [f"{alias}.source = {source}"]
        for column, key_column in one.key_columns.items():
            number = numbered_column(self.feed.columns.index(key_column))
            conditions.append(f"CAST({alias}.{column} AS VARCHAR) = trim(d.{number}, ' ')")
        conditions += [f"{alias}.{name} = {literal(value)}" for name, value in step.values.items()]
        return self._join(alias, step.to, " AND ".join(conditions))

    def _next(self, step: Lookup, here: str) -> str:
        alias = f"{here}__{step.code}"
        return self._join(alias, step.to, step.condition(here, alias, literal))

    def _join(self, alias: str, table: str, condition: str) -> str:
        """Join a table as it was known in the night of a record."""
        if table not in self.tables:
            self.tables[table] = self.desk.define(table, _rows_sql(self.settings, table))
        about = contract(table)
        if about.shape == "state":
            time = f"{alias}.valid_from <= d._night AND ({alias}.valid_to IS NULL OR {alias}.valid_to > d._night)"
        else:
            time = f"{alias}._arrived_on <= d._night"
        self.parts[alias] = f"\nLEFT JOIN {self.tables[table]} {alias} ON {condition} AND {time}"
        return alias


def _rows_sql(settings: Settings, table: str) -> str:
    """Give SQL of the newest rows of a table, of none where it is not there yet."""
    if (table_folder(settings, table) / "_delta_log").is_dir():
        return newest_sql(settings, table)
    columns = ", ".join(
        f"CAST(NULL AS {duck_type(column.type)}) AS {column.name}"
        for column in contract(table).columns.values()
    )
    return f"SELECT {columns} LIMIT 0"
