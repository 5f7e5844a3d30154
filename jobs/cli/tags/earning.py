"""``cdp tags earnings``: the launches that used a tag, and what came of them."""

from __future__ import annotations

from dataclasses import astuple, fields
from pathlib import Path

import click

from jobs.cli.options import complete_tags, format_option, workspace_option


@click.command("earnings")
@click.argument("name", metavar="[CODE|NAME]", required=False, shell_complete=complete_tags)
@format_option
@workspace_option
def earnings(name: str | None, form: str, workspace: Path | None) -> None:
    """Show what a tag was used for: by segment the published runs that used it, whom they reached, and sends and responses by receipts.

    Without a tag, all that were used, each over all segments. A run stands at each of its tags with all of its numbers, so they do
    not add up over tags. published counts a person again each night, people does not.
    """
    from jobs.cli.printing import print_rows
    from jobs.report.catalogue.tag_earnings import TagEarnings, tag_earnings
    from lakehouse.settings.settings import load_settings
    from lakehouse.texts import text

    names = [one.name for one in fields(TagEarnings)]
    places = [at for at, column in enumerate(names) if column != "segment" or name is not None]
    rows = [astuple(one) for one in tag_earnings(load_settings(workspace), name)]
    print_rows(tuple(names[at] for at in places), [tuple(row[at] for at in places) for row in rows], form)
    if not rows:
        click.echo(text("earnings.none") if name is None else text("earnings.of_tag_none"), err=True)


COMMANDS = (earnings,)
