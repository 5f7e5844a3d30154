"""The night: what holds for all of one run, read once at its start and passed on as one object."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from identity.nights.log import TABLE as NIGHTS
from identity.nights.log import NightBefore, night_before
from identity.reading.decisions import TABLE as DECISIONS
from identity.reading.decisions import PairDecision, decisions_of
from identity.reading.published_night import PublishedNight, published_night
from identity.rules.rules import Rules, load_rules
from identity.rules.workspace_key import workspace_key

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake


@dataclass(frozen=True)
class IdentityNight:
    """One night: its date, rules and key, people's decisions, and the night it begins from (None: the first).

    ``decisions`` are in force; ``all_decisions`` has the revoked ones too. ``published`` is what readers have seen of this
    night already.
    """

    business_date: date
    rules: Rules
    key: bytes = field(repr=False)
    decisions: list[PairDecision]
    all_decisions: list[PairDecision]
    before: NightBefore | None
    published: PublishedNight | None = None

    @property
    def file(self) -> str:
        """Give what rows of this night name as their file."""
        return f"rules {self.rules.version}"

    @property
    def decisions_text(self) -> str:
        """Give the ids of the decisions in force as JSON."""
        return json.dumps(sorted(decision.decision_id for decision in self.decisions))


def read_night(lake: Lake, business_date: date, rules: Rules | None = None) -> IdentityNight:
    """Read what holds for the night; wrong rules and a changed key raise ``SettingsInvalid``."""
    rules = rules or load_rules(lake.settings)
    key = workspace_key(lake, business_date)
    before = night_before(lake.read_arrow(NIGHTS), business_date)
    rows = lake.read_arrow(DECISIONS).to_pylist()
    published = published_night(lake, business_date)
    return IdentityNight(
        business_date,
        rules,
        key,
        decisions_of(rows),
        decisions_of(rows, with_revoked=True),
        before,
        published,
    )
