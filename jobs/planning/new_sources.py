"""The sources that a change adds: what of them has been delivered, and their rows on the clone of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from jobs.planning.changes import FEEDS, FileChange

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake


@dataclass(frozen=True)
class SourceRows:
    """What one new feed brought, in records."""

    feed: str
    delivered: int
    accepted: int
    refused: int
    duplicates: int

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)


def delivered_sources(
    settings: Settings, changes: Sequence[FileChange], day: date
) -> tuple[list[str], list[str]]:
    """Give the new feeds that have files of ``day`` or before, and a sentence for each feed of which nothing can be told.

    The rows of a feed that is changed or removed were read by it as it was, and stay.
    """
    import ingestion
    from ingestion.inbox.inbox import find_files

    feeds = {feed.feed: feed for feed in ingestion.load_feeds(settings)}
    kinds = {
        change.path.rpartition("/")[2].rpartition(".")[0]: change.kind
        for change in changes
        if change.place == FEEDS
    }
    names, gaps = [], []
    for name, kind in kinds.items():
        feed = feeds.get(name)
        if kind != "added" or feed is None:
            gaps.append(
                f"feed {name} is {kind}: rows that are there stay as they were read; what it reads from the next night on is unknown"
            )
        elif feed.extract is not None:
            gaps.append(f"feed {name} reads a table of another system, which a plan does not ask")
        elif (
            not settings.inbox.is_dir() or not (found_files := find_files(feed, settings.inbox, until=day))[0]
        ):
            late = (
                f" ({len(found_files[1])} are of later dates)"
                if settings.inbox.is_dir() and found_files[1]
                else ""
            )
            gaps.append(
                f"feed {name} has no file of {day} or before{late}: put one at {feed.files.path} of the inbox to see what it brings"
            )
        else:
            names.append(name)
    return names, gaps


def read_sources(lake: Lake, day: date, names: Sequence[str]) -> list[SourceRows]:
    """Read what new feeds delivered, as if they had been there on ``day``; nothing is read without names."""
    import ingestion

    if not names:
        return []
    result = ingestion.ingest(lake, day, only=list(names))
    return [SourceRows(name, **counts) for name, counts in sorted(result.summary().items())]
