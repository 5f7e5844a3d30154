"""Bookings and end-of-day balances: the months before the first night in chunks, then night by night."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from simulator.world.accounts import ACTIVE, MODERATE, MONTHLY_BOOKINGS, Finances, Holdings, Loans
from simulator.world.draws import calendar, generator, weighted_choices
from simulator.world.profiles import CoreRecords

TYPES = ["PURCHASE", "PAYMENT", "TRANSFER", "TRANSFER", "CASH", "CASH", "HOUSEHOLD", "TAX", "CARD_REPAY", "INSURANCE",
         "PAYROLL", "PENSION", "INTEREST", "FEE", "LOAN_REPAY", "PENALTY_INTEREST", "WEALTH_BUY", "WEALTH_REDEEM", "FUND_BUY", "LOAN_PREPAY"]  # fmt: skip
(PURCHASE, PAYMENT, TRANSFER_OUT, TRANSFER_IN, CASH_OUT, CASH_IN, HOUSEHOLD, TAX, CARD_REPAY, INSURANCE, PAYROLL, PENSION, INTEREST, FEE,
 LOAN_REPAY, PENALTY, WEALTH_BUY, WEALTH_REDEEM, FUND_BUY, EARLY_REPAYMENT) = range(len(TYPES))  # fmt: skip
IS_CREDIT = np.isin(np.arange(len(TYPES)), [TRANSFER_IN, CASH_IN, PAYROLL, PENSION, INTEREST, WEALTH_REDEEM])
INITIATORS = ["C", "B", "S"]
INITIATOR = np.array([0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 1, 0, 2, 0, 0])
CHANNELS = ["POS", "APP", "APP", "APP", "ATM", "COUNTER", "APP", "COUNTER", "APP", "BATCH", "BATCH", "BATCH", "BATCH", "BATCH",
            "BATCH", "BATCH", "APP", "BATCH", "APP", "APP"]  # fmt: skip
EARLY_REPAYMENTS_A_MONTH = 1 / 70
LUMP_SUMS_A_MONTH = 0.015  # the price of a house, an inheritance, money from another bank: ten to fifty monthly incomes at once
EVERYDAY_WEIGHTS = [0.45, 0.12, 0.12, 0.12, 0.06, 0.05, 0.055, 0.005, 0.015, 0.005]
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

    def signed_cents(self) -> np.ndarray:
        """Give cents in (+) or out (−)."""
        return np.where(IS_CREDIT[self.kind], self.cents, -self.cents)


def merge_bookings(parts: list[Bookings]) -> Bookings:
    """Give all bookings of several parts, in order of owner, day and time."""
    bookings = Bookings(
        *(np.concatenate([getattr(p, f.name) for p in parts]).astype(np.int64) for f in fields(Bookings))
    )
    # one key instead of four sorts: 26 bits of owner, 15 of day, 17 of second, 5 of kind
    key = (bookings.owner << 37) + (bookings.day << 22) + (bookings.second << 5) + bookings.kind
    order = np.argsort(key, kind="stable")
    return Bookings(*(getattr(bookings, f.name)[order] for f in fields(Bookings)))


def _bookings_at(
    rng: np.random.Generator, owner: np.ndarray, day: np.ndarray, kind: np.ndarray | int, cents: np.ndarray
) -> Bookings:
    is_batch = np.isin(kind, [PAYROLL, PENSION, INTEREST, FEE, LOAN_REPAY, PENALTY, WEALTH_REDEEM])
    second = np.where(
        is_batch, 2 * 3600 + rng.random(len(owner)) * 3600, (7 + 15 * rng.beta(2, 1.8, len(owner))) * 3600
    )
    kinds = np.broadcast_to(np.asarray(kind), owner.shape)
    return Bookings(owner, day, second.astype(np.int64), kinds, np.maximum(cents, 1).astype(np.int64))


def _everyday_bookings(
    rng: np.random.Generator, owner: np.ndarray, day: np.ndarray, income: np.ndarray
) -> Bookings:
    kind = weighted_choices(rng.random(len(owner)), EVERYDAY_WEIGHTS)
    cents = income * MEDIAN[kind] * np.exp(SPREAD[kind] * rng.standard_normal(len(owner)))
    return _bookings_at(rng, owner, day, kind, cents)


def months_between(low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Give first days and lengths of the calendar months from day number `low` to `high`."""
    months = np.arange(
        np.datetime64(low, "D").astype("datetime64[M]"), np.datetime64(high, "D").astype("datetime64[M]") + 1
    )
    firsts = months.astype("datetime64[D]").astype(np.int64)
    return firsts, (months + 1).astype("datetime64[D]").astype(np.int64) - firsts


def _monthly_bookings(
    rng: np.random.Generator,
    owner: np.ndarray,
    date: np.ndarray,
    low: np.ndarray,
    high: int,
    kind: int,
    cents: np.ndarray,
    jitter: float,
) -> Bookings:
    """Give one booking a month on a date (the last day in short months), between `low` of each owner and `high`."""
    firsts, lengths = months_between(int(low.min()) if len(low) else high, high)
    day = firsts[None, :] + np.minimum(date[:, None], lengths[None, :]) - 1
    row, month = np.nonzero((day >= low[:, None]) & (day <= high))
    amount = cents[row] * (1 + jitter * rng.standard_normal(len(row)))
    return _bookings_at(rng, owner[row], day[row, month], kind, amount)


def history_bookings(
    seed: int, chunk: int, rows: slice, core: CoreRecords, finances: Finances, holdings: Holdings, loans: Loans, first_day: int, start: int,
    overdrawn_share: float,
) -> tuple[Bookings, np.ndarray, np.ndarray]:  # fmt: skip
    """Give the bookings of the records `rows` from `start` to the day before `first_day`, with opening and closing balance of each record."""
    rng = generator(seed, "history", chunk)
    owner = np.arange(rows.start, rows.stop)
    low = np.maximum(start, core.opened_on[rows] + 1)
    high = first_day - 1
    span = np.maximum(high - low + 1, 0)
    activity, income = finances.activity[rows], finances.income[rows]
    counts = rng.poisson(MONTHLY_BOOKINGS[activity] * span / 30)
    places = np.repeat(np.arange(len(owner)), counts)
    day = low[places] + (rng.random(len(places)) * span[places]).astype(np.int64)
    parts = [_everyday_bookings(rng, owner[places], day, income[places])]
    parts.append(_lump_sums(rng, owner, low, span, activity, income))
    has_payroll = finances.payday[rows] > 0
    parts.append(
        _monthly_bookings(
            rng,
            owner[has_payroll],
            finances.payday[rows][has_payroll],
            low[has_payroll],
            high,
            PAYROLL,
            income[has_payroll],
            0.06,
        )
    )
    has_pension = finances.has_pension[rows]
    parts.append(
        _monthly_bookings(
            rng,
            owner[has_pension],
            np.full(has_pension.sum(), 15),
            low[has_pension],
            high,
            PENSION,
            income[has_pension] * 0.5,
            0.0,
        )
    )
    quarter = calendar(months_between(start, high)[0])[1] % 3 == 0
    for first in months_between(start, high)[0][quarter]:
        is_due = (low <= first + 20) & (first + 20 <= high)
        parts.append(
            _bookings_at(
                rng,
                owner[is_due],
                np.full(is_due.sum(), first + 20),
                INTEREST,
                finances.demand[rows][is_due] * 0.0005,
            )
        )
    has_fee = (activity <= MODERATE) & (rng.random(len(owner)) < 0.2)
    parts.append(
        _monthly_bookings(
            rng,
            owner[has_fee],
            np.full(has_fee.sum(), 28),
            low[has_fee],
            high,
            FEE,
            np.full(has_fee.sum(), 300),
            0.0,
        )
    )
    parts.extend(_loan_bookings(rng, loans, rows, core, start, high))
    is_here = (holdings.owner >= rows.start) & (holdings.owner < rows.stop) & (holdings.purchase_night < 0)
    is_here &= (holdings.bought_on >= np.maximum(start, core.opened_on[holdings.owner] + 1)) & (
        holdings.kind > 0
    )
    purchase_kinds = np.where(holdings.kind[is_here] == 1, WEALTH_BUY, FUND_BUY)
    parts.append(
        _bookings_at(
            rng, holdings.owner[is_here], holdings.bought_on[is_here], purchase_kinds, holdings.cents[is_here]
        )
    )
    bookings = merge_bookings(parts)
    totals, last_rows = running_totals(bookings.owner, bookings.signed_cents())
    lowest = np.zeros(len(owner), dtype=np.int64)
    np.minimum.at(lowest, bookings.owner - rows.start, totals)
    changes = np.zeros(len(owner), dtype=np.int64)
    changes[bookings.owner[last_rows] - rows.start] = totals[last_rows]
    target = finances.demand[rows]
    opening_balances = np.maximum(target - changes, -lowest + (target * 0.01).astype(np.int64))
    is_overdrawn = (rng.random(len(owner)) < overdrawn_share) & (activity == ACTIVE)
    opening_balances = np.where(
        is_overdrawn, -changes - 5_000 - (rng.random(len(owner)) * 100_000).astype(np.int64), opening_balances
    )
    return bookings, opening_balances, opening_balances + changes


def _loan_bookings(
    rng: np.random.Generator, loans: Loans, rows: slice, core: CoreRecords, start: int, high: int
) -> list[Bookings]:
    is_here = (
        (loans.owner >= rows.start)
        & (loans.owner < rows.stop)
        & np.isin(loans.status, ["active", "defaulted"])
    )
    owner, granted_on, overdue_days = (
        loans.owner[is_here],
        loans.granted_on[is_here],
        loans.overdue_days[is_here],
    )
    low = np.maximum(np.maximum(start, granted_on + 20), core.opened_on[owner] + 1)
    date = calendar(granted_on)[2]
    is_on_time = overdue_days == 0
    is_late = overdue_days > 0
    return [
        _monthly_bookings(rng, owner[is_on_time], date[is_on_time], low[is_on_time], high, LOAN_REPAY, loans.instalment[is_here][is_on_time], 0.0),
        _early_repayments(rng, owner[is_on_time], low[is_on_time], high, loans.instalment[is_here][is_on_time]),
        _monthly_bookings(rng, owner[is_late], date[is_late], np.maximum(low[is_late], high - overdue_days[is_late]), high, PENALTY, loans.instalment[is_here][is_late] * 0.02, 0.0),
    ]  # fmt: skip


def _lump_sums(
    rng: np.random.Generator, owner: np.ndarray, low: np.ndarray, span: np.ndarray, activity: np.ndarray, income: np.ndarray
) -> Bookings:  # fmt: skip
    """Give large sums that come in now and then on active accounts."""
    picks = np.flatnonzero((rng.random(len(owner)) < LUMP_SUMS_A_MONTH * span / 30) & (activity <= MODERATE))
    day = low[picks] + (rng.random(len(picks)) * span[picks]).astype(np.int64)
    return _bookings_at(
        rng, owner[picks], day, TRANSFER_IN, income[picks] * (10 + 40 * rng.random(len(picks)))
    )


def _early_repayments(
    rng: np.random.Generator, owner: np.ndarray, low: np.ndarray, high: int, instalment: np.ndarray
) -> Bookings:
    """Give part repayments of a loan before the due date: one loan in seventy a month has one."""
    span = np.maximum(high - low + 1, 0)
    picks = np.flatnonzero(rng.random(len(owner)) < EARLY_REPAYMENTS_A_MONTH * span / 30)
    day = low[picks] + (rng.random(len(picks)) * span[picks]).astype(np.int64)
    return _bookings_at(rng, owner[picks], day, EARLY_REPAYMENT, instalment[picks] * 5)


def running_totals(group: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the running sum inside each run of equal groups (they must be adjacent), and the index of each run's last entry."""
    if not len(group):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    grand_totals = np.cumsum(amounts)
    first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    earlier_totals = np.r_[0, grand_totals[first[1:] - 1]]
    lengths = np.diff(np.r_[first, len(group)])
    return grand_totals - np.repeat(earlier_totals, lengths), np.r_[first[1:] - 1, len(group) - 1]


def end_of_day_balances(
    bookings: Bookings, opening_balances: np.ndarray, first_owner: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give owner, day and balance at the end of each day with a booking; `opening` is by owner − `first_owner`."""
    totals, _ = running_totals(bookings.owner, bookings.signed_cents())
    is_last = np.ones(len(bookings.owner), dtype=bool)
    is_last[:-1] = (bookings.owner[1:] != bookings.owner[:-1]) | (bookings.day[1:] != bookings.day[:-1])
    return (
        bookings.owner[is_last],
        bookings.day[is_last],
        totals[is_last] + opening_balances[bookings.owner[is_last] - first_owner],
    )


def night_bookings(
    seed: int,
    night: int,
    day: int,
    core: CoreRecords,
    finances: Finances,
    holdings: Holdings,
    purchases: Holdings,
    loans: Loans,
    demand: np.ndarray,
    is_alive: np.ndarray,
) -> Bookings:
    """Give the bookings of one night's day; an owner without the money pays nothing (the bank's own debits stay), the dead book nothing."""
    rng = generator(seed, "night", night)
    count = int((core.first_night <= night).sum())
    date, month = int(calendar(np.array([day]))[2][0]), int(calendar(np.array([day]))[1][0])
    owner = np.arange(count)
    counts = rng.poisson(MONTHLY_BOOKINGS[finances.activity[:count]] / 30) * is_alive[:count]
    places = np.repeat(owner, counts)
    daily_bookings = _everyday_bookings(rng, places, np.full(len(places), day), finances.income[places])
    _, length = months_between(day, day)
    payroll_owners = np.flatnonzero(
        is_alive[:count]
        & (finances.payday[:count] > 0)
        & (np.minimum(finances.payday[:count], length[0]) == date)
    )
    parts = [
        _bookings_at(
            rng, payroll_owners, np.full(len(payroll_owners), day), PAYROLL, finances.income[payroll_owners]
        )
    ]
    if date == 15:
        pensioners = np.flatnonzero(finances.has_pension[:count] & is_alive[:count])
        parts.append(
            _bookings_at(
                rng, pensioners, np.full(len(pensioners), day), PENSION, finances.income[pensioners] * 0.5
            )
        )
    if date == 21 and month % 3 == 0:
        parts.append(
            _bookings_at(rng, owner, np.full(count, day), INTEREST, np.maximum(demand[:count], 0) * 0.0005)
        )
    parts.extend(_loan_bookings(rng, loans, slice(0, count), core, day, day))
    is_due = holdings.matures_on == day - 1
    parts.append(
        _bookings_at(
            rng,
            holdings.owner[is_due],
            np.full(is_due.sum(), day),
            WEALTH_REDEEM,
            holdings.cents[is_due] * 1.01,
        )
    )
    kinds = np.full(len(purchases.owner), WEALTH_BUY)
    parts.append(
        _bookings_at(rng, purchases.owner, np.full(len(purchases.owner), day), kinds, purchases.cents)
    )
    new_owners = np.flatnonzero(core.first_night[:count] == night) if night else np.zeros(0, dtype=np.int64)
    parts.append(
        _bookings_at(
            rng,
            new_owners,
            np.full(len(new_owners), day),
            CASH_IN,
            np.maximum(finances.total[new_owners] // 3, 10_000),
        )
    )
    spending = np.bincount(
        daily_bookings.owner, weights=np.maximum(-daily_bookings.signed_cents(), 0), minlength=count
    )
    remainder = demand[:count] - np.bincount(purchases.owner, weights=purchases.cents, minlength=count)
    is_affordable = (spending <= remainder)[daily_bookings.owner] | IS_CREDIT[daily_bookings.kind]
    parts.append(Bookings(*(getattr(daily_bookings, f.name)[is_affordable] for f in fields(Bookings))))
    return merge_bookings(parts)
