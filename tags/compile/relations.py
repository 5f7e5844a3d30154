"""Relations that tags may read: trusted tables (through their as-of staging models) and intermediate models.

A relation is attributed to a person in one of three ways: it carries ``one_id`` itself, it carries the profile
(``source``, ``source_key``), or it carries the account (``source``, ``account_id``), whose owner gets the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lakehouse.contracts.reading import contract, contract_names
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_yaml, plain
from vocabulary.relations import Attribution, attribution_of


@dataclass(frozen=True)
class TagSource:
    """A relation that tags may read: its dbt model, columns, key, event date and how a row finds its person."""

    name: str
    model: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    attribution: Attribution | None
    event_date: str | None
    levels: dict[str, str]

    @property
    def noun(self) -> str:
        """The name without its layer, for the generated model that scans it."""
        return self.name.removeprefix("trusted.").removeprefix("int_").removeprefix("stg_trusted__")


def trusted_relation(name: str) -> TagSource:
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
        levels={column.name: column.level for column in table.columns.values()},
    )


def model_relations(folders: list[Path]) -> dict[str, TagSource]:
    """Give the relations of dbt models whose YAML lists columns, from folders of models.

    A model's ``config.meta`` says ``key`` (list) and, if rows have one, ``event_date``.
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
                    levels={},
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

    def __init__(self, folders: list[Path]) -> None:
        self.models = model_relations(folders)

    def find(self, name: str) -> TagSource:
        """Give a relation by name; an unknown one raises ``SettingsInvalid`` with the nearest known name."""
        if name in self.models:
            return self.models[name]
        if name.startswith("trusted.") and name in contract_names("trusted"):
            return trusted_relation(name)
        names = [*contract_names("trusted"), *(n for n in self.models if not n.startswith("stg_"))]
        raise SettingsInvalid(f"unknown relation '{name}'{did_you_mean(name, names)}")
