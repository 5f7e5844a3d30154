"""Where the audiences of a workspace are."""

from __future__ import annotations

from pathlib import Path

from lakehouse.settings.settings import Settings


def published_roots(settings: Settings) -> list[Path]:
    """Give the folders of all destinations that have received something."""
    from delivery.destinations import destination_folder, read_destinations

    destinations = read_destinations(settings.workspace)
    folders = [destination_folder(settings, name, place) for name, place in destinations.items()]
    return [folder for folder in folders if folder.is_dir() and any(folder.iterdir())]
