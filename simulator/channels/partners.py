"""Files of the scene partners: their list of members as leads, with clear phones or hashes, and what members do there."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from simulator.channels.files import CsvFormat, Inbox
from simulator.channels.service import full_names, visible_phones
from simulator.world import codes
from simulator.world.bank import Bank
from simulator.world.contacts import PARTNERS
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
from simulator.world.keys import contact_keys

HISTORY_DAYS = 180
EVENTS_A_MONTH = 2.0


def write_partners(bank: Bank, inbox: Inbox) -> None:
    """Write leads and scene events for every night of the plan."""
    for night in range(bank.plan.nights):
        _write_leads(bank, inbox, night)
        _write_events(bank, inbox, night)


def phone_hashes(phones: pa.Array) -> pa.Array:
    """Give the SHA-256 of each phone's digits in hexadecimal; an empty text stays empty."""
    return pa.array(
        [hashlib.sha256(p.encode()).hexdigest() if p else "" for p in phones.to_pylist()], pa.large_string()
    )


def _scenes(bank: Bank, rows: np.ndarray) -> np.ndarray:
    records = bank.contacts[PARTNERS]
    return np.where(
        records.has_agent_phone[rows], codes.INSURANCE_SCENE, records.number[rows] * 7 % len(codes.SCENES)
    )


def _write_leads(bank: Bank, inbox: Inbox, night: int) -> None:
    records = bank.contacts[PARTNERS]
    rows = np.flatnonzero(records.first_night == night)
    is_hashed, person = records.is_hashed[rows], records.person[rows]
    scene = _scenes(bank, rows)
    digest = np.full(len(rows), "", dtype=object)
    digest[is_hashed] = phone_hashes(visible_phones(records.phone[rows][is_hashed])).to_pylist()
    interest = generator(bank.plan.seed, "lead interest").random(len(records))[rows]
    table = pa.table({
        "线索编号": numbered_texts("LD", records.number[rows], 10),
        "会员号": contact_keys(PARTNERS, records.number[rows]),
        "姓名": replace_where(full_names(bank, person), is_hashed, ""),
        "手机号": visible_phones(records.phone[rows], ~is_hashed),
        "手机号摘要": pa.array(digest.tolist(), pa.large_string()),
        "场景": texts_at([s[0] for s in codes.SCENES], scene),
        "意向产品": replace_where(texts_at(["WEALTH", "LOAN", "CARD"], (interest * 3).astype(np.int64)), interest < 0.3, ""),
        "活动编号": replace_where(numbered_texts("CMP", (interest * 12).astype(np.int64), 3), interest > 0.6, ""),
        "登记日期": days(records.created_on[rows]),
    })  # fmt: skip
    bad_values = {"登记日期": "前天"} if len(table) and night == 0 else None
    inbox.write_csv(
        "partner_leads", bank.plan.business_date(night), "leads.csv", [table], CsvFormat(encoding="gb18030"),
        bad_values=bad_values, bad_share=bank.plan.rates.bad_rows,
    )  # fmt: skip


def _write_events(bank: Bank, inbox: Inbox, night: int) -> None:
    plan, records = bank.plan, bank.contacts[PARTNERS]
    members = np.flatnonzero(records.first_night <= night)
    rng = generator(plan.seed, "scene", night)
    past_days = max(min(HISTORY_DAYS, plan.first_day - plan.start), 1) if night == 0 else 0
    member = np.repeat(members, rng.poisson(EVENTS_A_MONTH * (past_days + 1) / 30, len(members)))
    day = plan.first_day + night - (rng.random(len(member)) * (past_days + 1)).astype(np.int64)
    is_possible = (day >= records.created_on[member]) & (
        bank.lives.death_night[records.person[member]] > night
    )
    member, day = member[is_possible], day[is_possible]
    draws = rng.random((len(member), 3))
    action = (draws[:, 0] < 0.6).astype(np.int64)
    lines = join_texts(
        '{"id":"', numbered_texts(f"S{night:03d}", np.arange(len(member)), 9), '","member":"', contact_keys(PARTNERS, records.number[member]),
        '","scene":"', texts_at([s[0] for s in codes.SCENES], _scenes(bank, member)), '","action":"', texts_at(["scene_view", "scene_pay"], action),
        '","at":"', moments(day, (7 * 3600 + draws[:, 1] * 15 * 3600).astype(np.int64)), '","amount":"',
        replace_where(amounts((500 + draws[:, 2] ** 3 * 200_000).astype(np.int64)).cast(pa.large_string()), action == 0, ""), '"}\n',
    )  # fmt: skip
    bad_texts = [('"at":"20', '"at":"2O')] if len(member) else None
    inbox.write_lines(
        "partner_events", plan.business_date(night), "events.jsonl.gz", [lines], bad_texts=bad_texts
    )
