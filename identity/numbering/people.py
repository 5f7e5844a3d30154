"""The people of tonight and the map before them, as arrays that numbering works on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.numbering.holdings import DAY, NONE, OPEN, History, Holders
from identity.reading.facts import days_of


@dataclass(frozen=True)
class PeopleTonight:
    """The people that need a number, one entry per profile.

    ``profile_ids`` ascend. ``people`` is the smallest profile id of each profile's person, ``weights`` the evidence that
    holds the profile to it; ``is_known`` marks profiles that say who somebody is, which a mere device does not.
    """

    profile_ids: np.ndarray
    people: np.ndarray
    weights: np.ndarray
    is_known: np.ndarray


@dataclass(frozen=True)
class MapBefore:
    """The map of the night before D (``last``) and its ``history``, nights before D only.

    ``published`` is what D itself has published already; D ``starts`` at a time. ``has_nights`` tells whether any night
    before D left a map, of whomever: without one the dictionary alone knows which numbers were given before.
    """

    last: Holders
    history: History
    published: History = field(default_factory=History.empty)
    starts: int = OPEN - 1
    has_nights: bool = True


def map_before(rows: pa.Table, day: date, *, has_nights: bool) -> MapBefore:
    """Give the map before ``day`` from ``rows`` of some profiles (columns of ``identity.reading.holdings``)."""
    last = rows.filter(rows["is_last"])
    return MapBefore(
        Holders(last["profile_id"].to_numpy(), last["one_id"].to_numpy()),
        History.of_rows(rows.filter(pc.invert(rows["is_published"]))),
        History.of_rows(rows.filter(rows["is_published"])),
        starts=days_of(day) * DAY,
        has_nights=has_nights,
    )


@dataclass(frozen=True)
class PersonPlaces:
    """``component``: per profile the place of its person; ``anchors`` and ``sizes`` per person, by ascending anchor.

    ``earlier``: per profile the OneID of the night before, 0 where it had none.
    """

    component: np.ndarray
    anchors: np.ndarray
    sizes: np.ndarray
    earlier: np.ndarray
    has_id_before: np.ndarray


def people_of(tonight: PeopleTonight, last: Holders) -> PersonPlaces:
    """Give persons by ascending anchor."""
    anchors, component = np.unique(tonight.people, return_inverse=True)
    earlier = _values_at(tonight.profile_ids, last)
    has_id_before = np.bincount(component, weights=earlier != NONE, minlength=len(anchors)) > 0
    return PersonPlaces(
        component, anchors, np.bincount(component, minlength=len(anchors)), earlier, has_id_before
    )


def _values_at(profiles: np.ndarray, holders: Holders) -> np.ndarray:
    """Give the OneID each profile holds, 0 where it holds none."""
    if not len(holders.profiles):
        return np.full(len(profiles), NONE, dtype=np.int64)
    order = np.argsort(holders.profiles, kind="stable")
    keys = holders.profiles[order]
    at = np.clip(np.searchsorted(keys, profiles), 0, len(keys) - 1)
    return np.where(keys[at] == profiles, holders.one_ids[order][at], NONE)
