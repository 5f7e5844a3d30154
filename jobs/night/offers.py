"""The offers of segments before a night computes anything: whether the lake knows them, or tonight's files may."""

from __future__ import annotations

from datetime import date

from jobs.workspace.surroundings import read_surroundings
from lakehouse.tables.lake import Lake


def require_offers(lake: Lake, business_date: date, *, is_ingested: bool) -> None:
    """Refuse a segment whose offer is unknown, or has no risk, with ``SettingsInvalid`` at its line.

    Before the files of the night are read, an offer that they may bring is not missed yet.
    """
    import ingestion
    import segments

    findings = segments.offer_findings(lake, read_surroundings(lake.settings))
    if findings and not is_ingested and ingestion.brings_rows(lake, business_date, segments.OFFERS_TABLE):
        return
    segments.refuse_findings(findings)
