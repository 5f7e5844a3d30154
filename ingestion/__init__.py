"""Files of a channel become rows of trusted tables, by feed YAML alone; no channel is known by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import date

    from ingestion.feeds.feeds import Feed
    from ingestion.nights.history import ingest_history, inputs_of_history
    from ingestion.nights.night import IngestResult, ingest, inputs_of_night
    from lakehouse.contracts.contract import Contract
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake

__all__ = [
    "IngestResult",
    "allowances",
    "brings_rows",
    "extract_tables",
    "ingest",
    "ingest_history",
    "inputs_of_history",
    "inputs_of_night",
    "load_feeds",
]


def load_feeds(settings: Settings) -> list[Feed]:
    """Give the workspace's feeds in the order they are ingested; any fault raises ``SettingsInvalid``."""
    from ingestion.feeds.feeds import load_feeds as load

    return load(settings.workspace)


def allowances(settings: Settings) -> dict[str, int]:
    """Give by feed how many days it may be late, of those whose files say so."""
    from ingestion.feeds.feeds import has_feeds

    feeds = load_feeds(settings) if has_feeds(settings.workspace) else []
    return {feed.feed: feed.late_after_days for feed in feeds if feed.late_after_days is not None}


def landing_contracts(settings: Settings) -> list[Contract]:
    """Give the contracts of the landing tables of the workspace's feeds; a fault of a feed raises ``SettingsInvalid``."""
    from ingestion.judging.faults import require_engine
    from ingestion.records.landing import landing_contract

    feeds = load_feeds(settings)
    require_engine(settings, feeds)
    return [landing_contract(feed) for feed in feeds]


def reason_for_spark(settings: Settings) -> str | None:
    """Give why the workspace's feeds need Spark: an expression that only Spark knows, a table to extract; else None."""
    from ingestion.judging.mapping import is_exact

    for feed in load_feeds(settings):
        if feed.extract is not None:
            return f"the feed {feed.feed} reads a table of another system"
        if not is_exact(feed, settings.time_zone):
            return f"the feed {feed.feed} has an expression that only Spark knows"
    return None


def extract_tables(lake: Lake, business_date: date) -> None:
    """Read the tables that feeds name into the inbox, once for each night; a night that has them reads no table."""
    from ingestion.feeds.feeds import load_feeds as load
    from ingestion.inbox.extract import extract_tables as extract

    feeds = [feed for feed in load(lake.settings.workspace) if feed.extract is not None]
    if feeds:
        extract(lake, feeds, business_date)


def __getattr__(name: str) -> Any:
    """Import the room's entry points when first asked for, so that reading feeds starts no heavy library."""
    if name in __all__:
        from importlib import import_module

        room = "ingestion.nights.history" if "history" in name else "ingestion.nights.night"
        return getattr(import_module(room), name)
    raise AttributeError(name)
