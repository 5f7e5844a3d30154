"""What the people remember whose numbers are in question: numbers they held, and which of these are their own.

Most people carry the one number they all had last night; nothing has to be remembered for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identity.components.arrays import is_among
from identity.numbering.holdings import NONE, History, Lifetimes, Ownership, ownership
from identity.numbering.people import MapBefore, PeopleTonight, PersonPlaces


@dataclass(frozen=True)
class Memory:
    """What the map before D says of the people in question.

    ``rows`` are all their records' nights before D, ``components`` the person that the record of each row is tonight;
    ``owners`` has one entry per such record. ``published`` is what D has published of these records, likewise.
    """

    rows: History
    components: np.ndarray
    owners: Ownership
    published: History
    published_components: np.ndarray


def memory_of(
    people: PersonPlaces,
    tonight: PeopleTonight,
    before: MapBefore,
    lifetimes: Lifetimes,
    open_people: np.ndarray,
) -> Memory:
    """Read what the records of ``open_people`` (a mask over persons) held."""
    profiles = tonight.profile_ids[open_people[people.component]]
    rows, published = before.history.of(profiles), before.published.of(profiles)
    components, published_components = (
        people.component[np.searchsorted(tonight.profile_ids, of.profiles)] for of in (rows, published)
    )
    return Memory(rows, components, ownership(rows, lifetimes), published, published_components)


def in_question(
    people: PersonPlaces,
    tonight: PeopleTonight,
    before: MapBefore,
    components: np.ndarray,
    one_ids: np.ndarray,
) -> np.ndarray:
    """Mark the persons that cannot simply keep the one number they had.

    They share a number of last night with others, had several, or have a record that held one on an earlier night only.
    """
    is_open = np.zeros(len(people.anchors), dtype=bool)
    for values, persons in ((one_ids, components), (components, components)):
        _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
        is_open[persons[counts[at] > 1]] = True
    came = np.flatnonzero(people.earlier == NONE)
    for history in (before.history, before.published):
        if len(history.profiles) and len(came):
            is_open[people.component[came[is_among(tonight.profile_ids[came], history.profiles)]]] = True
    return is_open
