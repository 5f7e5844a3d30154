"""What a reader of tags must know of each: its type, values, level and purposes, without the rest of its entry.

Entries that lack what only their computation needs are facts all the same: checking a segment does not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.yaml_files import load_plain_yaml
from vocabulary.registry import registry_files

ValueType = Literal["boolean", "number", "category", "date", "set"]
_TYPES: dict[str, ValueType] = {
    "string": "category",
    "int": "number",
    "decimal": "number",
    "ratio": "number",
    "double": "number",
    "boolean": "boolean",
    "date": "date",
}


@dataclass(frozen=True)
class TagFacts:
    """One tag as the author of a segment meets it."""

    code: str
    value_type: ValueType
    version: str = "1.0.0"
    status: str = "online"
    domain: tuple[str, ...] = ()
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    is_whole: bool = False
    is_nullable: bool = False
    level: str = "C1"
    purposes: tuple[str, ...] = ()

    @property
    def is_restricted(self) -> bool:
        """Whether the tag may only exclude, and is never shown or published."""
        return bool(self.purposes) and not {"marketing", "service"} & set(self.purposes)


def read_tag_facts(workspace: Path, *, shipped: Path) -> dict[str, TagFacts]:
    """Give all registered tags by code: the shipped registry; keys the workspace's own entries name decide."""
    entries: dict[str, dict[str, Any]] = {}
    for file, _ in registry_files(shipped, workspace):
        for entry in _entries(file):
            code = str(entry["code"])
            entries[code] = {**entries.get(code, {}), **entry}
    return {code: tag_facts(entry) for code, entry in entries.items()}


def tag_facts(entry: dict[str, Any]) -> TagFacts:
    """Give the facts of one entry; a key that is not written yet has its most careful value."""
    value = entry.get("value") or {}
    kind = str(value.get("type", "string"))
    rule = str(entry.get("null_rule", "U"))
    return TagFacts(
        code=str(entry["code"]),
        value_type="set" if value.get("cardinality") == "set" else _TYPES.get(kind, "category"),
        version=str(entry.get("version", "1.0.0")),
        status=str(entry.get("status", "draft")),
        domain=tuple(str(member) for member in value.get("domain") or ()),
        minimum=_decimal(value.get("min")),
        maximum=_decimal(value.get("max")),
        is_whole=kind == "int",
        is_nullable=rule not in ("Z", "NEVER") or bool(entry.get("null_when")),
        level=str(entry.get("level", "C2")),
        purposes=tuple(entry.get("purposes") or ()),
    )


def _entries(file: Path) -> Iterator[dict[str, Any]]:
    tree = load_plain_yaml(file)
    entries = tree.get("tags") if isinstance(tree, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "code" in e for e in entries):
        raise SettingsInvalid(
            "a tag file holds 'tags:', a list of entries that each have a code", file=file, line=1
        )
    yield from entries


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))
