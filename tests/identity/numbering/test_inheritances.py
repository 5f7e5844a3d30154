"""What a number that was split off shares with the whole, from lineage alone; drawn histories against records that remember."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from identity.numbering.inheritances import Share, shares_of_parts

A, B, C, E, X = 1, 2, 3, 4, 9
DAYS = [date(2026, 11, 1) + timedelta(days=n) for n in range(12)]


def shares(*steps):
    return shares_of_parts([(event, old, new, DAYS[day]) for event, old, new, day in steps])


def share(parted, until):
    return Share(DAYS[parted], DAYS[until])


def test_a_part_shares_what_the_whole_was_given_before_the_night():
    assert shares(("SPLIT", A, B, 5)) == {(B, A): share(5, 5)}


def test_who_was_merged_into_the_whole_before_is_a_part_of_it_and_who_came_later_is_not():
    steps = [("MERGE", C, X, 1), ("MERGE", X, A, 2), ("SPLIT", A, B, 5), ("MERGE", E, A, 7)]
    assert shares(*steps) == {(B, A): share(5, 5), (B, X): share(5, 5), (B, C): share(5, 5)}


def test_a_part_of_a_part_shares_with_the_first_whole_only_what_was_given_before_the_first_split():
    steps = [("SPLIT", A, B, 3), ("SPLIT", B, C, 6)]
    assert shares(*steps) == {(B, A): share(3, 3), (C, B): share(6, 6), (C, A): share(6, 3)}


def test_who_came_back_is_no_part_of_the_whole_any_more():
    steps = [("MERGE", X, A, 1), ("SPLIT", A, X, 3), ("RESURRECT", None, X, 3), ("SPLIT", A, B, 5)]
    assert shares(*steps) == {(X, A): share(3, 3), (B, A): share(5, 5)}


def test_who_is_split_off_twice_shares_until_the_last_time():
    steps = [("SPLIT", A, B, 1), ("MERGE", B, A, 3), ("SPLIT", A, B, 6), ("RESURRECT", None, B, 6)]
    assert shares(*steps) == {(B, A): share(6, 6)}


@pytest.mark.parametrize("seed", range(30))
def test_over_drawn_histories_the_parts_share_what_their_records_lived_through(seed):
    """A record remembers every number it had and until when; a part shares just what its records remember, or more."""
    random = np.random.default_rng(seed)
    people = {number: {number * 10 + n for n in range(4)} for number in range(1, 6)}
    memory = {record: {} for records in people.values() for record in records}
    steps, is_part, fresh = [], {}, 100
    for day in DAYS:
        for number, records in people.items():
            for record in records:
                memory[record][number] = day
        numbers = sorted(people)
        one, other = (*random.permutation(numbers).tolist(), numbers[0])[:2]
        if random.random() < 0.6 and len(people[one]) > 1:
            records = sorted(people[one])
            gone = set(random.choice(records, int(random.integers(1, len(records))), replace=False).tolist())
            people[one] -= gone
            people[fresh] = gone
            is_part[fresh] = {n: last for r in gone for n, last in memory[r].items()}
            steps.append(("SPLIT", one, fresh, day))
            fresh += 1
        elif one != other:
            people[other] |= people.pop(one)
            steps.append(("MERGE", one, other, day))
    found = shares_of_parts(steps)
    assert is_part
    for part, numbers in is_part.items():
        shared = {other: one.shared_until for (number, other), one in found.items() if number == part}
        assert numbers.keys() <= shared.keys()
        assert all(numbers[other] <= shared[other] for other in numbers)
