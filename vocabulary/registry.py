"""The registry: every tag's meaning, read from the folder of the shipped registry and the workspace's ``tags``.

Reading must stay cheap (``cdp tags list`` answers in under a second), so files are parsed by the C loader and
only a faulty file is read again with line numbers. No Spark, pandas, dbt or sqlglot is imported here.
"""

from __future__ import annotations

import copy
import datetime as dt
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.expressions.clocks import is_clock
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.yaml_files import (
    did_you_mean,
    line_of,
    load_plain_yaml,
    load_yaml,
    nearest,
    parse_model,
)
from vocabulary.entities import PERSON, TAG_ENTITIES, Entity, fault_of_entity
from vocabulary.packs import OFF, Absence, PackOff, PackTag, absences, grouped_needs, packs_off, require_need
from vocabulary.reserved_names import fault_of_name

Status = Literal["draft", "review", "online", "deprecated", "offline"]
Reason = Literal["unknown", "not_applicable", "late", "expired"]
Scalar = bool | int | Decimal | dt.date | str
COMPUTED_STATUSES = ("online", "deprecated")
"""The statuses of entries that nights compute, where they are not off."""

HELPERS = "measure"
"""The family of the tags that others are made of."""
MOST_LETTERS = 200
"""Of a code, a name or words that are looked for."""


def plain_text(text: str) -> str:
    """Give a text without differences of width and case: ``ＡＵＭ`` is ``aum``."""
    return unicodedata.normalize("NFKC", text).casefold()


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Bilingual(_Strict):
    """A name in Chinese and English, one line each."""

    zh: str
    en: str

    @field_validator("zh", "en")
    @classmethod
    def _says_something(cls, value: str) -> str:
        return written_text(value)


class Definition(Bilingual):
    """What a tag means, in Chinese and English; it may have several lines."""

    @field_validator("zh", "en")
    @classmethod
    def _says_something(cls, value: str) -> str:
        written_text(value.replace("\n", " "))
        return value


def written_text(text: str) -> str:
    """Give a text that people read as it is; ``ValueError`` for one that is empty or has signs that nobody sees."""
    if not text.strip():
        raise ValueError("is empty; write what people shall read")
    for sign in text:
        # Of format signs only those that turn the direction of what follows; others are part of words.
        if unicodedata.category(sign) == "Cc" or sign in _DIRECTIONS:
            raise ValueError(f"has the control character U+{ord(sign):04X}, which nobody sees; take it out")
    return text


_DIRECTIONS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)))


class Value(_Strict):
    """What an answer looks like; money is decimal(18,2), a ratio decimal(18,6).

    ``scale`` are the digits after the point to which answers are rounded (HALF_UP), where they are fewer than those of the type.
    """

    type: Literal["string", "int", "boolean", "decimal", "ratio", "date"]
    domain: list[str] | None = None
    min: Decimal | None = None
    max: Decimal | None = None
    scale: int | None = None
    unit: str | None = None
    cardinality: Literal["single", "set"] = "single"

    @model_validator(mode="before")
    @classmethod
    def _numbers_have_a_range(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and tree.get("type") in ("int", "decimal", "ratio") and tree.get("domain"):
            raise ValueError(
                f"a value of type {tree['type']} has no 'domain', which lists texts; write 'min' and 'max', or 'type: string'"
            )
        return tree

    @model_validator(mode="after")
    def _makes_sense(self) -> Value:
        kind, low, high = self.type, self.min, self.max
        if kind not in _NUMBER_TYPES and (low is not None or high is not None):
            raise ValueError(
                f"a value of type {kind} has no 'min' and 'max', which are of numbers; take them out"
            )
        if self.domain is not None:
            if kind != "string":
                raise ValueError(f"a value of type {kind} has no 'domain', which lists texts; take it out")
            if not self.domain:
                raise ValueError("an empty 'domain' allows nothing; list its values or take it out")
            if twice := next((v for at, v in enumerate(self.domain) if v in self.domain[:at]), None):
                raise ValueError(f"'{twice}' stands twice in the 'domain'; write it once")
        if low is not None and high is not None and low > high:
            raise ValueError(f"'min' {low} is above 'max' {high}; no value lies between them")
        for name, bound in (("min", low), ("max", high)):
            if kind == "int" and bound is not None and bound != bound.to_integral_value():
                raise ValueError(f"'{name}' {bound} of a value of type int is no whole number")
        if self.scale is not None and not 0 <= self.scale <= _SCALES.get(kind, -1):
            digits = _SCALES.get(kind)
            what = (
                f"0 to {digits} digits"
                if digits
                else "no 'scale', which is of decimal and ratio; take it out"
            )
            raise ValueError(f"a value of type {kind} has {what}")
        if self.scale is not None and self.cardinality == "set":
            raise ValueError("a set has no 'scale', to which single values are rounded; take it out")
        if kind == "boolean" and self.cardinality == "set":
            raise ValueError(
                "a set of yes and no says nothing; write 'cardinality: single' or 'type: string'"
            )
        return self

    @property
    def spark_type(self) -> str:
        """The column's Spark SQL type."""
        scalar = {"decimal": "decimal(18,2)", "ratio": "decimal(18,6)"}.get(self.type, self.type)
        return f"array<{scalar}>" if self.cardinality == "set" else scalar

    @property
    def rounded_type(self) -> str | None:
        """The Spark SQL type that has the digits of ``scale`` and no others; None where answers are not rounded further."""
        most = _SCALES.get(self.type)
        if most is None or self.scale is None or self.scale == most:
            return None
        return f"decimal({18 - most + self.scale},{self.scale})"


_NUMBER_TYPES = ("int", "decimal", "ratio")
# The most digits after the point of the types that have some.
_SCALES = {"decimal": 2, "ratio": 6}


class CutPoints(_Strict):
    """Quantiles of a published tag over a population, computed on the first night of a period and kept until the next.

    Of *n* people with a value the cut point of a quantile *q* is the value of the one at place *q* times *n*, rounded up.
    """

    of: str
    quantiles: Annotated[
        list[Annotated[Decimal, Field(gt=0, lt=1, decimal_places=4)]], Field(min_length=1, max_length=100)
    ]
    population: str | None = None
    frozen: Literal["month", "quarter", "year"]

    @property
    def summary(self) -> str:
        """What is measured, as ``tags.cut_points`` keeps it."""
        quantiles = ", ".join(format(q, "f") for q in self.quantiles)
        where = f" where {self.population}" if self.population else ""
        return f"{self.of} at {quantiles} by {self.frozen}{where}"


def _number_text(value: object) -> object:
    """Give a number as its text, as it stands in an expression; a flag, which YAML's words are too, stays what it is."""
    return str(value) if isinstance(value, int | Decimal | float) and not isinstance(value, bool) else value


# A number, or an expression such as a parameter.
Threshold = Annotated[str, BeforeValidator(_number_text, json_schema_input_type=str | int | float)]


def _refuse_clock(value: object) -> None:
    """Raise ``ValueError`` for a text that Spark reads as the clock where a day is meant, alone or in a list."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and is_clock(text):
            raise ValueError(
                f"'{text}' is the clock of the machine to Spark; the business date is the only clock"
            )


class Param(_Strict):
    """A threshold with the day it takes effect; several of one name follow one another.

    With ``cut_points`` it is a list of numbers, and ``value`` what counts while there is nothing to compute them from.
    """

    name: str
    value: Scalar | list[Decimal] | list[str]
    since: dt.date = dt.date(1900, 1, 1)
    why: str | None = None
    cut_points: CutPoints | None = None

    @field_validator("value", mode="before")
    @classmethod
    def _one_kind(cls, value: object) -> object:
        kinds = {isinstance(part, str) for part in value} if isinstance(value, list) else {True}
        if len(kinds) != 1:
            raise ValueError("a list is of numbers or of texts, and has one at least")
        return value

    @field_validator("value")
    @classmethod
    def _no_clock(cls, value: Scalar | list[Decimal] | list[str]) -> Scalar | list[Decimal] | list[str]:
        _refuse_clock(value)
        return value

    @model_validator(mode="after")
    def _number_for_each_quantile(self) -> Param:
        spec = self.cut_points
        if spec is None:
            return self
        for name, entries in (("quantiles", spec.quantiles), ("value", self.value)):
            numbers = [n for n in entries if isinstance(n, Decimal)] if isinstance(entries, list) else []
            if not numbers or numbers != entries or numbers != sorted(numbers):
                raise ValueError(f"'{name}' of cut points is a list of numbers that do not fall")
        if len(self.value) != len(spec.quantiles):  # type: ignore[arg-type]
            raise ValueError(
                "'value' of cut points has a number for each quantile: what counts before the first night"
            )
        return self


class Declassified(_Strict):
    """Why an aggregate of more personal columns may carry a lower level."""

    to: Literal["C1", "C2"]
    why: str
    approver: str


class NullWhen(_Strict):
    """A condition over tags under which the value is null, and the reason recorded for it."""

    when: str
    reason: Reason


class Owner(_Strict):
    """Who answers for the meaning and who for the computation."""

    business: str
    tech: str


class Aggregate(_Strict):
    """A measure over the rows of one relation, grouped by person, or by the product, branch or employee that a tag is about.

    ``per`` divides: ``avg`` by the number of its distinct values (an average per month), ``ratio`` by its sum.
    ``at_least`` turns the measure into a yes or no. ``via`` names the look-up whose row belongs to the person.
    Over ``customer_tags`` it names the model that says which people belong to a product, branch or employee.
    ``mode`` takes the value with the greatest sum of ``of_weight`` (without it: with most rows), of several the one with
    more rows, then with the row that stands highest in ``order_by``, then the smallest. ``quantile`` is a share of the rows.
    ``trend`` is what ``trend_of`` says of the window over what it says of the one before, minus 1. Null where fewer than
    ``rows_at_least`` rows have a value, and where the earlier window has less than ``base_at_least``.
    """

    from_: str = Field(alias="from")
    measure: Literal[
        "sum",
        "count",
        "count_distinct",
        "min",
        "max",
        "avg",
        "ratio",
        "any",
        "set",
        "first",
        "last",
        "mode",
        "median",
        "quantile",
        "trend",
    ]
    of: str | None = None
    where: str | None = None
    window_days: Annotated[int, Field(ge=1)] | None = None
    months: Annotated[int, Field(ge=1)] | None = None
    per: str | None = None
    at_least: Threshold | None = None
    order_by: list[str] | None = None
    via: str | None = None
    of_weight: str | None = None
    quantile: Annotated[Decimal, Field(ge=0, le=1, decimal_places=4)] | None = None
    trend_of: Literal["sum", "count", "count_distinct", "min", "max"] | None = None
    base_at_least: Threshold | None = None
    rows_at_least: Threshold | None = None

    @model_validator(mode="after")
    def _complete(self) -> Aggregate:
        measure = self.measure
        counts = "count" in (measure, self.trend_of)
        if measure != "any" and not counts and not self.of:
            raise ValueError(f"measure '{measure}' needs 'of'")
        if measure == "ratio" and not self.per:
            raise ValueError("measure 'ratio' needs 'per', the sum it divides by")
        if self.window_days and self.months:
            raise ValueError("give either window_days or months")
        for key, wanting, meaning in _NEEDED:
            if measure in wanting and getattr(self, key) is None:
                raise ValueError(f"measure '{measure}' needs '{key}'{meaning}")
        for key, measures in _KEYS_OF_MEASURES.items():
            if getattr(self, key) is not None and measure not in measures:
                raise ValueError(f"measure '{measure}' has no '{key}'; it belongs to {', '.join(measures)}")
        if measure == "trend" and not (self.window_days or self.months):
            raise ValueError("measure 'trend' needs window_days or months, the windows it compares")
        return self

    @property
    def windows(self) -> int:
        """How many windows it looks back, one before the other."""
        return 2 if self.measure == "trend" else 1


_NEEDED = (
    ("order_by", ("first", "last"), ""),
    ("quantile", ("quantile",), ", a share such as 0.9"),
    ("trend_of", ("trend",), ", what it compares: sum, count, count_distinct, min or max"),
    ("base_at_least", ("trend",), ", the least that the earlier window must have to be divided by"),
)
_NUMBERS = ("sum", "count", "count_distinct", "min", "max", "avg", "ratio", "median", "quantile", "trend")
_KEYS_OF_MEASURES = {
    "per": ("avg", "ratio"),
    "at_least": _NUMBERS,
    "order_by": ("first", "last", "mode"),
    "of_weight": ("mode",),
    "quantile": ("quantile",),
    "trend_of": ("trend",),
    "base_at_least": ("trend",),
    "rows_at_least": ("min", "max", "avg", "mode", "median", "quantile"),
}


class Latest(_Strict):
    """The value of the row that stands highest in ``order_by``; ties end in the relation's key."""

    from_: str = Field(alias="from")
    of: str
    order_by: list[str]
    where: str | None = None
    via: str | None = None


class Case(_Strict):
    """One line of an ordered list: the first ``when`` that is true decides; the last may be ``else``."""

    when: str | None = None
    then: str | None = None
    otherwise: str | None = Field(default=None, alias="else")

    @model_validator(mode="after")
    def _one_form(self) -> Case:
        if (self.otherwise is None) == (self.when is None or self.then is None):
            raise ValueError("write either {when, then} or {else}")
        return self


class FromColumn(_Strict):
    """A column of a dbt model that has one row per person."""

    from_: str = Field(alias="from")
    of: str


class ModelScore(_Strict):
    """A score of a registered model."""

    name: str
    version: str


class Compute(_Strict):
    """Exactly one way to find the answer."""

    aggregate: Aggregate | None = None
    latest: Latest | None = None
    expression: str | None = None
    cases: list[Case] | None = None
    column: FromColumn | None = None
    model: ModelScore | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Compute:
        forms = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(forms) != 1:
            raise ValueError(f"needs exactly one of {', '.join(type(self).model_fields)}")
        if self.cases and any(case.otherwise is not None for case in self.cases[:-1]):
            raise ValueError("only the last of 'cases' may be 'else'")
        return self

    @property
    def kind(self) -> str:
        """The name of the form that was entries."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def relation(self) -> str | None:
        """The relation the answer is read from, if it is read from one."""
        form = self.aggregate or self.latest or self.column
        return form.from_ if form else None


class Entry(_Strict):
    """One tag: its meaning, its values, its nulls, and how it is computed."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    name: Bilingual
    definition: Definition
    family: str
    entity: str = "customer"
    kind: Literal["fact", "rule", "model"]
    value: Value
    null_rule: Annotated[str, Field(pattern=r"^(Z|U|NA|H\([1-9]\d*\)|NEVER)$")]
    null_when: list[NullWhen] = Field(default_factory=list)
    population: str | None = None
    default: Scalar | list[str] | None = None
    tie_rule: str | None = None
    level: Literal["C1", "C2", "C3"]
    declassified: Declassified | None = None
    purposes: list[str]
    params: list[Param] = Field(default_factory=list)
    inputs: list[str]
    compute: Compute | None = None
    refresh: Literal["nightly", "daily", "monthly"] = "nightly"
    max_staleness_days: Annotated[int, Field(ge=0)] = 2
    owner: Owner | str
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    status: Status
    history: bool | None = None
    replaces: str | None = None
    deprecated_on: dt.date | None = None
    pack: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] | None = None
    needs: list[str | list[str]] | None = None

    @field_validator("default")
    @classmethod
    def _no_clock(cls, default: Scalar | list[str] | None) -> Scalar | list[str] | None:
        _refuse_clock(default)
        return default

    @field_validator("code")
    @classmethod
    def _is_a_column(cls, value: str) -> str:
        if fault := fault_of_name(value):
            raise ValueError(fault)
        return value

    @field_validator("params")
    @classmethod
    def _one_value_a_day(cls, value: list[Param]) -> list[Param]:
        days: set[tuple[str, dt.date]] = set()
        for param in value:
            if (param.name, param.since) in days:
                since = f"since {param.since}" if "since" in param.model_fields_set else "without 'since'"
                raise ValueError(
                    f"the parameter '{param.name}' stands twice {since}; write the day from which each value counts"
                )
            days.add((param.name, param.since))
        return value

    @field_validator("needs")
    @classmethod
    def _possible_needs(cls, value: list[str | list[str]] | None) -> list[str | list[str]] | None:
        for group in grouped_needs(value) or ():
            if not group:
                raise ValueError("an empty list of needs says nothing; take it out")
            for need in group:
                require_need(need)
        return value

    @model_validator(mode="after")
    def _needs_what_it_reads(self) -> Entry:
        for need in (need for group in grouped_needs(self.needs) or () for need in group):
            if need.startswith("tag:") and need not in self.inputs:
                raise ValueError(f"'needs' names {need}, which 'inputs' does not list")
        return self

    @property
    def of_pack(self) -> PackTag:
        """What decides whether the tag is off in a workspace."""
        over_people = self.compute is not None and self.compute.relation == PERSON.wide_model
        return PackTag(self.code, self.pack, tuple(self.inputs), grouped_needs(self.needs), over_people)

    @field_validator("entity")
    @classmethod
    def _is_an_entity(cls, value: str) -> str:
        if fault := fault_of_entity(value):
            raise ValueError(fault)
        return value

    @property
    def about(self) -> Entity:
        """The entity that it is about."""
        return TAG_ENTITIES[self.entity]

    @property
    def is_helper(self) -> bool:
        """Whether it is a building block of shipped tags, and none of the tags that were asked for."""
        return self.family == HELPERS

    @property
    def default_reason(self) -> str | None:
        """The reason a null has when nothing else is recorded; None where a null is an exception."""
        return {"U": "unknown", "NA": "not_applicable", "H": "unknown"}.get(self.null_rule.split("(")[0])

    @property
    def tag_inputs(self) -> list[str]:
        """Codes of the tags this one reads."""
        return [text.removeprefix("tag:") for text in self.inputs if text.startswith("tag:")]

    @property
    def column_inputs(self) -> list[str]:
        """Columns (``trusted.table.column``) this tag reads."""
        return [text for text in self.inputs if not text.startswith(("tag:", "param:"))]


@dataclass(frozen=True)
class Place:
    """Where an entry stands; ``line`` of a key is looked up only when something has to be said about it."""

    file: Path
    index: int

    def line(self, *keys: str | int) -> int | None:
        """Give the line of a key below the entry, or of the entry."""
        return line_of(load_yaml(self.file), "tags", self.index, *keys)


@dataclass(frozen=True)
class Registry:
    """All entries in the order of the files, each with the places it was written at (last one decides)."""

    entries: dict[str, Entry]
    places: dict[str, Place]
    site: frozenset[str] = field(default_factory=frozenset)
    absences: Mapping[str, Absence] = field(default_factory=dict)
    """Why tags that are online are not computed in this workspace, by code."""

    def __getitem__(self, code: str) -> Entry:
        if code not in self.entries:
            raise SettingsInvalid(f"there is no tag '{code}'{did_you_mean(code, list(self.entries))}")
        return self.entries[code]

    def entry_of(self, text: str) -> Entry:
        """Give the entry of a code or of a name in either language; an unknown one raises with the nearest of both.

        Several tags of one name raise ``UsageError`` with their codes.
        """
        if text in self.entries:
            return self.entries[text]
        plain = plain_text(text).strip()
        matches = [
            e for e in self.entries.values() if plain in map(plain_text, (e.code, e.name.zh, e.name.en))
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            codes = ", ".join(entry.code for entry in matches)
            raise UsageError(f"several tags are called '{text}'; say which by its code: {codes}")
        names = [name for e in self.entries.values() for name in (e.code, e.name.zh, e.name.en)]
        if len(text) > MOST_LETTERS:
            raise UsageError(f"a tag's code or name has at most {MOST_LETTERS} letters, not {len(text):,}")
        hint = did_you_mean(text, names) if nearest(text, names) else did_you_mean(text, list(self.entries))
        raise UsageError(f"there is no tag '{text}'{hint}")

    def online(self, about: Entity | None = None) -> list[Entry]:
        """Give the entries that are computed, of all entities or of one, in registry order."""
        return [
            entry
            for entry in self.entries.values()
            if self.status_of(entry) in COMPUTED_STATUSES and about in (None, entry.about)
        ]

    def packs_off(self) -> list[PackOff]:
        """Give the packs of which tags are off in this workspace, with what they lack."""
        pack_tags = [entry.of_pack for entry in self.entries.values() if entry.status in COMPUTED_STATUSES]
        return packs_off(pack_tags, self.absences)

    def status_of(self, entry: Entry) -> str:
        """Give the status of an entry in this workspace: its own, or ``off``."""
        return OFF if entry.code in self.absences else entry.status

    def fault(self, code: str, message: str, *keys: str | int) -> SettingsInvalid:
        """Give an error that names the file and line of a key of an entry."""
        place = self.places[code]
        return SettingsInvalid(message, file=place.file, line=place.line(*keys))


class _File(_Strict):
    family: str
    pack: str | None = None
    description: str | None = None
    tags: list[Entry]


def registry_files(shipped: Path, workspace: Path | None) -> Iterator[tuple[Path, bool]]:
    """Give the files of the registry in the order in which they count, and whether each is the workspace's own."""
    for folder, is_site in ((shipped, False), (workspace / "tags" if workspace else None, True)):
        for file in files_in(folder, "*.yml") if folder else ():
            yield file, is_site


def load_registry(workspace: Path | None = None, *, shipped: Path) -> Registry:
    """Read the registry in the folder ``shipped`` and, over it, the workspace's ``tags/*.yml``.

    A workspace entry whose code is shipped replaces the keys it names and keeps the others; one with a new code
    stands by itself. Anything missing, unknown or entries twice raises ``SettingsInvalid`` with file and line.
    """
    raw: dict[str, dict[str, Any]] = {}
    places: dict[str, Place] = {}
    site: set[str] = set()
    for file, is_site in registry_files(shipped, workspace):
        for index, tree in _entries(file):
            code = _code(tree, file, index)
            if code in (site if is_site else raw):
                raise SettingsInvalid(
                    f"the tag '{code}' stands twice: also in {places[code].file.name}, line {places[code].line()}",
                    file=file,
                    line=Place(file, index).line(),
                )
            raw[code] = {**raw.get(code, {}), **tree}
            places[code] = Place(file, index)
            if is_site:
                site.add(code)
    entries = _validated(raw, places)
    pack_tags = [entry.of_pack for entry in entries.values() if entry.status in COMPUTED_STATUSES]
    return Registry(entries, places, frozenset(site), absences(pack_tags, workspace))


def _entries(file: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    tree = load_plain_yaml(file)
    keys = list(_File.model_fields)
    if not isinstance(tree, dict) or not isinstance(tree.get("tags"), list) or not tree.get("family"):
        raise SettingsInvalid("a tag file has the keys 'family' and 'tags' (a list)", file=file, line=1)
    for key in tree:
        if key not in keys:
            line = line_of(load_yaml(file), key)
            raise SettingsInvalid(f"unknown key '{key}'{did_you_mean(key, keys)}", file=file, line=line)
    for index, entry in enumerate(tree["tags"]):
        if not isinstance(entry, dict):
            raise SettingsInvalid("a tag is a mapping", file=file, line=Place(file, index).line())
        yield index, {"family": tree["family"], **_pack_of(tree), **entry}


def _pack_of(tree: dict[str, Any]) -> dict[str, Any]:
    """Give the pack that a file says for all of its entries."""
    return {"pack": tree["pack"]} if tree.get("pack") else {}


def _code(tree: dict[str, Any], file: Path, index: int) -> str:
    code = tree.get("code")
    if not isinstance(code, str):
        raise SettingsInvalid("key 'code' is missing", file=file, line=Place(file, index).line())
    return code


def _validated(raw: dict[str, dict[str, Any]], places: dict[str, Place]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for code, tree in raw.items():
        try:
            entries[code] = Entry.model_validate(tree)
        except ValidationError:
            _explain(tree, places[code])
            raise
    return entries


def _explain(tree: dict[str, Any], place: Place) -> None:
    """Raise the located error of a faulty entry: from its own lines where they hold the fault."""
    entry = copy.deepcopy(load_yaml(place.file)["tags"][place.index])
    for key, value in tree.items():
        if key not in entry:
            entry[key] = value
    parse_model(Entry, entry, file=place.file)
