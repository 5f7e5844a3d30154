"""The identity graph as arrays: profiles, identifiers, links between them. Everything below works on places in it.

Places 0…P-1 are profiles and P…P+I-1 identifiers, both in the order of their node ids; so an answer that names the
smallest place of a component names the smallest profile of it, whatever order the input came in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ABSENT = -1  # no name, no namespace
UNDATED = np.iinfo(np.int32).min  # no date


@dataclass(frozen=True)
class Profiles:
    """One entry per profile; ``node_ids`` ascend. Facts are codes or days; ``ABSENT``/``UNDATED`` where unknown.

    ``legal_names`` are codes of names that may be held against another, by writing (``han``, ``latin``; they cannot
    be compared with each other) and of ``surname``. ``minors`` are too young to have contacts of their own.
    """

    node_ids: np.ndarray
    sources: np.ndarray
    legal_names: dict[str, np.ndarray]
    birth_dates: np.ndarray
    genders: np.ndarray
    minors: np.ndarray

    def __len__(self) -> int:
        return len(self.node_ids)


@dataclass(frozen=True)
class Identifiers:
    """One entry per identifier; ``node_ids`` ascend, ``namespaces`` index ``Graph.namespaces``.

    ``states`` holds ``active``, ``blocked`` or ``invalid`` and ``reasons`` why (object arrays).
    """

    node_ids: np.ndarray
    namespaces: np.ndarray
    states: np.ndarray
    reasons: np.ndarray

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


@dataclass(frozen=True)
class Graph:
    """All that identity decides from; ``identifiers`` of links are places from 0, not yet shifted by P."""

    profiles: Profiles
    identifiers: Identifiers
    links: Links
    namespaces: list[str]


@dataclass(frozen=True)
class Refusal:
    """A link that was not used although its identifier is good: rule, what it would have joined (profile places)."""

    link: int
    rule: str
    reason: str
    profile: int
    other_profile: int


@dataclass(frozen=True)
class Grouping:
    """Who is one person.

    ``people``: per profile the smallest profile place of its person. ``raw_components``: per node place the smallest
    place of its component before refusals. ``states`` and ``reasons`` per identifier (now with ``shared``).
    ``link_states`` per link: ``active``, ``corroborated``, ``idle`` (identifier not usable), ``expired``, ``refused``.
    """

    people: np.ndarray
    raw_components: np.ndarray
    states: np.ndarray
    reasons: np.ndarray
    link_states: np.ndarray
    refusals: list[Refusal]
