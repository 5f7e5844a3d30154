"""What the delivered identifiers can show at most: which records nobody could attribute, and how many true pairs they join.

The ceiling is computed from who carries what, not by the rules of any identity engine: an identifier counts where the records
that carry it, as of the last night, are those of one person. No method that joins by identifiers finds more pairs without also
joining strangers; one that compares names and birth days might.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from simulator.world import identifiers as ids
from simulator.world.bank import Bank
from simulator.world.contacts import PARTNERS
from simulator.world.profiles import KEYS_PER_PERSON

(DOCUMENT, PASSPORT, CUSTOMER, PHONE, EMAIL, APP_USER, UNIONID, DEVICE, HASHED_PHONE) = range(9)
# These tell who a record is about; a device, a cookie or an id some platform gave does not.
NAMING = (DOCUMENT, PASSPORT, CUSTOMER, PHONE, EMAIL, APP_USER, HASHED_PHONE)
SPACE = 2**44  # values of a namespace lie below


@dataclass(frozen=True)
class Records:
    """All delivered records: where each source begins, and per record its position there, person and place among the sources."""

    sources: list[str]
    source: np.ndarray
    row: np.ndarray
    person: np.ndarray


@dataclass(frozen=True)
class Ceiling:
    """True pairs of records, those some chain of one person's identifiers joins, and the records nobody could attribute."""

    records: int
    people: int
    anonymous: int
    pairs: int
    joined: int
    joined_without_hashes: int

    def summary(self) -> dict[str, float | int]:
        """Give the same with the ratios."""
        share = self.joined / self.pairs if self.pairs else 1.0
        clear = self.joined_without_hashes / self.pairs if self.pairs else 1.0
        return {
            "records": self.records, "people": self.people, "anonymous_records": self.anonymous, "pairs": self.pairs,
            "joined_pairs": self.joined, "ratio": round(share, 6), "ratio_without_hashes": round(clear, 6),
        }  # fmt: skip


def records_of(bank: Bank) -> Records:
    """Give every record delivered by the last night and not taken back."""
    last = bank.plan.nights - 1
    names, parts = [], []
    for place, (name, person, since, gone) in enumerate(delivered(bank)):
        row = np.flatnonzero((since <= last) & (gone > last))
        names.append(name)
        parts.append((np.full(len(row), place), row, person[row]))
    return Records(names, *(np.concatenate([p[i] for p in parts]) for i in range(3)))


def delivered(bank: Bank) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Give source, person, first night and night of taking back (far off for nearly all) of every record."""

    def stays(count: int) -> np.ndarray:
        return np.full(count, 10**6)

    found = [
        ("core_banking", bank.core.person, bank.core.since, stays(len(bank.core.person))),
        ("mobile_app", bank.app.person, bank.app.since, bank.app.gone_from),
        ("web", bank.web.person, bank.web.since, stays(len(bank.web.person))),
        ("wechat_account", bank.followers.person, bank.followers.since, stays(len(bank.followers.person))),
        ("wechat_mini", bank.minis.person, bank.minis.since, stays(len(bank.minis.person))),
    ]
    return found + [(n, c.person, c.since, stays(len(c))) for n, c in bank.contacts.items()]


def carried(bank: Bank, records: Records) -> tuple[np.ndarray, np.ndarray]:
    """Give (record, value) of every identifier that says something: placeholders, wrong and missing values say nothing."""
    last = bank.plan.nights - 1
    places, values = [], []

    def carry(source: str, namespace: int, value: np.ndarray, holds: np.ndarray) -> None:
        mine = np.flatnonzero(records.source == records.sources.index(source))
        row = records.row[mine]
        hit = holds[row]
        places.append(mine[hit])
        values.append(namespace * SPACE + value[row][hit])

    core, app, web = bank.core, bank.app, bank.web
    good = np.isin(core.id_form, [ids.ID_18, ids.ID_15, ids.ID_FULL_WIDTH])
    phone, _ = bank.moved(core.person, core.phone, last, core.is_told)
    carry("core_banking", CUSTOMER, core.number, core.number >= 0)
    carry("core_banking", DOCUMENT, core.person, good)
    carry("core_banking", PASSPORT, core.number, core.id_form == ids.ID_FOREIGN)
    carry("core_banking", PHONE, phone, phone >= 0)
    carry("core_banking", EMAIL, core.person, core.has_email)
    phone, _ = bank.moved(app.person, app.phone, last)
    carry("mobile_app", APP_USER, app.number, app.number >= 0)
    carry("mobile_app", CUSTOMER, app.person * KEYS_PER_PERSON, app.bound_from <= last)
    carry("mobile_app", PHONE, phone, phone >= 0)
    carry("mobile_app", DEVICE, app.device, app.device >= 0)
    carry("web", APP_USER, web.person * KEYS_PER_PERSON, web.signs_in)
    carry("web", PHONE, web.phone, web.phone >= 0)
    carry("web", DEVICE, web.person * KEYS_PER_PERSON, web.shares_device)
    for source, users in (("wechat_account", bank.followers), ("wechat_mini", bank.minis)):
        carry(source, UNIONID, users.person, users.has_unionid)
        carry(source, PHONE, users.phone, (users.phone_from <= last) & (users.phone >= 0))
        carry(source, CUSTOMER, users.person * KEYS_PER_PERSON, users.bound_from <= last)
    for source, known in bank.contacts.items():
        carry(source, PHONE, known.phone, (known.phone >= 0) & ~known.is_hashed)
        carry(source, HASHED_PHONE, known.phone, (known.phone >= 0) & known.is_hashed)
        carry(source, CUSTOMER, known.person * KEYS_PER_PERSON, known.is_bound)
        carry(source, DOCUMENT, known.person, known.has_document)
        carry(source, UNIONID, known.person, known.has_unionid)
    return np.concatenate(places), np.concatenate(values)


def owned(records: Records, place: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Mark the (record, value) pairs whose value only one person's records carry; a hash is the value it was made of."""
    clear = np.where(value // SPACE == HASHED_PHONE, value % SPACE + PHONE * SPACE, value)
    _, code = np.unique(clear, return_inverse=True)
    person = records.person[place]
    low, high = np.full(code.max(initial=-1) + 1, 2**62), np.full(code.max(initial=-1) + 1, -1)
    np.minimum.at(low, code, person)
    np.maximum.at(high, code, person)
    return (low == high)[code]


def components(count: int, place: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Give a component number per record: records that carry one value are together."""
    _, code = np.unique(value, return_inverse=True)
    nodes = count + code.max(initial=-1) + 1
    graph = coo_matrix((np.ones(len(place), dtype=np.int8), (place, count + code)), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1][:count]


def judged(bank: Bank, records: Records) -> tuple[np.ndarray, Ceiling]:
    """Give the true person of each record as far as anybody could know, and the ceiling.

    Records that carry, and are joined to, nothing that names anybody (no document, customer number, phone, e-mail or login; an agent's
    phone names the agent) are anonymous: each group of them that its own identifiers join is a person of its own, numbered from −1
    downwards. A phone that a family shares does name somebody: with a name beside it the record can be told.
    """
    place, value = carried(bank, records)
    mine = owned(records, place, value)
    telling = np.isin(value // SPACE, NAMING) & ~_under_agents(bank, records)[place]
    naming = place[telling]
    place, value = place[mine], value[mine]
    clear = np.where(value // SPACE == HASHED_PHONE, value % SPACE + PHONE * SPACE, value)
    group = components(len(records.person), place, clear)
    named = np.zeros(len(records.person) + 1, dtype=bool)
    named[group[naming]] = True
    anonymous = ~named[group]
    person = records.person.copy()
    _, number = np.unique(group[anonymous], return_inverse=True)
    person[anonymous] = -1 - number
    hashed = value // SPACE == HASHED_PHONE
    blind = components(len(records.person), place[~hashed], value[~hashed])
    return person, Ceiling(
        records=len(person),
        people=len(np.unique(person)),
        anonymous=int(anonymous.sum()),
        pairs=_pairs(person),
        joined=_pairs(group),
        joined_without_hashes=_pairs(blind),
    )


def _under_agents(bank: Bank, records: Records) -> np.ndarray:
    """Mark the records that carry an agent's phone and nothing else."""
    partners = records.source == records.sources.index(PARTNERS)
    mask = np.zeros(len(records.person), dtype=bool)
    mask[partners] = bank.contacts[PARTNERS].has_agent_phone[records.row[partners]]
    return mask


def _pairs(label: np.ndarray) -> int:
    sizes = np.unique(label, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())
