"""The one place where the contracts of feeds' landing tables become those of the lake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingestion.feeds.feeds import Feed
from ingestion.records.landing import landing_contract
from lakehouse.contracts.reading import register_contract

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake


def register_landing_contracts(feeds: Sequence[Feed]) -> None:
    """Register the contract of every feed's landing table."""
    for feed in feeds:
        register_contract(landing_contract(feed))


def create_landing_tables(lake: Lake, feeds: Sequence[Feed]) -> None:
    """Register the contracts of the landing tables and create the tables that are not there."""
    register_landing_contracts(feeds)
    lake.create([feed.landing_table for feed in feeds])
