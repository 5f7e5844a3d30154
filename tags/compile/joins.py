"""What the rows of a relation are joined to: attributes of their entity, look-ups, and the person or entity they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tags.compile.relations import TagSource
from tags.compile.sql_text import dbt_literal
from vocabulary.attributes import ATTRIBUTES, ENTITIES, Attribute, attribute_rows_sql, property_sql
from vocabulary.lookups import Lookup, path_alias

FACTS = "facts"


@dataclass
class _Parts:
    """Columns of a select and the joins that they need; of each relation of a path its alias and its attributes."""

    columns: list[str] = field(default_factory=list)
    attributes: dict[str, list[Attribute]] = field(default_factory=dict)
    paths: dict[str, tuple[Lookup, ...]] = field(default_factory=dict)

    def add_path(self, path: Sequence[Lookup]) -> str:
        """Add the look-ups of a path and give the alias of its last table."""
        for length in range(1, len(path) + 1):
            self.paths[path_alias(path[:length], FACTS)] = tuple(path[:length])
        return path_alias(path, FACTS)


def attributed_rows(relation: TagSource, names: Iterable[str]) -> list[str]:
    """Give the lines of a select of the relation's rows: ``one_id``, its columns, and those of ``names`` that are joined.

    Of another entity than the person the columns of its key are called as ``key_column`` says. A look-up finds at most one row, so the
    rows stay as many as they were.
    """
    model = f"{{{{ ref('{relation.model}') }}}}"
    if relation.bridge is not None:
        return _rows_of_people(relation, model)
    if relation.attribution == "one_id":
        return ["select * from " + model, "where one_id is not null"]
    parts = _Parts()
    for name in sorted(set(names)):
        _add(parts, relation, name)
    owner = parts.add_path(relation.way) if relation.way else FACTS
    person = "people" if relation.attribution == "profile" else "owners"
    owner_columns = [f"{person}.one_id"]
    if relation.attribution == "key":
        names = relation.entity.key if relation.way else relation.names_of(relation.entity)
        pairs = list(zip(names, relation.entity.key, strict=True))
        owner_columns = [f"{owner}.{name} as {key_column(column)}" for name, column in pairs]
    lines = [f"select {', '.join([*owner_columns, 'facts.*', *parts.columns])}", f"from {model} facts"]
    for alias, path in parts.paths.items():
        step = path[-1]
        lines.append(f"left join {{{{ ref('{_model_of(step.to)}') }}}} {alias}")
        lines.append(f"    on {step.condition(path_alias(path[:-1], FACTS), alias, dbt_literal)}")
    for alias, attributes in parts.attributes.items():
        key = ENTITIES[attributes[0].entity][1]
        rows = attribute_rows_sql(attributes, rows=f"{{{{ ref('{_model_of(ATTRIBUTES)}') }}}}")
        lines += ["left join (", *("    " + line for line in rows.splitlines()), f") {alias}_attributes"]
        lines.append(
            f"    on {alias}_attributes.source = {alias}.source and {alias}_attributes.entity_key = {alias}.{key}"
        )
    if relation.attribution == "key":
        return [*lines, "where " + " and ".join(f"{owner}.{name} is not null" for name, _ in pairs)]
    if relation.attribution == "profile":
        return [
            *lines,
            "join {{ ref('int_profiles_keyed') }} people",
            f"    on people.source = {owner}.source and people.source_key = {owner}.source_key",
        ]
    return [
        *lines,
        "join {{ ref('int_account_owners') }} owners",
        f"    on owners.source = {owner}.source and owners.account_id = {owner}.account_id",
        "where owners.one_id is not null",
    ]


def key_column(column: str) -> str:
    """Give what a column of the key of an entity is called among the columns of the rows."""
    return f"key__{column}"


def _rows_of_people(relation: TagSource, model: str) -> list[str]:
    """Give the lines of a select of people with their tags, each person once for every one of the entity."""
    assert relation.bridge is not None
    names = relation.bridge.names_of(relation.entity)
    columns = [
        f"{name} as {key_column(column)}" for name, column in zip(names, relation.entity.key, strict=True)
    ]
    return [
        f"select {', '.join(f'belonging.{key_column(column)}' for column in relation.entity.key)}, facts.*",
        f"from {model} facts",
        "join (",
        f"    select distinct one_id, {', '.join(columns)}",
        f"    from {{{{ ref('{relation.bridge.model}') }}}}",
        f"    where {' and '.join(f'{name} is not null' for name in names)}",
        ") belonging",
        "    on belonging.one_id = facts.one_id",
    ]


def lookups_of(relation: TagSource, names: Iterable[str]) -> list[Lookup]:
    """Give the look-ups that the rows of a relation are joined by."""
    steps = list(relation.way)
    for name in sorted(set(names)):
        if "." in name and relation.is_trusted:
            steps += relation.lookup_column(name).path
    return steps


def _add(parts: _Parts, relation: TagSource, name: str) -> None:
    """Add a column that is not the relation's own."""
    alias = FACTS
    attribute = relation.attributes.get(name)
    if "." in name:
        end = relation.lookup_column(name)
        alias, attribute = parts.add_path(end.path), end.attribute
        if attribute is None:
            parts.columns.append(f"{alias}.{end.column.name} as `{name}`")
    if attribute is not None and attribute.is_property:
        parts.columns.append(f"{property_sql(attribute, alias, dbt_literal)} as `{name}`")
    elif attribute is not None:
        parts.columns.append(f"{alias}_attributes.`{attribute.code}` as `{name}`")
        among = parts.attributes.setdefault(alias, [])
        if attribute not in among:
            among.append(attribute)


def _model_of(table: str) -> str:
    return f"stg_{table.replace('.', '__')}"
