"""The settings files of a workspace, copied as they are: from a folder, or from a revision of the repository it lies in.

Nothing of a copied workspace is run, and no link is followed out of it. Of a repository raw objects are read, so that no
filter, hook or attribute of it has a say.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from jobs.night.fingerprint import NOT_SETTINGS, SETTINGS_SUFFIXES
from lakehouse.errors import EnvironmentUnready, SettingsInvalid, UsageError
from lakehouse.query.hashing import file_hash
from lakehouse.settings.settings import FILE_NAME
from lakehouse.settings.yaml_limits import open_file

MODELS = "models"
MOST_FILES = 20_000
MOST_BYTES = 1_000_000_000
_OWN_FOLDERS = NOT_SETTINGS | {"audit"}
_LINK, _REPOSITORY = "120000", "160000"
# What git is told, whatever the repository or the environment says.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


@dataclass(frozen=True)
class Revision:
    """A commit of the repository that a workspace lies in, and where the workspace is in it (``""`` at its top)."""

    repository: Path
    commit: str
    prefix: str


def copy_folder(
    folder: Path, target: Path, *, is_own: bool = False, without: frozenset[Path] = frozenset()
) -> None:
    """Copy the settings files of a workspace folder; ``without`` are folders of it that hold none.

    A link that leads out of the folder raises ``SettingsInvalid``, unless the workspace is the one in use.
    """
    count, size = 0, 0
    for file in _settings_files(folder, folder, is_own=is_own, without=without, above=(folder.resolve(),)):
        place = target / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        with open_file(file, "file of a workspace") as source, place.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        count, size = count + 1, size + place.stat().st_size
        _refuse_much(count, size, str(folder))


def _settings_files(
    folder: Path, root: Path, *, is_own: bool, without: frozenset[Path], above: tuple[Path, ...]
) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        relative = PurePosixPath(path.relative_to(root).as_posix())
        place = path.resolve()
        if entry.is_dir():
            if not _may_hold_settings(relative) or place in without or place in above:
                continue
            _refuse_way_out(entry, place, root, is_own=is_own)
            yield from _settings_files(path, root, is_own=is_own, without=without, above=(*above, place))
        elif is_settings(relative):
            _refuse_way_out(entry, place, root, is_own=is_own)
            yield path


def _refuse_way_out(entry: os.DirEntry[str], place: Path, root: Path, *, is_own: bool) -> None:
    if entry.is_symlink() and not is_own and root.resolve() not in place.parents:
        raise SettingsInvalid(
            "is a link that leads out of its workspace; a plan follows none", file=entry.path
        )


def is_settings(path: PurePosixPath) -> bool:
    """Tell whether a file of a workspace, by its path in it, is one that decides about a night."""
    suffixes = (*SETTINGS_SUFFIXES, ".py") if path.parts[0] == MODELS else SETTINGS_SUFFIXES
    return path.suffix in suffixes and _may_hold_settings(path)


def _may_hold_settings(path: PurePosixPath) -> bool:
    return path.parts[0] not in _OWN_FOLDERS and not path.parts[0].startswith(".")


def _refuse_much(count: int, size: int, name: str) -> None:
    if count > MOST_FILES or size > MOST_BYTES:
        raise UsageError(
            f"{name} has more than {MOST_FILES:,} settings files, or than {MOST_BYTES:,} bytes of them; is it a workspace?"
        )


def hashes_of(folder: Path) -> dict[str, str]:
    """Give the sha256 of each file of a copied workspace, by its path in it."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file_hash(file) for file in files}


# ------------------------------------------------------------------------------------- revisions


def find_revision(workspace: Path, name: str) -> Revision:
    """Give a revision of the workspace's repository; ``UsageError`` where there is no repository, revision or workspace in it."""
    top = _git(workspace, "rev-parse", "--show-toplevel")
    if top is None:
        raise UsageError(
            f"the workspace {workspace} lies in no git repository; name the folder of the changed workspace instead"
        )
    repository = Path(os.fsdecode(top).rstrip("\n"))
    prefix = os.fsdecode(_git(workspace, "rev-parse", "--show-prefix") or b"").strip("\n/")
    commit = None
    if name.strip() and not name.startswith("-") and "\0" not in name:
        commit = _git(
            repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )
    if commit is None:
        raise UsageError(f"the repository {repository} has no revision '{name}'")
    revision = Revision(repository, commit.decode().split()[-1], prefix)
    if not any(path == FILE_NAME for path, *_ in _entries(revision)):
        where = f"in {prefix}" if prefix else "at its top"
        raise UsageError(f"the revision '{name}' has no workspace {where} (no {FILE_NAME})")
    return revision


def copy_revision(revision: Revision, target: Path) -> None:
    """Copy the settings files that the workspace has at a revision; a link among them raises ``SettingsInvalid``."""
    count, size = 0, 0
    for path, mode, name in _entries(revision):
        relative = PurePosixPath(path)
        if not is_settings(relative) or mode == _REPOSITORY:
            continue
        if any(part in ("", ".", "..") for part in path.split("/")):
            raise SettingsInvalid("is no path of a workspace", file=path)
        if mode == _LINK:
            raise SettingsInvalid("is a link; a plan follows none of a revision", file=path)
        place = target / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as copy:
            subprocess.run(
                [*_GIT, "cat-file", "blob", name],
                cwd=revision.repository,
                env=_environment(),
                stdout=copy,
                check=True,
            )
        count, size = count + 1, size + place.stat().st_size
        _refuse_much(count, size, f"the revision {revision.commit[:12]}")


def _entries(revision: Revision) -> Iterator[tuple[str, str, str]]:
    """Give path in the workspace, mode and object of every entry of a revision's workspace."""
    tree = f"{revision.commit}:{revision.prefix}" if revision.prefix else revision.commit
    listing = _git(revision.repository, "ls-tree", "-r", "-z", "--full-tree", tree) or b""
    for line in listing.split(b"\0"):
        if line:
            facts, _, path = line.partition(b"\t")
            mode, _, name = facts.decode().split(" ", 2)
            yield os.fsdecode(path), mode, name


def _git(folder: Path, *words: str) -> bytes | None:
    """Give what git says; None where it refuses."""
    try:
        answer = subprocess.run(
            [*_GIT, *words], cwd=folder, env=_environment(), capture_output=True, check=False
        )
    except FileNotFoundError:
        raise EnvironmentUnready("git is not installed, and a revision is asked for") from None
    return answer.stdout if answer.returncode == 0 else None


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return own | _ENVIRONMENT
