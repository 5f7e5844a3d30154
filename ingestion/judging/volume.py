"""Whether a delivery's size can be right: its records against those of the feed's own earlier deliveries.

A tenth of the usual records is a cut export, ten times as many one that was told twice or of another system; both
would be believed by every rule that looks at single rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from statistics import median

from ingestion.feeds.feeds import Feed, Volume
from ingestion.inbox.files import LedgerRow
from ingestion.records.reading import FileReading
from lakehouse.errors import GateStopped


def check_volume(
    feed: Feed, readings: Sequence[FileReading], ledger: Sequence[LedgerRow], business_date: date
) -> None:
    """Refuse a delivery many times smaller or larger than the feed's usual one by ``GateStopped``.

    A delivery is all files of one business date. The usual size is the median of the last ones loaded on nights
    before ``business_date``; with fewer than ``Volume.needs`` there is none yet.
    """
    bounds = feed.volume
    if not isinstance(bounds, Volume):
        return
    earlier: dict[date, int] = defaultdict(int)
    for row in ledger:
        if row.status == "loaded" and row.arrived_on < business_date:
            earlier[row.business_date] += row.records or 0
    last = [earlier[day] for day in sorted(earlier)][-bounds.deliveries :]
    if len(last) < bounds.needs:
        return
    usual = median(last)
    now: dict[date, int] = defaultdict(int)
    for reading in readings:
        now[reading.file.business_date] += reading.records
    for day, records in sorted(now.items()):
        if max(records, usual) < bounds.from_records:
            continue
        if records * bounds.factor <= usual or records >= usual * bounds.factor:
            place = feed.fault("", "volume")
            how = "smaller" if records < usual else "larger"
            raise GateStopped(
                f"feed '{feed.feed}' brought {records} records for {day}, its last {len(last)} deliveries {min(last)} to "
                f"{max(last)} (median {usual:g}): {bounds.factor:g} times {how} or more; have it delivered again, or, "
                f"if it is right, write 'volume: any' into the feed",
                file=place.file,
            )
