"""`cdp feeds`: the feeds of a workspace, and what a sample file would become."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import complete_feeds, format_option, workspace_option

if TYPE_CHECKING:
    from ingestion.onboarding.draft import Draft
    from ingestion.onboarding.sample import Sample, TableSample
    from lakehouse.settings.settings import Settings

MOST_SUGGESTIONS = 12
LONGEST_SHOWN = 240


@click.group("feeds")
def group() -> None:
    """List feeds, draft one from a file, and check how a sample maps."""


@group.command("list")
@format_option
@workspace_option
def list_feeds(form: str, workspace: Path | None) -> None:
    """List the workspace's feeds in the order a night takes them."""
    from ingestion import load_feeds
    from jobs.cli.printing import print_rows
    from lakehouse.settings.settings import load_settings

    rows = [
        (
            feed.feed,
            feed.mode,
            "required" if feed.required else "optional",
            feed.files.path,
            ", ".join(feed.tables) or "landing only",
        )
        for feed in load_feeds(load_settings(workspace))
    ]
    print_rows(("feed", "mode", "due", "path", "tables"), rows, form)


@group.command("check")
@click.argument("name", metavar="FEED", shell_complete=complete_feeds)
@click.option(
    "--file",
    "sample",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A sample (default: the newest delivered file).",
)
@click.option("--rows", default=10, show_default=True, help="Rows to show per table.")
@click.option(
    "--show-values",
    is_flag=True,
    help="Show personal values instead of masking them; recorded in audit/reveals.jsonl.",
)
@format_option
@workspace_option
def check(
    name: str, sample: Path | None, rows: int, show_values: bool, form: str, workspace: Path | None
) -> None:
    """Show what a sample file becomes: mapped rows per table, refusals and their reasons. Nothing is written."""
    from identity import load_rules
    from ingestion.onboarding.sample import check_sample, newest_file
    from jobs.cli.printing import print_document
    from jobs.workspace.check import require_rules_of_namespaces
    from jobs.workspace.feeds import named_feed
    from lakehouse.settings.settings import load_settings

    settings = load_settings(workspace)
    feed = named_feed(settings, name)
    require_rules_of_namespaces([feed], load_rules(settings))
    path = sample or newest_file(feed, settings)
    if show_values:
        from jobs.report.reveals import record_file_reveal

        record_file_reveal(settings, feed.feed, path.name)
    rows_of_file = check_sample(settings, feed, path, rows=rows, show_values=show_values)
    print_document(rows_of_file.summary(), _sample_lines(rows_of_file, masked=not show_values), form)


@group.command("draft")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--feed", help="Name of the feed (default: after the file).")
@click.option("--source", help="The system that delivers (default: the feed's name).")
@click.option(
    "--table", "tables", multiple=True, help="A trusted table to fill; may be given more than once."
)
@click.option(
    "--dictionary",
    type=click.Path(path_type=Path),
    help="CSV of two columns, delivered column and meaning, for names that tell nothing.",
)
@click.option(
    "--utc", is_flag=True, help="Instants without a zone are UTC (default: the workspace's time zone)."
)
@click.option("--separator", help="Separator of columns (default: found in the file).")
@click.option("--encoding", help="Encoding of the file (default: found in the file).")
@click.option(
    "--header/--no-header", default=None, help="Whether the first record names columns (default: found)."
)
@click.option(
    "--attributes",
    is_flag=True,
    help="Make attributes of the columns that no table has; with --write they are declared in attributes/<feed>.yml.",
)
@click.option("--write", is_flag=True, help="Write feeds/<feed>.yml into the workspace.")
@workspace_option
def draft(
    file: Path,
    feed: str | None,
    source: str | None,
    tables: tuple[str, ...],
    dictionary: Path | None,
    utc: bool,
    separator: str | None,
    encoding: str | None,
    header: bool | None,
    attributes: bool,
    write: bool,
    workspace: Path | None,
) -> None:
    """Propose a feed for FILE: its layout, types, keys, identifiers, personal levels, tables and mapping.

    The YAML goes to stdout, or with --write into the workspace; what to do next goes to stderr. No value of the
    file is printed, only shapes, and codes that many records share.
    """
    from jobs.workspace.feeds import propose_feed, settings_of_draft, write_feed

    settings = settings_of_draft(workspace, is_needed=write)
    proposal = propose_feed(
        file, settings, feed=feed, source=source, tables=tables, dictionary=dictionary, utc=utc,
        separator=separator, encoding=encoding, header=header, attributes=attributes,
    )  # fmt: skip
    if write and settings is not None:
        _print_draft(proposal, settings, file, write_feed(proposal, settings), attributes)
    else:
        click.echo(proposal.text, nl=False)
        if proposal.declarations is not None:
            click.echo(f"--- # attributes/{proposal.feed}.yml\n{proposal.declarations}", nl=False)
        _print_draft(proposal, settings, file, None, attributes)


def _sample_lines(sample: Sample, *, masked: bool) -> list[str]:
    lines = [f"{sample.path}: {sample.counts}"]
    for names, note in (
        (sample.extra_columns, "delivered, but not named by the feed (kept in landing)"),
        (sample.unseen_columns, "named by the feed, but carried by no record"),
        (sample.unmapped_columns, "named by the feed, but read by no expression"),
    ):
        if names:
            lines.append(f"  {note}: {', '.join(names)}")
    lines += [f"  suggestion: {suggestion}" for suggestion in sample.suggestions[:MOST_SUGGESTIONS]]
    for table in sample.tables:
        lines += _table_sample_lines(table)
    if sample.left_empty:
        lines += ["", "left empty, since their values cannot be kept"]
        lines += [
            f"  {one['table_name']}.{one['column_name']}: {one['value_count']} of {sample.counts.accepted} records, {_reason(one['reason'])}"
            for one in sample.left_empty
        ]
    if sample.refused:
        lines += ["", "refused records"]
        lines += [
            f"  record {row['row_number']}: {', '.join(map(_reason, row['reasons']))}: {_cut(row['raw_text'])}"
            for row in sample.refused
        ]
    return [*lines, "", "personal values are masked; --show-values shows them"] if masked else lines


def _reason(code: str) -> str:
    """Give a reason with what it means, where the catalogue has more to say than its own words."""
    from lakehouse.texts import reason_text

    meaning = reason_text(code)
    return code if meaning == code else f"{code} ({meaning.partition(':')[0]})"


def _cut(text: str | None) -> str:
    """Give the beginning of a long record; the whole is in quality.refused_rows after a night."""
    return text or "" if len(text or "") <= LONGEST_SHOWN else f"{str(text)[:LONGEST_SHOWN]}…"


def _table_sample_lines(table: TableSample) -> list[str]:
    load = table.load
    head = (
        f"{table.table}: {load.accepted} rows; {load.key_duplicates} key duplicates, {load.exact_duplicates} exact "
        f"duplicates, {load.excluded} left out, {load.refused} refused"
    )
    rows = ["  " + "  ".join(f"{name}={value}" for name, value in row.items()) for row in table.rows]
    return ["", head, *rows]


def _print_draft(
    draft: Draft, settings: Settings | None, file: Path, path: Path | None, has_attributes: bool
) -> None:
    def say(text: str) -> None:
        click.echo(text, err=path is None)

    sample = draft.sample
    separator = {"\t": "tab", "\x01": "^A"}.get(sample.separator, sample.separator)
    layout = (
        f"separated by {separator}, {'header' if sample.header else 'no header'}"
        if sample.type == "csv"
        else ""
    )
    share = "all read" if sample.is_whole else f"{sample.records} sampled"
    say(f"{file.name}: {', '.join(filter(None, [sample.type, sample.encoding, layout]))}; "
        f"{'' if sample.is_whole else 'about '}{sample.estimated} records ({share}), {len(sample.names)} columns")  # fmt: skip
    if sample.broken_lines:
        say(f"  {sample.broken_lines} records have another number of columns; a night refuses them")
    for target in draft.proposal.targets:
        say(f"  → {target.table}: {target.reason}")
    if not draft.proposal.targets:
        say("  → landing only: no trusted table fits clearly; name one with --table, or say with --dictionary what "
            "the columns mean")  # fmt: skip
        if has_attributes:
            say(
                "  no attributes: no target says whose they are; name the table of their entity, such as --table customers"
            )
    is_keyed = any(target.each for target in draft.proposal.targets)
    for name, (namespace, method) in draft.proposal.identifiers.items():
        note = "" if is_keyed else "; not mapped, because no column is the person's key"
        say(f"  identifier: {name} is {namespace}{f' hashed by {method}' if method else ''}{note}")
    if draft.proposal.attributes is not None:
        entity, number = draft.proposal.attributes.entity, len(draft.proposal.attributes.attributes)
        say(f"  {number} columns become attributes of the {entity}, declared in attributes/{draft.feed}.yml")
    for table, _, fits in draft.proposal.runners_up:
        say(f"  also near: {table} ({'; '.join(fits)})")
    if path is not None:
        say(f"wrote {path}")
    if draft.proposal.waiting:
        say("to be filled in by a person (marked TODO): " + ", ".join(draft.proposal.waiting))
    _print_next_steps(draft, settings, file, path, say)


def _print_next_steps(
    draft: Draft, settings: Settings | None, file: Path, path: Path | None, say: Callable[[str], None]
) -> None:
    if path is None or settings is None:
        say("nothing was written; --write writes it to feeds/ of the workspace")
        return
    day = str(draft.newest_day or "<yyyy-mm-dd>")
    say("next:")
    if draft.delivered_to:
        folder = shlex.quote(os.path.relpath(settings.inbox / draft.delivered_to.replace("<date>", day)))
        say(f"  mkdir -p {folder} && cp {shlex.quote(str(file))} {folder}/")
    say(f"  cdp feeds check {draft.feed}")
    say(f"  cdp nightly --date {day}")
