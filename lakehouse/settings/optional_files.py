"""Files and folders that a workspace need not have: whether one is there, told for all of them in one way.

What stands under such a name and is no file or folder of its kind (a link that leads nowhere, a folder, a pipe) is a fault and never
the same as nothing: what it says would not count, and nobody would hear of it.
"""

from __future__ import annotations

import fnmatch
import stat
from pathlib import Path

from lakehouse.errors import SettingsInvalid, UsageError


def is_there(path: Path) -> bool:
    """Tell whether anything stands under a name, of whatever kind; where nobody can tell raises ``SettingsInvalid``."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as wrong:
        raise SettingsInvalid(f"cannot be looked at ({wrong.strerror})", file=path) from None
    return True


def optional_file(path: Path) -> Path | None:
    """Give a file that need not be there; None where nothing has its name, ``SettingsInvalid`` where something else has."""
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        other = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise SettingsInvalid(
            f"is {other}, where a file is expected; remove it, or put the file there", file=path
        )
    return None if mode is None else path


def optional_folder(path: Path) -> Path | None:
    """Give a folder that need not be there; None where nothing has its name, ``SettingsInvalid`` where something else has."""
    mode = _mode(path)
    if mode is not None and not stat.S_ISDIR(mode):
        raise SettingsInvalid(
            "is no folder, where one is expected; remove it, or put the folder there", file=path
        )
    return None if mode is None else path


def files_in(folder: Path, pattern: str) -> list[Path]:
    """Give what a folder that need not be there holds under names of a pattern, sorted, of whatever kind: who reads it judges it."""
    if optional_folder(folder) is None:
        return []
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError as wrong:
        raise SettingsInvalid(f"the folder cannot be read ({wrong.strerror})", file=folder) from None
    return sorted(folder / name for name in fnmatch.filter(names, pattern))


def require_ordinary(path: Path) -> None:
    """Refuse, before it is opened, what a user names as a file and is a pipe or a device: it may never end, or never begin.

    Raises ``UsageError``; what is not there is left to who reads it.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UsageError("is a pipe or a device; name an ordinary file", file=path)


def _mode(path: Path) -> int | None:
    if not is_there(path):
        return None
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        raise SettingsInvalid(
            "is a link that leads nowhere; remove it, or restore what it leads to", file=path
        ) from None
    except OSError as wrong:
        raise SettingsInvalid(f"cannot be looked at ({wrong.strerror})", file=path) from None
