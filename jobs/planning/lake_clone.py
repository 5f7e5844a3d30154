"""The clone of a lake that a plan computes on: a folder of the lake that is gone when the plan is made, or killed."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lakehouse.errors import LockHeld
from lakehouse.ledger.lock import FILE_NAME, hold_lock
from lakehouse.query.published import Publication
from lakehouse.settings.file_rights import closed_files
from lakehouse.settings.settings import Settings
from lakehouse.tables.clone import clone_lake
from lakehouse.tables.lake import Lake

FOLDER = "plan_"
# Those that nobody holds, also of older releases.
_FOLDERS = (FOLDER, "try_")
# What holds before it is published: attempts, publications, and what people decided, which the next night reads.
_NEWEST = ("ops.runs", "ops.publications", "ops.file_digests", "identity.decisions")


@contextmanager
def plan_folder(settings: Settings) -> Iterator[Path]:
    """Give an empty folder on the disk of the lake, held by a lock; those that nobody holds any more are removed first.

    A lock and no process id says who lives: processes of two containers may have one number.
    """
    _forget_killed(settings)
    with closed_files(settings), ExitStack() as stack:
        yield _held_folder(settings, stack)


def clone_published(settings: Settings, publication: Publication, target: Path) -> None:
    """Make a lake of what is published, whatever a night writes meanwhile; of the ledger, of digests and of decisions, what is there."""
    clone_lake(settings, target, {**publication.tables, **dict.fromkeys(_NEWEST)})


def _held_folder(settings: Settings, stack: ExitStack) -> Path:
    """Give a new folder that ``stack`` holds; one that another plan took for a forgotten one before it was held is given up."""
    while True:
        folder = stack.enter_context(Lake(settings).exchange(f"{FOLDER}{secrets.token_hex(8)}"))
        try:
            stack.enter_context(hold_lock(folder, "a plan", what="this clone"))
        except LockHeld:
            continue
        if (folder / FILE_NAME).is_file():
            return folder


def _forget_killed(settings: Settings) -> None:
    for prefix in _FOLDERS:
        for clone in (settings.lake / "_exchange").glob(f"{prefix}*"):
            try:
                with hold_lock(clone, "removal of a clone", what="this clone"):
                    shutil.rmtree(clone, ignore_errors=True)
            except LockHeld:
                continue
