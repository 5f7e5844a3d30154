"""The rule of states, once: what a night's news makes of what a state table knows.

A state row is valid over ``[valid_from, valid_to)`` in business dates. Night D compares what a feed says now with what
was open before D, key by key. A rerun of D first looks through what an earlier attempt of D did: rows that it opened do
not count, rows that it closed count as open. So the same input gives the same rows however often D runs.

Per key there are up to three rows: ``b`` (before: open before D), ``t`` (attempt: opened on D by an earlier attempt) and
``i`` (incoming: what the feed says on D). "Same" means that ``b`` and ``i`` agree in every business column.

====  ====  ===================  ==============================  =====================================
b     i     mode                 the row before                  a row from D on
====  ====  ===================  ==============================  =====================================
yes   same  any                  stays open, with its old file   none
yes   other any                  ends on D                       ``i``
yes   none  snapshot             ends on D                       none
yes   none  delta                stays open                      none
none  yes   any                  --                              ``i``
none  none  any                  --                              none
====  ====  ===================  ==============================  =====================================

``t`` becomes the row from D on: it is inserted where it is missing, updated where it differs, deleted where D opens none.
A change is one row: ``_action`` (insert, update, delete) and all columns of the row as it shall be.

The conditions below are text that Spark and DuckDB read alike, over one row per key with the structs ``b``, ``t``, ``i``
and the column ``is_same``; ``lakehouse.states.duckdb`` and ``lakehouse.states.spark`` join the three and apply them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from lakehouse.contracts.contract import Contract
from lakehouse.errors import ContractBroken
from lakehouse.query.words import literal

Mode = Literal["snapshot", "delta"]
# Columns that the change itself fills; a feed's rows have all the others.
VALIDITY = ("_feed", "valid_from", "valid_to")


@dataclass(frozen=True)
class StateCounts:
    """What one change of a state table is made of: rows that open, that close, reopen or are corrected, and that go."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class Scope:
    """The part of a table that a change may touch: rows whose ``column`` is among ``values``.

    Where Spark makes the change they may be a Spark frame of that one column.
    """

    column: str
    values: Any


@dataclass(frozen=True)
class Change:
    """One change of a state table: what feed says it, for which night, and how its rows are meant.

    In mode ``snapshot`` a key that is absent ends, in mode ``delta`` it stays. ``key`` names one row of the feed.
    ``scope`` limits the change to a part of the table; the feed's rows lie inside it.
    """

    contract: Contract
    feed: str
    business_date: date
    mode: Mode
    key: tuple[str, ...]
    scope: Scope | None = None

    @property
    def day(self) -> str:
        """Give the business date as SQL text."""
        return literal(self.business_date)

    @property
    def incoming_columns(self) -> list[str]:
        """Give the columns that the feed's rows must have."""
        return [name for name in self.contract.columns if name not in VALIDITY]

    @property
    def content_columns(self) -> list[str]:
        """Give the columns in which an attempt's row may differ from the incoming one."""
        return [*self.contract.business_columns, "_file", "_row"]

    @property
    def stays(self) -> str:
        """Give the condition under which the row before stays open."""
        absent = "i IS NULL" if self.mode == "delta" else "false"
        return f"(is_same OR {absent})"

    @property
    def ends_on(self) -> str:
        """Give the day on which the row before ends; null where it stays."""
        return f"CASE WHEN NOT {self.stays} THEN {self.day} END"

    @property
    def opens(self) -> str:
        """Give the condition under which a row is valid from the business date on."""
        return "(i IS NOT NULL AND NOT is_same)"

    def before_action(self) -> str:
        """Give the action on the row before: it ends, or what an earlier attempt ended is open again."""
        return f"CASE WHEN b IS NOT NULL AND b.valid_to IS DISTINCT FROM {self.ends_on} THEN 'update' END"

    def attempt_action(self) -> str:
        """Give the action on a row that an earlier attempt opened and this one does not."""
        return f"CASE WHEN t IS NOT NULL AND NOT {self.opens} THEN 'delete' END"

    def incoming_action(self, differs: str) -> str:
        """Give the action on the incoming row; ``differs`` tells whether it differs from the attempt's in content."""
        return f"CASE WHEN {self.opens} AND t IS NULL THEN 'insert' WHEN {self.opens} AND {differs} THEN 'update' END"


def check_state(contract: Contract, names: Sequence[str]) -> None:
    """Refuse a table that is no state, and rows that lack a column; ``ContractBroken`` names it."""
    if contract.shape != "state":
        raise ContractBroken(f"{contract.name} is a {contract.shape}, not a state table")
    missing = [name for name in contract.columns if name not in (*VALIDITY, *names)]
    if missing:
        raise ContractBroken(f"rows for {contract.name} lack column '{missing[0]}'")
