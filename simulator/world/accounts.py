"""Accounts, holdings, loans and cards of core records. Money is in whole cents (int64)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.world import codes
from simulator.world.draws import generator
from simulator.world.people import People
from simulator.world.profiles import Core, chosen_by
from simulator.world.rates import Rates

SAVINGS, CURRENT, TIME, SECURITIES, LOAN, CARD, SOCIAL = range(7)
KINDS = ["储蓄", "活期", "定期", "理财", "贷款", "信用卡", "社保"]
KIND_PRODUCTS = ["DM001", "DM002", "TD365", "WM090", "LN001", "CC001", "SS001"]
ACTIVE, MODERATE, SLEEPY, DORMANT = range(4)
MONTHLY_BOOKINGS = np.array([9.0, 2.5, 0.3, 0.0])
CLASSES = ["TIME", "WEALTH", "FUND"]
PRODUCT_INDEX = {product[0]: place for place, product in enumerate(codes.PRODUCTS)}


@dataclass
class Money:
    """How a core record lives: one entry per record."""

    income: np.ndarray  # cents a month
    total: np.ndarray  # cents in all classes, aimed at
    demand: np.ndarray  # cents on the savings account, aimed at
    mood: np.ndarray  # ACTIVE … DORMANT
    payday: np.ndarray  # day of month; 0 = no payroll here
    has_pension: np.ndarray
    has: np.ndarray  # records × kinds, bool
    opened: np.ndarray  # records × kinds, day

    def lay_to_rest(self, deceased: np.ndarray) -> None:
        """Let the records of the dead (a mask) book nothing any more."""
        self.mood[deceased] = DORMANT
        self.payday[deceased] = 0
        self.has_pension[deceased] = False


@dataclass
class Holdings:
    """Positions: one entry each. `owner` is the position of the core record."""

    owner: np.ndarray
    number: np.ndarray
    kind: np.ndarray  # index into CLASSES
    product: np.ndarray  # index into codes.PRODUCTS
    bought: np.ndarray
    matures: np.ndarray  # day; −1 = no end
    cents: np.ndarray
    night: np.ndarray  # bought on that night, −1 = before


@dataclass
class Loans:
    """Loans: one entry each."""

    owner: np.ndarray
    principal: np.ndarray
    granted: np.ndarray
    term: np.ndarray  # months
    instalment: np.ndarray
    overdue: np.ndarray  # days past due on the first night
    status: np.ndarray
    is_home: np.ndarray


def livings(seed: int, world: People, core: Core, first_day: int) -> Money:
    """Income, wealth, activity and accounts of each record."""
    count = len(core.person)
    draws = generator(seed, "money").random((count, 20))
    age, z = world.age[core.person], world.wealth[core.person]
    income = np.exp(8.75 + 0.45 * z + 0.5 * (draws[:, 0] - 0.5)) * 100
    total = np.exp(8.9 + 2.1 * z) * np.where(age < 18, 0.1, 1.0) * (0.6 + 0.8 * draws[:, 1])
    mood = chosen_by(draws[:, 2], [0.56, 0.25, 0.11, 0.08])
    mood = np.where(core.is_second | (age < 12), np.maximum(mood, SLEEPY), mood)
    mood = np.where(core.since > 0, ACTIVE, mood)
    idle = mood == DORMANT
    total = np.where(idle | core.is_second, total * np.where(draws[:, 3] < 0.5, 0.0005, 0.02), total)
    fresh = core.since > 0
    adult, main = age >= 18, ~core.is_second & ~fresh
    has = np.zeros((count, len(KINDS)), dtype=bool)
    has[:, SAVINGS] = True
    has[:, CURRENT] = adult & main & (draws[:, 4] < 0.15)
    has[:, TIME] = main & ~idle & (total > 8_000) & (draws[:, 5] < 0.4)
    has[:, SECURITIES] = adult & main & ~idle & (total > 20_000) & (draws[:, 6] < 0.6)
    has[:, LOAN] = adult & main & (age < 66) & (draws[:, 7] < 0.13)
    has[:, CARD] = adult & main & (age < 70) & (draws[:, 8] < 0.27)
    has[:, SOCIAL] = adult & main & (draws[:, 9] < 0.12)
    since_first = np.maximum(first_day - core.opened, 0)[:, None]
    opened = core.opened[:, None] + (draws[:, 10:17] * since_first).astype(np.int64)
    opened[:, SAVINGS] = core.opened
    share = np.where(has[:, TIME], 0.15 + 0.2 * draws[:, 17], 0) + np.where(
        has[:, SECURITIES], 0.35 + 0.35 * draws[:, 18], 0
    )
    days_of_pay = np.array([5, 8, 10, 10, 10, 15, 15, 20, 25, 28, 31])
    paid = adult & main & (age < 60) & (mood <= MODERATE) & (draws[:, 19] < 0.45)
    payday = np.where(paid, days_of_pay[(draws[:, 19] / 0.45 * 11).astype(np.int64).clip(0, 10)], 0)
    return Money(
        income=income.astype(np.int64),
        total=(total * 100).astype(np.int64),
        demand=(total * 100 * (1 - share)).astype(np.int64),
        mood=mood,
        payday=payday,
        has_pension=(age >= 60) & main & (draws[:, 0] < 0.6),
        has=has,
        opened=opened,
    )


def first_holdings(seed: int, core: Core, money: Money, first_day: int) -> Holdings:
    """Give what is held on the first night: up to three time deposits, three wealth products and a fund a record."""
    base = np.flatnonzero(core.since == 0)
    draws = generator(seed, "holdings").random((len(base), 7, 3))
    has_time, has_wealth = money.has[base, TIME], money.has[base, SECURITIES]
    slots = np.zeros((len(base), 7), dtype=bool)
    slots[:, 0:3] = has_time[:, None] & (draws[:, 0, 2, None] * 3 >= np.arange(3))
    slots[:, 3:6] = has_wealth[:, None] & (draws[:, 3, 2, None] * 2.6 >= np.arange(3))
    slots[:, 6] = has_wealth & (draws[:, 6, 2] < 0.35)
    owner, slot = np.nonzero(slots)
    u = draws[owner, slot]
    kind = np.where(slot < 3, 0, np.where(slot < 6, 1, 2))
    deposit = np.array([PRODUCT_INDEX[p] for p in ("TD090", "TD365", "TD1095")])[
        chosen_by(u[:, 1], [0.3, 0.5, 0.2])
    ]
    wealth_weights = [0.35, 0.3, 0.2, 0.1, 0.05]
    wealth = np.array([PRODUCT_INDEX[p] for p in ("WM030", "WM090", "WM180", "WM365", "WM366")])[
        chosen_by(u[:, 1], wealth_weights)
    ]
    fund = np.array([PRODUCT_INDEX[p] for p in ("FD001", "FD002", "FD003")])[
        chosen_by(u[:, 1], [0.5, 0.3, 0.2])
    ]
    product = np.choose(kind, [deposit, wealth, fund])
    term = np.array([p[4] or 0 for p in codes.PRODUCTS])[product]
    account_opened = money.opened[base][owner, np.where(kind == 0, TIME, SECURITIES)]
    bought = np.where(
        term > 0,
        first_day - term + (u[:, 0] * term).astype(np.int64),
        first_day - 1 - (u[:, 0] * 700).astype(np.int64),
    )
    bought = np.minimum(np.maximum(bought, account_opened + 1), first_day - 1)
    left = (money.total - money.demand)[base]
    both = has_time & has_wealth
    pool = np.where(kind == 0, np.where(both, 0.5, 1.0)[owner], np.where(both, 0.5, 1.0)[owner]) * left[owner]
    weight = 0.5 + u[:, 2]
    group = owner * 2 + (kind > 0)
    sums = np.bincount(group, weights=weight, minlength=2 * len(base))
    cents = (np.maximum(pool * weight / sums[group], 100_000) // 10_000 * 10_000).astype(np.int64)
    return Holdings(
        owner=base[owner],
        number=core.number[base][owner] * 16 + slot,
        kind=kind,
        product=product,
        bought=bought,
        matures=np.where(term > 0, bought + term, -1),
        cents=cents,
        night=np.full(len(owner), -1),
    )


def bought_holdings(
    seed: int, core: Core, money: Money, night: int, day: int, demand: np.ndarray
) -> Holdings:
    """Wealth products bought on a night by a few who have the account and the money; `demand` is the balance before."""
    count = int((core.since <= night).sum())
    draws = generator(seed, "buy", night).random((count, 3))
    owner = np.flatnonzero(money.has[:count, SECURITIES] & (draws[:, 0] < 0.006) & (demand[:count] > 300_000))
    product = np.array([PRODUCT_INDEX[p] for p in ("WM030", "WM090", "WM180")])[
        (draws[owner, 1] * 3).astype(np.int64)
    ]
    term = np.array([p[4] or 0 for p in codes.PRODUCTS])[product]
    cents = (demand[owner] * (0.2 + 0.4 * draws[owner, 2])).astype(np.int64) // 10_000 * 10_000
    number = core.number[owner] * 16 + 8 + night % 8 + (night // 8) * 1_000_000_000
    size = len(owner)
    kind = np.full(size, 1)
    return Holdings(owner, number, kind, product, np.full(size, day), day + term, cents, np.full(size, night))


def loans_of(seed: int, core: Core, money: Money, first_day: int, rates: Rates) -> Loans:
    """One loan per loan account."""
    owner = np.flatnonzero(money.has[:, LOAN])
    draws = generator(seed, "loans").random((len(core.person), 7))[owner]
    home = draws[:, 0] < 0.4
    term = np.where(home, 240, np.array([12, 24, 36])[(draws[:, 1] * 3).astype(np.int64)])
    principal = np.where(
        home, 30_000_000 + 200_000_000 * draws[:, 2], 1_000_000 + 25_000_000 * draws[:, 2]
    ).astype(np.int64)
    principal = principal // 100_000 * 100_000
    age_days = np.minimum(
        (draws[:, 3] * (term * 30 - 1)).astype(np.int64), np.maximum(first_day - core.opened[owner] - 1, 1)
    )
    late = draws[:, 4] < rates.overdue
    edges = [0.46, 0.18, 0.11, 0.11, 0.14]
    low, high = np.array([1, 31, 61, 91, 181]), np.array([30, 60, 90, 180, 700])
    band = chosen_by(draws[:, 5], edges)
    overdue = np.where(late, low[band] + ((high - low)[band] * draws[:, 6]).astype(np.int64), 0)
    status = np.array(["active", "paid_off", "applied", "approved", "rejected"], dtype=object)[
        chosen_by(draws[:, 6], [0.9, 0.05, 0.02, 0.01, 0.02])
    ]
    status = np.where(late, np.where(overdue > 180, "defaulted", "active"), status)
    return Loans(
        owner=owner,
        principal=principal,
        granted=first_day - age_days,
        term=term,
        instalment=principal // term + principal // 300,
        overdue=overdue,
        status=status,
        is_home=home,
    )


def five_class(overdue: np.ndarray) -> np.ndarray:
    """Give the regulator's five-class grade index (N, S, SS, D, L) for days past due."""
    return np.searchsorted(np.array([1, 91, 181, 361]), overdue, side="right")
