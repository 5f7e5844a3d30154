"""Logs whose rows are kept for the days that their contract states, and files that no publication needs any more.

A night takes the older days out of the table; once it is published their files leave the disk, but for those that somebody
may still read at the version of an earlier publication. Of a table whose contract does not say so nothing is deleted.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from lakehouse.errors import disk_refusal
from lakehouse.integrity.digests import read_digests
from lakehouse.query.desk import open_newest
from lakehouse.query.published import publications
from lakehouse.query.words import identifier, literal
from lakehouse.tables.deletion import DeletedFiles, delete_days, delete_files

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.retention")


def logs_with_an_end(lake: Lake) -> list[str]:
    """Give the tables of the lake out of which nights take the days that their contract does not keep."""
    names = [name for name in lake.contracts.names() if lake.contracts.get(name).deleted_by == "night"]
    return [name for name in names if lake.exists(name)]


def delete_old_rows(lake: Lake, business_date: dt.date) -> dict[str, int]:
    """Take out of these logs the days before those they are kept for; give by table how many rows."""
    counts: dict[str, int] = {}
    for table in logs_with_an_end(lake):
        contract = lake.contracts.get(table)
        assert contract.retention_days is not None
        day = contract.partition_by[0]
        first = business_date - dt.timedelta(days=contract.retention_days)
        with open_newest(lake.settings) as desk:
            rows = desk.rows(
                f"SELECT DISTINCT {identifier(day)} FROM {table} WHERE {identifier(day)} < {literal(first)} ORDER BY 1"
            )
        counts[table] = delete_days(lake, table, day, [each for (each,) in rows])
        if counts[table]:
            log.info("%d rows of %s of before %s are kept no longer", counts[table], table, first)
    return counts


def delete_old_files(lake: Lake, business_date: dt.date) -> DeletedFiles:
    """Delete the files of what was taken out of these logs; give how many, and their bytes."""
    outcomes = [delete_unread_files(lake, table, business_date) for table in logs_with_an_end(lake)]
    return DeletedFiles(sum(one.files for one in outcomes), sum(one.bytes for one in outcomes))


def delete_unread_files(lake: Lake, table: str, business_date: dt.date) -> DeletedFiles:
    """Delete the files of a table that no publication of the last ``retention.reader_days`` days names.

    A disk that refuses does not undo a published night: the next one tries again.
    """
    settings = lake.settings
    first = business_date - dt.timedelta(days=settings.retention.reader_days)
    entries = [entry for entry in publications(settings) if table in entry.tables]
    versions = {
        entry.tables[table] for entry in entries if entry.business_date >= first or entry is entries[-1]
    }
    if not versions:
        return DeletedFiles()
    paths = read_digests(settings, [table]).get(table, {}).keys()
    try:
        outcome = delete_files(lake, table, versions, business_date, paths)
    except Exception as wrong:
        # A library says in words of its own that the disk is full.
        refusal = wrong.strerror if isinstance(wrong, OSError) and wrong.strerror else disk_refusal(wrong)
        if refusal is None:
            raise
        log.warning(
            "files of %s that are kept no longer could not be deleted (%s); the next night tries again",
            table,
            refusal,
        )
        outcome = DeletedFiles()
    if outcome.files:
        log.info("%d files of %s left the disk: %.1f MB", outcome.files, table, outcome.bytes / 1e6)
    return outcome
