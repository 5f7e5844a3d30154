"""Members of delivered zip and tar archives: their names, their hashes, and their bytes unpacked for a night."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ingestion.feeds.limits import Limits
from lakehouse.errors import InputInvalid

PIECE_BYTES = 1 << 20
_DAMAGED = "is a damaged or cut archive; have it delivered again"
# What is raised where offsets, lengths and names of an archive are no such things.
_DAMAGES = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    EOFError,
    zlib.error,
    struct.error,
    ValueError,
    LookupError,
    ArithmeticError,
)


@dataclass(frozen=True)
class Member:
    """One file inside an archive: its name there, the sha256 of its bytes, and their number."""

    name: str
    sha256: str
    bytes: int


def is_archive(path: Path) -> bool:
    """Say whether a file is a zip or tar archive, by its content."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def members(archive: Path, is_wanted: Callable[[str], bool], *, name: str, limits: Limits) -> list[Member]:
    """Give the members whose name is ``wanted``, in one pass over the archive, by name.

    ``name`` is what errors call the archive. A damaged or encrypted one, and one beyond the limits, raises ``InputInvalid``.
    """
    members_of_archive = []
    with _errors_named(name):
        for member, stream in _streams(archive, is_wanted, limits):
            digest, size = hashlib.sha256(), 0
            while piece := stream.read(PIECE_BYTES):
                digest.update(piece)
                size += len(piece)
            members_of_archive.append(Member(member, digest.hexdigest(), size))
    twice = sorted(
        {m.name for m in members_of_archive if sum(o.name == m.name for o in members_of_archive) > 1}
    )
    if twice:
        raise InputInvalid(f"holds the member '{twice[0]}' twice; have it packed again", file=name)
    return sorted(members_of_archive, key=lambda member: member.name)


def unpack(
    archive: Path, names: Collection[str], folder: Path, *, name: str, limits: Limits
) -> dict[str, Path]:
    """Unpack members into ``folder`` in one pass and give where each lies; their own paths are never used as such."""
    folder.mkdir(parents=True, exist_ok=True)
    places: dict[str, Path] = {}
    with _errors_named(name):
        for member, stream in _streams(archive, lambda member_name: member_name in names, limits):
            path = folder / f"{len(places):05d}{''.join(Path(member).suffixes[-2:])}"
            with path.open("wb") as out:
                shutil.copyfileobj(stream, out, PIECE_BYTES)
            places[member] = path
    return places


class _Count:
    """How much came out of an archive until now; more than the limits raises ``InputInvalid``."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self._limits, self._size = limits, 0
        self._packed_size = archive.stat().st_size

    def add(self, size: int) -> None:
        """Add so many bytes."""
        self._size += size
        fault = self._limits.fault(self._size, self._packed_size)
        if fault:
            raise InputInvalid(f"{fault}; have it delivered again")


class _Counted(io.RawIOBase):
    """A stream whose bytes are added to a count as they are read."""

    def __init__(self, source: IO[bytes], count: _Count) -> None:
        super().__init__()
        self._source, self._count = source, count

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read bytes; more than the limits raises ``InputInvalid``."""
        piece = self._source.read(size)
        self._count.add(len(piece))
        return piece


def _refuse_many(count: int, limits: Limits) -> None:
    if count > limits.members:
        raise InputInvalid(f"holds more than {limits.members:,} members (limits: members of the feed)")


def _streams(
    archive: Path, is_wanted: Callable[[str], bool], limits: Limits
) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zip_file:
            _refuse_many(len(zip_file.infolist()), limits)
            total = _Count(archive, limits)
            for info in zip_file.infolist():
                if not info.is_dir() and is_wanted(info.filename):
                    with zip_file.open(info) as stream:
                        yield info.filename, cast("IO[bytes]", _Counted(stream, total))
        return
    with _decompressed(archive) as source:
        whole = cast("IO[bytes]", _Counted(source, _Count(archive, limits)))
        # A sparse member is zeros that do not stand in the archive, so what members give is counted beside it.
        total = _Count(archive, limits)
        with tarfile.open(fileobj=whole, mode="r|") as tape:
            for count, entry in enumerate(tape, 1):
                _refuse_many(count, limits)
                content = tape.extractfile(entry) if entry.isfile() and is_wanted(entry.name) else None
                if content is not None:
                    yield entry.name, cast("IO[bytes]", _Counted(content, total))
        # Only the end of a compressed file tells that nothing is missing.
        while whole.read(PIECE_BYTES):
            pass


def _decompressed(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        start = file.read(6)
    for magic, module in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ\x00", lzma)):
        if start.startswith(magic):
            return cast("IO[bytes]", module.open(archive, "rb"))
    return archive.open("rb")


@contextmanager
def _errors_named(name: str) -> Iterator[None]:
    try:
        yield
    except InputInvalid as wrong:
        raise InputInvalid(wrong.message, file=name) from None
    except NotImplementedError:
        raise InputInvalid("is packed by a method that cannot be read; use deflate", file=name) from None
    except RuntimeError as wrong:
        if "encrypted" not in str(wrong):
            raise
        raise InputInvalid(
            "is an encrypted archive; have it delivered without a password", file=name
        ) from None
    except OSError as wrong:
        # What the libraries say of bytes has no number, or that of a place that is none; the others are of the machine.
        if wrong.errno not in (None, errno.EINVAL):
            raise
        raise InputInvalid(_DAMAGED, file=name) from None
    except _DAMAGES:
        raise InputInvalid(_DAMAGED, file=name) from None
