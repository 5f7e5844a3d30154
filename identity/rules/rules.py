"""What ``identity.yml`` may say: namespaces, limits, block lists; shipped defaults that a workspace changes."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from identity.rules.normalise import NORMALISERS
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.optional_files import is_there
from lakehouse.settings.settings import Settings
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_yaml, parse_model, plain

FILE_NAME = "identity.yml"
DEFAULTS = Path(__file__).parent / "defaults.yml"
FACTS = ("full_name", "birth_date", "gender")
Kind = Literal["person", "account", "contact", "device", "attribute"]
Exceeded = Literal["shared", "newest", "last"]

# Evidence is used in this order: a tier sees the people the tiers before it have found.
TIERS: tuple[tuple[Kind, ...], ...] = (("person", "account"), ("contact",), ("device",))

# Part of the version of the rules: raise it when the code of guards, replay or a normaliser decides differently.
_CODE_VERSION = 3
_NAMESPACE = re.compile(r"^[a-z][a-z0-9_]*(@(\*|[A-Za-z0-9_.\-]+))?$")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HolderLimit(_Strict):
    """At most ``people`` may hold a value: people that carry ``any`` of these namespaces, or distinct ones by ``each``."""

    any: tuple[str, ...] = ()
    each: str | None = None
    people: int = Field(default=1, ge=1, le=10_000)


class NeverMerge(_Strict):
    """What two records of one person never differ in: values of a namespace, or which record of a source they are."""

    namespace: str | None = None
    source: str | None = None


class LargestPerson(_Strict):
    """Profiles of one person: above ``cut_above`` weak joins are cut, above ``stop_above`` the night is refused."""

    cut_above: int = Field(default=50, ge=2, le=100_000)
    stop_above: int = Field(default=500, ge=2, le=1_000_000)


class BlockList(_Strict):
    """Values (after normalising) and regular expressions that are no identifiers."""

    exact: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


class NamespaceRule(_Strict):
    """How one kind of identifier is read, limited and weighed."""

    kind: Kind
    normaliser: str = "exact"
    strength: int = Field(default=50, ge=1, le=100)
    sensitive: bool = False
    unique: int | None = Field(default=None, ge=1, le=10_000)
    fan_out: int | None = Field(default=None, ge=1, le=10_000)
    at_most: tuple[HolderLimit, ...] = ()
    carriers: int | None = Field(default=None, ge=1, le=1_000_000)
    window_days: int | None = Field(default=None, ge=1, le=36_500)
    when_exceeded: Exceeded = "shared"
    corroborate: Literal["full_name"] | None = None
    block: BlockList = Field(default_factory=BlockList)
    unblock: tuple[str, ...] = ()

    @property
    def tier(self) -> int | None:
        """Place in the order of evidence; None for attributes."""
        return next((place for place, kinds in enumerate(TIERS) if self.kind in kinds), None)


class NamespaceChange(_Strict):
    """What a workspace may change of a shipped namespace: the same keys, none of them needed."""

    kind: Kind | None = None
    normaliser: str | None = None
    strength: int | None = Field(default=None, ge=1, le=100)
    sensitive: bool | None = None
    unique: int | None = Field(default=None, ge=1, le=10_000)
    fan_out: int | None = Field(default=None, ge=1, le=10_000)
    at_most: tuple[HolderLimit, ...] | None = None
    carriers: int | None = Field(default=None, ge=1, le=1_000_000)
    window_days: int | None = Field(default=None, ge=1, le=36_500)
    when_exceeded: Exceeded | None = None
    corroborate: Literal["full_name"] | None = None
    block: BlockList | None = None
    unblock: tuple[str, ...] | None = None


class NameRules(_Strict):
    """Which names may be held against one another."""

    legal_sources: tuple[str, ...] = ()
    surnames: str = ""
    compound_surnames: tuple[str, ...] = ()
    max_share: float | None = Field(default=None, gt=0, le=1)
    placeholders: tuple[str, ...] = ()


# Attributes of trusted.customers of which a person has one.
ATTRIBUTES = (
    "full_name", "gender", "birth_date", "citizenship", "residence_country", "residence_city", "registered_city",
    "occupation", "education", "income_band", "marital_state", "deceased_on",
)  # fmt: skip
Question = Literal["verified", "source_priority", "most_recent", "most_frequent"]


class GoldenRules(_Strict):
    """Which statement about a person survives: questions in their order, for all attributes or for single ones."""

    by: tuple[Question, ...] = ("verified", "source_priority", "most_recent", "most_frequent")
    sources: tuple[str, ...] = ()
    attributes: dict[str, tuple[Question, ...]] = Field(default_factory=dict)

    def order_of(self, attribute: str) -> tuple[Question, ...]:
        """Give the questions an attribute's statements are asked."""
        return self.attributes.get(attribute, self.by)


class RulesFile(_Strict):
    """The file as written."""

    extends: Literal["china", "nothing"] = "china"
    namespaces: dict[str, NamespaceChange] = Field(default_factory=dict)
    block: BlockList = Field(default_factory=BlockList)
    names: NameRules = Field(default_factory=NameRules)
    disagree: tuple[Literal["full_name", "birth_date", "gender"], ...] | None = None
    contacts_from_age: int | None = Field(default=None, ge=0, le=30)
    never_merge: tuple[NeverMerge, ...] | None = None
    largest_person: LargestPerson | None = None
    golden: GoldenRules | None = None


class Rules(_Strict):
    """The rules in force: shipped ones with the workspace's changes."""

    namespaces: dict[str, NamespaceRule]
    block: BlockList
    names: NameRules
    disagree: tuple[str, ...]
    contacts_from_age: int
    never_merge: tuple[NeverMerge, ...] = ()
    largest_person: LargestPerson = Field(default_factory=LargestPerson)
    golden: GoldenRules = Field(default_factory=GoldenRules)

    def rule(self, namespace: str) -> NamespaceRule | None:
        """Give the rule of a concrete namespace: its own, else that of the pattern ``name@*``."""
        return self.namespaces.get(namespace) or self.namespaces.get(
            f"{namespace.split('@')[0]}@*" if "@" in namespace else ""
        )

    def tiers_of(self, namespaces: list[str]) -> list[int]:
        """Give each concrete namespace's place in the order of evidence, -1 for what never joins."""
        rules = [self.rule(name) for name in namespaces]
        return [-1 if rule is None or rule.tier is None else rule.tier for rule in rules]

    def matches(self, pattern: str, namespace: str) -> bool:
        """Tell whether a concrete namespace is meant by a name or a pattern ``name@*``."""
        return pattern == namespace or (pattern.endswith("@*") and namespace.startswith(pattern[:-1]))

    @cached_property
    def version(self) -> str:
        """Short hash of everything that decides who is joined; equal rules have equal versions."""
        deciding = self.model_dump(mode="json", exclude={"golden"})
        text = json.dumps([_CODE_VERSION, deciding], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_rules(settings: Settings) -> Rules:
    """Give the rules of a workspace (see ``read_rules``)."""
    return read_rules(settings.workspace / FILE_NAME)


def read_rules(file: Path) -> Rules:
    """Give the rules of an ``identity.yml``; where there is none, the shipped ones.

    Unknown keys, normalisers and namespaces, wrong patterns and absurd limits raise ``SettingsInvalid`` with
    file, line and the nearest known name.
    """
    return _read(file, base=shipped_rules()) if is_there(file) else shipped_rules()


@cache
def shipped_rules() -> Rules:
    """Give the rules of a workspace that has none of its own."""
    return _read(DEFAULTS, base=None)


def _read(file: Path, *, base: Rules | None) -> Rules:
    tree = load_yaml(file)
    content = parse_model(RulesFile, tree, file=file)
    inherited = base if base is not None and content.extends == "china" else None
    namespaces: dict[str, NamespaceRule] = dict(inherited.namespaces) if inherited else {}
    for name, change in content.namespaces.items():
        line = line_of(tree, "namespaces", name)
        if not _NAMESPACE.match(name):
            raise SettingsInvalid(
                f"'{name}' is no namespace; write one like phone or openid@*", file=file, line=line
            )
        if change.normaliser is not None and change.normaliser not in NORMALISERS:
            where = line_of(tree, "namespaces", name, "normaliser")
            hint = did_you_mean(change.normaliser, list(NORMALISERS))
            raise SettingsInvalid(f"unknown normaliser '{change.normaliser}'{hint}", file=file, line=where)
        base_rule = namespaces.get(name) or (
            namespaces.get(f"{name.split('@')[0]}@*") if "@" in name else None
        )
        if base_rule is None and change.kind is None:
            hint = did_you_mean(name, list(namespaces))
            raise SettingsInvalid(f"'{name}' is not shipped, so it needs a kind{hint}", file=file, line=line)
        namespaces[name] = _with_changes(base_rule, change)
    rules = Rules(
        namespaces=namespaces,
        block=_join_lists(inherited.block if inherited else BlockList(), content.block),
        names=NameRules(
            legal_sources=content.names.legal_sources,
            surnames="".join(
                dict.fromkeys(
                    "".join([inherited.names.surnames if inherited else "", *content.names.surnames.split()])
                )
            ),
            compound_surnames=(
                *(inherited.names.compound_surnames if inherited else ()),
                *content.names.compound_surnames,
            ),
            max_share=content.names.max_share or (inherited.names.max_share if inherited else None),
            placeholders=(*(inherited.names.placeholders if inherited else ()), *content.names.placeholders),
        ),
        contacts_from_age=next(
            (
                age
                for age in (content.contacts_from_age, inherited.contacts_from_age if inherited else None)
                if age is not None
            ),
            0,
        ),
        disagree=content.disagree
        if content.disagree is not None
        else (inherited.disagree if inherited else ()),
        never_merge=content.never_merge
        if content.never_merge is not None
        else (inherited.never_merge if inherited else ()),
        largest_person=content.largest_person or (inherited.largest_person if inherited else LargestPerson()),
        golden=content.golden or (inherited.golden if inherited else GoldenRules()),
    )
    _check(rules, tree, file)
    return rules


def _with_changes(base: NamespaceRule | None, change: NamespaceChange) -> NamespaceRule:
    values: dict[str, Any] = base.model_dump() if base else {}
    changes = {k: v for k, v in change.model_dump(exclude_unset=True).items() if k != "block"}
    values |= changes
    block = _join_lists(base.block if base else BlockList(), change.block or BlockList())
    freed = set(values.get("unblock", ()))
    values["block"] = BlockList(
        exact=tuple(v for v in block.exact if v not in freed),
        patterns=tuple(p for p in block.patterns if p not in freed),
    ).model_dump()
    return NamespaceRule.model_validate(values)


def _join_lists(first: BlockList, second: BlockList) -> BlockList:
    return BlockList(
        exact=tuple(dict.fromkeys([*first.exact, *second.exact])),
        patterns=tuple(dict.fromkeys([*first.patterns, *second.patterns])),
    )


def _check(rules: Rules, tree: Any, file: Path) -> None:
    """Look for names that mean nothing; each complaint carries the line it stands on."""
    sections_as_written = plain(tree.get("namespaces") or {}) if isinstance(tree, dict) else {}
    names = [*rules.namespaces, *FACTS]
    for name, body in sections_as_written.items():
        rule = rules.namespaces[name]
        for place, limit in enumerate(rule.at_most if body.get("at_most") else ()):
            line = line_of(tree, "namespaces", name, "at_most", place)
            if bool(limit.any) == bool(limit.each):
                raise SettingsInvalid(
                    "a limit names either 'any: [...]' or 'each: ...'", file=file, line=line
                )
            for target in (*limit.any, *([limit.each] if limit.each else [])):
                if target not in names or (limit.any and target in FACTS):
                    raise SettingsInvalid(
                        f"limit on an unknown namespace '{target}'{did_you_mean(target, names)}",
                        file=file,
                        line=line,
                    )
                holder_rule = rules.namespaces.get(target)
                if (
                    holder_rule is not None
                    and rule.tier is not None
                    and (holder_rule.tier is None or holder_rule.tier >= rule.tier)
                ):
                    raise SettingsInvalid(
                        f"'{name}' cannot be limited by '{target}': only stronger kinds of evidence count its holders",
                        file=file,
                        line=line,
                    )
        for place, pattern in enumerate((body.get("block") or {}).get("patterns") or ()):
            _check_pattern(pattern, file, line_of(tree, "namespaces", name, "block", "patterns", place))
    _check_people(rules, tree, file)
    sections = plain(tree) if isinstance(tree, dict) else {}
    for keys in (("block", "patterns"), ("names", "placeholders")):
        for place, pattern in enumerate((sections.get(keys[0]) or {}).get(keys[1]) or ()):
            _check_pattern(pattern, file, line_of(tree, *keys, place))


def _check_people(rules: Rules, tree: Any, file: Path) -> None:
    sizes = rules.largest_person
    if sizes.stop_above < sizes.cut_above:
        raise SettingsInvalid(
            f"'stop_above' ({sizes.stop_above}) is below 'cut_above' ({sizes.cut_above}): nothing would ever be cut",
            file=file,
            line=line_of(tree, "largest_person"),
        )
    for name in rules.golden.attributes:
        if name not in ATTRIBUTES:
            raise SettingsInvalid(
                f"'{name}' is no attribute of a golden record{did_you_mean(name, list(ATTRIBUTES))}",
                file=file,
                line=line_of(tree, "golden", "attributes", name),
            )
    for place, never in enumerate(rules.never_merge):
        line = line_of(tree, "never_merge", place)
        if bool(never.namespace) == bool(never.source):
            raise SettingsInvalid(
                "a never_merge entry names either 'namespace: ...' or 'source: ...'", file=file, line=line
            )
        names = list(rules.namespaces)
        if never.namespace and never.namespace not in names and rules.rule(never.namespace) is None:
            raise SettingsInvalid(
                f"never_merge on an unknown namespace '{never.namespace}'{did_you_mean(never.namespace, names)}",
                file=file,
                line=line,
            )


def _check_pattern(pattern: str, file: Path, line: int | None) -> None:
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid:
        raise SettingsInvalid(
            f"'{pattern}' is no regular expression in RE2's syntax (it has no back-references)",
            file=file,
            line=line,
        ) from None
