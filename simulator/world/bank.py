"""The simulated bank: its plan, and the people, profiles and money that exist before a file is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa

from lakehouse.errors import UsageError
from simulator.world.accounts import SECURITIES, Loans, Money, livings, loans_of
from simulator.world.contacts import Contacts, service_contacts
from simulator.world.draws import put, taken, tokens
from simulator.world.keys import app_user_ids, customer_numbers, device_ids, kiosk_devices
from simulator.world.lives import Lives, lives_of
from simulator.world.people import PHONES_PER_PERSON, People, people
from simulator.world.profiles import (
    KIOSK_DEVICE,
    App,
    Core,
    Web,
    WeChat,
    app_users,
    core_records,
    phone_changes,
    standing,
    web_cookies,
    wechat_users,
    with_kiosks,
)
from simulator.world.rates import Rates

EPOCH = date(1970, 1, 1)
MOST_PEOPLE = 30_000_000  # eight-digit phone suffixes, three numbers a person
PLACEHOLDER_DEVICES = ["00000000-0000-0000-0000-000000000000", "02:00:00:00:00:00", "unknown"]
OPENID_SALTS = {"wechat_account": 21, "wechat_mini": 22}
UNIONID_SALT = 23


@dataclass(frozen=True)
class Plan:
    """What to simulate: people known on the first night, nights, seed, months of history before, the first business date."""

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
        """Day number of the first business date."""
        return (self.first - EPOCH).days

    @property
    def start(self) -> int:
        """Day number of the first day of history: the first of a month."""
        month = np.datetime64(self.first.isoformat(), "M") - self.history_months
        return int(month.astype("datetime64[D]").astype(np.int64))

    def business_date(self, night: int) -> date:
        """Give the business date of a night (0 = first)."""
        return self.first + timedelta(days=night)


@dataclass
class Bank:
    """Everything that exists in a simulation before a file is written; arrays only, keys are rendered once."""

    plan: Plan

    def __post_init__(self) -> None:
        p = self.plan
        self.world: People = people(p.seed, p.people, p.nights, p.first_day, p.rates)
        self.change = phone_changes(p.seed, self.world, p.nights, p.rates)
        self.core: Core = core_records(p.seed, self.world, p.first_day, p.rates)
        self.app: App = app_users(p.seed, self.world, p.nights, p.first_day, p.rates)
        self.followers: WeChat = wechat_users(p.seed, self.world, False, p.nights, p.first_day, p.rates)
        self.minis: WeChat = wechat_users(p.seed, self.world, True, p.nights, p.first_day, p.rates)
        known = self.world.is_customer.copy()
        for users in (self.app, self.followers, self.minis):
            known[users.person] = True
        self.web: Web = web_cookies(p.seed, self.world, self.app, known, p.first_day, p.rates)
        self.standing = standing(p.seed, self.world, self.core, p.rates)
        if p.rates.kiosk_users:
            clerk = self._of_people(self.standing["staff"])
            self.web = with_kiosks(self.web, self.world, self.app, clerk, p.people, p.first_day)
        self.money: Money = livings(p.seed, self.world, self.core, p.first_day)
        self.money.lay_to_rest(self.standing["deceased"])
        self.loans: Loans = loans_of(p.seed, self.core, self.money, p.first_day, p.rates)
        self.lives: Lives = lives_of(p.seed, self.world, p.nights, p.rates)
        self.contacts: dict[str, Contacts] = service_contacts(
            p.seed, self.world, self.core, self.app, known, self._of_people(self.standing["merchant"]), p.first_day, p.rates
        )  # fmt: skip

    def _of_people(self, of_records: np.ndarray) -> np.ndarray:
        """Give a mask over people from one over core records."""
        mask = np.zeros(len(self.world), dtype=bool)
        mask[self.core.person[of_records]] = True
        return mask

    # keys -----------------------------------------------------------------------------------------------------------------

    @cached_property
    def customer_numbers(self) -> pa.Array:
        """Customer number of each core record."""
        return customer_numbers(self.core.number)

    @cached_property
    def app_user_ids(self) -> pa.Array:
        """User id of each app profile."""
        return app_user_ids(self.app.number)

    @cached_property
    def cookies(self) -> pa.Array:
        """Cookie of each web visitor."""
        return tokens("ck", self.web.number, 18, 31)

    def openids(self, source: str) -> pa.Array:
        """Openid of each WeChat profile of one app."""
        return tokens("o", self._wechat(source).person, 27, OPENID_SALTS[source])

    def unionids(self, source: str) -> pa.Array:
        """Unionid of each WeChat profile; the same in every app, nothing where the app is not bound to the platform."""
        users = self._wechat(source)
        return put(tokens("oU", users.person, 26, UNIONID_SALT), ~users.has_unionid, "")

    def _wechat(self, source: str) -> WeChat:
        return self.minis if source == "wechat_mini" else self.followers

    def devices(self) -> pa.Array:
        """Device id of each app profile."""
        device = self.app.device
        text = device_ids(np.maximum(device, 0))
        kiosk = device <= KIOSK_DEVICE
        text = put(text, kiosk, kiosk_devices(KIOSK_DEVICE - device[kiosk]))
        zero = (device < 0) & ~kiosk
        return put(text, zero, taken(PLACEHOLDER_DEVICES, np.minimum(-10 - device[zero], 2)))

    def main_customer_number(self, person: np.ndarray) -> pa.Array:
        """Give the customer number that channels know a person by (of the newer record)."""
        return customer_numbers(person * 2)

    @cached_property
    def keen(self) -> np.ndarray:
        """Chance of each app user to look at wealth products after a login."""
        invests = np.zeros(len(self.world), dtype=bool)
        invests[self.core.person[self.money.has[:, SECURITIES]]] = True
        return np.where(invests[self.app.person], 0.28, 0.05)

    def acts(self, night: int) -> np.ndarray:
        """Mark the app users who can still do something on a night: alive, and not taken back by the app."""
        gone = np.minimum(self.lives.dies[self.app.person], self.app.gone_from)
        return (gone > night) & ~self._of_people(self.standing["deceased"])[self.app.person]

    # what changes from night to night -----------------------------------------------------------------------------------------

    def moved(
        self, person: np.ndarray, phone: np.ndarray, night: int, listens: np.ndarray | bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Phone index by night of profiles that carry `phone`, and the day number of a change so far (−1 = none).

        A profile that `listens` follows when its person takes a new number; a number that is not the person's present one stays.
        """
        now = (self.change[person] <= night) & (phone == self.world.phone[person]) & (phone >= 0) & listens
        return (
            np.where(now, person * PHONES_PER_PERSON + 1, phone),
            np.where(now, self.plan.first_day + self.change[person], -1),
        )
