"""One step of a night on its own, under the lock and in the ledger; publishing is left to the night."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from jobs.night.fingerprint import fingerprint_of
from jobs.night.nightly import abandon_unpublished, check_workspace, refuse_older_date
from jobs.night.steps import run_step
from lakehouse.errors import CdpError
from lakehouse.ledger.ledger import Ledger
from lakehouse.ledger.lock import hold_lock
from lakehouse.query.hashing import text_hash
from lakehouse.settings.settings import Settings, load_settings
from lakehouse.tables.lake import open_lake


def run_single(settings: Settings, step: str, business_date: date, **options: Any) -> str:
    """Run one step, with its own options, and its gate; give its counts as one JSON line.

    Nothing becomes visible: the tables it writes are published by the next ``nightly`` of the same date, which
    takes the step as done where files and settings are the same.
    """
    import ingestion

    check_workspace(settings)
    with hold_lock(settings.lock_dir, f"{step} {business_date}"):
        lake = open_lake(settings)
        refuse_older_date(lake, business_date)
        abandon_unpublished(lake, business_date)
        if step == "ingest":
            ingestion.extract_tables(lake, business_date)
        fingerprint = fingerprint_of(lake, business_date)
        lake.run_id = text_hash(business_date, fingerprint)[:16]
        with Ledger(lake, business_date, fingerprint).step(step) as record:
            record.counts = run_step(step, lake, business_date, **options)
    line = {
        "date": business_date.isoformat(),
        "step": step,
        "counts": record.counts,
        "seconds": record.seconds,
    }
    return json.dumps(line, ensure_ascii=False, default=str)


def main(step: str) -> None:
    """Run ``step`` as a module or by spark-submit: ``--workspace W --date D``."""
    import click

    from jobs.cli.options import DAY, workspace_option

    @click.command()
    @click.option("--date", "business_date", type=DAY, required=True)
    @workspace_option
    def command(business_date: date, workspace: Path | None) -> int:
        click.echo(run_single(load_settings(workspace), step, business_date))
        return 0

    try:
        sys.exit(command(standalone_mode=False))
    except CdpError as wrong:
        click.echo(f"{step}: {wrong}", err=True)
        sys.exit(wrong.exit_code)
