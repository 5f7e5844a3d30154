"""A set of micro-segments as a workspace declares it: one reviewed YAML file, ``micro_segments/<code>.yml``.

It says whose tags are compared, which, and into how many groups; see ``docs/micro-segments.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator

from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.settings.optional_files import files_in, is_there
from lakehouse.settings.settings import Settings
from lakehouse.settings.yaml_files import did_you_mean, line_of, parse_model, parse_yaml
from lakehouse.settings.yaml_limits import yaml_text
from segments.language.checks.findings import (
    Site,
    SpecFinding,
    Surroundings,
    finding,
    refuse_findings,
    unreadable,
)
from segments.language.checks.leaf_checks import check_further, check_list, check_negation, check_window
from segments.language.checks.tag_checks import check_measured_tag, check_tag
from segments.language.conditions import (
    EventLeaf,
    Leaf,
    ListLeaf,
    Node,
    SegmentLeaf,
    TagLeaf,
    definition_hash,
    leaves,
    normal,
)
from segments.language.contact import Contact
from segments.language.leaves.micro_segments import FOLDER, MicroLeaf
from segments.language.leaves.people import RankLeaf
from segments.language.parsing import ConditionReader
from segments.language.spec import Name, Publish, Segment, SpecFile
from vocabulary.policy import Policy
from vocabulary.registry import Owner

MOST_TAGS = 32
MOST_GROUPS = 30
_CODE = r"^[a-z][a-z0-9_]*$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MicroTag(_Strict):
    """A tag by which people are compared: a number, as it is or its logarithm, and what it means to have none."""

    tag: str
    transform: Literal["none", "log1p"] = "none"
    nulls: Literal["leave_out", "median"] = "leave_out"


class AcceptedLevel(_Strict):
    """That tags of level C2 may decide who is alike, why, and who takes responsibility for it."""

    level: Literal["C2"]
    why: Annotated[str, Field(min_length=1)]
    approver: Annotated[str, Field(min_length=1)]


class MicroSetFile(_Strict):
    """A set of micro-segments as written, without the tree of its base."""

    spec: Literal["micro_segment/v1"]
    code: Annotated[str, Field(pattern=_CODE)]
    name: Name
    owner: Owner
    description: str = ""
    entity: Literal["customer", "prospect"] = "customer"
    purpose: Literal["marketing", "service"] = "marketing"
    base: Any = None
    tags: Annotated[list[MicroTag], Field(min_length=1, max_length=MOST_TAGS)]
    accepts: AcceptedLevel | None = None
    groups: Annotated[StrictInt, Field(ge=2, le=MOST_GROUPS)]
    seed: Annotated[StrictInt, Field(ge=0)] = 1
    clip: Annotated[Decimal, Field(ge=0, le=Decimal("0.2"), decimal_places=4)] = Decimal("0.01")
    frozen: Literal["month", "quarter"] = "quarter"
    labels: dict[StrictInt, Name] = {}

    @field_validator("tags")
    @classmethod
    def _once(cls, value: list[MicroTag]) -> list[MicroTag]:
        codes = [one.tag for one in value]
        doubled = next((code for at, code in enumerate(codes) if code in codes[:at]), None)
        if doubled is not None:
            raise ValueError(f"'{doubled}' is named twice; leave one out")
        return value


@dataclass(frozen=True)
class MicroSet:
    """A declaration with the tree of its base, and the text it was read from."""

    spec: MicroSetFile
    file: Path
    text: str
    tree: Any
    base: Node | None

    @property
    def code(self) -> str:
        """The code of the set, also its file's name."""
        return self.spec.code

    @property
    def codes(self) -> list[str]:
        """The tags by which people are compared, in the order of the file."""
        return [one.tag for one in self.spec.tags]

    @property
    def tags_read(self) -> list[str]:
        """Every tag that it reads, those of the base too, sorted."""
        return sorted({*self.codes, *(tag for leaf, _ in self.base_leaves for tag in leaf.tags)})

    @property
    def definition_hash(self) -> str:
        """The hash of all that decides who is alike: whose tags, which, how many groups, the seed; no names and texts."""
        choices = self.spec.model_dump(
            mode="json", include={"entity", "purpose", "tags", "groups", "seed", "clip"}
        )
        return definition_hash({**choices, "base": normal(self.base) if self.base is not None else None})

    @cached_property
    def segment(self) -> Segment:
        """The people of the set as a segment that chooses its base; it contacts nobody and is never published."""
        spec = SpecFile(
            spec="segment/v1", code=self.code, version="1.0.0", name=self.spec.name, owner=self.spec.owner,
            entity=self.spec.entity, kind="dynamic", purpose=self.spec.purpose, unknown="exclude",
            contact=Contact(channels=["SMS"]), publish=Publish(destinations=["nowhere"]),
        )  # fmt: skip
        return Segment(spec, self.file, self.text, self.tree, self.base, None, (), ())

    @property
    def base_leaves(self) -> list[tuple[Leaf, bool]]:
        """Every condition of the base, with whether it stands under an odd number of negations."""
        return list(leaves(self.base)) if self.base is not None else []

    def name_of(self, label: int, language: str) -> str | None:
        """Give the name of a micro-segment in a language; None where the file has none."""
        name = self.spec.labels.get(label)
        return getattr(name, language) if name is not None else None

    def line(self, *keys: str | int) -> int | None:
        """Give the line on which something stands in the file."""
        return line_of(self.tree, *keys)


def parse_micro_set(text: str, file: Path) -> MicroSet:
    """Read a declaration; the first fault raises ``SettingsInvalid`` with its line."""
    tree = parse_yaml(text, file=file)
    if not isinstance(tree, dict):
        raise SettingsInvalid("a set of micro-segments is a block of `key: value`", file=file, line=1)
    spec = parse_model(MicroSetFile, tree, file=file)
    base = tree.get("base")
    node = ConditionReader(file).read(base, line_of(tree, "base")) if base is not None else None
    return MicroSet(spec, file, text, tree, node)


def read_micro_sets(workspace: Path) -> list[MicroSet]:
    """Read every ``micro_segments/*.yml`` of the workspace, ordered by code; the first fault raises ``SettingsInvalid``."""
    return [_read_micro_set(file) for file in files_in(workspace / FOLDER, "*.yml")]


def _read_micro_set(file: Path) -> MicroSet:
    one = parse_micro_set(yaml_text(file), file)
    if one.code != file.stem:
        raise SettingsInvalid(
            f"the code is '{one.code}' and the file is {file.name}; both are the same word",
            file=file,
            line=one.line("code"),
        )
    return one


def micro_set_of(workspace: Path, name: str) -> MicroSet:
    """Give the set of a workspace by its code, or that of a file anywhere; nobody else raises ``UsageError``."""
    own = workspace / FOLDER / f"{name}.yml"
    file = own if is_there(own) else Path(name)
    if is_there(own) or file.is_file():
        return parse_micro_set(yaml_text(file), file)
    codes = sorted(path.stem for path in files_in(workspace / FOLDER, "*.yml"))
    raise UsageError(f"there is no set of micro-segments '{name}'{did_you_mean(name, codes)}")


def site_of(settings: Settings, surroundings: Surroundings) -> Site:
    """Give what declarations are checked against."""
    return Site(
        workspace=settings.workspace,
        tags=surroundings.tags,
        ceilings={},
        policy=Policy(),
        known_hashes={},
        tag_days=settings.retention.tag_days,
        unread=surroundings.unread,
    )


def micro_findings(site: Site) -> list[SpecFinding]:
    """Give every finding over the declarations of a workspace, the first fault of those that cannot be read included."""
    findings: list[SpecFinding] = []
    for file in files_in(site.workspace / FOLDER, "*.yml"):
        try:
            findings += findings_of(_read_micro_set(file), site)
        except SettingsInvalid as fault:
            findings.append(unreadable(fault))
    return findings


def check_micro_sets(settings: Settings, surroundings: Surroundings) -> list[MicroSet]:
    """Read and check every declaration of a workspace and give them; the first fault raises ``SettingsInvalid``."""
    sets = read_micro_sets(settings.workspace)
    site = site_of(settings, surroundings)
    refuse_findings(fault for one in sets for fault in findings_of(one, site))
    return sets


def findings_of(one: MicroSet, site: Site) -> Iterator[SpecFinding]:
    """Give what is wrong with a declaration: its tags by level, purpose and type, and the conditions of its base."""
    segment = one.segment
    # A set that is in use goes on with a tag that becomes deprecated.
    site = replace(site, known_hashes={(segment.code, segment.version): ""})
    for at, micro_tag in enumerate(one.spec.tags):
        line = one.line("tags", at)
        yield from check_measured_tag(segment, micro_tag.tag, "a set of micro-segments", line, site)
        fact = site.tags.get(micro_tag.tag)
        if fact is not None and fact.status == "deprecated":
            yield finding(segment, "W06", f"tag '{micro_tag.tag}' {fact.deprecation}", line)
        if fact is not None and fact.level == "C2" and one.spec.accepts is None:
            text = (
                f"tag '{micro_tag.tag}' is C2, and who is alike by it learns something of the others; where that is meant, write"
                " accepts: {level: C2, why: …, approver: …}"
            )
            yield finding(segment, "E07", text, line)
    for leaf, denied in one.base_leaves:
        if isinstance(leaf, SegmentLeaf | MicroLeaf | RankLeaf):
            text = "the base of micro-segments asks for tags, events, rows and lists, not for segments, micro-segments or ranks"
            yield finding(segment, "E03", text, leaf.line)
        elif isinstance(leaf, TagLeaf):
            yield from check_tag(segment, leaf, denied, False, site)
        elif isinstance(leaf, ListLeaf):
            yield from check_list(segment, leaf, site)
        elif isinstance(leaf, EventLeaf):
            yield from check_window(segment, leaf)
        else:
            yield from check_further(segment, leaf, False, {}, site)
            yield from check_negation(segment, leaf, denied, site)
