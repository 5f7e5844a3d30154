"""OneIDs that stay: the persons of tonight get the numbers their people had last night.

A OneID is minted, never computed from members, never given to another. Candidates come from the map of the night
before D, so a rerun of D sees what its first run saw. An id is *at home* in the component that holds the heaviest part of
its people; of the ids at home in one component one survives and the others redirect to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identity.components.arrays import distinct, is_among

FIRST_ONE_ID = 1_000_000_000_001
_NONE = 0


@dataclass(frozen=True)
class Event:
    """One difference to the night before; ids are 0 where there is none."""

    event: str
    from_one_id: int
    to_one_id: int
    profile_count: int


@dataclass(frozen=True)
class PeopleTonight:
    """The people that need a number, one entry per profile.

    ``profile_ids`` ascend. ``people`` is the smallest profile id of each profile's person, ``weights`` the evidence that
    holds the profile to it.
    """

    profile_ids: np.ndarray
    people: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Holders:
    """Which profile holds which OneID, side by side; in a history a profile may stand several times."""

    profiles: np.ndarray
    one_ids: np.ndarray


@dataclass(frozen=True)
class MapBefore:
    """The map of the night before D (``last``), and who held which id on some night before D (``history``)."""

    last: Holders
    history: Holders


@dataclass(frozen=True)
class Places:
    """Where each id of the dictionary was last held: the smallest profile of its person, 0 where nobody knows.

    Ids held after D (they are there while nights are replayed) count as unknown: who held them then says nothing about
    D. Of several ids last held at one profile the one with the smallest ``order`` was held there last.
    """

    profiles: np.ndarray
    order: np.ndarray


@dataclass(frozen=True)
class OneIdDictionary:
    """Every OneID ever minted, one entry each.

    ``anchors``: the smallest profile when it was minted. ``places``: where it was last held. ``is_of_tonight`` marks ids
    that an earlier attempt of this night minted.
    """

    one_ids: np.ndarray
    anchors: np.ndarray
    places: Places
    is_of_tonight: np.ndarray


@dataclass(frozen=True)
class Assignment:
    """``one_ids`` per profile; ``minted_ids`` with the profile each is anchored at; lineage ``events``, sorted."""

    one_ids: np.ndarray
    minted_ids: np.ndarray
    minted_anchors: np.ndarray
    events: list[Event]


def assign_one_ids(
    tonight: PeopleTonight,
    before: MapBefore,
    dictionary: OneIdDictionary,
    *,
    used_elsewhere: np.ndarray | None = None,
) -> Assignment:
    """Give every person of tonight one OneID.

    Where only a part of all profiles is decided, ``used_elsewhere`` are those that the other profiles hold of the ids
    that could be given back (see ``claimable``).
    """
    people = _people_of(tonight)
    earlier = _values_at(tonight.profile_ids, before.last)
    pairs = _candidates(people.component, earlier, tonight)
    one_ids = np.full(len(people.anchors), _NONE, dtype=np.int64)
    is_home = _is_home(pairs)
    _give_to_survivors(pairs, is_home, one_ids)

    last_ids = distinct(before.last.one_ids)
    live = last_ids if used_elsewhere is None else np.union1d(last_ids, used_elsewhere)
    events: list[Event] = []
    orphans = np.flatnonzero(one_ids == _NONE)
    has_id_before = np.bincount(people.component, weights=earlier != _NONE, minlength=len(people.anchors)) > 0
    unserved = _give_back(
        orphans, people, one_ids, has_id_before, tonight, before.history, dictionary, live, events
    )
    minted_ids = _mint(unserved, people, one_ids, has_id_before, dictionary, events)
    _add_changes(pairs, is_home, one_ids, set(orphans.tolist()), events)
    present = set(earlier.tolist())
    counts = _counts(before.last.one_ids)
    events += [
        Event("RETIRE", one_id, _NONE, counts[one_id])
        for one_id in last_ids.tolist()
        if one_id not in present
    ]
    events.sort(key=lambda e: (e.event, e.from_one_id, e.to_one_id))
    _assert_one_to_one(one_ids)
    return Assignment(one_ids[people.component], minted_ids, people.anchors[unserved], events)


def claimable(profile_ids: np.ndarray, dictionary: OneIdDictionary) -> np.ndarray:
    """Give the ids of the dictionary that were minted for, or last held at, one of these profiles.

    Only these, and those of the profiles' own history, can be given to a person who has none.
    """
    of_these = is_among(dictionary.anchors, profile_ids) | is_among(dictionary.places.profiles, profile_ids)
    return dictionary.one_ids[of_these]


def places_of(last_profiles: np.ndarray, last_days: np.ndarray, is_active: np.ndarray, *, day: int) -> Places:
    """Give the places from the dictionary's columns (0 where null; days since 1970) as night ``day`` may use them."""
    usable = (last_profiles > 0) & (last_days <= day)
    return Places(np.where(usable, last_profiles, 0), (day - last_days) * 2 + ~is_active)


@dataclass(frozen=True)
class _People:
    """``component``: per profile the place of its person; ``anchors`` and ``sizes`` per person, by ascending anchor."""

    component: np.ndarray
    anchors: np.ndarray
    sizes: np.ndarray


def _people_of(tonight: PeopleTonight) -> _People:
    anchors, component = np.unique(tonight.people, return_inverse=True)
    return _People(component, anchors, np.bincount(component, minlength=len(anchors)))


@dataclass(frozen=True)
class _Pairs:
    """One entry per (component, id its profiles had): evidence of those profiles."""

    component: np.ndarray
    one_id: np.ndarray
    weight: np.ndarray
    strongest: np.ndarray
    count: np.ndarray
    smallest: np.ndarray


def _values_at(profiles: np.ndarray, holders: Holders) -> np.ndarray:
    """Give the OneID each profile holds, 0 where it holds none."""
    if not len(holders.profiles):
        return np.full(len(profiles), _NONE, dtype=np.int64)
    order = np.argsort(holders.profiles, kind="stable")
    keys = holders.profiles[order]
    at = np.clip(np.searchsorted(keys, profiles), 0, len(keys) - 1)
    return np.where(keys[at] == profiles, holders.one_ids[order][at], _NONE)


def _counts(values: np.ndarray) -> dict[int, int]:
    each, counts = np.unique(values, return_counts=True)
    return dict(zip(each.tolist(), counts.tolist(), strict=True))


def _candidates(component: np.ndarray, earlier: np.ndarray, tonight: PeopleTonight) -> _Pairs:
    at = np.flatnonzero(earlier != _NONE)
    at = at[np.lexsort((tonight.profile_ids[at], earlier[at], component[at]))]
    c, o = component[at], earlier[at]
    if not len(at):
        nothing = np.zeros(0, dtype=np.int64)
        return _Pairs(nothing, nothing, nothing, nothing, nothing, nothing)
    first = np.flatnonzero(np.r_[True, (c[1:] != c[:-1]) | (o[1:] != o[:-1])])
    weight = tonight.weights[at].astype(np.int64)
    return _Pairs(
        c[first],
        o[first],
        np.add.reduceat(weight, first),
        np.maximum.reduceat(weight, first),
        np.diff(np.r_[first, len(at)]),
        tonight.profile_ids[at][first],
    )


def _is_home(pairs: _Pairs) -> np.ndarray:
    """Tell for each pair whether it is the heaviest part of its id."""
    order = np.lexsort((pairs.smallest, -pairs.count, -pairs.weight, pairs.one_id))
    ids = pairs.one_id[order]
    is_home = np.zeros(len(order), dtype=bool)
    if len(order):
        is_home[order[np.r_[True, ids[1:] != ids[:-1]]]] = True
    return is_home


def _give_to_survivors(pairs: _Pairs, is_home: np.ndarray, one_ids: np.ndarray) -> None:
    """Of the ids at home in one component the one with the strongest evidence survives, then the oldest."""
    at = np.flatnonzero(is_home)
    # Ids are minted in ascending order: the smaller one is the older one.
    order = at[np.lexsort((pairs.one_id[at], -pairs.strongest[at], pairs.component[at]))]
    components = pairs.component[order]
    if len(order):
        best = order[np.r_[True, components[1:] != components[:-1]]]
        one_ids[pairs.component[best]] = pairs.one_id[best]


def _give_back(
    orphans: np.ndarray,
    people: _People,
    one_ids: np.ndarray,
    has_id_before: np.ndarray,
    tonight: PeopleTonight,
    history: Holders,
    dictionary: OneIdDictionary,
    live: np.ndarray,
    events: list[Event],
) -> np.ndarray:
    """Give persons without an id one they held before, else the one last held or minted there; give who has none still.

    ``live`` are the ids that somebody holds: nobody else gets them.
    """
    claims: set[int] = set()
    of_tonight = set(dictionary.one_ids[dictionary.is_of_tonight].tolist())
    earlier_ids = _ids_held_before(orphans, people.component, tonight, history)
    unavailable = set(history.one_ids[is_among(history.one_ids, live)].tolist()) if earlier_ids else set()
    is_dead = ~is_among(dictionary.one_ids, live)
    anchors = people.anchors[orphans]
    last = _by_profile(
        dictionary.places.profiles, dictionary.one_ids, anchors, is_dead, order=dictionary.places.order
    )
    minted_at = _by_profile(
        dictionary.anchors, dictionary.one_ids, anchors, is_dead, order=dictionary.one_ids
    )
    unserved: list[int] = []
    # Heavier histories choose first, then who held an id last; the order ends in the anchor, which is unique.
    for place in sorted(
        orphans.tolist(),
        key=lambda c: (
            -earlier_ids[c][0][0] if earlier_ids.get(c) else 0,
            int(people.anchors[c]) not in last,
            int(people.anchors[c]),
        ),
    ):
        anchor = int(people.anchors[place])
        offers = [o for _, o in earlier_ids.get(place, [])] + last.get(anchor, []) + minted_at.get(anchor, [])
        one_id = next((o for o in offers if o not in unavailable and o not in claims), None)
        if one_id is None:
            unserved.append(place)
            continue
        claims.add(one_id)
        one_ids[place] = one_id
        if one_id not in of_tonight:
            events.append(Event("RESURRECT", _NONE, one_id, int(people.sizes[place])))
        elif not has_id_before[place]:
            events.append(Event("CREATE", _NONE, one_id, int(people.sizes[place])))
    return np.array(sorted(unserved), dtype=np.int64)  # persons stand in the order of their anchors


def _mint(
    places: np.ndarray,
    people: _People,
    one_ids: np.ndarray,
    has_id_before: np.ndarray,
    dictionary: OneIdDictionary,
    events: list[Event],
) -> np.ndarray:
    """Give new ids to persons that have none, in the order of their anchors."""
    start = max(FIRST_ONE_ID - 1, int(dictionary.one_ids.max(initial=0))) + 1
    minted_ids = start + np.arange(len(places), dtype=np.int64)
    one_ids[places] = minted_ids
    events += [
        Event("CREATE", _NONE, one_id, int(people.sizes[place]))
        for one_id, place in zip(minted_ids.tolist(), places.tolist(), strict=True)
        if not has_id_before[place]
    ]
    return minted_ids


def _by_profile(
    profiles: np.ndarray, one_ids: np.ndarray, anchors: np.ndarray, usable: np.ndarray, *, order: np.ndarray
) -> dict[int, list[int]]:
    """Give per anchor the usable ids whose profile it is, in ascending ``order``."""
    at = np.flatnonzero(usable & is_among(profiles, anchors))
    at = at[np.argsort(order[at], kind="stable")]
    ids: dict[int, list[int]] = {}
    for profile, one_id in zip(profiles[at].tolist(), one_ids[at].tolist(), strict=True):
        ids.setdefault(profile, []).append(one_id)
    return ids


def _ids_held_before(
    orphans: np.ndarray, component: np.ndarray, tonight: PeopleTonight, history: Holders
) -> dict[int, list[tuple[int, int]]]:
    """Give per component the ids its profiles held on earlier nights, heaviest first, as (weight, id)."""
    mine = is_among(component, orphans)
    places = {int(p): i for i, p in zip(np.flatnonzero(mine), tonight.profile_ids[mine], strict=True)}
    theirs = is_among(history.profiles, tonight.profile_ids[mine])
    weights: dict[int, dict[int, int]] = {}
    for profile, one_id in set(
        zip(history.profiles[theirs].tolist(), history.one_ids[theirs].tolist(), strict=True)
    ):
        place = places[profile]
        per_id = weights.setdefault(int(component[place]), {})
        per_id[one_id] = per_id.get(one_id, 0) + int(tonight.weights[place])
    return {
        c: sorted(((w, o) for o, w in per_id.items()), key=lambda x: (-x[0], x[1]))
        for c, per_id in weights.items()
    }


def _add_changes(
    pairs: _Pairs, is_home: np.ndarray, one_ids: np.ndarray, orphans: set[int], events: list[Event]
) -> None:
    """Add what became of each id that did not simply stay."""
    ids = one_ids[pairs.component]
    for at in np.flatnonzero(ids != pairs.one_id).tolist():
        place = int(pairs.component[at])
        event = "MERGE" if is_home[at] else "SPLIT" if place in orphans else "MOVE"
        events.append(Event(event, int(pairs.one_id[at]), int(ids[at]), int(pairs.count[at])))


def _assert_one_to_one(one_ids: np.ndarray) -> None:
    if (one_ids == _NONE).any() or len(distinct(one_ids)) != len(one_ids):
        raise AssertionError("a person has no OneID or two persons have the same; nothing was written")


def final_redirects(events: list[tuple[str, int, int]], living: set[int]) -> dict[int, int]:
    """Give old id → current id from lineage (event, from, to) in the order it happened, transitively closed.

    Only merges redirect; an id that came back, or lives again, redirects no more.
    """
    direct: dict[int, int] = {}
    for event, old, new in events:
        if event == "MERGE":
            direct[old] = new
        elif event == "RESURRECT":
            direct.pop(new, None)
    for one_id in living:
        direct.pop(one_id, None)
    final: dict[int, int] = {}
    for old in direct:
        visits, current = {old}, direct[old]
        while current in direct and current not in visits:
            visits.add(current)
            current = direct[current]
        final[old] = current
    return final
