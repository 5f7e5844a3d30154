"""OneIDs that stay: the persons of tonight get the numbers their records held.

A OneID is minted, never computed from members, never given to another. Who is the same person as on an earlier night has
the number of that night (``identity.numbering.same_people``). Else an id of last night stays with the part of its people
that holds it longest (``parts``), of several ids in one person one survives, and who has none gets back a number of its
own (``returns``) before one is minted. Candidates
come from the map before D, so a rerun of D sees what its first run saw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from identity.components.arrays import distinct, is_among
from identity.numbering.holdings import NONE, History, Holders, Lifetimes
from identity.numbering.memory import Memory, in_question, memory_of
from identity.numbering.parts import Parts, carriers_of, keep_numbers, parts_of
from identity.numbering.people import MapBefore, PeopleTonight, PersonPlaces, people_of
from identity.numbering.returns import give_back
from identity.numbering.same_people import same_people

FIRST_ONE_ID = 1_000_000_000_001


@dataclass(frozen=True)
class Event:
    """One difference to the night before; ids are 0 where there is none."""

    event: str
    from_one_id: int
    to_one_id: int
    profile_count: int


@dataclass(frozen=True)
class Places:
    """Where each id of the dictionary was last held: the smallest profile of its person, 0 where nobody knows.

    Ids held after D (they are there while nights are replayed) count as unknown: who held them then says nothing about
    D. Of several ids last held at one profile the one with the smallest ``order`` was held there last; ``is_earlier``
    tells of a night before D.
    """

    profiles: np.ndarray
    order: np.ndarray
    is_earlier: np.ndarray


@dataclass(frozen=True)
class OneIdDictionary:
    """Every OneID ever minted, one entry each, by ascending id.

    ``anchors``: the smallest profile when it was minted. ``places``: where it was last held.
    """

    one_ids: np.ndarray
    anchors: np.ndarray
    places: Places


@dataclass(frozen=True)
class HeldElsewhere:
    """Of ids that could be given back: when profiles that are not decided held them, and which of them do still.

    ``rows`` are those of profiles that are in the map.
    """

    lifetimes: Lifetimes
    live: np.ndarray
    rows: History

    @classmethod
    def nothing(cls) -> HeldElsewhere:
        """Give it for a night that decides everybody."""
        none = np.zeros(0, dtype=np.int64)
        return cls(Lifetimes(none, none, none), none, History.empty())


@dataclass(frozen=True)
class Assignment:
    """``one_ids`` per profile; ``minted_ids`` with the profile each is anchored at; lineage ``events``, sorted."""

    one_ids: np.ndarray
    minted_ids: np.ndarray
    minted_anchors: np.ndarray
    events: list[Event]


@dataclass(frozen=True)
class RememberedNumbers:
    """What the map says of the people of tonight: ``one_ids`` per person, ``NONE`` where it gives them no number.

    It looks at nothing beyond persons that ever shared a number, and at whoever held those numbers.
    """

    people: PersonPlaces
    one_ids: np.ndarray
    parts: Parts
    is_home: np.ndarray
    lifetimes: Lifetimes
    last_ids: np.ndarray
    live: np.ndarray


def remember_numbers(
    tonight: PeopleTonight, before: MapBefore, elsewhere: HeldElsewhere | None = None
) -> RememberedNumbers:
    """Give people the numbers that their records held; ``elsewhere`` tells of profiles that are not decided tonight."""
    elsewhere = elsewhere or HeldElsewhere.nothing()
    people = people_of(tonight, before.last)
    histories = (before.history, before.published)
    lifetimes = Lifetimes.of(
        np.concatenate([*(r.one_ids for r in histories), elsewhere.lifetimes.one_ids]),
        np.concatenate([*(r.since for r in histories), elsewhere.lifetimes.firsts]),
        np.concatenate([*(r.until for r in histories), elsewhere.lifetimes.ends]),
    )
    last_ids = distinct(before.last.one_ids)
    live = np.union1d(last_ids, elsewhere.live)
    carriers = carriers_of(people, tonight)
    open_people = in_question(
        people, tonight, before, carriers.components[carriers.starts], carriers.one_ids[carriers.starts]
    )
    memory = memory_of(people, tonight, before, lifetimes, open_people)
    parts = parts_of(carriers, tonight, memory)
    one_ids = same_people(
        memory,
        _others(before, memory, tonight, elsewhere),
        (parts.component, parts.one_id),
        live,
        len(people.anchors),
        starts=before.starts,
    )
    is_home = keep_numbers(parts, one_ids)
    give_back(people, tonight, memory, lifetimes, live, one_ids)
    return RememberedNumbers(people, one_ids, parts, is_home, lifetimes, last_ids, live)


def assign_one_ids(
    tonight: PeopleTonight,
    before: MapBefore,
    dictionary: OneIdDictionary,
    elsewhere: HeldElsewhere | None = None,
) -> Assignment:
    """Give every person of tonight one OneID; ``elsewhere`` tells of profiles that are not decided tonight."""
    elsewhere = elsewhere or HeldElsewhere.nothing()
    memory = remember_numbers(tonight, before, elsewhere)
    people, one_ids = memory.people, memory.one_ids
    _find_by_place(one_ids, people, dictionary, memory.live, memory.lifetimes)
    unserved = np.flatnonzero(one_ids == NONE)
    start = max(FIRST_ONE_ID - 1, int(dictionary.one_ids.max(initial=0))) + 1
    minted_ids = start + np.arange(len(unserved), dtype=np.int64)
    one_ids[unserved] = minted_ids
    _assert_one_to_one(one_ids)
    published_ids = (
        np.union1d(before.history.one_ids, elsewhere.lifetimes.one_ids)
        if before.has_nights
        else dictionary.one_ids[dictionary.places.is_earlier]
    )
    events = [
        *_beginnings(people, one_ids, memory.last_ids, published_ids),
        *(
            Event(event, one_id, int(one_ids[person]), count)
            for event, one_id, person, count in changes_of_numbers(memory)
        ),
        *_ends(people, before.last),
    ]
    events.sort(key=lambda e: (e.event, e.from_one_id, e.to_one_id))
    return Assignment(one_ids[people.component], minted_ids, people.anchors[unserved], events)


def claimable(profile_ids: np.ndarray, dictionary: OneIdDictionary) -> np.ndarray:
    """Give the ids of the dictionary that were minted for, or last held at, one of these profiles.

    Only these, and those of the profiles' own history, can be given to a person who has none.
    """
    of_these = is_among(dictionary.anchors, profile_ids) | is_among(dictionary.places.profiles, profile_ids)
    return dictionary.one_ids[of_these]


def held_elsewhere(rows: pa.Table) -> HeldElsewhere:
    """Give what ``rows`` of profiles that are not decided tell (``identity.reading.holdings``, and ``is_stated``)."""
    history = History.of_rows(rows)
    return HeldElsewhere(
        Lifetimes.of(history.one_ids, history.since, history.until),
        distinct(rows.filter(rows["is_last"])["one_id"].to_numpy()),
        history.at(rows["is_stated"].to_numpy()),
    )


def places_of(last_profiles: np.ndarray, last_days: np.ndarray, is_active: np.ndarray, *, day: int) -> Places:
    """Give the places from the dictionary's columns (0 where null; days since 1970) as night ``day`` may use them."""
    usable = (last_profiles > 0) & (last_days <= day)
    return Places(
        np.where(usable, last_profiles, 0), (day - last_days) * 2 + ~is_active, usable & (last_days < day)
    )


def _others(before: MapBefore, memory: Memory, tonight: PeopleTonight, elsewhere: HeldElsewhere) -> History:
    """Give the rows of stated records, other than those in question, that ever carried a number of theirs."""
    rows = before.history.also(before.published)
    numbers = np.union1d(memory.rows.one_ids, memory.published.one_ids)
    rows = rows.at(np.isin(rows.one_ids, numbers))
    in_question = np.union1d(memory.rows.profiles, memory.published.profiles)
    is_stated = is_among(rows.profiles, tonight.profile_ids) & ~is_among(rows.profiles, in_question)
    return rows.at(is_stated).also(elsewhere.rows)


def _find_by_place(
    one_ids: np.ndarray,
    people: PersonPlaces,
    dictionary: OneIdDictionary,
    live: np.ndarray,
    lifetimes: Lifetimes,
) -> None:
    """Give persons without an id one that no map remembers: last held at their smallest profile, else minted for it.

    An earlier attempt of the night left it, or the map is built anew from the dictionaries.
    """
    places = dictionary.places
    ids_in_use = one_ids[one_ids != NONE]
    is_free = ~is_among(dictionary.one_ids, np.concatenate([live, lifetimes.one_ids, ids_in_use]))
    for profiles, order, usable in (
        (places.profiles, places.order, is_free & (places.profiles > 0)),
        (dictionary.anchors, dictionary.one_ids, is_free & (places.profiles == 0)),
    ):
        at = np.flatnonzero(usable)
        at = at[np.lexsort((order[at], profiles[at]))]
        if not len(at):
            continue
        at = at[np.r_[True, profiles[at][1:] != profiles[at][:-1]]]
        orphans = np.flatnonzero(one_ids == NONE)
        positions = np.clip(np.searchsorted(profiles[at], people.anchors[orphans]), 0, len(at) - 1)
        is_there = profiles[at][positions] == people.anchors[orphans]
        one_ids[orphans[is_there]] = dictionary.one_ids[at[positions[is_there]]]


def _beginnings(
    people: PersonPlaces, one_ids: np.ndarray, last_ids: np.ndarray, published_ids: np.ndarray
) -> list[Event]:
    """Tell of people that are new, and of numbers that an earlier night gave and that live again."""
    is_kept = np.isin(one_ids, last_ids)
    is_back = ~is_kept & np.isin(one_ids, published_ids)
    is_new = ~is_kept & ~is_back & ~people.has_id_before
    return [
        Event(event, NONE, int(one_ids[place]), int(people.sizes[place]))
        for event, which in (("RESURRECT", is_back), ("CREATE", is_new))
        for place in np.flatnonzero(which).tolist()
    ]


def changes_of_numbers(memory: RememberedNumbers) -> list[tuple[str, int, int, int]]:
    """Tell what became of each number that did not simply stay: event, number, place of the person, records that went there.

    One that nobody keeps is merged where most of its people went.
    """
    parts, one_ids = memory.parts, memory.one_ids
    is_alive = np.isin(parts.one_id, one_ids)
    has_home = np.zeros(len(one_ids), dtype=bool)
    has_home[parts.component[memory.is_home]] = True
    changes = []
    for place in np.flatnonzero(one_ids[parts.component] != parts.one_id).tolist():
        if not is_alive[place] and parts.is_heaviest[place]:
            event = "MERGE"
        else:
            event = "MOVE" if has_home[parts.component[place]] else "SPLIT"
        person = int(parts.component[place])
        changes.append((event, int(parts.one_id[place]), person, int(parts.count[place])))
    return changes


def _ends(people: PersonPlaces, last: Holders) -> list[Event]:
    """Tell of ids none of whose records is stated any more."""
    ids, counts = np.unique(last.one_ids, return_counts=True)
    is_gone = ~np.isin(ids, people.earlier)
    return [
        Event("RETIRE", one_id, NONE, count)
        for one_id, count in zip(ids[is_gone].tolist(), counts[is_gone].tolist(), strict=True)
    ]


def _assert_one_to_one(one_ids: np.ndarray) -> None:
    if (one_ids == NONE).any() or len(distinct(one_ids)) != len(one_ids):
        raise AssertionError("a person has no OneID or two persons have the same; nothing was written")
