"""Which files a night takes: the ledger of files, what is new, repeated, corrected, superseded, or still to come.

Everything here is decided from names, bytes and the ledger, before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from ingestion.feeds.feeds import Feed
from ingestion.inbox.inbox import DeliveredFile, calendar_day
from lakehouse.errors import InputInvalid

Status = Literal["loaded", "repeated", "superseded", "corrected", "needs_backfill", "refused"]


@dataclass(frozen=True)
class LedgerRow:
    """An entry of the ledger: one file's content on one night."""

    feed: str
    path: str
    sha256: str
    business_date: date
    arrived_on: date
    status: str
    bytes: int
    records: int | None = None
    extra_columns: tuple[str, ...] | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Choice:
    """What a night does with one feed's files: those it loads, the status of each file it decides on, and more.

    ``reasons`` says by path why a file is refused. ``earlier_rows`` are entries of an earlier attempt of the night that
    stay; ``waiting`` are files of later dates.
    """

    load: tuple[DeliveredFile, ...] = ()
    decisions: tuple[tuple[DeliveredFile, Status], ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    earlier_rows: tuple[LedgerRow, ...] = ()
    waiting: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    is_rerun: bool = False


@dataclass
class _Draft:
    decisions: dict[str, tuple[DeliveredFile, Status]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def put(self, file: DeliveredFile, status: Status) -> None:
        self.decisions[file.path] = (file, status)


def choose_files(
    feed: Feed,
    files: Sequence[DeliveredFile],
    waiting: Iterable[str],
    ledger: Sequence[LedgerRow],
    business_date: date,
    faults: Mapping[str, str] | None = None,
) -> Choice:
    """Decide what night ``business_date`` does with the delivered files, given all ledger rows of the feed.

    Rows of this very night are decided anew (a rerun); rows of later nights stand, so that a replay keeps every
    file with the night that first took it. A file that cannot be used is refused as a whole and the feed goes on without it;
    ``faults`` says by path what reading found. A required feed without a file, or with one that cannot be used, or a file of
    an earlier attempt that is gone, raises ``InputInvalid``.
    """
    before = _standing([row for row in ledger if row.arrived_on < business_date])
    attempt = [row for row in ledger if row.arrived_on == business_date]
    later = {
        (r.path, r.sha256) for r in ledger if r.arrived_on > business_date and r.status != "needs_backfill"
    }
    present = {file.path for file in files}
    late = _check_due(feed, files, business_date)
    for row in attempt:
        if row.status == "loaded" and row.path not in present:
            raise InputInvalid(
                f"the file {row.path}, taken by the night of {business_date}, is no longer in the inbox; put it back"
            )
    last_of = {row.path: row for row in sorted(before, key=lambda r: r.arrived_on)}
    fresh = _fresh_files(feed, [f for f in files if (f.path, f.sha256) not in later], last_of)
    draft = _Draft(warnings=late)
    loaded_before = [row for row in before if row.status in ("loaded", "corrected")]
    _refuse_unusable(feed, fresh, faults or {}, loaded_before, draft)
    fresh = [file for file in fresh if file.path not in draft.reasons]
    if feed.mode == "snapshot":
        usable = [file for file in files if file.path not in draft.reasons]
        load = _choose_snapshot(usable, fresh, loaded_before, draft)
    else:
        load = _choose_increments(feed, fresh, loaded_before, draft)
    was_loaded = any(row.status == "loaded" for row in attempt)
    if was_loaded and not load and feed.mode == "snapshot":
        # The earlier attempt of this night changed states; what is repeated now is loaded again to undo that.
        load = [file for file, status in draft.decisions.values() if status == "repeated"]
    earlier_rows = tuple(
        LedgerRow(
            r.feed,
            r.path,
            r.sha256,
            r.business_date,
            r.arrived_on,
            "corrected",
            r.bytes,
            r.records,
            r.extra_columns,
        )
        for r in attempt
        if r.status in ("loaded", "corrected") and r.path in present and not _is_decided(r, draft)
    )
    return Choice(
        load=tuple(sorted(load, key=lambda f: f.position)),
        decisions=tuple(draft.decisions[path] for path in sorted(draft.decisions)),
        reasons=draft.reasons,
        earlier_rows=earlier_rows,
        waiting=tuple(waiting),
        warnings=tuple(draft.warnings),
        is_rerun=was_loaded,
    )


def _standing(rows: Sequence[LedgerRow]) -> list[LedgerRow]:
    """Give entries without content that a rerun took back because a file that is refused came in its place."""
    refusals = {(row.path, row.arrived_on) for row in rows if row.status == "refused"}
    return [row for row in rows if row.status != "corrected" or (row.path, row.arrived_on) not in refusals]


def _fresh_files(
    feed: Feed, files: Sequence[DeliveredFile], last_of: Mapping[str, LedgerRow]
) -> list[DeliveredFile]:
    """Give the files whose content no night before has met; of a whole delivery also the parts that were refused with it."""
    earlier = {f.path for f in files if f.path in last_of and last_of[f.path].sha256 == f.sha256}
    days = {f.business_date for f in files if f.path not in earlier} if feed.mode == "snapshot" else set()
    return [
        f
        for f in files
        if f.path not in earlier or (f.business_date in days and last_of[f.path].status == "refused")
    ]


def _refuse_unusable(
    feed: Feed,
    fresh: Sequence[DeliveredFile],
    faults: Mapping[str, str],
    loaded_before: Sequence[LedgerRow],
    draft: _Draft,
) -> None:
    """Refuse files that cannot be used; of a whole delivery all parts, since what one brought would be closed."""
    newest = max((row.business_date for row in loaded_before), default=None)
    is_whole = feed.mode == "snapshot"
    for file in fresh:
        reason = file.fault or faults.get(file.path) or _other_date(feed, file)
        if reason is None and file.bytes == 0:
            reason = "is empty; have it delivered again"
        # A whole delivery that is older than one loaded is of no use, readable or not.
        if reason is None or (is_whole and newest is not None and file.business_date < newest):
            continue
        if feed.required:
            raise InputInvalid(reason, file=file.path)
        draft.reasons[file.path] = reason
    if is_whole:
        culprits = {
            f.business_date: f.path for f in reversed(fresh) if f.path in draft.reasons and f.is_dated
        }
        for file in fresh:
            if file.business_date in culprits:
                reason = f"belongs to a whole delivery of which {culprits[file.business_date]} is refused"
                draft.reasons.setdefault(file.path, reason)
    for file in fresh:
        if file.path in draft.reasons:
            draft.put(file, "refused")
            draft.warnings.append(f"{file.path}: {draft.reasons[file.path]}; the file is refused as a whole")


def _choose_snapshot(
    files: Sequence[DeliveredFile],
    fresh: Sequence[DeliveredFile],
    loaded_before: Sequence[LedgerRow],
    draft: _Draft,
) -> list[DeliveredFile]:
    """Only the newest whole delivery counts; all its files are taken together, a part that came late included."""
    newest_loaded = max((row.business_date for row in loaded_before), default=None)
    newest = max((file.business_date for file in fresh), default=None)
    for file in fresh:
        if file.business_date != newest or (newest_loaded is not None and newest < newest_loaded):
            draft.put(file, "superseded")
    current = [file for file in fresh if file.path not in draft.decisions]
    if not current:
        return []
    load: list[DeliveredFile] = []
    contents: set[str] = set()
    for file in (f for f in files if f.business_date == newest):
        status: Status = "repeated" if file.sha256 in contents else "loaded"
        contents.add(file.sha256)
        if file in current:
            draft.put(file, status)
        if status == "loaded":
            load.append(file)
    last_night = max((row.arrived_on for row in loaded_before), default=None)
    last_contents = {
        row.sha256 for row in loaded_before if row.arrived_on == last_night and row.status == "loaded"
    }
    if contents == last_contents:
        for file in current:
            draft.put(file, "repeated")
        return []
    return load


def _choose_increments(
    feed: Feed,
    fresh: Sequence[DeliveredFile],
    loaded_before: Sequence[LedgerRow],
    draft: _Draft,
) -> list[DeliveredFile]:
    loaded_of = {row.path: row for row in loaded_before if row.status == "loaded"}
    contents = {row.sha256 for row in loaded_before}
    newest = max(loaded_before, key=lambda r: (r.business_date, r.path), default=None)
    last_content = newest.sha256 if newest else None
    load: list[DeliveredFile] = []
    for file in fresh:
        # An event delivered twice is one event; a changed row may well change back, so there only the last file counts.
        if file.sha256 in contents if feed.mode == "events" else file.sha256 == last_content:
            draft.put(file, "repeated")
            continue
        earlier = loaded_of.get(file.path)
        built_upon = newest is not None and newest.business_date > file.business_date
        if earlier is not None and (feed.mode == "events" or built_upon):
            draft.put(file, "needs_backfill")
            draft.warnings.append(
                f"{file.path} changed after the night of {earlier.arrived_on} had taken it; "
                f"load it with: cdp backfill --from {earlier.arrived_on}"
            )
            continue
        contents.add(file.sha256)
        last_content = file.sha256
        draft.put(file, "loaded")
        load.append(file)
    return load


def _is_decided(row: LedgerRow, draft: _Draft) -> bool:
    decision = draft.decisions.get(row.path)
    return decision is not None and decision[0].sha256 == row.sha256


def _check_due(feed: Feed, files: Sequence[DeliveredFile], business_date: date) -> list[str]:
    """Refuse a night without a required file that is due, or warn of one that is late but may still come."""
    due = business_date if feed.files.has_date else feed.files.business_date
    if due is None or due > business_date or any(file.business_date == due for file in files):
        return []
    newest = max((file.business_date for file in files), default=None)
    days = feed.late_after_days
    is_late = days is None or newest is None or (due - newest).days > days
    if feed.required and is_late:
        place = feed.files.path.replace("{date}", str(due)).replace("{yyyymmdd}", f"{due:%Y%m%d}")
        raise InputInvalid(
            f"feed '{feed.feed}' is required and its file of {due} is missing (looked for {place} below the "
            "inbox); deliver it and run the same command again"
        )
    if days is None or (not is_late and not feed.required):
        return []
    state = f"its newest file is of {newest}" if newest else "it has brought no file yet"
    return [f"feed '{feed.feed}' is late: {state}, expected within {days} days"]


def _other_date(feed: Feed, file: DeliveredFile) -> str | None:
    """Give what is wrong with a file whose own name states another day than the folder it lies in."""
    if not feed.files.has_date:
        return None
    for text in re.findall(r"(?<!\d)((?:19|20)\d{2}-?\d{2}-?\d{2})(?!\d)", Path(file.path).name):
        day = calendar_day(text)
        if day is not None and day != file.business_date:
            return (
                f"is delivered for {file.business_date} but its name tells {day}; "
                "move it to the folder of its own date or rename it"
            )
    return None
