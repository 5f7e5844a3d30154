"""Files of the mobile app, the web site and the two WeChat applications."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pyarrow as pa

from simulator.channels import events as ev
from simulator.channels.files import Inbox, Shape
from simulator.world.bank import Bank
from simulator.world.draws import days, generator, joined, moments, put, taken, tokens
from simulator.world.identifiers import written_names, written_phones
from simulator.world.keys import app_user_ids, device_ids, kiosk_devices

EVENT_CHUNK = 30_000  # app users whose history stands in memory at once
PLAIN_STYLE = 0


def write_channels(bank: Bank, inbox: Inbox) -> None:
    """All files of the digital channels for every night of the plan."""
    world, users = bank.world, bank.app.person
    names = written_names(
        world.surname[users], world.given[users], world.given_second[users], bank.app.name_style
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


def _rendered_phones(phone: np.ndarray) -> pa.Array:
    """Phones as digital channels keep them: digits, nothing where there is none."""
    return put(written_phones(phone, np.full(len(phone), PLAIN_STYLE)), phone < 0, "")


def _blank_unless(keep: np.ndarray, text: pa.Array) -> pa.Array:
    return put(text, ~keep, "")


def _write_app_profiles(bank: Bank, inbox: Inbox, night: int, names: pa.Array, devices: pa.Array) -> None:
    app, plan = bank.app, bank.plan
    rows = np.flatnonzero((app.since <= night) & (app.gone_from > night))
    take = pa.array(rows)
    person = app.person[rows]
    phone, changed = bank.moved(person, app.phone[rows], night)
    bound = app.bound_from[rows] <= night
    bound_on = np.where(app.bound_from[rows] > 0, plan.first_day + app.bound_from[rows], app.registered[rows])
    updated = np.maximum(
        np.where(bound, np.maximum(bound_on, app.registered[rows]), app.registered[rows]), changed
    )
    table = pa.table({
        "app_user_id": bank.app_user_ids.take(take),
        "display_name": names.take(take),
        "cust_no": _blank_unless(bound, bank.main_customer_number(person)),
        "mobile": _rendered_phones(phone),
        "device_id": devices.take(take),
        "registered_at": moments(app.registered[rows], 8 * 3600 + app.number[rows] * 7 % 40_000),
        "updated_on": days(updated),
    })  # fmt: skip
    inbox.csv(
        "app_profiles", plan.business_date(night), "profiles.csv.gz", [table],
        broken={"app_user_id": ""}, bad_share=plan.rates.bad_rows, duplicate_share=plan.rates.duplicate_rows,
    )  # fmt: skip


def _write_app_consents(bank: Bank, inbox: Inbox, night: int) -> None:
    """Consent decisions in the app: everything on the first night, then new users' and opt-outs."""
    app, plan = bank.app, bank.plan
    draws = generator(plan.seed, "app consents").random((len(app.person), 4))
    parts = []
    for place, share in enumerate((0.72, 0.55, 0.68)):
        fresh = np.flatnonzero((app.since == night) & (draws[:, place] < share + 0.1))
        parts.append(
            (
                fresh,
                place,
                np.where(draws[fresh, place] < share, 0, 1),
                np.maximum(app.registered[fresh], plan.first_day - 900),
            )
        )
        if night:
            known = np.flatnonzero(app.since < night)
            leaves = (
                generator(plan.seed, "app opt out", night, place).random(len(app.person))[known]
                < plan.rates.opt_outs_per_night
            )
            gone = known[leaves]
            parts.append(
                (gone, place, np.ones(len(gone), dtype=np.int64), np.full(len(gone), plan.first_day + night))
            )
    user = np.concatenate([p[0] for p in parts])
    channel = np.concatenate([np.full(len(p[0]), p[1]) for p in parts])
    second = 9 * 3600 + (draws[user, 3] * 12 * 3600).astype(np.int64)
    lines = joined(
        '{"user_id":"', bank.app_user_ids.take(pa.array(user)), '","purpose":"marketing","channel":"',
        taken(["PUSH", "WECHAT", "INAPP"], channel), '","decision":"',
        taken(["GRANT", "REFUSE"], np.concatenate([p[2] for p in parts])), '","decided_at":"',
        moments(np.concatenate([p[3] for p in parts]), second), '","expires_on":null}\n',
    )  # fmt: skip
    inbox.lines("app_consents", plan.business_date(night), "consents.jsonl", [lines])


def _write_app_history(bank: Bank, inbox: Inbox, devices: pa.Array) -> None:
    plan, app = bank.plan, bank.app
    base = int((bank.world.arrives[app.person] == 0).sum())
    for chunk, low in enumerate(range(0, base, EVENT_CHUNK)):
        rows = slice(low, min(low + EVENT_CHUNK, base))
        happened = ev.app_history(plan.seed, chunk, rows, app, bank.keen, plan.first_day, plan.start)
        lines = _lines_in_parts(bank, happened, devices, "E", chunk * 10**8)
        name = f"events_history_{chunk:03d}.jsonl.gz"
        inbox.lines("app_events", plan.business_date(0), name, lines, note="months before the first night")


def _lines_in_parts(
    bank: Bank, happened: ev.Events, devices: pa.Array, prefix: str, first: int
) -> Iterator[pa.Array]:
    systems = bank.app.person % 10 // 4
    for low in range(0, max(len(happened.user), 1), 250_000):
        part = ev.Events(*(getattr(happened, f.name)[low : low + 250_000] for f in fields(ev.Events)))
        yield ev.app_lines(part, bank.app_user_ids, devices, systems, prefix, first + low)


def _write_app_events(bank: Bank, inbox: Inbox, night: int, devices: pa.Array) -> None:
    plan, on = bank.plan, bank.plan.business_date(night)
    acts = bank.acts(night)
    happened = ev.app_night(plan.seed, night, plan.first_day + night, bank.app, bank.keen, acts)
    happened, displaced = ev.as_written(plan.seed, night, happened, plan.rates.out_of_order)
    lines = _lines_in_parts(bank, happened, devices, f"D{night:03d}", 0)
    inbox.lines(
        "app_events", on, "events.jsonl.gz", lines,
        broken=[('"user":{"id":"U', '"user":{"id":"","was":"U'), (f'"at":"{on.year}', '"at":"yesterday')],
        duplicate_share=plan.rates.duplicate_rows, note=f"{displaced} events out of order" if displaced else "",
    )  # fmt: skip
    if night == 1:
        inbox.again("app_events", on, "events.jsonl.gz", "events_again.jsonl.gz")


def _write_web(bank: Bank, inbox: Inbox, night: int) -> None:
    plan, web, on = bank.plan, bank.web, bank.plan.business_date(night)
    rows = np.flatnonzero(web.since == night)
    take, person = pa.array(rows), web.person[rows]
    login = _blank_unless(web.signs_in[rows], app_user_ids(person * 2))
    login = put(login, web.has_placeholder[rows], "anonymous")
    device = put(
        tokens("fp", web.number[rows], 20, 33),
        web.shares_device[rows],
        device_ids(person[web.shares_device[rows]] * 2),
    )
    kiosk = web.kiosk[rows]
    device = put(device, kiosk >= 0, kiosk_devices(kiosk[kiosk >= 0]))
    table = pa.table({
        "cookie_id": bank.cookies.take(take),
        "login_id": login,
        "form_phone": _rendered_phones(web.phone[rows]),
        "device_id": device,
        "first_seen": days(web.first_seen[rows]),
        "last_seen": days(web.last_seen[rows]),
    })  # fmt: skip
    inbox.csv("web_visitors", on, "visitors.csv.gz", [table])
    if night == 0:
        lines, _ = ev.web_lines(
            plan.seed, 0, plan.first_day, min(90, plan.first_day - plan.start), web, bank.cookies, "WH"
        )
        inbox.lines("web_events", on, "events_history.jsonl", [lines], note="months before the first night")
    lines, _ = ev.web_lines(plan.seed, night, plan.first_day + night, 0, web, bank.cookies, f"W{night:03d}")
    late = generator(plan.seed, "late web", night).random(len(lines)) < plan.rates.late_rows * 4
    late[:1] = True  # at least one
    kept = [lines.filter(pa.array(~late))]
    inbox.lines("web_events", on, "events.jsonl", kept, broken=[('"at":"20', '"at":"2O')])
    if night + 1 < plan.nights:
        note = "left in this folder when the next night's files came"
        inbox.lines("web_events", on, "events_late.jsonl", [lines.filter(pa.array(late))], note=note)


def _write_followers(bank: Bank, inbox: Inbox, night: int) -> None:
    users = bank.followers
    rows = np.flatnonzero(users.since <= night)
    take, person = pa.array(rows), users.person[rows]
    bound, phone = users.bound_from[rows] <= night, users.phone_from[rows] <= night
    bound_on = np.where(
        (users.bound_from[rows] > 0) & bound & ~phone,
        bank.plan.first_day + users.bound_from[rows],
        users.followed[rows],
    )
    table = pa.table({
        "openid": bank.openids("wechat_account").take(take),
        "unionid": bank.unionids("wechat_account").take(take),
        "nickname": _nicknames(rows),
        "phone": _blank_unless(phone, _rendered_phones(users.phone[rows])),
        "cust_no": _blank_unless(bound, bank.main_customer_number(person)),
        "followed_on": days(users.followed[rows]),
        "bound_on": days(bound_on, ~(bound | phone)),
    })  # fmt: skip
    on, rates = bank.plan.business_date(night), bank.plan.rates
    inbox.csv(
        "wechat_followers", on, "followers.csv.gz", [table], Shape(quoted=True),
        broken={"openid": ""}, bad_share=rates.bad_rows, duplicate_share=rates.duplicate_rows,
    )  # fmt: skip


def _nicknames(rows: np.ndarray) -> pa.Array:
    return taken(["微信用户", "阳光", "小雨", "A 海阔天空", "豆豆妈", "🌻", "老王", ""], rows * 7 % 8)


def _write_minis(bank: Bank, inbox: Inbox, night: int) -> None:
    users = bank.minis
    rows = np.flatnonzero(users.since <= night)
    take, person = pa.array(rows), users.person[rows]
    bound, phone = users.bound_from[rows] <= night, users.phone_from[rows] <= night
    created = days(users.followed[rows]).cast(pa.string())
    lines = joined(
        '{"openid":"', bank.openids("wechat_mini").take(take), '","unionid":"', bank.unionids("wechat_mini").take(take),
        '","nick":"', _nicknames(rows + 3), '","bind":{"phone":"', _blank_unless(phone, _rendered_phones(users.phone[rows])),
        '","cust_no":"', _blank_unless(bound, bank.main_customer_number(person)), '","on":"',
        _blank_unless(bound | phone, created.cast(pa.large_string())), '"},"created_on":"', created, '"}\n',
    )  # fmt: skip
    inbox.lines("wechat_mini_users", bank.plan.business_date(night), "users.jsonl.gz", [lines])
