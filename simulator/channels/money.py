"""Money files of core banking: bookings and balances as facts, holdings, loans and cards whole every night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pyarrow as pa

from simulator.channels.files import Inbox, Shape
from simulator.world import accounts as acc
from simulator.world import bookings as bk
from simulator.world import codes
from simulator.world.bank import Bank
from simulator.world.draws import (
    calendar,
    clock_text,
    compact_days,
    days,
    generator,
    money,
    numbered,
    put,
    scattered,
    strings_of,
    taken,
)  # fmt: skip
from simulator.world.keys import account_numbers, card_numbers

CHUNK = 40_000  # core records whose history stands in memory at once
PIPE, SEMICOLON, BARE = Shape("|"), Shape(";"), Shape(header=False)


def write_money(bank: Bank, inbox: Inbox) -> None:
    """Write bookings, balances, holdings, loans and cards for every night of the plan, the months before with the first."""
    plan = bank.plan
    holdings = acc.first_holdings(plan.seed, bank.core, bank.money, plan.first_day)
    demand = _write_history(bank, inbox, holdings)
    for night in range(plan.nights):
        day = plan.first_day + night
        count = int((bank.core.since <= night).sum())
        alive = bank.lives.dies[bank.core.person] > night
        bought = acc.bought_holdings(plan.seed, bank.core, bank.money, night, day, np.where(alive, demand, 0))
        holdings = acc.Holdings(
            *(
                np.concatenate([getattr(holdings, f.name), getattr(bought, f.name)])
                for f in fields(acc.Holdings)
            )
        )
        demand = _write_bookings(bank, inbox, night, count, holdings, bought, demand)
        _write_holdings(bank, inbox, night, holdings)
        _write_loans(bank, inbox, night, count)
        _write_cards(bank, inbox, night, count)


def _write_history(bank: Bank, inbox: Inbox, holdings: acc.Holdings) -> np.ndarray:
    """Bookings and balances before the first night, a file a chunk; gives the demand balance of each record."""
    plan, core, living = bank.plan, bank.core, bank.money
    demand = np.zeros(len(core.person), dtype=np.int64)
    base = int((core.since == 0).sum())
    on = plan.business_date(0)
    for chunk, low in enumerate(range(0, base, CHUNK)):
        rows = slice(low, min(low + CHUNK, base))
        booked, opening, closing = bk.history(
            plan.seed,
            chunk,
            rows,
            core,
            living,
            holdings,
            bank.loans,
            plan.first_day,
            plan.start,
            plan.rates.overdrawn,
        )
        demand[rows] = closing
        table = _booking_table(bank, booked, "T", chunk * 10**9)
        inbox.csv(
            "core_transactions",
            on,
            f"transactions_history_{chunk:03d}.csv.gz",
            [table],
            note="months before the first night",
        )
        parts = _history_balances(bank, rows, holdings, booked, opening)
        inbox.csv(
            "core_balances",
            on,
            f"balances_history_{chunk:03d}.csv.gz",
            parts,
            BARE,
            note="months before the first night",
        )
    return demand


def _opening_day(bank: Bank, owner: np.ndarray, kind: np.ndarray | int) -> np.ndarray:
    return np.maximum(bank.plan.start - 1, bank.money.opened[owner, kind])


def _history_balances(
    bank: Bank, rows: slice, holdings: acc.Holdings, booked: bk.Bookings, opening: np.ndarray
) -> Iterator[pa.Table]:
    core, living, plan = bank.core, bank.money, bank.plan
    owner = np.arange(rows.start, rows.stop)
    known = living.opened[rows, acc.SAVINGS] < plan.first_day
    yield _balance_table(
        core.number[owner[known]],
        acc.SAVINGS,
        "DEMAND",
        _opening_day(bank, owner[known], acc.SAVINGS),
        opening[known],
    )
    who, day, cents = bk.ends_of_day(booked, opening, rows.start)
    yield _balance_table(core.number[who], acc.SAVINGS, "DEMAND", day, cents)
    for kind, share in ((acc.CURRENT, 0.05), (acc.SOCIAL, 0.01)):
        quiet = owner[living.has[rows, kind] & (living.opened[rows, kind] < plan.first_day)]
        cents = (living.demand[quiet] * share).astype(np.int64)
        yield _balance_table(core.number[quiet], kind, "DEMAND", _opening_day(bank, quiet, kind), cents)
    for place, name in enumerate(acc.CLASSES):
        account = acc.TIME if place == 0 else acc.SECURITIES
        mine = (holdings.owner >= rows.start) & (holdings.owner < rows.stop) & (holdings.kind == place)
        who = holdings.owner[mine]
        day = np.maximum(holdings.bought[mine], _opening_day(bank, who, account))
        order = np.lexsort((day, who))
        who, day, cents = who[order], day[order], holdings.cents[mine][order]
        running, _ = bk.running_totals(who, cents)
        last = np.ones(len(who), dtype=bool)
        last[:-1] = (who[1:] != who[:-1]) | (day[1:] != day[:-1])
        yield _balance_table(core.number[who[last]], account, name, day[last], running[last])


def _balance_table(number: np.ndarray, kind: int, name: str, day: np.ndarray, cents: np.ndarray) -> pa.Table:
    same = np.zeros(len(number), dtype=np.int64)
    return pa.table({
        "account_no": account_numbers(number, kind),
        "product_class": taken([name], same),
        "balance_date": compact_days(day),
        "balance": money(cents),
        "currency": taken(["CNY"], same),
    })  # fmt: skip


def _booking_table(bank: Bank, booked: bk.Bookings, prefix: str, first_number: int) -> pa.Table:
    count = len(booked.owner)
    number = bank.core.number[booked.owner]
    bought = booked.kind == bk.PURCHASE
    spread = scattered(np.arange(count) + first_number % 10**9 + booked.cents, 8, 91)
    merchant = np.searchsorted(
        np.cumsum(codes.MERCHANT_WEIGHTS) / sum(codes.MERCHANT_WEIGHTS), spread / 10**8, side="right"
    ).clip(0, 11)
    other = np.isin(booked.kind, [bk.SENT, bk.RECEIVED, bk.PAYROLL])
    return pa.table({
        "txn_no": numbered(prefix, np.arange(count) + first_number, 13),
        "account_no": account_numbers(number, acc.SAVINGS),
        "txn_date": days(booked.day),
        "txn_time": strings_of(clock_text(booked.second)),
        "dc_flag": taken(["D", "C"], bk.IS_CREDIT[booked.kind].astype(np.int64)),
        "amount": money(booked.cents),
        "currency": taken(["CNY"], np.zeros(count, dtype=np.int64)),
        "txn_code": taken(bk.TYPES, booked.kind),
        "initiator": taken(bk.INITIATORS, bk.INITIATOR[booked.kind]),
        "channel": taken(bk.CHANNELS, booked.kind),
        "card_no": put(card_numbers(number, 0), ~bought, ""),
        "mcc": put(taken([m[0] for m in codes.MERCHANTS], merchant), ~bought, ""),
        "counterparty": put(numbered("6222", spread * 7, 12), ~other, ""),
        "reversal": taken(["N", "Y"], ((spread % 500 == 0) & bought).astype(np.int64)),
    })  # fmt: skip


def _write_bookings(
    bank: Bank,
    inbox: Inbox,
    night: int,
    count: int,
    holdings: acc.Holdings,
    bought: acc.Holdings,
    demand: np.ndarray,
) -> np.ndarray:
    plan, core, rates = bank.plan, bank.core, bank.plan.rates
    day, on = plan.first_day + night, plan.business_date(night)
    dead = bank.lives.dies[core.person] <= night
    booked = bk.night_bookings(
        plan.seed, night, day, core, bank.money, holdings, bought, bank.loans, demand, ~dead
    )
    late = generator(plan.seed, "late", night).random(len(booked.owner)) < rates.late_rows
    late &= (booked.kind < bk.PAYROLL) & (night > 0) & (core.since[booked.owner] < night)
    shown = bk.Bookings(
        booked.owner, np.where(late, day - 1, booked.day), booked.second, booked.kind, booked.cents
    )
    table = _booking_table(bank, shown, f"N{night:03d}", 0)
    inbox.csv(
        "core_transactions", on, "transactions.csv.gz", [table.filter(pa.array(~late))],
        broken={"txn_date": f"{on.year}-13-45", "amount": "0.00"}, bad_share=rates.bad_rows, duplicate_share=rates.duplicate_rows,
    )  # fmt: skip
    if late.any():
        inbox.csv(
            "core_transactions",
            on,
            "transactions_late.csv.gz",
            [table.filter(pa.array(late))],
            note="bookings of the day before",
        )
    after = demand.copy()
    np.add.at(after, booked.owner, booked.signed())
    moved = np.unique(booked.owner)
    tables = [
        _balance_table(core.number[moved], acc.SAVINGS, "DEMAND", np.full(len(moved), day), after[moved])
    ]
    held = (holdings.matures < 0) | (holdings.matures >= day)
    for place, name in enumerate(acc.CLASSES):
        touched = (holdings.kind == place) & ((holdings.matures == day - 1) | (holdings.night == night))
        owner = np.unique(holdings.owner[touched])
        mine = held & (holdings.kind == place)
        sums = np.bincount(holdings.owner[mine], weights=holdings.cents[mine], minlength=count).astype(
            np.int64
        )
        account = acc.TIME if place == 0 else acc.SECURITIES
        tables.append(
            _balance_table(core.number[owner], account, name, np.full(len(owner), day), sums[owner])
        )
    inbox.csv(
        "core_balances",
        on,
        "balances.csv.gz",
        [pa.concat_tables(tables)],
        BARE,
        broken={"balance": "-"},
        bad_share=rates.bad_rows,
    )
    return after


def _write_holdings(bank: Bank, inbox: Inbox, night: int, holdings: acc.Holdings) -> None:
    day = bank.plan.first_day + night
    rows = np.flatnonzero((holdings.matures < 0) | (holdings.matures >= day - 1))
    ended = (holdings.matures[rows] >= 0) & (holdings.matures[rows] < day)
    cents = np.where(ended, 0, holdings.cents[rows])
    account = np.where(holdings.kind[rows] == 0, acc.TIME, acc.SECURITIES)
    table = pa.table({
        "holding_no": numbered("H", holdings.number[rows], 12),
        "account_no": account_numbers(bank.core.number[holdings.owner[rows]], account),
        "product": taken([p[0] for p in codes.PRODUCTS], holdings.product[rows]),
        "class": taken(acc.CLASSES, holdings.kind[rows]),
        "quantity": money(cents),
        "balance": money(cents),
        "currency": taken(["CNY"], np.zeros(len(rows), dtype=np.int64)),
        "risk": taken([p[3] for p in codes.PRODUCTS], holdings.product[rows]),
        "bought": days(holdings.bought[rows]),
        "matures": days(np.maximum(holdings.matures[rows], 0), holdings.matures[rows] < 0),
        "state": taken(["A", "R"], ended.astype(np.int64)),
    })  # fmt: skip
    inbox.csv("core_holdings", bank.plan.business_date(night), "holdings.csv.gz", [table], SEMICOLON)


def _write_loans(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    loans, day = bank.loans, bank.plan.first_day + night
    rows = loans.owner < count
    owner, status = loans.owner[rows], loans.status[rows]
    granted, term, principal = loans.granted[rows], loans.term[rows], loans.principal[rows]
    elapsed = np.minimum((day - granted) // 30, term)
    running = np.isin(status, ["active", "defaulted"])
    outstanding = np.where(running, principal - principal // term * elapsed, 0)
    overdue = np.where(loans.overdue[rows] > 0, loans.overdue[rows] + night, 0)
    given = np.isin(status, ["active", "defaulted", "paid_off"])
    table = pa.table({
        "loan_no": numbered("L", bank.core.number[owner], 10),
        "account_no": account_numbers(bank.core.number[owner], acc.LOAN),
        "product": taken(["LN001", "LN002"], loans.is_home[rows].astype(np.int64)),
        "principal": money(principal),
        "outstanding": money(outstanding),
        "currency": taken(["CNY"], np.zeros(len(owner), dtype=np.int64)),
        "granted": days(granted, ~given),
        "matures": days(granted + term * 30, ~given),
        "term_months": pa.array(term),
        "instalment": money(loans.instalment[rows]),
        "last_due": days(granted + elapsed * 30, ~running),
        "dpd": pa.array(overdue),
        "late_12m": pa.array(np.minimum(overdue // 30 + (overdue > 0), 12)),
        "class": taken(["N", "S", "SS", "D", "L"], acc.five_class(overdue)),
        "status": pa.array(status.astype(str).tolist(), pa.large_string()),
    })  # fmt: skip
    inbox.csv("core_loans", bank.plan.business_date(night), "loans.csv", [table])


def _write_cards(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    core, living, rates = bank.core, bank.money, bank.plan.rates
    draws = generator(bank.plan.seed, "cards").random((len(core.person), 8))[:count]
    day = bank.plan.first_day + night
    _, _, date = calendar(np.array([day]))
    statement = day - ((date[0] - 5) % 31)
    tables = []
    for kind, account in enumerate((acc.SAVINGS, acc.CARD)):
        owner = np.flatnonzero(living.has[:count, account] & ((draws[:, 0] < 0.85) | (kind == 1)))
        d = draws[owner]
        opened = np.minimum(living.opened[owner, account], bank.plan.first_day - 1 + night)
        weights = np.cumsum([0.62, 0.12, 0.05, 0.13, 0.05, 0.015, 0.015])
        state = np.searchsorted(weights, d[:, 1], side="right").clip(0, 6)
        state = _ripened(state, d[:, 7], night)
        credit = np.full(len(owner), kind == 1)
        limit = (
            np.maximum(living.income[owner] * (1 + 4 * d[:, 2]), 200_000).astype(np.int64)
            // 100_000
            * 100_000
        )
        used = (limit * np.where(d[:, 3] < 0.05, 1.02, d[:, 3] * 0.7) * np.isin(state, [0, 1])).astype(
            np.int64
        )
        overdue = np.where(
            credit & (d[:, 4] < rates.overdue) & (used > 0),
            1 + (d[:, 5] ** 2 * 200).astype(np.int64) + night,
            0,
        )
        pending = state >= 5
        wallet = (state <= 1) & (d[:, 6] > 0.45)
        table = pa.table({
            "card_no": card_numbers(core.number[owner], kind),
            "account_no": account_numbers(core.number[owner], account),
            "cust_no": bank.customer_numbers.take(pa.array(owner)),
            "kind": taken(["D", "C"], credit.astype(np.int64)),
            "product": taken(["CD001", "CC001", "CC002"], np.where(credit, 1 + (limit > 5_000_000), 0)),
            "status": taken(["ACTIVE", "BOUND", "ACTIVATED", "SLEEPING", "CANCELLED", "APPLIED", "APPROVED"], state),
            "limit_amount": _blank_money(limit, ~credit),
            "used_amount": _blank_money(used, ~credit),
            "currency": taken(["CNY"], np.zeros(len(owner), dtype=np.int64)),
            "dpd": pa.array(overdue, mask=~credit),
            "late_12m": pa.array(np.minimum(overdue // 30 + (overdue > 0), 12), mask=~credit),
            "class": put(taken(["N", "S", "SS", "D", "L"], acc.five_class(overdue)), ~credit, ""),
            "applied": days(opened),
            "issued": days(opened, pending),
            "activated": days(opened, pending | (d[:, 6] < 0.03)),
            "cancelled": days(np.maximum(opened, bank.plan.first_day - 30), state != 4),
            "statement_date": days(np.full(len(owner), statement), ~credit | pending),
            "wallet": put(taken(["ALIPAY", "WECHATPAY"], (d[:, 6] > 0.7).astype(np.int64)), ~wallet, ""),
            "wallet_since": days(np.maximum(opened, bank.plan.first_day - (d[:, 7] * 400).astype(np.int64)), ~wallet),
        })  # fmt: skip
        tables.append(table)
    inbox.csv("core_cards", bank.plan.business_date(night), "cards.csv.gz", [pa.concat_tables(tables)], PIPE)


def _ripened(state: np.ndarray, draw: np.ndarray, night: int) -> np.ndarray:
    """Cards on their way, some nights later: applied for, approved, activated, bound, active; each step takes a night or more."""
    way = np.array([0, 1, 2, 3, 4, 5, 6])  # ACTIVE, BOUND, ACTIVATED, SLEEPING, CANCELLED, APPLIED, APPROVED
    after = np.array([0, 0, 1, 3, 4, 6, 2])
    for past in range(1, night + 1):
        moves = ((draw * 9_973 + past * 0.618) % 1) < 0.15
        state = np.where(moves, after[state], way[state])
    return state


def _blank_money(cents: np.ndarray, missing: np.ndarray) -> pa.Array:
    return put(money(cents).cast(pa.large_string()), missing, "")
