"""Files of the branch CRM, the call centre with the remote bank, and WeCom."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.channels.files import CsvFormat, Inbox
from simulator.world import codes, identifiers
from simulator.world.bank import Bank
from simulator.world.contacts import CALLS, CRM, NO_COMPANY, WECOM, Contacts
from simulator.world.draws import (
    days,
    digits_of,
    generator,
    join_texts,
    moments,
    numbered_texts,
    replace_where,
    scatter,
    strings_of,
    texts_at,
    tokens,
    weighted_choices,
)
from simulator.world.keys import branch_ids, contact_keys, customer_numbers
from simulator.world.people import ROLE_NAMES

CHINESE_PIPE, SEMICOLON = CsvFormat("|", encoding="gb18030"), CsvFormat(";")
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


def records_until(bank: Bank, source: str, night: int) -> tuple[Contacts, np.ndarray]:
    """Give a channel's records and the positions of its records up to a night."""
    records = bank.contacts[source]
    return records, np.flatnonzero(records.first_night <= night)


def visible_phones(phone: np.ndarray, is_visible: np.ndarray | None = None) -> pa.Array:
    """Give phones as digits, and nothing where there is no phone or `is_visible` is false."""
    is_blank = (phone < 0) | (False if is_visible is None else ~is_visible)
    return replace_where(
        identifiers.phone_texts(np.maximum(phone, 0), np.zeros(len(phone), dtype=np.int64)), is_blank, ""
    )


def full_names(bank: Bank, person: np.ndarray) -> pa.Array:
    """Give people's names as their documents show them."""
    people = bank.people
    plain_style = np.zeros(len(person), dtype=np.int64)
    return identifiers.name_texts(
        people.surname[person], people.given_name[person], people.second_given_name[person], plain_style
    )


def credit_codes(company: np.ndarray) -> pa.Array:
    """Give the unified social credit codes of companies by number, with their check character."""
    characters = np.hstack(
        [
            np.broadcast_to(np.frombuffer(b"91", dtype=np.uint8), (len(company), 2)),
            digits_of(scatter(company, 15, 29), 15),
        ]
    )
    check_place = (31 - ((characters.astype(np.int64) - 48) @ CREDIT_WEIGHTS) % 31) % 31
    return strings_of(np.hstack([characters, CREDIT_SIGNS[check_place][:, None]]))


def _write_crm(bank: Bank, inbox: Inbox, night: int) -> None:
    records, rows = records_until(bank, CRM, night)
    person, people = records.person[rows], bank.people
    digits = strings_of(
        identifiers.id_characters(people.area[person], people.birth[person], people.sequence[person])
    )
    company = records.company[rows]
    has_remote_seat = records.number[rows] % 5 == 0
    table = pa.table({
        "客户编号": contact_keys(CRM, records.number[rows]),
        "客户姓名": full_names(bank, person),
        "手机号码": visible_phones(records.phone[rows]),
        "证件号码": replace_where(digits, ~records.has_document[rows], ""),
        "核心客户号": replace_where(customer_numbers(person * 2), ~records.is_bound[rows], ""),
        "所属网点": branch_ids(100 + people.city[person] * 3),
        "建档日期": days(records.created_on[rows]),
        "家庭编号": replace_where(numbered_texts("HH", people.household[person], 9), (people.family_size[person] < 2) | (people.household[person] % 3 > 0), ""),
        "家庭角色": texts_at([r.upper() for r in ROLE_NAMES], people.role[person]),
        "统一社会信用代码": replace_where(credit_codes(np.maximum(company, 0)), company == NO_COMPANY, ""),
        "远程客户经理": replace_where(numbered_texts("E", people.city[person] * 3, 4), ~has_remote_seat, ""),
    })  # fmt: skip
    rates = bank.plan.rates
    inbox.write_csv(
        "crm_customers", bank.plan.business_date(night), "customers.csv", [table], CHINESE_PIPE,
        bad_values={"客户编号": ""} if len(table) else None, bad_share=rates.bad_rows, duplicate_share=rates.duplicate_rows,
    )  # fmt: skip


def _write_calls(bank: Bank, inbox: Inbox, night: int) -> None:
    plan, records = bank.plan, bank.contacts[CALLS]
    first = plan.first_day
    if night == 0:
        rows = np.flatnonzero(records.first_night == 0)
        rng = generator(plan.seed, "calls before")
        caller = np.concatenate([rows, np.repeat(rows, rng.poisson(1.2, len(rows)))])
        low = max(min(plan.start, first - 1), first - 180)
        day = low + (rng.random(len(caller)) * (first - low)).astype(np.int64)
        _write_calls_file(
            bank,
            inbox,
            night,
            "calls_history.csv",
            "H",
            caller,
            day,
            np.zeros(len(caller), dtype=bool),
            False,
        )
    rng = generator(plan.seed, "calls", night)
    count = int((records.first_night <= night).sum())
    rows = np.flatnonzero(records.first_night <= night)
    draw = rng.random(count)
    is_erasure_request = bank.lives.erasure_night[records.person[rows]] == night
    is_alive = bank.lives.death_night[records.person[rows]] > night
    is_new = (records.first_night[rows] == night) & (night > 0)
    is_calling = is_new | (is_alive & ((draw < CALLS_A_NIGHT) | is_erasure_request))
    caller = rows[is_calling]
    is_cut = night > 0 and float(generator(plan.seed, "cut", night).random()) < plan.rates.cut_last_lines
    day = np.full(len(caller), first + night)
    _write_calls_file(
        bank, inbox, night, "calls.csv", f"N{night:03d}", caller, day, is_erasure_request[is_calling], is_cut
    )


def _write_calls_file(
    bank: Bank, inbox: Inbox, night: int, name: str, prefix: str, caller: np.ndarray, day: np.ndarray, is_erasure_request: np.ndarray, is_cut: bool
) -> None:  # fmt: skip
    records = bank.contacts[CALLS]
    person = records.person[caller]
    draws = generator(bank.plan.seed, "call", name, night).random((len(caller), 3))
    reason = np.where(
        is_erasure_request, len(codes.CALL_REASONS) - 1, weighted_choices(draws[:, 0], codes.CALL_WEIGHTS)
    )
    table = pa.table({
        "contact_id": numbered_texts("CT" + prefix, np.arange(len(caller)), 9),
        "caller_id": contact_keys(CALLS, records.number[caller]),
        "calling_number": visible_phones(records.phone[caller]),
        "cust_no": replace_where(customer_numbers(person * 2), ~records.is_bound[caller], ""),
        "began_at": moments(day, (8 * 3600 + draws[:, 1] * 13 * 3600).astype(np.int64)),
        "seconds": pa.array((20 + draws[:, 2] ** 2 * 900).astype(np.int64)),
        "reason": texts_at(codes.CALL_REASONS, reason),
        "answered": texts_at(["Y", "N"], (draws[:, 2] < 0.06).astype(np.int64)),
    })  # fmt: skip
    bad_values = {"began_at": "25:61"} if len(table) and name == "calls.csv" else None
    inbox.write_csv(
        "call_centre_contacts", bank.plan.business_date(night), name, [table], SEMICOLON,
        bad_values=bad_values, bad_share=bank.plan.rates.bad_rows, is_cut=is_cut,
    )  # fmt: skip


def _write_wecom(bank: Bank, inbox: Inbox, night: int) -> None:
    records, rows = records_until(bank, WECOM, night)
    plan, person, phone = bank.plan, records.person[rows], records.phone[rows]
    unionid = replace_where(tokens("oU", person, 26, 23), ~records.has_unionid[rows], "")
    has_extra_field = float(generator(plan.seed, "extra", night).random()) < plan.rates.extra_columns
    lines = join_texts(
        '{"external_userid":"', contact_keys(WECOM, records.number[rows]), f'","corp_id":"{CORP}","unionid":"', unionid,
        '","name":"', full_names(bank, person), '","follow":{"userid":"', numbered_texts("E", bank.people.city[person] * 3 + 1, 4),
        '","remark_mobile":"', visible_phones(phone), '","added_on":"', days(records.created_on[rows]).cast(pa.large_string()), '"}',
        ',"tag_groups":"高净值"}\n' if has_extra_field else "}\n",
    )  # fmt: skip
    note = "a field nobody announced: tag_groups" if has_extra_field else ""
    inbox.write_lines("wecom_contacts", plan.business_date(night), "contacts.jsonl", [lines], note=note)
