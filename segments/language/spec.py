"""The specification of a segment: one reviewed YAML file, ``segments/<code>.yml`` of the workspace.

What the file may say later and cannot say yet is refused by name ("not supported yet"), never ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.yaml_files import line_of, parse_model, parse_yaml
from lakehouse.settings.yaml_limits import yaml_text
from segments.language.conditions import All, Any_, Node, Not, definition_hash, normal
from segments.language.parsing import ConditionReader
from vocabulary.audience import days_of_use
from vocabulary.buckets import BUCKETS
from vocabulary.policy import CHANNELS
from vocabulary.registry import Owner

DEFAULT_ARM = "DEFAULT"
LATER_KEYS: dict[str, tuple[str, ...]] = {
    "": ("goal", "content", "waves", "reentry", "approvals", "extends", "parameters"),
    "guards": ("change_vs_previous", "tag_psi"),
    "rollout": ("stage", "whitelist"),
    "contact": ("channel_pick", "priority", "caps", "quiet"),
    "schedule": ("cron", "every"),
}
_CODE = r"^[a-z][a-z0-9_]*$"
_SALT = r"^[A-Za-z0-9][A-Za-z0-9_:-]*$"
Percent = Annotated[float, Field(ge=0, le=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Name(_Strict):
    """The name people read, in both languages."""

    zh: str
    en: str


class Schedule(_Strict):
    """When the audience must be there and how old a tag may be; recorded, judged by the operator."""

    ready_by: Annotated[str, Field(pattern=r"^\d{2}:\d{2}$")] | None = None
    max_tag_staleness_days: int | None = Field(default=None, ge=0)


class Size(_Strict):
    """Bounds of the published audience; outside them nothing of the night is published."""

    min: int = Field(default=0, ge=0)
    max: int | None = Field(default=None, ge=0)


class Guards(_Strict):
    """Gates of one segment."""

    size: Size = Size()


class Rollout(_Strict):
    """Share of the eligible people who may be contacted at this stage; growing it only adds people."""

    percent: Percent = 100


class Holdout(_Strict):
    """Control groups: the global one by its salt, and a local one of this segment."""

    global_group: Annotated[str, Field(pattern=_SALT)] | None = Field(default=None, alias="global")
    local_percent: Percent = 0


class Split(_Strict):
    """Arms of an experiment over a range of buckets of its layer; weights are shares of the range."""

    experiment: Annotated[str, Field(pattern=_SALT)]
    layer: Annotated[str, Field(pattern=_SALT)]
    range: tuple[int, int] = (0, BUCKETS)
    arms: dict[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")], Annotated[int, Field(ge=1)]]

    @model_validator(mode="after")
    def _sound(self) -> Split:
        if not 0 <= self.range[0] < self.range[1] <= BUCKETS:
            raise ValueError(f"the range runs from 0 up to {BUCKETS} and is not empty")
        if not self.arms:
            raise ValueError("a split has at least one arm")
        if {DEFAULT_ARM, "CONTAMINATED"} & set(self.arms):
            raise ValueError("DEFAULT and CONTAMINATED are given by the platform and name no arm")
        return self


class Contact(_Strict):
    """The channels this segment may use, best first; a person is given the first that is allowed and usable."""

    channels: Annotated[list[Literal[CHANNELS]], Field(min_length=1)]  # type: ignore[valid-type]


class Publish(_Strict):
    """Where the audience goes and what a row shows."""

    destinations: Annotated[list[str], Field(min_length=1)]
    mode: list[Literal["snapshot", "delta"]] = ["snapshot", "delta"]
    format: Literal["parquet", "csv", "json_lines"] = "parquet"
    columns: list[str] = []
    ignore_changes_of: list[str] = []
    valid_hours: int = Field(default=30, ge=1, le=24 * 31)

    @field_validator("mode")
    @classmethod
    def _with_snapshot(cls, value: list[str]) -> list[str]:
        if "snapshot" not in value:
            raise ValueError("a delta needs the snapshot it changes; add snapshot")
        return value


class SpecFile(_Strict):
    """A specification as written, without the trees of its rule."""

    spec: Literal["segment/v1"]
    code: Annotated[str, Field(pattern=_CODE)]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    name: Name
    owner: Owner
    description: str = ""
    entity: Literal["customer", "prospect"]
    kind: Literal["static", "dynamic"]
    purpose: Literal["marketing", "service"]
    schedule: Schedule = Schedule()
    unknown: Literal["exclude", "include", "error"] | None = None
    base: Any = None
    where: Any = None
    include: Any = None
    exclude: Any = None
    guards: Guards = Guards()
    rollout: Rollout = Rollout()
    holdout: Holdout = Holdout()
    split: Split | None = None
    contact: Contact
    offer: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*@\d+$")] | None = None
    publish: Publish


@dataclass(frozen=True)
class Segment:
    """A specification with the trees of its rule, and the text it was read from."""

    spec: SpecFile
    file: Path
    text: str
    tree: Any
    base: Node | None
    where: Node | None
    include: tuple[Node, ...]
    exclude: tuple[Node, ...]

    @property
    def code(self) -> str:
        """The segment's code, also its file's name."""
        return self.spec.code

    @property
    def version(self) -> str:
        """The version of the definition, major.minor.patch."""
        return self.spec.version

    @property
    def major(self) -> int:
        """The part of the version that changes with the meaning."""
        return int(self.spec.version.split(".")[0])

    @property
    def unknown(self) -> str:
        """What an unknown answer of the whole rule means."""
        return self.spec.unknown or "exclude"

    @property
    def rule(self) -> Node:
        """The whole rule: (base and where, or an include) and no exclude."""
        parts = tuple(node for node in (self.base, self.where) if node is not None)
        rule: Node = parts[0] if len(parts) == 1 else All(parts)
        if self.include:
            rule = Any_((*((rule,) if parts else ()), *self.include))
        if not self.exclude:
            return rule
        return All((rule, *(Not(node) for node in self.exclude)))

    @property
    def definition(self) -> dict[str, Any]:
        """Give the normal form: all that decides who is chosen, how and what is sent, without names and text."""
        choices = self.spec.model_dump(
            mode="json",
            by_alias=True,
            include={
                "entity",
                "kind",
                "purpose",
                "guards",
                "rollout",
                "holdout",
                "split",
                "contact",
                "offer",
                "publish",
            },
        )
        trees = {"base": self.base, "where": self.where}
        return {
            **choices,
            "unknown": self.unknown,
            **{name: normal(node) if node is not None else None for name, node in trees.items()},
            "include": sorted((normal(node) for node in self.include), key=str),
            "exclude": sorted((normal(node) for node in self.exclude), key=str),
        }

    @property
    def days_of_use(self) -> int:
        """On how many days after the business date its audience may be used."""
        return days_of_use(self.spec.publish.valid_hours)

    @property
    def definition_hash(self) -> str:
        """The hash of ``definition``: same hash, same meaning."""
        return definition_hash(self.definition)

    def line(self, *path: str | int) -> int | None:
        """Give the line on which a key of the file stands."""
        return line_of(self.tree, *path)


def read_segment(file: Path) -> Segment:
    """Read one specification; the first fault raises ``SettingsInvalid`` with file and line."""
    segment = parse_segment(yaml_text(file), file)
    if segment.code != file.stem:
        raise SettingsInvalid(
            f"the code is '{segment.code}' but the file is named '{file.stem}'; make them equal",
            file=file,
            line=segment.line("code"),
        )
    return segment


def parse_segment(text: str, file: Path) -> Segment:
    """Give the segment that a text specifies, whatever its file is called; ``file`` is the name errors carry."""
    tree = parse_yaml(text, file=file)
    if not isinstance(tree, dict):
        raise SettingsInvalid("a segment is a mapping that begins with spec: segment/v1", file=file, line=1)
    _refuse_later(tree, file)
    spec = parse_model(SpecFile, tree, file=file)
    reader = ConditionReader(file)

    def one(key: str) -> Node | None:
        return reader.read(tree[key], line_of(tree, key)) if tree.get(key) is not None else None

    def many(key: str) -> tuple[Node, ...]:
        return reader.read_many(tree[key], line_of(tree, key)) if tree.get(key) else ()

    segment = Segment(
        spec,
        file,
        text,
        tree,
        one("base"),
        one("where"),
        many("include"),
        many("exclude"),
    )
    if segment.base is None and segment.where is None and not segment.include:
        raise SettingsInvalid("the segment chooses nobody; add base, where or include", file=file, line=1)
    return segment


def read_segments(workspace: Path) -> list[Segment]:
    """Read every ``segments/*.yml`` of the workspace, ordered by code; none is an empty list."""
    return [read_segment(file) for file in sorted((workspace / "segments").glob("*.yml"))]


def version_matches(version: str, wish: str) -> bool:
    """Give whether a version meets a wish like ``*``, ``2``, ``>=1 <2`` or ``2.1.0``.

    A wish that cannot be read raises ``ValueError``.
    """
    own = _numbers(version)
    for part in wish.split():
        match = re.fullmatch(r"(>=|<=|>|<|==?|)(\d+(?:\.\d+)*|\*)", part)
        if not match:
            raise ValueError(f"'{wish}' is no version wish; write one like '>=1 <2' or '2'")
        sign, bound = match[1], match[2]
        if bound == "*":
            continue
        numbers = _numbers(bound)
        padded = numbers + (0,) * (3 - len(numbers))
        if sign in ("", "=", "=="):
            is_met = own[: len(numbers)] == numbers
        else:
            is_met = {">=": own >= padded, "<=": own <= padded, ">": own > padded, "<": own < padded}[sign]
        if not is_met:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _refuse_later(tree: Any, file: Path) -> None:
    if tree.get("kind") == "trigger":
        raise SettingsInvalid("'kind: trigger' is not supported yet", file=file, line=line_of(tree, "kind"))
    for section, keys in LATER_KEYS.items():
        inside = tree.get(section) if section else tree
        for key in keys:
            if isinstance(inside, dict) and key in inside:
                dotted = f"{section}.{key}" if section else key
                raise SettingsInvalid(
                    f"'{dotted}' is not supported yet", file=file, line=line_of(inside, key)
                )
