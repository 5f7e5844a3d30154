"""The quality of the published map of persons, measured against known truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from identity.measuring.baselines import baselines
from identity.measuring.evaluate import evaluate
from identity.measuring.shape import night_of, shape_of
from identity.rules.rules import load_rules
from lakehouse.errors import UsageError
from lakehouse.query.published import open_publication
from lakehouse.settings.settings import Settings

_MAP = "SELECT source, source_key, one_id FROM identity.memberships WHERE valid_to IS NULL"


@dataclass(frozen=True)
class MapEvaluation:
    """What was measured of one publication: numbers against the truth, the shape of the map, the night's changes.

    ``baselines`` holds the same numbers of simpler ways to join records, by their names; None where not asked for.
    """

    business_date: date
    numbers: dict[str, Any]
    shape: dict[str, Any]
    night: dict[str, Any]
    baselines: dict[str, Any] | None

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values, for JSON."""
        values = {"date": str(self.business_date), **self.numbers, "shape": self.shape, "night": self.night}
        return values if self.baselines is None else values | {"baselines": self.baselines}


def evaluate_map(
    settings: Settings,
    truth: Path | None,
    *,
    allow_missing: bool = False,
    with_baselines: bool = False,
    as_of: date | None = None,
) -> MapEvaluation:
    """Measure a publication's map against ``truth``, a CSV, or against the one the workspace names."""
    truth = truth or settings.truth
    if truth is None:
        raise UsageError("there is no truth to measure against: name one with --truth FILE or in cdp.yml")
    published, rules = open_publication(settings, as_of), load_rules(settings)
    records = pa.table(published.sql(_MAP).fetchnumpy())
    return MapEvaluation(
        business_date=published.publication.business_date,
        numbers=evaluate(records, truth, allow_missing=allow_missing).summary(),
        shape=shape_of(published, rules),
        night=night_of(published),
        baselines=baselines(published, rules, truth, allow_missing=allow_missing) if with_baselines else None,
    )
