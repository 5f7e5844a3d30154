"""Numbers over drawn histories of who is one person: what was merged and is parted again has its old numbers again.

The rules that this holds, over any sequence of groupings of the same records (rules loosened and tightened, decisions made
and taken back):

1. *Old grouping, old numbers.* A night whose people are exactly those of an earlier night gives them the numbers of that
   night.
2. *A number keeps its people.* Whoever carries a number has a record that the number was minted for: of two persons
   that were ever apart, neither gets what the other one was given, but for the time they are one.
3. *No number goes without a trace.* A number of last night that nobody carries tonight has a MERGE or a RETIRE, and a
   number that comes back a RESURRECT.

Where records also come and go, the second rule holds as long as a record that the number was minted for is stated; after
that the number stays with whom it named last, and returns to nobody who did not carry it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.numbering.holdings import OPEN, History, Holders
from identity.numbering.mint import OneIdDictionary, assign_one_ids, places_of
from identity.numbering.people import MapBefore, PeopleTonight

RECORDS = 7


def column(values):
    return np.array(list(values), dtype=np.int64)


@dataclass
class Nights:
    """The map of nights so far: rows as (record, number, night) and who carries what, as a lake would keep them."""

    weights: list[int]
    rows: list[tuple[int, int, int, int]] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)
    anchors: dict[int, int] = field(default_factory=dict)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    founders: dict[int, set[int]] = field(default_factory=dict)
    night: int = 0

    def run(self, labels):
        """Number the people of a night: records of one label are one person, None is stated no more."""
        self.night += 1
        records = [r for r, label in enumerate(labels, 1) if label is not None]
        first = {}
        for record in records:
            first.setdefault(labels[record - 1], record)
        ids = sorted(self.anchors)
        places = [self.places.get(o, (0, 0)) for o in ids]
        result = assign_one_ids(
            PeopleTonight(
                column(records),
                column(first[labels[r - 1]] for r in records),
                column(self.weights[r - 1] for r in records),
                np.ones(len(records), dtype=bool),
            ),
            MapBefore(
                Holders(column(self.last), column(self.last.values())),
                History(
                    *(column(row[i] for row in self.rows) for i in range(4)),
                    np.zeros(len(self.rows), dtype=bool),
                ),
            ),
            OneIdDictionary(
                column(ids),
                column(self.anchors[o] for o in ids),
                places_of(
                    column(p for p, _ in places),
                    column(d for _, d in places),
                    column(o in self.last.values() for o in ids).astype(bool),
                    day=self.night,
                ),
            ),
        )
        numbers = dict(zip(records, result.one_ids.tolist(), strict=True))
        self.anchors |= dict(zip(result.minted_ids.tolist(), result.minted_anchors.tolist(), strict=True))
        for number in numbers.values():
            self.founders.setdefault(number, {r for r in records if numbers[r] == number})
        self.rows = [
            (r, n, since, self.night if until == OPEN and numbers.get(r) != n else until)
            for r, n, since, until in self.rows
        ]
        self.rows += [(r, n, self.night, OPEN) for r, n in numbers.items() if self.last.get(r) != n]
        self.check_trace(numbers, result.events)
        self.last = numbers
        for record in reversed(records):
            self.places[numbers[record]] = (record, self.night)
        return numbers

    def check_trace(self, numbers, events):
        gone = set(self.last.values()) - set(numbers.values())
        ends = [e.from_one_id for e in events if e.event in ("MERGE", "RETIRE")]
        assert gone == set(ends), "every number that goes has one redirect or its end"
        known = {number for _, number, night, _ in self.rows if night < self.night}
        back = (set(numbers.values()) & known) - set(self.last.values())
        assert back == {e.to_one_id for e in events if e.event == "RESURRECT"}
        ever = {}
        for record, number, night, _ in self.rows:
            if night < self.night:
                ever.setdefault(number, set()).add(record)
        for number in set(numbers.values()) & known:
            people = {r for r, n in numbers.items() if n == number}
            assert people & ever[number], "a number shares a record with those it named before"


groupings = st.lists(st.lists(st.integers(0, 3), min_size=RECORDS, max_size=RECORDS), min_size=2, max_size=9)
evidence = st.lists(st.sampled_from([1, 20, 60, 100]), min_size=RECORDS, max_size=RECORDS)


def as_people(labels):
    people = {}
    for record, label in enumerate(labels, 1):
        people.setdefault(label, set()).add(record)
    return frozenset(frozenset(records) for records in people.values())


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(weights=evidence, history=groupings, again=st.integers(0, 8))
def test_the_old_grouping_has_its_old_numbers_and_numbers_keep_their_people(weights, history, again):
    nights, seen = Nights(weights), {}
    for labels in [*history, history[again % len(history)]]:
        numbers = nights.run(labels)
        assert seen.setdefault(as_people(labels), numbers) == numbers
        for record, number in numbers.items():
            people = {r for r, n in numbers.items() if n == number}
            assert people & nights.founders[number], f"{number} names nobody it was minted for: {record}"


comings = st.lists(
    st.lists(st.none() | st.integers(0, 3), min_size=RECORDS, max_size=RECORDS).filter(
        lambda x: any(v is not None for v in x)
    ),
    min_size=2,
    max_size=9,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(weights=evidence, history=comings)
def test_where_records_come_and_go_a_number_stays_with_whom_it_was_minted_for(weights, history):
    nights = Nights(weights)
    for labels in history:
        before = dict(nights.last)
        numbers = nights.run(labels)
        for number in set(numbers.values()):
            people = {r for r, n in numbers.items() if n == number}
            owners = {r for r, n, _, _ in nights.rows if n == number and first_number(nights, r, number)}
            if owners & numbers.keys():
                continue_or_own = people & owners or any(before.get(r) == number for r in people)
                assert continue_or_own, "a number that comes back comes to whose own it was"


def first_number(nights, record, number):
    return record in nights.founders[number] or next(n for r, n, _, _ in nights.rows if r == record) == number
