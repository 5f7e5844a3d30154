"""Feeds of a workspace before a night: one by its name, one proposed from a file, one written for a person to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.settings import Settings, find_workspace, load_settings
from lakehouse.settings.yaml_files import did_you_mean
from vocabulary.attributes import FOLDER as ATTRIBUTE_FOLDER

if TYPE_CHECKING:
    from ingestion.feeds.feeds import Feed
    from ingestion.onboarding.draft import Draft


def named_feed(settings: Settings, name: str) -> Feed:
    """Give a feed of the workspace; an unknown name raises with the nearest one."""
    from ingestion import load_feeds

    feeds = {feed.feed: feed for feed in load_feeds(settings)}
    if name not in feeds:
        raise UsageError(f"unknown feed '{name}'{did_you_mean(name, list(feeds))}")
    return feeds[name]


def settings_of_draft(workspace: Path | None, *, is_needed: bool) -> Settings | None:
    """Give the workspace's settings; a draft that is not written also works outside a workspace."""
    if not is_needed and workspace is None:
        try:
            find_workspace(workspace)
        except SettingsInvalid:
            return None
    return load_settings(workspace)


def propose_feed(
    file: Path,
    settings: Settings | None,
    *,
    feed: str | None,
    source: str | None,
    tables: tuple[str, ...],
    dictionary: Path | None,
    utc: bool,
    separator: str | None,
    encoding: str | None,
    header: bool | None,
    attributes: bool = False,
) -> Draft:
    """Propose a feed for a delivered file, in the currency and beside the feeds of the workspace where there is one.

    With ``attributes`` columns that no table has become attributes, beside those that the workspace declares.
    """
    from ingestion.onboarding.data_dictionary import read_dictionary
    from ingestion.onboarding.draft import draft_feed
    from vocabulary.attributes import read_attributes

    return draft_feed(
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
        attribute_codes=frozenset(read_attributes(settings.workspace if settings else None).by_code)
        if attributes
        else None,
    )


def write_feed(draft: Draft, settings: Settings) -> Path:
    """Write the feed and, where it is missing, the schema its first line names; give the feed's path."""
    from jobs.report.schemas import FOLDER, write_schemas

    path = settings.workspace / "feeds" / f"{draft.feed}.yml"
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        raise UsageError(f"{path} exists; take another name with --feed, or move the old file away first")
    declarations = settings.workspace / ATTRIBUTE_FOLDER / path.name
    if draft.declarations is not None:
        if declarations.exists():
            raise UsageError(
                f"{declarations} exists; take another name with --feed, or move the old file away first"
            )
        _write(declarations, draft.declarations)
    _write(path, draft.text)
    if not (settings.workspace / FOLDER).is_dir():
        write_schemas(settings.workspace / FOLDER)
    return path


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(exist_ok=True)
    waiting = path.with_name(f".{path.name}.new")
    waiting.write_text(content, encoding="utf-8")
    waiting.replace(path)


def _sources_with_persons(settings: Settings | None) -> frozenset[str]:
    """Give the sources whose people a feed delivers; a feed that is not finished yet hinders no other draft."""
    from ingestion.feeds.feeds import read_feed

    sources = set()
    for file in files_in(settings.workspace / "feeds", "*.yml") if settings else []:
        try:
            feed = read_feed(file)
        except SettingsInvalid:
            continue
        if "trusted.customers" in feed.tables:
            sources.add(feed.source)
    return frozenset(sources)
