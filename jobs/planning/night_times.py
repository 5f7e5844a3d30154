"""How long a night takes, by what the ledger measured of the last ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lakehouse.query.desk import open_newest
from lakehouse.query.words import literals
from lakehouse.settings.settings import Settings

NIGHTS = 5
_RUNS = "ops.runs"


@dataclass(frozen=True)
class NightTimes:
    """Median and longest seconds of each step over the last ``nights``; empty where none was measured."""

    nights: int = 0
    median: dict[str, float] = field(default_factory=dict)
    longest: dict[str, float] = field(default_factory=dict)

    @property
    def minutes(self) -> float | None:
        """A whole night, by the medians; None where it is unknown."""
        return round(sum(self.median.values()) / 60, 1) if self.median else None

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return {
            "nights": self.nights,
            "minutes": self.minutes,
            "median": self.median,
            "longest": self.longest,
        }


def night_times(settings: Settings, steps: tuple[str, ...]) -> NightTimes:
    """Give the times of these steps; of a date that was attempted more than once, the last time that a step was done."""
    with open_newest(settings) as desk:
        rows = desk.rows(
            f"""
            WITH last AS (
                SELECT step, business_date, arg_max(seconds, written_at) AS seconds FROM {_RUNS}
                WHERE status = 'done' AND seconds IS NOT NULL AND step IN ({literals(steps)}) GROUP BY ALL
            ), nights AS (
                SELECT business_date FROM last GROUP BY ALL HAVING count(*) = {len(steps)} ORDER BY business_date DESC LIMIT {NIGHTS}
            )
            SELECT step, median(seconds), max(seconds), count(*) FROM last SEMI JOIN nights USING (business_date) GROUP BY step
            """
        )
    times = {step: (round(middle, 1), round(most, 1)) for step, middle, most, _ in rows}
    order = [step for step in steps if step in times]
    nights = max((count for *_, count in rows), default=0)
    return NightTimes(
        nights, {step: times[step][0] for step in order}, {step: times[step][1] for step in order}
    )
