"""What people do in the app and on the web: sessions, funnels, and their JSON lines."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from simulator.world import codes
from simulator.world.draws import generator, join_texts, moments, numbered_texts, replace_where, texts_at
from simulator.world.profiles import AppUsers, WebCookies

NAMES = ["login", "content_view", "product_search", "transfer_ok", "bill_pay_ok", "wallet_bind",
         "activity_view", "activity_join", "activity_done",
         "wealth_detail_view", "wealth_click_buy", "wealth_risk_assess", "wealth_password", "wealth_purchase_ok"]  # fmt: skip
ITEM_CLASSES = [None, "content", None, None, None, "wallet", "activity", "activity", "activity"] + [
    "wealth"
] * 5
# chance of each event after a login; a negative number is the chance after the event before it
CHANCES_AFTER = [0.30, 0.12, 0.20, 0.10, 0.01, 0.06, -0.40, -0.50, 0.0, -0.40, -0.60, -0.60, -0.70]
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
    is_ok: np.ndarray
    item: np.ndarray


def _sessions(
    rng: np.random.Generator, user: np.ndarray, day: np.ndarray, wealth_interest: np.ndarray
) -> Events:
    """Give one login for each entry and the events after it; `wealth_interest` is the chance of a look at wealth products."""
    count = len(user)
    second = ((6.5 + 16.5 * rng.beta(1.6, 1.3, count)) * 3600).astype(np.int64)
    is_ok = rng.random(count) >= 0.03
    parts = [(np.arange(count), np.zeros(count, dtype=np.int64))]
    has_event = is_ok
    for place, chance in enumerate(CHANCES_AFTER, start=1):
        draw = rng.random(count)
        chances = wealth_interest if place == WEALTH_VIEW else np.full(count, abs(chance))
        has_event = (has_event if chance < 0 else is_ok) & (draw < chances)
        rows = np.flatnonzero(has_event)
        parts.append((rows, np.full(len(rows), place)))
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
        is_ok=(name > 0) | is_ok[session],
        item=rng.integers(0, 40, len(session)),
    )


def app_history(
    seed: int, chunk: int, rows: slice, app: AppUsers, wealth_interest: np.ndarray, first_day: int, start: int
) -> Events:
    """Give the events of the users `rows` up to the day of their last login before the first night."""
    rng = generator(seed, "app events", chunk)
    users = np.arange(rows.start, rows.stop)
    users = users[(app.first_night[rows] == 0) & (app.registered_on[rows] < first_day)]
    last_login_day = first_day - 1 - app.silent_days[users]
    last_login_day = np.maximum(last_login_day, app.registered_on[users])
    low = np.maximum(start, app.registered_on[users])
    span = np.maximum(last_login_day - low, 0)
    counts = rng.poisson(app.monthly_logins[users] * span / 30)
    places = np.repeat(np.arange(len(users)), counts)
    day = low[places] + (rng.random(len(places)) * span[places]).astype(np.int64)
    # the last login of each user is in the file, even after a long silence
    user = np.concatenate([users[places], users])
    return _sessions(rng, user, np.concatenate([day, last_login_day]), wealth_interest[user])


def app_night(
    seed: int, night: int, day: int, app: AppUsers, wealth_interest: np.ndarray, can_act: np.ndarray
) -> Events:
    """Give the events of one day: of users by their habit, of new users always, of silent users seldom; only where `can_act` is true."""
    rng = generator(seed, "app night", night)
    users = np.flatnonzero(app.first_night <= night)
    is_new = app.first_night[users] == night if night else np.zeros(len(users), dtype=bool)
    is_silent = app.silent_days[users] > 30
    chance = np.where(is_silent, 0.002, app.monthly_logins[users] / 30)
    user = users[((rng.random(len(users)) < chance) | is_new) & can_act[users]]
    return _sessions(rng, user, np.full(len(user), day), wealth_interest[user])


def events_in_file_order(seed: int, night: int, events: Events, share: float) -> tuple[Events, int]:
    """Give the events in file order and the number of late ones: the order is by time, but a share comes later in the file."""
    rng = generator(seed, "out of order", night)
    count = len(events.user)
    is_late = rng.random(count) < share
    place = events.second + np.where(is_late, rng.integers(600, 36_000, count), 0)
    order = np.lexsort((events.name, events.session, place))
    file_events = Events(*(getattr(events, f.name)[order] for f in fields(Events)))
    latest_second = np.maximum.accumulate(file_events.second) if count else file_events.second
    return file_events, int((file_events.second < latest_second).sum())


def app_lines(
    events: Events,
    user_ids: pa.Array,
    device_ids: pa.Array,
    device_os: np.ndarray,
    prefix: str,
    first_number: int,
) -> pa.Array:
    """Give the events as JSON lines; numbers run from `first_number` so that keys are unique in the delivery."""
    user = pa.array(events.user)
    number = np.arange(len(events.user)) + first_number
    classes = [f'"{c}"' if c else "null" for c in ITEM_CLASSES]
    item = join_texts('"', numbered_texts("N", events.item, 4), '"')
    wealth = events.name >= WEALTH_VIEW
    item = replace_where(
        item, wealth, join_texts('"', texts_at(WEALTH_ITEMS, events.item[wealth] % len(WEALTH_ITEMS)), '"')
    )
    item = replace_where(item, np.array([c is None for c in ITEM_CLASSES])[events.name], "null")
    return join_texts(
        '{"event_id":"', numbered_texts(prefix, number, 11), '","user":{"id":"', user_ids.take(user),
        '"},"event":{"name":"', texts_at(NAMES, events.name), '","ok":', texts_at(["false", "true"], events.is_ok.astype(np.int64)),
        ',"at":"', moments(events.day, events.second), '"},"session":"', numbered_texts(prefix + "S", events.session + first_number, 11),
        '","device":{"id":"', device_ids.take(user), '","os":"', texts_at(["android", "ios", "harmony"], device_os[events.user]),
        '"},"item":{"id":', item, ',"class":', texts_at(classes, events.name), '},"props":{"version":"8.3"}}\n',
    )  # fmt: skip


WEB_NAMES = ["page_view", "product_view", "wealth_detail_view", "form_submit"]
WEB_PATHS = ["/", "/products", "/wealth", "/contact"]


def web_lines(
    seed: int, night: int, day: int, past_days: int, web: WebCookies, cookie_ids: pa.Array, prefix: str
) -> tuple[pa.Array, np.ndarray]:
    """Give the web events of `day`, or of the `past_days` before it if that is above zero, and the day of each."""
    rng = generator(seed, "web events", night, past_days)
    cookies = np.flatnonzero(web.first_night <= (night if not past_days else 0))
    views = rng.poisson(1.5 * past_days / 30 if past_days else 0.05, len(cookies))
    views = np.where((web.first_night[cookies] == night) & (night > 0), np.maximum(views, 1), views)
    places = np.repeat(cookies, views)
    days = (
        day - 1 - (rng.random(len(places)) * past_days).astype(np.int64)
        if past_days
        else np.full(len(places), day)
    )
    days = np.where(
        days < web.first_visit_on[places], np.minimum(web.first_visit_on[places], day - bool(past_days)), days
    )
    second = ((7 + 16 * rng.random(len(places))) * 3600).astype(np.int64)
    name = np.searchsorted(np.cumsum([0.6, 0.25, 0.12]), rng.random(len(places)), side="right")
    item = replace_where(
        texts_at(WEALTH_ITEMS, rng.integers(0, len(WEALTH_ITEMS), len(places))), name == 0, ""
    )
    lines = join_texts(
        '{"id":"', numbered_texts(prefix, np.arange(len(places)), 11), '","cookie":"', cookie_ids.take(pa.array(places)),
        '","name":"', texts_at(WEB_NAMES, name), '","at":"', moments(days, second),
        '","page":{"path":"', texts_at(WEB_PATHS, name), '","item":"', item, '"}}\n',
    )  # fmt: skip
    return lines, days
