"""Money files of core banking: the bookings and balances of each night, and every night all holdings, loans and cards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pyarrow as pa

from simulator.channels.files import CsvFormat, Inbox
from simulator.world import accounts, bookings, codes
from simulator.world.bank import Bank
from simulator.world.draws import (
    amounts,
    calendar,
    clock_text,
    compact_days,
    days,
    generator,
    numbered_texts,
    replace_where,
    scatter,
    strings_of,
    texts_at,
)  # fmt: skip
from simulator.world.keys import account_numbers, card_numbers

CHUNK = 40_000  # the history of so many core records is in memory at once
PIPE, SEMICOLON, BARE = CsvFormat("|"), CsvFormat(";"), CsvFormat(has_header=False)


def write_money(bank: Bank, inbox: Inbox) -> None:
    """Write bookings, balances, holdings, loans and cards for every night of the plan; the first night has the months before too."""
    plan = bank.plan
    holdings = accounts.first_holdings(plan.seed, bank.core, bank.finances, plan.first_day)
    demand = _write_history(bank, inbox, holdings)
    for night in range(plan.nights):
        day = plan.first_day + night
        count = int((bank.core.first_night <= night).sum())
        is_alive = bank.lives.death_night[bank.core.person] > night
        purchases = accounts.new_holdings(
            plan.seed, bank.core, bank.finances, night, day, np.where(is_alive, demand, 0)
        )
        holdings = accounts.Holdings(
            *(
                np.concatenate([getattr(holdings, f.name), getattr(purchases, f.name)])
                for f in fields(accounts.Holdings)
            )
        )
        demand = _write_bookings(bank, inbox, night, count, holdings, purchases, demand)
        _write_holdings(bank, inbox, night, holdings)
        _write_loans(bank, inbox, night, count)
        _write_cards(bank, inbox, night, count)


def _write_history(bank: Bank, inbox: Inbox, holdings: accounts.Holdings) -> np.ndarray:
    """Write bookings and balances before the first night, one file a chunk, and give the demand balance of each record."""
    plan, core, finances = bank.plan, bank.core, bank.finances
    demand = np.zeros(len(core.person), dtype=np.int64)
    record_count = int((core.first_night == 0).sum())
    business_date = plan.business_date(0)
    for chunk, low in enumerate(range(0, record_count, CHUNK)):
        rows = slice(low, min(low + CHUNK, record_count))
        past_bookings, opening_balances, closing_balances = bookings.history_bookings(
            plan.seed,
            chunk,
            rows,
            core,
            finances,
            holdings,
            bank.loans,
            plan.first_day,
            plan.start,
            plan.rates.overdrawn,
        )
        demand[rows] = closing_balances
        table = _booking_table(bank, past_bookings, "T", chunk * 10**9)
        inbox.write_csv(
            "core_transactions",
            business_date,
            f"transactions_history_{chunk:03d}.csv.gz",
            [table],
            note="months before the first night",
        )
        parts = _history_balances(bank, rows, holdings, past_bookings, opening_balances)
        inbox.write_csv(
            "core_balances",
            business_date,
            f"balances_history_{chunk:03d}.csv.gz",
            parts,
            BARE,
            note="months before the first night",
        )
    return demand


def _opening_day(bank: Bank, owner: np.ndarray, kind: np.ndarray | int) -> np.ndarray:
    return np.maximum(bank.plan.start - 1, bank.finances.opened_on[owner, kind])


def _history_balances(
    bank: Bank,
    rows: slice,
    holdings: accounts.Holdings,
    past_bookings: bookings.Bookings,
    opening_balances: np.ndarray,
) -> Iterator[pa.Table]:
    core, finances, plan = bank.core, bank.finances, bank.plan
    owner = np.arange(rows.start, rows.stop)
    is_open = finances.opened_on[rows, accounts.SAVINGS] < plan.first_day
    yield _balance_table(
        core.number[owner[is_open]],
        accounts.SAVINGS,
        "DEMAND",
        _opening_day(bank, owner[is_open], accounts.SAVINGS),
        opening_balances[is_open],
    )
    record, day, cents = bookings.end_of_day_balances(past_bookings, opening_balances, rows.start)
    yield _balance_table(core.number[record], accounts.SAVINGS, "DEMAND", day, cents)
    for kind, share in ((accounts.CURRENT, 0.05), (accounts.SOCIAL, 0.01)):
        records = owner[finances.has_account[rows, kind] & (finances.opened_on[rows, kind] < plan.first_day)]
        cents = (finances.demand[records] * share).astype(np.int64)
        yield _balance_table(core.number[records], kind, "DEMAND", _opening_day(bank, records, kind), cents)
    for place, name in enumerate(accounts.CLASSES):
        account = accounts.TIME if place == 0 else accounts.SECURITIES
        is_here = (holdings.owner >= rows.start) & (holdings.owner < rows.stop) & (holdings.kind == place)
        record = holdings.owner[is_here]
        day = np.maximum(holdings.bought_on[is_here], _opening_day(bank, record, account))
        order = np.lexsort((day, record))
        record, day, cents = record[order], day[order], holdings.cents[is_here][order]
        totals, _ = bookings.running_totals(record, cents)
        is_last = np.ones(len(record), dtype=bool)
        is_last[:-1] = (record[1:] != record[:-1]) | (day[1:] != day[:-1])
        yield _balance_table(core.number[record[is_last]], account, name, day[is_last], totals[is_last])


def _balance_table(number: np.ndarray, kind: int, name: str, day: np.ndarray, cents: np.ndarray) -> pa.Table:
    zeros = np.zeros(len(number), dtype=np.int64)
    return pa.table({
        "account_no": account_numbers(number, kind),
        "product_class": texts_at([name], zeros),
        "balance_date": compact_days(day),
        "balance": amounts(cents),
        "currency": texts_at(["CNY"], zeros),
    })  # fmt: skip


def _booking_table(bank: Bank, file_bookings: bookings.Bookings, prefix: str, first_number: int) -> pa.Table:
    count = len(file_bookings.owner)
    number = bank.core.number[file_bookings.owner]
    is_purchase = file_bookings.kind == bookings.PURCHASE
    spread = scatter(np.arange(count) + first_number % 10**9 + file_bookings.cents, 8, 91)
    merchant = np.searchsorted(
        np.cumsum(codes.MERCHANT_WEIGHTS) / sum(codes.MERCHANT_WEIGHTS), spread / 10**8, side="right"
    ).clip(0, 11)
    has_counterparty = np.isin(
        file_bookings.kind, [bookings.TRANSFER_OUT, bookings.TRANSFER_IN, bookings.PAYROLL]
    )
    return pa.table({
        "txn_no": numbered_texts(prefix, np.arange(count) + first_number, 13),
        "account_no": account_numbers(number, accounts.SAVINGS),
        "txn_date": days(file_bookings.day),
        "txn_time": strings_of(clock_text(file_bookings.second)),
        "dc_flag": texts_at(["D", "C"], bookings.IS_CREDIT[file_bookings.kind].astype(np.int64)),
        "amount": amounts(file_bookings.cents),
        "currency": texts_at(["CNY"], np.zeros(count, dtype=np.int64)),
        "txn_code": texts_at(bookings.TYPES, file_bookings.kind),
        "initiator": texts_at(bookings.INITIATORS, bookings.INITIATOR[file_bookings.kind]),
        "channel": texts_at(bookings.CHANNELS, file_bookings.kind),
        "card_no": replace_where(card_numbers(number, 0), ~is_purchase, ""),
        "mcc": replace_where(texts_at([m[0] for m in codes.MERCHANTS], merchant), ~is_purchase, ""),
        "counterparty": replace_where(numbered_texts("6222", spread * 7, 12), ~has_counterparty, ""),
        "reversal": texts_at(["N", "Y"], ((spread % 500 == 0) & is_purchase).astype(np.int64)),
    })  # fmt: skip


def _write_bookings(
    bank: Bank,
    inbox: Inbox,
    night: int,
    count: int,
    holdings: accounts.Holdings,
    purchases: accounts.Holdings,
    demand: np.ndarray,
) -> np.ndarray:
    plan, core, rates = bank.plan, bank.core, bank.plan.rates
    day, business_date = plan.first_day + night, plan.business_date(night)
    is_dead = bank.lives.death_night[core.person] <= night
    night_bookings = bookings.night_bookings(
        plan.seed, night, day, core, bank.finances, holdings, purchases, bank.loans, demand, ~is_dead
    )
    is_late = generator(plan.seed, "late", night).random(len(night_bookings.owner)) < rates.late_rows
    is_late &= (
        (night_bookings.kind < bookings.PAYROLL)
        & (night > 0)
        & (core.first_night[night_bookings.owner] < night)
    )
    file_bookings = bookings.Bookings(
        night_bookings.owner,
        np.where(is_late, day - 1, night_bookings.day),
        night_bookings.second,
        night_bookings.kind,
        night_bookings.cents,
    )
    table = _booking_table(bank, file_bookings, f"N{night:03d}", 0)
    inbox.write_csv(
        "core_transactions", business_date, "transactions.csv.gz", [table.filter(pa.array(~is_late))],
        bad_values={"txn_date": f"{business_date.year}-13-45", "amount": "0.00"}, bad_share=rates.bad_rows, duplicate_share=rates.duplicate_rows,
    )  # fmt: skip
    if is_late.any():
        inbox.write_csv(
            "core_transactions",
            business_date,
            "transactions_late.csv.gz",
            [table.filter(pa.array(is_late))],
            note="bookings of the day before",
        )
    next_demand = demand.copy()
    np.add.at(next_demand, night_bookings.owner, night_bookings.signed_cents())
    booked_records = np.unique(night_bookings.owner)
    tables = [
        _balance_table(
            core.number[booked_records],
            accounts.SAVINGS,
            "DEMAND",
            np.full(len(booked_records), day),
            next_demand[booked_records],
        )
    ]
    is_current = (holdings.matures_on < 0) | (holdings.matures_on >= day)
    for place, name in enumerate(accounts.CLASSES):
        is_changed = (holdings.kind == place) & (
            (holdings.matures_on == day - 1) | (holdings.purchase_night == night)
        )
        owner = np.unique(holdings.owner[is_changed])
        is_in_class = is_current & (holdings.kind == place)
        sums = np.bincount(
            holdings.owner[is_in_class], weights=holdings.cents[is_in_class], minlength=count
        ).astype(np.int64)
        account = accounts.TIME if place == 0 else accounts.SECURITIES
        tables.append(
            _balance_table(core.number[owner], account, name, np.full(len(owner), day), sums[owner])
        )
    inbox.write_csv(
        "core_balances",
        business_date,
        "balances.csv.gz",
        [pa.concat_tables(tables)],
        BARE,
        bad_values={"balance": "-"},
        bad_share=rates.bad_rows,
    )
    return next_demand


def _write_holdings(bank: Bank, inbox: Inbox, night: int, holdings: accounts.Holdings) -> None:
    day = bank.plan.first_day + night
    rows = np.flatnonzero((holdings.matures_on < 0) | (holdings.matures_on >= day - 1))
    is_over = (holdings.matures_on[rows] >= 0) & (holdings.matures_on[rows] < day)
    cents = np.where(is_over, 0, holdings.cents[rows])
    account = np.where(holdings.kind[rows] == 0, accounts.TIME, accounts.SECURITIES)
    table = pa.table({
        "holding_no": numbered_texts("H", holdings.number[rows], 12),
        "account_no": account_numbers(bank.core.number[holdings.owner[rows]], account),
        "product": texts_at([p[0] for p in codes.PRODUCTS], holdings.product[rows]),
        "class": texts_at(accounts.CLASSES, holdings.kind[rows]),
        "quantity": amounts(cents),
        "balance": amounts(cents),
        "currency": texts_at(["CNY"], np.zeros(len(rows), dtype=np.int64)),
        "risk": texts_at([p[3] for p in codes.PRODUCTS], holdings.product[rows]),
        "bought": days(holdings.bought_on[rows]),
        "matures": days(np.maximum(holdings.matures_on[rows], 0), holdings.matures_on[rows] < 0),
        "state": texts_at(["A", "R"], is_over.astype(np.int64)),
    })  # fmt: skip
    inbox.write_csv("core_holdings", bank.plan.business_date(night), "holdings.csv.gz", [table], SEMICOLON)


def _write_loans(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    loans, day = bank.loans, bank.plan.first_day + night
    rows = loans.owner < count
    owner, status = loans.owner[rows], loans.status[rows]
    granted_on, term, principal = loans.granted_on[rows], loans.term[rows], loans.principal[rows]
    months_so_far = np.minimum((day - granted_on) // 30, term)
    is_running = np.isin(status, ["active", "defaulted"])
    outstanding_cents = np.where(is_running, principal - principal // term * months_so_far, 0)
    overdue_days = np.where(loans.overdue_days[rows] > 0, loans.overdue_days[rows] + night, 0)
    is_paid_out = np.isin(status, ["active", "defaulted", "paid_off"])
    table = pa.table({
        "loan_no": numbered_texts("L", bank.core.number[owner], 10),
        "account_no": account_numbers(bank.core.number[owner], accounts.LOAN),
        "product": texts_at(["LN001", "LN002"], loans.is_home_loan[rows].astype(np.int64)),
        "principal": amounts(principal),
        "outstanding": amounts(outstanding_cents),
        "currency": texts_at(["CNY"], np.zeros(len(owner), dtype=np.int64)),
        "granted": days(granted_on, ~is_paid_out),
        "matures": days(granted_on + term * 30, ~is_paid_out),
        "term_months": pa.array(term),
        "instalment": amounts(loans.instalment[rows]),
        "last_due": days(granted_on + months_so_far * 30, ~is_running),
        "dpd": pa.array(overdue_days),
        "late_12m": pa.array(np.minimum(overdue_days // 30 + (overdue_days > 0), 12)),
        "class": texts_at(["N", "S", "SS", "D", "L"], accounts.five_class_grades(overdue_days)),
        "status": pa.array(status.astype(str).tolist(), pa.large_string()),
    })  # fmt: skip
    inbox.write_csv("core_loans", bank.plan.business_date(night), "loans.csv", [table])


def _write_cards(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    core, finances, rates = bank.core, bank.finances, bank.plan.rates
    draws = generator(bank.plan.seed, "cards").random((len(core.person), 8))[:count]
    day = bank.plan.first_day + night
    _, _, date = calendar(np.array([day]))
    statement = day - ((date[0] - 5) % 31)
    tables = []
    for kind, account in enumerate((accounts.SAVINGS, accounts.CARD)):
        owner = np.flatnonzero(finances.has_account[:count, account] & ((draws[:, 0] < 0.85) | (kind == 1)))
        card_draws = draws[owner]
        opened_on = np.minimum(finances.opened_on[owner, account], bank.plan.first_day - 1 + night)
        weights = np.cumsum([0.62, 0.12, 0.05, 0.13, 0.05, 0.015, 0.015])
        state = np.searchsorted(weights, card_draws[:, 1], side="right").clip(0, 6)
        state = _states_of_night(state, card_draws[:, 7], night)
        is_credit = np.full(len(owner), kind == 1)
        limit_cents = (
            np.maximum(finances.income[owner] * (1 + 4 * card_draws[:, 2]), 200_000).astype(np.int64)
            // 100_000
            * 100_000
        )
        used_cents = (
            limit_cents
            * np.where(card_draws[:, 3] < 0.05, 1.02, card_draws[:, 3] * 0.7)
            * np.isin(state, [0, 1])
        ).astype(np.int64)
        overdue_days = np.where(
            is_credit & (card_draws[:, 4] < rates.overdue) & (used_cents > 0),
            1 + (card_draws[:, 5] ** 2 * 200).astype(np.int64) + night,
            0,
        )
        is_pending = state >= 5
        has_wallet = (state <= 1) & (card_draws[:, 6] > 0.45)
        table = pa.table({
            "card_no": card_numbers(core.number[owner], kind),
            "account_no": account_numbers(core.number[owner], account),
            "cust_no": bank.customer_numbers.take(pa.array(owner)),
            "kind": texts_at(["D", "C"], is_credit.astype(np.int64)),
            "product": texts_at(["CD001", "CC001", "CC002"], np.where(is_credit, 1 + (limit_cents > 5_000_000), 0)),
            "status": texts_at(["ACTIVE", "BOUND", "ACTIVATED", "SLEEPING", "CANCELLED", "APPLIED", "APPROVED"], state),
            "limit_amount": _amounts_unless(limit_cents, ~is_credit),
            "used_amount": _amounts_unless(used_cents, ~is_credit),
            "currency": texts_at(["CNY"], np.zeros(len(owner), dtype=np.int64)),
            "dpd": pa.array(overdue_days, mask=~is_credit),
            "late_12m": pa.array(np.minimum(overdue_days // 30 + (overdue_days > 0), 12), mask=~is_credit),
            "class": replace_where(texts_at(["N", "S", "SS", "D", "L"], accounts.five_class_grades(overdue_days)), ~is_credit, ""),
            "applied": days(opened_on),
            "issued": days(opened_on, is_pending),
            "activated": days(opened_on, is_pending | (card_draws[:, 6] < 0.03)),
            "cancelled": days(np.maximum(opened_on, bank.plan.first_day - 30), state != 4),
            "statement_date": days(np.full(len(owner), statement), ~is_credit | is_pending),
            "wallet": replace_where(texts_at(["ALIPAY", "WECHATPAY"], (card_draws[:, 6] > 0.7).astype(np.int64)), ~has_wallet, ""),
            "wallet_since": days(np.maximum(opened_on, bank.plan.first_day - (card_draws[:, 7] * 400).astype(np.int64)), ~has_wallet),
        })  # fmt: skip
        tables.append(table)
    inbox.write_csv(
        "core_cards", bank.plan.business_date(night), "cards.csv.gz", [pa.concat_tables(tables)], PIPE
    )


def _states_of_night(state: np.ndarray, draw: np.ndarray, night: int) -> np.ndarray:
    """Give the card states on a night: a card goes from applied to approved, activated, bound and active; a step takes a night or more."""
    # the states are ACTIVE, BOUND, ACTIVATED, SLEEPING, CANCELLED, APPLIED, APPROVED
    next_state = np.array([0, 0, 1, 3, 4, 6, 2])
    for earlier_night in range(1, night + 1):
        is_moving = ((draw * 9_973 + earlier_night * 0.618) % 1) < 0.15
        state = np.where(is_moving, next_state[state], state)
    return state


def _amounts_unless(cents: np.ndarray, is_missing: np.ndarray) -> pa.Array:
    return replace_where(amounts(cents).cast(pa.large_string()), is_missing, "")
