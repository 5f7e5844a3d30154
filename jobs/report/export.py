"""The export of a lake (``lakehouse.query.export``): by hand, and anew after each night where the workspace names a file."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from jobs.report.published_tables import contract_or_none, contracts_of
from jobs.report.statement import ReaderMasks
from lakehouse.contracts.contract import Contract
from lakehouse.errors import CdpError, UsageError
from lakehouse.query.export import Texts, export_place, write_export
from lakehouse.query.published import Publication, newest_publication, require_publication
from lakehouse.settings.settings import Settings

log = logging.getLogger("cdp.sql")


@dataclass(frozen=True)
class Export:
    """A file that was written: which night it shows, how many tables, and the columns that it masks."""

    file: Path
    business_date: date
    tables: int
    masked: tuple[str, ...]


def export_lake(
    settings: Settings, file: Path, as_of: date | None = None, *, reveal: str | None = None
) -> Export:
    """Write the newest publication, or that of ``as_of``, as views of a DuckDB file.

    Identifiers are masked unless ``reveal`` says why they are needed. Either is recorded before the file is written, since
    nobody sees who is looked up in it.
    """
    from jobs.report.reveals import record_disclosure, record_reveal

    if reveal is not None and not reveal.strip():
        raise UsageError("--reveal has to say why the values are needed")
    publication = require_publication(settings, as_of)
    place = export_place(settings, publication.tables, file)
    texts = texts_of(settings, publication)
    masks = ReaderMasks(settings)
    if reveal is None:
        record_disclosure(settings, "sql --export", publication)
        masked = write_export(settings, publication, place, texts, masks)
    else:
        tables = sorted(publication.tables)
        entry = record_reveal(settings, reveal.strip(), publication, tables)
        log.warning("%s reveals values of all tables in %s: %s", entry["user"], place, entry["reason"])
        masked = write_export(settings, publication, place, texts, lambda table, columns: {})
    return Export(place, publication.business_date, len(texts), masked)


def export_fault(settings: Settings) -> str | None:
    """Give why no night can write the file that the workspace names; None where it can, or where none is named."""
    if settings.export is None:
        return None
    newest = newest_publication(settings)
    try:
        place = export_place(settings, newest.tables if newest else (), settings.export)
    except (OSError, UsageError) as wrong:
        return f"{settings.export}: {wrong.strerror}" if isinstance(wrong, OSError) else str(wrong)
    return None if os.access(place.parent, os.W_OK | os.X_OK) else f"{place.parent} may not be written to"


def refresh_export(settings: Settings) -> None:
    """Write the file that the workspace names over the newest publication; where that fails, the one before stays."""
    if settings.export is None:
        return
    try:
        log.info("export: %s", export_lake(settings, settings.export).file)
    except (OSError, CdpError) as wrong:
        reason = wrong.strerror if isinstance(wrong, OSError) else wrong
        log.error(
            "the night is published, but its export could not be written: %s; `cdp sql --export %s` writes it",
            reason,
            settings.export,
        )


def texts_of(settings: Settings, publication: Publication) -> dict[str, Texts]:
    """Give what is said of every published table and its columns, by its name."""
    contracts = contracts_of(settings)
    return {name: _texts(contract_or_none(contracts, name)) for name in publication.tables}


def _texts(contract: Contract | None) -> Texts:
    if contract is None:
        return Texts("landed by a feed that the workspace no longer has")
    description = f"{contract.description.rstrip('.')}; {contract.grain}"
    return Texts(description, {name: column.description for name, column in contract.columns.items()})
