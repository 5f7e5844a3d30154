"""The simulated bank: its plan, and the people, profiles and money that exist before a file is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa

from lakehouse.errors import UsageError
from simulator.world import codes
from simulator.world.accounts import SECURITIES, Finances, Loans, finances_of, loans_of
from simulator.world.contacts import Contacts, service_contacts
from simulator.world.draws import replace_where, texts_at, tokens
from simulator.world.keys import app_user_ids, customer_numbers, device_ids, kiosk_devices
from simulator.world.lives import Lives, lives_of
from simulator.world.people import PHONES_PER_PERSON, People, population
from simulator.world.profiles import (
    KIOSK_DEVICE,
    ZERO_DEVICE,
    AppUsers,
    CoreRecords,
    WebCookies,
    WeChatUsers,
    add_kiosks,
    app_users,
    core_records,
    customer_facts,
    phone_changes,
    web_cookies,
    wechat_users,
)
from simulator.world.rates import Rates

EPOCH = date(1970, 1, 1)
MOST_PEOPLE = 30_000_000  # eight-digit phone suffixes, three numbers a person
OPENID_SALTS = {"wechat_account": 21, "wechat_mini": 22}
UNIONID_SALT = 23


@dataclass(frozen=True)
class BankPlan:
    """What to simulate: people of the first night, nights, seed, months of history before, the first business date."""

    people: int
    nights: int = 3
    seed: int = 7
    history_months: int = 6
    first: date = date(2026, 11, 18)
    rates: Rates = field(default_factory=Rates)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("people", 20, MOST_PEOPLE),
            ("nights", 1, 366),
            ("history_months", 0, 60),
            ("seed", 0, 2**31),
        ):
            if not low <= getattr(self, name) <= high:
                raise UsageError(
                    f"--{name.replace('_', '-')} must lie between {low} and {high}, not {getattr(self, name)}"
                )

    @property
    def first_day(self) -> int:
        """Give the day number of the first business date."""
        return (self.first - EPOCH).days

    @property
    def start(self) -> int:
        """Give the day number of the first day of history: the first of a month."""
        month = np.datetime64(self.first.isoformat(), "M") - self.history_months
        return int(month.astype("datetime64[D]").astype(np.int64))

    def business_date(self, night: int) -> date:
        """Give the business date of a night (0 = first)."""
        return self.first + timedelta(days=night)


@dataclass
class Bank:
    """Everything that exists in a simulation before the first file; arrays only, and each key array is made once."""

    plan: BankPlan

    def __post_init__(self) -> None:
        p = self.plan
        self.people: People = population(p.seed, p.people, p.nights, p.first_day, p.rates)
        self.phone_change_night = phone_changes(p.seed, self.people, p.nights, p.rates)
        self.core: CoreRecords = core_records(p.seed, self.people, p.first_day, p.rates)
        self.app: AppUsers = app_users(p.seed, self.people, p.nights, p.first_day, p.rates)
        self.followers: WeChatUsers = wechat_users(p.seed, self.people, False, p.nights, p.first_day, p.rates)
        self.minis: WeChatUsers = wechat_users(p.seed, self.people, True, p.nights, p.first_day, p.rates)
        is_known = self.people.is_customer.copy()
        for users in (self.app, self.followers, self.minis):
            is_known[users.person] = True
        self.web: WebCookies = web_cookies(p.seed, self.people, self.app, is_known, p.first_day, p.rates)
        self.facts = customer_facts(p.seed, self.people, self.core, p.rates)
        if p.rates.kiosk_users:
            is_clerk = self._people_mask(self.facts["staff"])
            self.web = add_kiosks(self.web, self.people, self.app, is_clerk, p.people, p.first_day)
        self.finances: Finances = finances_of(p.seed, self.people, self.core, p.first_day)
        self.finances.stop_bookings(self.facts["deceased"])
        self.loans: Loans = loans_of(p.seed, self.core, self.finances, p.first_day, p.rates)
        self.lives: Lives = lives_of(p.seed, self.people, p.nights, p.rates)
        self.contacts: dict[str, Contacts] = service_contacts(
            p.seed, self.people, self.core, self.app, is_known, self._people_mask(self.facts["merchant"]), p.first_day, p.rates
        )  # fmt: skip

    def _people_mask(self, record_mask: np.ndarray) -> np.ndarray:
        """Give a mask over people from a mask over core records."""
        mask = np.zeros(len(self.people), dtype=bool)
        mask[self.core.person[record_mask]] = True
        return mask

    # keys -----------------------------------------------------------------------------------------------------------------

    @cached_property
    def customer_numbers(self) -> pa.Array:
        """Give the customer number of each core record."""
        return customer_numbers(self.core.number)

    @cached_property
    def app_user_ids(self) -> pa.Array:
        """Give the user id of each app profile."""
        return app_user_ids(self.app.number)

    @cached_property
    def cookies(self) -> pa.Array:
        """Give the cookie of each web visitor."""
        return tokens("ck", self.web.number, 18, 31)

    def openids(self, source: str) -> pa.Array:
        """Give the openid of each WeChat profile of one app."""
        return tokens("o", self._wechat_of(source).person, 27, OPENID_SALTS[source])

    def unionids(self, source: str) -> pa.Array:
        """Give the unionid of each WeChat profile: the same in every app, and nothing for a profile without one."""
        users = self._wechat_of(source)
        return replace_where(tokens("oU", users.person, 26, UNIONID_SALT), ~users.has_unionid, "")

    def _wechat_of(self, source: str) -> WeChatUsers:
        return self.minis if source == "wechat_mini" else self.followers

    def devices(self) -> pa.Array:
        """Give the device id of each app profile."""
        device = self.app.device
        texts = device_ids(np.maximum(device, 0))
        is_kiosk = device <= KIOSK_DEVICE
        texts = replace_where(texts, is_kiosk, kiosk_devices(KIOSK_DEVICE - device[is_kiosk]))
        is_placeholder = (device < 0) & ~is_kiosk
        return replace_where(
            texts,
            is_placeholder,
            texts_at(codes.PLACEHOLDER_DEVICES, np.minimum(ZERO_DEVICE - device[is_placeholder], 2)),
        )

    def main_customer_numbers(self, person: np.ndarray) -> pa.Array:
        """Give the customer number of each person in the channels: the number of the newer record."""
        return customer_numbers(person * 2)

    @cached_property
    def wealth_interest(self) -> np.ndarray:
        """Give the chance of each app user to look at wealth products after a login."""
        is_investor = np.zeros(len(self.people), dtype=bool)
        is_investor[self.core.person[self.finances.has_account[:, SECURITIES]]] = True
        return np.where(is_investor[self.app.person], 0.28, 0.05)

    def can_act(self, night: int) -> np.ndarray:
        """Mark the app users who can still do something on a night: they are alive, and the app still has their profile."""
        end_night = np.minimum(self.lives.death_night[self.app.person], self.app.removal_night)
        return (end_night > night) & ~self._people_mask(self.facts["deceased"])[self.app.person]

    # changes from night to night -----------------------------------------------------------------------------------------

    def phones_of_night(
        self, person: np.ndarray, phone: np.ndarray, night: int, can_change: np.ndarray | bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give the phone index on a night of profiles with `phone`, and the day number of the change (−1 = no change yet).

        The phone of a profile changes with its person's number where `can_change` is true and the profile has the present number.
        """
        is_changed = (
            (self.phone_change_night[person] <= night)
            & (phone == self.people.phone[person])
            & (phone >= 0)
            & can_change
        )
        return (
            np.where(is_changed, person * PHONES_PER_PERSON + 1, phone),
            np.where(is_changed, self.plan.first_day + self.phone_change_night[person], -1),
        )
