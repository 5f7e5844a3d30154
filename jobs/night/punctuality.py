"""Audiences that were released later than their segments ask for."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from delivery.staging import StagedAudience

log = logging.getLogger("cdp.segments")


def warn_of_late_audiences(
    settings: Settings, business_date: date, audiences: Iterable[StagedAudience], released_at: datetime
) -> None:
    """Warn of each segment whose audience came after its ``schedule.ready_by`` on the day after the business date.

    What was there before, and what no destination sees, was not released now.
    """
    import segments

    codes = {one.segment for one in audiences if not one.is_repeated and not one.is_dry}
    day = business_date + timedelta(days=1)
    for code, clock in sorted(segments.ready_times(settings).items()) if codes else ():
        if code in codes and released_at > datetime.combine(day, clock, settings.zone):
            log.warning(
                "segment %s: its audience of %s was released after its ready_by, %s of %s",
                code, business_date, f"{clock:%H:%M}", day,
            )  # fmt: skip
