"""OneIDs that stay: the persons of tonight get the numbers their people had last night.

A OneID is minted, never computed from members, never given to another. Candidates come from the map of the night
before D, so a rerun of D sees what its first run saw. An id is *homed* in the component that holds the heaviest part of
its people; of the ids homed in one component one survives and the others redirect to it.
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
class Assignment:
    """``one_ids`` per profile; ``minted`` new ids with the profile each is anchored at; lineage ``events``, sorted."""

    one_ids: np.ndarray
    minted_ids: np.ndarray
    minted_anchors: np.ndarray
    events: list[Event]


def assign_one_ids(
    *,
    profile_ids: np.ndarray,
    people: np.ndarray,
    weights: np.ndarray,
    previous_profiles: np.ndarray,
    previous_one_ids: np.ndarray,
    known_ids: np.ndarray,
    known_anchors: np.ndarray,
    known_places: Places,
    created_tonight: np.ndarray,
    history_profiles: np.ndarray,
    history_one_ids: np.ndarray,
    held_elsewhere: np.ndarray | None = None,
) -> Assignment:
    """Give every person of tonight one OneID.

    ``people`` names for each profile (ascending ``profile_ids``) the smallest profile id of its person; ``weights``
    its evidence. ``previous_*`` is the map of D-1, ``known_*`` the dictionary (anchor = smallest profile when
    minted, ``known_places`` where each was last held, ``created_tonight`` marks ids an earlier attempt of this night minted),
    ``history_*`` who held which id on some night before D. Where only a part of all profiles is decided,
    ``held_elsewhere`` are those the others hold of the ids that could be given back (see ``claimable``).
    """
    anchors, component = np.unique(people, return_inverse=True)
    sizes = np.bincount(component, minlength=len(anchors))
    before = _map(profile_ids, previous_profiles, previous_one_ids)
    pairs = _candidates(component, before, weights, profile_ids)
    chosen = np.full(len(anchors), _NONE, dtype=np.int64)
    homed = _homes(pairs)
    _survivors(pairs, homed, chosen)

    held = distinct(previous_one_ids)
    live = held if held_elsewhere is None else np.union1d(held, held_elsewhere)
    events: list[Event] = []
    orphans = np.flatnonzero(chosen == _NONE)
    minted_ids, minted_anchors = _claim_or_mint(
        orphans, anchors, component, chosen,
        profile_ids=profile_ids, weights=weights, live=live, known_ids=known_ids, known_anchors=known_anchors,
        known_places=known_places, created_tonight=created_tonight, history_profiles=history_profiles,
        history_one_ids=history_one_ids,
        had_before=np.bincount(component, weights=before != _NONE, minlength=len(anchors)) > 0, sizes=sizes, events=events,
    )  # fmt: skip
    _tell(pairs, homed, chosen, set(orphans.tolist()), events)
    present = set(before.tolist())
    lost = _map_counts(previous_one_ids)
    events += [Event("RETIRE", gone, _NONE, lost[gone]) for gone in held.tolist() if gone not in present]
    events.sort(key=lambda e: (e.event, e.from_one_id, e.to_one_id))
    _assert_one_to_one(chosen)
    return Assignment(chosen[component], minted_ids, minted_anchors, events)


def claimable(
    profile_ids: np.ndarray, known_ids: np.ndarray, known_anchors: np.ndarray, known_places: Places
) -> np.ndarray:
    """Give the ids of the dictionary that were minted for, or last held at, one of these profiles.

    Only these, and those of the profiles' own history, can be given to a person who has none.
    """
    return known_ids[is_among(known_anchors, profile_ids) | is_among(known_places.profiles, profile_ids)]


@dataclass(frozen=True)
class Places:
    """Where each id of the dictionary was last held: the smallest profile of its person, 0 where nobody knows.

    Ids held after D (they are there while nights are replayed) count as unknown: who held them then says nothing about
    D. Of several ids last held at one profile the one with the smallest ``order`` was held there last.
    """

    profiles: np.ndarray
    order: np.ndarray


def places_of(last_profiles: np.ndarray, last_days: np.ndarray, is_active: np.ndarray, *, day: int) -> Places:
    """Give the places from the dictionary's columns (0 where null; days since 1970) as night ``day`` may use them."""
    usable = (last_profiles > 0) & (last_days <= day)
    return Places(np.where(usable, last_profiles, 0), (day - last_days) * 2 + ~is_active)


@dataclass(frozen=True)
class _Pairs:
    """One entry per (component, id its profiles had): evidence of those profiles."""

    component: np.ndarray
    one_id: np.ndarray
    weight: np.ndarray
    strongest: np.ndarray
    count: np.ndarray
    smallest: np.ndarray


def _map(wanted: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    if not len(keys):
        return np.full(len(wanted), _NONE, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    at = np.clip(np.searchsorted(keys[order], wanted), 0, len(keys) - 1)
    return np.where(keys[order][at] == wanted, values[order][at], _NONE)


def _map_counts(values: np.ndarray) -> dict[int, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _candidates(
    component: np.ndarray, before: np.ndarray, weights: np.ndarray, profile_ids: np.ndarray
) -> _Pairs:
    had = np.flatnonzero(before != _NONE)
    had = had[np.lexsort((profile_ids[had], before[had], component[had]))]
    c, o = component[had], before[had]
    if not len(had):
        nothing = np.zeros(0, dtype=np.int64)
        return _Pairs(nothing, nothing, nothing, nothing, nothing, nothing)
    first = np.flatnonzero(np.r_[True, (c[1:] != c[:-1]) | (o[1:] != o[:-1])])
    weight = weights[had].astype(np.int64)
    return _Pairs(
        c[first],
        o[first],
        np.add.reduceat(weight, first),
        np.maximum.reduceat(weight, first),
        np.diff(np.r_[first, len(had)]),
        profile_ids[had][first],
    )


def _homes(pairs: _Pairs) -> np.ndarray:
    """Tell for each pair whether it is the heaviest part of its id."""
    order = np.lexsort((pairs.smallest, -pairs.count, -pairs.weight, pairs.one_id))
    ids = pairs.one_id[order]
    homed = np.zeros(len(order), dtype=bool)
    if len(order):
        homed[order[np.r_[True, ids[1:] != ids[:-1]]]] = True
    return homed


def _survivors(pairs: _Pairs, homed: np.ndarray, chosen: np.ndarray) -> None:
    """Of the ids homed in one component the one with the strongest evidence survives, then the oldest."""
    at = np.flatnonzero(homed)
    # Ids are minted in ascending order: the smaller one is the older one.
    order = at[np.lexsort((pairs.one_id[at], -pairs.strongest[at], pairs.component[at]))]
    components = pairs.component[order]
    if len(order):
        best = order[np.r_[True, components[1:] != components[:-1]]]
        chosen[pairs.component[best]] = pairs.one_id[best]


def _claim_or_mint(
    orphans: np.ndarray,
    anchors: np.ndarray,
    component: np.ndarray,
    chosen: np.ndarray,
    *,
    profile_ids: np.ndarray,
    weights: np.ndarray,
    live: np.ndarray,
    known_ids: np.ndarray,
    known_anchors: np.ndarray,
    known_places: Places,
    created_tonight: np.ndarray,
    history_profiles: np.ndarray,
    history_one_ids: np.ndarray,
    had_before: np.ndarray,
    sizes: np.ndarray,
    events: list[Event],
) -> tuple[np.ndarray, np.ndarray]:
    """Give persons without an id one they held before, else the one last held or minted there, else a new one."""
    claimed: set[int] = set()
    tonight = set(known_ids[created_tonight].tolist())
    held = _held_before(orphans, component, profile_ids, weights, history_profiles, history_one_ids)
    taken = set(history_one_ids[is_among(history_one_ids, live)].tolist()) if held else set()
    is_dead = ~is_among(known_ids, live)
    wanted = anchors[orphans]
    last = _by_profile(known_places.profiles, known_ids, wanted, is_dead, order=known_places.order)
    minted_at = _by_profile(known_anchors, known_ids, wanted, is_dead, order=known_ids)
    unserved: list[int] = []
    # Heavier histories choose first, then who held an id last; the order ends in the anchor, which is unique.
    for place in sorted(
        orphans.tolist(),
        key=lambda c: (-held[c][0][0] if held.get(c) else 0, int(anchors[c]) not in last, int(anchors[c])),
    ):
        anchor = int(anchors[place])
        offers = [o for _, o in held.get(place, [])] + last.get(anchor, []) + minted_at.get(anchor, [])
        found = next((o for o in offers if o not in taken and o not in claimed), None)
        if found is None:
            unserved.append(place)
            continue
        claimed.add(found)
        chosen[place] = found
        if found not in tonight:
            events.append(Event("RESURRECT", _NONE, found, int(sizes[place])))
        elif not had_before[place]:
            events.append(Event("CREATE", _NONE, found, int(sizes[place])))
    unserved.sort()  # components stand in the order of their anchors
    start = max(FIRST_ONE_ID - 1, int(known_ids.max(initial=0))) + 1
    minted = start + np.arange(len(unserved), dtype=np.int64)
    places = np.array(unserved, dtype=np.int64)
    chosen[places] = minted
    events += [
        Event("CREATE", _NONE, int(one_id), int(sizes[place]))
        for one_id, place in zip(minted.tolist(), unserved, strict=True)
        if not had_before[place]
    ]
    return minted, anchors[places]


def _by_profile(
    profiles: np.ndarray, one_ids: np.ndarray, wanted: np.ndarray, usable: np.ndarray, *, order: np.ndarray
) -> dict[int, list[int]]:
    """Give per wanted profile the usable ids that name it, in ascending ``order``."""
    at = np.flatnonzero(usable & is_among(profiles, wanted))
    at = at[np.argsort(order[at], kind="stable")]
    found: dict[int, list[int]] = {}
    for profile, one_id in zip(profiles[at].tolist(), one_ids[at].tolist(), strict=True):
        found.setdefault(profile, []).append(one_id)
    return found


def _held_before(
    orphans: np.ndarray,
    component: np.ndarray,
    profile_ids: np.ndarray,
    weights: np.ndarray,
    history_profiles: np.ndarray,
    history_one_ids: np.ndarray,
) -> dict[int, list[tuple[int, int]]]:
    """Give per component the ids its profiles held on earlier nights, heaviest first, as (weight, id)."""
    wanted = is_among(component, orphans)
    places = {int(p): i for i, p in zip(np.flatnonzero(wanted), profile_ids[wanted], strict=True)}
    mine = is_among(history_profiles, profile_ids[wanted])
    found: dict[int, dict[int, int]] = {}
    for profile, one_id in set(
        zip(history_profiles[mine].tolist(), history_one_ids[mine].tolist(), strict=True)
    ):
        place = places[profile]
        per = found.setdefault(int(component[place]), {})
        per[one_id] = per.get(one_id, 0) + int(weights[place])
    return {
        c: sorted(((w, o) for o, w in per.items()), key=lambda x: (-x[0], x[1])) for c, per in found.items()
    }


def _tell(
    pairs: _Pairs, homed: np.ndarray, chosen: np.ndarray, orphans: set[int], events: list[Event]
) -> None:
    """Say what became of each id that did not simply stay."""
    ids = chosen[pairs.component]
    for at in np.flatnonzero(ids != pairs.one_id).tolist():
        place = int(pairs.component[at])
        event = "MERGE" if homed[at] else "SPLIT" if place in orphans else "MOVE"
        events.append(Event(event, int(pairs.one_id[at]), int(ids[at]), int(pairs.count[at])))


def _assert_one_to_one(chosen: np.ndarray) -> None:
    if (chosen == _NONE).any() or len(distinct(chosen)) != len(chosen):
        raise AssertionError("a person has no OneID or two persons have the same; nothing was written")


def closed_redirects(events: list[tuple[str, int, int]], living: set[int]) -> dict[int, int]:
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
    closed: dict[int, int] = {}
    for old in direct:
        seen, current = {old}, direct[old]
        while current in direct and current not in seen:
            seen.add(current)
            current = direct[current]
        closed[old] = current
    return closed
