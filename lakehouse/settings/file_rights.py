"""Who may read what the product writes: its owner, and a group where ``files`` of ``cdp.yml`` names one.

A folder of the product keeps everybody else out, whatever lies in it; its group passes on to new files by the set-group-id bit.
"""

from __future__ import annotations

import grp
import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import FILE_NAME, Settings
from lakehouse.settings.yaml_files import line_of, load_yaml

OWNER_ONLY, OWNER_AND_GROUP = 0o077, 0o027
# What lies in such a folder gets the folder's group.
GROUP_FOLDER = stat.S_ISGID | stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP


@dataclass(frozen=True)
class RightsFault:
    """A folder whose rights are not those of the workspace: what is wrong, and the command that mends it."""

    sentence: str
    repair: str


def umask_of(settings: Settings) -> int:
    """Give the rights that no file of the product has: 077, or 027 where a group may read."""
    files = settings.files
    return OWNER_AND_GROUP if files.group or files.published_group else OWNER_ONLY


@contextmanager
def closed_files(settings: Settings) -> Iterator[None]:
    """Give new files of this process, and of children that it starts, the rights that the workspace names.

    Where a group may read, the folders are made with that group first. An unknown group, one that this user may not give
    and a folder that does not fit raise ``SettingsInvalid``.
    """
    if umask_of(settings) == OWNER_AND_GROUP:
        for path, group in _folders(settings).items():
            _make(settings, path, group)
        for fault in rights_faults(settings):
            raise _fault(settings, f"{fault.sentence}; {fault.repair}")
    before = os.umask(umask_of(settings))
    try:
        yield
    finally:
        os.umask(before)


def give_to_group(settings: Settings, file: Path) -> None:
    """Give a file that lies in no folder of the product to the group that may read the lake, where one is named."""
    group = _group_id(settings, settings.files.group)
    if group is not None:
        os.chown(file, -1, group)


def rights_faults(settings: Settings, destinations: Sequence[Path] = ()) -> list[RightsFault]:
    """Give the folders of the product that others can read, or that the named group cannot.

    ``destinations`` are folders outside the workspace; which group may read those is their owner's matter.
    """
    folders = [(path, _group_id(settings, group)) for path, group in _folders(settings).items()]
    folders.append((settings.workspace / "secrets", None))
    faults = [_folder_fault(path, group) for path, group in folders if path.is_dir()]
    faults += [
        RightsFault(f"others can read {path}", f"run `chmod -R o-rwx {shlex.quote(str(path))}`")
        for path in destinations
        if path.is_dir() and path.stat().st_mode & stat.S_IRWXO
    ]
    return [fault for fault in faults if fault is not None]


def _folders(settings: Settings) -> dict[Path, str | None]:
    """Give the group of each folder that the product writes; an unknown group raises ``SettingsInvalid``."""
    files = settings.files
    for group in (files.group, files.published_group):
        _group_id(settings, group)
    places = (settings.lake, settings.reports, settings.generated)
    return dict.fromkeys(places, files.group) | {settings.published: files.published_group or files.group}


def _folder_fault(path: Path, group: int | None) -> RightsFault | None:
    facts, name = path.stat(), shlex.quote(str(path))
    if group is None:
        is_open = facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        return RightsFault(f"others can read {path}", f"run `chmod -R go-rwx {name}`") if is_open else None
    steps = [f"chmod -R g-w,g+rX,o-rwx {name}", f"find {name} -type d -exec chmod g+s {{}} +"]
    if facts.st_gid != group:
        steps.insert(0, f"chgrp -R {grp.getgrgid(group).gr_name} {name}")
        sentence = f"{path} is not of the group that `files` names"
    elif facts.st_mode & stat.S_IRWXO:
        sentence = f"others can read {path}"
    elif facts.st_mode & GROUP_FOLDER != GROUP_FOLDER:
        sentence = f"the group that `files` names cannot read {path}"
    else:
        return None
    return RightsFault(sentence, f"run `{' && '.join(steps)}`")


def _make(settings: Settings, path: Path, group: str | None) -> None:
    if path.exists():
        return
    path.mkdir(parents=True, mode=stat.S_IRWXU)
    group_id = _group_id(settings, group)
    if group_id is None:
        return
    try:
        os.chown(path, -1, group_id)
    except PermissionError:
        path.rmdir()
        raise _fault(
            settings, f"this user may not give files to the group '{group}'; make it a member"
        ) from None
    path.chmod(GROUP_FOLDER)


def _group_id(settings: Settings, group: str | None) -> int | None:
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise _fault(
            settings, f"this machine has no group '{group}'; name one that `getent group` shows"
        ) from None


def _fault(settings: Settings, sentence: str) -> SettingsInvalid:
    file = settings.workspace / FILE_NAME
    return SettingsInvalid(sentence, file=file, line=line_of(load_yaml(file), "files"))
