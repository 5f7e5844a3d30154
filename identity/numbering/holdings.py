"""Who held which OneID, and since when: the memory that says whose a number is.

A record *owns* one number: the last one that was minted for its person, or the one it came to as a new record. By a merge
it carries another one as a *guest*, and keeps its own to go back to. Owners hold a number since they first had it, guests
since they came to it last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.components.arrays import is_among

NONE = 0
OPEN = 2**40
# A time is a day and, within it, the publication that a map was seen in.
DAY = 2**20


@dataclass(frozen=True)
class Holders:
    """Which profile holds which OneID, side by side."""

    profiles: np.ndarray
    one_ids: np.ndarray

    @classmethod
    def empty(cls) -> Holders:
        """Give holders of nothing."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing)


@dataclass(frozen=True)
class History:
    """Rows of the map before D: a profile carried a OneID from a time on (``since``) and ``until`` another (exclusive).

    Times are any ascending numbers; ``OPEN`` stands for the end of what still holds. ``joins`` marks rows that are known to
    have joined a number that was there, which their first time alone does not tell.
    """

    profiles: np.ndarray
    one_ids: np.ndarray
    since: np.ndarray
    until: np.ndarray
    joins: np.ndarray

    @classmethod
    def empty(cls) -> History:
        """Give a history of nothing."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, nothing, nothing, np.zeros(0, dtype=bool))

    @classmethod
    def of_rows(cls, rows: pa.Table) -> History:
        """Give the history that ``rows`` tell (columns of ``identity.reading.holdings``)."""
        until = _times(rows["until_on"], rows["until_seq"])
        return cls(
            rows["profile_id"].to_numpy(),
            rows["one_id"].to_numpy(),
            _times(rows["since_on"], rows["since_seq"]),
            np.where(pc.is_null(rows["until_on"]).to_numpy(), OPEN, until),
            rows["joins"].to_numpy(),
        )

    def also(self, other: History) -> History:
        """Give these rows and the other ones."""
        return History(
            np.concatenate([self.profiles, other.profiles]),
            np.concatenate([self.one_ids, other.one_ids]),
            np.concatenate([self.since, other.since]),
            np.concatenate([self.until, other.until]),
            np.concatenate([self.joins, other.joins]),
        )

    def at(self, places: np.ndarray) -> History:
        """Give the rows at these places, or of this mask."""
        return History(
            self.profiles[places],
            self.one_ids[places],
            self.since[places],
            self.until[places],
            self.joins[places],
        )

    def of(self, profiles: np.ndarray) -> History:
        """Give the rows of these profiles, each profile's in the order of time."""
        at = np.flatnonzero(is_among(self.profiles, profiles))
        return self.at(at[np.lexsort((self.since[at], self.profiles[at]))])


def _times(days: pa.ChunkedArray, places: pa.ChunkedArray) -> np.ndarray:
    numbers = pc.fill_null(days.cast(pa.int32()), 0).to_numpy().astype(np.int64)
    return np.asarray(numbers * DAY + places.to_numpy())


@dataclass(frozen=True)
class Lifetimes:
    """When each OneID was first carried by anybody, and until when it was; ``one_ids`` ascend."""

    one_ids: np.ndarray
    firsts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, one_ids: np.ndarray, firsts: np.ndarray, ends: np.ndarray) -> Lifetimes:
        """Give the earliest and the latest time of each OneID; an id may stand several times."""
        ids, at = np.unique(one_ids, return_inverse=True)
        earliest, latest = np.full(len(ids), OPEN), np.zeros(len(ids), dtype=np.int64)
        np.minimum.at(earliest, at, firsts)
        np.maximum.at(latest, at, ends)
        return cls(ids, earliest, latest)

    def first(self, one_ids: np.ndarray) -> np.ndarray:
        """Give when each OneID was first carried; all of them must be known."""
        return self.firsts[np.searchsorted(self.one_ids, one_ids)]

    def end(self, one_ids: np.ndarray) -> np.ndarray:
        """Give until when each OneID was carried; all of them must be known."""
        return self.ends[np.searchsorted(self.one_ids, one_ids)]


@dataclass(frozen=True)
class Ownership:
    """What profiles of a history own and carry; ``profiles`` ascend.

    ``own_since`` and ``own_until`` tell from when until when they carried their own number, ``carries_since`` since when they
    hold the one they carry.
    """

    profiles: np.ndarray
    own: np.ndarray
    own_since: np.ndarray
    own_until: np.ndarray
    carries_since: np.ndarray

    def places(self, profiles: np.ndarray) -> np.ndarray:
        """Give the place of each profile, -1 where it has no history."""
        if not len(self.profiles):
            return np.full(len(profiles), -1, dtype=np.int64)
        at = np.clip(np.searchsorted(self.profiles, profiles), 0, len(self.profiles) - 1)
        return np.where(self.profiles[at] == profiles, at, -1)


def ownership(rows: History, lifetimes: Lifetimes) -> Ownership:
    """Give what each profile of ``rows`` (as ``History.of`` orders them) owns, and since when it holds its last number."""
    size = len(rows.profiles)
    if not size:
        nothing = np.zeros(0, dtype=np.int64)
        return Ownership(nothing, nothing, nothing, nothing, nothing)
    places = np.arange(size)
    is_first = np.r_[True, rows.profiles[1:] != rows.profiles[:-1]]
    is_owner = is_first | ((rows.since == lifetimes.first(rows.one_ids)) & ~rows.joins)
    comes = is_first | np.r_[True, rows.one_ids[1:] != rows.one_ids[:-1]]
    owner_row = np.maximum.accumulate(np.where(is_owner, places, 0))
    arrival = np.maximum.accumulate(np.where(comes, places, 0))
    start = np.flatnonzero(is_first)
    end = np.r_[start[1:], size] - 1
    own = rows.one_ids[owner_row[end]]
    # The first row in which a profile held its own number: rows are by time, so the smallest place.
    mine = rows.one_ids == np.repeat(own, end - start + 1)
    first_own = np.minimum.reduceat(np.where(mine, places, size), start)
    own_since = rows.since[first_own]
    carries_since = np.where(rows.one_ids[end] == own, own_since, rows.since[arrival[end]])
    own_until = np.maximum.reduceat(np.where(mine, rows.until, 0), start)
    return Ownership(rows.profiles[start], own, own_since, own_until, carries_since)
