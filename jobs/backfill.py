"""Replaying nights in order: the way to change what an older business date knew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta

import ingestion
from jobs.nightly import Night, check_workspace, run_locked_night
from lakehouse.errors import UsageError
from lakehouse.lake import Lake, open_lake
from lakehouse.ledger import newest_attempted_date, restore_versions
from lakehouse.lock import hold_lock
from lakehouse.published import Publication, publications
from lakehouse.settings import Settings

log = logging.getLogger("cdp.backfill")


def run_backfill(settings: Settings, first: date, last: date | None = None) -> Iterator[Night]:
    """Run the nights ``first`` … ``last`` in order; give each as it ends.

    Where nights from ``first`` on ran before, every table but the dictionaries goes back to what was published
    before ``first``, and all nights up to the newest are replayed, each with the files that had arrived by then.
    """
    check_workspace(settings)
    with hold_lock(settings.lock_dir, f"backfill from {first}") as note_jvm:
        lake = open_lake(settings)
        newest = newest_attempted_date(lake)
        last = last or newest
        if last is None or last < first:
            raise UsageError(f"there is no night to replay from {first}; say where to end with --to")
        is_replay = newest is not None and newest >= first
        if is_replay and newest is not None and newest > last:
            raise UsageError(
                f"nights up to {newest} were built on the ones to be replayed: leave --to out, or say --to {newest}"
            )
        arrivals = ingestion.known_arrivals(lake) if is_replay else None
        if is_replay:
            _rewind(lake, first)
        day = first
        while day <= last:
            with ingestion.replaying(arrivals):
                yield run_locked_night(lake, day, force=is_replay, note_jvm=note_jvm)
            day += timedelta(days=1)


def _rewind(lake: Lake, first: date) -> None:
    before = _published_before(lake, first)
    moved = restore_versions(lake, before.tables if before else {})
    log.info("%d tables are back at %s", len(moved), before.business_date if before else "the beginning")


def _published_before(lake: Lake, first: date) -> Publication | None:
    """Give the newest publication whose business date, and every later one's, lies before ``first``."""
    earlier = [p for p in publications(lake.settings) if p.business_date < first]
    if not earlier:
        return None
    newest_day = max(p.business_date for p in earlier)
    return [p for p in earlier if p.business_date == newest_day][-1]
