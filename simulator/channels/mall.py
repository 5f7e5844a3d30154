"""Files of the points mall: entries of points, and orders with their lines."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.channels.files import CsvFormat, Inbox
from simulator.channels.service import visible_phones
from simulator.world import codes
from simulator.world.bank import Bank
from simulator.world.contacts import MALL
from simulator.world.draws import (
    amounts,
    days,
    generator,
    join_texts,
    moments,
    numbered_texts,
    replace_where,
    texts_at,
)
from simulator.world.keys import contact_keys, customer_numbers

LIFETIME_DAYS = 365  # points expire after so many days
EARNING, SPENDING, EXPIRY = range(3)
TYPES = ["获取", "消费", "过期"]
ORDERS_A_YEAR = 3.0
GUEST_SHARE = 0.15
RETURN_SHARE = 0.06
WHOLESALE_SHARE = 0.02  # of members: a small shop that buys whole boxes


def write_mall(bank: Bank, inbox: Inbox) -> None:
    """Write points and orders for every night of the plan; the first night has the entries and orders of the past too."""
    entries = _past_entries(bank)
    for night in range(bank.plan.nights):
        _write_points(bank, inbox, night, entries)
        _write_orders(bank, inbox, night)


def _past_entries(bank: Bank) -> dict[str, np.ndarray]:
    """Give the points that members earn before the first night: member, day, points, and how many of them they spend and when."""
    plan, records = bank.plan, bank.contacts[MALL]
    members = np.flatnonzero(records.first_night == 0)
    rng = generator(plan.seed, "points")
    # each member's first entry is the welcome; the others come with purchases
    member = np.concatenate([members, np.repeat(members, rng.poisson(6.0, len(members)))])
    first = plan.first_day
    day = first - 1 - (rng.random(len(member)) * 400).astype(np.int64)
    points = 10 * (1 + (rng.random(len(member)) ** 2 * 200).astype(np.int64))
    is_spending = rng.random(len(member)) < 0.35
    spent_points = np.where(is_spending, (points * rng.random(len(member))).astype(np.int64), 0)
    spent_points = np.where(rng.random(len(member)) < 0.12, points, spent_points)
    is_spender = generator(plan.seed, "spenders").random(len(records)) < 0.04
    spent_points = np.where(is_spender[member], points, spent_points)
    spent_on = day + (rng.random(len(member)) * np.minimum(first - day, LIFETIME_DAYS)).astype(np.int64)
    return {
        "member": member,
        "day": day,
        "points": points,
        "spent_points": spent_points,
        "spent_on": spent_on,
    }


def _write_points(bank: Bank, inbox: Inbox, night: int, entries: dict[str, np.ndarray]) -> None:
    plan, records = bank.plan, bank.contacts[MALL]
    today = plan.first_day + night
    member, remainder = entries["member"], entries["points"] - entries["spent_points"]
    expiry_day = entries["day"] + LIFETIME_DAYS
    parts = []
    if night == 0:
        is_used = entries["spent_points"] > 0
        parts.append((member, entries["day"], entries["points"], EARNING))
        parts.append(
            (member[is_used], entries["spent_on"][is_used], -entries["spent_points"][is_used], SPENDING)
        )
        is_over = (expiry_day <= today) & (remainder > 0)
    else:
        is_over = (expiry_day == today) & (remainder > 0)
        rng = generator(plan.seed, "points", night)
        members = np.flatnonzero(records.first_night <= night)
        is_earning = (rng.random(len(members)) < 0.02) | (records.first_night[members] == night)
        parts.append(
            (
                members[is_earning],
                np.full(is_earning.sum(), today),
                10 + members[is_earning] % 40 * 10,
                EARNING,
            )
        )
    parts.append((member[is_over], expiry_day[is_over], -remainder[is_over], EXPIRY))
    entry_member = np.concatenate([p[0] for p in parts])
    day = np.concatenate([p[1] for p in parts])
    kind = np.concatenate([np.full(len(p[0]), p[3]) for p in parts])
    person = records.person[entry_member]
    table = pa.table({
        "流水号": numbered_texts(f"PE{night:03d}", np.arange(len(entry_member)), 9),
        "会员号": contact_keys(MALL, records.number[entry_member]),
        "客户号": replace_where(customer_numbers(person * 2), ~records.is_bound[entry_member], ""),
        "手机号": visible_phones(records.phone[entry_member]),
        "记账日期": days(day),
        "类型": texts_at(TYPES, kind),
        "积分": pa.array(np.concatenate([p[2] for p in parts])),
        "有效期至": days(day + LIFETIME_DAYS, kind != EARNING),
    })  # fmt: skip
    inbox.write_csv(
        "mall_points", plan.business_date(night), "points.csv", [table], CsvFormat(encoding="gb18030")
    )


def _write_orders(bank: Bank, inbox: Inbox, night: int) -> None:
    plan, records = bank.plan, bank.contacts[MALL]
    rng = generator(plan.seed, "orders", night)
    members = np.flatnonzero(records.first_night <= night)
    past_days = max(min(540, plan.first_day - plan.start), 1) if night == 0 else 0
    order_factor = generator(plan.seed, "liking").random(len(records))[members] * 2
    buyer = np.repeat(
        members, rng.poisson(ORDERS_A_YEAR * order_factor * (past_days + 1) / 365, len(members))
    )
    day = plan.first_day + night - (rng.random(len(buyer)) * (past_days + 1)).astype(np.int64)
    size = 1 + (rng.random(len(buyer)) * 3).astype(np.int64)
    order = np.repeat(np.arange(len(buyer)), size)
    line = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size) + 1
    article = rng.integers(0, len(codes.ARTICLES), len(order))
    is_wholesale = generator(plan.seed, "wholesale").random(len(records))[buyer] < WHOLESALE_SHARE
    quantity = np.where(
        is_wholesale[order], 48 + rng.integers(0, 60, len(order)), rng.integers(1, 4, len(order))
    )
    is_return = rng.random(len(buyer)) < RETURN_SHARE
    quantity = np.where(is_return[order], -quantity, quantity)
    price = np.array([a[3] for a in codes.ARTICLES])[article]
    total = np.bincount(order, weights=quantity * price, minlength=len(buyer)).astype(np.int64)
    is_guest = rng.random(len(buyer)) < GUEST_SHARE
    second = (9 * 3600 + rng.random(len(buyer)) * 12 * 3600).astype(np.int64)
    member_ids = replace_where(contact_keys(MALL, records.number[buyer]), is_guest, "")
    positions = pa.array(order)
    lines = join_texts(
        '{"order_no":"', numbered_texts(f"O{night:03d}", order, 9), '","member":"', member_ids.take(positions), '","at":"', moments(day[order], second[order]),
        '","state":"', texts_at(["completed", "returned"], is_return[order].astype(np.int64)), '","total":"', amounts(total[order]),
        '","line":', pa.array(line), ',"sku":"', texts_at([a[0] for a in codes.ARTICLES], article), '","name":"',
        texts_at([a[1] for a in codes.ARTICLES], article), '","category":"', texts_at([a[2] for a in codes.ARTICLES], article),
        '","qty":', pa.array(quantity), ',"price":"', amounts(price), '","amount":"', amounts(quantity * price), '"}\n',
    )  # fmt: skip
    inbox.write_lines("mall_orders", plan.business_date(night), "order_lines.jsonl.gz", [lines])
