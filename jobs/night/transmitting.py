"""Sending what was released to the endpoints that have not taken it yet, after a night or on its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from jobs.night.writing import hold_lake
from lakehouse.clock import now
from lakehouse.errors import CdpError, StepFailed, UsageError
from lakehouse.settings.yaml_files import did_you_mean

if TYPE_CHECKING:
    from delivery.transmission.sending import Transmission
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.nightly")


def transmit_night(lake: Lake, business_date: date) -> tuple[Transmission, ...]:
    """Send after a published night; where that fails, the night stays published and the reason is a warning."""
    try:
        return transmit(lake, business_date)
    except (CdpError, OSError) as wrong:
        reason = wrong if isinstance(wrong, CdpError) else wrong.strerror
        log.warning("the night is published, but its audiences could not be sent on: %s", reason)
        return ()


def transmit(lake: Lake, business_date: date, names: Sequence[str] = ()) -> tuple[Transmission, ...]:
    """Send the audiences of the destinations with these names, or of all."""
    import delivery
    import segments

    destinations = delivery.read_destinations(lake.settings)
    places = {name: place for name, place in destinations.items() if not names or name in names}
    transmissions = delivery.transmit(
        lake, business_date, places, partial(segments.staying_people, lake, business_date), now
    )
    delivery.warn_of_former_places(lake, destinations)
    return transmissions


def deliver(settings: Settings, names: Sequence[str] = ()) -> tuple[Transmission, ...]:
    """Send what was not sent yet, under the lock, by the consents that the lake has now."""
    import delivery

    destinations = delivery.read_destinations(settings)
    for name in names:
        if name not in destinations:
            raise UsageError(
                f"destinations.yml names no destination '{name}'{did_you_mean(name, list(destinations))}"
            )
        if destinations[name].endpoint is None:
            raise UsageError(
                f"destination '{name}' is a folder, which a night delivers to: nothing is sent there"
            )
    with hold_lake(settings, "deliver") as writer:
        day = writer.newest_date
        if day is None:
            raise StepFailed("no night was published yet: there is nothing to send")
        return transmit(writer.lake, day, names)
