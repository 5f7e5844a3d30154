"""Segments: what a selection of people means (YAML), who is chosen and who is kept out.

Cheap to import; ``check_specs`` and ``evaluate`` load what they need when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    import pyarrow as pa

    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake
    from segments.choosing.evaluation import SegmentsResult
    from segments.language.checks import SpecFinding, Surroundings
    from vocabulary.audience import Audience, StandingRun

OFFERS_TABLE = "trusted.offers"


def check_specs(settings: Settings, surroundings: Surroundings) -> tuple[str, ...]:
    """Read and check every specification of a workspace; the first fault raises with file and line.

    Give the names of the destinations that they publish to, sorted.
    """
    from segments.choosing import evaluation

    return evaluation.check_specs(settings, surroundings)


def evaluate(lake: Lake, business_date: date, surroundings: Surroundings) -> SegmentsResult:
    """Decide every segment of the workspace and give the audiences; see ``segments.choosing.evaluation``."""
    from segments.choosing import evaluation

    return evaluation.evaluate(lake, business_date, surroundings)


def recalled_audiences(lake: Lake, business_date: date, runs: Iterable[StandingRun]) -> tuple[Audience, ...]:
    """Give runs that still stand without the people who withdrew; see ``segments.choosing.recalls``."""
    from segments.choosing import recalls
    from vocabulary.policy import read_policy

    return recalls.recalled_audiences(lake, business_date, runs, read_policy(lake.settings.workspace))


def staying_people(lake: Lake, business_date: date, run: StandingRun) -> pa.Table:
    """Give the people of a run who have not withdrawn; see ``segments.choosing.recalls``."""
    from segments.choosing import recalls
    from vocabulary.policy import read_policy

    return recalls.staying_people(lake, business_date, run, read_policy(lake.settings.workspace))


def permissions(
    lake: Lake, business_date: date, people: pa.Table, uses: Iterable[tuple[str, str, int]]
) -> pa.Table:
    """Give who of these people may be contacted for which purpose on which channel; see ``segments.choosing.recalls``."""
    from segments.choosing import recalls
    from vocabulary.policy import read_policy

    return recalls.permissions(lake, business_date, people, uses, read_policy(lake.settings.workspace))


def offer_findings(lake: Lake, surroundings: Surroundings) -> list[SpecFinding]:
    """Give a finding for each segment whose offer the lake does not hold with a risk level."""
    from segments.choosing import evaluation

    return evaluation.offer_findings(lake, surroundings)


def refuse_findings(findings: list[SpecFinding]) -> None:
    """Raise ``SettingsInvalid`` with the first finding, if there is any."""
    from segments.language import checks

    checks.refuse_findings(findings)
