"""Where a night writes: whether each folder can be made and written, and how much room its disk has."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import StepFailed
from lakehouse.settings.settings import Settings

log = logging.getLogger("cdp.workspace")

DISK_NEEDED_GB = 5.0
# A night that starts with less would end in the middle of a write.
DISK_LEAST_GB = 0.5


@dataclass(frozen=True)
class NightFolder:
    """A folder that nights write to, what it is for, and the existing folder that it is or will be made in."""

    use: str
    folder: Path

    @property
    def existing(self) -> Path:
        """The folder itself, or the nearest one above it that exists."""
        return next(path for path in (self.folder, *self.folder.parents) if path.exists())

    @property
    def free_gb(self) -> float:
        """The room on its disk."""
        return shutil.disk_usage(self.existing).free / 2**30

    def fault(self) -> str | None:
        """Say why nothing can be written there; None where it can."""
        if not self.existing.is_dir():
            return f"{self.use}: {self.existing} is no folder"
        if not os.access(self.existing, os.W_OK | os.X_OK):
            return f"{self.use}: {self.existing} cannot be written by this user"
        return None


def places_of(settings: Settings) -> list[NightFolder]:
    """Give every folder that a night of the workspace writes to, destinations with a root of their own included."""
    from delivery.destinations import destination_folder, read_destinations

    places = [
        NightFolder("lake", settings.lake),
        NightFolder("lock_dir", settings.lock_dir),
        NightFolder("published", settings.published),
        NightFolder("reports", settings.reports),
        NightFolder("generated files", settings.generated),
    ]
    for name, destination in read_destinations(settings.workspace).items():
        places.append(NightFolder(f"destination '{name}'", destination_folder(settings, name, destination)))
    return places


def require_places(settings: Settings) -> None:
    """Refuse a workspace where a night could not write: ``StepFailed`` for a folder or a full disk.

    A disk with less room than a night of a middle-sized bank needs is warned of.
    """
    places = places_of(settings)
    faults = [fault for place in places if (fault := place.fault())]
    if faults:
        raise StepFailed(
            f"{faults[0]}; name another folder in cdp.yml or destinations.yml, or give this user the right to write"
        )
    scarce = min(places, key=lambda place: place.free_gb)
    if scarce.free_gb < DISK_LEAST_GB:
        raise StepFailed(
            f"{scarce.use}: the disk of {scarce.existing} has {scarce.free_gb:.2f} GB free and a night needs more than "
            f"{DISK_LEAST_GB}; free some, or point `lake:` in cdp.yml at a larger disk"
        )
    if scarce.free_gb < DISK_NEEDED_GB:
        log.warning("%s: the disk of %s has %.1f GB free", scarce.use, scarce.existing, scarce.free_gb)
