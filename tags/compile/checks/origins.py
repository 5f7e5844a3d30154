"""What of contracted tables lies behind the columns that a tag reads, whether it reads a trusted table or a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from sqlglot import exp

from lakehouse.contracts.contract import Column
from lakehouse.contracts.reading import contract, contract_names
from lakehouse.expressions.expression import syntax_tree
from tags.compile.entry_texts import Keys, names_in, texts_of
from tags.compile.lineage import Lineage, Values
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
