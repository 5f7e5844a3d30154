"""The send window of an audience on one channel: when a batch file may be sent, within one day of the workspace's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from segments.language.contact import (
    DAY_MINUTES,
    QuietHours,
    QuietPeriod,
    SendHours,
    open_minutes,
)


@dataclass(frozen=True)
class SendWindow:
    """From when until when contacts may be made, and the day for which caps count them."""

    begin: datetime
    end: datetime

    @property
    def day(self) -> date:
        """The day of the workspace's clock on which the window lies."""
        return self.begin.date()


def send_window(
    channel: str,
    business_date: date,
    *,
    hours: Sequence[Sequence[SendHours]],
    quiet: Sequence[QuietHours],
    periods: Sequence[QuietPeriod],
    valid_hours: int,
    zone: tzinfo,
) -> SendWindow | None:
    """Give the first time at which a channel may be used after the midnight that ends the business date; None where none is.

    Each of ``quiet`` says whether to wait for another day (``defer``, at most ``max_defer_h`` hours from that midnight) or not
    (``drop``): the strictest counts, so that quiet hours of a segment never loosen those of the site. Where a clock is put forward or back, the window is
    the part that no reading of its hours calls quiet.
    """
    midnight = datetime.combine(business_date + timedelta(days=1), time())
    over = midnight + timedelta(hours=valid_hours)
    latest = _latest_begin(quiet, midnight, over)
    day = midnight
    while day < over and day <= latest:
        if not any(_is_in(period, channel, day.date()) for period in periods):
            for begin, end in open_minutes(day.weekday(), [list(one) for one in hours], list(quiet)):
                first, last = day + timedelta(minutes=begin), min(day + timedelta(minutes=end), over)
                if first <= latest and first < last and (window := _in_zone(first, last, zone)):
                    return window
        day += timedelta(minutes=DAY_MINUTES)
    return None


def _latest_begin(quiet: Sequence[QuietHours], midnight: datetime, over: datetime) -> datetime:
    """Give the last minute at which a window may begin by all quiet hours."""
    waits = (
        timedelta(minutes=DAY_MINUTES - 1) if one.on_hit == "drop" else timedelta(hours=one.max_defer_h)
        for one in quiet
    )
    return min((midnight + wait for wait in waits), default=over)


def _is_in(period: QuietPeriod, channel: str, day: date) -> bool:
    return period.first <= day <= period.last and (period.channels is None or channel in period.channels)


def _in_zone(first: datetime, last: datetime, zone: tzinfo) -> SendWindow | None:
    """Give the window as instants: a time that the clock shows twice, or never, counts the careful way."""
    begin = max(_readings(first, zone))
    end = min(_readings(last, zone))
    return SendWindow(begin.astimezone(zone), end.astimezone(zone)) if begin < end else None


def _readings(clock: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    return (
        clock.replace(tzinfo=zone, fold=0).astimezone(UTC),
        clock.replace(tzinfo=zone, fold=1).astimezone(UTC),
    )
