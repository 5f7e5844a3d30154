"""Where the audiences of a workspace are, and the keys by which they are verified."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.settings.settings import FILE_NAME, Settings, find_secret, read_secret

if TYPE_CHECKING:
    from delivery.contract.verify_audience import Keys


def published_roots(settings: Settings) -> list[Path]:
    """Give the folders of all destinations that have received something."""
    from delivery.destinations import destination_folder, read_destinations

    destinations = read_destinations(settings.workspace)
    folders = [destination_folder(settings, name, place) for name, place in destinations.items()]
    return [folder for folder in folders if folder.is_dir() and any(folder.iterdir())]


def verification_keys(workspace: Path | None, key_file: Path | None = None) -> Keys:
    """Give what finds the verification key of a destination: in ``key_file``, else in the environment, else in a workspace.

    The workspace is the one that is named, else ``CDP_WORKSPACE``, else the current folder where it is one; whoever has a
    copy of an audience needs none.
    """
    from delivery.signature import verification_secret

    if key_file is not None:
        key = read_secret(key_file)
        return lambda _: key
    folder = Path(workspace or os.environ.get("CDP_WORKSPACE") or ".").resolve()
    place = folder if (folder / FILE_NAME).is_file() else None
    return lambda destination: find_secret(verification_secret(destination), place)
