"""Files of the scene partners: their list of members as leads, with phones in clear or hashed, and what members do there."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from simulator.channels.files import Inbox, Shape
from simulator.channels.service import full_names, held_phones
from simulator.world import codes
from simulator.world.bank import Bank
from simulator.world.contacts import PARTNERS
from simulator.world.draws import days, generator, joined, moments, money, numbered, put, taken
from simulator.world.keys import contact_keys

HISTORY_DAYS = 180
EVENTS_A_MONTH = 2.0


def write_partners(bank: Bank, inbox: Inbox) -> None:
    """Write leads and scene events for every night of the plan."""
    for night in range(bank.plan.nights):
        _write_leads(bank, inbox, night)
        _write_events(bank, inbox, night)


def hashed_phones(phones: pa.Array) -> pa.Array:
    """SHA-256 of each phone's digits, in hexadecimal; nothing for nothing."""
    return pa.array(
        [hashlib.sha256(p.encode()).hexdigest() if p else "" for p in phones.to_pylist()], pa.large_string()
    )


def _scene(bank: Bank, rows: np.ndarray) -> np.ndarray:
    records = bank.contacts[PARTNERS]
    return np.where(
        records.has_agent_phone[rows], codes.INSURANCE_SCENE, records.number[rows] * 7 % len(codes.SCENES)
    )


def _write_leads(bank: Bank, inbox: Inbox, night: int) -> None:
    records = bank.contacts[PARTNERS]
    rows = np.flatnonzero(records.since == night)
    hashed, person = records.is_hashed[rows], records.person[rows]
    scene = _scene(bank, rows)
    digest = np.full(len(rows), "", dtype=object)
    digest[hashed] = hashed_phones(held_phones(records.phone[rows][hashed])).to_pylist()
    interest = generator(bank.plan.seed, "lead interest").random(len(records))[rows]
    table = pa.table({
        "线索编号": numbered("LD", records.number[rows], 10),
        "会员号": contact_keys(PARTNERS, records.number[rows]),
        "姓名": put(full_names(bank, person), hashed, ""),
        "手机号": held_phones(records.phone[rows], ~hashed),
        "手机号摘要": pa.array(digest.tolist(), pa.large_string()),
        "场景": taken([s[0] for s in codes.SCENES], scene),
        "意向产品": put(taken(["WEALTH", "LOAN", "CARD"], (interest * 3).astype(np.int64)), interest < 0.3, ""),
        "活动编号": put(numbered("CMP", (interest * 12).astype(np.int64), 3), interest > 0.6, ""),
        "登记日期": days(records.day[rows]),
    })  # fmt: skip
    broken = {"登记日期": "前天"} if len(table) and night == 0 else None
    inbox.csv(
        "partner_leads", bank.plan.business_date(night), "leads.csv", [table], Shape(encoding="gb18030"),
        broken=broken, bad_share=bank.plan.rates.bad_rows,
    )  # fmt: skip


def _write_events(bank: Bank, inbox: Inbox, night: int) -> None:
    plan, records = bank.plan, bank.contacts[PARTNERS]
    here = np.flatnonzero(records.since <= night)
    rng = generator(plan.seed, "scene", night)
    past = max(min(HISTORY_DAYS, plan.first_day - plan.start), 1) if night == 0 else 0
    who = np.repeat(here, rng.poisson(EVENTS_A_MONTH * (past + 1) / 30, len(here)))
    day = plan.first_day + night - (rng.random(len(who)) * (past + 1)).astype(np.int64)
    kept = (day >= records.day[who]) & (bank.lives.dies[records.person[who]] > night)
    who, day = who[kept], day[kept]
    draws = rng.random((len(who), 3))
    action = (draws[:, 0] < 0.6).astype(np.int64)
    lines = joined(
        '{"id":"', numbered(f"S{night:03d}", np.arange(len(who)), 9), '","member":"', contact_keys(PARTNERS, records.number[who]),
        '","scene":"', taken([s[0] for s in codes.SCENES], _scene(bank, who)), '","action":"', taken(["scene_view", "scene_pay"], action),
        '","at":"', moments(day, (7 * 3600 + draws[:, 1] * 15 * 3600).astype(np.int64)), '","amount":"',
        put(money((500 + draws[:, 2] ** 3 * 200_000).astype(np.int64)).cast(pa.large_string()), action == 0, ""), '"}\n',
    )  # fmt: skip
    broken = [('"at":"20', '"at":"2O')] if len(who) else None
    inbox.lines("partner_events", plan.business_date(night), "events.jsonl.gz", [lines], broken=broken)
