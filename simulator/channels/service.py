"""Files of the branch CRM, the call centre with the remote bank, and WeCom."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.channels.files import Inbox, Shape
from simulator.world import codes
from simulator.world import identifiers as ids
from simulator.world.bank import Bank
from simulator.world.contacts import CALLS, CRM, NO_COMPANY, WECOM, Contacts
from simulator.world.draws import (
    days,
    digits_of,
    generator,
    joined,
    moments,
    numbered,
    put,
    scattered,
    strings_of,
    taken,
    tokens,
)
from simulator.world.keys import branch_ids, contact_keys, customer_numbers
from simulator.world.people import ROLE_NAMES
from simulator.world.profiles import chosen_by

CHINESE_PIPE, SEMICOLON = Shape("|", encoding="gb18030"), Shape(";")
CREDIT_SIGNS = np.frombuffer(b"0123456789ABCDEFGHJKLMNPQRTUWXY", dtype=np.uint8)
CREDIT_WEIGHTS = np.array([pow(3, place, 31) for place in range(17)], dtype=np.int64)
CALLS_A_NIGHT = 0.02
CORP = "ww8a3f1c0de5b27946"


def write_service(bank: Bank, inbox: Inbox) -> None:
    """Write the files of the service channels for every night of the plan."""
    for night in range(bank.plan.nights):
        _write_crm(bank, inbox, night)
        _write_calls(bank, inbox, night)
        _write_wecom(bank, inbox, night)


def known_by(bank: Bank, source: str, night: int) -> tuple[Contacts, np.ndarray]:
    """Give a channel's records and the positions of those it knows by a night."""
    records = bank.contacts[source]
    return records, np.flatnonzero(records.since <= night)


def held_phones(phone: np.ndarray, keep: np.ndarray | None = None) -> pa.Array:
    """Phones as digits; nothing where none is held or it is not to be shown."""
    hidden = (phone < 0) | (False if keep is None else ~keep)
    return put(ids.written_phones(np.maximum(phone, 0), np.zeros(len(phone), dtype=np.int64)), hidden, "")


def full_names(bank: Bank, person: np.ndarray) -> pa.Array:
    """Give people's names as on their documents."""
    world = bank.world
    plain = np.zeros(len(person), dtype=np.int64)
    return ids.written_names(world.surname[person], world.given[person], world.given_second[person], plain)


def credit_codes(company: np.ndarray) -> pa.Array:
    """Unified social credit codes of companies by number, with their check character."""
    body = np.hstack(
        [
            np.broadcast_to(np.frombuffer(b"91", dtype=np.uint8), (len(company), 2)),
            digits_of(scattered(company, 15, 29), 15),
        ]
    )
    check = (31 - ((body.astype(np.int64) - 48) @ CREDIT_WEIGHTS) % 31) % 31
    return strings_of(np.hstack([body, CREDIT_SIGNS[check][:, None]]))


def _write_crm(bank: Bank, inbox: Inbox, night: int) -> None:
    records, rows = known_by(bank, CRM, night)
    person, world = records.person[rows], bank.world
    digits = strings_of(ids.id_characters(world.area[person], world.birth[person], world.sequence[person]))
    company = records.company[rows]
    seat = records.number[rows] % 5 == 0
    table = pa.table({
        "客户编号": contact_keys(CRM, records.number[rows]),
        "客户姓名": full_names(bank, person),
        "手机号码": held_phones(records.phone[rows]),
        "证件号码": put(digits, ~records.has_document[rows], ""),
        "核心客户号": put(customer_numbers(person * 2), ~records.is_bound[rows], ""),
        "所属网点": branch_ids(100 + world.city[person] * 3),
        "建档日期": days(records.day[rows]),
        "家庭编号": put(numbered("HH", world.household[person], 9), (world.family_size[person] < 2) | (person % 3 > 0), ""),
        "家庭角色": taken([r.upper() for r in ROLE_NAMES], world.role[person]),
        "统一社会信用代码": put(credit_codes(np.maximum(company, 0)), company == NO_COMPANY, ""),
        "远程客户经理": put(numbered("E", world.city[person] * 3, 4), ~seat, ""),
    })  # fmt: skip
    rates = bank.plan.rates
    inbox.csv(
        "crm_customers", bank.plan.business_date(night), "customers.csv", [table], CHINESE_PIPE,
        broken={"客户编号": ""} if len(table) else None, bad_share=rates.bad_rows, duplicate_share=rates.duplicate_rows,
    )  # fmt: skip


def _write_calls(bank: Bank, inbox: Inbox, night: int) -> None:
    plan, records = bank.plan, bank.contacts[CALLS]
    first = plan.first_day
    if night == 0:
        here = np.flatnonzero(records.since == 0)
        rng = generator(plan.seed, "calls before")
        who = np.concatenate([here, np.repeat(here, rng.poisson(1.2, len(here)))])
        low = max(min(plan.start, first - 1), first - 180)
        day = low + (rng.random(len(who)) * (first - low)).astype(np.int64)
        _calls_file(
            bank, inbox, night, "calls_history.csv", "H", who, day, np.zeros(len(who), dtype=bool), False
        )
    rng = generator(plan.seed, "calls", night)
    count = int((records.since <= night).sum())
    here = np.flatnonzero(records.since <= night)
    draw = rng.random(count)
    asks = bank.lives.asks_erasure[records.person[here]] == night
    alive = bank.lives.dies[records.person[here]] > night
    fresh = (records.since[here] == night) & (night > 0)
    calls = fresh | (alive & ((draw < CALLS_A_NIGHT) | asks))
    who = here[calls]
    cut = night > 0 and float(generator(plan.seed, "cut", night).random()) < plan.rates.cut_last_lines
    day = np.full(len(who), first + night)
    _calls_file(bank, inbox, night, "calls.csv", f"N{night:03d}", who, day, asks[calls], cut)


def _calls_file(
    bank: Bank, inbox: Inbox, night: int, name: str, prefix: str, who: np.ndarray, day: np.ndarray, asks: np.ndarray, is_cut: bool
) -> None:  # fmt: skip
    records = bank.contacts[CALLS]
    person = records.person[who]
    draws = generator(bank.plan.seed, "call", name, night).random((len(who), 3))
    reason = np.where(asks, len(codes.CALL_REASONS) - 1, chosen_by(draws[:, 0], codes.CALL_WEIGHTS))
    table = pa.table({
        "contact_id": numbered("CT" + prefix, np.arange(len(who)), 9),
        "caller_id": contact_keys(CALLS, records.number[who]),
        "calling_number": held_phones(records.phone[who]),
        "cust_no": put(customer_numbers(person * 2), ~records.is_bound[who], ""),
        "began_at": moments(day, (8 * 3600 + draws[:, 1] * 13 * 3600).astype(np.int64)),
        "seconds": pa.array((20 + draws[:, 2] ** 2 * 900).astype(np.int64)),
        "reason": taken(codes.CALL_REASONS, reason),
        "answered": taken(["Y", "N"], (draws[:, 2] < 0.06).astype(np.int64)),
    })  # fmt: skip
    broken = {"began_at": "25:61"} if len(table) and name == "calls.csv" else None
    inbox.csv(
        "call_centre_contacts", bank.plan.business_date(night), name, [table], SEMICOLON,
        broken=broken, bad_share=bank.plan.rates.bad_rows, is_cut=is_cut,
    )  # fmt: skip


def _write_wecom(bank: Bank, inbox: Inbox, night: int) -> None:
    records, rows = known_by(bank, WECOM, night)
    plan, person, phone = bank.plan, records.person[rows], records.phone[rows]
    unionid = put(tokens("oU", person, 26, 23), ~records.has_unionid[rows], "")
    extra = float(generator(plan.seed, "extra", night).random()) < plan.rates.extra_columns
    lines = joined(
        '{"external_userid":"', contact_keys(WECOM, records.number[rows]), f'","corp_id":"{CORP}","unionid":"', unionid,
        '","name":"', full_names(bank, person), '","follow":{"userid":"', numbered("E", bank.world.city[person] * 3 + 1, 4),
        '","remark_mobile":"', held_phones(phone), '","added_on":"', days(records.day[rows]).cast(pa.large_string()), '"}',
        ',"tag_groups":"高净值"}\n' if extra else "}\n",
    )  # fmt: skip
    note = "a field nobody announced: tag_groups" if extra else ""
    inbox.lines("wecom_contacts", plan.business_date(night), "contacts.jsonl", [lines], note=note)
