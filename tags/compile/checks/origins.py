"""What of contracted tables lies behind the columns that a tag reads, whether it reads a trusted table or a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sqlglot import exp

from lakehouse.contracts.contract import Column
from lakehouse.contracts.reading import contract, contract_names
from lakehouse.expressions.expression import syntax_tree
from tags.compile.entry_texts import Keys, names_in, names_over_rows, texts_of
from tags.compile.joins import lookups_of
from tags.compile.lineage import PIPELINE, DecidingColumns, Lineage, Values
from tags.compile.relations import TagSource
from vocabulary.lookups import LookupInvalid
from vocabulary.registry import Entry

_ANY_VALUES: Values = MappingProxyType({})


def sources_of(
    entry: Entry, relation: TagSource, lineage: Lineage, values: Values = _ANY_VALUES
) -> Iterator[tuple[Keys, str, frozenset[str]]]:
    """Give the columns of rows that a tag reads, each with its keys and the contracted columns that it comes from.

    ``values`` are those that columns of its rows have, so that what comes from other rows is left out.
    """
    for keys, text, over_rows in texts_of(entry):
        for name in names_in(syntax_tree(text)) if over_rows else ():
            yield keys, name, frozenset(_origins(relation, name, lineage, values))


def _origins(relation: TagSource, name: str, lineage: Lineage, values: Values) -> Iterable[str]:
    """Give the contracted columns that a column of a relation comes from; of an unknown one none."""
    try:
        place = relation.column(name)
    except LookupInvalid:
        return ()
    if place is None or relation.bridge is not None:
        return ()  # people's tags stand among the inputs, each with its own level
    return [place[0]] if relation.is_trusted else lineage.sources(relation.name, name, values)


def attribution_columns(relation: TagSource) -> tuple[str, ...]:
    """Give the columns of a relation by which a row finds its person or entity."""
    if relation.way:
        return ()
    if relation.attribution == "key":
        return tuple(name for name in relation.names_of(relation.entity) if name not in PIPELINE)
    names = {"one_id": "one_id", "profile": "source_key", "account": "account_id"}
    return (names[relation.attribution],) if relation.attribution in names else ()


@dataclass(frozen=True)
class ColumnsBehind:
    """The contracted columns behind a tag over rows, without those of the pipeline.

    ``values`` are those that its own expressions come from, ``deciding`` those by which the rows are chosen and brought together before
    and around them.
    """

    values: frozenset[str]
    deciding: DecidingColumns

    @property
    def with_meaning(self) -> set[str]:
        """Those that an answer tells something of; what only brings rows together is not among them."""
        return {*self.values, *self.deciding.with_meaning}


def columns_behind(entry: Entry, relation: TagSource, lineage: Lineage) -> ColumnsBehind:
    """Give the contracted columns that a tag over rows depends on, whatever its 'inputs' say."""
    values = {origin for _, _, origins in sources_of(entry, relation, lineage) for origin in origins}
    names = {name for name in names_over_rows(entry) if _is_column(relation, name)}
    form = entry.compute.aggregate if entry.compute else None
    days = [relation.event_date] if form and (form.window_days or form.months) and relation.event_date else []
    own_names = {name for name in (*names, *days, *attribution_columns(relation)) if name in relation.columns}
    deciding = _deciding_whose(relation, lineage)
    if relation.bridge is None:
        deciding |= lineage.deciding(relation.model, own_names, values_of(entry))
        deciding |= DecidingColumns(
            keys=frozenset(origin for day in days for origin in lineage.sources(relation.name, day))
        )
    for step in lookups_of(relation, names):
        here = {f"{step.from_}.{column}" for column in step.keys}
        there = {f"{step.to}.{column}" for column in (*step.keys.values(), *step.values)}
        deciding |= lineage.deciding(f"stg_{step.to.replace('.', '__')}", [])
        deciding |= DecidingColumns(keys=frozenset(here | there))
    return ColumnsBehind(_without_pipeline(values), replace(deciding, keys=_without_pipeline(deciding.keys)))


def _deciding_whose(relation: TagSource, lineage: Lineage) -> DecidingColumns:
    """Give the columns that say which person or entity a row belongs to."""
    source = relation.bridge or relation
    names = [*attribution_columns(relation)]
    if relation.bridge is not None:
        names = ["one_id", *relation.bridge.names_of(relation.entity)]
    keys = {origin for name in names for origin in lineage.sources(source.name, name)}
    models = {"profile": "int_profiles_keyed", "account": "int_account_owners"}
    deciding = DecidingColumns() if relation.bridge is None else lineage.deciding(source.model, names)
    if relation.attribution in models:
        deciding |= lineage.deciding(models[relation.attribution], ["one_id"])
    return deciding | DecidingColumns(keys=frozenset(keys))


def _without_pipeline(columns: Iterable[str]) -> frozenset[str]:
    return frozenset(column for column in columns if column.rpartition(".")[2] not in PIPELINE)


def _is_column(relation: TagSource, name: str) -> bool:
    """Tell whether a name is a column; what is none is refused with its place by another check."""
    try:
        return relation.column(name) is not None
    except LookupInvalid:
        return False


def values_of(entry: Entry) -> dict[str, str]:
    """Give the columns that have one text in all rows that a tag reads, by its ``where``."""
    form = (entry.compute.aggregate or entry.compute.latest) if entry.compute else None
    if form is None or form.where is None:
        return {}
    tree = syntax_tree(form.where)
    parts = [part.unnest() for part in (tree.flatten() if isinstance(tree, exp.And) else [tree])]
    return {
        part.this.name: part.expression.name
        for part in parts
        if isinstance(part, exp.EQ)
        and isinstance(part.this, exp.Column)
        and isinstance(part.expression, exp.Literal)
        and part.expression.is_string
    }


def columns_held(relation: TagSource, name: str, lineage: Lineage) -> Mapping[str, Column]:
    """Give the contracted columns whose values a column of rows holds as they are; none where it may hold anything else."""
    place = relation.column(name)
    if place is None or relation.bridge is not None:
        return {}
    if relation.is_trusted:
        return {place[0]: place[1]} if place[1] else {}
    columns = {}
    for origin in sorted(lineage.columns_held(relation.name, name)):
        table, _, column = origin.rpartition(".")
        if table in contract_names():
            columns[origin] = contract(table).columns[column]
    return columns


def type_of(relation: TagSource, name: str, lineage: Lineage) -> str | None:
    """Give the Spark SQL type of a column of rows; None where it is not plain."""
    place = relation.column(name)
    if place is None or relation.bridge is not None:
        return None
    if place[1] is not None:
        return place[1].type
    return None if relation.is_trusted else lineage.type_of(relation.name, name)


def retention_of(relation: TagSource, lineage: Lineage) -> dict[str, int]:
    """Give the days for which the tables are kept that the day of a row comes from, by table: after them it is deleted."""
    if relation.event_date is None:
        return {}
    days = {}
    for origin in lineage.sources(relation.name, relation.event_date):
        table = origin.rpartition(".")[0]
        kept_days = contract(table).retention_days if table in contract_names() else None
        if kept_days and contract(table).event_date:
            days[table] = kept_days
    return days
