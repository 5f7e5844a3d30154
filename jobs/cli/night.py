"""``cdp nightly``, ``backfill``, the single steps, ``deliver``, and ``runs``."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import click

from jobs.cli.options import (
    date_option,
    engine_option,
    force_option,
    format_option,
    range_options,
    workspace_option,
)


@click.command("nightly")
@date_option()
@force_option()
@engine_option(help="The engine of this night, in place of that of cdp.yml; no row depends on it.")
@workspace_option
def nightly(business_date: date, force: bool, engine: str | None, workspace: Path | None) -> int:
    """Run the night of one business date: ingest, resolve, build tags, publish.

    The last line on stdout is a JSON object. The newest date may be rerun; an older one needs backfill.
    """
    from jobs.night.nightly import run_night, summary_line
    from lakehouse.settings.settings import load_settings

    night = run_night(load_settings(workspace, engine=engine), business_date, force=force)
    click.echo(summary_line(night))
    return night.exit_code


@click.command("backfill")
@range_options(
    first="The first business date to (re)play.", last="The last one (default: the newest known).", required=True
)  # fmt: skip
@workspace_option
def backfill(first: date, last: date | None, workspace: Path | None) -> int:
    """Replay nights in order, from one business date to another; prints one JSON line per night."""
    from jobs.night.backfill import run_backfill
    from jobs.night.nightly import summary_line
    from lakehouse.settings.settings import load_settings

    for night in run_backfill(load_settings(workspace), first, last):
        click.echo(summary_line(night))
    return 0


@click.command("ingest")
@date_option(required=False)
@range_options(
    first="The first business date of a history.", last="The last business date of a history.", required=False
)
@workspace_option
def ingest(business_date: date | None, first: date | None, last: date | None, workspace: Path | None) -> int:
    """Run only the ingestion step, of one night (--date) or of a long history in one pass (--from, --to).

    Of a night nothing becomes visible before the night is published; a history is published as a whole, each file
    with its own business date as the day of its arrival.
    """
    from lakehouse.errors import UsageError

    if business_date is not None and first is None and last is None:
        return _single("ingest", business_date, workspace)
    if business_date is not None or first is None or last is None:
        raise UsageError("say either --date D, or --from D --to D for a history")
    from jobs.night.history import run_history
    from lakehouse.settings.settings import load_settings

    click.echo(run_history(load_settings(workspace), first, last))
    return 0


@click.command("build-tags")
@date_option()
@workspace_option
def build_tags(business_date: date, workspace: Path | None) -> int:
    """Run only the tag step on what was ingested and resolved."""
    return _single("build_tags", business_date, workspace)


@click.command("publish")
@date_option()
@workspace_option
def publish(business_date: date, workspace: Path | None) -> int:
    """Run only the publishing step on the tags that were built."""
    return _single("publish", business_date, workspace)


def _single(step: str, business_date: date, workspace: Path | None) -> int:
    from jobs.night.single import run_single
    from lakehouse.settings.settings import load_settings

    click.echo(run_single(load_settings(workspace), step, business_date))
    return 0


@click.command("deliver")
@click.option(
    "--destination", "names", multiple=True, help="Only this destination; may be given more than once."
)
@workspace_option
def deliver(names: tuple[str, ...], workspace: Path | None) -> int:
    """Send audiences to destinations that were down or took a part, from where the last attempt stopped.

    One JSON line per audience. Exit 0 where all was taken, 1 where not, 99 where nothing was left to send.
    """
    from jobs.night.transmitting import deliver as send
    from lakehouse.errors import NOTHING_TO_DO
    from lakehouse.settings.settings import load_settings

    transmissions = send(load_settings(workspace), names)
    for one in transmissions:
        click.echo(json.dumps(one.summary(), ensure_ascii=False))
    if not transmissions:
        click.echo("nothing is left to send", err=True)
        return NOTHING_TO_DO
    return 0 if all(one.status == "SENT" for one in transmissions) else 1


@click.command("runs")
@click.option("--last", default=20, show_default=True, type=click.IntRange(min=1), help="How many rows.")
@format_option
@workspace_option
def runs(last: int, form: str, workspace: Path | None) -> None:
    """Show the ledger of attempts, newest last; instants are UTC."""
    from jobs.cli.printing import print_rows
    from jobs.report.attempts import attempts
    from lakehouse.settings.settings import load_settings

    ledger = attempts(load_settings(workspace))
    if ledger is None:
        click.echo("no night was attempted yet", err=True)
    rows = [
        (
            f"{row.written_at:%Y-%m-%d %H:%M:%S}",
            row.business_date,
            row.step,
            row.status,
            row.seconds,
            row.message,
        )
        for row in (ledger or [])[-last:]
    ]
    if ledger is not None or form == "csv":
        print_rows(("written_at", "business_date", "step", "status", "seconds", "message"), rows, form)
