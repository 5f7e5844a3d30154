"""The places audiences go to: ``destinations.yml`` of a workspace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from delivery.spreadsheet_cells import SpreadsheetRule
from lakehouse.settings.settings import Settings
from lakehouse.settings.yaml_files import load_yaml, parse_model

DESTINATIONS_FILE = "destinations.yml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Destination(_Strict):
    """One place audiences go to: a folder, with the highest personal level it may receive."""

    type: Literal["folder"] = "folder"
    description: str
    ceiling: Literal["C1", "C2"] = "C1"
    root: str | None = None
    spreadsheet: SpreadsheetRule = "neutralise"
    deliver: Literal["live", "dry"] = "live"


class DestinationsFile(_Strict):
    """``destinations.yml`` as written."""

    destinations: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Destination]


def read_destinations(workspace: Path) -> dict[str, Destination]:
    """Give the destinations of a workspace by name; without a ``destinations.yml`` there are none."""
    file = workspace / DESTINATIONS_FILE
    if not os.path.lexists(file):
        return {}
    return parse_model(DestinationsFile, load_yaml(file), file=file).destinations


DRY = "dry"


def dry_folder(settings: Settings, name: str) -> Path:
    """Give the folder of the workspace that holds what a destination would be given, and does not see."""
    return settings.generated / DRY / name


def destination_folder(settings: Settings, name: str, destination: Destination) -> Path:
    """Give the folder a destination reads: below its own root, else below the workspace's ``published``."""
    root = (
        (settings.workspace / Path(destination.root).expanduser()).resolve()
        if destination.root
        else settings.published
    )
    return root / name
