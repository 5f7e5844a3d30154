"""Numbers that come back: nobody carried them last night, and records of a person had them as their own to the end.

Persons and numbers choose each other as in Gale and Shapley, "College admissions and the
stability of marriage" (1962): a person asks for its numbers in order, a number goes to who has held it longest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identity.numbering.holdings import NONE, Lifetimes
from identity.numbering.memory import Memory
from identity.numbering.people import PeopleTonight, PersonPlaces


@dataclass(frozen=True)
class Claims:
    """One entry per person and number that is the own one of some of its records, with the evidence of these records."""

    component: np.ndarray
    one_id: np.ndarray
    strongest: np.ndarray
    weight: np.ndarray
    since: np.ndarray
    is_known: np.ndarray


def give_back(
    people: PersonPlaces,
    tonight: PeopleTonight,
    memory: Memory,
    lifetimes: Lifetimes,
    live: np.ndarray,
    one_ids: np.ndarray,
) -> None:
    """Give persons that keep no number one of their own in ``one_ids``.

    ``live`` are the numbers somebody carried last night: nobody else gets them.
    """
    ids_in_use = one_ids[one_ids != NONE]
    claims = _claims(people, tonight, memory, lifetimes, np.union1d(live, ids_in_use))
    asks = np.flatnonzero(one_ids[claims.component] == NONE)
    for component, one_id in _matches(claims, asks, people.anchors).items():
        one_ids[component] = one_id


def _claims(
    people: PersonPlaces, tonight: PeopleTonight, memory: Memory, lifetimes: Lifetimes, live: np.ndarray
) -> Claims:
    owners, published = memory.owners, memory.published
    # What D has published and minted is the own number of whom it named.
    is_minted = (
        (published.since == lifetimes.first(published.one_ids)) & ~published.joins
        if len(published.profiles)
        else np.zeros(0, dtype=bool)
    )
    # Who left a number that lived on with others has no claim to it.
    stayed = (
        owners.own_until == lifetimes.end(owners.own) if len(owners.profiles) else np.zeros(0, dtype=bool)
    )
    profiles = np.concatenate([owners.profiles[stayed], published.profiles[is_minted]])
    ids = np.concatenate([owners.own[stayed], published.one_ids[is_minted]])
    since = np.concatenate([owners.own_since[stayed], published.since[is_minted]])
    is_free = ~np.isin(ids, live)
    profiles, ids, since = profiles[is_free], ids[is_free], since[is_free]
    at = np.searchsorted(tonight.profile_ids, profiles)
    component, weight = people.component[at], tonight.weights[at].astype(np.int64)
    order = np.lexsort((profiles, ids, component))
    component, ids = component[order], ids[order]
    differs = (component[1:] != component[:-1]) | (ids[1:] != ids[:-1])
    starts = np.flatnonzero(np.r_[True, differs]) if len(order) else np.zeros(0, dtype=np.int64)
    if not len(order):
        nothing = np.zeros(0, dtype=np.int64)
        return Claims(nothing, nothing, nothing, nothing, nothing, nothing.astype(bool))
    return Claims(
        component[starts],
        ids[starts],
        np.maximum.reduceat(weight[order], starts),
        np.add.reduceat(weight[order], starts),
        np.minimum.reduceat(since[order], starts),
        np.logical_or.reduceat(tonight.is_known[at][order], starts),
    )


def _matches(claims: Claims, asks: np.ndarray, anchors: np.ndarray) -> dict[int, int]:
    """Give per person the number it gets."""
    wishes: dict[int, list[int]] = {}
    order = asks[np.lexsort((claims.one_id[asks], -claims.strongest[asks]))]
    for claim in order.tolist():
        wishes.setdefault(int(claims.component[claim]), []).append(claim)
    order_of_claims = np.lexsort((anchors[claims.component], -claims.weight, claims.since, ~claims.is_known))
    rank = np.empty(len(order_of_claims), dtype=np.int64)
    rank[order_of_claims] = np.arange(len(order_of_claims))
    holders: dict[int, int] = {}
    waiting = [claims_of[::-1] for claims_of in wishes.values()]
    while waiting:
        own_claims = waiting.pop()
        if not own_claims:
            continue
        claim = own_claims.pop()
        one_id = int(claims.one_id[claim])
        other = holders.get(one_id)
        if other is None or rank[claim] < rank[other]:
            holders[one_id] = claim
            if other is not None:
                waiting.append(_wishes_after(wishes[int(claims.component[other])], other))
        else:
            waiting.append(own_claims)
    return {int(claims.component[claim]): one_id for one_id, claim in holders.items()}


def _wishes_after(wishes: list[int], claim: int) -> list[int]:
    """Give the wishes that come after a claim, the next one last."""
    return wishes[wishes.index(claim) + 1 :][::-1]
