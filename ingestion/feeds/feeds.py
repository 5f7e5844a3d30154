"""Feeds: what a YAML file says about one kind of delivered file, checked without Spark, with file and line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ingestion.feeds.control import Control
from ingestion.feeds.exact_translation import LIST, ExactTranslator
from ingestion.feeds.feed_lookups import LookupUse, lookup_uses_of
from ingestion.feeds.limits import Limits
from ingestion.feeds.translation import BOOL, DATE, INSTANT, LONG, NULL, STRING
from lakehouse.contracts.contract import Contract
from lakehouse.contracts.reading import contract, contract_names
from lakehouse.errors import SettingsInvalid
from lakehouse.expressions.expression import Expression, parse_expression, unknown_column
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.expressions.tokens import ExpressionInvalid
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_yaml, parse_model
from vocabulary.attributes import ATTRIBUTES, ENTITIES, PROPERTIES, Attributes, read_attributes
from vocabulary.lookups import LookupInvalid, Lookups, read_lookups

# Columns every expression may read beside the delivered ones.
GIVEN = ("_file", "_row", "_business_date")
PIPELINE = {*GIVEN, "_feed", "_arrived_on", "_extra", "_problem", "_raw", "_night"}
DEFAULT_DEDUPE_DAYS = 7
# How a sentence names what an expression gives.
WORDS_OF_KINDS = {STRING: "a text", DATE: "a day", INSTANT: "an instant", LIST: "a list"}
DATE_MARKS = ("{date}", "{yyyymmdd}")
REFUSED_LEVEL = "C3"
# Of so many the records take 1 GB to judge; their number hardly matters to it.
MOST_ATTRIBUTES = 1_000


def _as_sql(value: Any) -> Any:
    """YAML's own true, 1 and 1.5 are meant as the SQL of the same look."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


Sql = Annotated[str, BeforeValidator(_as_sql), Field(min_length=1)]

# What stands for the business date in a condition on a source.
BUSINESS_DATE = "{date}"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Files(_Strict):
    """Where the files lie below the inbox; ``{date}`` and ``{yyyymmdd}`` stand for the business date.

    With ``member`` they are zip or tar archives (.gz, .bz2, .xz too), and each matching member is a file of its own.
    """

    path: str = Field(min_length=1)
    member: str | None = Field(default=None, min_length=1)
    business_date: date | None = None

    @model_validator(mode="after")
    def _dated(self) -> Files:
        for key, text in (("path", self.path), ("member", self.member or "")):
            unknown = set(re.findall(r"\{([^}]*)\}", text)) - {"date", "yyyymmdd"}
            if unknown:
                raise ValueError(f"{key} knows {{date}} and {{yyyymmdd}}, not {{{sorted(unknown)[0]}}}")
        if not self.has_date and self.business_date is None:
            raise ValueError("a path without {date} or {yyyymmdd} needs 'business_date'")
        return self

    @property
    def member_has_date(self) -> bool:
        """Whether the member's name says the business date."""
        return any(mark in (self.member or "") for mark in DATE_MARKS)

    @property
    def has_date(self) -> bool:
        """Whether the path or the member itself says the business date."""
        return self.member_has_date or any(mark in self.path for mark in DATE_MARKS)


class DeltaTable(_Strict):
    """A Delta table of another system: its folder or URI, rows as of the night that reads it."""

    path: str = Field(min_length=1)
    version: int | None = Field(default=None, ge=0)
    where: Sql | None = None


class JdbcTable(_Strict):
    """A table of a database; the password comes from the secret ``password_secret``, never from the YAML."""

    url: str = Field(pattern=r"^jdbc:[a-z0-9]+:")
    table: str = Field(pattern=r"""^(\w+|"[^"\x00-\x1f]+")(\.(\w+|"[^"\x00-\x1f]+")){0,2}$""")
    where: Sql | None = None
    user: str | None = None
    password_secret: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]*$")
    driver: str | None = None
    fetch_rows: int = Field(default=10_000, ge=1)


class Extract(_Strict):
    """A table to read instead of a delivered file: each night it is written to the inbox once, as Parquet.

    In ``where`` (SQL of the source) ``{date}`` stands for the business date.
    """

    delta: DeltaTable | None = None
    jdbc: JdbcTable | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Extract:
        if (self.delta is None) == (self.jdbc is None):
            raise ValueError("extract reads either 'delta' or 'jdbc'")
        return self


class Format(_Strict):
    """How records are written. Compression follows from the file's suffix (.gz)."""

    type: Literal["csv", "json_lines", "parquet"] = "csv"
    separator: str = ","
    quote: str | None = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    line_end: Literal["required", "optional"] = "required"

    @field_validator("separator")
    @classmethod
    def _one_sign(cls, value: str) -> str:
        value = {"tab": "\t", "\\t": "\t"}.get(value, value)
        if len(value) != 1:
            raise ValueError('separator is one sign; write "\\t" or tab for a tab')
        return value

    @field_validator("quote", "escape")
    @classmethod
    def _one_or_none(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and len(value) != 1:
            raise ValueError(f"{info.field_name} is one sign, or null for none")
        return value or None

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        import codecs

        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError(f"unknown encoding '{value}'; usual are utf-8, gb18030, latin-1") from None
        return value


class Volume(_Strict):
    """How far the records of a delivery may be from the median of the last ones."""

    factor: float = Field(default=10, gt=1)
    deliveries: int = Field(default=14, ge=1, le=400)
    needs: int = Field(default=3, ge=1)
    from_records: int = Field(default=1000, ge=1)


class UnknownReferences(_Strict):
    """How many records of a night may refer to what is not known: from so many on, no more than this share."""

    ratio: float = Field(default=0.1, ge=0, lt=1)
    from_records: int = Field(default=1000, ge=1)


class Unreadable(_Strict):
    """What becomes of a value that an optional column cannot hold: it is left empty and counted, or refuses its record.

    ``refuse`` names columns of trusted tables, or all of them; above the share ``warn_above`` of records the night warns.
    """

    refuse: tuple[str, ...] | Literal["all"] = ()
    warn_above: float = Field(default=0.01, ge=0, le=1)


class RowRule(_Strict):
    """A reason to refuse a whole source row: ``refuse_when`` is true."""

    rule: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    refuse_when: Sql
    why: str = Field(min_length=1)


class Target(_Strict):
    """Which rows of a trusted table a source row becomes: one by ``columns``, several by ``each``, or one of each attribute.

    ``attributes`` are those of an ``entity`` under its ``key``; a list names delivered columns that are called as the attributes are.
    """

    table: str
    where: Sql | None = None
    entity: str | None = None
    key: Sql | None = None
    attributes: dict[str, Sql] | None = None
    same_key: str | None = None
    dedupe_days: int | None = Field(default=None, ge=0, le=400)
    columns: dict[str, Sql] | None = None
    each: tuple[dict[str, Sql], ...] | None = None

    @field_validator("same_key")
    @classmethod
    def _policy(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"refuse|(first|last)( by \S.*)?", value):
            raise ValueError("same_key is refuse, first, last, first by <expression> or last by <expression>")
        return value

    @field_validator("attributes", mode="before")
    @classmethod
    def _by_code(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(code, str) for code in value):
            if len(set(value)) < len(value):
                raise ValueError("an attribute stands twice")
            return {code: code for code in value}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Target:
        if self.table == ATTRIBUTES:
            if not self.attributes or self.entity is None or self.key is None:
                raise ValueError(f"a target of {ATTRIBUTES} has 'entity', 'key' and 'attributes'")
            if self.columns is not None or self.each is not None:
                raise ValueError(f"a target of {ATTRIBUTES} has 'attributes', not 'columns' or 'each'")
            if self.entity in PROPERTIES:
                table, column = PROPERTIES[self.entity]
                raise ValueError(
                    f"the attributes of an {self.entity} are its properties; map {column} of {table} to the JSON that has them"
                )
            if self.entity not in ENTITIES:
                raise ValueError(
                    f"there is no entity '{self.entity}'{did_you_mean(self.entity, list(ENTITIES))}"
                )
            return self
        for name in ("entity", "key", "attributes"):
            if getattr(self, name) is not None:
                raise ValueError(f"'{name}' is for the table {ATTRIBUTES}; write a target of its own for it")
        if (self.columns is None) == (self.each is None):
            raise ValueError("a target has either 'columns' or 'each'")
        if not (self.columns or self.each):
            raise ValueError("a target maps at least one column")
        if self.each is not None and self.same_key == "refuse":
            raise ValueError("same_key: refuse is for 'columns'; with 'each' write first or last")
        return self

    @property
    def entries(self) -> tuple[dict[str, str], ...]:
        """The mappings of the target, one for ``columns`` and for ``attributes``."""
        if self.attributes is not None:
            return ({"entity": f"'{self.entity}'", "entity_key": str(self.key), **self.attributes},)
        return self.each if self.each is not None else (self.columns or {},)

    def place(self, number: int, name: str) -> tuple[str | int, ...]:
        """Give where a column of the mapping ``number`` stands below the target."""
        if self.attributes is not None:
            return {"entity": ("entity",), "entity_key": ("key",)}.get(name, ("attributes", name))
        return ("columns", name) if self.each is None else ("each", number, name)


class Feed(_Strict):
    """One feed, as its YAML file says it; ``file`` is where it stands. Without targets it is landed only."""

    feed: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = Field(min_length=1)
    mode: Literal["snapshot", "delta", "events"]
    required: bool = False
    late_after_days: int | None = Field(default=None, ge=0, le=400)
    volume: Volume | Literal["any"] = Volume()
    unknown_references: UnknownReferences | Literal["any"] = UnknownReferences()
    order: int = 50
    extract: Extract | None = None
    files: Files
    format: Format = Format()
    control: Control | None = None
    decimals: Literal["refuse", "round"] = "refuse"
    unreadable: Unreadable = Unreadable()
    limits: Limits = Limits()
    columns: tuple[str, ...] = Field(min_length=1)
    exact_duplicates: Literal["drop", "keep"] = "drop"
    dedupe_days: int | None = Field(default=None, ge=0, le=400)
    row_rules: tuple[RowRule, ...] = ()
    targets: tuple[Target, ...]
    _file: Path = PrivateAttr(default=Path("feed.yml"))
    _tree: Any = PrivateAttr(default=None)
    _attributes: Attributes = PrivateAttr(default_factory=Attributes)
    _lookups: Lookups = PrivateAttr(default_factory=Lookups)
    _lookup_uses: dict[str, LookupUse] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _place_extract(cls, value: Any) -> Any:
        """State where an extracted table lies: in the inbox, as Parquet; the feed cannot choose that."""
        if not isinstance(value, dict) or value.get("extract") is None:
            return value
        for key in ("files", "format"):
            if key in value:
                raise ValueError(
                    f"with 'extract' the feed has no '{key}': the table is written to the inbox as Parquet"
                )
        path = f"{value.get('feed')}/{{date}}/extract.parquet"
        return {**value, "files": {"path": path}, "format": {"type": "parquet"}}

    @field_validator("columns", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        return (
            [str(v) if isinstance(v, (int, float)) else v for v in value]
            if isinstance(value, list)
            else value
        )

    def may_be_empty(self, table: Contract, column: str) -> bool:
        """Tell whether a value that the column cannot hold is left empty; else it refuses its record."""
        columns = self.unreadable.refuse
        return table.is_attribute(column) and columns != "all" and column not in columns

    @property
    def file(self) -> Path:
        """The YAML file of the feed."""
        return self._file

    @property
    def landing_table(self) -> str:
        """The table that keeps the rows as delivered."""
        return f"landing.{self.feed}"

    @property
    def tables(self) -> tuple[str, ...]:
        """The trusted tables the feed fills, each once, in the order of the file."""
        return tuple(dict.fromkeys(target.table for target in self.targets))

    def contract(self, table: str) -> Contract:
        """Give the contract that the feed's records are mapped by: of attributes one with a column for each that it fills."""
        if table != ATTRIBUTES:
            return contract(table)
        about = contract(ATTRIBUTES)
        codes = {code: None for target in self.targets_of(ATTRIBUTES) for code in target.attributes or ()}
        columns = {name: about.columns[name] for name in ("source", "entity", "entity_key")}
        columns |= {code: self._attributes.by_code[code].column for code in codes}
        return replace(about, columns=columns, key=tuple(name for name in about.key if name in columns))

    @property
    def lookup_uses(self) -> Mapping[str, LookupUse]:
        """What the expressions of targets look up, by name, in the order of the file."""
        return self._lookup_uses

    @property
    def readable_columns(self) -> tuple[str, ...]:
        """The delivered columns, and behind them what is looked up for each record."""
        return (*self.columns, *self._lookup_uses)

    def with_lookup_columns(self) -> Feed:
        """Give the feed of records that have what they look up as further columns."""
        feed = self.model_copy(update={"columns": self.readable_columns})
        feed._lookup_uses = {}
        return feed

    def value_type(self, code: str) -> str:
        """Give the declared type of an attribute."""
        return self._attributes.by_code[code].type

    def targets_of(self, table: str) -> tuple[Target, ...]:
        """Give the targets that fill one table."""
        return tuple(target for target in self.targets if target.table == table)

    def fault(self, message: str, *path: str | int) -> SettingsInvalid:
        """Give the error that points at ``path`` in the feed's file."""
        return SettingsInvalid(message, file=self._file, line=line_of(self._tree, *path))

    def dedupe_window(self, table: str) -> int:
        """Give over how many days of arrivals key duplicates of a fact are looked for.

        Where the key holds the event date (balances), a later arrival restates the day and wins, so it is no
        duplicate unless the feed says so for the target.
        """
        days = next((t.dedupe_days for t in self.targets_of(table) if t.dedupe_days is not None), None)
        if days is not None:
            return days
        fact = contract(table)
        if fact.event_date in fact.key:
            return 0
        return DEFAULT_DEDUPE_DAYS if self.dedupe_days is None else self.dedupe_days


def has_feeds(workspace: Path) -> bool:
    """Tell whether a workspace has a feed at all."""
    return bool(files_in(Path(workspace) / "feeds", "*.yml"))


def load_feeds(workspace: Path) -> list[Feed]:
    """Give the feeds of a workspace in the order they are ingested; any fault raises ``SettingsInvalid``."""
    folder = Path(workspace) / "feeds"
    files = files_in(folder, "*.yml")
    if not files:
        raise SettingsInvalid(f"the workspace has no feeds; write one to {folder}/<feed>.yml")
    feeds: dict[str, Feed] = {}
    for file in files:
        feed = read_feed(file)
        if feed.feed in feeds:
            raise feed.fault(f"feed '{feed.feed}' is also named by {feeds[feed.feed].file.name}", "feed")
        feeds[feed.feed] = feed
    for feed in feeds.values():
        if feed.feed != feed.file.stem:
            raise feed.fault(
                f"the feed is named '{feed.feed}' but its file is {feed.file.name}; make them equal", "feed"
            )
    _check_attribute_feeds(feeds.values())
    _check_lookup_order(feeds.values())
    return sorted(feeds.values(), key=lambda feed: (feed.order, feed.feed))


def _check_attribute_feeds(feeds: Iterable[Feed]) -> None:
    """Refuse an attribute that two feeds of one source fill, and attributes of a table that no feed of the source fills."""
    tables: dict[str, set[str]] = {}
    for feed in feeds:
        tables.setdefault(feed.source, set()).update(feed.tables)
    feed_by_code: dict[tuple[str, str], Feed] = {}
    for feed in feeds:
        for at, target in enumerate(feed.targets):
            if target.attributes is None:
                continue
            table, path = ENTITIES[str(target.entity)][0], ("targets", at)
            if table not in tables[feed.source]:
                raise feed.fault(
                    f"no feed of the source '{feed.source}' fills {table}, so nobody would see these attributes; "
                    "give the feed the source that its key is of",
                    *path,
                    "entity",
                )
            for code in target.attributes:
                other = feed_by_code.setdefault((feed.source, code), feed)
                if other is not feed:
                    raise feed.fault(
                        f"the feed '{other.feed}' of the source '{feed.source}' fills the attribute '{code}' too; "
                        "one feed of a source states it",
                        *path,
                        "attributes",
                        code,
                    )


def _check_lookup_order(feeds: Iterable[Feed]) -> None:
    """Refuse a look-up in a table that is not filled before: what it finds would depend on chance, or on itself."""
    for feed in feeds:
        for one in feed.lookup_uses.values():
            tables = {*one.tables, *([ATTRIBUTES] if one.end.attribute else [])}
            source = one.end.path[0].source or feed.source
            for other in feeds:
                table = next((name for name in other.tables if name in tables), None)
                if table is None or other.source != source or other.order < feed.order:
                    continue
                what = "itself" if other is feed else f"the feed '{other.feed}'"
                raise feed.fault(
                    f"'{one.name}' is looked up in {table}, which {what} fills at order {other.order}; "
                    f"a feed looks up what feeds of a lower order than its own ({feed.order}) fill",
                    "targets",
                )


def read_feed(file: Path) -> Feed:
    """Give one feed, checked by itself, against the contracts of the tables it fills and what its workspace declares."""
    workspace = file.parent.parent
    return feed_of(load_yaml(file), file, read_attributes(workspace), read_lookups(workspace))


def feed_of(
    tree: Any, file: Path, attributes: Attributes | None = None, lookups: Lookups | None = None
) -> Feed:
    """Give the feed a YAML tree says, checked as ``read_feed`` does; ``file`` is the name errors carry."""
    if not isinstance(tree, dict):
        raise SettingsInvalid("the file holds no feed (keys and values are expected)", file=file)
    feed = parse_model(Feed, tree, file=file)
    feed._file, feed._tree, feed._attributes = file, tree, attributes or Attributes()
    feed._lookups = lookups or Lookups()
    _check_columns(feed)
    for at, rule in enumerate(feed.row_rules):
        _check_condition(feed, rule.refuse_when, f"row rule {rule.rule}", "row_rules", at, "refuse_when")
    _check_extract(feed)
    _check_control(feed)
    _check_unreadable(feed)
    rules = [rule.rule for rule in feed.row_rules]
    for at, rule_name in enumerate(rules):
        if rule_name in rules[:at]:
            raise feed.fault(f"row rule '{rule_name}' stands twice", "row_rules", at, "rule")
    count = sum(len(target.attributes or ()) for target in feed.targets)
    if count > MOST_ATTRIBUTES:
        at = next(at for at, target in enumerate(feed.targets) if target.attributes)
        raise feed.fault(
            f"the feed fills {count:,} attributes, more than {MOST_ATTRIBUTES:,}; let several feeds read the files, each some of them",
            "targets",
            at,
            "attributes",
        )
    for at, target in enumerate(feed.targets):
        _check_attributes(feed, target, at)
    for at, target in enumerate(feed.targets):
        _check_target(feed, target, at)
    for table in feed.tables:
        _check_together(feed, table)
    return feed


def key_policy(feed: Feed, table: str) -> tuple[Literal["refuse", "first", "last"], str | None]:
    """Give what happens to rows of one key: the policy and the expression that orders them, if any."""
    targets = feed.targets_of(table)
    same_key = next((t.same_key for t in targets if t.same_key), None)
    if same_key is None:
        several = len(targets) > 1 or targets[0].each is not None
        restated = feed.mode == "events" and contract(table).shape == "state"
        return ("last" if restated and not several else "first" if several else "refuse"), None
    policy, _, order = same_key.partition(" by ")
    return policy, (order.strip() or None)  # type: ignore[return-value]


def _check_columns(feed: Feed) -> None:
    names: dict[str, str] = {}
    for at, name in enumerate(feed.columns):
        if name.lower() in names:
            raise feed.fault(
                f"delivered column '{name}' stands twice (letters' case does not count)", "columns", at
            )
        if name.lower() in PIPELINE:
            raise feed.fault(f"'{name}' is the name of a pipeline column", "columns", at)
        names[name.lower()] = name


def _check_expression(feed: Feed, text: str, what: str, *path: str | int) -> Expression:
    if re.match(r"TODO\b", text):
        task = text[4:].strip(" :") or "an expression"
        raise feed.fault(f"{what} still waits for a person: write {task} in place of TODO", *path)
    try:
        expression = parse_expression(text)
    except ExpressionInvalid as wrong:
        raise feed.fault(f"the expression of {what} {wrong}", *path) from None
    readable = [*feed.readable_columns, *GIVEN]
    unknown = unknown_column(expression, readable)
    if unknown is not None:
        if unknown in feed.columns or any(c.lower() == unknown.lower() for c in feed.columns):
            hint = f"; write `{unknown}` in backticks"
        else:
            hint = did_you_mean(unknown, readable)
        raise feed.fault(
            f"the expression of {what} reads '{unknown}', which is no delivered column{hint}", *path
        )
    return expression


def _check_condition(feed: Feed, text: str, what: str, *path: str | int) -> None:
    """Refuse a condition that gives another value than true or false: one engine reads it as one, the other does not."""
    _check_expression(feed, text, what, *path)
    kinds = dict.fromkeys((name.lower() for name in feed.readable_columns), ("c", STRING))
    kinds |= {"_file": ("c", STRING), "_row": ("c", LONG), "_business_date": ("c", DATE)}
    try:
        kind = ExactTranslator(kinds).meaning(text).kind
    except Untranslatable:
        return
    if kind not in (BOOL, NULL):
        word = WORDS_OF_KINDS.get(kind, "a number")
        raise feed.fault(
            f"the expression of {what} gives {word}, not true or false; compare it with something", *path
        )


def _check_extract(feed: Feed) -> None:
    """Refuse a condition on a source that is no expression of the language; its columns are the source's."""
    if feed.extract is None:
        return
    kind = "delta" if feed.extract.delta is not None else "jdbc"
    where = (feed.extract.delta or feed.extract.jdbc).where  # type: ignore[union-attr]
    if where is not None:
        try:
            parse_expression(where.replace(BUSINESS_DATE, "2026-01-01"))
        except ExpressionInvalid as wrong:
            raise feed.fault(f"'where' of the source {wrong}", "extract", kind, "where") from None


def _check_control(feed: Feed) -> None:
    """Refuse a control that could not be found, or sums of columns that are not delivered."""
    control = feed.control
    if control is None:
        return
    if control.trailer is not None and feed.format.type != "csv":
        raise feed.fault(f"{feed.format.type} has no trailer; a control 'file' may lie beside", "control")
    if control.file is not None and feed.files.member is not None:
        raise feed.fault("no control file lies beside a member of an archive; use a trailer", "control")
    for column in control.sums:
        if column not in feed.columns:
            hint = did_you_mean(column, list(feed.columns))
            raise feed.fault(
                f"control sums '{column}', which is no delivered column{hint}", "control", "sums"
            )


def _check_unreadable(feed: Feed) -> None:
    """Refuse a name that no target maps: a typing mistake would leave empty what was to be refused."""
    names = sorted({name for target in feed.targets for entry in target.entries for name in entry})
    columns = feed.unreadable.refuse
    for at, name in enumerate(() if columns == "all" else columns):
        if name not in names:
            hint = did_you_mean(name, names)
            raise feed.fault(
                f"unreadable names '{name}', which no target maps{hint}", "unreadable", "refuse", at
            )


def _check_target(feed: Feed, target: Target, at: int) -> None:
    tables = contract_names("trusted")
    if target.table not in tables:
        raise feed.fault(
            f"unknown table '{target.table}'{did_you_mean(target.table, tables)}", "targets", at, "table"
        )
    filled_table = feed.contract(target.table)
    if target.where is not None:
        _look_up(feed, target, target.entries[0], target.where, ("targets", at, "where"))
        _check_condition(feed, target.where, f"'where' of {target.table}", "targets", at, "where")
    if target.same_key and " by " in target.same_key:
        order = target.same_key.split(" by ", 1)[1]
        _check_expression(feed, order, f"'same_key' of {target.table}", "targets", at, "same_key")
    if target.dedupe_days and filled_table.shape != "fact":
        raise feed.fault(
            f"dedupe_days is for facts; {target.table} keeps states", "targets", at, "dedupe_days"
        )
    for number in range(len(target.entries)):
        _check_entry(feed, filled_table, target, at, number)


def _check_attributes(feed: Feed, target: Target, at: int) -> None:
    """Refuse attributes that the site does not declare, or declares of another entity."""
    entity = str(target.entity)
    for code in target.attributes or ():
        path = ("targets", at, "attributes", code)
        one = feed._attributes.by_code.get(code)
        if one is None:
            hint = did_you_mean(code, sorted(feed._attributes.of_entity(entity)))
            raise feed.fault(f"no attributes.yml declares an attribute '{code}' of {entity}{hint}", *path)
        if one.entity != entity:
            raise feed.fault(f"'{code}' is an attribute of {one.entity}, not of {entity}", *path)


def _look_up(
    feed: Feed, target: Target, entry: Mapping[str, str], text: str, path: tuple[str | int, ...]
) -> None:
    """Keep what a text looks up; refuse a name that leads nowhere, or by other keys than the same name elsewhere in the feed."""
    table = ENTITIES[target.entity][0] if target.entity else target.table
    if target.entity:
        entry = {ENTITIES[target.entity][1]: entry["entity_key"]}
    try:
        uses = lookup_uses_of(
            table, entry, text, lookups=feed._lookups, attributes=feed._attributes, columns=feed.columns
        )
    except ExpressionInvalid:
        return  # which is said of every expression
    except LookupInvalid as wrong:
        raise feed.fault(str(wrong), *path) from None
    for one in uses:
        same = [
            other for other in feed._lookup_uses.values() if other.end.path[0].code == one.end.path[0].code
        ]
        if any(other.key_columns != one.key_columns or other.table != one.table for other in same):
            raise feed.fault(
                f"'{one.name}' is looked up by other keys than '{same[0].name}' in this feed; let two feeds read the files",
                *path,
            )
        feed._lookup_uses[one.name] = one


def _check_entry(feed: Feed, table: Contract, target: Target, at: int, number: int) -> None:
    entry = target.entries[number]
    names = [name for name in table.business_columns if name != "source"]
    for name, text in entry.items():
        path = ("targets", at, *target.place(number, name))
        if name == "source" and "source" in table.business_columns:
            raise feed.fault("column 'source' is filled from the feed's source; take it out", *path)
        if name not in names:
            raise feed.fault(f"{table.name} has no column '{name}'{did_you_mean(name, names)}", *path)
        if table.columns[name].level == REFUSED_LEVEL:
            raise feed.fault(
                f"{table.name}.{name} is of level {REFUSED_LEVEL}, which no feed may fill", *path
            )
        _look_up(feed, target, entry, text, path)
        expression = _check_expression(feed, text, f"{table.name}.{name}", *path)
        values = table.columns[name].allowed
        outside = next((word for word in expression.results if values and word not in values), None)
        if outside is not None:
            hint = did_you_mean(outside, list(values))
            raise feed.fault(f"{table.name}.{name} does not allow '{outside}'{hint}", *path)
        if expression.is_constant and text.strip().lower() == "null" and table.columns[name].required:
            raise feed.fault(f"{table.name}.{name} is required and cannot be null", *path)
    for name in dict.fromkeys([*table.key, *(c.name for c in table.business_columns.values() if c.required)]):
        if name in names and name not in entry:
            path = ("targets", at, *target.place(number, name)[:-1])
            raise feed.fault(f"{table.name} needs column '{name}', which the feed does not map", *path)


def _check_together(feed: Feed, table: str) -> None:
    targets = feed.targets_of(table)
    at = next(i for i, t in enumerate(feed.targets) if t.table == table)
    filled_table = contract(table)
    if filled_table.shape not in ("fact", "state"):
        raise feed.fault(f"{table} is not filled by feeds", "targets", at, "table")
    if len({t.same_key for t in targets}) > 1:
        raise feed.fault(f"the targets that fill {table} must agree on same_key", "targets", at)
    if len(targets) > 1 and targets[0].same_key == "refuse":
        raise feed.fault(
            f"same_key: refuse needs {table} to be filled by one target only", "targets", at, "same_key"
        )
