"""Files that a command writes where its user says: pictures and answers. What is somebody else's is never replaced.

A file lies outside the folders that the product keeps, has the suffix of its kind, and takes the place of nothing but a file of its
own kind, by a rename when it is whole. No link is followed. Its rights are those of the lake.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lakehouse.errors import UsageError
from lakehouse.settings.file_rights import closed_files, give_to_group
from lakehouse.settings.settings import Settings

# What a picture says of itself (for matplotlib); without a day the same picture is the same bytes.
PICTURE: Final[dict[str, Any]] = {"Date": None, "Publisher": "cdp: a picture"}

_HEAD = 4_096
_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class FileKind:
    """What a command writes: how sentences name it, its suffix, and whether bytes that a file begins with are of its kind."""

    name: str
    suffix: str
    is_own: Callable[[bytes], bool]


def _is_picture(content: bytes) -> bool:
    head = content[:_HEAD]
    return b"<svg" in head and f"<dc:title>{PICTURE['Publisher']}</dc:title>".encode() in head


def json_kind(name: str, *keys: str) -> FileKind:
    """Give the kind of a JSON object with these keys, at least."""

    def is_own(content: bytes) -> bool:
        try:
            tree = json.loads(content)
        except ValueError:
            return False
        return isinstance(tree, dict) and set(keys) <= set(tree)

    return FileKind(name, ".json", is_own)


SVG = FileKind("picture", ".svg", _is_picture)


@contextmanager
def written_file(settings: Settings, file: Path, kind: FileKind) -> Iterator[Path]:
    """Give a path to write to; what stands there takes the place of ``file`` when nothing went wrong.

    ``UsageError`` where nothing may be written there, before anything is, or where the disk refuses.
    """
    place = _place(settings, file, kind)
    part = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        with closed_files(settings):
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            give_to_group(settings, part)
            yield part
            _require_own(place, kind)
            part.replace(place)
    except OSError as wrong:
        raise UsageError(f"the {kind.name} cannot be written: {wrong.strerror}", file=file) from None
    finally:
        part.unlink(missing_ok=True)


def require_foreign_folder(settings: Settings, folder: Path) -> Path:
    """Give a folder, links resolved; one that the product keeps, or that lies in such a one, raises ``UsageError``."""
    place = folder.resolve()
    own = settings.workspace
    folders = (
        settings.lake,
        settings.inbox,
        settings.published,
        settings.generated,
        own / "secrets",
        own / "audit",
    )
    for one in (one.resolve() for one in (*folders, settings.truth) if one is not None):
        if one == place or one in place.parents:
            raise UsageError(f"{one} is a folder of the product; name a place elsewhere", file=folder)
    return place


def _place(settings: Settings, file: Path, kind: FileKind) -> Path:
    if file.suffix != kind.suffix:
        raise UsageError(f"a {kind.name} is called NAME{kind.suffix}", file=file)
    place = require_foreign_folder(settings, file.parent) / file.name
    _require_own(place, kind)
    return place


def _require_own(place: Path, kind: FileKind) -> None:
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as wrong:
        raise UsageError(
            "is a link; name the file itself" if place.is_symlink() else f"cannot be read ({wrong.strerror})",
            file=place,
        ) from None
    try:
        is_file = stat.S_ISREG(os.fstat(handle).st_mode)
        if not is_file or not kind.is_own(os.read(handle, _MOST_BYTES)):
            raise UsageError(
                f"is no {kind.name} that cdp wrote; name another file, or remove this one", file=place
            )
    finally:
        os.close(handle)
