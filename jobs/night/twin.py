"""The nights of a workspace once more, by another engine in a twin of it, and whether every table and file is equal.

The twin lies in ``.cdp/engines/<engine>`` of the workspace: its settings, secrets and delivered files, and a lake of its own.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from jobs.night.nightly import run_night
from lakehouse.errors import UsageError
from lakehouse.query.hashing import file_hash, table_hash
from lakehouse.query.published import publications
from lakehouse.settings.settings import Settings, load_settings

_GENERATED = (".cdp", "lake", "published", "reports")
# The ledger of attempts tells the clock.
_OF_THE_CLOCK = "ops."


@dataclass(frozen=True)
class Twins:
    """What was compared: the names of tables and of published files, and those that differ."""

    engine: str
    tables: tuple[str, ...]
    files: tuple[str, ...]
    differing: tuple[str, ...]

    def sentence(self) -> str:
        """Say how equal they are."""
        names = f"{len(self.tables)} tables and {len(self.files)} published files"
        if not self.differing:
            return f"the engine {self.engine} gives the same: the hashes of {names} are equal"
        names_of_some = ", ".join(self.differing[:5])
        return f"of {names}, {len(self.differing)} differ by the engine {self.engine}: {names_of_some}"


def run_twin(settings: Settings, engine: str) -> Twins:
    """Run every published night of a workspace by another engine, and compare what the newest one publishes.

    A workspace whose lake lies elsewhere, or that published nothing, raises ``UsageError``.
    """
    nights = sorted({publication.business_date for publication in publications(settings)})
    if not nights:
        raise UsageError(f"{settings.workspace} has published no night yet; run its nights first")
    twin = load_settings(_make_twin(settings, engine), engine=engine).model_copy(update={"export": None})
    if settings.workspace in twin.lake.parents and twin.workspace not in twin.lake.parents:
        raise UsageError("the lake of this workspace is named by an absolute path, so it can have no twin")
    for night in nights:
        run_night(twin, night)
    return compare(settings, twin, engine)


def compare(settings: Settings, twin: Settings, engine: str) -> Twins:
    """Compare the tables of the newest publications of two workspaces by content, and their published files by bytes."""
    ours, theirs = (publications(one)[-1].tables for one in (settings, twin))
    tables = sorted(name for name in ours.keys() | theirs.keys() if not name.startswith(_OF_THE_CLOCK))
    differing = [
        name
        for name in tables
        if name not in ours
        or name not in theirs
        or table_hash(settings, name, ours[name]) != table_hash(twin, name, theirs[name])
    ]
    our_files, their_files = _files(settings.published), _files(twin.published)
    files = sorted(our_files.keys() | their_files.keys())
    differing += [name for name in files if our_files.get(name) != their_files.get(name)]
    return Twins(engine, tuple(tables), tuple(files), tuple(differing))


def _files(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file_hash(file) for file in folder.rglob("*") if file.is_file()
    }


def _make_twin(settings: Settings, engine: str) -> Path:
    """Give the folder of the twin, made anew: what an earlier comparison left there is removed."""
    folder = settings.generated / "engines" / engine
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        settings.workspace,
        folder,
        ignore=lambda place, names: (
            [name for name in names if name in _GENERATED] if Path(place) == settings.workspace else []
        ),
    )
    return folder
