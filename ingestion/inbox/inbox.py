"""What lies in the inbox for a feed: files and members of archives with their business dates and hashes.

A file that did not change since it was hashed is not read again: its size, times and inode are kept with its hash, as
version control systems do, and are not believed where the file is as young as the note itself.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path

from ingestion.feeds.feeds import Feed
from ingestion.feeds.limits import Limits
from ingestion.inbox.archives import Member, members
from lakehouse.errors import InputInvalid
from lakehouse.query.hashing import file_hash, text_hash

_PLACEHOLDERS = {"{date}": ("????-??-??", r"(\d{4}-\d{2}-\d{2})"), "{yyyymmdd}": ("????????", r"(\d{8})")}
NOTES = "file_hashes.json"
FILES_AT_ONCE = 2


@dataclass(frozen=True)
class DeliveredFile:
    """A file found for a feed: its name in the ledger, where it lies, its business date, hash and size.

    The hash is of the file and, where it has one, of its control file. Of a member of an archive ``location`` is the archive until the night unpacks it. A file with a ``fault`` cannot be
    taken; where its day cannot be known either, ``is_dated`` is false and it is entered under the night's.
    """

    feed: str
    path: str
    location: Path
    business_date: date
    sha256: str
    bytes: int
    member: str | None = None
    fault: str | None = None
    is_dated: bool = True

    @property
    def position(self) -> tuple[date, str]:
        """The order in which files are taken."""
        return self.business_date, self.path


class FileHashes:
    """Hashes of files and of archives' members, kept in ``folder`` between nights."""

    def __init__(self, folder: Path | None = None) -> None:
        self._notes_file = None if folder is None else folder / NOTES
        self._notes: dict[str, dict[str, list[object]]] = {}
        self._written_at = -1
        self._is_changed = False
        if self._notes_file is not None:
            with suppress(OSError, ValueError):
                self._notes = json.loads(self._notes_file.read_text(encoding="utf-8"))
                self._written_at = self._notes_file.stat().st_mtime_ns

    def of_file(self, path: Path) -> Member:
        """Give the hash and size of a whole file."""
        return self._noted(path, "", lambda: [Member("", file_hash(path), path.stat().st_size)])[0]

    def of_files(self, paths: Sequence[Path]) -> list[Member]:
        """Give the same of several files, a few at once: hashing lets other threads run."""
        if len(paths) < 2:
            return [self.of_file(path) for path in paths]
        with ThreadPoolExecutor(max_workers=FILES_AT_ONCE) as pool:
            return list(pool.map(self.of_file, paths))

    def of_members(self, path: Path, pattern: str, *, name: str, limits: Limits) -> list[Member]:
        """Give the members of an archive whose name matches the regular expression ``pattern``."""
        matches = re.compile(pattern).fullmatch
        return self._noted(
            path, pattern, lambda: members(path, lambda n: bool(matches(n)), name=name, limits=limits)
        )

    def save(self) -> None:
        """Write the notes in one replacement, or leave the old ones where that cannot be done."""
        if self._notes_file is None or not self._is_changed:
            return
        notes = {key: note for key, note in self._notes.items() if Path(key.partition("\n")[0]).exists()}
        with suppress(OSError):
            self._notes_file.parent.mkdir(parents=True, exist_ok=True)
            draft = self._notes_file.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(notes), encoding="utf-8")
            draft.replace(self._notes_file)

    def _noted(self, path: Path, pattern: str, compute: Callable[[], list[Member]]) -> list[Member]:
        stat = path.stat()
        marks = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        note = self._notes.get(f"{path}\n{pattern}")
        is_settled = max(stat.st_mtime_ns, stat.st_ctime_ns) < self._written_at
        if note is not None and note["seen"] == marks and is_settled:
            return [Member(**member) for member in note["members"]]  # type: ignore[arg-type]
        file_members = compute()
        self._notes[f"{path}\n{pattern}"] = {
            "seen": [*marks],
            "members": [asdict(member) for member in file_members],
        }
        self._is_changed = True
        return file_members


def find_files(
    feed: Feed, inbox: Path, *, until: date, hashes: FileHashes | None = None
) -> tuple[list[DeliveredFile], list[str]]:
    """Give the feed's files with a business date up to ``until``, hashed, and the names of those that wait.

    A file whose path names two dates, a link that leads out of the inbox, a damaged archive, or one without the member the
    feed reads, is given with its fault.
    """
    hashes = hashes or FileHashes()
    wildcard, regex = _patterns(os.path.normpath(inbox / feed.files.path))
    files: list[DeliveredFile] = []
    waiting: list[str] = []
    wholes: list[tuple[str, Path, date]] = []
    for location in sorted(glob.glob(wildcard)):  # noqa: PTH207 - an absolute pattern
        path, match = Path(location), re.fullmatch(regex, location)
        if match is None or not path.is_file():
            continue
        name = _ledger_name(path, inbox)
        day = None
        try:
            if match.groups() or feed.files.member is None:
                day = _business_date(feed, name, match.groups())
            if day is not None and day > until:
                waiting.append(name)
                continue
            _refuse_way_out(path, name, inbox, wildcard)
            if not os.access(path, os.R_OK):
                raise InputInvalid("may not be read by the night; check its rights")
            beside = feed.control.file_of(path.name) if feed.control else None
            if beside is not None:
                _refuse_way_out(path.with_name(beside), name, inbox, wildcard)
            if feed.files.member is None:
                assert day is not None
                wholes.append((name, path, day))
                continue
            for file in _members(feed, path, name, match.groups(), hashes):
                if file.business_date > until:
                    waiting.append(file.path)
                else:
                    files.append(file)
        except InputInvalid as wrong:
            files.append(_faulty(feed, name, path, day or feed.files.business_date, until, wrong.message))
    whole_files = hashes.of_files([path for _, path, _ in wholes])
    for (name, path, day), whole in zip(wholes, whole_files, strict=True):
        digest = whole.sha256
        beside = feed.control.file_of(path.name) if feed.control else None
        if beside is not None and path.with_name(beside).is_file():
            digest = text_hash(digest, hashes.of_file(path.with_name(beside)).sha256)
        files.append(DeliveredFile(feed.feed, name, path, day, digest, whole.bytes))
    return sorted(files, key=lambda f: f.position), sorted(waiting)


def _faulty(feed: Feed, name: str, path: Path, day: date | None, until: date, fault: str) -> DeliveredFile:
    """Give a file that cannot be taken; what is not read, such as a link out of the inbox, is known by its name."""
    if path.resolve() == path.absolute() and os.access(path, os.R_OK):
        digest, size = file_hash(path), path.stat().st_size
    else:
        digest, size = text_hash(str(path.resolve())), path.lstat().st_size
    return DeliveredFile(
        feed.feed, name, path, day or until, digest, size, fault=fault, is_dated=day is not None
    )


def _refuse_way_out(path: Path, name: str, inbox: Path, wildcard: str) -> None:
    """Refuse a link that leads out of the inbox, or out of the folder that a feed names elsewhere.

    Who may deliver would else have any file read that the night may read.
    """
    is_below = path.is_relative_to(inbox)
    root = inbox if is_below else Path(re.split(r"[*?\[]", wildcard, maxsplit=1)[0] + "-").parent
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputInvalid(
            "is a link, or lies behind one, that leads out of the inbox; have the file itself delivered",
            file=name,
        )


def _members(
    feed: Feed, path: Path, name: str, days: tuple[str, ...], hashes: FileHashes
) -> Iterator[DeliveredFile]:
    assert feed.files.member is not None
    if path.stat().st_size == 0:
        raise InputInvalid("is empty; have it delivered again", file=name)
    _, pattern = _patterns(feed.files.member)
    archive_members = hashes.of_members(path, pattern, name=name, limits=feed.limits)
    if not archive_members:
        raise InputInvalid(
            f"holds no member '{feed.files.member}' that the feed reads; have it packed again", file=name
        )
    for member in archive_members:
        match = re.fullmatch(pattern, member.name)
        assert match is not None
        file_name = f"{name}!{member.name}"
        day = _business_date(feed, file_name, (*days, *match.groups()))
        yield DeliveredFile(feed.feed, file_name, path, day, member.sha256, member.bytes, member.name)


def newest_member(feed: Feed, archive: Path) -> DeliveredFile:
    """Give the member with the newest business date that the feed would read of an archive, wherever it lies."""
    folder = re.findall(r"\d{4}-\d{2}-\d{2}", str(archive)) if not feed.files.member_has_date else []
    return max(
        _members(feed, archive, archive.name, tuple(folder[-1:]), FileHashes()), key=lambda f: f.position
    )


def _patterns(path: str) -> tuple[str, str]:
    """Give a feed's path as a glob and as a regular expression whose groups are the dates."""
    wildcard, regex = "", ""
    for part in re.split(r"(\{date\}|\{yyyymmdd\}|\*|\?)", path):
        if part in _PLACEHOLDERS:
            wildcard, regex = wildcard + _PLACEHOLDERS[part][0], regex + _PLACEHOLDERS[part][1]
        elif part in ("*", "?"):
            wildcard, regex = wildcard + part, regex + ("[^/]*" if part == "*" else "[^/]")
        else:
            wildcard, regex = wildcard + glob.escape(part), regex + re.escape(part)
    return wildcard, regex


def _business_date(feed: Feed, name: str, groups: tuple[str, ...]) -> date:
    days = {calendar_day(text) for text in groups}
    if None in days:
        raise InputInvalid("has no calendar day where its feed's path expects one; rename it", file=name)
    dates = sorted(day for day in days if day is not None)
    if len(dates) > 1:
        raise InputInvalid(
            f"names two dates, {dates[0]} and {dates[1]}; move it to the folder of its own date", file=name
        )
    if dates:
        return dates[0]
    if feed.files.business_date is None:
        raise InputInvalid("has no business date in its path", file=name)
    return feed.files.business_date


def calendar_day(text: str) -> date | None:
    """Give the day that eight digits, with dashes or without, tell; None where the calendar has no such day."""
    try:
        return datetime.strptime(text.replace("-", ""), "%Y%m%d").date()
    except ValueError:
        return None


def _ledger_name(location: Path, inbox: Path) -> str:
    """Give the file's name in the ledger: below the inbox, else relative to it, so that a moved tree keeps names."""
    if location.is_relative_to(inbox):
        return location.relative_to(inbox).as_posix()
    return Path(os.path.relpath(location, inbox)).as_posix()
