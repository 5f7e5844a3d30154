"""Masters of core banking: every night all customers, holders and controls; accounts and consents only if they change."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.channels.files import CsvFormat, Inbox
from simulator.channels.lists import write_lists
from simulator.world import accounts, codes
from simulator.world.bank import Bank
from simulator.world.draws import (
    clock_text,
    compact_days,
    days,
    generator,
    join_texts,
    numbered_texts,
    replace_where,
    scatter,
    slashed_days,
    strings_of,
    texts_at,
)  # fmt: skip
from simulator.world.identifiers import ID_FOREIGN, id_characters, id_texts, name_texts, phone_texts
from simulator.world.keys import account_numbers, branch_ids, customer_numbers
from simulator.world.people import CHILD, ELDER, HEAD, SPOUSE

PIPE, SEMICOLON, CHINESE = CsvFormat("|"), CsvFormat(";"), CsvFormat(encoding="gb18030")


def write_masters(bank: Bank, inbox: Inbox) -> None:
    """Write the masters of core banking for every night of the plan."""
    plan = bank.plan
    customers, phones = _customer_master(bank)
    status: np.ndarray | None = None
    for night in range(plan.nights):
        count = int((bank.core.first_night <= night).sum())
        _write_customers(bank, inbox, night, count, customers, phones)
        status = _write_accounts(bank, inbox, night, count, status)
        _write_holders(bank, inbox, night, count)
        _write_assessments(bank, inbox, night, count)
        _write_controls(bank, inbox, night, count)
        _write_consents(bank, inbox, night, count)
        _write_managers(bank, inbox, night, count)
        write_lists(inbox, plan.business_date(night))


def _customer_master(bank: Bank) -> tuple[pa.Table, pa.Array]:
    """Give the customer master of the first night, and the phones in it."""
    people, core, facts = bank.people, bank.core, bank.facts
    person = core.person
    rng = generator(bank.plan.seed, "master")
    draws = rng.random((len(person), 10))
    no_marks = np.zeros(len(person), dtype=bool)
    characters = id_characters(people.area[person], people.birth[person], people.sequence[person])
    has_lower_x = draws[:, 0] < bank.plan.rates.id_lower_x
    age = people.age[person]
    is_married = np.isin(people.role[person], [SPOUSE]) | (
        (people.role[person] == HEAD) & (people.family_size[person] > 1)
    )
    marital_state = np.where(
        age < 22, 0, np.where(is_married, 1, np.where(draws[:, 1] < 0.75, 0, np.where(age > 65, 3, 2)))
    )
    education = np.searchsorted(np.cumsum([0.08, 0.32, 0.3, 0.24]), draws[:, 2], side="right")
    band = np.searchsorted(np.array([5e5, 1e6, 2e6, 5e6]), bank.finances.income, side="right")
    is_deceased = facts["deceased"]
    has_no_city = draws[:, 3] < 0.02
    home = people.city[person] * 3 + (draws[:, 4] * 3).astype(np.int64)
    unknown_draws = draws[:, 5]
    columns = {
        "cust_no": bank.customer_numbers,
        "name": name_texts(
            people.surname[person],
            people.given_name[person],
            people.second_given_name[person],
            np.zeros(len(person), dtype=np.int64),
        ),
        "gender": replace_where(
            texts_at(["1", "2"], people.is_female[person].astype(np.int64)), unknown_draws < 0.01, ""
        ),
        "birth_date": days(people.birth[person], unknown_draws > 0.994),
        "id_type": texts_at(["01", "02"], (core.id_form == ID_FOREIGN).astype(np.int64)),
        "id_no": id_texts(characters, core.id_form, has_lower_x, core.number),
        "id_expire": days(
            bank.plan.first_day - 200 + (draws[:, 6] * 5000).astype(np.int64), draws[:, 6] > 0.97
        ),
        "mobile": None,
        "email": replace_where(
            join_texts(numbered_texts("u", scatter(person, 8, 81), 8), "@mail.example"), ~core.has_email, ""
        ),
        "nationality": texts_at(["CN", "SG"], (core.id_form == ID_FOREIGN).astype(np.int64)),
        "city": replace_where(texts_at([c[0] for c in codes.CITIES], people.city[person]), has_no_city, ""),
        "branch": branch_ids(100 + home),
        "occupation": texts_at([o[0] for o in codes.OCCUPATIONS], people.occupation[person]),
        "education": replace_where(texts_at(codes.EDUCATIONS, education), unknown_draws < 0.2, ""),
        "income_band": replace_where(texts_at(codes.INCOME_BANDS, band), unknown_draws > 0.7, ""),
        "marital": texts_at(["SINGLE", "MARRIED", "DIVORCED", "WIDOWED"], marital_state),
        "family_role": texts_at(["HEAD", "SPOUSE", "CHILD", "PARENT"], people.role[person]),
        "staff_flag": texts_at(["N", "Y"], facts["staff"].astype(np.int64)),
        "merchant_flag": texts_at(["N", "Y"], facts["merchant"].astype(np.int64)),
        "medical_flag": texts_at(["N", "Y"], (draws[:, 7] < 0.8).astype(np.int64)),
        "alerts_flag": texts_at(["N", "Y"], (draws[:, 8] < 0.55).astype(np.int64)),
        "open_date": days(core.opened_on),
        "death_date": days(bank.plan.first_day - 5 - (draws[:, 9] * 300).astype(np.int64), ~is_deceased),
        "acq_channel": texts_at(codes.ACQUISITION_CHANNELS, (draws[:, 8] * 6).astype(np.int64)),
        "acq_campaign": replace_where(
            numbered_texts("CMP", (draws[:, 9] * 12).astype(np.int64), 3), draws[:, 5] < 0.8, ""
        ),
        "referrer": replace_where(
            customer_numbers(people.head[person] * 2),
            (people.role[person] == HEAD) | (draws[:, 4] < 0.5) | ~people.is_customer[people.head[person]],
            "",
        ),
        "contact_updated": None,
    }
    phones = phone_texts(core.phone, core.phone_style)
    columns["mobile"], columns["contact_updated"] = phones, days(core.updated_on, no_marks)
    return pa.table(columns), phones


def _write_customers(
    bank: Bank, inbox: Inbox, night: int, count: int, table: pa.Table, first_phones: pa.Array
) -> None:
    core, rates = bank.core, bank.plan.rates
    phone, change_day = bank.phones_of_night(core.person, core.phone, night, core.can_learn_new_phone)
    is_changed = change_day >= 0
    mobile = replace_where(
        first_phones, is_changed, phone_texts(phone[is_changed], core.phone_style[is_changed])
    )
    table = _customers_of_night(
        bank, table, night, mobile, np.where(is_changed, change_day, core.updated_on)
    ).slice(0, count)
    bad_values = {"cust_no": "", "birth_date": "1987-02-31"}
    inbox.write_csv(
        "core_customers", bank.plan.business_date(night), "customers.csv.gz", [table], CsvFormat(is_quoted=True),
        bad_values=bad_values, bad_share=rates.bad_rows, duplicate_share=rates.duplicate_rows,
    )  # fmt: skip


def _customers_of_night(
    bank: Bank, table: pa.Table, night: int, mobile: pa.Array, updated_on: np.ndarray
) -> pa.Table:
    """Give the customer master of a night: new phones, and the moves, marriages and deaths since the first night."""
    lives, person, first = bank.lives, bank.core.person, bank.plan.first_day
    has_moved, is_married, is_dead = (
        event_night[person] <= night
        for event_night in (lives.move_night, lives.marriage_night, lives.death_night)
    )
    city = lives.next_city[person]
    updated_on = np.where(has_moved, np.maximum(updated_on, first + lives.move_night[person]), updated_on)
    columns = {
        "mobile": mobile,
        "contact_updated": days(updated_on),
        "city": replace_where(
            table["city"].combine_chunks(), has_moved, texts_at([c[0] for c in codes.CITIES], city[has_moved])
        ),
        "branch": replace_where(
            table["branch"].combine_chunks(),
            has_moved,
            branch_ids(100 + city[has_moved] * 3 + person[has_moved] % 3),
        ),
        "marital": replace_where(table["marital"].combine_chunks(), is_married, "MARRIED"),
        "death_date": replace_where(
            table["death_date"].combine_chunks().cast(pa.large_string()),
            is_dead,
            days(first + lives.death_night[person[is_dead]]).cast(pa.large_string()),
        ),
    }
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _write_accounts(
    bank: Bank, inbox: Inbox, night: int, count: int, earlier_status: np.ndarray | None
) -> np.ndarray:
    """Write the new and changed accounts (all on the first night), and give the present status of every account."""
    core, finances, rates = bank.core, bank.finances, bank.plan.rates
    owner, kind = np.nonzero(finances.has_account[:count])
    place = owner * 8 + kind
    status = (
        np.zeros(count * 8, dtype=np.int64)
        if earlier_status is None
        else np.r_[earlier_status, np.zeros(count * 8 - len(earlier_status), dtype=np.int64)]
    )
    if earlier_status is None:
        draw = generator(bank.plan.seed, "account status").random(count * 8)
        status = np.where(
            np.repeat(finances.activity[:count] == accounts.DORMANT, 8) & (draw < 0.4), 3, status
        )
        status = np.where(np.repeat(bank.facts["controlled"][:count], 8) & (draw < 0.5), 2, status)
        status = np.where((draw > 0.99) & (np.arange(count * 8) % 8 != accounts.SAVINGS), 1, status)
        rows = np.ones(len(owner), dtype=bool)
    else:
        is_changed = (
            generator(bank.plan.seed, "account status", night).random(count * 8)
            < rates.account_changes_per_night
        )
        status = np.where(is_changed, np.where(status == 3, 0, np.where(status == 0, 2, 0)), status)
        rows = is_changed[place] | (core.first_night[owner] == night)
    owner, kind, state = owner[rows], kind[rows], status[place[rows]]
    opened_on = finances.opened_on[owner, kind]
    closed_on = np.minimum(opened_on + 30, bank.plan.first_day - 1)
    table = pa.table({
        "账号": account_numbers(core.number[owner], kind),
        "账户类型": texts_at(accounts.KINDS, kind),
        "产品代码": texts_at(accounts.KIND_PRODUCTS, kind),
        "币种": texts_at(["CNY"], np.zeros(len(owner), dtype=np.int64)),
        "开户机构": branch_ids(100 + bank.people.city[core.person[owner]] * 3),
        "账户状态": texts_at(["正常", "销户", "冻结", "睡眠"], state),
        "开户日期": compact_days(opened_on),
        "销户日期": compact_days(np.maximum(closed_on, opened_on), state != 1),
    })  # fmt: skip
    business_date = bank.plan.business_date(night)
    inbox.write_csv(
        "core_accounts",
        business_date,
        f"accounts_{business_date:%Y%m%d}.csv",
        [table],
        CsvFormat("|", encoding="gb18030"),
    )
    return status


def _write_holders(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    core, finances, people = bank.core, bank.finances, bank.people
    owner, kind = np.nonzero(finances.has_account[:count])
    owner_table = pa.table({
        "account_no": account_numbers(core.number[owner], kind),
        "cust_no": bank.customer_numbers.take(pa.array(owner)),
        "role": texts_at(["OWNER"], np.zeros(len(owner), dtype=np.int64)),
        "since": days(finances.opened_on[owner, kind]),
        "until": days(np.zeros(len(owner)), np.ones(len(owner), dtype=bool)),
    })  # fmt: skip
    # a spouse is co-holder, a head acts for children and old parents: these are still different people
    draw = generator(bank.plan.seed, "holders").random(len(core.person))[:count]
    person = core.person[:count]
    has_known_head = (
        people.is_customer[people.head[person]]
        & (people.arrival_night[person] == 0)
        & ~core.is_second[:count]
    )
    share = np.select(
        [people.role[person] == SPOUSE, people.role[person] == CHILD, people.role[person] == ELDER],
        [0.06, 0.3, 0.1],
        0.0,
    )
    rows = np.flatnonzero(has_known_head & (draw < share))
    agent_table = pa.table({
        "account_no": account_numbers(core.number[rows], accounts.SAVINGS),
        "cust_no": customer_numbers(people.head[person[rows]] * 2),
        "role": texts_at(["CO", "AGENT"], (people.role[person[rows]] != SPOUSE).astype(np.int64)),
        "since": days(finances.opened_on[rows, accounts.SAVINGS]),
        "until": days(np.zeros(len(rows)), np.ones(len(rows), dtype=bool)),
    })  # fmt: skip
    tables = [pa.concat_tables([owner_table, agent_table])]
    inbox.write_csv(
        "core_account_holders", bank.plan.business_date(night), "holders.csv.gz", tables, SEMICOLON
    )


def _write_assessments(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    core, finances, plan = bank.core, bank.finances, bank.plan
    day = plan.first_day + night
    draws = generator(plan.seed, "assessments").random((len(core.person), 4))[:count]
    is_investor = finances.has_account[:count, accounts.SECURITIES]
    if night == 0:
        owner = np.flatnonzero(
            np.where(is_investor, draws[:, 0] < 0.92, draws[:, 0] < 0.12) & (core.first_night[:count] == 0)
        )
        days_ago = (draws[owner, 1] * np.where(draws[owner, 2] < 0.75, 365, 900)).astype(np.int64)
        assessed_on = np.maximum(plan.first_day - 1 - days_ago, core.opened_on[owner])
        grade = (draws[owner, 3] * 5).astype(np.int64)
    else:
        owner = np.flatnonzero(
            generator(plan.seed, "assessments", night).random(count) < np.where(is_investor, 0.004, 0.0005)
        )
        assessed_on = np.full(len(owner), day)
        grade = (draws[owner, 2] * 5).astype(np.int64)
    table = pa.table({
        "评估流水号": numbered_texts(f"RA{night:03d}", core.number[owner], 9),
        "客户号": bank.customer_numbers.take(pa.array(owner)),
        "评估日期": slashed_days(assessed_on),
        "风险等级": texts_at(["保守型", "谨慎型", "稳健型", "进取型", "激进型"], grade),
        "有效期至": slashed_days(assessed_on + 365),
    })  # fmt: skip
    bad_values = {"评估日期": "去年"} if night == 0 else None
    inbox.write_csv(
        "core_risk_assessments",
        plan.business_date(night),
        "assessments.csv",
        [table],
        CHINESE,
        bad_values=bad_values,
        bad_share=plan.rates.bad_rows,
    )


def _write_controls(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    core, plan = bank.core, bank.plan
    draws = generator(plan.seed, "controls").random(len(core.person))[:count]
    controlled_records, complaint_records = (
        np.flatnonzero(bank.facts["controlled"][:count]),
        np.flatnonzero(bank.facts["complaint"][:count]),
    )
    all_records = np.arange(count)
    owner = np.concatenate([all_records, controlled_records, complaint_records])
    kind = np.concatenate(
        [
            np.zeros(count, dtype=np.int64),
            1 + (draws[controlled_records] * 3).astype(np.int64),
            np.full(len(complaint_records), 4),
        ]
    )
    start_day = np.where(
        kind == 0, core.opened_on[owner], plan.first_day - 1 - (draws[owner] * 300).astype(np.int64)
    )
    table = pa.table({
        "control_no": join_texts(texts_at(["A", "F", "S", "J", "C"], kind), numbered_texts("", core.number[owner], 9)),
        "cust_no": bank.customer_numbers.take(pa.array(owner)),
        "account_no": replace_where(account_numbers(core.number[owner], accounts.SAVINGS), ~np.isin(kind, [1, 2, 3]), ""),
        "type": texts_at(["AML_GRADE", "FRAUD", "STOP_PAYMENT", "JUDICIAL", "COMPLAINT"], kind),
        "grade": replace_where(texts_at(["L", "ML", "M", "MH", "H"], bank.facts["aml"][owner]), kind > 0, ""),
        "since": days(np.maximum(start_day, core.opened_on[owner])),
        "until": days(np.zeros(len(owner)), np.ones(len(owner), dtype=bool)),
    })  # fmt: skip
    inbox.write_csv("core_account_controls", plan.business_date(night), "controls.csv", [table])


def _write_consents(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    """Write the consents of the counter: marketing on all channels, some without SMS, some without profiling; later nights have opt-outs."""
    core, plan, facts = bank.core, bank.plan, bank.facts
    draws = generator(plan.seed, "core consents").random((len(core.person), 3))[:count]
    is_new = core.first_night[:count] == night
    has_decision, is_sms_refused, is_profiling_refused = (
        facts["consent"][:count] < 2,
        draws[:, 0] < 0.05,
        facts["profiling_refused"][:count],
    )
    parts = [
        (np.flatnonzero(is_new & has_decision), 0, 0, np.where(facts["consent"][:count] == 1, 1, 0)),
        (np.flatnonzero(is_new & has_decision & is_sms_refused), 0, 1, np.ones(count, dtype=np.int64)),
        (np.flatnonzero(is_new & is_profiling_refused), 1, 0, np.ones(count, dtype=np.int64)),
    ]
    day = np.maximum(core.opened_on[:count], plan.first_day - 1 - (draws[:, 1] * 800).astype(np.int64))
    if night:
        is_opt_out = (
            generator(plan.seed, "core consents", night).random(count) < plan.rates.opt_outs_per_night
        )
        parts.append(
            (
                np.flatnonzero(is_opt_out & ~is_new & (facts["consent"][:count] == 0)),
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
        "purpose": texts_at(["MARKETING", "PROFILING"], purpose),
        "channel": texts_at(["ALL", "SMS"], channel),
        "decision": texts_at(["Y", "N"], decision),
        "decided_at": join_texts(days(day[owner]).cast(pa.string()), " ", strings_of(clock_text(second))),
        "expires_on": days(np.zeros(len(owner)), np.ones(len(owner), dtype=bool)),
    })  # fmt: skip
    inbox.write_csv("core_consents", plan.business_date(night), "consents.csv", [table], PIPE)


def _write_managers(bank: Bank, inbox: Inbox, night: int, count: int) -> None:
    wealthy_records = np.flatnonzero(
        (bank.finances.total[:count] > 20_000_000) & ~bank.core.is_second[:count]
    )
    table = pa.table({
        "cust_no": bank.customer_numbers.take(pa.array(wealthy_records)),
        "employee": numbered_texts("E", bank.people.city[bank.core.person[wealthy_records]] * 3 + wealthy_records % 3, 4),
        "since": days(np.maximum(bank.core.opened_on[wealthy_records], bank.plan.first_day - 400)),
        "until": days(np.zeros(len(wealthy_records)), np.ones(len(wealthy_records), dtype=bool)),
    })  # fmt: skip
    inbox.write_csv("core_managers", bank.plan.business_date(night), "managers.csv", [table])
