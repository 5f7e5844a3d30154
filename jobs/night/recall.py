"""Taking back an audience at once: everybody leaves what still stands of a segment, and that is published as it is."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from jobs.night.transmitting import transmit_night
from jobs.night.writing import hold_lake
from jobs.report.export import refresh_export
from lakehouse.errors import UsageError
from lakehouse.ledger.ledger import publish, restore_published, unfinished_night
from lakehouse.query.hashing import text_hash
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from delivery.staging import StagedAudience

log = logging.getLogger("cdp.segments")


def recall_at_once(settings: Settings, code: str) -> tuple[StagedAudience, ...]:
    """Release a run with EXIT for all wherever an audience of a recalled segment still stands; give these runs.

    Directories follow, and endpoints are told at once.

    What an unfinished night wrote is taken back first, since a publication names every table.
    """
    import delivery
    import segments

    with hold_lake(settings, f"recall {code}") as writer:
        lake = writer.lake
        if not writer.publications:
            raise UsageError("nothing was published yet, so there is nothing to recall")
        newest = writer.publications[-1]
        writer.require_states()
        segments.require_decisions(settings, newest.summary.get("decisions"))
        if unfinished_night(lake) is not None:
            restore_published(lake)
            log.warning("an unfinished night was taken back; it begins anew")
        day = newest.business_date
        authority = segments.read_authority(settings)
        destinations = delivery.read_destinations(settings)
        standing = delivery.standing_runs(lake, day, (), destinations)
        full = [run for run in standing if run.audience.code == code and run.audience.counts["published"]]
        if not full:
            return ()
        attempt = writer.attempt(day, text_hash("recall", newest.fingerprint, authority.state))
        with attempt.ledger.step("recall") as record:
            recalls = segments.recalled_audiences(lake, day, full, authority)
            directories = delivery.directory_audiences(
                lake, day, recalls, standing, destinations, partial(segments.permissions, lake, day)
            )
            audiences = delivery.stage(lake, (*recalls, *directories), destinations)
            delivery.release(lake, audiences)
            summary = newest.summary | segments.decisions_read(settings)
            publish(lake, day, attempt.fingerprint, summary)
            record.counts = {"people": sum(run.audience.counts["published"] for run in full)}
        transmit_night(lake, day)
        refresh_export(settings)
    return tuple(one for one in audiences if one.segment == code)
