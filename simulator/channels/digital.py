"""Files of the mobile app, the web site and the two WeChat applications."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pyarrow as pa

from simulator.channels import events
from simulator.channels.files import CsvFormat, Inbox
from simulator.world.bank import Bank
from simulator.world.draws import days, generator, join_texts, moments, replace_where, texts_at, tokens
from simulator.world.identifiers import name_texts, phone_texts
from simulator.world.keys import app_user_ids, device_ids, kiosk_devices

EVENT_CHUNK = 30_000  # the history of so many app users is in memory at once
PLAIN_STYLE = 0


def write_digital(bank: Bank, inbox: Inbox) -> None:
    """Write all files of the digital channels for every night of the plan."""
    people, users = bank.people, bank.app.person
    names = name_texts(
        people.surname[users], people.given_name[users], people.second_given_name[users], bank.app.name_style
    )
    devices = bank.devices()
    _write_app_history(bank, inbox, devices)
    for night in range(bank.plan.nights):
        _write_app_profiles(bank, inbox, night, names, devices)
        _write_app_consents(bank, inbox, night)
        _write_app_events(bank, inbox, night, devices)
        _write_web(bank, inbox, night)
        _write_followers(bank, inbox, night)
        _write_minis(bank, inbox, night)


def _phone_texts(phone: np.ndarray) -> pa.Array:
    """Give phones in the form of the digital channels: digits, and nothing where there is no phone."""
    return replace_where(phone_texts(phone, np.full(len(phone), PLAIN_STYLE)), phone < 0, "")


def _visible_texts(is_visible: np.ndarray, text: pa.Array) -> pa.Array:
    return replace_where(text, ~is_visible, "")


def _write_app_profiles(bank: Bank, inbox: Inbox, night: int, names: pa.Array, devices: pa.Array) -> None:
    app, plan = bank.app, bank.plan
    rows = np.flatnonzero((app.first_night <= night) & (app.removal_night > night))
    positions = pa.array(rows)
    person = app.person[rows]
    phone, change_day = bank.phones_of_night(person, app.phone[rows], night)
    is_bound = app.binding_night[rows] <= night
    bound_on = np.where(
        app.binding_night[rows] > 0, plan.first_day + app.binding_night[rows], app.registered_on[rows]
    )
    updated_on = np.maximum(
        np.where(is_bound, np.maximum(bound_on, app.registered_on[rows]), app.registered_on[rows]), change_day
    )
    table = pa.table({
        "app_user_id": bank.app_user_ids.take(positions),
        "display_name": names.take(positions),
        "cust_no": _visible_texts(is_bound, bank.main_customer_numbers(person)),
        "mobile": _phone_texts(phone),
        "device_id": devices.take(positions),
        "registered_at": moments(app.registered_on[rows], 8 * 3600 + app.number[rows] * 7 % 40_000),
        "updated_on": days(updated_on),
    })  # fmt: skip
    inbox.write_csv(
        "app_profiles", plan.business_date(night), "profiles.csv.gz", [table],
        bad_values={"app_user_id": ""}, bad_share=plan.rates.bad_rows, duplicate_share=plan.rates.duplicate_rows,
    )  # fmt: skip


def _write_app_consents(bank: Bank, inbox: Inbox, night: int) -> None:
    """Write consent decisions in the app: all on the first night, then the decisions of new users and the opt-outs."""
    app, plan = bank.app, bank.plan
    draws = generator(plan.seed, "app consents").random((len(app.person), 4))
    parts = []
    for place, share in enumerate((0.72, 0.55, 0.68)):
        new_users = np.flatnonzero((app.first_night == night) & (draws[:, place] < share + 0.1))
        parts.append(
            (
                new_users,
                place,
                np.where(draws[new_users, place] < share, 0, 1),
                np.maximum(app.registered_on[new_users], plan.first_day - 900),
            )
        )
        if night:
            old_users = np.flatnonzero(app.first_night < night)
            is_opt_out = (
                generator(plan.seed, "app opt out", night, place).random(len(app.person))[old_users]
                < plan.rates.opt_outs_per_night
            )
            opt_outs = old_users[is_opt_out]
            parts.append(
                (
                    opt_outs,
                    place,
                    np.ones(len(opt_outs), dtype=np.int64),
                    np.full(len(opt_outs), plan.first_day + night),
                )
            )
    user = np.concatenate([p[0] for p in parts])
    channel = np.concatenate([np.full(len(p[0]), p[1]) for p in parts])
    second = 9 * 3600 + (draws[user, 3] * 12 * 3600).astype(np.int64)
    lines = join_texts(
        '{"user_id":"', bank.app_user_ids.take(pa.array(user)), '","purpose":"marketing","channel":"',
        texts_at(["PUSH", "WECHAT", "INAPP"], channel), '","decision":"',
        texts_at(["GRANT", "REFUSE"], np.concatenate([p[2] for p in parts])), '","decided_at":"',
        moments(np.concatenate([p[3] for p in parts]), second), '","expires_on":null}\n',
    )  # fmt: skip
    inbox.write_lines("app_consents", plan.business_date(night), "consents.jsonl", [lines])


def _write_app_history(bank: Bank, inbox: Inbox, devices: pa.Array) -> None:
    plan, app = bank.plan, bank.app
    user_count = int((bank.people.arrival_night[app.person] == 0).sum())
    for chunk, low in enumerate(range(0, user_count, EVENT_CHUNK)):
        rows = slice(low, min(low + EVENT_CHUNK, user_count))
        user_events = events.app_history(
            plan.seed, chunk, rows, app, bank.wealth_interest, plan.first_day, plan.start
        )
        lines = _lines_in_parts(bank, user_events, devices, "E", chunk * 10**8)
        name = f"events_history_{chunk:03d}.jsonl.gz"
        inbox.write_lines(
            "app_events", plan.business_date(0), name, lines, note="months before the first night"
        )


def _lines_in_parts(
    bank: Bank, user_events: events.Events, devices: pa.Array, prefix: str, first: int
) -> Iterator[pa.Array]:
    systems = bank.app.person % 10 // 4
    for low in range(0, max(len(user_events.user), 1), 250_000):
        part = events.Events(
            *(getattr(user_events, f.name)[low : low + 250_000] for f in fields(events.Events))
        )
        yield events.app_lines(part, bank.app_user_ids, devices, systems, prefix, first + low)


def _write_app_events(bank: Bank, inbox: Inbox, night: int, devices: pa.Array) -> None:
    plan, business_date = bank.plan, bank.plan.business_date(night)
    can_act = bank.can_act(night)
    user_events = events.app_night(
        plan.seed, night, plan.first_day + night, bank.app, bank.wealth_interest, can_act
    )
    user_events, late_count = events.events_in_file_order(
        plan.seed, night, user_events, plan.rates.out_of_order
    )
    lines = _lines_in_parts(bank, user_events, devices, f"D{night:03d}", 0)
    inbox.write_lines(
        "app_events", business_date, "events.jsonl.gz", lines,
        bad_texts=[('"user":{"id":"U', '"user":{"id":"","was":"U'), (f'"at":"{business_date.year}', '"at":"yesterday')],
        duplicate_share=plan.rates.duplicate_rows, note=f"{late_count} events out of order" if late_count else "",
    )  # fmt: skip
    if night == 1:
        inbox.repeat_file("app_events", business_date, "events.jsonl.gz", "events_again.jsonl.gz")


def _write_web(bank: Bank, inbox: Inbox, night: int) -> None:
    plan, web, business_date = bank.plan, bank.web, bank.plan.business_date(night)
    rows = np.flatnonzero(web.first_night == night)
    positions, person = pa.array(rows), web.person[rows]
    login = _visible_texts(web.is_signed_in[rows], app_user_ids(person * 2))
    login = replace_where(login, web.has_placeholder_login[rows], "anonymous")
    device = replace_where(
        tokens("fp", web.number[rows], 20, 33),
        web.has_shared_device[rows],
        device_ids(person[web.has_shared_device[rows]] * 2),
    )
    kiosk = web.kiosk[rows]
    device = replace_where(device, kiosk >= 0, kiosk_devices(kiosk[kiosk >= 0]))
    table = pa.table({
        "cookie_id": bank.cookies.take(positions),
        "login_id": login,
        "form_phone": _phone_texts(web.phone[rows]),
        "device_id": device,
        "first_seen": days(web.first_visit_on[rows]),
        "last_seen": days(web.last_visit_on[rows]),
    })  # fmt: skip
    inbox.write_csv("web_visitors", business_date, "visitors.csv.gz", [table])
    if night == 0:
        lines, _ = events.web_lines(
            plan.seed, 0, plan.first_day, min(90, plan.first_day - plan.start), web, bank.cookies, "WH"
        )
        inbox.write_lines(
            "web_events", business_date, "events_history.jsonl", [lines], note="months before the first night"
        )
    lines, _ = events.web_lines(
        plan.seed, night, plan.first_day + night, 0, web, bank.cookies, f"W{night:03d}"
    )
    is_late = generator(plan.seed, "late web", night).random(len(lines)) < plan.rates.late_rows * 4
    is_late[:1] = True  # at least one
    punctual_lines = [lines.filter(pa.array(~is_late))]
    inbox.write_lines(
        "web_events", business_date, "events.jsonl", punctual_lines, bad_texts=[('"at":"20', '"at":"2O')]
    )
    if night + 1 < plan.nights:
        note = "left in this folder when the next night's files came"
        inbox.write_lines(
            "web_events", business_date, "events_late.jsonl", [lines.filter(pa.array(is_late))], note=note
        )


def _write_followers(bank: Bank, inbox: Inbox, night: int) -> None:
    users = bank.followers
    rows = np.flatnonzero(users.first_night <= night)
    positions, person = pa.array(rows), users.person[rows]
    is_bound, has_phone = users.binding_night[rows] <= night, users.phone_night[rows] <= night
    bound_on = np.where(
        (users.binding_night[rows] > 0) & is_bound & ~has_phone,
        bank.plan.first_day + users.binding_night[rows],
        users.followed_on[rows],
    )
    table = pa.table({
        "openid": bank.openids("wechat_account").take(positions),
        "unionid": bank.unionids("wechat_account").take(positions),
        "nickname": _nicknames(rows),
        "phone": _visible_texts(has_phone, _phone_texts(users.phone[rows])),
        "cust_no": _visible_texts(is_bound, bank.main_customer_numbers(person)),
        "followed_on": days(users.followed_on[rows]),
        "bound_on": days(bound_on, ~(is_bound | has_phone)),
    })  # fmt: skip
    business_date, rates = bank.plan.business_date(night), bank.plan.rates
    inbox.write_csv(
        "wechat_followers", business_date, "followers.csv.gz", [table], CsvFormat(is_quoted=True),
        bad_values={"openid": ""}, bad_share=rates.bad_rows, duplicate_share=rates.duplicate_rows,
    )  # fmt: skip


def _nicknames(rows: np.ndarray) -> pa.Array:
    return texts_at(["微信用户", "阳光", "小雨", "A 海阔天空", "豆豆妈", "🌻", "老王", ""], rows * 7 % 8)


def _write_minis(bank: Bank, inbox: Inbox, night: int) -> None:
    users = bank.minis
    rows = np.flatnonzero(users.first_night <= night)
    positions, person = pa.array(rows), users.person[rows]
    is_bound, has_phone = users.binding_night[rows] <= night, users.phone_night[rows] <= night
    created_on = days(users.followed_on[rows]).cast(pa.string())
    lines = join_texts(
        '{"openid":"', bank.openids("wechat_mini").take(positions), '","unionid":"', bank.unionids("wechat_mini").take(positions),
        '","nick":"', _nicknames(rows + 3), '","bind":{"phone":"', _visible_texts(has_phone, _phone_texts(users.phone[rows])),
        '","cust_no":"', _visible_texts(is_bound, bank.main_customer_numbers(person)), '","on":"',
        _visible_texts(is_bound | has_phone, created_on.cast(pa.large_string())), '"},"created_on":"', created_on, '"}\n',
    )  # fmt: skip
    inbox.write_lines("wechat_mini_users", bank.plan.business_date(night), "users.jsonl.gz", [lines])
