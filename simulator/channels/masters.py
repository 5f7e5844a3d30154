"""Masters of core banking: customers, holders and controls whole every night, accounts and consents by change."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.channels.files import Inbox, Shape
from simulator.channels.lists import write_lists
from simulator.world import accounts as acc
from simulator.world import codes
from simulator.world.bank import Bank
from simulator.world.draws import (
    clock_text,
    compact_days,
    days,
    generator,
    joined,
    numbered,
    put,
    scattered,
    slashed_days,
    strings_of,
    taken,
)  # fmt: skip
from simulator.world.identifiers import ID_FOREIGN, id_characters, written_ids, written_names, written_phones
from simulator.world.keys import account_numbers, branch_ids, customer_numbers
from simulator.world.people import CHILD, ELDER, HEAD, SPOUSE

PIPE, SEMICOLON, CHINESE = Shape("|"), Shape(";"), Shape(encoding="gb18030")


def write_core(bank: Bank, inbox: Inbox) -> None:
    """Write the masters of core banking for every night of the plan."""
    plan = bank.plan
    customers, phones = _customers(bank)
    status: np.ndarray | None = None
    for night in range(plan.nights):
        count = int((bank.core.since <= night).sum())
        _write_customers(bank, inbox, night, count, customers, phones)
        status = _write_accounts(bank, inbox, night, count, status)
        _write_holders(bank, inbox, night, count)
        _write_assessments(bank, inbox, night, count)
        _write_controls(bank, inbox, night, count)
        _write_consents(bank, inbox, night, count)
        _write_managers(bank, inbox, night, count)
        write_lists(inbox, plan.business_date(night))


def _customers(bank: Bank) -> tuple[pa.Table, pa.Array]:
    """Give customer master without what changes by night."""
    world, core, standing = bank.world, bank.core, bank.standing
    person = core.person
    rng = generator(bank.plan.seed, "master")
    draws = rng.random((len(person), 10))
    none = np.zeros(len(person), dtype=bool)
    ids = id_characters(world.area[person], world.birth[person], world.sequence[person])
    lower = draws[:, 0] < bank.plan.rates.id_lower_x
    age = world.age[person]
    married = np.isin(world.role[person], [SPOUSE]) | (
        (world.role[person] == HEAD) & (world.family_size[person] > 1)
    )
    marital = np.where(
        age < 22, 0, np.where(married, 1, np.where(draws[:, 1] < 0.75, 0, np.where(age > 65, 3, 2)))
    )
    education = np.searchsorted(np.cumsum([0.08, 0.32, 0.3, 0.24]), draws[:, 2], side="right")
    band = np.searchsorted(np.array([5e5, 1e6, 2e6, 5e6]), bank.money.income, side="right")
    died = standing["deceased"]
    no_cities = draws[:, 3] < 0.02
    home = world.city[person] * 3 + (draws[:, 4] * 3).astype(np.int64)
    unknown = draws[:, 5]
    table = {
        "cust_no": bank.customer_numbers,
        "name": written_names(
            world.surname[person],
            world.given[person],
            world.given_second[person],
            np.zeros(len(person), dtype=np.int64),
        ),
        "gender": put(taken(["1", "2"], world.female[person].astype(np.int64)), unknown < 0.01, ""),
        "birth_date": days(world.birth[person], unknown > 0.994),
        "id_type": taken(["01", "02"], (core.id_form == ID_FOREIGN).astype(np.int64)),
        "id_no": written_ids(ids, core.id_form, lower, core.number),
        "id_expire": days(
            bank.plan.first_day - 200 + (draws[:, 6] * 5000).astype(np.int64), draws[:, 6] > 0.97
        ),
        "mobile": None,
        "email": put(
            joined(numbered("u", scattered(person, 8, 81), 8), "@mail.example"), ~core.has_email, ""
        ),
        "nationality": taken(["CN", "SG"], (core.id_form == ID_FOREIGN).astype(np.int64)),
        "city": put(taken([c[0] for c in codes.CITIES], world.city[person]), no_cities, ""),
        "branch": branch_ids(100 + home),
        "occupation": taken([o[0] for o in codes.OCCUPATIONS], world.occupation[person]),
        "education": put(taken(codes.EDUCATIONS, education), unknown < 0.2, ""),
        "income_band": put(taken(codes.INCOME_BANDS, band), unknown > 0.7, ""),
        "marital": taken(["SINGLE", "MARRIED", "DIVORCED", "WIDOWED"], marital),
        "family_role": taken(["HEAD", "SPOUSE", "CHILD", "PARENT"], world.role[person]),
        "staff_flag": taken(["N", "Y"], standing["staff"].astype(np.int64)),
        "merchant_flag": taken(["N", "Y"], standing["merchant"].astype(np.int64)),
        "medical_flag": taken(["N", "Y"], (draws[:, 7] < 0.8).astype(np.int64)),
        "alerts_flag": taken(["N", "Y"], (draws[:, 8] < 0.55).astype(np.int64)),
        "open_date": days(core.opened),
        "death_date": days(bank.plan.first_day - 5 - (draws[:, 9] * 300).astype(np.int64), ~died),
        "acq_channel": taken(codes.ACQUISITION_CHANNELS, (draws[:, 8] * 6).astype(np.int64)),
        "acq_campaign": put(numbered("CMP", (draws[:, 9] * 12).astype(np.int64), 3), draws[:, 5] < 0.8, ""),
        "referrer": put(
            customer_numbers(world.head[person] * 2),
            (world.role[person] == HEAD) | (draws[:, 4] < 0.5) | ~world.is_customer[world.head[person]],
            "",
        ),
        "contact_updated": None,
    }
    fixed = written_phones(core.phone, core.phone_style)
    table["mobile"], table["contact_updated"] = fixed, days(core.updated, none)
    return pa.table(table), fixed


def _write_customers(
    bank: Bank, inbox: Inbox, night: int, count: int, table: pa.Table, fixed: pa.Array
) -> None:
    core, rates = bank.core, bank.plan.rates
    phone, changed = bank.moved(core.person, core.phone, night, core.is_told)
    new = changed >= 0
    mobile = put(fixed, new, written_phones(phone[new], core.phone_style[new]))
    table = _lived(bank, table, night, mobile, np.where(new, changed, core.updated)).slice(0, count)
    broken = {"cust_no": "", "birth_date": "1987-02-31"}
    inbox.csv(
        "core_customers", bank.plan.business_date(night), "customers.csv.gz", [table], Shape(quoted=True),
        broken=broken, bad_share=rates.bad_rows, duplicate_share=rates.duplicate_rows,
    )  # fmt: skip


def _lived(bank: Bank, table: pa.Table, night: int, mobile: pa.Array, updated: np.ndarray) -> pa.Table:
    """Give the customer master of a night: phones, and who moved, married or died since the first."""
    lives, person, first = bank.lives, bank.core.person, bank.plan.first_day
    moved, married, died = (turn[person] <= night for turn in (lives.moves, lives.marries, lives.dies))
    city = lives.next_city[person]
    updated = np.where(moved, np.maximum(updated, first + lives.moves[person]), updated)
    fresh = {
        "mobile": mobile,
        "contact_updated": days(updated),
        "city": put(table["city"].combine_chunks(), moved, taken([c[0] for c in codes.CITIES], city[moved])),
        "branch": put(
            table["branch"].combine_chunks(), moved, branch_ids(100 + city[moved] * 3 + person[moved] % 3)
        ),
        "marital": put(table["marital"].combine_chunks(), married, "MARRIED"),
        "death_date": put(
            table["death_date"].combine_chunks().cast(pa.large_string()),
            died,
            days(first + lives.dies[person[died]]).cast(pa.large_string()),
        ),
    }
    for name, column in fresh.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _write_accounts(
    bank: Bank, inbox: Inbox, night: int, count: int, before: np.ndarray | None
) -> np.ndarray:
    """Accounts that are new or changed (all on the first night); gives the present status of every account."""
    core, living, rates = bank.core, bank.money, bank.plan.rates
    owner, kind = np.nonzero(living.has[:count])
    place = owner * 8 + kind
    status = (
        np.zeros(count * 8, dtype=np.int64)
        if before is None
        else np.r_[before, np.zeros(count * 8 - len(before), dtype=np.int64)]
    )
    if before is None:
        draw = generator(bank.plan.seed, "account status").random(count * 8)
        status = np.where(np.repeat(living.mood[:count] == acc.DORMANT, 8) & (draw < 0.4), 3, status)
        status = np.where(np.repeat(bank.standing["controlled"][:count], 8) & (draw < 0.5), 2, status)
        status = np.where((draw > 0.99) & (np.arange(count * 8) % 8 != acc.SAVINGS), 1, status)
        rows = np.ones(len(owner), dtype=bool)
    else:
        hit = (
            generator(bank.plan.seed, "account status", night).random(count * 8)
            < rates.account_changes_per_night
        )
        status = np.where(hit, np.where(status == 3, 0, np.where(status == 0, 2, 0)), status)
        rows = hit[place] | (core.since[owner] == night)
    owner, kind, state = owner[rows], kind[rows], status[place[rows]]
    opened = living.opened[owner, kind]
    closed = np.minimum(opened + 30, bank.plan.first_day - 1)
    table = pa.table({
        "账号": account_numbers(core.number[owner], kind),
        "账户类型": taken(acc.KINDS, kind),
        "产品代码": taken(acc.KIND_PRODUCTS, kind),
        "币种": taken(["CNY"], np.zeros(len(owner), dtype=np.int64)),
        "开户机构": branch_ids(100 + bank.world.city[core.person[owner]] * 3),
        "账户状态": taken(["正常", "销户", "冻结", "睡眠"], state),
        "开户日期": compact_days(opened),
        "销户日期": compact_days(np.maximum(closed, opened), state != 1),
    })  # fmt: skip
    on = bank.plan.business_date(night)
    inbox.csv("core_accounts", on, f"accounts_{on:%Y%m%d}.csv", [table], Shape("|", encoding="gb18030"))
    return status


def _write_holders(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    core, living, world = bank.core, bank.money, bank.world
    owner, kind = np.nonzero(living.has[:count])
    own = pa.table({
        "account_no": account_numbers(core.number[owner], kind),
        "cust_no": bank.customer_numbers.take(pa.array(owner)),
        "role": taken(["OWNER"], np.zeros(len(owner), dtype=np.int64)),
        "since": days(living.opened[owner, kind]),
        "until": days(np.zeros(len(owner)), np.ones(len(owner), dtype=bool)),
    })  # fmt: skip
    # spouses share an account, a head acts for children and old parents: never a merge
    draw = generator(bank.plan.seed, "holders").random(len(core.person))[:count]
    person = core.person[:count]
    head_known = (
        world.is_customer[world.head[person]] & (world.arrives[person] == 0) & ~core.is_second[:count]
    )
    share = np.select(
        [world.role[person] == SPOUSE, world.role[person] == CHILD, world.role[person] == ELDER],
        [0.06, 0.3, 0.1],
        0.0,
    )
    rows = np.flatnonzero(head_known & (draw < share))
    second = pa.table({
        "account_no": account_numbers(core.number[rows], acc.SAVINGS),
        "cust_no": customer_numbers(world.head[person[rows]] * 2),
        "role": taken(["CO", "AGENT"], (world.role[person[rows]] != SPOUSE).astype(np.int64)),
        "since": days(living.opened[rows, acc.SAVINGS]),
        "until": days(np.zeros(len(rows)), np.ones(len(rows), dtype=bool)),
    })  # fmt: skip
    tables = [pa.concat_tables([own, second])]
    inbox.csv("core_account_holders", bank.plan.business_date(night), "holders.csv.gz", tables, SEMICOLON)


def _write_assessments(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    core, living, plan = bank.core, bank.money, bank.plan
    day = plan.first_day + night
    draws = generator(plan.seed, "assessments").random((len(core.person), 4))[:count]
    invests = living.has[:count, acc.SECURITIES]
    if night == 0:
        owner = np.flatnonzero(
            np.where(invests, draws[:, 0] < 0.92, draws[:, 0] < 0.12) & (core.since[:count] == 0)
        )
        ago = (draws[owner, 1] * np.where(draws[owner, 2] < 0.75, 365, 900)).astype(np.int64)
        assessed = np.maximum(plan.first_day - 1 - ago, core.opened[owner])
        grade = (draws[owner, 3] * 5).astype(np.int64)
    else:
        owner = np.flatnonzero(
            generator(plan.seed, "assessments", night).random(count) < np.where(invests, 0.004, 0.0005)
        )
        assessed = np.full(len(owner), day)
        grade = (draws[owner, 2] * 5).astype(np.int64)
    table = pa.table({
        "评估流水号": numbered(f"RA{night:03d}", core.number[owner], 9),
        "客户号": bank.customer_numbers.take(pa.array(owner)),
        "评估日期": slashed_days(assessed),
        "风险等级": taken(["保守型", "谨慎型", "稳健型", "进取型", "激进型"], grade),
        "有效期至": slashed_days(assessed + 365),
    })  # fmt: skip
    broken = {"评估日期": "去年"} if night == 0 else None
    inbox.csv(
        "core_risk_assessments",
        plan.business_date(night),
        "assessments.csv",
        [table],
        CHINESE,
        broken=broken,
        bad_share=plan.rates.bad_rows,
    )


def _write_controls(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    core, plan = bank.core, bank.plan
    draws = generator(plan.seed, "controls").random(len(core.person))[:count]
    held, complained = (
        np.flatnonzero(bank.standing["controlled"][:count]),
        np.flatnonzero(bank.standing["complaint"][:count]),
    )
    everyone = np.arange(count)
    owner = np.concatenate([everyone, held, complained])
    kind = np.concatenate(
        [np.zeros(count, dtype=np.int64), 1 + (draws[held] * 3).astype(np.int64), np.full(len(complained), 4)]
    )
    since = np.where(
        kind == 0, core.opened[owner], plan.first_day - 1 - (draws[owner] * 300).astype(np.int64)
    )
    table = pa.table({
        "control_no": joined(taken(["A", "F", "S", "J", "C"], kind), numbered("", core.number[owner], 9)),
        "cust_no": bank.customer_numbers.take(pa.array(owner)),
        "account_no": put(account_numbers(core.number[owner], acc.SAVINGS), ~np.isin(kind, [1, 2, 3]), ""),
        "type": taken(["AML_GRADE", "FRAUD", "STOP_PAYMENT", "JUDICIAL", "COMPLAINT"], kind),
        "grade": put(taken(["L", "ML", "M", "MH", "H"], bank.standing["aml"][owner]), kind > 0, ""),
        "since": days(np.maximum(since, core.opened[owner])),
        "until": days(np.zeros(len(owner)), np.ones(len(owner), dtype=bool)),
    })  # fmt: skip
    inbox.csv("core_account_controls", plan.business_date(night), "controls.csv", [table])


def _write_consents(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    """Counter consents: marketing on all channels, some without SMS, some who refuse profiling; later nights bring opt-outs."""
    core, plan, standing = bank.core, bank.plan, bank.standing
    draws = generator(plan.seed, "core consents").random((len(core.person), 3))[:count]
    fresh = core.since[:count] == night
    asked, no_sms, no_profile = (
        standing["consent"][:count] < 2,
        draws[:, 0] < 0.05,
        standing["profiling_refused"][:count],
    )
    parts = [
        (np.flatnonzero(fresh & asked), 0, 0, np.where(standing["consent"][:count] == 1, 1, 0)),
        (np.flatnonzero(fresh & asked & no_sms), 0, 1, np.ones(count, dtype=np.int64)),
        (np.flatnonzero(fresh & no_profile), 1, 0, np.ones(count, dtype=np.int64)),
    ]
    day = np.maximum(core.opened[:count], plan.first_day - 1 - (draws[:, 1] * 800).astype(np.int64))
    if night:
        leaves = generator(plan.seed, "core consents", night).random(count) < plan.rates.opt_outs_per_night
        parts.append(
            (
                np.flatnonzero(leaves & ~fresh & (standing["consent"][:count] == 0)),
                0,
                0,
                np.ones(count, dtype=np.int64),
            )
        )
        day = np.full(count, plan.first_day + night)
    owner = np.concatenate([p[0] for p in parts])
    purpose = np.concatenate([np.full(len(p[0]), p[1]) for p in parts])
    channel = np.concatenate([np.full(len(p[0]), p[2]) for p in parts])
    decision = np.concatenate([p[3][p[0]] for p in parts])
    second = 9 * 3600 + (draws[owner, 2] * 7 * 3600).astype(np.int64)
    table = pa.table({
        "cust_no": bank.customer_numbers.take(pa.array(owner)),
        "purpose": taken(["MARKETING", "PROFILING"], purpose),
        "channel": taken(["ALL", "SMS"], channel),
        "decision": taken(["Y", "N"], decision),
        "decided_at": joined(days(day[owner]).cast(pa.string()), " ", strings_of(clock_text(second))),
        "expires_on": days(np.zeros(len(owner)), np.ones(len(owner), dtype=bool)),
    })  # fmt: skip
    inbox.csv("core_consents", plan.business_date(night), "consents.csv", [table], PIPE)


def _write_managers(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    wealthy = np.flatnonzero((bank.money.total[:count] > 20_000_000) & ~bank.core.is_second[:count])
    table = pa.table({
        "cust_no": bank.customer_numbers.take(pa.array(wealthy)),
        "employee": numbered("E", bank.world.city[bank.core.person[wealthy]] * 3 + wealthy % 3, 4),
        "since": days(np.maximum(bank.core.opened[wealthy], bank.plan.first_day - 400)),
        "until": days(np.zeros(len(wealthy)), np.ones(len(wealthy), dtype=bool)),
    })  # fmt: skip
    inbox.csv("core_managers", bank.plan.business_date(night), "managers.csv", [table])
