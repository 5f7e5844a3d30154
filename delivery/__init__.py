"""Delivery: an audience on its way out. Files, manifest, destinations, verification.

Cheap to import; ``stage``, ``release`` and ``discard`` load what they need when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from delivery.addressing.directories import Permissions
    from delivery.destinations import Destination
    from delivery.staging import StagedAudience
    from delivery.transmission.sending import Clock, StayingPeople, Transmission
    from lakehouse.settings.settings import Settings
    from lakehouse.tables.lake import Lake
    from vocabulary.audience import Audience, StandingRun


def read_destinations(settings: Settings) -> dict[str, Destination]:
    """Give the destinations of a workspace by name; see ``delivery.destinations``."""
    from delivery import destinations as module

    return module.read_destinations(settings.workspace)


def standing_runs(
    lake: Lake, business_date: date, audiences: Iterable[Audience], destinations: Mapping[str, Destination]
) -> tuple[StandingRun, ...]:
    """Give the runs that may still be used and that the night does not replace; see ``delivery.standing``."""
    from delivery import standing

    return standing.standing_runs(lake, business_date, audiences, destinations)


def directory_audiences(
    lake: Lake,
    business_date: date,
    audiences: Sequence[Audience],
    standing: Sequence[StandingRun],
    destinations: Mapping[str, Destination],
    permissions: Permissions,
) -> tuple[Audience, ...]:
    """Give the directories of destinations that have one; see ``delivery.addressing.directories``."""
    from delivery.addressing import directories

    return directories.directory_audiences(
        lake, business_date, audiences, standing, destinations, permissions
    )


def worklist_audiences(
    lake: Lake, audiences: Iterable[Audience], destinations: Mapping[str, Destination]
) -> tuple[Audience, ...]:
    """Give the audiences with those of worklists told by their own rows; see ``delivery.addressing.worklists``."""
    if all(destination.worklist is None for destination in destinations.values()):
        return tuple(audiences)
    from delivery.addressing import worklists

    return worklists.worklist_audiences(lake, audiences, destinations)


def stage(
    lake: Lake, audiences: Iterable[Audience], destinations: Mapping[str, Destination]
) -> tuple[StagedAudience, ...]:
    """Write audiences where their destinations do not see them yet; see ``delivery.night``."""
    from delivery import night

    return night.stage(lake, audiences, destinations)


def release(lake: Lake, audiences: Sequence[StagedAudience]) -> None:
    """Make staged audiences visible to their destinations; see ``delivery.night``."""
    from delivery import night

    night.release(lake, audiences)


def transmit(
    lake: Lake,
    business_date: date,
    destinations: Mapping[str, Destination],
    staying_people: StayingPeople,
    clock: Clock,
) -> tuple[Transmission, ...]:
    """Send released audiences to the endpoints that have not taken them yet; see ``delivery.transmission.sending``."""
    if all(destination.endpoint is None for destination in destinations.values()):
        return ()
    from delivery.transmission import sending

    return sending.transmit(lake, business_date, destinations, staying_people, clock)


def warn_of_former_places(lake: Lake, destinations: Mapping[str, Destination]) -> None:
    """Warn of people at endpoints that no destination has any more; see ``delivery.transmission.sending``."""
    from delivery.transmission import sending

    sending.warn_of_former_places(lake, destinations)


def discard(audiences: Iterable[StagedAudience]) -> None:
    """Remove what was staged and will not be released."""
    from delivery import night

    night.discard(audiences)
