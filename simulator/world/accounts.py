"""Accounts, holdings, loans and cards of core records. Money is in whole cents (int64)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.world import codes
from simulator.world.draws import generator, weighted_choices
from simulator.world.people import People
from simulator.world.profiles import CoreRecords
from simulator.world.rates import Rates

SAVINGS, CURRENT, TIME, SECURITIES, LOAN, CARD, SOCIAL = range(7)
KINDS = ["储蓄", "活期", "定期", "理财", "贷款", "信用卡", "社保"]
KIND_PRODUCTS = ["DM001", "DM002", "TD365", "WM090", "LN001", "CC001", "SS001"]
ACTIVE, MODERATE, SLEEPY, DORMANT = range(4)
MONTHLY_BOOKINGS = np.array([9.0, 2.5, 0.3, 0.0])
CLASSES = ["TIME", "WEALTH", "FUND"]
PRODUCT_INDEX = {product[0]: place for place, product in enumerate(codes.PRODUCTS)}


@dataclass
class Finances:
    """Income, balances and accounts of core records: one entry per record."""

    income: np.ndarray  # cents a month
    total: np.ndarray  # cents in all classes: the target
    demand: np.ndarray  # cents on the savings account: the target
    activity: np.ndarray  # ACTIVE … DORMANT
    payday: np.ndarray  # day of month; 0 = no payroll here
    has_pension: np.ndarray
    has_account: np.ndarray  # records × kinds, bool
    opened_on: np.ndarray  # records × kinds, day

    def stop_bookings(self, is_deceased: np.ndarray) -> None:
        """Stop the bookings of the records in the mask."""
        self.activity[is_deceased] = DORMANT
        self.payday[is_deceased] = 0
        self.has_pension[is_deceased] = False


@dataclass
class Holdings:
    """Positions: one entry each. `owner` is the position of the core record."""

    owner: np.ndarray
    number: np.ndarray
    kind: np.ndarray  # index into CLASSES
    product: np.ndarray  # index into codes.PRODUCTS
    bought_on: np.ndarray
    matures_on: np.ndarray  # day; −1 = no end
    cents: np.ndarray
    purchase_night: np.ndarray  # night of the purchase, −1 = before the first


@dataclass
class Loans:
    """Loans: one entry each."""

    owner: np.ndarray
    principal: np.ndarray
    granted_on: np.ndarray
    term: np.ndarray  # months
    instalment: np.ndarray
    overdue_days: np.ndarray  # days past due on the first night
    status: np.ndarray
    is_home_loan: np.ndarray


def finances_of(seed: int, people: People, core: CoreRecords, first_day: int) -> Finances:
    """Give income, wealth, activity and accounts of each record."""
    count = len(core.person)
    draws = generator(seed, "money").random((count, 20))
    age, wealth = people.age[core.person], people.wealth[core.person]
    income = np.exp(8.75 + 0.45 * wealth + 0.5 * (draws[:, 0] - 0.5)) * 100
    total = np.exp(8.9 + 2.1 * wealth) * np.where(age < 18, 0.1, 1.0) * (0.6 + 0.8 * draws[:, 1])
    activity = weighted_choices(draws[:, 2], [0.56, 0.25, 0.11, 0.08])
    activity = np.where(core.is_second | (age < 12), np.maximum(activity, SLEEPY), activity)
    activity = np.where(core.first_night > 0, ACTIVE, activity)
    is_idle = activity == DORMANT
    total = np.where(is_idle | core.is_second, total * np.where(draws[:, 3] < 0.5, 0.0005, 0.02), total)
    is_new = core.first_night > 0
    is_adult, is_main = age >= 18, ~core.is_second & ~is_new
    has_account = np.zeros((count, len(KINDS)), dtype=bool)
    has_account[:, SAVINGS] = True
    has_account[:, CURRENT] = is_adult & is_main & (draws[:, 4] < 0.15)
    has_account[:, TIME] = is_main & ~is_idle & (total > 8_000) & (draws[:, 5] < 0.4)
    has_account[:, SECURITIES] = is_adult & is_main & ~is_idle & (total > 20_000) & (draws[:, 6] < 0.6)
    has_account[:, LOAN] = is_adult & is_main & (age < 66) & (draws[:, 7] < 0.13)
    has_account[:, CARD] = is_adult & is_main & (age < 70) & (draws[:, 8] < 0.27)
    has_account[:, SOCIAL] = is_adult & is_main & (draws[:, 9] < 0.12)
    days_before_start = np.maximum(first_day - core.opened_on, 0)[:, None]
    opened_on = core.opened_on[:, None] + (draws[:, 10:17] * days_before_start).astype(np.int64)
    opened_on[:, SAVINGS] = core.opened_on
    share = np.where(has_account[:, TIME], 0.15 + 0.2 * draws[:, 17], 0) + np.where(
        has_account[:, SECURITIES], 0.35 + 0.35 * draws[:, 18], 0
    )
    paydays = np.array([5, 8, 10, 10, 10, 15, 15, 20, 25, 28, 31])
    has_payroll = is_adult & is_main & (age < 60) & (activity <= MODERATE) & (draws[:, 19] < 0.45)
    payday = np.where(has_payroll, paydays[(draws[:, 19] / 0.45 * 11).astype(np.int64).clip(0, 10)], 0)
    return Finances(
        income=income.astype(np.int64),
        total=(total * 100).astype(np.int64),
        demand=(total * 100 * (1 - share)).astype(np.int64),
        activity=activity,
        payday=payday,
        has_pension=(age >= 60) & is_main & (draws[:, 0] < 0.6),
        has_account=has_account,
        opened_on=opened_on,
    )


def first_holdings(seed: int, core: CoreRecords, finances: Finances, first_day: int) -> Holdings:
    """Give the holdings of the first night: a record has up to three time deposits, three wealth products and a fund."""
    records = np.flatnonzero(core.first_night == 0)
    draws = generator(seed, "holdings").random((len(records), 7, 3))
    has_time, has_wealth = finances.has_account[records, TIME], finances.has_account[records, SECURITIES]
    slots = np.zeros((len(records), 7), dtype=bool)
    slots[:, 0:3] = has_time[:, None] & (draws[:, 0, 2, None] * 3 >= np.arange(3))
    slots[:, 3:6] = has_wealth[:, None] & (draws[:, 3, 2, None] * 2.6 >= np.arange(3))
    slots[:, 6] = has_wealth & (draws[:, 6, 2] < 0.35)
    owner, slot = np.nonzero(slots)
    slot_draws = draws[owner, slot]
    kind = np.where(slot < 3, 0, np.where(slot < 6, 1, 2))
    deposits = np.array([PRODUCT_INDEX[p] for p in ("TD090", "TD365", "TD1095")])[
        weighted_choices(slot_draws[:, 1], [0.3, 0.5, 0.2])
    ]
    wealth_weights = [0.35, 0.3, 0.2, 0.1, 0.05]
    wealth_products = np.array([PRODUCT_INDEX[p] for p in ("WM030", "WM090", "WM180", "WM365", "WM366")])[
        weighted_choices(slot_draws[:, 1], wealth_weights)
    ]
    funds = np.array([PRODUCT_INDEX[p] for p in ("FD001", "FD002", "FD003")])[
        weighted_choices(slot_draws[:, 1], [0.5, 0.3, 0.2])
    ]
    product = np.choose(kind, [deposits, wealth_products, funds])
    term = np.array([p[4] or 0 for p in codes.PRODUCTS])[product]
    account_opened_on = finances.opened_on[records][owner, np.where(kind == 0, TIME, SECURITIES)]
    bought_on = np.where(
        term > 0,
        first_day - term + (slot_draws[:, 0] * term).astype(np.int64),
        first_day - 1 - (slot_draws[:, 0] * 700).astype(np.int64),
    )
    bought_on = np.minimum(np.maximum(bought_on, account_opened_on + 1), first_day - 1)
    invested_cents = (finances.total - finances.demand)[records]
    has_both = has_time & has_wealth
    pool = (
        np.where(kind == 0, np.where(has_both, 0.5, 1.0)[owner], np.where(has_both, 0.5, 1.0)[owner])
        * invested_cents[owner]
    )
    weight = 0.5 + slot_draws[:, 2]
    group = owner * 2 + (kind > 0)
    sums = np.bincount(group, weights=weight, minlength=2 * len(records))
    cents = (np.maximum(pool * weight / sums[group], 100_000) // 10_000 * 10_000).astype(np.int64)
    return Holdings(
        owner=records[owner],
        number=core.number[records][owner] * 16 + slot,
        kind=kind,
        product=product,
        bought_on=bought_on,
        matures_on=np.where(term > 0, bought_on + term, -1),
        cents=cents,
        purchase_night=np.full(len(owner), -1),
    )


def new_holdings(
    seed: int, core: CoreRecords, finances: Finances, night: int, day: int, demand: np.ndarray
) -> Holdings:
    """Give the wealth products that a few records with account and money buy on a night; `demand` is the balance before."""
    count = int((core.first_night <= night).sum())
    draws = generator(seed, "buy", night).random((count, 3))
    owner = np.flatnonzero(
        finances.has_account[:count, SECURITIES] & (draws[:, 0] < 0.006) & (demand[:count] > 300_000)
    )
    product = np.array([PRODUCT_INDEX[p] for p in ("WM030", "WM090", "WM180")])[
        (draws[owner, 1] * 3).astype(np.int64)
    ]
    term = np.array([p[4] or 0 for p in codes.PRODUCTS])[product]
    cents = (demand[owner] * (0.2 + 0.4 * draws[owner, 2])).astype(np.int64) // 10_000 * 10_000
    number = core.number[owner] * 16 + 8 + night % 8 + (night // 8) * 1_000_000_000
    size = len(owner)
    kind = np.full(size, 1)
    return Holdings(owner, number, kind, product, np.full(size, day), day + term, cents, np.full(size, night))


def loans_of(seed: int, core: CoreRecords, finances: Finances, first_day: int, rates: Rates) -> Loans:
    """Give one loan per loan account."""
    owner = np.flatnonzero(finances.has_account[:, LOAN])
    draws = generator(seed, "loans").random((len(core.person), 7))[owner]
    is_home_loan = draws[:, 0] < 0.4
    term = np.where(is_home_loan, 240, np.array([12, 24, 36])[(draws[:, 1] * 3).astype(np.int64)])
    principal = np.where(
        is_home_loan, 30_000_000 + 200_000_000 * draws[:, 2], 1_000_000 + 25_000_000 * draws[:, 2]
    ).astype(np.int64)
    principal = principal // 100_000 * 100_000
    age_days = np.minimum(
        (draws[:, 3] * (term * 30 - 1)).astype(np.int64), np.maximum(first_day - core.opened_on[owner] - 1, 1)
    )
    is_late = draws[:, 4] < rates.overdue
    edges = [0.46, 0.18, 0.11, 0.11, 0.14]
    low, high = np.array([1, 31, 61, 91, 181]), np.array([30, 60, 90, 180, 700])
    band = weighted_choices(draws[:, 5], edges)
    overdue_days = np.where(is_late, low[band] + ((high - low)[band] * draws[:, 6]).astype(np.int64), 0)
    status = np.array(["active", "paid_off", "applied", "approved", "rejected"], dtype=object)[
        weighted_choices(draws[:, 6], [0.9, 0.05, 0.02, 0.01, 0.02])
    ]
    status = np.where(is_late, np.where(overdue_days > 180, "defaulted", "active"), status)
    return Loans(
        owner=owner,
        principal=principal,
        granted_on=first_day - age_days,
        term=term,
        instalment=principal // term + principal // 300,
        overdue_days=overdue_days,
        status=status,
        is_home_loan=is_home_loan,
    )


def five_class_grades(overdue_days: np.ndarray) -> np.ndarray:
    """Give the indexes of the regulator's five grades (N, S, SS, D, L) for days past due."""
    return np.searchsorted(np.array([1, 91, 181, 361]), overdue_days, side="right")
