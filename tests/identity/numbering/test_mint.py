"""OneIDs that stay: assignments drawn as small maps, and a property over random histories."""

from __future__ import annotations

import numpy as np
import pytest

from identity.numbering.holdings import OPEN, History, Holders
from identity.numbering.mint import FIRST_ONE_ID, OneIdDictionary, assign_one_ids, places_of
from identity.numbering.people import MapBefore, PeopleTonight
from identity.numbering.redirects import final_redirects

A, B, C, D = (FIRST_ONE_ID + i for i in range(4))


def assigned(
    people,
    *,
    before=None,
    known=None,
    history=None,
    weights=None,
    last=None,
    day=9,
    devices=(),
    published=None,
):
    """`people`: profile → smallest profile of its person; `before`: profile → OneID of the night before.

    `history`: profile → its OneIDs, or (OneID, day) pairs, in the order of time; `last`: OneID → (the smallest profile that
    held it, on which day, whether it has members); `devices`: profiles that say nothing about who somebody is;
    `published`: profile → OneID of the same night that readers have seen.
    """
    last = {**dict.fromkeys(known or {}, (0, 0, False)), **(last or {})}
    before, known = before or {}, known or {}
    history = before if history is None else history
    profiles = sorted(people)

    def column(values):
        return np.array(list(values), dtype=np.int64)

    def rows(holdings):
        listed = [
            (p, *(o if isinstance(o, tuple) else (o, at)))
            for p, ids in holdings.items()
            for at, o in enumerate(ids if isinstance(ids, list) else [ids])
        ]
        ends = [
            later[2] if later[0] == row[0] else OPEN if before.get(row[0]) == row[1] else row[2] + 1
            for row, later in zip(listed, [*listed, (None, None, None)][1 : len(listed) + 1], strict=True)
        ]
        columns = [column(row[i] for row in listed) for i in range(3)]
        return History(*columns, column(ends), np.zeros(len(listed), dtype=bool))

    ids = sorted(known)
    places = places_of(
        *(column(last[o][i] for o in ids) for i in (0, 1)),
        np.array([last[o][2] for o in ids], dtype=bool),
        day=day,
    )
    result = assign_one_ids(
        PeopleTonight(
            column(profiles),
            column(people[p] for p in profiles),
            column((weights or {}).get(p, 1) for p in profiles),
            np.array([p not in devices for p in profiles], dtype=bool),
        ),
        MapBefore(
            Holders(column(before), column(before.values())),
            rows(history),
            rows({p: [(o, day)] for p, o in (published or {}).items()}),
        ),
        OneIdDictionary(column(ids), column(known[o] for o in ids), places),
    )
    return dict(zip(profiles, result.one_ids.tolist(), strict=True)), result


def told(result):
    return [(e.event, e.from_one_id, e.to_one_id, e.profile_count) for e in result.events]


def test_new_people_get_numbers_in_the_order_of_their_smallest_profile():
    ids, result = assigned({1: 1, 2: 2, 3: 1})
    assert ids == {1: A, 2: B, 3: A}
    assert result.minted_anchors.tolist() == [1, 2]
    assert told(result) == [("CREATE", 0, A, 2), ("CREATE", 0, B, 1)]


def test_a_map_built_anew_finds_people_where_they_were_last_and_not_where_they_were_minted():
    """A was minted for 1, 2 and 3; then 1 was parted from them and got B, and C was an attempt that came to nothing."""
    known, last = {A: 1, B: 1, C: 1}, {A: (2, 9, True), B: (1, 9, True), C: (1, 9, False)}
    ids, result = assigned({1: 1, 2: 2, 3: 2}, known=known, last=last)
    assert ids == {1: B, 2: A, 3: A}
    assert result.minted_ids.tolist() == []
    ids, _ = assigned({1: 1, 2: 1, 3: 1}, known=known, last=last, day=8)
    assert ids == {1: A, 2: A, 3: A}, "a replayed night does not ask where ids were held later"


def test_who_joins_a_person_takes_its_number():
    ids, result = assigned({1: 1, 2: 1}, before={1: A}, known={A: 1})
    assert ids == {1: A, 2: A}
    assert told(result) == []


def test_of_two_numbers_the_one_with_the_strongest_evidence_survives():
    ids, result = assigned({1: 1, 2: 1}, before={1: A, 2: B}, known={A: 1, B: 2}, weights={1: 20, 2: 100})
    assert ids == {1: B, 2: B}
    assert told(result) == [("MERGE", A, B, 1)]


def test_of_two_equal_numbers_the_older_one_survives():
    assert assigned({1: 1, 2: 1}, before={1: B, 2: A}, known={A: 2, B: 1})[0] == {1: A, 2: A}


def test_a_split_leaves_the_number_with_the_heavier_part():
    ids, result = assigned(
        {1: 1, 2: 2, 3: 2}, before={1: A, 2: A, 3: A}, known={A: 1}, weights={2: 100, 3: 60}
    )
    assert ids == {1: B, 2: A, 3: A}
    assert told(result) == [("SPLIT", A, B, 1)]


def test_who_splits_off_gets_back_what_it_held_before():
    ids, result = assigned(
        {1: 1, 2: 2}, before={1: A, 2: A}, known={A: 1, B: 2}, history={1: [A], 2: [B, A]}, weights={1: 100}
    )
    assert ids == {1: A, 2: B}
    assert told(result) == [("RESURRECT", 0, B, 1), ("SPLIT", A, B, 1)]


def test_a_profile_that_moves_is_told_from_a_merge():
    ids, result = assigned(
        {1: 1, 2: 2, 3: 2}, before={1: A, 2: B, 3: A}, known={A: 1, B: 2}, weights={1: 9, 2: 9}
    )
    assert ids == {1: A, 2: B, 3: B}
    assert told(result) == [("MOVE", A, B, 1)]


def test_a_rerun_takes_the_numbers_of_the_attempt_before_and_mints_nothing():
    ids, result = assigned({1: 1, 2: 2}, known={A: 1, B: 2})
    assert (ids, len(result.minted_ids)) == ({1: A, 2: B}, 0)
    assert told(result) == [("CREATE", 0, A, 1), ("CREATE", 0, B, 1)]


def test_a_number_is_anchored_and_never_goes_to_somebody_else():
    ids, result = assigned({1: 1, 7: 7}, known={A: 1, B: 2})
    assert ids == {1: A, 7: C}
    assert result.minted_ids.tolist() == [C]


def test_a_person_nobody_states_any_more_is_retired():
    assert told(assigned({1: 1}, before={1: A, 2: B}, known={A: 1, B: 2})[1]) == [("RETIRE", B, 0, 1)]


def test_redirects_are_closed_and_end_when_a_number_lives_again():
    steps = [("MERGE", C, B), ("MERGE", B, A)]
    assert final_redirects(steps, {A}) == {C: A, B: A}
    assert final_redirects([*steps, ("RESURRECT", 0, C)], {A, C}) == {B: A}


@pytest.mark.parametrize("seed", range(20))
def test_over_random_nights_numbers_stay_unique_and_untouched_people_keep_theirs(seed):
    rng = np.random.default_rng(seed)
    before, known, history = {}, {}, {}
    people = {p: p for p in range(1, 30)}
    for _night in range(6):
        ids, result = assigned(people, before=before, known=known, history=history)
        groups = {}
        for profile, person in people.items():
            groups.setdefault(person, set()).add(profile)
        per_person = {person: {ids[p] for p in members} for person, members in groups.items()}
        assert all(len(found) == 1 for found in per_person.values()), f"seed {seed}"
        assert len({next(iter(found)) for found in per_person.values()}) == len(groups), f"seed {seed}"
        known |= dict(zip(result.minted_ids.tolist(), result.minted_anchors.tolist(), strict=True))
        again, rerun = assigned(people, before=before, known=known, history=history)
        assert (again, len(rerun.minted_ids)) == (ids, 0), f"seed {seed}"
        for profile, one_id in ids.items():
            history.setdefault(profile, [])
            if one_id not in history[profile]:
                history[profile].append(one_id)
        before = ids
        labels = rng.integers(1, 12, len(people) + 1)
        touched = set(rng.choice(list(groups), size=min(4, len(groups)), replace=False).tolist())
        moved = [p for p in people if people[p] in touched] + [max(people) + 1]
        fresh = {}
        for profile in moved:
            fresh.setdefault(int(labels[profile % len(labels)]), []).append(profile)
        people = {p: s for p, s in people.items() if p not in moved} | {
            p: min(members) for members in fresh.values() for p in members
        }
        kept = [p for p in people if p not in moved]
        next_ids, _ = assigned(people, before=before, known=known, history=history)
        assert all(next_ids[p] == before[p] for p in kept), f"seed {seed}"
