"""How long the snapshots of tags are kept: the last days, and beyond them the last night of each month.

A night takes the others out of the table; once it is published their files leave the disk, but for those that somebody
may still read at the version of an earlier publication.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from lakehouse.integrity.retention import delete_unread_files
from lakehouse.query.desk import open_newest
from lakehouse.settings.settings import RetentionSettings
from lakehouse.tables.deletion import delete_days
from vocabulary.entities import PERSON, TAG_ENTITIES

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.tags")


def days_over(
    days: Collection[dt.date], business_date: dt.date, retention: RetentionSettings
) -> list[dt.date]:
    """Give the days that are kept no longer on a business date, sorted.

    The last day that a month has is its month-end, though the night of the last calendar day was never run.
    """
    last_days = {max(day for day in days if _month(day) == month) for month in {_month(day) for day in days}}
    first_day = business_date - dt.timedelta(days=retention.tag_days)
    first_month = _month(business_date) - retention.tag_month_ends
    return sorted(
        day for day in days if day < first_day and not (day in last_days and _month(day) >= first_month)
    )


def _month(day: dt.date) -> int:
    return day.year * 12 + day.month


def delete_old_days(lake: Lake, business_date: dt.date) -> list[dt.date]:
    """Take the snapshots out of the daily tables of tags that are kept no longer; give the days of people's."""
    days_of_people: list[dt.date] = []
    with open_newest(lake.settings) as desk:
        days_of = {
            entity: [day for (day,) in desk.rows(f"SELECT DISTINCT as_of FROM {entity.daily}")]
            for entity in TAG_ENTITIES.values()
            if lake.exists(entity.daily)
        }
    for entity, days in days_of.items():
        over = days_over(days, business_date, lake.settings.retention)
        rows = delete_days(lake, entity.daily, "as_of", over)
        if over:
            log.info(
                "%d days of %s from %s to %s are kept no longer: %d rows", len(over), entity.daily, over[0], over[-1], rows
            )  # fmt: skip
        if entity == PERSON:
            days_of_people = over
    return days_of_people


def delete_old_files(lake: Lake, business_date: dt.date) -> dict[str, int]:
    """Delete the files of snapshots that no publication of the last ``retention.reader_days`` days names; give files and bytes.

    A disk that refuses does not undo a published night: the next one tries again.
    """
    counts = {"files": 0, "bytes": 0}
    for entity in TAG_ENTITIES.values():
        outcome = delete_unread_files(lake, entity.daily, business_date)
        counts = {"files": counts["files"] + outcome.files, "bytes": counts["bytes"] + outcome.bytes}
    return counts
