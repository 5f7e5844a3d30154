"""The night of one business date: lock, steps with their gates, one publication row, a report.

``spark-submit jobs/night/nightly.py --workspace W --date D`` runs it on a cluster; ``cdp nightly`` embedded.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jobs.night.fingerprint import fingerprint_of
from jobs.night.steps import STEPS, run_step
from jobs.night.surroundings import read_surroundings
from lakehouse.errors import CdpError, GateStopped, UsageError
from lakehouse.ledger.ledger import Ledger, publish, restore_published, unfinished_night
from lakehouse.ledger.lock import hold_lock
from lakehouse.query.hashing import text_hash
from lakehouse.query.published import newest_publication, publications
from lakehouse.settings.settings import Settings, load_settings
from lakehouse.tables.lake import Lake, open_lake

log = logging.getLogger("cdp.nightly")


@dataclass(frozen=True)
class Night:
    """How a night ended: ``published`` or ``unchanged``, and its JSON summary."""

    status: str
    summary: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """0 for a published night, 99 for one with nothing to do."""
        return 99 if self.status == "unchanged" else 0


def run_night(settings: Settings, business_date: date, *, force: bool = False) -> Night:
    """Run the night of ``business_date``; the same inputs and settings as published before do nothing.

    A night that failed goes on at the failed step. A gate that stops brings every table back to what is published.
    """
    import ingestion

    check_workspace(settings)
    with hold_lock(settings.lock_dir, f"nightly {business_date}") as note_jvm:
        lake = open_lake(settings)
        refuse_older_date(lake, business_date)
        abandon_unpublished(lake, business_date)
        ingestion.extract_tables(lake, business_date)
        return run_locked_night(lake, business_date, force=force, note_jvm=note_jvm)


def run_locked_night(lake: Lake, business_date: date, *, force: bool = False, note_jvm: Any = None) -> Night:
    """Run a night on a lake whose lock the caller holds."""
    settings = lake.settings
    fingerprint = fingerprint_of(lake, business_date)
    before = newest_publication(settings)
    if before and not force and (before.business_date, before.fingerprint) == (business_date, fingerprint):
        log.info("%s was published from the same files and settings: nothing to do", business_date)
        return Night("unchanged", before.summary | {"status": "unchanged", "seconds": {}})
    lake.run_id = text_hash(business_date, fingerprint)[:16]
    ledger = Ledger(lake, business_date, fingerprint)
    resumable = ledger.done_since_restart()
    if note_jvm is not None:
        _ = lake.spark
        from lakehouse.session.session import jvm_pid

        note_jvm(jvm_pid())
    done: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    with ledger.step("nightly") as night:
        try:
            for step in STEPS:
                if step.name in resumable:
                    log.info("%s was done by an earlier attempt of this night", step.name)
                    done[step.name] = resumable[step.name].counts
                    seconds[step.name] = resumable[step.name].seconds
                    continue
                with ledger.step(step.name) as record:
                    record.counts = run_step(step.name, lake, business_date)
                done[step.name], seconds[step.name] = record.counts, record.seconds
        except GateStopped:
            moved = restore_published(lake)
            log.warning("the night was refused; %d tables are back at what is published", len(moved))
            raise
        summary = summary_of(settings, business_date, done, seconds)
        publish(lake, business_date, fingerprint, summary)
        night.counts = {"tables": len(done)}
    write_report(lake, business_date, summary)
    return Night("published", summary)


def summary_of(
    settings: Settings, business_date: date, done: dict[str, Any], seconds: dict[str, float]
) -> dict[str, Any]:
    """Give the night's JSON summary; money and counts only, nobody's values."""
    return {
        "date": business_date.isoformat(),
        "status": "published",
        "feeds": done["ingest"]["feeds"],
        "warnings": done["ingest"]["warnings"],
        "identity": done["resolve"],
        "tags": done["build_tags"],
        "segments": done["publish"],
        "seconds": seconds,
        "report": str(report_path(settings, business_date)),
    }


def report_path(settings: Settings, business_date: date) -> Path:
    """Give where the night's HTML report stands."""
    return settings.reports / f"{business_date}.html"


def write_report(lake: Lake, business_date: date, summary: dict[str, Any]) -> None:
    """Write the static HTML report; a report that cannot be written does not undo a published night."""
    from jobs.report.report import render_report

    try:
        path = render_report(lake.settings, business_date, summary)
        log.info("report: %s", path)
    except OSError as wrong:
        log.error("the night is published, but its report could not be written: %s", wrong.strerror)


def check_workspace(settings: Settings) -> None:
    """Read every YAML of the workspace before anything is locked or written.

    The contracts that are derived from it (landing tables of feeds, the wide tag table) are known afterwards.
    """
    import identity
    import ingestion
    import segments
    import tags

    ingestion.load_feeds(settings)
    identity.load_rules(settings)
    tags.load_registry(settings)
    segments.check_specs(settings, read_surroundings(settings))


def refuse_older_date(lake: Lake, business_date: date) -> None:
    """Refuse a date older than the newest one published; rewriting history is what backfill is for."""
    newest = max((p.business_date for p in publications(lake.settings)), default=None)
    if newest is not None and business_date < newest:
        raise UsageError(
            f"{business_date} is older than the newest night {newest}: only the newest may be rerun; "
            f"use `cdp backfill --from {business_date}` to replay {business_date} to {newest} in order"
        )


def abandon_unpublished(lake: Lake, business_date: date) -> None:
    """Take back what an unfinished night of another date wrote, so that this one starts from what is published."""
    unfinished = unfinished_night(lake)
    if unfinished is not None and unfinished != business_date:
        moved = restore_published(lake)
        log.warning(
            "the night of %s was never finished; %d tables are back at what is published",
            unfinished,
            len(moved),
        )


def summary_line(night: Night) -> str:
    """Give the one JSON line a night ends with."""
    return json.dumps(night.summary, ensure_ascii=False, default=str)


def main() -> None:
    """Run as a module or by spark-submit."""
    import sys

    import click

    from jobs.cli.options import DAY, workspace_option

    @click.command()
    @click.option("--date", "business_date", type=DAY, required=True)
    @click.option("--force", is_flag=True)
    @workspace_option
    def command(business_date: date, force: bool, workspace: Path | None) -> int:
        night = run_night(load_settings(workspace), business_date, force=force)
        click.echo(summary_line(night))
        return night.exit_code

    try:
        sys.exit(command(standalone_mode=False))
    except CdpError as wrong:
        click.echo(f"nightly: {wrong}", err=True)
        sys.exit(wrong.exit_code)


if __name__ == "__main__":
    main()
