"""Bookings and end-of-day balances: the months before the first night in chunks, then night by night."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from simulator.world.accounts import ACTIVE, MODERATE, MONTHLY_BOOKINGS, Holdings, Loans, Money
from simulator.world.draws import calendar, generator
from simulator.world.profiles import Core, chosen_by

TYPES = ["PURCHASE", "PAYMENT", "TRANSFER", "TRANSFER", "CASH", "CASH", "HOUSEHOLD", "TAX", "CARD_REPAY", "INSURANCE",
         "PAYROLL", "PENSION", "INTEREST", "FEE", "LOAN_REPAY", "PENALTY_INTEREST", "WEALTH_BUY", "WEALTH_REDEEM", "FUND_BUY", "LOAN_PREPAY"]  # fmt: skip
(PURCHASE, PAYMENT, SENT, RECEIVED, DRAWN, PAID_IN, HOUSEHOLD, TAX, CARD_REPAY, INSURANCE, PAYROLL, PENSION, INTEREST, FEE,
 LOAN_REPAY, PENALTY, WEALTH_BUY, WEALTH_REDEEM, FUND_BUY, PREPAY) = range(len(TYPES))  # fmt: skip
IS_CREDIT = np.isin(np.arange(len(TYPES)), [RECEIVED, PAID_IN, PAYROLL, PENSION, INTEREST, WEALTH_REDEEM])
INITIATORS = ["C", "B", "S"]
INITIATOR = np.array([0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 1, 0, 2, 0, 0])
CHANNELS = ["POS", "APP", "APP", "APP", "ATM", "COUNTER", "APP", "COUNTER", "APP", "BATCH", "BATCH", "BATCH", "BATCH", "BATCH",
            "BATCH", "BATCH", "APP", "BATCH", "APP", "APP"]  # fmt: skip
PREPAYS_A_MONTH = 1 / 70
LUMPS_A_MONTH = (
    0.015  # a house sold, an inheritance, money from another bank: ten to fifty monthly incomes at once
)
EVERYDAY = [0.45, 0.12, 0.12, 0.12, 0.06, 0.05, 0.055, 0.005, 0.015, 0.005]
# median amount as a share of monthly income, and spread (sigma of the logarithm)
MEDIAN = np.array([0.012, 0.02, 0.09, 0.1, 0.08, 0.15, 0.018, 0.03, 0.12, 0.06])
SPREAD = np.array([1.0, 1.0, 1.1, 1.1, 0.6, 0.9, 0.5, 0.6, 0.7, 0.5])


@dataclass
class Bookings:
    """One entry per booking on the savings account of the core record at position `owner`."""

    owner: np.ndarray
    day: np.ndarray
    second: np.ndarray
    kind: np.ndarray
    cents: np.ndarray

    def signed(self) -> np.ndarray:
        """Cents in (+) or out (−)."""
        return np.where(IS_CREDIT[self.kind], self.cents, -self.cents)


def together(parts: list[Bookings]) -> Bookings:
    """All bookings of several parts, by owner, day and time."""
    merged = Bookings(
        *(np.concatenate([getattr(p, f.name) for p in parts]).astype(np.int64) for f in fields(Bookings))
    )
    # one key instead of four sorts: 26 bits of owner, 15 of day, 17 of second, 5 of kind
    key = (merged.owner << 37) + (merged.day << 22) + (merged.second << 5) + merged.kind
    order = np.argsort(key, kind="stable")
    return Bookings(*(getattr(merged, f.name)[order] for f in fields(Bookings)))


def _booked(
    rng: np.random.Generator, owner: np.ndarray, day: np.ndarray, kind: np.ndarray | int, cents: np.ndarray
) -> Bookings:
    batch = np.isin(kind, [PAYROLL, PENSION, INTEREST, FEE, LOAN_REPAY, PENALTY, WEALTH_REDEEM])
    second = np.where(
        batch, 2 * 3600 + rng.random(len(owner)) * 3600, (7 + 15 * rng.beta(2, 1.8, len(owner))) * 3600
    )
    kinds = np.broadcast_to(np.asarray(kind), owner.shape)
    return Bookings(owner, day, second.astype(np.int64), kinds, np.maximum(cents, 1).astype(np.int64))


def _everyday(rng: np.random.Generator, owner: np.ndarray, day: np.ndarray, income: np.ndarray) -> Bookings:
    kind = chosen_by(rng.random(len(owner)), EVERYDAY)
    cents = income * MEDIAN[kind] * np.exp(SPREAD[kind] * rng.standard_normal(len(owner)))
    return _booked(rng, owner, day, kind, cents)


def months_between(low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """First days and lengths of the calendar months from day number `low` to `high`."""
    months = np.arange(
        np.datetime64(low, "D").astype("datetime64[M]"), np.datetime64(high, "D").astype("datetime64[M]") + 1
    )
    firsts = months.astype("datetime64[D]").astype(np.int64)
    return firsts, (months + 1).astype("datetime64[D]").astype(np.int64) - firsts


def _monthly(
    rng: np.random.Generator,
    owner: np.ndarray,
    date: np.ndarray,
    low: np.ndarray,
    high: int,
    kind: int,
    cents: np.ndarray,
    jitter: float,
) -> Bookings:
    """One booking a month on a date (the last day in short months), between `low` of each owner and `high`."""
    firsts, lengths = months_between(int(low.min()) if len(low) else high, high)
    day = firsts[None, :] + np.minimum(date[:, None], lengths[None, :]) - 1
    row, month = np.nonzero((day >= low[:, None]) & (day <= high))
    amount = cents[row] * (1 + jitter * rng.standard_normal(len(row)))
    return _booked(rng, owner[row], day[row, month], kind, amount)


def history(
    seed: int, chunk: int, rows: slice, core: Core, money: Money, holdings: Holdings, loans: Loans, first_day: int, start: int,
    overdrawn: float,
) -> tuple[Bookings, np.ndarray, np.ndarray]:  # fmt: skip
    """Bookings of the records `rows` from `start` to the day before `first_day`, with opening and closing balance of each record."""
    rng = generator(seed, "history", chunk)
    owner = np.arange(rows.start, rows.stop)
    low = np.maximum(start, core.opened[rows] + 1)
    high = first_day - 1
    span = np.maximum(high - low + 1, 0)
    mood, income = money.mood[rows], money.income[rows]
    counts = rng.poisson(MONTHLY_BOOKINGS[mood] * span / 30)
    who = np.repeat(np.arange(len(owner)), counts)
    day = low[who] + (rng.random(len(who)) * span[who]).astype(np.int64)
    parts = [_everyday(rng, owner[who], day, income[who])]
    parts.append(_lump(rng, owner, low, span, mood, income))
    paid = money.payday[rows] > 0
    parts.append(
        _monthly(rng, owner[paid], money.payday[rows][paid], low[paid], high, PAYROLL, income[paid], 0.06)
    )
    old = money.has_pension[rows]
    parts.append(
        _monthly(rng, owner[old], np.full(old.sum(), 15), low[old], high, PENSION, income[old] * 0.5, 0.0)
    )
    quarter = calendar(months_between(start, high)[0])[1] % 3 == 0
    for first in months_between(start, high)[0][quarter]:
        due = (low <= first + 20) & (first + 20 <= high)
        parts.append(
            _booked(
                rng, owner[due], np.full(due.sum(), first + 20), INTEREST, money.demand[rows][due] * 0.0005
            )
        )
    charged = (mood <= MODERATE) & (rng.random(len(owner)) < 0.2)
    parts.append(
        _monthly(
            rng,
            owner[charged],
            np.full(charged.sum(), 28),
            low[charged],
            high,
            FEE,
            np.full(charged.sum(), 300),
            0.0,
        )
    )
    parts.extend(_loan_bookings(rng, loans, rows, core, start, high))
    mine = (holdings.owner >= rows.start) & (holdings.owner < rows.stop) & (holdings.night < 0)
    mine &= (holdings.bought >= np.maximum(start, core.opened[holdings.owner] + 1)) & (holdings.kind > 0)
    buys = np.where(holdings.kind[mine] == 1, WEALTH_BUY, FUND_BUY)
    parts.append(_booked(rng, holdings.owner[mine], holdings.bought[mine], buys, holdings.cents[mine]))
    booked = together(parts)
    running, last = running_totals(booked.owner, booked.signed())
    lowest = np.zeros(len(owner), dtype=np.int64)
    np.minimum.at(lowest, booked.owner - rows.start, running)
    change = np.zeros(len(owner), dtype=np.int64)
    change[booked.owner[last] - rows.start] = running[last]
    target = money.demand[rows]
    opening = np.maximum(target - change, -lowest + (target * 0.01).astype(np.int64))
    red = (rng.random(len(owner)) < overdrawn) & (mood == ACTIVE)
    opening = np.where(red, -change - 5_000 - (rng.random(len(owner)) * 100_000).astype(np.int64), opening)
    return booked, opening, opening + change


def _loan_bookings(
    rng: np.random.Generator, loans: Loans, rows: slice, core: Core, start: int, high: int
) -> list[Bookings]:
    mine = (
        (loans.owner >= rows.start)
        & (loans.owner < rows.stop)
        & np.isin(loans.status, ["active", "defaulted"])
    )
    owner, granted, overdue = loans.owner[mine], loans.granted[mine], loans.overdue[mine]
    low = np.maximum(np.maximum(start, granted + 20), core.opened[owner] + 1)
    date = calendar(granted)[2]
    good = overdue == 0
    late = overdue > 0
    return [
        _monthly(rng, owner[good], date[good], low[good], high, LOAN_REPAY, loans.instalment[mine][good], 0.0),
        _prepaid(rng, owner[good], low[good], high, loans.instalment[mine][good]),
        _monthly(rng, owner[late], date[late], np.maximum(low[late], high - overdue[late]), high, PENALTY, loans.instalment[mine][late] * 0.02, 0.0),
    ]  # fmt: skip


def _lump(
    rng: np.random.Generator, owner: np.ndarray, low: np.ndarray, span: np.ndarray, mood: np.ndarray, income: np.ndarray
) -> Bookings:  # fmt: skip
    """Give large sums that come in once in a while on accounts that live."""
    hit = np.flatnonzero((rng.random(len(owner)) < LUMPS_A_MONTH * span / 30) & (mood <= MODERATE))
    day = low[hit] + (rng.random(len(hit)) * span[hit]).astype(np.int64)
    return _booked(rng, owner[hit], day, RECEIVED, income[hit] * (10 + 40 * rng.random(len(hit))))


def _prepaid(
    rng: np.random.Generator, owner: np.ndarray, low: np.ndarray, high: int, instalment: np.ndarray
) -> Bookings:
    """Give part repayments of a loan before they are due: one loan in seventy a month."""
    span = np.maximum(high - low + 1, 0)
    hit = np.flatnonzero(rng.random(len(owner)) < PREPAYS_A_MONTH * span / 30)
    day = low[hit] + (rng.random(len(hit)) * span[hit]).astype(np.int64)
    return _booked(rng, owner[hit], day, PREPAY, instalment[hit] * 5)


def running_totals(group: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give running sum inside each run of equal groups (which must be adjacent), and the index of each run's last entry."""
    if not len(group):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    total = np.cumsum(amounts)
    first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    before = np.r_[0, total[first[1:] - 1]]
    lengths = np.diff(np.r_[first, len(group)])
    return total - np.repeat(before, lengths), np.r_[first[1:] - 1, len(group) - 1]


def ends_of_day(
    booked: Bookings, opening: np.ndarray, first_owner: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Owner, day and balance at each day's end with a booking; `opening` by owner − `first_owner`."""
    running, _ = running_totals(booked.owner, booked.signed())
    last = np.ones(len(booked.owner), dtype=bool)
    last[:-1] = (booked.owner[1:] != booked.owner[:-1]) | (booked.day[1:] != booked.day[:-1])
    return booked.owner[last], booked.day[last], running[last] + opening[booked.owner[last] - first_owner]


def night_bookings(
    seed: int,
    night: int,
    day: int,
    core: Core,
    money: Money,
    holdings: Holdings,
    bought: Holdings,
    loans: Loans,
    demand: np.ndarray,
    alive: np.ndarray,
) -> Bookings:
    """Bookings of one night's day; who lacks the money pays nothing that day (but the bank's own debits stand), nor do the dead."""
    rng = generator(seed, "night", night)
    count = int((core.since <= night).sum())
    date, month = int(calendar(np.array([day]))[2][0]), int(calendar(np.array([day]))[1][0])
    owner = np.arange(count)
    counts = rng.poisson(MONTHLY_BOOKINGS[money.mood[:count]] / 30) * alive[:count]
    who = np.repeat(owner, counts)
    everyday = _everyday(rng, who, np.full(len(who), day), money.income[who])
    _, length = months_between(day, day)
    paid = np.flatnonzero(
        alive[:count] & (money.payday[:count] > 0) & (np.minimum(money.payday[:count], length[0]) == date)
    )
    parts = [_booked(rng, paid, np.full(len(paid), day), PAYROLL, money.income[paid])]
    if date == 15:
        old = np.flatnonzero(money.has_pension[:count] & alive[:count])
        parts.append(_booked(rng, old, np.full(len(old), day), PENSION, money.income[old] * 0.5))
    if date == 21 and month % 3 == 0:
        parts.append(
            _booked(rng, owner, np.full(count, day), INTEREST, np.maximum(demand[:count], 0) * 0.0005)
        )
    parts.extend(_loan_bookings(rng, loans, slice(0, count), core, day, day))
    due = holdings.matures == day - 1
    parts.append(
        _booked(rng, holdings.owner[due], np.full(due.sum(), day), WEALTH_REDEEM, holdings.cents[due] * 1.01)
    )
    kinds = np.full(len(bought.owner), WEALTH_BUY)
    parts.append(_booked(rng, bought.owner, np.full(len(bought.owner), day), kinds, bought.cents))
    fresh = np.flatnonzero(core.since[:count] == night) if night else np.zeros(0, dtype=np.int64)
    parts.append(
        _booked(rng, fresh, np.full(len(fresh), day), PAID_IN, np.maximum(money.total[fresh] // 3, 10_000))
    )
    spent = np.bincount(everyday.owner, weights=np.maximum(-everyday.signed(), 0), minlength=count)
    left = demand[:count] - np.bincount(bought.owner, weights=bought.cents, minlength=count)
    affordable = (spent <= left)[everyday.owner] | IS_CREDIT[everyday.kind]
    parts.append(Bookings(*(getattr(everyday, f.name)[affordable] for f in fields(Bookings))))
    return together(parts)
