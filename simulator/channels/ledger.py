"""The profitability ledger of core banking, and the marketing plan: campaigns, offers and approved texts."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pyarrow as pa

from simulator.channels.files import CsvFormat, Inbox
from simulator.world import codes
from simulator.world.accounts import CARD, LOAN, SAVINGS, SECURITIES
from simulator.world.bank import Bank
from simulator.world.bookings import months_between
from simulator.world.draws import amounts, calendar, days, generator, numbered_texts, texts_at
from simulator.world.keys import account_numbers

PIPE = CsvFormat("|")
MONTHLY_MARGIN, MONTHLY_COST = 0.012 / 12, 210  # of the target balance; cents a record
OFFERS = [
    ("OF001", "WM090", "R2", "加息0.2%", 20),
    ("OF002", "CC001", None, "首刷立减50元", 50),
    ("OF003", None, None, "100积分", 1),
]


def write_ledger(bank: Bank, inbox: Inbox) -> None:
    """Write the ledger month by month before the first night and then night by night; and the marketing plan."""
    plan = bank.plan
    for night in range(plan.nights):
        day = plan.first_day + night
        low = plan.start if night == 0 else day
        firsts, lengths = months_between(low, day)
        ends = [int(e) for e in firsts + lengths - 1 if low <= e <= day]
        if ends:
            tables = (_ledger_of_month(bank, end, night) for end in ends)
            inbox.write_csv("core_ledger", plan.business_date(night), "ledger.csv.gz", tables, PIPE)
        _write_plan(bank, inbox, night)


def _ledger_of_month(bank: Bank, end: int, night: int) -> pa.Table:
    """Give margin, fees and cost of every record that has its account at the end of the month."""
    core, finances = bank.core, bank.finances
    records = np.flatnonzero((core.first_night <= night) & (core.opened_on <= end))
    year, month, _ = calendar(np.array([end]))
    stamp = int(year[0]) % 100 * 100 + int(month[0])
    noise = 0.8 + 0.4 * generator(bank.plan.seed, "ledger", stamp).random(len(core.person))[records]
    parts = []
    for account, kind_index, cents in (
        (SAVINGS, 0, (finances.demand[records] * MONTHLY_MARGIN * noise).astype(np.int64)),
        (SECURITIES, 1, ((finances.total - finances.demand)[records] * 0.004 / 12 * noise).astype(np.int64)),
        (LOAN, 0, (finances.income[records] * 0.05 * noise).astype(np.int64)),
        (CARD, 1, (finances.income[records] * 0.006 * noise).astype(np.int64)),
        (SAVINGS, 2, (MONTHLY_COST * noise).astype(np.int64)),
    ):
        rows = np.flatnonzero(
            finances.has_account[records, account]
            & (cents > 0)
            & (finances.opened_on[records, account] <= end)
        )
        parts.append((records[rows], account, kind_index, cents[rows]))
    owner = np.concatenate([p[0] for p in parts])
    kind = np.concatenate([np.full(len(p[0]), p[1]) for p in parts])
    entry_kind = np.concatenate([np.full(len(p[0]), p[2]) for p in parts])
    zeros = np.zeros(len(owner), dtype=np.int64)
    return pa.table({
        "entry_no": numbered_texts(f"LG{stamp:04d}", core.number[owner] * 64 + kind * 8 + entry_kind, 12),
        "account_no": account_numbers(core.number[owner], kind),
        "booked": days(np.full(len(owner), end)),
        "kind": texts_at(["FTP_MARGIN", "FEE", "COST"], entry_kind),
        "amount": amounts(np.concatenate([p[3] for p in parts])),
        "currency": texts_at(["CNY"], zeros),
    })  # fmt: skip


def _write_plan(bank: Bank, inbox: Inbox, night: int) -> None:
    first = bank.plan.first
    lines: list[dict[str, str | int | None]] = []
    for number, (key, name, channel, days_before, length) in enumerate(codes.CAMPAIGNS):
        start = first - timedelta(days=days_before)
        lines.append(
            {
                "kind": "campaign",
                "id": key,
                "name": name,
                "channel": channel,
                "from": f"{start}",
                "to": f"{start + timedelta(days=length)}",
            }
        )
        lines.append({
            "kind": "content", "id": f"T{key[3:]}", "version": 1, "channel": channel, "template": f"tpl_{number:03d}",
            "text": f"尊敬的客户，{name}。回T退订", "from": f"{start - timedelta(days=7)}", "to": f"{start + timedelta(days=length)}",
        })  # fmt: skip
    for key, product, risk, benefit, cost in OFFERS:
        lines.append({
            "kind": "offer", "id": key, "version": 1, "product": product, "risk": risk, "name": benefit, "cost": f"{cost}.00",
            "stock": 5000, "from": f"{first - timedelta(days=90)}", "to": f"{first + timedelta(days=90)}",
        })  # fmt: skip
    text = pa.array([json.dumps(line, ensure_ascii=False) + "\n" for line in lines], pa.large_string())
    inbox.write_lines("marketing_plans", bank.plan.business_date(night), "plans.jsonl", [text])
