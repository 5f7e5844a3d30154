"""What a contract is: the one place that says what a table promises. Everything else about its shape follows from it.

From a contract come the Spark and Arrow schemas, CHECK constraints, measures and their bounds, the dbt source block and
the reference page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lakehouse.errors import ContractBroken
from lakehouse.query.words import literals

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType

Shape = Literal["fact", "state", "dictionary", "derived", "log"]
Level = Literal["C1", "C2", "C3"]
DATABASES = ("landing", "trusted", "identity", "tags", "marts", "segments", "quality", "ops")
DBT_DATABASE = "tags_work"
"""What dbt builds and a night takes over; its tables have no contract."""


@dataclass(frozen=True)
class Column:
    """One column: Spark SQL type, personal level, meaning, allowed values.

    ``masked`` stands on a C2 text that by itself names or reaches a person, or may hold anything: an identifier, a name,
    a record as delivered. Readers see a pseudonym of it (``reading.masked_columns``).
    A delivered value that cannot be read refuses its record where ``is_guarding``: null would say something else there.
    ``converts`` names the amount that it holds in the workspace's currency: where the row is in that currency, it is that amount.
    """

    name: str
    type: str
    required: bool = False
    level: str = "C1"
    description: str = ""
    allowed: tuple[str, ...] = ()
    masked: bool = False
    is_guarding: bool = False
    converts: str | None = None


@dataclass(frozen=True)
class Bound:
    """One measure of a table (a Spark SQL aggregate) with its limits and the reason for each number."""

    name: str
    measure: str
    why: str
    over: Literal["all", "arrived"] = "all"
    min: float | None = None
    max: float | None = None
    severity: Literal["stop", "warn"] = "stop"
    shipped: Bound | None = None
    set_by: str | None = None
    """The bound that a workspace's own one stands in for, and who set that one."""


@dataclass(frozen=True)
class Reference:
    """Another table that must hold what ``columns`` of a row name, by the same names, when the row arrives.

    Of that table only rows of earlier nights count: those whose day in the column ``before`` is earlier, or null.
    """

    table: str
    columns: tuple[str, ...]
    before: str
    reason: str
    why: str


@dataclass(frozen=True)
class Contract:
    """What a table promises; ``columns`` includes the pipeline columns its shape adds."""

    name: str
    description: str
    grain: str
    shape: Shape
    key: tuple[str, ...]
    owner: str
    columns: dict[str, Column]
    event_date: str | None = None
    partition_by: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    references: tuple[Reference, ...] = ()
    retention_days: int | None = None
    retention_why: str = ""
    deleted_by: Literal["nobody", "night", "settings"] = "nobody"
    not_covered: tuple[str, ...] = ()
    checked: bool = True
    pipeline_columns: tuple[str, ...] = field(default=())

    @property
    def database(self) -> str:
        """The database part of the name."""
        return self.name.split(".")[0]

    @property
    def table(self) -> str:
        """The table part of the name."""
        return self.name.split(".")[1]

    def is_attribute(self, name: str) -> bool:
        """Tell whether a column may be empty without harm: it is no key or reference, not required, and null guards nothing."""
        column = self.columns[name]
        is_needed = column.required or name in self.key or column.is_guarding
        return not is_needed and not name.endswith(("_id", "_key"))

    @property
    def business_columns(self) -> dict[str, Column]:
        """The columns without those the pipeline adds."""
        return {n: c for n, c in self.columns.items() if n not in self.pipeline_columns}

    def spark_schema(self) -> StructType:
        """Give the Spark schema; every column is nullable, constraints say what is required."""
        from pyspark.sql.types import StructType

        ddl = ", ".join(f"`{c.name}` {c.type}" for c in self.columns.values())
        schema = StructType.fromDDL(ddl)
        assert isinstance(schema, StructType)  # several columns never parse to a single type
        return schema

    def arrow_schema(self) -> pa.Schema:
        """Give the Arrow schema; timestamps are UTC microseconds, so that Delta stays at reader version 1."""
        import pyarrow as pa

        return pa.schema([pa.field(c.name, arrow_type(c.type)) for c in self.columns.values()])

    def checks(self) -> dict[str, str]:
        """Give the CHECK constraints by name: required columns are not null, allowed values hold."""
        if not self.checked:
            return {}
        ending = {True: "present", False: "allowed"}
        return {
            f"{column.strip('_')}_{ending[rule.endswith('IS NOT NULL')]}": rule
            for rule, column in self.rules()
        }

    def rules(self) -> list[tuple[str, str]]:
        """Give what each row must satisfy, as SQL, with the column it is about."""
        rules: list[tuple[str, str]] = []
        for column in self.columns.values():
            if column.required:
                rules.append((f"{column.name} IS NOT NULL", column.name))
            if column.allowed:
                values = literals(column.allowed)
                rules.append((f"{column.name} IS NULL OR {column.name} IN ({values})", column.name))
        return rules


def highest_level(contract: Contract) -> str:
    """Give the highest personal level of a table's columns."""
    return max(column.level for column in contract.columns.values())


def normalised_type(type_text: str) -> str:
    """Give a type as contracts compare it: small letters, no spaces."""
    return re.sub(r"\s+", "", str(type_text).lower())


def arrow_type(spark_type: str) -> pa.DataType:
    """Give the Arrow type of a Spark SQL type as contracts write it."""
    import pyarrow as pa

    simple: dict[str, Any] = {
        "string": pa.string(), "date": pa.date32(), "timestamp": pa.timestamp("us", tz="UTC"),
        "boolean": pa.bool_(), "int": pa.int32(), "integer": pa.int32(), "bigint": pa.int64(), "double": pa.float64(),
    }  # fmt: skip
    text = normalised_type(spark_type)
    if text in simple:
        return simple[text]
    if match := re.fullmatch(r"decimal\((\d+),(\d+)\)", text):
        return pa.decimal128(int(match[1]), int(match[2]))
    if match := re.fullmatch(r"array<(.+)>", text):
        return pa.list_(arrow_type(match[1]))
    if match := re.fullmatch(r"struct<(.+)>", text):
        return pa.struct([pa.field(name, arrow_type(kind)) for name, kind in _struct_fields(match[1])])
    raise ContractBroken(f"type '{spark_type}' is not one contracts may use")


def _struct_fields(text: str) -> Iterable[tuple[str, str]]:
    depth, start = 0, 0
    for at, sign in enumerate(text + ","):
        depth += (sign in "<(") - (sign in ">)")
        if sign == "," and depth == 0:
            name, _, kind = text[start:at].partition(":")
            yield name, kind
            start = at + 1
