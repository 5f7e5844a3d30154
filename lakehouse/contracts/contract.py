"""Contracts: the one place that says what a table is. Everything else about its shape is derived from here.

A contract file is ``lakehouse/contracts/<database>/<table>.yml``. From it come the Spark and Arrow schemas,
CHECK constraints, measures and their bounds, the dbt source block and the reference page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from lakehouse.errors import ContractBroken
from lakehouse.settings.yaml_files import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType

Shape = Literal["fact", "state", "dictionary", "derived", "log"]
FOLDER = Path(__file__).parent
DATABASES = ("landing", "trusted", "identity", "tags", "segments", "quality", "ops")
SHAPES: tuple[Shape, ...] = ("fact", "state", "dictionary", "derived", "log")
LEVELS = ("C1", "C2", "C3")


@dataclass(frozen=True)
class Column:
    """One column: Spark SQL type, personal level, meaning, allowed values."""

    name: str
    type: str
    required: bool = False
    level: str = "C1"
    description: str = ""
    allowed: tuple[str, ...] = ()


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
    retention_days: int | None = None
    retention_why: str = ""
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
        found: list[tuple[str, str]] = []
        for column in self.columns.values():
            if column.required:
                found.append((f"{column.name} IS NOT NULL", column.name))
            if column.allowed:
                values = ", ".join("'" + value.replace("'", "''") + "'" for value in column.allowed)
                found.append((f"{column.name} IS NULL OR {column.name} IN ({values})", column.name))
        return found


_FACT = (
    Column("_feed", "string", True, "C1", "the feed that delivered the row"),
    Column("_file", "string", True, "C1", "the delivered file, as the ledger of files names it"),
    Column("_row", "bigint", True, "C1", "number of the record in that file, the header not counted"),
    Column("_arrived_on", "date", True, "C1", "the business date of the night that took the file"),
)
_STATE = (
    *_FACT[:3],
    Column("valid_from", "date", True, "C1", "first business date on which we knew this, inclusive"),
    Column(
        "valid_to", "date", False, "C1", "first business date on which it no longer held; null while open"
    ),
)
_PIPELINE: dict[str, tuple[Column, ...]] = {"fact": _FACT, "state": _STATE}
_KEYS = {
    "table", "description", "grain", "shape", "key", "owner", "event_date", "retention", "not_covered",
    "columns", "bounds", "partition_by", "checked",
}  # fmt: skip
_registered: dict[str, Contract] = {}


def build_contract(tree: dict[str, Any], *, file: str | Path = "(derived)") -> Contract:
    """Give the contract a YAML tree describes; anything missing or unknown raises ``ContractBroken``."""
    unknown = set(tree) - _KEYS
    if unknown:
        name = sorted(unknown)[0]
        raise ContractBroken(f"unknown key '{name}'{did_you_mean(name, sorted(_KEYS))}", file=file)
    for needed in ("table", "description", "grain", "shape", "key", "owner", "columns"):
        if not tree.get(needed):
            raise ContractBroken(f"key '{needed}' is missing", file=file)
    shape = tree["shape"]
    if shape not in SHAPES:
        raise ContractBroken(f"shape '{shape}' is none of {', '.join(SHAPES)}", file=file)
    columns: dict[str, Column] = {}
    for name, body in tree["columns"].items():
        body = dict(body)
        column = Column(
            name=name,
            type=_normalised_type(body.pop("type")),
            required=bool(body.pop("required", False)),
            level=str(body.pop("level", "C1")),
            description=str(body.pop("description", "")),
            allowed=tuple(str(v) for v in body.pop("allowed", ())),
        )
        if body:
            raise ContractBroken(f"column '{name}' has an unknown key '{sorted(body)[0]}'", file=file)
        if column.level not in LEVELS:
            raise ContractBroken(
                f"column '{name}' has level '{column.level}', none of {', '.join(LEVELS)}", file=file
            )
        columns[name] = column
    pipeline = _PIPELINE.get(shape, ())
    columns |= {column.name: column for column in pipeline}
    key = tuple(tree["key"])
    for part in (
        *key,
        *tree.get("partition_by", ()),
        *([tree["event_date"]] if tree.get("event_date") else []),
    ):
        if part not in columns:
            raise ContractBroken(f"'{part}' is no column of the table", file=file)
    retention = tree.get("retention") or {}
    return Contract(
        name=tree["table"],
        description=tree["description"],
        grain=tree["grain"],
        shape=shape,
        key=key,
        owner=tree["owner"],
        columns=columns,
        event_date=tree.get("event_date"),
        partition_by=tuple(tree.get("partition_by") or (("_arrived_on",) if shape == "fact" else ())),
        bounds=tuple(Bound(**bound) for bound in tree.get("bounds") or ()),
        retention_days=retention.get("days"),
        retention_why=retention.get("why", ""),
        not_covered=tuple(tree.get("not_covered") or ()),
        checked=bool(tree.get("checked", True)),
        pipeline_columns=tuple(column.name for column in pipeline),
    )


@cache
def _read(name: str) -> Contract | None:
    database, _, table = name.partition(".")
    file = FOLDER / database / f"{table}.yml"
    if not file.is_file():
        return None
    with file.open(encoding="utf-8") as text:
        tree = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    found = build_contract(tree, file=file)
    if found.name != name:
        raise ContractBroken(f"says it is '{found.name}' but stands where '{name}' belongs", file=file)
    return found


def contract(name: str) -> Contract:
    """Give the contract of ``database.table``; a table without one cannot be read or written."""
    found = _registered.get(name) or _read(name)
    if found is None:
        raise ContractBroken(f"table '{name}' has no contract{did_you_mean(name, contract_names())}")
    return found


def register_contract(derived: Contract) -> None:
    """Make a contract known that is derived from settings (a feed's landing table, the wide tag table)."""
    _registered[derived.name] = derived


def written_contract_names(database: str | None = None) -> list[str]:
    """Give the names of the contracts that are files, sorted; feeds' landing tables are not among them."""
    names = (f"{file.parent.name}.{file.stem}" for file in FOLDER.glob("*/*.yml"))
    return sorted(n for n in names if database is None or n.startswith(database + "."))


def contract_names(database: str | None = None) -> list[str]:
    """Give the names of all written and registered contracts, sorted."""
    registered = (n for n in _registered if database is None or n.startswith(database + "."))
    return sorted({*written_contract_names(database), *registered})


def contracts(database: str | None = None) -> list[Contract]:
    """Give all contracts, of one database or of all."""
    return [contract(name) for name in contract_names(database)]


def _normalised_type(written: str) -> str:
    return re.sub(r"\s+", "", str(written).lower())


def arrow_type(spark_type: str) -> pa.DataType:
    """Give the Arrow type of a Spark SQL type as contracts write it."""
    import pyarrow as pa

    simple: dict[str, Any] = {
        "string": pa.string(), "date": pa.date32(), "timestamp": pa.timestamp("us", tz="UTC"),
        "boolean": pa.bool_(), "int": pa.int32(), "integer": pa.int32(), "bigint": pa.int64(), "double": pa.float64(),
    }  # fmt: skip
    text = _normalised_type(spark_type)
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
