"""Replaying nights in order: the way to change what an older business date knew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta

from jobs.night.nightly import Night, abandon_unpublished, check_workspace, run_locked_night
from lakehouse.errors import UsageError
from lakehouse.ledger.ledger import restore_versions
from lakehouse.ledger.lock import hold_lock
from lakehouse.query.published import Publication, publications
from lakehouse.settings.settings import Settings
from lakehouse.tables.lake import open_lake

log = logging.getLogger("cdp.backfill")

LEDGER_OF_FILES = "landing.files"


def run_backfill(settings: Settings, first: date, last: date | None = None) -> Iterator[Night]:
    """Run the nights ``first`` … ``last`` in order; give each as it ends.

    Where nights from ``first`` on were published before, every table but the dictionaries goes back to what was
    published before ``first``, and all nights up to the newest are replayed. The ledger of files is not rewound:
    it knows which night first met each file, so each is taken by that night again.
    """
    import ingestion

    check_workspace(settings)
    with hold_lock(settings.lock_dir, f"backfill from {first}") as note_jvm:
        lake = open_lake(settings)
        found = publications(settings)
        newest = max((p.business_date for p in found), default=None)
        end = last or newest
        if end is None or end < first:
            raise UsageError(f"there is no night to replay from {first}; say where to end with --to")
        is_replay = newest is not None and newest >= first
        if newest is not None and newest > end:
            raise UsageError(
                f"nights up to {newest} were built on the ones to be replayed: leave --to out, or say --to {newest}"
            )
        if is_replay:
            before = _published_before(found, first)
            moved = restore_versions(lake, before.tables if before else {}, keep=(LEDGER_OF_FILES,))
            log.info(
                "%d tables are back at %s", len(moved), before.business_date if before else "the beginning"
            )
        else:
            abandon_unpublished(lake, first)
        for day in _days(first, end):
            if newest is None or day > newest:
                ingestion.extract_tables(lake, day)
            yield run_locked_night(lake, day, force=is_replay, note_jvm=note_jvm)


def _days(first: date, last: date) -> Iterator[date]:
    day = first
    while day <= last:
        yield day
        day += timedelta(days=1)


def _published_before(found: list[Publication], first: date) -> Publication | None:
    """Give the last publication of the newest business date before ``first``."""
    earlier = [p for p in found if p.business_date < first]
    return max(earlier, key=lambda p: (p.business_date, p.seq), default=None)
