"""The identity graph as arrays: profiles, identifiers, links between them. Everything below works on places in it.

Places 0…P-1 are profiles and P…P+I-1 identifiers, both in the order of their node ids; so an answer that names the
smallest place of a component names the smallest profile of it, whatever order the input came in. What a tie could
decide is ordered by keys (``ranks``, ``values``), never by node ids: those tell when a node was first met.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

ABSENT = -1  # no name, no namespace
UNDATED = np.iinfo(np.int32).min  # no date


@dataclass(frozen=True)
class Profiles:
    """One entry per profile; ``node_ids`` ascend. Facts are codes or days; ``ABSENT``/``UNDATED`` where unknown.

    ``ranks`` is the order of (source, source_key). ``legal_names`` are codes of names that may be held against
    another, by writing (``han``, ``latin``; they cannot be compared with each other) and of ``surname``. ``of_age_on``
    is the day on which who is too young to have contacts comes of age, ``UNDATED`` for everybody else.
    ``impossible_births`` are days that no birth date can be (those of others are ``UNDATED``); ``birth_dates`` has none of them.
    """

    node_ids: np.ndarray
    ranks: np.ndarray
    sources: np.ndarray
    source_names: list[str]
    legal_names: dict[str, np.ndarray]
    birth_dates: np.ndarray
    genders: np.ndarray
    of_age_on: np.ndarray
    impossible_births: np.ndarray

    def __len__(self) -> int:
        return len(self.node_ids)

    @property
    def minors(self) -> np.ndarray:
        """Tell who is too young to have contacts of their own."""
        return self.of_age_on != UNDATED


@dataclass(frozen=True)
class Identifiers:
    """One entry per identifier; ``node_ids`` ascend, ``namespaces`` index ``Graph.namespaces``.

    ``values`` has the value as the dictionary keeps it, ``states`` holds ``active`` or ``blocked`` and ``reasons`` why
    (object arrays). ``outside`` counts carriers that are not in this graph: those of a value on so many records that
    it connects nothing, when only a part of all records is decided.
    """

    node_ids: np.ndarray
    namespaces: np.ndarray
    values: pa.StringArray
    states: np.ndarray
    reasons: np.ndarray
    outside: np.ndarray

    def __len__(self) -> int:
        return len(self.node_ids)


@dataclass(frozen=True)
class Links:
    """One entry per profile and identifier: their places, whether a source verified it, when it was last stated."""

    profiles: np.ndarray
    identifiers: np.ndarray
    verified: np.ndarray
    observed: np.ndarray

    def __len__(self) -> int:
        return len(self.profiles)


def _no_places() -> np.ndarray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class DecisionPairs:
    """People's decisions about pairs of profiles (places), oldest first; ``*_ids`` are their ids."""

    must_a: np.ndarray = field(default_factory=_no_places)
    must_b: np.ndarray = field(default_factory=_no_places)
    must_ids: tuple[str, ...] = ()
    cannot_a: np.ndarray = field(default_factory=_no_places)
    cannot_b: np.ndarray = field(default_factory=_no_places)
    cannot_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """All that identity decides from; ``identifiers`` of links are places from 0, not yet shifted by P.

    ``day`` is the business date as days since 1970.
    """

    profiles: Profiles
    identifiers: Identifiers
    links: Links
    namespaces: list[str]
    day: int
    decisions: DecisionPairs = field(default_factory=DecisionPairs)


@dataclass(frozen=True)
class Refusal:
    """A link or decision that was not used: rule, and what it would have joined (profile places).

    ``link`` is ABSENT where a decision was refused.
    """

    link: int
    rule: str
    reason: str
    profile: int
    other_profile: int


@dataclass(frozen=True)
class Grouping:
    """Who is one person.

    ``people``: per profile the smallest profile place of its person. ``raw_components``: per node place the smallest
    place of its component before refusals. ``states`` and ``reasons`` per identifier (now with ``shared``); ``owner_reasons``
    tells identifiers that belong to their last or newest holder. ``link_states`` per link: ``active``,
    ``corroborated``, ``idle`` (identifier not usable), ``expired``, ``refused``. ``ended_on`` is the day an expired link
    ended, ``due_on`` the first day on which time alone may change what a link does. ``ends`` is the place each link
    leads to: that of its identifier, or one beyond all places where only carriers of one name join by it.
    """

    people: np.ndarray
    raw_components: np.ndarray
    states: np.ndarray
    reasons: np.ndarray
    owner_reasons: dict[int, str]
    link_states: np.ndarray
    ended_on: np.ndarray
    due_on: np.ndarray
    refusals: list[Refusal]
    kept_oversized: int = 0
    ends: np.ndarray = field(default_factory=_no_places)
