"""Files of the points mall: entries of points, and orders with their lines."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.channels.files import Inbox, Shape
from simulator.channels.service import held_phones
from simulator.world import codes
from simulator.world.bank import Bank
from simulator.world.contacts import MALL
from simulator.world.draws import days, generator, joined, moments, money, numbered, put, taken
from simulator.world.keys import contact_keys, customer_numbers

LASTS = 365  # days until points expire
EARN, SPEND, EXPIRE = range(3)
TYPES = ["获取", "消费", "过期"]
ORDERS_A_YEAR = 3.0
GUESTS = 0.15
RETURNS = 0.06
WHOLESALE = 0.02  # of members: a small shop that buys by the box


def write_mall(bank: Bank, inbox: Inbox) -> None:
    """Write points and orders for every night of the plan; the first brings what happened before."""
    earned = _earned(bank)
    for night in range(bank.plan.nights):
        _write_points(bank, inbox, night, earned)
        _write_orders(bank, inbox, night)


def _earned(bank: Bank) -> dict[str, np.ndarray]:
    """Points earned before the first night: who, day, how many, how many of them were spent and when."""
    plan, records = bank.plan, bank.contacts[MALL]
    old = np.flatnonzero(records.since == 0)
    rng = generator(plan.seed, "points")
    # everybody's first entry is the welcome; the rest come with purchases
    who = np.concatenate([old, np.repeat(old, rng.poisson(6.0, len(old)))])
    first = plan.first_day
    day = first - 1 - (rng.random(len(who)) * 400).astype(np.int64)
    points = 10 * (1 + (rng.random(len(who)) ** 2 * 200).astype(np.int64))
    spends = rng.random(len(who)) < 0.35
    spent = np.where(spends, (points * rng.random(len(who))).astype(np.int64), 0)
    spent = np.where(rng.random(len(who)) < 0.12, points, spent)
    spender = generator(plan.seed, "spenders").random(len(records)) < 0.04
    spent = np.where(spender[who], points, spent)
    spent_on = day + (rng.random(len(who)) * np.minimum(first - day, LASTS)).astype(np.int64)
    return {"who": who, "day": day, "points": points, "spent": spent, "spent_on": spent_on}


def _write_points(bank: Bank, inbox: Inbox, night: int, earned: dict[str, np.ndarray]) -> None:
    plan, records = bank.plan, bank.contacts[MALL]
    today = plan.first_day + night
    who, left = earned["who"], earned["points"] - earned["spent"]
    due = earned["day"] + LASTS
    parts = []
    if night == 0:
        used = earned["spent"] > 0
        parts.append((who, earned["day"], earned["points"], EARN))
        parts.append((who[used], earned["spent_on"][used], -earned["spent"][used], SPEND))
        over = (due <= today) & (left > 0)
    else:
        over = (due == today) & (left > 0)
        rng = generator(plan.seed, "points", night)
        here = np.flatnonzero(records.since <= night)
        gets = (rng.random(len(here)) < 0.02) | (records.since[here] == night)
        parts.append((here[gets], np.full(gets.sum(), today), 10 + here[gets] % 40 * 10, EARN))
    parts.append((who[over], due[over], -left[over], EXPIRE))
    member = np.concatenate([p[0] for p in parts])
    day = np.concatenate([p[1] for p in parts])
    kind = np.concatenate([np.full(len(p[0]), p[3]) for p in parts])
    person = records.person[member]
    table = pa.table({
        "流水号": numbered(f"PE{night:03d}", np.arange(len(member)), 9),
        "会员号": contact_keys(MALL, records.number[member]),
        "客户号": put(customer_numbers(person * 2), ~records.is_bound[member], ""),
        "手机号": held_phones(records.phone[member]),
        "记账日期": days(day),
        "类型": taken(TYPES, kind),
        "积分": pa.array(np.concatenate([p[2] for p in parts])),
        "有效期至": days(day + LASTS, kind != EARN),
    })  # fmt: skip
    inbox.csv("mall_points", plan.business_date(night), "points.csv", [table], Shape(encoding="gb18030"))


def _write_orders(bank: Bank, inbox: Inbox, night: int) -> None:
    plan, records = bank.plan, bank.contacts[MALL]
    rng = generator(plan.seed, "orders", night)
    here = np.flatnonzero(records.since <= night)
    past = max(min(540, plan.first_day - plan.start), 1) if night == 0 else 0
    liking = generator(plan.seed, "liking").random(len(records))[here] * 2
    who = np.repeat(here, rng.poisson(ORDERS_A_YEAR * liking * (past + 1) / 365, len(here)))
    day = plan.first_day + night - (rng.random(len(who)) * (past + 1)).astype(np.int64)
    size = 1 + (rng.random(len(who)) * 3).astype(np.int64)
    order = np.repeat(np.arange(len(who)), size)
    line = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size) + 1
    article = rng.integers(0, len(codes.ARTICLES), len(order))
    wholesale = generator(plan.seed, "wholesale").random(len(records))[who] < WHOLESALE
    quantity = np.where(
        wholesale[order], 48 + rng.integers(0, 60, len(order)), rng.integers(1, 4, len(order))
    )
    back = rng.random(len(who)) < RETURNS
    quantity = np.where(back[order], -quantity, quantity)
    price = np.array([a[3] for a in codes.ARTICLES])[article]
    total = np.bincount(order, weights=quantity * price, minlength=len(who)).astype(np.int64)
    guest = rng.random(len(who)) < GUESTS
    at = (9 * 3600 + rng.random(len(who)) * 12 * 3600).astype(np.int64)
    member = put(contact_keys(MALL, records.number[who]), guest, "")
    take = pa.array(order)
    lines = joined(
        '{"order_no":"', numbered(f"O{night:03d}", order, 9), '","member":"', member.take(take), '","at":"', moments(day[order], at[order]),
        '","state":"', taken(["completed", "returned"], back[order].astype(np.int64)), '","total":"', money(total[order]),
        '","line":', pa.array(line), ',"sku":"', taken([a[0] for a in codes.ARTICLES], article), '","name":"',
        taken([a[1] for a in codes.ARTICLES], article), '","category":"', taken([a[2] for a in codes.ARTICLES], article),
        '","qty":', pa.array(quantity), ',"price":"', money(price), '","amount":"', money(quantity * price), '"}\n',
    )  # fmt: skip
    inbox.lines("mall_orders", plan.business_date(night), "order_lines.jsonl.gz", [lines])
