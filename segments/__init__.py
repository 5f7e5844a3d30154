"""Segments: what a selection of people means (YAML), who is chosen and who is kept out.

Cheap to import; ``check_specs`` and ``evaluate`` load what they need when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import date, time

    import pyarrow as pa

    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake
    from segments.approving.standing import Authority, Barrier
    from segments.choosing.evaluation import SegmentsResult
    from segments.language.checks.findings import SpecFinding, Surroundings
    from vocabulary.audience import Audience, StandingRun

OFFERS_TABLE = "trusted.offers"


def check_specs(settings: Settings, surroundings: Surroundings) -> tuple[str, ...]:
    """Read and check every specification of a workspace, micro-segments included; the first fault raises with file and line.

    Give the names of the destinations that they publish to, sorted.
    """
    from segments.choosing import evaluation
    from segments.grouping.declaration import check_micro_sets

    check_micro_sets(settings, surroundings)
    return evaluation.check_specs(settings, surroundings)


def evaluate(
    lake: Lake, business_date: date, surroundings: Surroundings, authority: Authority | None = None
) -> SegmentsResult:
    """Put people into micro-segments, decide every segment of the workspace and give the audiences.

    See ``segments.grouping.night`` and ``segments.choosing.evaluation``.
    """
    from segments.choosing import evaluation
    from segments.grouping.night import assign_people

    assign_people(lake, business_date, surroundings)
    return evaluation.evaluate(lake, business_date, surroundings, authority=authority)


def delete_old_indexes(settings: Settings) -> int:
    """Delete the indexes of publications that are not the newest any more; give how many there were."""
    from lakehouse.query.published import newest_publication
    from segments.indexing import files

    return files.remove_old_indexes(settings, newest_publication(settings))


def read_authority(settings: Settings) -> Authority:
    """Give what was decided about the segments of a workspace until now; see ``segments.approving``."""
    from segments.approving import standing

    return standing.read_authority(settings)


def authority_held(settings: Settings) -> AbstractContextManager[Authority]:
    """Hold off new decisions while the block runs; gives those that there are."""
    from segments.approving import standing

    return standing.authority_held(settings)


def decisions_read(settings: Settings) -> dict[str, dict[str, Any]]:
    """Give how many decisions there are and the signature of the newest, under ``decisions``; nothing where nothing was decided."""
    from segments.approving.decisions import read_log

    log = read_log(settings)
    return {"decisions": {"count": len(log.decisions), "head": log.head}} if log.decisions else {}


def require_decisions(settings: Settings, mark: Mapping[str, Any] | None) -> None:
    """Refuse a workspace that lost decisions which a published night had read, as ``decisions_read`` gave them."""
    from segments.approving import decisions

    decisions.require_continuation(decisions.read_log(settings), mark, decisions.log_file(settings))
    decisions.advance_head(settings)


def require_whole_decisions(settings: Settings) -> None:
    """Refuse a workspace whose record of decisions is damaged, or has lost its end: ``StepFailed``."""
    from segments.approving.decisions import read_log

    read_log(settings)


def needs_decisions_key(settings: Settings) -> bool:
    """Tell whether decisions about segments can be expected: some were made, or ``roles.yml`` says who makes them."""
    from lakehouse.settings.optional_files import is_there
    from segments.approving.decisions import log_file
    from segments.approving.roles import ROLES_FILE, read_roles

    read_roles(settings.workspace)
    return is_there(settings.workspace / ROLES_FILE) or is_there(log_file(settings))


def find_barriers(settings: Settings, surroundings: Surroundings, business_date: date) -> tuple[Barrier, ...]:
    """Give what keeps segments of the workspace from being published, and log each one."""
    from segments.choosing import evaluation

    barriers = evaluation.find_barriers(settings, surroundings, business_date)
    evaluation.tell_barriers(barriers)
    return barriers


def recalled_audiences(
    lake: Lake, business_date: date, runs: Iterable[StandingRun], authority: Authority | None = None
) -> tuple[Audience, ...]:
    """Give runs that still stand without the people who withdrew, recalled ones without anybody; see ``segments.choosing.recalls``."""
    from segments.approving.standing import read_authority, stopped_codes
    from segments.choosing import recalls
    from vocabulary.policy import read_policy

    settings = lake.settings
    codes = stopped_codes((authority or read_authority(settings)).log, "recall")
    return recalls.recalled_audiences(lake, business_date, runs, read_policy(settings.workspace), codes)


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


def event_warnings(lake: Lake, surroundings: Surroundings) -> Iterator[str]:
    """Give a sentence for each segment that asks for events of a name that the lake does not hold."""
    from segments.explaining import event_names

    return event_names.event_warnings(lake, surroundings)


def ready_times(settings: Settings) -> dict[str, time]:
    """Give when the audience of a segment must be there, for those that say so by ``schedule.ready_by``."""
    from datetime import time

    from segments.language.spec import read_segments

    times = {one.code: one.spec.schedule.ready_by for one in read_segments(settings.workspace)}
    return {code: time.fromisoformat(clock) for code, clock in times.items() if clock is not None}


def refuse_findings(findings: list[SpecFinding]) -> None:
    """Raise ``SettingsInvalid`` with the first finding, if there is any."""
    from segments.language.checks import findings as of_checks

    of_checks.refuse_findings(findings)
