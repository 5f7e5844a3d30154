"""`cdp feeds`: the feeds of a workspace, and what a sample file would become."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.draft import draft
from jobs.cli.options import workspace_option

if TYPE_CHECKING:
    from ingestion.onboarding.sample import Sample, TableSample

MOST_SUGGESTIONS = 12
LONGEST_SHOWN = 240


@click.group("feeds")
def group() -> None:
    """List feeds, draft one from a file, and check how a sample maps."""


group.add_command(draft)


@group.command("list")
@workspace_option
def list_feeds(workspace: Path | None) -> None:
    """List the workspace's feeds in the order a night takes them."""
    from ingestion import load_feeds
    from lakehouse.settings.settings import load_settings

    for feed in load_feeds(load_settings(workspace)):
        due = "required" if feed.required else "optional"
        tables = ", ".join(feed.tables) or "landing only"
        click.echo(f"{feed.feed:28} {feed.mode:9} {due:9} {feed.files.path}  →  {tables}")


@group.command("check")
@click.argument("name", metavar="FEED")
@click.option(
    "--file",
    "sample",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A sample (default: the newest delivered file).",
)
@click.option("--rows", default=10, show_default=True, help="Rows to show per table.")
@click.option("--show-values", is_flag=True, help="Show personal values instead of masking them.")
@workspace_option
def check(name: str, sample: Path | None, rows: int, show_values: bool, workspace: Path | None) -> None:
    """Show what a sample file becomes: mapped rows per table, refusals and their reasons. Nothing is written."""
    from ingestion import load_feeds
    from ingestion.onboarding.sample import check_sample, newest_file
    from lakehouse.errors import UsageError
    from lakehouse.session.session import start_session
    from lakehouse.settings.settings import load_settings
    from lakehouse.settings.yaml_files import did_you_mean

    settings = load_settings(workspace)
    feeds = {feed.feed: feed for feed in load_feeds(settings)}
    if name not in feeds:
        raise UsageError(f"unknown feed '{name}'{did_you_mean(name, list(feeds))}")
    path = sample or newest_file(feeds[name], settings)
    found = check_sample(start_session(settings), feeds[name], path, rows=rows, show_values=show_values)
    _print(found, masked=not show_values)


def _print(found: Sample, *, masked: bool) -> None:
    click.echo(f"{found.path}: {found.counts}")
    for names, said in (
        (found.extra_columns, "delivered, but not named by the feed (kept in landing)"),
        (found.unseen_columns, "named by the feed, but carried by no record"),
        (found.unmapped_columns, "named by the feed, but read by no expression"),
    ):
        if names:
            click.echo(f"  {said}: {', '.join(names)}")
    for said in found.suggestions[:MOST_SUGGESTIONS]:
        click.echo(f"  suggestion: {said}")
    for table in found.tables:
        _print_table(table)
    if found.refused:
        click.echo("\nrefused records")
        for row in found.refused:
            click.echo(f"  record {row['row_number']}: {', '.join(row['reasons'])}: {_cut(row['raw_text'])}")
    if masked:
        click.echo("\npersonal values are masked; --show-values shows them")


def _cut(text: str | None) -> str:
    """Give the beginning of a long record; the whole is in quality.refused_rows after a night."""
    return text or "" if len(text or "") <= LONGEST_SHOWN else f"{str(text)[:LONGEST_SHOWN]}…"


def _print_table(table: TableSample) -> None:
    load = table.load
    click.echo(
        f"\n{table.table}: {load.accepted} rows; {load.key_duplicates} key duplicates, {load.exact_duplicates} exact "
        f"duplicates, {load.excluded} left out, {load.refused} refused"
    )
    for row in table.rows:
        click.echo("  " + "  ".join(f"{name}={value}" for name, value in row.items()))
