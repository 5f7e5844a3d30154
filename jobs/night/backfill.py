"""Replaying nights in order: the way to change what an older business date knew."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from jobs.night.nightly import NightOutcome, run_attempt
from jobs.night.steps import make_inputs
from jobs.night.writing import LakeWriter, hold_lake
from jobs.report.export import refresh_export
from lakehouse.errors import UsageError
from lakehouse.ledger.ledger import Ledger, publish, restore_published, restore_versions, unfinished_night
from lakehouse.query.published import Publication
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from tags.build.past import Map, Recomputed

log = logging.getLogger("cdp.backfill")

LEDGER_OF_FILES = "landing.files"


def run_backfill(settings: Settings, first: date, last: date | None = None) -> Iterator[NightOutcome]:
    """Run the nights ``first`` … ``last`` in order; give each as it ends.

    Where nights from ``first`` on were published before, every table but the dictionaries goes back to what was
    published before ``first``, and all nights up to the newest are replayed. The ledger of files is not rewound:
    it knows which night first met each file, so each is taken by that night again.
    """
    if last is not None and last < first:
        raise UsageError(f"--to {last} lies before --from {first}")
    with hold_lake(settings, f"backfill from {first}") as writer:
        newest = writer.newest_date
        end = last or newest
        if end is None or end < first:
            raise UsageError(f"there is no night to replay from {first}; say where to end with --to")
        if newest is not None and newest > end:
            raise UsageError(
                f"nights up to {newest} were built on the ones to be replayed: leave --to out, or say --to {newest}"
            )
        is_replay = newest is not None and newest >= first
        if is_replay:
            _rewind(writer, first)
        else:
            writer.require_states()
            writer.abandon_unfinished(first)
        for day in _days(first, end):
            if newest is None or day > newest:
                make_inputs(writer.lake, day)
            yield run_attempt(writer, day, force=is_replay)


def backfill_tags(settings: Settings, names: Sequence[str], months: int, identity: Map) -> dict[date, int]:
    """Compute tags as of the last ``months`` month-ends and publish them in the snapshots; give the people by day.

    All of it or nothing: whatever goes wrong, every table is back at what was published.
    """
    from tags.build.past import backfill_tags, entries_of, month_ends
    from tags.compile.compilation import compile_tags

    compilation = compile_tags(settings.workspace)
    entries = entries_of(compilation, names)
    with hold_lake(settings, f"tags backfill {','.join(entry.code for entry in entries)}") as writer:
        nights = {entry.business_date for entry in writer.publications}
        days = month_ends(nights, months, settings.retention.tag_month_ends)
        lake, newest = writer.lake, writer.publications[-1]
        if unfinished_night(lake) is not None:
            restore_published(lake)
            log.warning("an unfinished night was taken back; it begins anew")
        writer.prepare_spark()
        ledger = Ledger(lake, newest.business_date, newest.fingerprint)
        try:
            with ledger.step("tags backfill") as record:
                people = backfill_tags(lake, compilation, entries, days, identity, newest.business_date)
                publish(lake, newest.business_date, newest.fingerprint, newest.summary)
                record.counts = {"days": len(days), "tags": len(entries)}
        except BaseException:
            restore_published(lake)
            raise
    refresh_export(settings)
    return people


def check_tags(settings: Settings, day: date) -> list[Recomputed]:
    """Compute the tags of a published night again from what was known on it; give by tag what differs from its snapshot."""
    from tags.build.past import recompute
    from tags.compile.compilation import compile_tags

    compilation = compile_tags(settings.workspace)
    with hold_lake(settings, f"tags check {day}") as writer:
        if day not in {entry.business_date for entry in writer.publications}:
            raise UsageError(f"no night of {day} was published, so there is nothing to compare with")
        writer.prepare_spark()
        return recompute(writer.lake, compilation, day)


def _rewind(writer: LakeWriter, first: date) -> None:
    """Bring the tables back to what was published before ``first``."""
    before = _published_before(writer.publications, first)
    writer.require_states_before(before, keep=(LEDGER_OF_FILES,))
    tables = restore_versions(writer.lake, before.tables if before else {}, keep=(LEDGER_OF_FILES,))
    log.info("%d tables are back at %s", len(tables), before.business_date if before else "the beginning")


def _days(first: date, last: date) -> Iterator[date]:
    day = first
    while day <= last:
        yield day
        day += timedelta(days=1)


def _published_before(entries: tuple[Publication, ...], first: date) -> Publication | None:
    """Give the last publication of the newest business date before ``first``."""
    earlier = [entry for entry in entries if entry.business_date < first]
    return max(earlier, key=lambda entry: (entry.business_date, entry.seq), default=None)
