"""People as the service channels know them: branch CRM, call centre, WeCom, partners, points mall. One entry per record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.world import codes
from simulator.world import identifiers as ids
from simulator.world.draws import generator
from simulator.world.people import PHONES_PER_PERSON, People
from simulator.world.profiles import App, Core
from simulator.world.rates import Rates

CRM, CALLS, WECOM, PARTNERS, MALL = "branch_crm", "call_centre", "wecom", "partner_list", "mall"
SERVICE_SOURCES = (CRM, CALLS, WECOM, PARTNERS, MALL)
POLICIES_PER_AGENT = 200
NO_COMPANY = -1


@dataclass
class Contacts:
    """Records of one service channel; `number` makes the record's key."""

    source: str
    person: np.ndarray
    number: np.ndarray
    since: np.ndarray  # night of first delivery
    day: np.ndarray  # day number of the record's making
    phone: np.ndarray  # phone index, NO_PHONE where none is held
    is_bound: np.ndarray  # carries the core customer number
    has_document: np.ndarray
    has_unionid: np.ndarray
    is_hashed: np.ndarray  # the phone stands there as a hash only
    company: np.ndarray  # number of a company the person represents, NO_COMPANY for nearly all
    has_agent_phone: np.ndarray

    def __len__(self) -> int:
        return len(self.person)


def service_contacts(
    seed: int, world: People, core: Core, app: App, known: np.ndarray, merchant: np.ndarray, first_day: int, rates: Rates
) -> dict[str, Contacts]:  # fmt: skip
    """Give the records of every service channel; `known` marks people some other channel knows, `merchant` those with a shop."""
    adult, customer = world.age >= 18, world.is_customer
    with_app = np.zeros(len(world), dtype=bool)
    with_app[app.person[~app.is_second]] = True
    rich = np.where(world.wealth > 1.0, 3.0, 1.0)
    shares = {
        CRM: np.where(customer, rates.crm_customers * rich, rates.crm_prospects) * adult,
        CALLS: rates.callers * (known & (world.age >= 16)),
        WECOM: rates.wecom_friends * np.where(customer, 1.0, 0.1) * adult,
        PARTNERS: np.where(adult, rates.partner_members, 0.0),
        MALL: rates.mall_members * (with_app & customer & adult),
    }
    own = np.where(world.has_family_phone, rates.dependants, 1.0)
    made = {
        source: _records(seed, source, share * own, world, first_day, rates)
        for source, share in shares.items()
    }
    _bind(seed, made, world, merchant, rates)
    _insure_through_agents(seed, made[PARTNERS], world, core, rates)
    return made


def _records(
    seed: int, source: str, share: np.ndarray, world: People, first_day: int, rates: Rates
) -> Contacts:
    draws = generator(seed, source).random((len(world), 4))
    person = np.flatnonzero(draws[:, 0] < share)
    person = person[np.argsort(world.arrives[person], kind="stable")]
    d = draws[person]
    late = np.where(
        d[:, 1] < rates.late_profiles, 1 + (d[:, 1] / rates.late_profiles * 50).astype(np.int64), 0
    )
    since = world.arrives[person] + late
    made_on = first_day - 1 - (d[:, 2] * 900).astype(np.int64)
    none = np.zeros(len(person), dtype=bool)
    return Contacts(
        source=source, person=person, number=person, since=since, day=np.where(since > 0, first_day + since, made_on),
        phone=world.phone[person].copy(), is_bound=none.copy(), has_document=none.copy(), has_unionid=none.copy(),
        is_hashed=none.copy(), company=np.full(len(person), NO_COMPANY), has_agent_phone=none.copy(),
    )  # fmt: skip


def _bind(seed: int, made: dict[str, Contacts], world: People, merchant: np.ndarray, rates: Rates) -> None:
    for source, records in made.items():
        d = generator(seed, source, "binding").random((len(world), 3))[records.person]
        customer = world.is_customer[records.person]
        guards = world.lends_phone[records.person] | world.has_family_phone[records.person]
        if source == CRM:
            records.is_bound = customer & (
                d[:, 0] < np.where(guards, rates.guardians_bound, rates.crm_customer_number)
            )
            records.has_document = customer & (d[:, 1] < 0.6)
            self_employed = world.occupation[records.person] == SELF_EMPLOYED
            owns = (merchant[records.person] | self_employed) & (d[:, 2] < rates.company_owners)
            # two partners of one firm stand in the CRM with one credit code
            records.company = np.where(owns, records.person // 40, NO_COMPANY)
        elif source == CALLS:
            records.is_bound = customer & (
                d[:, 0] < np.where(guards, rates.guardians_bound, rates.call_authenticated)
            )
        elif source == WECOM:
            records.has_unionid = d[:, 0] < rates.wecom_unionid
            records.phone = np.where(d[:, 1] < rates.wecom_phone, records.phone, ids.NO_PHONE)
        elif source == PARTNERS:
            records.is_hashed = d[:, 0] < rates.partner_hashed * np.where(customer, 0.2, 1.0)
        elif source == MALL:
            records.is_bound = d[:, 0] < np.where(guards, rates.guardians_bound, 0.8)
            records.phone = np.where((d[:, 1] < 0.6) | ~records.is_bound, records.phone, ids.NO_PHONE)


SELF_EMPLOYED = [o[0] for o in codes.OCCUPATIONS].index("SELF")


def _insure_through_agents(seed: int, records: Contacts, world: People, core: Core, rates: Rates) -> None:
    """Insured people whose policy carries the agent's phone: an agent for each 200 policies, a customer like others."""
    if not len(records):
        return
    share = rates.agent_phone / max(rates.partner_members, rates.agent_phone, 1e-9)
    insured = np.flatnonzero(generator(seed, "agents").random(len(world))[records.person] < share)
    may = core.person[(core.since == 0) & ~core.is_second & (core.phone == core.person * PHONES_PER_PERSON)]
    if not len(may):
        return
    agents = may[np.arange(len(insured) // POLICIES_PER_AGENT + 1) * 37 % len(may)]
    records.phone[insured] = agents[np.arange(len(insured)) // POLICIES_PER_AGENT] * PHONES_PER_PERSON
    records.has_agent_phone[insured] = True
    records.is_hashed[insured] = False
