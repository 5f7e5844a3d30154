"""People as the service channels know them: branch CRM, call centre, WeCom, partners, points mall. One entry per record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.world import codes, identifiers
from simulator.world.draws import generator
from simulator.world.people import PHONES_PER_PERSON, People
from simulator.world.profiles import AppUsers, CoreRecords
from simulator.world.rates import Rates

CRM, CALLS, WECOM, PARTNERS, MALL = "branch_crm", "call_centre", "wecom", "partner_list", "mall"
POLICIES_PER_AGENT = 200
NO_COMPANY = -1


@dataclass
class Contacts:
    """Records of one service channel; `number` makes the record's key."""

    source: str
    person: np.ndarray
    number: np.ndarray
    first_night: np.ndarray  # night of first delivery
    created_on: np.ndarray
    phone: np.ndarray  # phone index, NO_PHONE where there is none
    is_bound: np.ndarray  # carries the core customer number
    has_document: np.ndarray
    has_unionid: np.ndarray
    is_hashed: np.ndarray  # the record has only a hash of the phone
    company: np.ndarray  # number of a company the person represents, NO_COMPANY for nearly all
    has_agent_phone: np.ndarray

    def __len__(self) -> int:
        return len(self.person)


def service_contacts(
    seed: int, people: People, core: CoreRecords, app: AppUsers, is_known: np.ndarray, is_merchant: np.ndarray, first_day: int, rates: Rates
) -> dict[str, Contacts]:  # fmt: skip
    """Give the records of every service channel; `is_known` marks people of another channel, `is_merchant` people with a shop."""
    is_adult, is_customer = people.age >= 18, people.is_customer
    has_app = np.zeros(len(people), dtype=bool)
    has_app[app.person[~app.is_second]] = True
    wealth_factor = np.where(people.wealth > 1.0, 3.0, 1.0)
    shares = {
        CRM: np.where(is_customer, rates.crm_customers * wealth_factor, rates.crm_prospects) * is_adult,
        CALLS: rates.callers * (is_known & (people.age >= 16)),
        WECOM: rates.wecom_friends * np.where(is_customer, 1.0, 0.1) * is_adult,
        PARTNERS: np.where(is_adult, rates.partner_members, 0.0),
        MALL: rates.mall_members * (has_app & is_customer & is_adult),
    }
    family_factor = np.where(people.has_family_phone, rates.dependants, 1.0)
    contacts = {
        source: _records(seed, source, share * family_factor, people, first_day, rates)
        for source, share in shares.items()
    }
    _set_bindings(seed, contacts, people, is_merchant, rates)
    _insure_through_agents(seed, contacts[PARTNERS], people, core, rates)
    return contacts


def _records(
    seed: int, source: str, share: np.ndarray, people: People, first_day: int, rates: Rates
) -> Contacts:
    draws = generator(seed, source).random((len(people), 4))
    person = np.flatnonzero(draws[:, 0] < share)
    person = person[np.argsort(people.arrival_night[person], kind="stable")]
    record_draws = draws[person]
    delay = np.where(
        record_draws[:, 1] < rates.late_profiles,
        1 + (record_draws[:, 1] / rates.late_profiles * 50).astype(np.int64),
        0,
    )
    first_night = people.arrival_night[person] + delay
    past_day = first_day - 1 - (record_draws[:, 2] * 900).astype(np.int64)
    no_marks = np.zeros(len(person), dtype=bool)
    return Contacts(
        source=source, person=person, number=person, first_night=first_night, created_on=np.where(first_night > 0, first_day + first_night, past_day),
        phone=people.phone[person].copy(), is_bound=no_marks.copy(), has_document=no_marks.copy(), has_unionid=no_marks.copy(),
        is_hashed=no_marks.copy(), company=np.full(len(person), NO_COMPANY), has_agent_phone=no_marks.copy(),
    )  # fmt: skip


def _set_bindings(
    seed: int, contacts: dict[str, Contacts], people: People, is_merchant: np.ndarray, rates: Rates
) -> None:
    for source, records in contacts.items():
        draws = generator(seed, source, "binding").random((len(people), 3))[records.person]
        is_customer = people.is_customer[records.person]
        is_guarded = people.is_phone_lender[records.person] | people.has_family_phone[records.person]
        if source == CRM:
            records.is_bound = is_customer & (
                draws[:, 0] < np.where(is_guarded, rates.guardians_bound, rates.crm_customer_number)
            )
            records.has_document = is_customer & (draws[:, 1] < 0.6)
            is_self_employed = people.occupation[records.person] == SELF_EMPLOYED
            has_company = (is_merchant[records.person] | is_self_employed) & (
                draws[:, 2] < rates.company_owners
            )
            # two partners of one firm have one credit code in the CRM
            records.company = np.where(has_company, records.person // 40, NO_COMPANY)
        elif source == CALLS:
            records.is_bound = is_customer & (
                draws[:, 0] < np.where(is_guarded, rates.guardians_bound, rates.call_authenticated)
            )
        elif source == WECOM:
            records.has_unionid = draws[:, 0] < rates.wecom_unionid
            records.phone = np.where(draws[:, 1] < rates.wecom_phone, records.phone, identifiers.NO_PHONE)
        elif source == PARTNERS:
            records.is_hashed = draws[:, 0] < rates.partner_hashed * np.where(is_customer, 0.2, 1.0)
        elif source == MALL:
            records.is_bound = draws[:, 0] < np.where(is_guarded, rates.guardians_bound, 0.8)
            records.phone = np.where(
                (draws[:, 1] < 0.6) | ~records.is_bound, records.phone, identifiers.NO_PHONE
            )


SELF_EMPLOYED = [o[0] for o in codes.OCCUPATIONS].index("SELF")


def _insure_through_agents(
    seed: int, records: Contacts, people: People, core: CoreRecords, rates: Rates
) -> None:
    """Write the agent's phone on the policies of some people: one agent, who is a customer, has 200 policies."""
    if not len(records):
        return
    share = rates.agent_phone / max(rates.partner_members, rates.agent_phone, 1e-9)
    insured_rows = np.flatnonzero(generator(seed, "agents").random(len(people))[records.person] < share)
    candidates = core.person[
        (core.first_night == 0) & ~core.is_second & (core.phone == core.person * PHONES_PER_PERSON)
    ]
    if not len(candidates):
        return
    agents = candidates[np.arange(len(insured_rows) // POLICIES_PER_AGENT + 1) * 37 % len(candidates)]
    records.phone[insured_rows] = (
        agents[np.arange(len(insured_rows)) // POLICIES_PER_AGENT] * PHONES_PER_PERSON
    )
    records.has_agent_phone[insured_rows] = True
    records.is_hashed[insured_rows] = False
