"""What segments must know of a tag, read from the registry's YAML as data (no import of the room that owns it)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from lakehouse.errors import SettingsInvalid
from segments.language.operators import ValueType

SHIPPED = Path(__file__).parents[2] / "tags" / "registry"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
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
    """One tag as a segment's author meets it."""

    code: str
    value_type: ValueType
    version: str = "1.0.0"
    status: str = "online"
    domain: tuple[str, ...] = ()
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    is_nullable: bool = False
    level: str = "C1"
    purposes: tuple[str, ...] = ()
    type_name: str = "string"

    @property
    def is_restricted(self) -> bool:
        """Whether the tag may only exclude, and is never shown or published."""
        return bool(self.purposes) and not {"marketing", "service"} & set(self.purposes)


def read_tag_facts(workspace: Path, shipped: Path = SHIPPED) -> dict[str, TagFacts]:
    """Give all registered tags by code: the shipped registry; keys the workspace's own entries name decide."""
    found: dict[str, dict[str, Any]] = {}
    for folder in (shipped, workspace / "tags"):
        for file in sorted(folder.glob("*.yml")):
            for entry in _entries(file):
                code = str(entry["code"])
                found[code] = {**found.get(code, {}), **entry}
    return {code: tag_facts(entry) for code, entry in found.items()}


def tag_facts(entry: dict[str, Any]) -> TagFacts:
    """Give the facts of one registry entry."""
    value = entry.get("value") or {}
    is_set = value.get("cardinality") == "set"
    kind = str(value.get("type", "string"))
    rule = str(entry.get("null_rule", "U"))
    return TagFacts(
        code=str(entry["code"]),
        value_type="set" if is_set else _TYPES.get(kind, "category"),
        version=str(entry.get("version", "1.0.0")),
        status=str(entry.get("status", "draft")),
        domain=tuple(str(member) for member in value.get("domain") or ()),
        minimum=_number(value.get("min")),
        maximum=_number(value.get("max")),
        is_nullable=rule not in ("Z", "NEVER") or bool(entry.get("null_when")),
        level=str(entry.get("level", "C2")),
        purposes=tuple(entry.get("purposes") or ()),
        type_name=f"array<{kind}>" if is_set else kind,
    )


def _entries(file: Path) -> list[dict[str, Any]]:
    try:
        with file.open(encoding="utf-8") as text:
            tree = yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as wrong:
        mark = getattr(wrong, "problem_mark", None)
        problem = str(getattr(wrong, "problem", None) or "is not YAML")
        raise SettingsInvalid(problem, file=file, line=mark.line + 1 if mark else None) from None
    entries = tree.get("tags") if isinstance(tree, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "code" in e for e in entries):
        raise SettingsInvalid(
            "a tag file holds 'tags:', a list of entries that each have a code", file=file, line=1
        )
    return entries


def _number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))
