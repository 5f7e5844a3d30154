"""Look-ups: from a row of one trusted table to at most one row of another, declared once by their keys.

The product ships those within one source (``lookups.yml`` beside this file); a site adds its own in ``lookups.yml`` of the
workspace. ``product.category`` is a path: look-ups from table to table, and at its end a column or an attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lakehouse.contracts.contract import Bound, Column
from lakehouse.contracts.reading import contract, contract_names
from lakehouse.errors import SettingsInvalid
from lakehouse.query.words import spark_literal
from lakehouse.settings.optional_files import is_there
from lakehouse.settings.yaml_files import did_you_mean, line_of, load_plain_yaml, load_yaml, parse_model
from lakehouse.settings.yaml_limits import yaml_text
from vocabulary.attributes import ATTRIBUTES, Attribute, Attributes
from vocabulary.contact_rules import RulePlace
from vocabulary.relations import attribution_of, rows_of_day_sql

FILE = "lookups.yml"
SHIPPED = Path(__file__).parent / FILE
MOST_STEPS = 4
# What a key may be made of: values that are equal or not, whatever the engine.
_KEY_TYPES = ("string", "int", "bigint", "date")


class LookupInvalid(ValueError):
    """A path that leads nowhere; the message is a sentence."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Lookup(_Strict):
    """From the rows of a table to the row of ``to`` with the same key: columns of the one by columns of the other.

    The row is of the same source unless ``source`` names one; ``values`` are columns of ``to`` that have one value.
    """

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    from_: str = Field(alias="from")
    to: str
    keys: dict[str, str] = Field(min_length=1)
    values: dict[str, str] = Field(default_factory=dict)
    source: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Lookup:
        tables = [name for name in contract_names("trusted") if name != ATTRIBUTES]
        for table in (self.from_, self.to):
            if table not in tables:
                raise ValueError(f"there is no table '{table}' to look up{did_you_mean(table, tables)}")
        if self.from_ == self.to:
            raise ValueError(f"leads from {self.to} back to itself")
        here, there = contract(self.from_).business_columns, contract(self.to).business_columns
        for name, other in self.keys.items():
            for table, columns, column in ((self.from_, here, name), (self.to, there, other)):
                if column not in columns:
                    raise ValueError(f"{table} has no column '{column}'{did_you_mean(column, list(columns))}")
                if columns[column].type not in _KEY_TYPES:
                    raise ValueError(f"{table}.{column} is a {columns[column].type}, which is no key")
            if here[name].type != there[other].type:
                raise ValueError(
                    f"{self.from_}.{name} is a {here[name].type} and {self.to}.{other} a {there[other].type}"
                )
        for column in self.values:
            if column not in there:
                raise ValueError(f"{self.to} has no column '{column}'{did_you_mean(column, list(there))}")
            if there[column].type != "string":
                raise ValueError(f"{self.to}.{column} is no text; 'values' are texts")
        return self

    def condition(self, here: str, there: str, text: Callable[[str], str]) -> str:
        """Give SQL of the row ``there`` being the one that the row ``here`` looks up; ``text`` writes a literal."""
        source = text(self.source) if self.source else f"{here}.source"
        parts = [f"{there}.source = {source}"]
        parts += [f"{there}.{other} = {here}.{name}" for name, other in self.keys.items()]
        parts += [f"{there}.{name} = {text(value)}" for name, value in self.values.items()]
        return " and ".join(parts)

    @property
    def bound(self) -> Bound:
        """The bound that holds the look-up to one row for each key of the table that it leads to."""
        columns = list(self.keys.values())
        conditions = [*(f"{name} IS NOT NULL" for name in columns)]
        conditions += [f"{name} = {spark_literal(value)}" for name, value in self.values.items()]
        if self.source:
            conditions.append(f"source = {spark_literal(self.source)}")
        if contract(self.to).shape == "state":
            conditions.append("valid_to IS NULL")
        is_row, key = " AND ".join(conditions), f"struct(source, {', '.join(columns)})"
        return Bound(
            name=f"rows_beyond_one_of_look_up_{self.code}_from_{self.from_.split('.')[1]}",
            measure=f"count(CASE WHEN {is_row} THEN 1 END) - count(DISTINCT CASE WHEN {is_row} THEN {key} END)",
            why="a look-up finds at most one row, or everything that it is used for would count twice",
            max=0,
        )


@dataclass(frozen=True)
class LookupColumn:
    """What a path ends in: the look-ups on the way, and the column or the attribute of the last table."""

    path: tuple[Lookup, ...]
    column: Column
    attribute: Attribute | None = None

    @property
    def origin(self) -> str:
        """The column as ``trusted.table.column``."""
        return f"{self.path[-1].to}.{self.column.name}"


@dataclass(frozen=True)
class Lookups:
    """The look-ups of a site, the shipped ones among them, by the table they lead from and their code."""

    by_table: Mapping[str, Mapping[str, Lookup]] = field(default_factory=dict)

    def of_table(self, table: str) -> Mapping[str, Lookup]:
        """Give the look-ups that lead from a table, by code."""
        return self.by_table.get(table, {})

    def steps(self, table: str, path: str) -> tuple[Lookup, ...]:
        """Give the look-ups of a path of codes joined by points; ``LookupInvalid`` where it leads nowhere or in a circle."""
        steps: list[Lookup] = []
        tables = [table]
        for code in path.split("."):
            ways = self.of_table(tables[-1])
            if code not in ways:
                hint = did_you_mean(code, sorted(ways)) if ways else ""
                raise LookupInvalid(f"no look-up '{code}' leads from {tables[-1]}{hint}")
            steps.append(ways[code])
            tables.append(ways[code].to)
            if tables[-1] in tables[:-1]:
                raise LookupInvalid(f"the look-ups go in a circle: {' → '.join(tables)}")
        if len(steps) > MOST_STEPS:
            raise LookupInvalid(f"'{path}' has {len(steps)} look-ups, more than {MOST_STEPS}")
        return tuple(steps)

    def column(self, table: str, name: str, attributes: Attributes) -> LookupColumn:
        """Give what ``look_up.column`` names from a table; ``LookupInvalid`` where it names nothing."""
        path, _, column = name.rpartition(".")
        steps = self.steps(table, path)
        end = steps[-1].to
        columns = contract(end).business_columns
        own = attributes.of_table(end)
        if column in own:
            return LookupColumn(steps, own[column].column, own[column])
        if column not in columns:
            raise LookupInvalid(f"{end} has no column '{column}'{did_you_mean(column, [*columns, *own])}")
        return LookupColumn(steps, columns[column])

    def ways_to_a_person(self, table: str) -> list[str]:
        """Give the shortest paths from a table to one whose rows carry a person or an account, sorted."""
        return self.ways(table, lambda columns: attribution_of(columns) is not None)

    def ways(self, table: str, is_end: Callable[[Collection[str]], bool]) -> list[str]:
        """Give the shortest paths from a table to one of whose columns ``is_end`` is true, sorted."""
        ways: list[tuple[str, str, tuple[str, ...]]] = [("", table, (table,))]
        for _ in range(MOST_STEPS):
            ways = [
                (f"{path}.{code}".lstrip("."), step.to, (*tables, step.to))
                for path, end, tables in ways
                for code, step in self.of_table(end).items()
                if step.to not in tables
            ]
            ends = sorted(path for path, end, _ in ways if is_end(contract(end).columns))
            if ends:
                return ends
        return []


def path_alias(path: Sequence[Lookup], rows: str) -> str:
    """Give the alias of the table that a path ends in; of no look-up that of the ``rows`` themselves."""
    return "__".join(["lookup", *(step.code for step in path)]) if path else rows


def lookup_joins_sql(paths: Iterable[tuple[Lookup, ...]], place: RulePlace, rows: str) -> str:
    """Give Spark SQL that joins ``rows`` to all tables on the paths as of the business date, each by its ``path_alias``.

    A look-up finds at most one row, so the rows stay as many as they were.
    """
    parts = {path_alias(part, rows): part for path in paths for part in _parts(path)}
    joins = []
    for alias, path in sorted(parts.items(), key=lambda item: (len(item[1]), item[0])):
        step = path[-1]
        rows_of_day = f"SELECT * FROM {place.table(step.to)} v WHERE {rows_of_day_sql(step.to, 'v', place)}"
        joins.append(
            f"\n  LEFT JOIN ({rows_of_day}) {alias} ON {step.condition(path_alias(path[:-1], rows), alias, place.text)}"
        )
    return "".join(joins)


def _parts(path: tuple[Lookup, ...]) -> list[tuple[Lookup, ...]]:
    return [path[:length] for length in range(1, len(path) + 1)]


class LookupsFile(_Strict):
    """A file of look-ups."""

    lookups: list[Lookup]


def read_lookups(workspace: Path | None) -> Lookups:
    """Give the shipped look-ups and the workspace's; anything missing, unknown or declared twice raises ``SettingsInvalid``."""
    own = workspace / FILE if workspace else None
    if own is None or not is_there(own):
        return _read(None)
    return _read((own, yaml_text(own)))


@lru_cache(maxsize=16)
def _read(own: tuple[Path, str] | None) -> Lookups:
    """Give the shipped look-ups with those of a file of this text."""
    by_table: dict[str, dict[str, Lookup]] = {}
    places: dict[tuple[str, str], str] = {}
    for file in [SHIPPED, *([own[0]] if own else [])]:
        for at, one in enumerate(_entries(file)):
            if one.code in by_table.get(one.from_, {}):
                line = line_of(load_yaml(file), "lookups", at)
                where = places[one.from_, one.code]
                raise SettingsInvalid(
                    f"the look-up '{one.code}' from {one.from_} is declared twice: {where}",
                    file=file,
                    line=line,
                )
            by_table.setdefault(one.from_, {})[one.code] = one
            places[one.from_, one.code] = "the product ships it" if file == SHIPPED else "in this file"
    return Lookups(MappingProxyType(by_table))


def _entries(file: Path) -> Iterator[Lookup]:
    try:
        yield from LookupsFile.model_validate(load_plain_yaml(file) or {}).lookups
    except ValidationError:
        # The quick reader takes NO for false; this one takes it for a text.
        yield from parse_model(LookupsFile, load_yaml(file), file=file).lookups
