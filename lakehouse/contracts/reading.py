"""Contract files: ``lakehouse/contracts/<database>/<table>.yml``, read, checked with file and line, and found by name."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lakehouse.contracts.contract import (
    Bound,
    Column,
    Contract,
    Level,
    Reference,
    Shape,
    normalised_type,
)
from lakehouse.errors import ContractBroken, SettingsInvalid
from lakehouse.query.masks import Mask
from lakehouse.settings.yaml_files import did_you_mean, load_plain_yaml, load_yaml, parse_model

FOLDER = Path(__file__).parent

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


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnEntry(_Strict):
    """One column of a contract file."""

    type: str
    required: bool = False
    level: Level = "C1"
    description: str = ""
    allowed: tuple[str, ...] = ()
    masked: bool = False
    unreadable: Literal["empty", "refuse"] = "empty"
    converts: str | None = None

    @model_validator(mode="after")
    def _masks_are_texts(self) -> ColumnEntry:
        if self.masked and (self.level != "C2" or normalised_type(self.type) != "string"):
            raise ValueError("only a string of level C2 is masked")
        return self

    @field_validator("allowed", mode="before")
    @classmethod
    def _as_text(cls, values: Any) -> Any:
        return tuple(str(value) for value in values) if isinstance(values, list | tuple) else values


class BoundEntry(_Strict):
    """One bound of a contract file."""

    name: str
    measure: str
    why: str
    over: Literal["all", "arrived"] = "all"
    min: float | None = None
    max: float | None = None
    severity: Literal["stop", "warn"] = "stop"


class ReferenceEntry(_Strict):
    """One reference of a contract file."""

    table: str
    columns: tuple[str, ...] = Field(min_length=1)
    before: str
    reason: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    why: str = Field(min_length=1)


class RetentionEntry(_Strict):
    """How long rows are kept, why so long, and what deletes older ones.

    Without ``deleted_by`` nothing does: the days are what readers may rely on. A ``night`` takes the older days out; how many
    days there are may also be a matter of the ``settings``.
    """

    days: int
    why: str = ""
    deleted_by: Literal["nobody", "night", "settings"] = "nobody"


class ContractFile(_Strict):
    """What a contract file may say."""

    table: str = Field(min_length=1)
    description: str = Field(min_length=1)
    grain: str = Field(min_length=1)
    shape: Shape
    key: tuple[str, ...] = Field(min_length=1)
    owner: str = Field(min_length=1)
    columns: dict[str, ColumnEntry] = Field(min_length=1)
    event_date: str | None = None
    partition_by: tuple[str, ...] = ()
    bounds: tuple[BoundEntry, ...] = ()
    references: tuple[ReferenceEntry, ...] = ()
    retention: RetentionEntry | None = None
    not_covered: tuple[str, ...] = ()
    checked: bool = True

    @model_validator(mode="after")
    def _names_are_columns(self) -> ContractFile:
        names = {*self.columns, *(column.name for column in _PIPELINE.get(self.shape, ()))}
        reference_columns = [name for reference in self.references for name in reference.columns]
        for name in (
            *self.key,
            *self.partition_by,
            *([self.event_date] if self.event_date else []),
            *reference_columns,
            *(column.converts for column in self.columns.values() if column.converts),
        ):
            if name not in names:
                raise ValueError(f"'{name}' is no column of the table")
        return self

    @model_validator(mode="after")
    def _money_is_converted_into_its_type(self) -> ContractFile:
        for name, column in self.columns.items():
            if column.converts is None:
                continue
            if "currency" not in self.columns:
                raise ValueError(f"'{name}' converts an amount of a table without a column 'currency'")
            if normalised_type(self.columns[column.converts].type) != normalised_type(column.type):
                raise ValueError(f"'{name}' has not the type of '{column.converts}', which it converts")
        return self

    @model_validator(mode="after")
    def _days_can_be_deleted(self) -> ContractFile:
        if self.retention is None or self.retention.deleted_by == "nobody":
            return self
        days = [
            name for name in self.partition_by if name in self.columns and self.columns[name].type == "date"
        ]
        if self.shape != "log" or len(days) != 1 or days != list(self.partition_by):
            raise ValueError(
                "'deleted_by' takes days out of a log that is partitioned by its day and nothing else"
            )
        return self


def build_contract(tree: dict[str, Any], *, file: str | Path = "(derived)") -> Contract:
    """Give the contract that a YAML tree describes; anything missing or unknown raises ``ContractBroken``."""
    try:
        entries = ContractFile.model_validate(tree)
    except ValidationError:
        raise _fault(tree, file) from None
    pipeline = _PIPELINE.get(entries.shape, ())
    columns = {
        name: Column(
            name,
            normalised_type(e.type),
            e.required,
            e.level,
            e.description,
            e.allowed,
            e.masked,
            e.unreadable == "refuse",
            e.converts,
        )
        for name, e in entries.columns.items()
    } | {column.name: column for column in pipeline}
    retention = entries.retention
    return Contract(
        name=entries.table,
        description=entries.description,
        grain=entries.grain,
        shape=entries.shape,
        key=entries.key,
        owner=entries.owner,
        columns=columns,
        event_date=entries.event_date,
        partition_by=entries.partition_by or (("_arrived_on",) if entries.shape == "fact" else ()),
        bounds=tuple(Bound(**bound.model_dump()) for bound in entries.bounds),
        references=tuple(Reference(**reference.model_dump()) for reference in entries.references),
        retention_days=retention.days if retention else None,
        retention_why=retention.why if retention else "",
        deleted_by=retention.deleted_by if retention else "nobody",
        not_covered=entries.not_covered,
        checked=entries.checked,
        pipeline_columns=tuple(column.name for column in pipeline),
    )


def _fault(tree: dict[str, Any], file: str | Path) -> ContractBroken:
    """Give the first fault of a tree; of a file with its line, for which it is read once more, slowly."""
    try:
        parse_model(ContractFile, load_yaml(Path(file)) if Path(file).is_file() else tree, file=file)
    except SettingsInvalid as fault:
        return ContractBroken(fault.message, file=fault.file, line=fault.line)
    raise AssertionError("a tree that is refused is refused again")


@cache
def _contract_file(name: str) -> Contract | None:
    database, _, table = name.partition(".")
    file = FOLDER / database / f"{table}.yml"
    if not file.is_file():
        return None
    result = build_contract(load_plain_yaml(file), file=file)
    if result.name != name:
        raise ContractBroken(f"says it is '{result.name}' but stands where '{name}' belongs", file=file)
    return result


def contract(name: str) -> Contract:
    """Give the written contract of ``database.table``; a table without one cannot be read or written."""
    result = _contract_file(name)
    if result is None:
        raise ContractBroken(f"table '{name}' has no contract{did_you_mean(name, contract_names())}")
    return result


def masked_columns(contract: Contract | None, columns: Iterable[str]) -> dict[str, Mask]:
    """Give how readers see columns of a table that they do not see as they are: those its contract marks, and each that it does not know.

    A table without a contract is one that a feed lands: of it only the columns that the pipeline adds are known.
    """
    columns_of_contract = contract.columns if contract else {column.name: column for column in _FACT}
    return {
        name: Mask()
        for name in columns
        if name not in columns_of_contract or columns_of_contract[name].masked
    }


def contract_names(database: str | None = None) -> list[str]:
    """Give the names of the contracts that are files, sorted; feeds' landing tables are not among them."""
    return [n for n in _all_names() if database is None or n.startswith(database + ".")]


@cache
def _all_names() -> tuple[str, ...]:
    return tuple(sorted(f"{file.parent.name}.{file.stem}" for file in FOLDER.glob("*/*.yml")))


class Contracts:
    """The contracts of one lake: the written ones, and those that follow from its workspace.

    A feed makes the contract of its landing table, the registry that of the wide tag tables, which stands in place of
    the written one.
    """

    def __init__(self) -> None:
        self._of_workspace: dict[str, Contract] = {}

    def add(self, *contracts: Contract) -> None:
        """Add contracts that follow from the workspace; one of the same name is replaced."""
        self._of_workspace |= {entry.name: entry for entry in contracts}

    def get(self, name: str) -> Contract:
        """Give the contract of ``database.table``; a table without one cannot be read or written."""
        return self._of_workspace.get(name) or contract(name)

    def names(self, database: str | None = None) -> list[str]:
        """Give the names of all contracts of the lake, sorted."""
        own = (n for n in self._of_workspace if database is None or n.startswith(database + "."))
        return sorted({*contract_names(database), *own})
