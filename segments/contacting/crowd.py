"""A part of a night's people as arrays (person × segment), small enough for a processor's cache.

People are local: what becomes of one does not depend on another, but for capacities, which ``segments.contacting.prices`` couples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segments.contacting.problem import CapRule, ContactProblem, SegmentOffer
from segments.contacting.scores import base_score, tie_part, value_scale
from segments.language.contact import GLOBAL

if TYPE_CHECKING:
    import pyarrow as pa

CROWD_PEOPLE = 1 << 16
NOBODY = -1
_EPOCH = date(1970, 1, 1).toordinal()

Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Apart:
    """Another segment that a segment is kept apart from: its code, its number where it offers contacts, and the days."""

    code: str
    number: int
    days: int


@dataclass(frozen=True)
class Crowd:
    """People and their candidacies. ``score`` is -inf where a person is no candidate.

    ``allowed`` has bit n where way n may be used and has a window this night.
    """

    one_ids: NDArray[np.int64]
    score: Floats
    allowed: NDArray[np.uint8]
    habit: NDArray[np.int8]
    """The way's channel a person answers to, as its place in ``NightFacts.channels``; -1 for none."""
    groups: Mapping[str, Ints]
    """For ``branch`` and ``employee``: the number of each person's group."""
    numbers: Ints
    """The number of each person among all people of the night."""

    @property
    def size(self) -> int:
        """How many people."""
        return len(self.one_ids)

    def part(self, rows: Ints) -> Crowd:
        """Give some of the people."""
        groups = {name: numbers[rows] for name, numbers in self.groups.items()}
        return Crowd(
            self.one_ids[rows],
            self.score[rows],
            self.allowed[rows],
            self.habit[rows],
            groups,
            self.numbers[rows],
        )


@dataclass
class NightFacts:
    """What is known of all people of a night, by their number, and the rules by segment and way."""

    problem: ContactProblem
    one_ids: NDArray[np.int64]
    channels: tuple[str, ...]
    habit: NDArray[np.int8]
    groups: Mapping[str, Groups]
    history: _History
    scale: float
    _past: dict[tuple[CapRule, int], Ints] = field(default_factory=dict)
    _newest_past: dict[tuple[CapRule, int], Ints] = field(default_factory=dict)
    _past_apart: dict[tuple[Apart, int], Ints] = field(default_factory=dict)

    @property
    def offers(self) -> Sequence[SegmentOffer]:
        """The offers of the night's segments, whose places number them."""
        return self.problem.offers

    @cached_property
    def days(self) -> tuple[int, ...]:
        """The days on which a window of the night lies, as ordinals, ascending."""
        return tuple(
            sorted({w.window.day.toordinal() for o in self.offers for w in o.ways if w.window is not None})
        )

    @cached_property
    def apart(self) -> dict[int, list[Apart]]:
        """For each segment those it is kept apart from."""
        numbers = {offer.code: number for number, offer in enumerate(self.offers)}
        pairs: dict[int, dict[str, int]] = {}
        for rule in self.problem.apart:
            for code in sorted(rule.segments & numbers.keys()):
                days = pairs.setdefault(numbers[code], {})
                for other in rule.segments - {code}:
                    days[other] = max(rule.days, days.get(other, 0))
        return {
            one: [Apart(code, numbers.get(code, NOBODY), days) for code, days in sorted(others.items())]
            for one, others in pairs.items()
        }

    @cached_property
    def kinds(self) -> Ints:
        """The kind of each segment: those of one kind differ only in priority and people."""
        kinds: dict[object, int] = {}
        numbers = []
        for number, offer in enumerate(self.offers):
            kind = (offer.ways, offer.caps, offer.purpose, offer.contacts, offer.picks_habit)
            numbers.append(kinds.setdefault((*kind, number if number in self.apart else None), len(kinds)))
        return np.array(numbers, np.int32)

    @cached_property
    def segments_by_kind(self) -> list[Ints]:
        """The numbers of the segments of each kind."""
        return [np.flatnonzero(self.kinds == kind).astype(np.int32) for kind in np.unique(self.kinds)]

    @cached_property
    def ways_that_differ(self) -> list[tuple[int, int]]:
        """One way of one segment for each of those that caps treat alike."""
        kinds: dict[object, tuple[int, int]] = {}
        for number, offer in enumerate(self.offers):
            for at, way in enumerate(offer.ways):
                if way.window is not None:
                    caps = tuple(cap for cap in offer.caps if way.is_in(cap.scope))
                    kinds.setdefault((caps, way.window.day, offer.contacts), (number, at))
        return list(kinds.values())

    def past(self, cap: CapRule, day: int) -> Ints:
        """Give how many earlier contacts of each person a cap counts beside one on ``day``.

        Those planned for later days count too, whichever days lie between.
        """
        if (cap, day) not in self._past:
            rows = self.history.person[self._is_counted(cap, day)]
            self._past[cap, day] = np.bincount(rows, minlength=len(self.one_ids)).astype(np.int32)
        return self._past[cap, day]

    def newest_past(self, cap: CapRule, day: int) -> Ints:
        """Give for each person the row of the latest earlier contact that a cap counts beside one on ``day``, -1 where there is none."""
        if (cap, day) not in self._newest_past:
            self._newest_past[cap, day] = self._latest(np.flatnonzero(self._is_counted(cap, day)))
        return self._newest_past[cap, day]

    def _is_counted(self, cap: CapRule, day: int) -> Flags:
        history = self.history
        rows: Flags = history.day > day - cap.days
        return rows & history.is_in_scope(cap.scope) & history.is_of_purpose(cap.purposes)

    def _latest(self, rows: NDArray[np.int64]) -> Ints:
        """Give for each person the latest of some rows of the history, of one day the last by run; -1 where there is none."""
        latest = np.full(len(self.one_ids), NOBODY, np.int32)
        latest[self.history.person[rows]] = rows
        return latest

    def past_apart(self, apart: Apart, day: int) -> Ints:
        """Give for each person the row of the latest earlier contact that keeps a segment away on ``day``, -1 where none does."""
        if (apart, day) not in self._past_apart:
            history = self.history
            rows = np.flatnonzero((history.day > day - apart.days) & (history.code == apart.code))
            self._past_apart[apart, day] = self._latest(rows)
        return self._past_apart[apart, day]

    @cached_property
    def history_columns(self) -> dict[str, pa.Array]:
        """Number of the code (in ``codes``), run and day of each earlier contact, by its row in the history."""
        import pyarrow as pa

        history, numbers = self.history, {code: number for number, code in enumerate(self.codes)}
        return {
            "code": pa.array([numbers[code] for code in history.code.tolist()], pa.int32()),
            "run_id": pa.array(history.run_id.tolist(), pa.string()).dictionary_encode(),
            "day": pa.array(history.day - _EPOCH, pa.date32()),
        }

    @cached_property
    def codes(self) -> list[str]:
        """The codes of the night's segments, whose places number them, and behind them those of earlier contacts only."""
        return list(dict.fromkeys([*(offer.code for offer in self.offers), *self.history.code.tolist()]))

    def crowd(self, begin: int, end: int) -> Crowd:
        """Give the people from number ``begin`` up to ``end`` as arrays."""
        one_ids = self.one_ids[begin:end]
        score = np.full((end - begin, len(self.offers)), -np.inf)
        way_bits = np.zeros((end - begin, len(self.offers)), np.uint8)
        for number, offer in enumerate(self.offers):
            ids, ways, values = self._columns[number]
            first, last = np.searchsorted(ids, [one_ids[0], one_ids[-1] + 1]) if len(one_ids) else (0, 0)
            rows = np.searchsorted(one_ids, ids[first:last])
            score[rows, number] = base_score(offer.priority, values[first:last], self.scale)
            score[rows, number] += tie_part(offer.code, ids[first:last])
            way_bits[rows, number] = ways[first:last]
        groups = {kind: of_kind.of(one_ids) for kind, of_kind in self.groups.items()}
        return Crowd(
            one_ids, score, way_bits, self.habit[begin:end], groups, np.arange(begin, end, dtype=np.int32)
        )

    def crowds(self) -> list[tuple[int, int]]:
        """Give the bounds of the crowds, in order."""
        total = len(self.one_ids)
        return [(begin, min(begin + CROWD_PEOPLE, total)) for begin in range(0, total, CROWD_PEOPLE)]

    @cached_property
    def _columns(self) -> list[tuple[NDArray[np.int64], NDArray[np.uint8], Floats]]:
        return [
            (
                offer.rows["one_id"].to_numpy(),
                offer.rows["ways"].to_numpy() & np.uint8(offer.open_ways),
                offer.rows["value"].to_numpy().astype(np.float64),
            )
            for offer in self.offers
        ]


@dataclass(frozen=True)
class Groups:
    """The group (branch or employee) of each person who has one; everybody else is of the group "", one like any other."""

    names: tuple[str, ...]
    one_ids: NDArray[np.int64]
    numbers: Ints

    def of(self, one_ids: NDArray[np.int64]) -> Ints:
        """Give the number of each person's group."""
        at = np.minimum(np.searchsorted(self.one_ids, one_ids), max(len(self.one_ids) - 1, 0))
        nobody = np.full(len(one_ids), self.names.index(""), np.int32)
        if not len(self.one_ids):
            return nobody
        return np.where(self.one_ids[at] == one_ids, self.numbers[at], nobody).astype(np.int32)


@dataclass(frozen=True)
class _History:
    """Earlier contacts of the night's people, ascending by person, day and run."""

    person: Ints
    day: Ints
    code: NDArray[np.object_]
    run_id: NDArray[np.object_]
    channel: NDArray[np.object_]
    placement: NDArray[np.object_]
    purpose: NDArray[np.object_]

    def is_in_scope(self, scope: str) -> Flags:
        if scope == GLOBAL:
            return np.ones(len(self.person), np.bool_)
        return (self.channel == scope) | (self.placement == scope)

    def is_of_purpose(self, purposes: frozenset[str]) -> Flags:
        return np.isin(self.purpose.astype(str), sorted(purposes))


def facts_of(problem: ContactProblem) -> NightFacts:
    """Give a night's facts by number of person; the order of rows in the tables does not count."""
    ids = [offer.rows["one_id"].to_numpy() for offer in problem.offers]
    one_ids = _distinct(ids)
    channels = tuple(dict.fromkeys(way.channel for offer in problem.offers for way in offer.ways))
    values = [
        offer.rows["value"].to_numpy().astype(np.float64) for offer in problem.offers if offer.rows.num_rows
    ]
    highest = max((float(np.nanmax(np.append(part, 0.0))) for part in values), default=0.0)
    habit = np.full(len(one_ids), NOBODY, np.int8)
    person, rows = _numbers(one_ids, problem.habits)
    for number, channel in enumerate(channels):
        habit[person[rows["channel"].to_numpy(zero_copy_only=False) == channel]] = number
    groups = {kind: _groups(problem.groups, kind) for kind in ("branch", "employee")}
    history = _history(one_ids, problem.history)
    return NightFacts(problem, one_ids, channels, habit, groups, history, value_scale(highest))


def _groups(rows: pa.Table, kind: str) -> Groups:
    texts = rows[kind].fill_null("").to_numpy(zero_copy_only=False).astype(str)
    names, numbers = np.unique(np.append(texts, ""), return_inverse=True)
    order = np.argsort(rows["one_id"].to_numpy(), kind="stable")
    one_ids = rows["one_id"].to_numpy()[order]
    return Groups(tuple(names.tolist()), one_ids, numbers[:-1][order].astype(np.int32))


def _distinct(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Give the distinct numbers of ascending parts, ascending; where they lie close by marking them, which is much quicker."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return np.empty(0, np.int64)
    lowest, highest = min(int(part[0]) for part in parts), max(int(part[-1]) for part in parts)
    if highest - lowest > 64 * sum(map(len, parts)):
        return np.unique(np.concatenate(parts))
    is_there = np.zeros(highest - lowest + 1, np.bool_)
    for part in parts:
        is_there[part - lowest] = True
    return np.flatnonzero(is_there) + lowest


def _numbers(one_ids: NDArray[np.int64], rows: pa.Table) -> tuple[NDArray[np.int64], pa.Table]:
    """Give the rows about people of the night, with the number of each one's person."""
    ids = rows["one_id"].to_numpy()
    numbers = np.searchsorted(one_ids, ids)
    is_here = np.zeros(len(ids), np.bool_)
    inside = numbers < len(one_ids)
    is_here[inside] = one_ids[numbers[inside]] == ids[inside]
    return numbers[is_here], rows.filter(_mask(is_here))


def _mask(flags: Flags) -> pa.Array:
    import pyarrow as pa

    return pa.array(flags)


def _history(one_ids: NDArray[np.int64], rows: pa.Table) -> _History:
    person, rows = _numbers(one_ids, rows)
    texts = {
        name: rows[name].to_numpy(zero_copy_only=False)
        for name in ("code", "run_id", "channel", "placement", "purpose")
    }
    day = rows["contact_on"].to_numpy().astype("datetime64[D]").astype(np.int64) + _EPOCH
    order = np.lexsort((texts["run_id"].astype(str), day, person))
    return _History(
        person[order].astype(np.int32),
        day[order].astype(np.int32),
        **{name: column[order] for name, column in texts.items()},
    )
