"""The specification of a segment: one reviewed YAML file, ``segments/<code>.yml`` of the workspace.

What the file may say later and cannot say yet is refused by name ("not supported yet"), never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.yaml_files import did_you_mean, line_of, parse_model, parse_yaml
from lakehouse.settings.yaml_limits import yaml_text
from segments.language.conditions import All, Any_, ListLeaf, Node, Not, definition_hash, leaves, normal
from segments.language.contact import Clock, Contact
from segments.language.leaves.people import RankLeaf
from segments.language.parameters import FILE as PARAMETER_FILE
from segments.language.parameters import Parameter, Scalar, named_segments, parameter_values, with_values
from segments.language.parsing import ConditionReader
from segments.language.templates import Template, joined_texts, merged_tree, parted_texts
from vocabulary.audience import days_of_use
from vocabulary.buckets import BUCKETS
from vocabulary.registry import Owner
from vocabulary.relations import ENTITY_TIES

DEFAULT_ARM = "DEFAULT"
LATER_KEYS: dict[str, tuple[str, ...]] = {
    "": ("goal", "content", "waves", "reentry"),
    "schedule": ("cron", "every"),
}
STAGES = ("whitelist", "small", "full")
Stage = Literal["whitelist", "small", "full"]
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
    """When the audience must be there on the day after the business date, or the night warns, and how old a tag may be.

    Without ``max_tag_staleness_days`` the night tells of tags that are late and goes on.
    """

    ready_by: Clock | None = None
    max_tag_staleness_days: int | None = Field(default=None, ge=0)


class Size(_Strict):
    """Bounds of the published audience; outside them nothing of the night is published."""

    min: int = Field(default=0, ge=0)
    max: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _leaves_room(self) -> Size:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"no audience has at least {self.min} and at most {self.max} people")
        return self


class AudienceChange(_Strict):
    """Bound of the share of people who entered the audience, or left it, since its run before."""

    max_ratio: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


class TagStability(_Strict):
    """Bound of the population stability index of every tag that the segment reads; from 0.25 on a distribution is another one."""

    max: Annotated[float, Field(strict=True, gt=0, le=5, allow_inf_nan=False)]


class Guards(_Strict):
    """Gates of one segment."""

    size: Size = Size()
    change_vs_previous: AudienceChange | None = None
    tag_psi: TagStability | None = None

    @property
    def compares(self) -> bool:
        """Whether one of them asks what was published before."""
        return self.change_vs_previous is not None or self.tag_psi is not None


class Rollout(_Strict):
    """Who of the eligible people may be contacted: a whitelist, then a share as well, then all; moving up only adds people."""

    stage: Stage | None = None
    whitelist: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+@\d+$")] | None = None
    percent: Percent = 100

    @model_validator(mode="after")
    def _sound(self) -> Rollout:
        if self.stage is None and self.whitelist is not None:
            raise ValueError("a whitelist needs a stage: whitelist, small or full")
        if self.stage == "whitelist" and self.whitelist is None:
            raise ValueError("the stage whitelist needs a whitelist, as list@version")
        if self.stage == "small" and "percent" not in self.model_fields_set:
            raise ValueError("the stage small needs a percent")
        return self

    @property
    def effective_stage(self) -> Stage:
        """The stage that approvals must cover; a file that names none has only the last one."""
        return self.stage or "full"

    @property
    def list_leaf(self) -> ListLeaf | None:
        """The whitelist as a leaf, where the stage asks for it."""
        if self.whitelist is None or self.stage == "full":
            return None
        name, _, version = self.whitelist.partition("@")
        return ListLeaf(name, version)

    def definition(self) -> dict[str, Any]:
        """Give what belongs to the definition: which steps there are, not which of them is reached."""
        whitelist = {"whitelist": self.whitelist} if self.whitelist is not None else {}
        return {"percent": float(self.percent), **whitelist}


class Approvals(_Strict):
    """Whose approvals a segment needs before a stage: all of some roles, one of others, a signed file of another system."""

    all_of: list[Annotated[str, Field(pattern=_CODE)]] = []
    any_of: list[Annotated[str, Field(pattern=_CODE)]] = []
    external: Annotated[str, Field(pattern=_CODE)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _list_is_all_of(cls, value: Any) -> Any:
        return {"all_of": value} if isinstance(value, list) else value

    @field_validator("all_of", "any_of", mode="before")
    @classmethod
    def _roles(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [one["role"] if isinstance(one, dict) and set(one) == {"role"} else one for one in value]

    @model_validator(mode="after")
    def _asks_somebody(self) -> Approvals:
        if not (self.all_of or self.any_of or self.external):
            raise ValueError(
                "approvals name at least one role, or external; leave the key out where nobody is asked"
            )
        return self

    @property
    def roles(self) -> list[str]:
        """Every role that is named, once."""
        return list(dict.fromkeys([*self.all_of, *self.any_of]))


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


class AddresseeFile(_Strict):
    """Who is contacted for a company or household, as written; see ``Addressee``."""

    where: Any = None
    prefer: Any = None
    highest: str | None = None
    lowest: str | None = None

    @model_validator(mode="after")
    def _says_who(self) -> AddresseeFile:
        if all(part is None for part in (self.where, self.prefer, self.highest, self.lowest)):
            raise ValueError("it says who is contacted by where, prefer, highest or lowest")
        if self.highest is not None and self.lowest is not None:
            raise ValueError("highest and lowest name one order; write one of them")
        return self


class Publish(_Strict):
    """Where the audience goes and what a row shows."""

    destinations: Annotated[list[str], Field(min_length=1)]
    mode: list[Literal["snapshot", "delta"]] = ["snapshot", "delta"]
    format: Literal["parquet", "csv", "json_lines"] = "parquet"
    columns: list[str] = []
    ignore_changes_of: list[str] = []
    valid_hours: int = Field(default=30, ge=1, le=24 * 31)
    deliver: Literal["live", "dry"] = "live"

    @field_validator("destinations", "mode", "columns", "ignore_changes_of")
    @classmethod
    def _once(cls, value: list[str]) -> list[str]:
        doubled = next((name for at, name in enumerate(value) if name in value[:at]), None)
        if doubled is not None:
            raise ValueError(f"'{doubled}' is named twice; leave one out")
        return value

    @field_validator("mode")
    @classmethod
    def _with_snapshot(cls, value: list[str]) -> list[str]:
        if "snapshot" not in value:
            raise ValueError("a delta needs the snapshot it changes; add snapshot")
        return value


# One line that a person reads; without the sign that stands between the members of a list in a CSV.
Sentence = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f\u2028\u2029|]+$")]


class Reason(_Strict):
    """Why people are on a worklist, in both languages."""

    zh: Sentence
    en: Sentence


class TalkingPoints(_Strict):
    """What an employee speaks of, in both languages."""

    zh: Annotated[list[Sentence], Field(min_length=1, max_length=10)]
    en: Annotated[list[Sentence], Field(min_length=1, max_length=10)]

    @model_validator(mode="after")
    def _as_many(self) -> TalkingPoints:
        if len(self.zh) != len(self.en):
            raise ValueError("the talking points are as many in one language as in the other")
        return self


class WorklistTexts(_Strict):
    """What employees are told who take care of the people of the segment."""

    reason: Reason
    talking_points: TalkingPoints


class SpecFile(_Strict):
    """A specification as own_tree, without the trees of its rule."""

    spec: Literal["segment/v1"]
    code: Annotated[str, Field(pattern=_CODE)]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    name: Name
    owner: Owner
    description: str = ""
    entity: Literal["customer", "prospect", "company", "household"]
    addressee: AddresseeFile | None = None
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
    approvals: Approvals | None = None
    holdout: Holdout = Holdout()
    split: Split | None = None
    contact: Contact
    offer: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*@\d+$")] | None = None
    publish: Publish
    worklist: WorklistTexts | None = None
    extends: str | None = None
    parameters: dict[Annotated[str, Field(pattern=_CODE)], Parameter] = {}

    @model_validator(mode="after")
    def _addressed(self) -> SpecFile:
        if self.entity in ENTITY_TIES and self.addressee is None:
            raise ValueError(
                f"a {self.entity} is contacted through one of its people; say by addressee who that is,"
                " like addressee: {highest: age}"
            )
        if self.entity not in ENTITY_TIES and self.addressee is not None:
            raise ValueError(f"addressee belongs to companies and households, not to entity: {self.entity}")
        return self


@dataclass(frozen=True)
class Addressee:
    """Which of its people is contacted for a company or household: of those who may be addressed, the first.

    Whoever may be contacted by law and policy comes before the others, then who meets ``prefer``, then the highest or lowest value of a
    tag (without a value last), then the smallest OneID.
    """

    where: Node | None
    prefer: Node | None
    tag: str | None
    is_lowest: bool = False

    def normal(self) -> dict[str, Any]:
        """Give conditions and order."""
        order = {"lowest" if self.is_lowest else "highest": self.tag} if self.tag is not None else {}
        nodes = {"where": self.where, "prefer": self.prefer}
        return {**{name: normal(node) for name, node in nodes.items() if node is not None}, **order}


@dataclass(frozen=True)
class Rule:
    """The trees of a rule: (base and where, or an include) and no exclude."""

    base: Node | None
    where: Node | None
    include: tuple[Node, ...]
    exclude: tuple[Node, ...]
    addressee: Addressee | None = None
    template_base: Node | None = None
    """The base of the template alone, within which the template ranks."""

    def narrowed_by(self, own: Rule) -> Rule:
        """Give the rule of a template as a file narrows it: base and where must hold beside the template's, exclude takes out more.

        Whom the template includes beside its rule, what narrows the rule narrows as well.
        """
        narrowing = tuple(node for node in (own.base, own.where) if node is not None)
        shared = tuple(All((node, *narrowing)) if narrowing else node for node in self.include)
        return Rule(
            _both(self.base, own.base),
            _both(self.where, own.where),
            (*shared, *own.include),
            (*self.exclude, *own.exclude),
            self.addressee,
            self.base,
        )

    @property
    def _ranks_within_template(self) -> bool:
        nodes = (self.base, self.where, *self.include, *self.exclude)
        every = (leaf for node in nodes if node is not None for leaf, _ in leaves(node))
        return any(isinstance(leaf, RankLeaf) and leaf.within == "template" for leaf in every)

    def normal(self) -> dict[str, Any]:
        """Give the normal form of the trees; the order of conditions does not count."""
        trees = {"base": self.base, "where": self.where}
        if self._ranks_within_template:
            trees["template_base"] = self.template_base
        return {
            **({"addressee": self.addressee.normal()} if self.addressee is not None else {}),
            **{name: normal(node) if node is not None else None for name, node in trees.items()},
            "include": sorted((normal(node) for node in self.include), key=str),
            "exclude": sorted((normal(node) for node in self.exclude), key=str),
        }


def _both(first: Node | None, second: Node | None) -> Node | None:
    """Give the condition that two are together."""
    nodes = tuple(node for node in (first, second) if node is not None)
    return All(nodes) if len(nodes) > 1 else next(iter(nodes), None)


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
    values: Mapping[str, Scalar] = field(default_factory=dict)
    """The value of every parameter, which the trees hold already."""
    definition_rule: dict[str, Any] | None = None
    """The normal form of the rule with the default of every parameter, and what each of them decides."""
    addressee: Addressee | None = None
    """Who is contacted for a company or household; None where the segment chooses persons."""
    template_base: Node | None = None
    """The part of the base that the template has laid down; None without a template."""

    @property
    def is_collective(self) -> bool:
        """Whether it chooses companies or households, which are contacted through one of their people."""
        return self.addressee is not None

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

    def ranked_group(self, leaf: RankLeaf) -> Node | None:
        """Give the condition that says whom a rank ranks; None where it ranks everybody."""
        return {"base": self.base, "template": self.template_base, "all": None}[leaf.within]

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
                "holdout",
                "split",
                "offer",
                "publish",
            },
        )
        # Where it is delivered is decided; whether this is for show is not, nor which stage of the roll-out is reached.
        del choices["publish"]["deliver"]
        # Guards that a file does not have are left out, so that a new kind of guard changes no definition.
        choices["guards"] = {name: one for name, one in choices["guards"].items() if one is not None}
        choices["rollout"] = self.spec.rollout.definition()
        if self.spec.approvals is not None:
            choices["approvals"] = self.spec.approvals.model_dump(mode="json")
        if self.spec.worklist is not None:
            choices["worklist"] = self.spec.worklist.model_dump(mode="json")
        # What a segment does not ask of its contacts is left out, so that a new rule changes no definition that has it not.
        choices["contact"] = self.spec.contact.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        rule = self.definition_rule or self._rule.normal()
        return {**choices, "unknown": self.unknown, **rule}

    @property
    def _rule(self) -> Rule:
        return Rule(self.base, self.where, self.include, self.exclude, self.addressee, self.template_base)

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


def read_segment(file: Path, *, has_values: bool = True) -> Segment:
    """Read one specification; the first fault raises ``SettingsInvalid`` with file and line.

    Without ``has_values`` every parameter has its default, whatever the workspace's file says.
    """
    segment = parse_segment(yaml_text(file), file, file.parent.parent, has_values=has_values)
    if segment.code != file.stem:
        raise SettingsInvalid(
            f"the code is '{segment.code}' but the file is named '{file.stem}'; make them equal",
            file=file,
            line=segment.line("code"),
        )
    return segment


def read_version(
    code: str, version: str, text: str, workspace: Path, values: Mapping[str, Scalar] | None = None
) -> Segment:
    """Give a version from the text that is kept of it, with the template it had then; errors name it ``code@version``.

    ``values`` are those of its parameters; without them the workspace's, as far as they fit.
    """
    own, template = parted_texts(text)
    # Where the file of a segment lies is where its conditions look for attributes and look-ups.
    file = segment_file(workspace, f"{code}@{version}").with_suffix("")
    return parse_segment(own, file, workspace, template=template, is_in_use=False, values=values)


def parse_segment(
    text: str,
    file: Path,
    workspace: Path,
    *,
    template: str | None = None,
    is_in_use: bool = True,
    has_values: bool = True,
    values: Mapping[str, Scalar] | None = None,
) -> Segment:
    """Give the segment that a text specifies, whatever its file is called; ``file`` is the name errors carry.

    Templates and values of parameters are the workspace's; ``template`` is the text of another one, ``values`` are others, and values
    that do not fit a version no longer in use are left out; without ``has_values`` all are.
    """
    tree = parse_yaml(text, file=file)
    if not isinstance(tree, dict):
        raise SettingsInvalid("a segment is a mapping that begins with spec: segment/v1", file=file, line=1)
    own_tree, extended = tree, None
    if "extends" in tree:
        tree, extended = merged_tree(tree, file, workspace, template)
        text = joined_texts(text, extended.reference, extended.text)
    _refuse_later(tree, file)
    try:
        spec = parse_model(SpecFile, tree, file=file)
    except SettingsInvalid as fault:
        # Head office may leave a field to its branches, whose files then miss it.
        if extended is None or not fault.message.endswith(" is missing"):
            raise
        note = f", and the template {extended.reference} leaves it to this file"
        raise SettingsInvalid(fault.message + note, file=file, line=fault.line) from None
    parameter_choices: dict[str, Scalar] = {
        name: parameter.default for name, parameter in spec.parameters.items()
    }
    if values is not None:
        parameter_choices |= {name: value for name, value in values.items() if name in parameter_choices}
    elif spec.parameters and has_values:
        parameter_choices = parameter_values(spec.parameters, spec.code, workspace, is_in_use=is_in_use)
    rule = _read_rule(tree, extended, parameter_choices, file)
    if rule.base is None and rule.where is None and not rule.include:
        raise SettingsInvalid("the segment chooses nobody; add base, where or include", file=file, line=1)
    definition = _parametrised_definition(tree, extended, spec.parameters, file) if spec.parameters else None
    return Segment(
        spec,
        file,
        text,
        own_tree,
        rule.base,
        rule.where,
        rule.include,
        rule.exclude,
        parameter_choices,
        definition,
        rule.addressee,
        rule.template_base,
    )


def _read_rule(tree: Any, template: Template | None, values: Mapping[str, Scalar], file: Path) -> Rule:
    entity = str(tree["entity"]) if tree["entity"] in ENTITY_TIES else None
    own_reader = ConditionReader(file, entity, owner=str(tree["code"]))
    if template is None:
        return _read_parts(tree, values, own_reader)
    base: Literal["base", "template"] = "base" if tree.get("base") is None else "template"
    reader = ConditionReader(file, entity, owner=template.owner, base=base)
    # What the template says stands where it is extended.
    laid_down = _read_parts(template.tree, values, reader, line_of(tree, "extends"))
    return laid_down.narrowed_by(_read_parts(tree, values, own_reader))


def _read_parts(
    tree: Any, values: Mapping[str, Scalar], reader: ConditionReader, at: int | None = None
) -> Rule:
    """Read the conditions of one file; ``at`` is the line of all of them where the tree knows none."""
    file = reader.file

    def part(key: str) -> Any:
        try:
            return with_values(tree[key], values)
        except KeyError as unknown:
            name = str(unknown.args[0])
            raise SettingsInvalid(
                f"E01 there is no parameter '{name}'{did_you_mean(name, list(values))}",
                file=file,
                line=line(key),
            ) from None

    def line(key: str) -> int | None:
        return line_of(tree, key) or at

    def one(key: str) -> Node | None:
        return reader.read(part(key), line(key)) if tree.get(key) is not None else None

    def many(key: str) -> tuple[Node, ...]:
        return reader.read_many(part(key), line(key)) if tree.get(key) else ()

    def addressee() -> Addressee:
        own, people, where = part("addressee"), reader.of_people, line("addressee")
        nodes = {
            key: people.read(own[key], line_of(own, key) or where) if own.get(key) is not None else None
            for key in ("where", "prefer")
        }
        tag = own.get("highest") or own.get("lowest")
        return Addressee(nodes["where"], nodes["prefer"], None if tag is None else str(tag), "lowest" in own)

    return Rule(
        one("base"),
        one("where"),
        many("include"),
        many("exclude"),
        addressee() if reader.entity is not None and tree.get("addressee") is not None else None,
    )


def _parametrised_definition(
    tree: Any, template: Template | None, parameters: Mapping[str, Parameter], file: Path
) -> dict[str, Any]:
    """Give the rule with the defaults, and of each parameter its bounds and what the rule becomes by another value."""
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    rule = _read_rule(tree, template, defaults, file).normal()
    bounds = {}
    for name, parameter in parameters.items():
        effect = None
        if parameter.other is not None:
            effect = definition_hash(
                _read_rule(tree, template, {**defaults, name: parameter.other}, file).normal()
            )
            if effect == definition_hash(rule):
                raise SettingsInvalid(
                    f"the rule does not use the parameter '{name}'; write ${name} where its value stands",
                    file=file,
                    line=line_of(tree, "parameters", name),
                )
        bounds[name] = {**parameter.model_dump(mode="json"), "effect": effect}
    return {**rule, "parameters": bounds}


def read_segments(workspace: Path) -> list[Segment]:
    """Read every ``segments/*.yml`` of the workspace, ordered by code; none is an empty list."""
    return [read_segment(file) for file in files_in(workspace / "segments", "*.yml")]


def segment_file(workspace: Path, code: str) -> Path:
    """Give the file of a segment's specification."""
    return workspace / "segments" / f"{code}.yml"


def read_every_segment(workspace: Path) -> tuple[list[Segment], list[SettingsInvalid]]:
    """Read every ``segments/*.yml``: the segments that can be read, ordered by code, and the first fault of each other file."""
    segments, faults = [], []
    for file in files_in(workspace / "segments", "*.yml"):
        try:
            segments.append(read_segment(file))
        except SettingsInvalid as fault:
            faults.append(fault)
    try:
        lines = named_segments(workspace)
    except SettingsInvalid as fault:
        return segments, [*faults, fault]
    codes = {file.stem for file in files_in(workspace / "segments", "*.yml")}
    with_parameters = {segment.code for segment in segments if segment.values} | (
        codes - {segment.code for segment in segments}
    )
    for code, line in lines.items():
        if code not in with_parameters:
            what = "has no parameters" if code in codes else "does not exist"
            faults.append(
                SettingsInvalid(f"the segment '{code}' {what}", file=workspace / PARAMETER_FILE, line=line)
            )
    return segments, faults


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
