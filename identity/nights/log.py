"""The log of nights: the newest row is where the next night begins, and how stable numbers were."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING

from identity.rules.rules import Rules
from lakehouse.contracts.reading import contract

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.tables.lake import Lake

TABLE = "identity.nights"
# Columns whose names are no names of values.
_COLUMNS = {"reached_counts": "reached", "moves_by_cause": "moved"}


@dataclass(frozen=True)
class NightBefore:
    """What the newest night before this one ran under."""

    business_date: date
    rules_version: str
    rules: str
    decisions: frozenset[str]
    profiles: int
    joined_profiles: int


@dataclass
class NightRow:
    """The row a night leaves; see the contract of ``identity.nights``."""

    mode: str
    mode_reason: str
    rules_version: str
    rules: str
    decisions: str
    reached_counts: str
    kinds: str
    touched_profiles: int = 0
    profiles: int = 0
    one_ids: int = 0
    largest_person: int = 0
    kept_oversized: int = 0
    violations: int = 0
    largest_growth: int = 0
    known_profiles: int = 0
    moves_by_cause: str = "{}"
    moved_quietly: int = 0
    moved_untouched: int = 0
    uncovered: int = 0
    joined_profiles: int = 0
    joined_share_lost: float = 0.0


def night_before(rows: pa.Table, business_date: date) -> NightBefore | None:
    """Give the newest night before the date; None before the first."""
    earlier = [row for row in rows.to_pylist() if row["_arrived_on"] < business_date]
    if not earlier:
        return None
    row = max(earlier, key=lambda night: night["_arrived_on"])
    return NightBefore(
        business_date=row["_arrived_on"],
        rules_version=row["rules_version"],
        rules=row["rules"],
        decisions=frozenset(json.loads(row["decisions"])),
        profiles=row["profiles"],
        joined_profiles=row["joined_profiles"] or 0,
    )


def rules_as_text(rules: Rules) -> str:
    """Give the rules as JSON, with equal text for equal rules."""
    return json.dumps(rules.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)


def remove_night(lake: Lake, business_date: date) -> None:
    """Take away the night's row before anything of a further attempt is written: without it the night is unfinished."""
    import pyarrow as pa

    nothing = pa.Table.from_pylist([], schema=contract(TABLE).arrow_schema())
    lake.replace_partition(TABLE, nothing, _arrived_on=business_date)


def write_row(lake: Lake, night: NightRow, business_date: date) -> None:
    """Write the night's row, the last thing a night of identity does."""
    import pyarrow as pa

    values = asdict(night)
    row = {_COLUMNS.get(name, name): value for name, value in values.items()} | {
        "_feed": "identity", "_file": f"rules {night.rules_version}", "_row": 0, "_arrived_on": business_date,
    }  # fmt: skip
    lake.replace_partition(
        TABLE, pa.Table.from_pylist([row], schema=contract(TABLE).arrow_schema()), _arrived_on=business_date
    )
