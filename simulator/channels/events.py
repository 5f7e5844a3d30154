"""What people do in the app and on the web: sessions, funnels, and their JSON lines."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from simulator.world import codes
from simulator.world.draws import generator, joined, moments, numbered, put, taken
from simulator.world.profiles import App, Web

NAMES = ["login", "content_view", "product_search", "transfer_ok", "bill_pay_ok", "wallet_bind",
         "activity_view", "activity_join", "activity_done",
         "wealth_detail_view", "wealth_click_buy", "wealth_risk_assess", "wealth_password", "wealth_purchase_ok"]  # fmt: skip
ITEM_CLASSES = [None, "content", None, None, None, "wallet", "activity", "activity", "activity"] + [
    "wealth"
] * 5
# chance of each event after a login; −1 = chance after the event before it
AFTER = [0.30, 0.12, 0.20, 0.10, 0.01, 0.06, -0.40, -0.50, 0.0, -0.40, -0.60, -0.60, -0.70]
WEALTH_VIEW = NAMES.index("wealth_detail_view")
WEALTH_ITEMS = [p[0] for p in codes.PRODUCTS if p[2] == "WEALTH"]


@dataclass
class Events:
    """One entry per event of the user at position `user`; `session` numbers the sessions of one delivery."""

    user: np.ndarray
    session: np.ndarray
    day: np.ndarray
    second: np.ndarray
    name: np.ndarray
    ok: np.ndarray
    item: np.ndarray


def _sessions(rng: np.random.Generator, user: np.ndarray, day: np.ndarray, keen: np.ndarray) -> Events:
    """Give a login each, and what follows it; `keen` is the chance of looking at wealth products."""
    count = len(user)
    second = ((6.5 + 16.5 * rng.beta(1.6, 1.3, count)) * 3600).astype(np.int64)
    ok = rng.random(count) >= 0.03
    parts = [(np.arange(count), np.zeros(count, dtype=np.int64))]
    before = ok
    for place, chance in enumerate(AFTER, start=1):
        draw = rng.random(count)
        likely = keen if place == WEALTH_VIEW else np.full(count, abs(chance))
        before = (before if chance < 0 else ok) & (draw < likely)
        at = np.flatnonzero(before)
        parts.append((at, np.full(len(at), place)))
    session = np.concatenate([p[0] for p in parts])
    name = np.concatenate([p[1] for p in parts])
    order = np.lexsort((name, session))
    session, name = session[order], name[order]
    return Events(
        user=user[session],
        session=session,
        day=day[session],
        second=second[session] + name * 17 + session % 13,
        name=name,
        ok=(name > 0) | ok[session],
        item=rng.integers(0, 40, len(session)),
    )


def app_history(
    seed: int, chunk: int, rows: slice, app: App, keen: np.ndarray, first_day: int, start: int
) -> Events:
    """Events of the users `rows` up to the day of their last login before the first night."""
    rng = generator(seed, "app events", chunk)
    here = np.arange(rows.start, rows.stop)
    here = here[(app.since[rows] == 0) & (app.registered[rows] < first_day)]
    last = first_day - 1 - app.silent_days[here]
    last = np.maximum(last, app.registered[here])
    low = np.maximum(start, app.registered[here])
    span = np.maximum(last - low, 0)
    counts = rng.poisson(app.monthly_logins[here] * span / 30)
    who = np.repeat(np.arange(len(here)), counts)
    day = low[who] + (rng.random(len(who)) * span[who]).astype(np.int64)
    user = np.concatenate([here[who], here])  # everybody's last login is there, however long ago
    return _sessions(rng, user, np.concatenate([day, last]), keen[user])


def app_night(seed: int, night: int, day: int, app: App, keen: np.ndarray, acts: np.ndarray) -> Events:
    """Events of one day: users by their habit, new ones for sure, silent ones seldom; only those who `acts` (not the dead)."""
    rng = generator(seed, "app night", night)
    arrived = np.flatnonzero(app.since <= night)
    fresh = app.since[arrived] == night if night else np.zeros(len(arrived), dtype=bool)
    silent = app.silent_days[arrived] > 30
    chance = np.where(silent, 0.002, app.monthly_logins[arrived] / 30)
    user = arrived[((rng.random(len(arrived)) < chance) | fresh) & acts[arrived]]
    return _sessions(rng, user, np.full(len(user), day), keen[user])


def as_written(seed: int, night: int, happened: Events, share: float) -> tuple[Events, int]:
    """Give the events in the order a collector writes them: by time, but for a share that comes later in the file, and how many."""
    rng = generator(seed, "out of order", night)
    count = len(happened.user)
    late = rng.random(count) < share
    place = happened.second + np.where(late, rng.integers(600, 36_000, count), 0)
    order = np.lexsort((happened.name, happened.session, place))
    written = Events(*(getattr(happened, f.name)[order] for f in fields(Events)))
    passed = np.maximum.accumulate(written.second) if count else written.second
    return written, int((written.second < passed).sum())


def app_lines(
    events: Events,
    app_user: pa.Array,
    device: pa.Array,
    device_os: np.ndarray,
    prefix: str,
    first_number: int,
) -> pa.Array:
    """Give the events as JSON lines; numbers run from `first_number` so that keys are unique in the delivery."""
    user = pa.array(events.user)
    number = np.arange(len(events.user)) + first_number
    classes = [f'"{c}"' if c else "null" for c in ITEM_CLASSES]
    item = joined('"', numbered("N", events.item, 4), '"')
    wealth = events.name >= WEALTH_VIEW
    item = put(item, wealth, joined('"', taken(WEALTH_ITEMS, events.item[wealth] % len(WEALTH_ITEMS)), '"'))
    item = put(item, np.array([c is None for c in ITEM_CLASSES])[events.name], "null")
    return joined(
        '{"event_id":"', numbered(prefix, number, 11), '","user":{"id":"', app_user.take(user),
        '"},"event":{"name":"', taken(NAMES, events.name), '","ok":', taken(["false", "true"], events.ok.astype(np.int64)),
        ',"at":"', moments(events.day, events.second), '"},"session":"', numbered(prefix + "S", events.session + first_number, 11),
        '","device":{"id":"', device.take(user), '","os":"', taken(["android", "ios", "harmony"], device_os[events.user]),
        '"},"item":{"id":', item, ',"class":', taken(classes, events.name), '},"props":{"version":"8.3"}}\n',
    )  # fmt: skip


WEB_NAMES = ["page_view", "product_view", "wealth_detail_view", "form_submit"]
WEB_PATHS = ["/", "/products", "/wealth", "/contact"]


def web_lines(
    seed: int, night: int, day: int, past_days: int, web: Web, cookie: pa.Array, prefix: str
) -> tuple[pa.Array, np.ndarray]:
    """Web events of `day`, or of the `past_days` before it when that is above zero, and the day of each."""
    rng = generator(seed, "web events", night, past_days)
    arrived = np.flatnonzero(web.since <= (night if not past_days else 0))
    views = rng.poisson(1.5 * past_days / 30 if past_days else 0.05, len(arrived))
    views = np.where((web.since[arrived] == night) & (night > 0), np.maximum(views, 1), views)
    who = np.repeat(arrived, views)
    days = (
        day - 1 - (rng.random(len(who)) * past_days).astype(np.int64) if past_days else np.full(len(who), day)
    )
    days = np.where(days < web.first_seen[who], np.minimum(web.first_seen[who], day - bool(past_days)), days)
    second = ((7 + 16 * rng.random(len(who))) * 3600).astype(np.int64)
    name = np.searchsorted(np.cumsum([0.6, 0.25, 0.12]), rng.random(len(who)), side="right")
    item = put(taken(WEALTH_ITEMS, rng.integers(0, len(WEALTH_ITEMS), len(who))), name == 0, "")
    lines = joined(
        '{"id":"', numbered(prefix, np.arange(len(who)), 11), '","cookie":"', cookie.take(pa.array(who)),
        '","name":"', taken(WEB_NAMES, name), '","at":"', moments(days, second),
        '","page":{"path":"', taken(WEB_PATHS, name), '","item":"', item, '"}}\n',
    )  # fmt: skip
    return lines, days
