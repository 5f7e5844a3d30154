"""Attributes: what a site knows of its customers, accounts, products … beyond the columns of the trusted tables.

A site declares them in ``attributes.yml`` (or, where they are many, in files of the folder ``attributes``). Feeds fill them
into ``trusted.attributes``, one row each; tags and segments read them as columns of the table of their entity. Those of an event are
its properties: they are read from its JSON, and no feed fills them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lakehouse.contracts.contract import Column
from lakehouse.contracts.reading import contract
from lakehouse.errors import SettingsInvalid
from lakehouse.expressions.expression import parse_expression
from lakehouse.expressions.tokens import ExpressionInvalid
from lakehouse.query.words import spark_identifier, spark_literal
from lakehouse.settings.optional_files import files_in, is_there
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_plain_yaml, load_yaml, parse_model
from lakehouse.settings.yaml_limits import yaml_text
from vocabulary.relations import RELATED
from vocabulary.reserved_names import fault_of_name

ATTRIBUTES = "trusted.attributes"
FILE, FOLDER = "attributes.yml", "attributes"
ValueType = Literal["string", "int", "decimal", "ratio", "boolean", "date"]
VALUE_TYPES: tuple[str, ...] = get_args(ValueType)
# The type in which an attribute is read. None is of floating point: the text of a value is the value.
_SQL_TYPES = {"int": "bigint", "decimal": "decimal(18,2)", "ratio": "decimal(18,6)"}

# The table of each entity that may have attributes, and the column that holds the key within a source.
ENTITIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "customer": ("trusted.customers", "source_key"),
        "account": ("trusted.accounts", "account_id"),
        "card": ("trusted.cards", "card_id"),
        "holding": ("trusted.holdings", "holding_id"),
        "loan": ("trusted.loans", "loan_id"),
        "order": ("trusted.orders", "order_id"),
        "product": ("trusted.products", "product_id"),
        "branch": ("trusted.branches", "branch_id"),
        "employee": ("trusted.employees", "employee_id"),
        "campaign": ("trusted.campaigns", "campaign_id"),
    }
)
EVENT = "event"
# An event is too frequent for a row per attribute: its own are properties of the JSON that it carries.
PROPERTIES: Mapping[str, tuple[str, str]] = MappingProxyType({EVENT: ("trusted.events", "properties")})
DECLARABLE: tuple[str, ...] = (*ENTITIES, *PROPERTIES)
# A number in JSON, or a text that is one; what else may be cast is not the same to both engines.
_NUMBER = "^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?$"
_WHOLE = "^-?[0-9]{1,18}$"
_DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AttributeName(_Strict):
    """What an attribute is called in Chinese and English."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Attribute(_Strict):
    """One attribute: whose it is, the type of its value, its personal level, its names, and its values if they are a list."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    entity: str
    type: ValueType
    level: Literal["C1", "C2", "C3"]
    name: AttributeName
    domain: tuple[str, ...] | None = None

    @field_validator("domain", mode="before")
    @classmethod
    def _texts(cls, value: Any, others: ValidationInfo) -> Any:
        if value is None:
            return None
        kind = others.data.get("type", "string")
        if kind != "string":
            raise ValueError(
                f"a domain is for the type string, not for {kind}; write 'type: string' and texts in quotes, such as ['1', '2'], or take the domain out"
            )
        if not isinstance(value, list) or not value:
            raise ValueError("a domain is a list of values, such as [LOW, HIGH]")
        for member in value:
            if not isinstance(member, str):
                raise ValueError(f"a domain holds texts; write '{member}' in quotes")
        if len(set(value)) < len(value):
            raise ValueError("a value of the domain stands twice")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Attribute:
        if self.entity not in DECLARABLE:
            raise ValueError(
                f"there is no entity '{self.entity}'{did_you_mean(self.entity, list(DECLARABLE))}"
            )
        if self.level == "C3":
            raise ValueError("an attribute cannot be of level C3; credentials and biometrics are never kept")
        if self.code in contract(self.table).columns:
            raise ValueError(f"{self.table} has a column '{self.code}' already; map it there")
        for table in (ATTRIBUTES, RELATED):
            if self.code in contract(table).columns:
                raise ValueError(
                    f"'{self.code}' is a column of {table} itself, whose rows are joined; choose another code"
                )
        if fault := fault_of_name(self.code):
            raise ValueError(fault)
        if not _is_name(self.code):
            raise ValueError(f"'{self.code}' is a word of the language of expressions; choose another code")
        return self

    @property
    def table(self) -> str:
        """The table of the entity, of which the attribute is read as a column."""
        return (ENTITIES.get(self.entity) or PROPERTIES[self.entity])[0]

    @property
    def is_property(self) -> bool:
        """Whether it is read from the JSON of the rows themselves."""
        return self.entity in PROPERTIES

    @property
    def sql_type(self) -> str:
        """The Spark SQL type in which the value is read."""
        return _SQL_TYPES.get(self.type, self.type)

    @property
    def column(self) -> Column:
        """The attribute as a column of its entity's table."""
        return Column(
            self.code,
            self.sql_type,
            level=self.level,
            description=f"{self.name.en} ({self.name.zh})",
            allowed=self.domain or (),
        )


def _is_name(code: str) -> bool:
    """Tell whether an expression reads a code as the name of a column."""
    try:
        return parse_expression(code).columns == (code,)
    except ExpressionInvalid:
        return False


@dataclass(frozen=True)
class Attributes:
    """The attributes that a site declares, by code; a code is unique over all entities."""

    by_code: Mapping[str, Attribute] = field(default_factory=dict)

    @cached_property
    def _by_table(self) -> dict[str, dict[str, Attribute]]:
        by_table: dict[str, dict[str, Attribute]] = {}
        for code, one in self.by_code.items():
            by_table.setdefault(one.table, {})[code] = one
        return by_table

    def of_table(self, table: str) -> Mapping[str, Attribute]:
        """Give the attributes that are read as columns of a table."""
        return self._by_table.get(table, {})

    def of_entity(self, entity: str) -> Mapping[str, Attribute]:
        """Give the attributes of an entity."""
        return self.of_table((ENTITIES.get(entity) or PROPERTIES[entity])[0])


class AttributesFile(_Strict):
    """A file of attributes."""

    attributes: list[Attribute]


def attribute_files(workspace: Path) -> list[Path]:
    """Give the files in which a workspace declares attributes, in the order in which they are read."""
    file = workspace / FILE
    return [*([file] if is_there(file) else []), *files_in(workspace / FOLDER, "*.yml")]


def read_attributes(workspace: Path | None) -> Attributes:
    """Give the attributes of a workspace; anything missing, unknown or declared twice raises ``SettingsInvalid`` with its line."""
    if workspace is None:
        return Attributes()
    return _read(tuple((file, yaml_text(file)) for file in attribute_files(workspace)))


@lru_cache(maxsize=16)
def _read(files: Sequence[tuple[Path, str]]) -> Attributes:
    """Give the attributes of files with these texts."""
    by_code: dict[str, Attribute] = {}
    places: dict[str, tuple[Path, int]] = {}
    for file, _ in files:
        for at, one in enumerate(_entries(file)):
            if one.code in by_code:
                raise _declared_twice(one, by_code[one.code], places[one.code], file, at)
            by_code[one.code] = one
            places[one.code] = (file, at)
    return Attributes(MappingProxyType(by_code))


def _entries(file: Path) -> Iterator[Attribute]:
    try:
        yield from AttributesFile.model_validate(load_plain_yaml(file) or {}).attributes
    except ValidationError:
        # The quick reader takes NO for false; this one takes it for a text.
        yield from parse_model(AttributesFile, load_yaml(file), file=file).attributes


def _declared_twice(
    one: Attribute, other: Attribute, place: tuple[Path, int], file: Path, at: int
) -> SettingsInvalid:
    other_file, other_at = place
    line = line_of(load_yaml(other_file), "attributes", other_at)
    where = f"line {line}" if other_file == file else f"{other_file.name}, line {line}"
    types = f" as {other.type}, here as {one.type}" if other.type != one.type else ""
    return SettingsInvalid(
        f"the attribute '{one.code}' is declared twice: on {where}{types}; a code is unique over all entities",
        file=file,
        line=line_of(load_yaml(file), "attributes", at),
    )


def attribute_rows_sql(
    attributes: Sequence[Attribute], *, rows: str, alias: str = "", condition: str = "true"
) -> str:
    """Give Spark SQL of attributes as columns: ``source, entity_key`` and one column each, one row per key.

    ``rows`` is what stands behind FROM, of which rows under ``condition`` count. All attributes are of one entity. A value of
    another type than the declared one, kept before the type was changed, is null.
    """
    of = f"{alias}." if alias else ""
    codes = ", ".join(f"'{one.code}'" for one in attributes)
    columns = "".join(f",\n    {_value_sql(one, of)} AS {spark_identifier(one.code)}" for one in attributes)
    return (
        f"SELECT {of}source, {of}entity_key{columns}\n"
        f"  FROM {rows}\n"
        f"  WHERE {of}entity = '{attributes[0].entity}' AND {of}attribute IN ({codes}) AND {condition}\n"
        f"  GROUP BY {of}source, {of}entity_key"
    )


def property_sql(one: Attribute, alias: str, literal: Callable[[object], str] = spark_literal) -> str:
    """Give Spark SQL of a declared property of the rows ``alias``; what is not of its type or domain is null.

    ``literal`` writes a value of the domain.
    Numbers may be written as texts and as 1e3; one that is no whole number is no int. Nothing is rounded but to the places of the type.
    """
    text = f"get_json_object({alias}.{PROPERTIES[one.entity][1]}, '$.{one.code}')"
    number = f"try_cast({text} AS decimal(28,6))"
    is_number = f"{text} RLIKE '{_NUMBER}'"
    if one.type == "int":
        is_whole = f"{is_number} AND {number} = round({number}, 0) AND abs({number}) < 1000000000000000"
        return (
            f"CASE WHEN {text} RLIKE '{_WHOLE}' THEN try_cast({text} AS bigint)"
            f" WHEN {is_whole} THEN cast({number} AS bigint) END"
        )
    if one.type in ("decimal", "ratio"):
        return f"CASE WHEN {is_number} THEN try_cast({number} AS {one.sql_type}) END"
    if one.type == "boolean":
        return f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false END"
    if one.type == "date":
        return f"CASE WHEN {text} RLIKE '{_DAY}' THEN try_cast({text} AS date) END"
    if one.domain:
        return f"CASE WHEN {text} IN ({', '.join(map(literal, one.domain))}) THEN {text} END"
    return f"cast({text} AS string)"


def _value_sql(one: Attribute, of: str) -> str:
    value = f"{of}value" if one.type == "string" else f"try_cast({of}value AS {one.sql_type})"
    return f"max(CASE WHEN {of}attribute = '{one.code}' AND {of}value_type = '{one.type}' THEN {value} END)"
