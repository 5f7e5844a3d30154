"""What each channel knows of its users: one array position per profile, with the troubles the profile carries."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from simulator.world import identifiers as ids
from simulator.world.draws import generator
from simulator.world.people import SPOUSE, People
from simulator.world.rates import Rates

NEVER = 9_999
KEYS_PER_PERSON = 2  # core records, app users and cookies of one person: at most two each
OWN_DEVICE, ZERO_DEVICE = 0, -10
KIOSK_DEVICE = -100  # and below: the device of a branch kiosk
PEOPLE_PER_KIOSK = 20_000
KIOSK_COOKIES = 2**40  # number of the first kiosk's cookie, far from those of people


@dataclass
class Core:
    """Records of core banking. `number` makes the customer number."""

    person: np.ndarray
    number: np.ndarray
    since: np.ndarray  # night of first delivery
    opened: np.ndarray
    id_form: np.ndarray
    phone: np.ndarray
    phone_style: np.ndarray
    has_email: np.ndarray
    is_told: np.ndarray  # hears of a phone change
    updated: np.ndarray
    is_second: np.ndarray


@dataclass
class App:
    """Registrations of the mobile app."""

    person: np.ndarray
    number: np.ndarray
    since: np.ndarray
    registered: np.ndarray
    bound_from: np.ndarray  # night from which the core customer number is known
    phone: np.ndarray
    device: np.ndarray  # of the device's owner; ≤ ZERO_DEVICE a placeholder, ≤ KIOSK_DEVICE a kiosk
    name_style: np.ndarray
    monthly_logins: np.ndarray
    silent_days: np.ndarray  # days between the last login of the history and the first night
    gone_from: np.ndarray  # night from which the app no longer delivers the profile (NEVER for nearly all)
    is_second: np.ndarray


@dataclass
class Web:
    """Cookies of the web site."""

    person: np.ndarray
    number: np.ndarray
    since: np.ndarray
    first_seen: np.ndarray
    last_seen: np.ndarray
    signs_in: np.ndarray
    has_placeholder: np.ndarray
    phone: np.ndarray
    shares_device: np.ndarray
    kiosk: np.ndarray  # number of the kiosk whose browser it is, −1 for people's own


@dataclass
class WeChat:
    """Followers of the official account, or users of the mini-program."""

    person: np.ndarray
    since: np.ndarray
    followed: np.ndarray
    has_unionid: np.ndarray
    phone_from: np.ndarray
    bound_from: np.ndarray
    phone: np.ndarray


T = TypeVar("T", Core, App, Web, WeChat)


def picked(frame: T, rows: np.ndarray) -> T:
    """Give the same dataclass of arrays with only the rows of a mask or index."""
    return type(frame)(*(getattr(frame, f.name)[rows] for f in fields(frame)))


def core_records(seed: int, world: People, first_day: int, rates: Rates) -> Core:
    """Core records: one per customer, and an old second one for some."""
    first = np.flatnonzero(world.is_customer)
    second = np.flatnonzero(world.second_record)
    rng = generator(seed, "core", 0)
    one = _core(rng, world, first, False, first_day, rates)
    two = _core(generator(seed, "core", 1), world, second, True, first_day, rates)
    both = Core(*(np.concatenate([getattr(one, f.name), getattr(two, f.name)]) for f in fields(Core)))
    # by night of first delivery, then person: a further night appends only
    return picked(both, np.lexsort((both.number, both.since)))


def _core(
    rng: np.random.Generator, world: People, person: np.ndarray, second: bool, first_day: int, rates: Rates
) -> Core:
    count = len(person)
    draws = rng.random((count, 8))  # a row per record, so that later arrivals change no earlier record
    age, since = world.age[person], world.arrives[person]
    is_new = (draws[:, 0] < rates.new_customers) & ~second & (since == 0)
    years = np.minimum(
        -np.log(1 - draws[:, 1]) * 9 + 0.28,
        np.maximum(age - 0.5, 0.28) if not second else np.maximum(age - 18, 20),
    )
    ago = np.where(is_new, (draws[:, 1] * 101).astype(np.int64), (years * 365).astype(np.int64).clip(101))
    ago = np.where(second, np.maximum(ago, 27 * 365), ago)
    outdated = world.lost_number[person] | world.has_stale_core_phone[person]
    ago = np.where(outdated, np.maximum(ago, 1_700), ago)
    opened = np.maximum(np.where(since > 0, first_day + since, first_day - ago), world.birth[person] + 30)
    edges = np.cumsum(
        [
            rates.wrong_check_digit,
            rates.missing_id,
            rates.placeholder_id,
            rates.id_full_width,
            rates.foreign_document,
        ]
    )
    kinds = np.array(
        [ids.ID_WRONG_CHECK, ids.ID_MISSING, ids.ID_PLACEHOLDER, ids.ID_FULL_WIDTH, ids.ID_FOREIGN, ids.ID_18]
    )
    form = kinds[np.searchsorted(edges, draws[:, 2], side="right")]
    form = np.where(world.old_form_only[person] | second, ids.ID_15, form)
    stale = outdated | second
    phone = np.where(stale, world.old_phone()[person], world.phone[person])
    edges = np.cumsum([rates.placeholder_phone, rates.missing_phone, rates.landline])
    trouble = np.searchsorted(edges, draws[:, 3], side="right")
    shared = world.took_number[person] | world.has_family_phone[person] | world.lends_phone[person]
    trouble = np.where(shared | (outdated & ~second), 3, trouble)
    placeholder = ids.PLACEHOLDER_BASE - np.where(
        draws[:, 4] < 0.7, 0, (draws[:, 4] * 40).astype(np.int64) % 4
    )
    phone = np.choose(
        trouble, [placeholder, np.full(count, ids.NO_PHONE), np.full(count, ids.LANDLINE), phone]
    )
    recent = np.maximum(opened, first_day - (draws[:, 5] * 1500).astype(np.int64))
    updated = np.where(
        stale, np.maximum(opened, first_day - 1600 - (draws[:, 5] * 2500).astype(np.int64)), recent
    )
    updated = np.where(
        world.took_number[person],
        np.maximum(opened, first_day - (draws[:, 5] * 600).astype(np.int64)),
        updated,
    )
    return Core(
        person=person,
        number=person * KEYS_PER_PERSON + second,
        since=since,
        opened=opened,
        id_form=form,
        phone=phone,
        phone_style=_phone_style(draws[:, 6], rates),
        has_email=draws[:, 7] < rates.email_known,
        is_told=(draws[:, 4] < 0.7) & ~stale,
        updated=updated,
        is_second=np.full(count, second),
    )


def _phone_style(draw: np.ndarray, rates: Rates) -> np.ndarray:
    edges = np.cumsum(
        [
            rates.phone_written_plus86,
            rates.phone_written_spaces,
            rates.phone_written_dashes,
            rates.phone_written_full_width,
        ]
    )
    styles = np.array(
        [ids.PHONE_PLUS86, ids.PHONE_SPACES, ids.PHONE_DASHES, ids.PHONE_FULL_WIDTH, ids.PHONE_PLAIN]
    )
    return styles[np.searchsorted(edges, draw, side="right")]


def _since(world: People, person: np.ndarray, draw: np.ndarray, rates: Rates) -> np.ndarray:
    """Night of a channel profile: with the person, or some nights later."""
    late = np.where(draw < rates.late_profiles, 1 + (draw / rates.late_profiles * 50).astype(np.int64), 0)
    return world.arrives[person] + late


def _bound_from(
    seed: int,
    topic: str,
    world: People,
    person: np.ndarray,
    nights: int,
    base: np.ndarray,
    may: np.ndarray,
    rates: Rates,
) -> np.ndarray:
    """Give the night a binding is known from: 0 by the mask, else drawn night by night among those who may."""
    bound = np.where(base, 0, NEVER)
    for night in range(1, nights):
        hit = (generator(seed, topic, "bind", night).random(len(world)) < rates.binds_per_night)[person]
        bound = np.where((bound == NEVER) & may & hit, night, bound)
    return bound


def app_users(seed: int, world: People, nights: int, first_day: int, rates: Rates) -> App:
    """App registrations; dependants with a relative's phone seldom have one."""
    count = len(world)
    draws = generator(seed, "app", 0).random((count, 10))
    share = np.where(world.is_customer, rates.app_of_customers, rates.app_of_prospects)
    share = share * np.where((world.age < 14) | (world.age > 85), 0, np.where(world.age > 65, 0.6, 1.1))
    share = np.where(world.has_family_phone, share * 0.25, share)
    has = draws[:, 0] < share
    again = has & (draws[:, 1] < rates.second_app_profile) & ~world.has_family_phone & ~world.lost_number
    person = np.concatenate([np.flatnonzero(has), np.flatnonzero(again)])
    second = np.arange(len(person)) >= has.sum()
    d = draws[person]
    since = np.where(second, world.arrives[person], _since(world, person, d[:, 2], rates))
    young = d[:, 3] < 0.05
    ago = np.where(
        young, (d[:, 3] / 0.05 * 31).astype(np.int64), 31 + (-np.log(1 - d[:, 3]) * 800).astype(np.int64)
    )
    registered = np.where(since > 0, first_day + since, first_day - np.where(second, ago + 900, ago))
    customer = world.is_customer[person]
    guards = (world.has_family_phone | world.lends_phone)[person] & (d[:, 4] < rates.guardians_bound)
    base = customer & ~second & ((d[:, 4] < rates.app_bound) | guards)
    bound = _bound_from(seed, "app", world, person, nights, base, customer & ~second, rates)
    phone = np.where(second, world.old_phone()[person], world.phone[person])
    phone = np.where((d[:, 5] < rates.app_without_phone) & ~second, ids.NO_PHONE, phone)
    # couples on one tablet: the partner's app runs on the head's device
    partner = (world.role[person] == SPOUSE) & has[world.head[person]]
    tablet = partner & (generator(seed, "tablet").random(count)[world.head[person]] < rates.shared_tablet)
    same = generator(seed, "handset").random(count)[person] < rates.same_handset
    device = np.where(
        tablet, world.head[person] * KEYS_PER_PERSON, person * KEYS_PER_PERSON + (second & ~same)
    )
    shares = np.isin(device, device[tablet]) if tablet.any() else np.zeros(len(person), dtype=bool)
    zero = (d[:, 6] < rates.placeholder_device) & ~shares
    device = np.where(zero, ZERO_DEVICE - (d[:, 6] / rates.placeholder_device * 3).astype(np.int64), device)
    kiosk = generator(seed, "kiosk").random(count)[person] < rates.kiosk_users
    kiosk &= customer & ~second & ~shares
    device = np.where(kiosk, KIOSK_DEVICE - person // PEOPLE_PER_KIOSK, device)
    gone = np.full(len(person), NEVER)
    for night in range(1, nights):
        hit = generator(seed, "retracted", night).random(count)[person] < rates.retracted
        gone = np.where((gone == NEVER) & hit & (since < night), night, gone)
    kinds = np.array(
        [ids.NAME_FULL_WIDTH_SPACE, ids.NAME_SPACED, ids.NAME_PINYIN, ids.NAME_MASKED, ids.NAME_PLAIN]
    )
    edges = np.cumsum([rates.name_full_width_space, rates.name_spaced, rates.name_pinyin, 0.2])
    mood = np.searchsorted(np.cumsum([0.52, 0.16, 0.1, 0.12]), d[:, 8], side="right")
    spread = d[:, 9]
    silent = np.choose(
        mood, [spread * 8, 5 + spread * 25, 31 + spread * 30, 61 + spread * 120, 181 + spread * 600]
    )
    rate = np.choose(mood, [3 + 9 * spread, 1 + spread, 1.5 * spread + 0.3, 0.6 + spread, 0.3 * spread + 0.1])
    silent = np.minimum(silent.astype(np.int64), np.maximum(first_day - registered, 0))
    users = App(
        person=person,
        number=person * KEYS_PER_PERSON + second,
        since=since,
        registered=registered,
        bound_from=bound,
        phone=phone,
        device=device,
        name_style=kinds[np.searchsorted(edges, d[:, 7], side="right")],
        monthly_logins=np.where(second, 0, rate),
        silent_days=np.where(second, np.maximum(silent, 400), silent),
        gone_from=gone,
        is_second=second,
    )
    return picked(users, np.lexsort((users.number, world.arrives[person])))


def web_cookies(seed: int, world: People, app: App, known: np.ndarray, first_day: int, rates: Rates) -> Web:
    """Cookies; people with the app sign in with their app user, of those some channel `known`s many leave a phone, strangers seldom."""
    count = len(world)
    draws = generator(seed, "web", 0).random((count, 9))
    share = np.where(known, rates.web_visitors, rates.web_strangers) * np.where(
        world.has_family_phone, rates.dependants, 1.0
    )
    has = (draws[:, 0] < share) & (world.age >= 14)
    again = has & (draws[:, 1] < rates.second_cookie)
    person = np.concatenate([np.flatnonzero(has), np.flatnonzero(again)])
    second = np.arange(len(person)) >= has.sum()
    d = np.where(second[:, None], draws[person][:, ::-1], draws[person])
    with_app = np.zeros(count, dtype=np.int64) + NEVER
    with_app[app.person[~app.is_second]] = app.since[~app.is_second]
    since = np.maximum(_since(world, person, d[:, 2], rates), 0)
    signs = (d[:, 4] < rates.web_signed_in) & (with_app[person] <= since)
    placeholder = ~signs & (d[:, 5] < rates.placeholder_login)
    form = (
        ~signs
        & ~placeholder
        & (d[:, 6] < np.where(known[person], rates.web_form_phone, rates.stranger_form_phone))
    )
    first = np.where(since > 0, first_day + since, first_day - 1 - (d[:, 7] * 300).astype(np.int64))
    last = np.minimum(
        first + (d[:, 8] * (first_day - first)).astype(np.int64).clip(0), np.maximum(first, first_day)
    )
    cookies = Web(
        person=person,
        number=person * KEYS_PER_PERSON + second,
        since=since,
        first_seen=first,
        last_seen=last,
        signs_in=signs,
        has_placeholder=placeholder,
        phone=np.where(form, world.phone[person], ids.NO_PHONE),
        shares_device=d[:, 3] < 0.06,
        kiosk=np.full(len(person), -1),
    )
    return picked(cookies, np.lexsort((cookies.number, world.arrives[person])))


def with_kiosks(web: Web, world: People, app: App, clerk: np.ndarray, people: int, first_day: int) -> Web:
    """Add the browsers of the branch kiosks: a clerk (`clerk` marks staff) signed in on each and left it to everybody."""
    users = app.person[(app.since == 0) & ~app.is_second]
    clerks = users[clerk[users]] if clerk[users].any() else users
    if not len(clerks):
        return web
    kiosk = np.arange((people - 1) // PEOPLE_PER_KIOSK + 1)
    same = np.ones(len(kiosk), dtype=np.int64)
    mine = Web(
        person=clerks[kiosk * 7 % len(clerks)], number=KIOSK_COOKIES + kiosk, since=same * 0, first_seen=same * (first_day - 60),
        last_seen=same * first_day, signs_in=same > 0, has_placeholder=same < 0, phone=same * ids.NO_PHONE,
        shares_device=same < 0, kiosk=kiosk,
    )  # fmt: skip
    both = Web(*(np.concatenate([getattr(web, f.name), getattr(mine, f.name)]) for f in fields(Web)))
    return picked(both, np.lexsort((both.number, world.arrives[both.person])))


def wechat_users(seed: int, world: People, mini: bool, nights: int, first_day: int, rates: Rates) -> WeChat:
    """Followers or mini-program users; the latter mostly let WeChat hand over their phone. Half of the mini users follow."""
    topic = "mini" if mini else "followers"
    follow_draw = generator(seed, "followers", 0).random((len(world), 8))
    draws = generator(seed, topic, 0).random((len(world), 8))
    share = rates.mini_users if mini else rates.followers
    decides = 0.5 * (follow_draw[:, 0] + draws[:, 0]) if mini else draws[:, 0]
    cut = (
        np.sqrt(share / 2) if mini else share
    )  # the mean of two uniforms is below sqrt(s/2) with probability s
    decides = np.where(world.has_family_phone, decides / np.sqrt(max(rates.dependants, 1e-9)), decides)
    person = np.flatnonzero((decides < cut) & (world.age >= 14))
    d = draws[person]
    customer = world.is_customer[person]
    # guardians, and who has a relative's phone, are identified by their customer number
    guards = (
        (world.lends_phone | world.has_family_phone)[person] & customer & (d[:, 7] < rates.guardians_bound)
    )
    if mini:
        bound = customer & (d[:, 2] < rates.mini_bound) | guards
        phone = (d[:, 3] < rates.mini_phone) | bound
    else:
        tied = (d[:, 2] < rates.follower_bound) & (customer | (d[:, 3] < 0.75))
        bound = tied & customer & (d[:, 3] >= rates.follower_phone_only) | guards
        phone = tied & ((d[:, 3] < rates.follower_phone_only) | (d[:, 4] < 0.5))
    since = _since(world, person, d[:, 1], rates)
    ago = 1 + (d[:, 5] * 1400).astype(np.int64)
    bound_from = _bound_from(seed, topic, world, person, nights, bound, customer, rates)
    return WeChat(
        person=person,
        since=since,
        followed=np.where(since > 0, first_day + since, first_day - ago),
        has_unionid=(d[:, 6] >= rates.unionid_missing) | (ago < 700),
        phone_from=np.where(phone, 0, NEVER),
        bound_from=bound_from,
        phone=world.phone[person],
    )


def phone_changes(seed: int, world: People, nights: int, rates: Rates) -> np.ndarray:
    """Give the night from which each person answers a new number (NEVER for nearly all)."""
    change = np.full(len(world), NEVER)
    # a number that relatives' records hang on stays
    may = ~world.has_family_phone & ~world.took_number & ~world.lends_phone & (world.age >= 16)
    for night in range(1, nights):
        hit = generator(seed, "phone change", night).random(len(world)) < rates.phone_changes_per_night
        change = np.where((change == NEVER) & may & hit & (world.arrives < night), night, change)
    return change


def standing(seed: int, world: People, core: Core, rates: Rates) -> dict[str, np.ndarray]:
    """Facts of core records that need no history: staff, merchant, deceased, grades, consent; one array each."""
    draws = generator(seed, "standing").random((len(core.person), 8))
    age = world.age[core.person]
    adult = age >= 18
    return {
        "staff": adult & (age < 60) & (draws[:, 0] < rates.staff),
        "merchant": adult & (draws[:, 1] < rates.merchants),
        "deceased": draws[:, 2] < rates.deceased * np.where(age >= 65, 4, 0.4),
        "aml": chosen_by(
            draws[:, 3], [0.80, 0.13, 0.07 - 3 * rates.aml_high, 2 * rates.aml_high, rates.aml_high]
        ),
        "controlled": draws[:, 4] < rates.controlled,
        "complaint": draws[:, 5] < rates.complaints,
        "consent": chosen_by(
            draws[:, 6],
            [1 - rates.consent_none - rates.consent_refused, rates.consent_refused, rates.consent_none],
        ),
        "profiling_refused": draws[:, 7] < rates.profiling_refused,
    }


def chosen_by(draw: np.ndarray, weights: list[float]) -> np.ndarray:
    """Indexes by weight from uniform draws already made."""
    edges = np.cumsum(weights)
    return np.searchsorted(edges / edges[-1], draw, side="right").clip(0, len(edges) - 1)
