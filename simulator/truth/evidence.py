"""What the identifiers in the files can show at most: the records that name nobody, and the number of true pairs they join.

The ceiling comes from the identifiers of each record, not from the rules of any identity engine: an identifier counts where, on the
last night, all its records are records of one person. A method that joins by identifiers finds no more pairs than this unless it
joins strangers too; a method that compares names and birth days can find more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from simulator.world import identifiers
from simulator.world.bank import Bank
from simulator.world.contacts import PARTNERS
from simulator.world.profiles import KEYS_PER_PERSON

(DOCUMENT, PASSPORT, CUSTOMER, PHONE, EMAIL, APP_USER, UNIONID, DEVICE, HASHED_PHONE) = range(9)
# These name a person; a device, a cookie or a platform's id does not.
NAMING_NAMESPACES = (DOCUMENT, PASSPORT, CUSTOMER, PHONE, EMAIL, APP_USER, HASHED_PHONE)
SPACE = 2**44  # the values of a namespace are below this number


@dataclass(frozen=True)
class DeliveredRecords:
    """All delivered records: the sources, and for each record its source, its row there and its person."""

    sources: list[str]
    source: np.ndarray
    row: np.ndarray
    person: np.ndarray


@dataclass(frozen=True)
class Ceiling:
    """True pairs of records, the pairs that chains of one person's identifiers join, and the records that name nobody."""

    records: int
    people: int
    anonymous_records: int
    pairs: int
    joined_pairs: int
    joined_pairs_without_hashes: int

    def summary(self) -> dict[str, float | int]:
        """Give the counts with the ratios."""
        ratio = self.joined_pairs / self.pairs if self.pairs else 1.0
        ratio_without_hashes = self.joined_pairs_without_hashes / self.pairs if self.pairs else 1.0
        return {
            "records": self.records, "people": self.people, "anonymous_records": self.anonymous_records, "pairs": self.pairs,
            "joined_pairs": self.joined_pairs, "ratio": round(ratio, 6), "ratio_without_hashes": round(ratio_without_hashes, 6),
        }  # fmt: skip


def records_of(bank: Bank) -> DeliveredRecords:
    """Give every record that the sources deliver up to the last night and do not take back."""
    last_night = bank.plan.nights - 1
    names, parts = [], []
    for place, (name, person, first_night, removal_night) in enumerate(record_lists(bank)):
        row = np.flatnonzero((first_night <= last_night) & (removal_night > last_night))
        names.append(name)
        parts.append((np.full(len(row), place), row, person[row]))
    return DeliveredRecords(names, *(np.concatenate([p[i] for p in parts]) for i in range(3)))


def record_lists(bank: Bank) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Give source, person, first night and removal night (far away for nearly all) of every record."""

    def no_removals(count: int) -> np.ndarray:
        return np.full(count, 10**6)

    lists = [
        ("core_banking", bank.core.person, bank.core.first_night, no_removals(len(bank.core.person))),
        ("mobile_app", bank.app.person, bank.app.first_night, bank.app.removal_night),
        ("web", bank.web.person, bank.web.first_night, no_removals(len(bank.web.person))),
        (
            "wechat_account",
            bank.followers.person,
            bank.followers.first_night,
            no_removals(len(bank.followers.person)),
        ),
        ("wechat_mini", bank.minis.person, bank.minis.first_night, no_removals(len(bank.minis.person))),
    ]
    return lists + [(n, c.person, c.first_night, no_removals(len(c))) for n, c in bank.contacts.items()]


def identifier_pairs(bank: Bank, records: DeliveredRecords) -> tuple[np.ndarray, np.ndarray]:
    """Give (record, value) of every identifier with a meaning: placeholders, wrong and missing values have none."""
    last_night = bank.plan.nights - 1
    record_places, values = [], []

    def add(source: str, namespace: int, value: np.ndarray, has_value: np.ndarray) -> None:
        places_of_source = np.flatnonzero(records.source == records.sources.index(source))
        row = records.row[places_of_source]
        has_row_value = has_value[row]
        record_places.append(places_of_source[has_row_value])
        values.append(namespace * SPACE + value[row][has_row_value])

    core, app, web = bank.core, bank.app, bank.web
    has_telling_number = np.isin(
        core.id_form, [identifiers.ID_18, identifiers.ID_15, identifiers.ID_FULL_WIDTH]
    )
    phone, _ = bank.phones_of_night(core.person, core.phone, last_night, core.can_learn_new_phone)
    add("core_banking", CUSTOMER, core.number, core.number >= 0)
    add("core_banking", DOCUMENT, core.person, has_telling_number)
    add("core_banking", PASSPORT, core.number, core.id_form == identifiers.ID_FOREIGN)
    add("core_banking", PHONE, phone, phone >= 0)
    add("core_banking", EMAIL, core.person, core.has_email)
    phone, _ = bank.phones_of_night(app.person, app.phone, last_night)
    add("mobile_app", APP_USER, app.number, app.number >= 0)
    add("mobile_app", CUSTOMER, app.person * KEYS_PER_PERSON, app.binding_night <= last_night)
    add("mobile_app", PHONE, phone, phone >= 0)
    add("mobile_app", DEVICE, app.device, app.device >= 0)
    add("web", APP_USER, web.person * KEYS_PER_PERSON, web.is_signed_in)
    add("web", PHONE, web.phone, web.phone >= 0)
    add("web", DEVICE, web.person * KEYS_PER_PERSON, web.has_shared_device)
    for source, users in (("wechat_account", bank.followers), ("wechat_mini", bank.minis)):
        add(source, UNIONID, users.person, users.has_unionid)
        add(source, PHONE, users.phone, (users.phone_night <= last_night) & (users.phone >= 0))
        add(source, CUSTOMER, users.person * KEYS_PER_PERSON, users.binding_night <= last_night)
    for source, contacts in bank.contacts.items():
        add(source, PHONE, contacts.phone, (contacts.phone >= 0) & ~contacts.is_hashed)
        add(source, HASHED_PHONE, contacts.phone, (contacts.phone >= 0) & contacts.is_hashed)
        add(source, CUSTOMER, contacts.person * KEYS_PER_PERSON, contacts.is_bound)
        add(source, DOCUMENT, contacts.person, contacts.has_document)
        add(source, UNIONID, contacts.person, contacts.has_unionid)
    return np.concatenate(record_places), np.concatenate(values)


def one_person_mask(records: DeliveredRecords, place: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Mark the (record, value) pairs whose value only one person's records have; a hash counts as its plain value."""
    plain_value = np.where(value // SPACE == HASHED_PHONE, value % SPACE + PHONE * SPACE, value)
    _, code = np.unique(plain_value, return_inverse=True)
    person = records.person[place]
    low, high = np.full(code.max(initial=-1) + 1, 2**62), np.full(code.max(initial=-1) + 1, -1)
    np.minimum.at(low, code, person)
    np.maximum.at(high, code, person)
    return (low == high)[code]


def component_numbers(count: int, place: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Give a component number per record: records with a common value are in one component."""
    _, code = np.unique(value, return_inverse=True)
    nodes = count + code.max(initial=-1) + 1
    graph = coo_matrix((np.ones(len(place), dtype=np.int8), (place, count + code)), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1][:count]


def persons_and_ceiling(bank: Bank, records: DeliveredRecords) -> tuple[np.ndarray, Ceiling]:
    """Give the true person of each record as far as anybody can know, and the ceiling.

    A record is anonymous if neither it nor a record joined to it names anybody (no document, customer number, phone, e-mail or login;
    an agent's phone names the agent). Each group of anonymous records that its own identifiers join is a person of its own, with the
    numbers −1, −2 and so on. A family's phone does name somebody: a name beside it says which one.
    """
    place, value = identifier_pairs(bank, records)
    is_of_one_person = one_person_mask(records, place, value)
    is_naming = np.isin(value // SPACE, NAMING_NAMESPACES) & ~_agent_phone_mask(bank, records)[place]
    naming_places = place[is_naming]
    place, value = place[is_of_one_person], value[is_of_one_person]
    plain_value = np.where(value // SPACE == HASHED_PHONE, value % SPACE + PHONE * SPACE, value)
    group = component_numbers(len(records.person), place, plain_value)
    has_name = np.zeros(len(records.person) + 1, dtype=bool)
    has_name[group[naming_places]] = True
    is_anonymous = ~has_name[group]
    person = records.person.copy()
    _, number = np.unique(group[is_anonymous], return_inverse=True)
    person[is_anonymous] = -1 - number
    is_hashed = value // SPACE == HASHED_PHONE
    group_without_hashes = component_numbers(len(records.person), place[~is_hashed], value[~is_hashed])
    return person, Ceiling(
        records=len(person),
        people=len(np.unique(person)),
        anonymous_records=int(is_anonymous.sum()),
        pairs=_pairs(person),
        joined_pairs=_pairs(group),
        joined_pairs_without_hashes=_pairs(group_without_hashes),
    )


def _agent_phone_mask(bank: Bank, records: DeliveredRecords) -> np.ndarray:
    """Mark the records with an agent's phone and no other identifier."""
    is_partner_record = records.source == records.sources.index(PARTNERS)
    mask = np.zeros(len(records.person), dtype=bool)
    mask[is_partner_record] = bank.contacts[PARTNERS].has_agent_phone[records.row[is_partner_record]]
    return mask


def _pairs(label: np.ndarray) -> int:
    sizes = np.unique(label, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())
