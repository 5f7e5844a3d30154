"""The clone of a lake that a plan computes on: a folder of the lake that is gone when the plan is made, or killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse.query.published import Publication
from lakehouse.settings.file_rights import closed_files
from lakehouse.settings.settings import Settings
from lakehouse.tables.clone import clone_lake
from lakehouse.tables.lake import Lake

FOLDER = "plan_"
# Of processes that are gone, also those that older releases left.
_FOLDERS = (FOLDER, "try_")
# What holds before it is published: attempts, publications, and what people decided, which the next night reads.
_NEWEST = ("ops.runs", "ops.publications", "identity.decisions")


@contextmanager
def plan_folder(settings: Settings) -> Iterator[Path]:
    """Give an empty folder on the disk of the lake; those of processes that are gone are removed first."""
    _forget_killed(settings)
    with closed_files(settings), Lake(settings).exchange(f"{FOLDER}{os.getpid()}") as folder:
        yield folder


def clone_published(settings: Settings, publication: Publication, target: Path) -> None:
    """Make a lake of what is published, whatever a night writes meanwhile; of the ledger and of decisions, what is there."""
    clone_lake(settings, target, {**publication.tables, **dict.fromkeys(_NEWEST)})


def _forget_killed(settings: Settings) -> None:
    for prefix in _FOLDERS:
        for clone in (settings.lake / "_exchange").glob(f"{prefix}*"):
            try:
                os.kill(int(clone.name.removeprefix(prefix)), 0)
            except (ProcessLookupError, OverflowError):
                shutil.rmtree(clone, ignore_errors=True)
            except (ValueError, PermissionError):
                continue
