"""The offers and events of segments before a night computes anything: whether the lake knows them, or tonight's files may."""

from __future__ import annotations

import logging
from datetime import date

from jobs.workspace.surroundings import read_surroundings
from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.segments")


def require_offers(lake: Lake, business_date: date, *, is_ingested: bool) -> None:
    """Refuse a segment whose offer is unknown, or has no risk, with ``SettingsInvalid`` at its line.

    Before the files of the night are read, an offer that they may bring is not missed yet. After it, events that nobody sends
    are warned of: a segment that asks for them goes on, and finds that nothing happened.
    """
    import ingestion
    import segments

    surroundings = read_surroundings(lake.settings)
    findings = segments.offer_findings(lake, surroundings)
    if findings and not is_ingested and ingestion.brings_rows(lake, business_date, segments.OFFERS_TABLE):
        return
    segments.refuse_findings(findings)
    for warning in segments.event_warnings(lake, surroundings) if is_ingested else ():
        log.warning("%s", warning)
