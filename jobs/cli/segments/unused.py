"""``cdp segments unused``: segments whose audiences nobody gets."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.options import format_option, workspace_option


@click.command("unused")
@click.option(
    "--days",
    type=click.IntRange(1, 1096),
    default=90,
    show_default=True,
    help="Not delivered for so many days before the newest published date.",
)
@format_option
@workspace_option
def unused(days: int, form: str, workspace: Path | None) -> None:
    """List the segments of the workspace whose audiences were delivered nowhere, or not for 90 days.

    Only people count that a destination took: an empty audience, a dry run and what no endpoint ever accepted do not. Needs no JVM.
    """
    from jobs.cli.printing import print_rows
    from lakehouse.settings.settings import load_settings
    from segments.explaining.unused import unused_segments

    settings = load_settings(workspace)
    day, segments = unused_segments(settings, days)
    rows = [
        (
            s.segment.code, s.segment.version, s.last_delivered_on, s.first_evaluated_on, ", ".join(s.readers),
            getattr(s.segment.spec.name, settings.language),
        )
        for s in segments
    ]  # fmt: skip
    print_rows(("code", "version", "last_delivered_on", "first_evaluated_on", "asked_by", "name"), rows, form)
    click.echo(
        f"as published on {day}; who reads segments.members by BI tools or cdp sql is not seen", err=True
    )
