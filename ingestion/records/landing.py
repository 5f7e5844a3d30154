"""What a landing table is: the records of a feed as delivered, and the night that took them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from ingestion.feeds.feeds import Feed
from ingestion.records import EXTRA, FILE, ROW
from lakehouse.contracts.contract import Contract
from lakehouse.contracts.reading import build_contract

BUSINESS_DATE, FEED, ARRIVED_ON = "_business_date", "_feed", "_arrived_on"
# Names a landing table and the files on their way to it have already.
_OURS = {FILE, ROW, EXTRA, FEED, ARRIVED_ON, BUSINESS_DATE}


def landing_contract(feed: Feed) -> Contract:
    """Give the contract of the feed's landing table: its delivered columns as text."""
    names = landing_names(feed)
    columns: dict[str, Any] = {
        names[name]: {
            "type": "string",
            "level": "C2",
            "masked": True,
            "description": f"'{name}' as delivered; empty text is null",
        }
        for name in feed.columns
    }
    columns[EXTRA] = {
        "type": "string",
        "level": "C2",
        "masked": True,
        "description": "JSON object of columns the feed does not name",
    }
    return build_contract(
        {
            "table": feed.landing_table,
            "description": f"Records of feed {feed.feed} as delivered: {feed.description}",
            "grain": "one row per readable record of a file and night",
            "shape": "fact",
            "key": [FILE, ROW, "_arrived_on"],
            "owner": "data_platform",
            "columns": columns,
            "retention": {
                "days": 400,
                "why": "long enough to see what a source delivered when a figure is questioned",
            },
        },
        file=feed.file,
    )


def landing_names(feed: Feed) -> dict[str, str]:
    """Give the landing column of each delivered column: the same name without signs Delta does not allow."""
    names: dict[str, str] = {}
    for name in feed.columns:
        safe = re.sub(r"[ ,;{}()\n\t=]", "_", name)
        while safe.lower() in {*_OURS, *(other.lower() for other in names.values())}:
            safe += "_"
        names[name] = safe
    return names


@dataclass(frozen=True)
class Nights:
    """The nights one pass takes, first to last: a file arrives on its own business date, or else on the first."""

    first: date
    last: date

    @property
    def is_history(self) -> bool:
        """Whether they are more than one."""
        return self.first < self.last

    def of(self, business_date: date) -> date:
        """Give the night that takes a file of ``business_date``."""
        return min(max(business_date, self.first), self.last)

    @property
    def sql(self) -> str:
        """Give the same as Spark SQL over ``_business_date``."""
        return f"least(greatest({BUSINESS_DATE}, date'{self.first}'), date'{self.last}')"
