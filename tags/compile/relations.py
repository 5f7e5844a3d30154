"""Relations that tags may read: trusted tables (through their as-of staging models) and intermediate models.

A relation is attributed to a person in one of three ways: it carries ``one_id`` itself, it carries the profile
(``source``, ``source_key``), or it carries the account (``source``, ``account_id``), whose owner gets the row. It is attributed to
a product, branch or employee by the key that it carries; people's tags are by a model that says which people belong to one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from lakehouse.contracts.contract import Column
from lakehouse.contracts.reading import contract, contract_names
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_yaml, plain
from vocabulary.attributes import Attribute, Attributes
from vocabulary.entities import PERSON, Entity
from vocabulary.lookups import Lookup, LookupColumn, LookupInvalid, Lookups
from vocabulary.relations import Attribution, attribution_of


@dataclass(frozen=True)
class TagSource:
    """A relation that tags may read: its dbt model, columns, key, event date and how a row finds its person or entity.

    Of a trusted table also the attributes of its entity, which are columns of it, and the look-ups from it. ``way`` are those
    that lead to the person or entity of a row, where the row itself does not. ``names`` are the columns of a model that hold the
    key of an entity where they are called otherwise, by its code. ``bridge`` is the model that says whose the people of the rows are.
    """

    name: str
    model: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    attribution: Attribution | Literal["key"] | None
    event_date: str | None
    site: SiteColumns = field(default_factory=lambda: SiteColumns(), compare=False, repr=False)
    way: tuple[Lookup, ...] = ()
    entity: Entity = PERSON
    names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    bridge: TagSource | None = None

    @property
    def noun(self) -> str:
        """The name without its layer, for the generated model that scans it."""
        noun = self.name.removeprefix("trusted.").removeprefix("int_").removeprefix("stg_trusted__")
        bridge = [self.bridge.noun] if self.bridge else []
        return "__".join([noun, *(step.code for step in self.way), *bridge])

    @property
    def is_trusted(self) -> bool:
        """Whether it is a trusted table."""
        return self.name.startswith("trusted.")

    def names_of(self, entity: Entity) -> tuple[str, ...]:
        """Give its columns that hold the key of an entity; none where it has them not all."""
        names = self.names.get(entity.code, entity.key)
        return names if set(names) <= set(self.columns) else ()

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """The attributes that are read as columns."""
        return self.site.attributes.of_table(self.name)

    def lookup_column(self, name: str) -> LookupColumn:
        """Give what ``look_up.column`` names; ``LookupInvalid`` where it names nothing."""
        return self.site.lookups.column(self.name, name, self.site.attributes)

    def column(self, name: str) -> tuple[str, Column | None] | None:
        """Give where a column comes from, and of one that is contracted what it holds; None where there is none.

        ``LookupInvalid`` for a path of look-ups that leads nowhere.
        """
        if "." in name and self.is_trusted:
            end = self.lookup_column(name)
            return end.origin, end.column
        if self.is_trusted and name in self.attributes:
            return f"{self.name}.{name}", self.attributes[name].column
        if name not in self.columns:
            return None
        return f"{self.name}.{name}", contract(self.name).columns[name] if self.is_trusted else None


@dataclass(frozen=True)
class SiteColumns:
    """What a site adds to the columns of trusted tables."""

    attributes: Attributes = field(default_factory=Attributes)
    lookups: Lookups = field(default_factory=Lookups)

    def level(self, table: str, name: str) -> str | None:
        """Give the personal level of a column of a trusted table or of an attribute that is read as one; None where it is neither."""
        own = self.attributes.of_table(table)
        if name in own:
            return own[name].level
        columns = contract(table).columns
        return columns[name].level if name in columns else None


def trusted_relation(name: str, site: SiteColumns | None = None) -> TagSource:
    """Give the relation of a trusted table, read through ``stg_trusted__<table>``."""
    table = contract(name)
    columns = tuple(table.columns)
    return TagSource(
        name=name,
        model=f"stg_trusted__{table.table}",
        columns=columns,
        key=table.key,
        attribution=attribution_of(columns),
        event_date=table.event_date,
        site=site or SiteColumns(),
    )


def model_relations(folders: list[Path]) -> dict[str, TagSource]:
    """Give the relations of dbt models whose YAML lists columns, from folders of models.

    A model's ``config.meta`` says ``key`` (list) and, if rows have one, ``event_date``; ``entities`` are by entity the columns that
    hold its key, where they are not called as that is.
    """
    sources: dict[str, TagSource] = {}
    for folder in folders:
        for file in sorted(folder.rglob("*.yml")):
            for model in _models(file):
                meta = (model.get("config") or {}).get("meta") or {}
                columns = tuple(str(column["name"]) for column in model.get("columns") or [])
                sources[model["name"]] = TagSource(
                    name=model["name"],
                    model=model["name"],
                    columns=columns,
                    key=tuple(meta.get("key") or ()),
                    attribution=attribution_of(columns),
                    event_date=meta.get("event_date"),
                    names=MappingProxyType(
                        {str(code): tuple(names) for code, names in (meta.get("entities") or {}).items()}
                    ),
                )
    return sources


@cache
def _models(file: Path) -> tuple[dict[str, Any], ...]:
    tree = load_yaml(file)
    models = tree.get("models") if isinstance(tree, dict) else [tree] if tree else None
    if not all(isinstance(model, dict) and isinstance(model.get("name"), str) for model in models or ()):
        raise SettingsInvalid(
            "a file of dbt models is a mapping; `models` is a list and each has a name",
            file=file,
            line=line_of(tree, "models"),
        )
    return tuple(plain(models or ()))


class TagSources:
    """Every relation the tags of one workspace may name."""

    def __init__(self, folders: list[Path], site: SiteColumns | None = None) -> None:
        self.models = model_relations(folders)
        self.site = site or SiteColumns()

    def find(self, name: str, via: str | None = None) -> TagSource:
        """Give a relation by name, its rows attributed by the look-up ``via`` where it is given.

        An unknown name raises ``SettingsInvalid`` with the nearest known one, ``via`` that leads to no person ``LookupInvalid``.
        """
        if name in self.models:
            if via is not None:
                raise LookupInvalid(f"look-ups lead from trusted tables, and {name} is a model")
            return self.models[name]
        if name.startswith("trusted.") and name in contract_names("trusted"):
            source = trusted_relation(name, self.site)
            return source if via is None else self._by_way(source, via)
        names = [*contract_names("trusted"), *(n for n in self.models if not n.startswith("stg_"))]
        raise SettingsInvalid(f"unknown relation '{name}'{did_you_mean(name, names)}")

    def find_of(self, entity: Entity, name: str, via: str | None = None) -> TagSource:
        """Give a relation by name, its rows attributed to an entity other than the person by the key that they carry.

        With ``via`` it is the key that the row carries which they look up. What raises is as of ``find``; where rows carry no key they are
        attributed to nothing.
        """
        source = replace(self.find(name), entity=entity)
        if via is None:
            return replace(source, attribution="key" if source.names_of(entity) else None)
        if not source.is_trusted:
            raise LookupInvalid(f"look-ups lead from trusted tables, and {name} is a model")
        way = self.site.lookups.steps(name, via)
        if source.names_of(entity):
            raise LookupInvalid(f"the rows of {name} name the {entity.code} by themselves; take out 'via'")
        if not entity.is_named_by(contract(way[-1].to).columns):
            raise LookupInvalid(
                f"the look-up '{via}' leads to {way[-1].to}, whose rows name no {entity.code}"
            )
        return replace(source, way=way, attribution="key")

    def people_of(self, entity: Entity, via: str | None, codes: Sequence[str]) -> TagSource:
        """Give people with their tags as rows, each once for every one of an entity that the model ``via`` says it belongs to."""
        bridges = [
            name
            for name, model in self.models.items()
            if "one_id" in model.columns and model.names_of(entity) and not name.startswith("stg_")
        ]
        if via is None:
            raise LookupInvalid(
                f"it names the model that says which people belong to a {entity.code}: {', '.join(sorted(bridges))}"
            )
        if via not in bridges:
            hint = did_you_mean(via, sorted(bridges))
            raise LookupInvalid(f"no model of this name has one_id and {', '.join(entity.key)}{hint}")
        people = TagSource(
            name=PERSON.wide_model,
            model=PERSON.wide_model,
            columns=(*PERSON.columns, *codes),
            key=PERSON.key,
            attribution="key",
            event_date=None,
        )
        return replace(people, entity=entity, bridge=self.models[via])

    def _by_way(self, source: TagSource, via: str) -> TagSource:
        """Give a relation whose rows belong to the person of the row that they look up."""
        way = self.site.lookups.steps(source.name, via)
        if source.attribution is not None:
            raise LookupInvalid(f"the rows of {source.name} lead to a person by themselves; take out 'via'")
        attribution = attribution_of(contract(way[-1].to).columns)
        if attribution is None:
            raise LookupInvalid(f"the look-up '{via}' leads to {way[-1].to}, whose rows lead to no person")
        return replace(source, way=way, attribution=attribution)
