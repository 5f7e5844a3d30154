"""The night of one business date: lock, steps with their gates, one publication row, a report."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jobs.night.fingerprint import workspace_hash
from jobs.night.offers import require_offers
from jobs.night.steps import RECORDED_STEPS, make_inputs, message_of, run_step
from jobs.night.transmitting import transmit_night
from jobs.night.writing import LakeWriter, open_for_writing
from jobs.report.export import refresh_export
from jobs.workspace.surroundings import read_surroundings
from lakehouse.errors import NOTHING_TO_DO, CdpError, GateStopped
from lakehouse.integrity.retention import delete_old_files, delete_old_rows
from lakehouse.ledger.ledger import StepRecord, publish, restore_published
from lakehouse.query.hashing import text_hash
from lakehouse.query.published import newest_publication
from lakehouse.settings.settings import Settings

log = logging.getLogger("cdp.nightly")


@dataclass(frozen=True)
class NightOutcome:
    """How a night ended: ``published`` or ``unchanged``, and its JSON summary."""

    status: str
    summary: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """0 for a published night, ``NOTHING_TO_DO`` for one that is unchanged."""
        return NOTHING_TO_DO if self.status == "unchanged" else 0


def run_night(settings: Settings, business_date: date, *, force: bool = False) -> NightOutcome:
    """Run the night of ``business_date``; the same inputs and settings as published before do nothing.

    A night that failed goes on at the failed step. A gate that stops brings every table back to what is published.
    """
    with open_for_writing(settings, business_date, f"nightly {business_date}") as writer:
        make_inputs(writer.lake, business_date)
        return run_attempt(writer, business_date, force=force)


def run_attempt(writer: LakeWriter, business_date: date, *, force: bool = False) -> NightOutcome:
    """Run one night on a lake that is open for writing and whose inputs are complete."""
    import segments
    import tags

    lake, settings = writer.lake, writer.lake.settings
    settings_at_start = workspace_hash(settings)
    attempt = writer.attempt(business_date)
    before = newest_publication(settings)
    is_same = before and (before.business_date, before.fingerprint) == (business_date, attempt.fingerprint)
    if before and is_same and not force:
        log.info("%s was published from the same files and settings: nothing to do", business_date)
        return NightOutcome("unchanged", before.summary | {"status": "unchanged", "seconds": {}})
    earlier = attempt.ledger.done_since_restart()
    segments.require_decisions(settings, before.summary.get("decisions") if before else None)
    segments.find_barriers(settings, read_surroundings(settings), business_date)
    require_offers(lake, business_date, is_ingested="ingest" in earlier)
    writer.prepare_spark()
    first_warnings = writer.warnings.take()
    records: dict[str, StepRecord] = {}
    with attempt.ledger.step("nightly") as night:
        try:
            for step in RECORDED_STEPS:
                if step.name in earlier:
                    log.info("%s was done by an earlier attempt of this night", step.name)
                    records[step.name] = earlier[step.name]
                    continue
                with attempt.ledger.step(step.name) as record:
                    record.counts = run_step(step.name, lake, business_date)
                    record.message = message_of(record.counts)
                    record.warnings = writer.warnings.take()
                records[step.name] = record
                if step.name == "ingest":
                    require_offers(lake, business_date, is_ingested=True)
        except GateStopped:
            tables = restore_published(lake)
            log.warning("the night was refused; %d tables are back at what is published", len(tables))
            raise
        fingerprint = attempt.fingerprint
        if workspace_hash(settings) != settings_at_start:
            # Steps read the workspace one after the other: this night is of no one state of it, and no later one is the same.
            fingerprint = text_hash("changed meanwhile", fingerprint)
            log.warning(
                "files of the workspace changed while the night of %s ran, and each step took what was there when it began; "
                "the same command again makes the night by what is there now",
                business_date,
            )
        summary = summary_of(settings, business_date, records, [*first_warnings, *writer.warnings.take()])
        summary |= segments.decisions_read(settings)
        delete_old_rows(lake, business_date)
        publish(lake, business_date, fingerprint, summary)
        night.counts = {"tables": len(records)}
    deletion = tags.delete_old_files(lake, business_date)
    of_logs = delete_old_files(lake, business_date)
    deletion = {"files": deletion["files"] + of_logs.files, "bytes": deletion["bytes"] + of_logs.bytes}
    if deletion["files"]:
        summary["deleted"] = deletion
    segments.delete_old_indexes(settings)
    transmissions = transmit_night(lake, business_date)
    if transmissions:
        summary["transmissions"] = [one.summary() for one in transmissions]
    summary["warnings"] = list(dict.fromkeys([*summary["warnings"], *writer.warnings.take()]))
    write_report(settings, business_date, summary)
    write_dbt_project(settings)
    refresh_export(settings)
    return NightOutcome("published", summary)


def summary_of(
    settings: Settings,
    business_date: date,
    records: dict[str, StepRecord],
    first_warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """Give the night's JSON summary from its steps' records; counts and seconds only, nobody's values.

    Its warnings are those logged before the first step and by every step, also by one that an earlier attempt did.
    """
    warnings = [
        *first_warnings,
        *records["ingest"].counts["warnings"],
        *(text for record in records.values() for text in record.warnings),
    ]
    return {
        "date": business_date.isoformat(),
        "status": "published",
        "feeds": records["ingest"].counts["feeds"],
        "warnings": list(dict.fromkeys(warnings)),
        "identity": records["resolve"].counts,
        "tags": records["build_tags"].counts,
        "segments": records["publish"].counts,
        "seconds": {name: record.seconds for name, record in records.items()},
        "report": str(report_path(settings, business_date)),
    }


def report_path(settings: Settings, business_date: date) -> Path:
    """Give where the night's HTML report stands."""
    return settings.reports / f"{business_date}.html"


def write_report(settings: Settings, business_date: date, summary: dict[str, Any]) -> None:
    """Write the static HTML report; a report that cannot be written does not undo a published night."""
    from jobs.report import report

    path = report_path(settings, business_date)
    try:
        report.write_report(path, settings, business_date, summary)
        log.info("report: %s", path)
    except OSError as wrong:
        log.error("the night is published, but its report could not be written: %s", wrong.strerror)


def write_dbt_project(settings: Settings) -> None:
    """Let a person who works with dbt see the published night; where that fails, the night stays published."""
    from tags.build.user_project import write_user_project

    try:
        write_user_project(settings, newest_publication(settings), is_checked=False)
    except (OSError, CdpError) as wrong:
        reason = wrong.strerror if isinstance(wrong, OSError) else wrong
        log.error("the night is published, but its dbt project could not be written: %s", reason)


def summary_line(night: NightOutcome) -> str:
    """Give the one JSON line a night ends with."""
    return json.dumps(night.summary, ensure_ascii=False, default=str)
