"""The one place where the contracts of feeds' landing tables become those of the lake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingestion.feeds.feeds import Feed
from ingestion.records.landing import landing_contract

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake


def create_landing_tables(lake: Lake, feeds: Sequence[Feed]) -> None:
    """Give the lake the contracts of the landing tables, and create the tables that are not there."""
    lake.contracts.add(*(landing_contract(feed) for feed in feeds))
    lake.create([feed.landing_table for feed in feeds])
