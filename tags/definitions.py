"""Tag definitions as nights published them (``tags.definitions``), and what an edit of one asks of its version.

What a number of a version promises: the first changes with the meaning of an answer, the second with thresholds, with who
may use it and with the people whom its coverage counts, the third with texts. Lifecycle (``status``, ``deprecated_on``, ``replaces``) is no part of a definition.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import ValidationError

from lakehouse.errors import UsageError
from lakehouse.integrity.states import require_bytes
from lakehouse.query.hashing import text_hash
from lakehouse.query.published import Published, newest_publication
from tags.compile.normal_form import normal_tree
from vocabulary.registry import Entry, Place, Registry

if TYPE_CHECKING:
    from lakehouse.errors import SettingsInvalid
    from lakehouse.settings.settings import Settings

TABLE = "tags.definitions"
Part = Literal["meaning", "thresholds", "texts"]
PARTS: tuple[Part, ...] = ("meaning", "thresholds", "texts")
# Where a tag is computed is no part of what it means.
LIFECYCLE = frozenset({"status", "deprecated_on", "replaces", "pack", "needs"})
# A key that stands in neither set, as one that the registry learns later, is of the meaning.
TEXTS = frozenset({"name", "definition", "family", "owner", "tie_rule", "why", "approver"})
THRESHOLDS = frozenset(
    {
        "params", "value.min", "value.max", "refresh", "max_staleness_days", "history", "level", "purposes",
        "declassified", "population",
    }
)  # fmt: skip


@dataclass(frozen=True)
class TagDefinition:
    """One version of a tag: the entry without its lifecycle, as YAML that ``entry`` reads again."""

    code: str
    version: str
    text: str
    published_on: dt.date | None = None

    @property
    def definition_hash(self) -> str:
        """The hash of all but the number of the version."""
        lines = self.text.splitlines()
        return text_hash(*(line for line in lines if not line.startswith("version: ")))

    @cached_property
    def entry(self) -> Entry | None:
        """The entry as it was; None where the registry has no words for it any more."""
        try:
            return Entry.model_validate({**yaml.safe_load(self.text), "status": "online"})
        except ValidationError:
            return None

    @property
    def name(self) -> str:
        """Code and version as commands write them."""
        return f"{self.code}@{self.version}"


def definition_of(entry: Entry) -> TagDefinition:
    """Give the definition of an entry; keys that have their default do not stand in its text."""
    tree = entry.model_dump(by_alias=True, exclude_defaults=True, exclude=set(LIFECYCLE))
    return TagDefinition(entry.code, entry.version, yaml_of(tree))


def yaml_of(tree: Mapping[str, Any]) -> str:
    """Give a tree as YAML, the same text for the same tree on every machine.

    libyaml writes it ten times faster, but a few texts and numbers otherwise: where its text has one of their signs, the writer in
    Python counts.
    """
    text = _dump(tree, _FastDumper)
    return _dump(tree, _Dumper) if any(sign in text for sign in _SIGNS_OF_ANOTHER_TEXT) else text


def _dump(tree: Mapping[str, Any], dumper: type[yaml.SafeDumper]) -> str:
    text: str = yaml.dump(tree, Dumper=dumper, sort_keys=True, allow_unicode=True, width=10_000)
    return text


def published_definitions(settings: Settings) -> list[TagDefinition]:
    """Give every definition of the newest publication; none before the first night that had this table.

    Damaged ones raise ``StepFailed``: a flipped bit would otherwise blame a registry that is as it was.
    """
    publication = newest_publication(settings)
    if publication is None or TABLE not in publication.tables:
        return []
    require_bytes(settings, publication, [TABLE])
    with Published(settings, publication) as published:
        return [
            TagDefinition(*row)
            for row in published.rows(f"SELECT code, version, yaml, published_on FROM {TABLE}")
        ]


def definitions_after(
    published: Iterable[TagDefinition], registry: Registry, business_date: dt.date
) -> list[TagDefinition]:
    """Give the definitions that a night leaves: those that were known, and those it is the first to compute by."""
    definitions = {(one.code, one.version): one for one in published}
    for entry in registry.online():
        definitions.setdefault(
            (entry.code, entry.version), replace(definition_of(entry), published_on=business_date)
        )
    return list(definitions.values())


@dataclass(frozen=True)
class DefinitionPlace(Place):
    """Where a definition stands that is in no file: its name, and no line."""

    def line(self, *keys: str | int) -> int | None:
        """Give no line."""
        return None


def find_definition(settings: Settings, registry: Registry, name: str) -> TagDefinition:
    """Give what ``code@version`` names: a version that was published, or that of the workspace's file; without a version the file's.

    A name in either language does as well as a code. An unknown version raises ``UsageError`` with those there are.
    """
    text, at, version = name.rpartition("@") if "@" in name else (name, "", "")
    entry = registry.entry_of(text)
    if at and not version.strip():
        raise UsageError(
            f"'{name}' names no version; write {text}@1.0.0, or {text} for that of the workspace's file"
        )
    own = [definition_of(entry)] if entry.compute is not None else []
    published = [one for one in published_definitions(settings) if one.code == entry.code]
    if not version:
        if not own:
            raise UsageError(
                f"the tag '{entry.code}' is {entry.status} and has no 'compute', so it has no values"
            )
        return own[0]
    # A published text stands before the file's: an edit without a new version is no version.
    for one in (*published, *own):
        if one.version == version:
            return one
    versions = sorted({one.version for one in (*published, *own)}, key=numbers_of)
    there = f"there are {', '.join(versions)}" if versions else "nothing of it was published yet"
    raise UsageError(f"the tag '{entry.code}' has no version '{version}'; {there}")


def newest_definition(settings: Settings, code: str) -> TagDefinition:
    """Give the newest version of a tag that was published; ``UsageError`` where none was."""
    versions = [one for one in published_definitions(settings) if one.code == code]
    if not versions:
        raise UsageError(f"no version of the tag '{code}' was published yet; nights keep them in {TABLE}")
    return max(versions, key=lambda one: numbers_of(one.version))


def definition_rows(definitions: Iterable[TagDefinition]) -> list[dict[str, Any]]:
    """Give the rows of ``tags.definitions``, by code and version."""
    rows = [
        {
            "code": one.code,
            "version": one.version,
            "definition_hash": one.definition_hash,
            "yaml": one.text,
            "published_on": one.published_on,
        }
        for one in definitions
    ]
    return sorted(rows, key=lambda row: (row["code"], numbers_of(row["version"])))


def require_versions(registry: Registry, published: Iterable[TagDefinition]) -> None:
    """Raise ``SettingsInvalid`` at the version of the first computed tag that was edited without the step its edit asks for.

    ``published`` are the definitions that were published; a tag that goes back to one of them as it was may do so.
    """
    versions_of: dict[str, dict[str, TagDefinition]] = {}
    for one in published:
        versions_of.setdefault(one.code, {})[one.version] = one
    for entry in registry.online():
        if (versions := versions_of.get(entry.code)) and (fault := _version_fault(registry, entry, versions)):
            raise fault


def _version_fault(
    registry: Registry, entry: Entry, versions: Mapping[str, TagDefinition]
) -> SettingsInvalid | None:
    own = definition_of(entry)
    same = versions.get(entry.version)
    if same is not None and same.definition_hash == own.definition_hash:
        return None
    newest = max(versions.values(), key=lambda one: numbers_of(one.version))
    base = same or newest
    changes = changes_between(base, own)
    least = next_version(newest.version, changes)
    if same is None and numbers_of(entry.version) >= numbers_of(least):
        return None
    if not changes:
        # Only the number is lower than that of the newest version, whose definition it has.
        what, step = "is older than the newest version that was published", f"write {newest.version}"
    else:
        part = next(part for part in PARTS if part in changes)
        what = f"has another {_singular(part)} ({', '.join(changes[part])}) than {base.version} as it was published"
        step = f"write at least version {least}, so that both can be told apart"
    return registry.fault(entry.code, f"the tag '{entry.code}' {what}; {step}", "version")


def changes_between(first: TagDefinition, second: TagDefinition) -> dict[Part, list[str]]:
    """Give the keys that differ between two definitions of a tag, by what they are part of; empty where none does."""
    if first.entry is None or second.entry is None:
        return {} if first.definition_hash == second.definition_hash else {"meaning": ["compute"]}
    before, after = _parts(first.entry), _parts(second.entry)
    changes: dict[Part, list[str]] = {}
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            changes.setdefault(key[0], []).append(key[1])
    if not changes and first.definition_hash != second.definition_hash:
        changes["texts"] = ["layout"]
    return changes


def next_version(version: str, changes: Mapping[Part, object]) -> str:
    """Give the least version that may follow one after such changes."""
    major, minor, patch = numbers_of(version)
    if "meaning" in changes:
        return f"{major + 1}.0.0"
    if "thresholds" in changes:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}" if changes else version


def numbers_of(version: str) -> tuple[int, int, int]:
    """Give the three numbers of a version."""
    major, minor, patch = map(int, version.split("."))
    return major, minor, patch


def _singular(part: Part) -> str:
    return {"meaning": "meaning", "thresholds": "threshold or right", "texts": "text"}[part]


def _parts(entry: Entry) -> dict[tuple[Part, str], Any]:
    """Give what an entry says, by part and key; expressions without their layout."""
    tree = entry.model_dump(by_alias=True, exclude_defaults=True, exclude={*LIFECYCLE, "code", "version"})
    parts: dict[tuple[Part, str], Any] = {}
    for key, value in tree.items():
        if key == "value":
            for name, facet in value.items():
                parts[_part(f"value.{name}"), f"value.{name}"] = facet
        elif key in ("params", "declassified"):
            parts["thresholds", key] = _without_texts(value)
            parts["texts", key] = _only_texts(value)
        else:
            parts[_part(key), key] = (
                normal_tree(value) if key in ("compute", "null_when", "population") else value
            )
    return parts


def _part(key: str) -> Part:
    return "texts" if key in TEXTS else "thresholds" if key in THRESHOLDS else "meaning"


def _without_texts(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {
            key: _without_texts(value) for key, value in tree.items() if key not in TEXTS or key == "name"
        }
    return [_without_texts(one) for one in tree] if isinstance(tree, list) else tree


def _only_texts(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_only_texts(one) for one in tree]
    return {key: value for key, value in tree.items() if key in TEXTS and key != "name"}


class _Dumper(yaml.SafeDumper):
    """Writes equal numbers in one way: without quotes, exponent or zeros at the end."""


def _number(dumper: yaml.SafeDumper, value: Decimal) -> yaml.Node:
    kind = "int" if value == value.to_integral_value() else "float"
    text = f"{value:.0f}" if kind == "int" else format(value.normalize(), "f")
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", text)


_Dumper.add_representer(Decimal, _number)


class _FastDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes like ``_Dumper``, by libyaml where PyYAML was built with it."""


_FastDumper.add_representer(Decimal, _number)
_SIGNS_OF_ANOTHER_TEXT = ("\\", "? ", "'':", "!!")
