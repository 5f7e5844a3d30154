"""Inputs same_columns against what a tag reads: by them it is late, is off, and stops where a source stands still."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tags.compile.checks.origins import attribution_columns, columns_held, sources_of, values_of
from tags.compile.entry_texts import names_over_rows
from tags.compile.lineage import PIPELINE, Lineage
from tags.compile.relations import TagSource
from vocabulary.registry import Entry, Registry


def check_inputs_of_rows(registry: Registry, entry: Entry, relation: TagSource, lineage: Lineage) -> None:
    """Refuse inputs without a column that a model hands on, without any of a table that the answer comes from, and none at all."""
    tables = {table_of(column) for column in entry.column_inputs}
    if not relation.is_trusted and relation.bridge is None:
        _check_inputs_of_model(registry, entry, relation, lineage, tables)
    if relation.bridge is not None and entry.tag_inputs:
        return
    name = (relation.bridge or relation).name
    behind = lineage.tables(name)
    if relation.is_trusted:
        origins = (origin for _, _, origins in sources_of(entry, relation, lineage) for origin in origins)
        behind |= {table_of(origin) for origin in origins}
    if behind and not behind & tables:
        trusted = sorted(table for table in behind if _is_trusted(table))
        raise registry.fault(
            entry.code,
            f"reads {name}, and 'inputs' lists no column that comes from there, so that nothing would say when it is late; "
            f"write the columns of {', '.join(trusted or sorted(behind))} that it depends on",
            "inputs",
        )


def _check_inputs_of_model(
    registry: Registry, entry: Entry, relation: TagSource, lineage: Lineage, tables: set[str]
) -> None:
    names = names_over_rows(entry)
    for name, origins in _reads(entry, relation, lineage):
        is_handed_on = name in names and [*columns_held(relation, name, lineage)] == origins
        if is_handed_on and len(origins) == 1 and _is_trusted(origins[0]) and origins[0] not in entry.inputs:
            raise registry.fault(
                entry.code,
                f"reads {origins[0]}, as {relation.name}.{name}, which 'inputs' does not list",
                "inputs",
            )
        for origin in origins:
            if _is_trusted(origin) and table_of(origin) not in tables:
                columns = [other for other in origins if table_of(other) == table_of(origin)]
                raise registry.fault(
                    entry.code,
                    f"comes from {table_of(origin)}, by {relation.name}.{name}, of which 'inputs' lists no column; write {', '.join(columns)}",
                    "inputs",
                )


def table_of(column: str) -> str:
    """Give the table of a column ``database.table.column``."""
    return column.rpartition(".")[0]


def _reads(entry: Entry, relation: TagSource, lineage: Lineage) -> Iterator[tuple[str, list[str]]]:
    """Give the columns of rows that decide about a tag, each with the contracted columns that it comes from.

    Besides those that its expressions name these are the day of a window and what finds the person or entity of a row.
    """
    values = values_of(entry)
    for _, name, origins in sources_of(entry, relation, lineage, values):
        yield name, _business_columns(origins)
    form = entry.compute.aggregate if entry.compute else None
    names = [*attribution_columns(relation)]
    if form is not None and (form.window_days or form.months) and relation.event_date:
        names.append(relation.event_date)
    for name in names:
        yield name, _business_columns(lineage.sources(relation.name, name, values))


def _is_trusted(name: str) -> bool:
    return name.startswith("trusted.")


def _business_columns(origins: Iterable[str]) -> list[str]:
    return sorted(origin for origin in origins if origin.rpartition(".")[2] not in PIPELINE)
