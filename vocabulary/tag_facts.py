"""What a reader of tags must know of each: its type, values, level and purposes, without the rest of its entry.

Entries that lack what only their computation needs are facts all the same: checking a segment does not wait for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.yaml_files import load_plain_yaml
from vocabulary.entities import PERSON
from vocabulary.packs import OFF, Absence, PackTag, absences, grouped_needs
from vocabulary.registry import registry_files

# After so many days of warning a deprecated tag may be taken offline.
DAYS_UNTIL_OFFLINE = 60
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
    deprecated_on: date | None = None
    successors: tuple[str, ...] = ()
    """The computed tags that replace it."""
    absence: Absence | None = None
    """Why it is off in the workspace, though it is online in the registry; its status is ``off`` then."""
    entity: str = PERSON.code
    """What it is about."""

    @property
    def unusable(self) -> str:
        """Say why no segment may use a tag that is neither online nor deprecated; as the end of a sentence about it."""
        if self.absence is not None:
            return f"is off: {self.absence.sentence}; {self.absence.remedy}"
        return f"is {self.status}, not online"

    @property
    def deprecation(self) -> str:
        """Say since when it is deprecated, what to use, and from when it may be gone; as the end of a sentence about it."""
        since = f" since {self.deprecated_on}" if self.deprecated_on else ""
        until = self.deprecated_on and self.deprecated_on + timedelta(days=DAYS_UNTIL_OFFLINE)
        successor = f"; use {' or '.join(repr(code) for code in self.successors)}" if self.successors else ""
        end = f"; it may be gone from {until} on" if until else ""
        return f"is deprecated{since}{successor}{end}"

    @property
    def is_of_people(self) -> bool:
        """Whether it is about persons, as segments choose them."""
        return self.entity == PERSON.code

    @property
    def is_restricted(self) -> bool:
        """Whether the tag may only exclude, and is never shown or published."""
        return may_only_exclude(self.purposes)


def may_only_exclude(purposes: Collection[str]) -> bool:
    """Tell whether purposes are those of a tag that is never shown or published."""
    return bool(purposes) and not {"marketing", "service"} & set(purposes)


def read_tag_facts(workspace: Path, *, shipped: Path, without: Collection[Path] = ()) -> dict[str, TagFacts]:
    """Give all registered tags by code: the shipped registry; keys the workspace's own entries name decide.

    ``without`` are files that are left out, since they cannot be read.
    """
    entries: dict[str, dict[str, Any]] = {}
    for file, _ in registry_files(shipped, workspace):
        for entry in _entries(file) if file not in without else ():
            code = str(entry["code"])
            entries[code] = {**entries.get(code, {}), **entry}
    successors: dict[str, list[str]] = {}
    for code, entry in entries.items():
        if entry.get("replaces") and entry.get("status") == "online":
            successors.setdefault(str(entry["replaces"]), []).append(code)
    reasons = absences(map(_pack_tag, filter(_is_computed, entries.values())), workspace)
    return {
        code: _judged(replace(tag_facts(entry), successors=tuple(sorted(successors.get(code, ())))), reasons)
        for code, entry in entries.items()
    }


def _is_computed(entry: dict[str, Any]) -> bool:
    return entry.get("status") in ("online", "deprecated")


def _pack_tag(entry: dict[str, Any]) -> PackTag:
    inputs = entry.get("inputs")
    return PackTag(
        code=str(entry["code"]),
        pack=entry.get("pack") if isinstance(entry.get("pack"), str) else None,
        inputs=tuple(map(str, inputs)) if isinstance(inputs, list) else (),
        needs=grouped_needs(entry.get("needs")),
    )


def _judged(facts: TagFacts, reasons: dict[str, Absence]) -> TagFacts:
    absence = reasons.get(facts.code)
    return facts if absence is None else replace(facts, status=OFF, absence=absence)


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
        deprecated_on=_day(entry.get("deprecated_on")),
        entity=str(entry.get("entity", PERSON.code)),
    )


def _entries(file: Path) -> Iterator[dict[str, Any]]:
    tree = load_plain_yaml(file)
    entries = tree.get("tags") if isinstance(tree, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "code" in e for e in entries):
        raise SettingsInvalid(
            "a tag file holds 'tags:', a list of entries that each have a code", file=file, line=1
        )
    for entry in entries:
        yield {"pack": tree["pack"], **entry} if tree.get("pack") else entry


def _day(value: Any) -> date | None:
    """Give a day; what is none is for the registry to refuse."""
    return value if isinstance(value, date) else None


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))
