"""The ledger of attempts as people read it: every row of ``ops.runs``, oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from lakehouse.settings.settings import Settings
from lakehouse.tables.lake import Lake


@dataclass(frozen=True)
class AttemptRow:
    """One row of the ledger: a step of a business date that started, or ended in some way."""

    written_at: datetime
    business_date: date
    step: str
    status: str
    seconds: float | None
    message: str | None


def attempts(settings: Settings) -> list[AttemptRow] | None:
    """Give the rows of the ledger by the time they were written; None where no night was attempted."""
    lake = Lake(settings)
    if not lake.exists("ops.runs"):
        return None
    names = list(AttemptRow.__dataclass_fields__)
    rows = lake.read_arrow("ops.runs", columns=names).to_pylist()
    return [AttemptRow(**row) for row in sorted(rows, key=lambda row: row["written_at"])]
