"""``cdp feeds draft``: a feed proposed from a file, for a person to read through."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import workspace_option

if TYPE_CHECKING:
    from ingestion.onboarding.draft import Draft
    from lakehouse.settings.settings import Settings


@click.command("draft")
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
    write: bool,
    workspace: Path | None,
) -> None:
    """Propose a feed for FILE: its layout, types, keys, identifiers, personal levels, tables and mapping.

    The YAML goes to stdout, or with --write into the workspace; what to do next goes to stderr. No value of the
    file is printed, only shapes, and codes that many records share.
    """
    from ingestion.onboarding.data_dictionary import read_dictionary
    from ingestion.onboarding.draft import draft_feed

    settings = _settings(workspace, is_needed=write)
    found = draft_feed(
        file,
        feed=feed,
        source=source,
        currency=settings.currency if settings else "CNY",
        inbox=settings.inbox if settings else None,
        tables=tuple(table if "." in table else f"trusted.{table}" for table in tables),
        meanings=read_dictionary(dictionary) if dictionary else None,
        utc=utc,
        separator={"tab": "\t", "\\t": "\t"}.get(separator, separator) if separator else None,
        encoding=encoding,
        header=header,
        sources_with_persons=_sources_with_persons(settings),
    )
    if write and settings is not None:
        _report(found, settings, file, _written(found, settings))
    else:
        click.echo(found.text, nl=False)
        _report(found, settings, file, None)


def _settings(workspace: Path | None, *, is_needed: bool) -> Settings | None:
    """Give the workspace's settings; without --write a draft also works outside a workspace."""
    from lakehouse.errors import SettingsInvalid
    from lakehouse.settings.settings import find_workspace, load_settings

    if not is_needed and workspace is None:
        try:
            find_workspace(workspace)
        except SettingsInvalid:
            return None
    return load_settings(workspace)


def _sources_with_persons(settings: Settings | None) -> frozenset[str]:
    """Give the sources whose people a feed delivers; a feed that is not finished yet hinders no other draft."""
    from ingestion.feeds.feeds import read_feed
    from lakehouse.errors import SettingsInvalid

    found = set()
    for file in sorted((settings.workspace / "feeds").glob("*.yml")) if settings else []:
        try:
            feed = read_feed(file)
        except SettingsInvalid:
            continue
        if "trusted.customers" in feed.tables:
            found.add(feed.source)
    return frozenset(found)


def _written(found: Draft, settings: Settings) -> Path:
    """Write the feed and, where it is missing, the schema its first line names; give the feed's path."""
    from jobs.report.schemas import write_schemas
    from lakehouse.errors import UsageError

    path = settings.workspace / "feeds" / f"{found.feed}.yml"
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        raise UsageError(f"{path} exists; take another name with --feed, or move the old file away first")
    waiting = path.with_name(f".{path.name}.new")
    waiting.write_text(found.text, encoding="utf-8")
    waiting.replace(path)
    if not (settings.workspace / ".cdp-schema").is_dir():
        write_schemas(settings.workspace / ".cdp-schema")
    return path


def _report(found: Draft, settings: Settings | None, file: Path, written: Path | None) -> None:
    def say(text: str) -> None:
        click.echo(text, err=written is None)

    sample = found.sample
    separator = {"\t": "tab", "\x01": "^A"}.get(sample.separator, sample.separator)
    layout = (
        f"separated by {separator}, {'header' if sample.header else 'no header'}"
        if sample.type == "csv"
        else ""
    )
    read = "all read" if sample.is_whole else f"{sample.records} sampled"
    say(f"{file.name}: {', '.join(filter(None, [sample.type, sample.encoding, layout]))}; "
        f"{'' if sample.is_whole else 'about '}{sample.estimated} records ({read}), {len(sample.names)} columns")  # fmt: skip
    if sample.broken:
        say(f"  {sample.broken} records have another number of columns; a night refuses them")
    for target in found.proposal.targets:
        say(f"  → {target.table}: {target.reason}")
    if not found.proposal.targets:
        say("  → landing only: no trusted table fits clearly; name one with --table, or say with --dictionary what "
            "the columns mean")  # fmt: skip
    is_keyed = any(target.each for target in found.proposal.targets)
    for name, (namespace, method) in found.proposal.identifiers.items():
        left = "" if is_keyed else "; not mapped, because no column is the person's key"
        say(f"  identifier: {name} is {namespace}{f' hashed by {method}' if method else ''}{left}")
    for table, _, fits in found.proposal.runners_up:
        say(f"  also near: {table} ({'; '.join(fits)})")
    if written is not None:
        say(f"wrote {written}")
    if found.proposal.waiting:
        say("to be filled in by a person (marked TODO): " + ", ".join(found.proposal.waiting))
    _next_steps(found, settings, file, written, say)


def _next_steps(
    found: Draft, settings: Settings | None, file: Path, written: Path | None, say: Callable[[str], None]
) -> None:
    if written is None or settings is None:
        say("nothing was written; --write writes it to feeds/ of the workspace")
        return
    day = str(found.newest_day or "<yyyy-mm-dd>")
    say("next:")
    if found.delivered_to:
        folder = shlex.quote(os.path.relpath(settings.inbox / found.delivered_to.replace("<date>", day)))
        say(f"  mkdir -p {folder} && cp {shlex.quote(str(file))} {folder}/")
    say(f"  cdp feeds check {found.feed}")
    say(f"  cdp nightly --date {day}")
