"""What each channel knows of its users: one array position per profile, with the troubles of the profile."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from simulator.world import identifiers
from simulator.world.draws import generator, weighted_choices
from simulator.world.people import SPOUSE, People
from simulator.world.rates import Rates

NEVER = 9_999
KEYS_PER_PERSON = 2  # core records, app users and cookies of one person: at most two each
ZERO_DEVICE = -10  # and below: a placeholder
KIOSK_DEVICE = -100  # and below: the device of a branch kiosk
PEOPLE_PER_KIOSK = 20_000
KIOSK_COOKIES = 2**40  # number of the first kiosk's cookie, far above all others


@dataclass
class CoreRecords:
    """Records of core banking. `number` makes the customer number."""

    person: np.ndarray
    number: np.ndarray
    first_night: np.ndarray  # night of first delivery
    opened_on: np.ndarray
    id_form: np.ndarray
    phone: np.ndarray
    phone_style: np.ndarray
    has_email: np.ndarray
    can_learn_new_phone: np.ndarray  # the bank hears of a phone change
    updated_on: np.ndarray
    is_second: np.ndarray


@dataclass
class AppUsers:
    """Registrations of the mobile app."""

    person: np.ndarray
    number: np.ndarray
    first_night: np.ndarray
    registered_on: np.ndarray
    binding_night: np.ndarray  # the app knows the core customer number from this night on
    phone: np.ndarray
    device: np.ndarray  # by owner of the device; ≤ ZERO_DEVICE a placeholder, ≤ KIOSK_DEVICE a kiosk
    name_style: np.ndarray
    monthly_logins: np.ndarray
    silent_days: np.ndarray  # days between the last login of the history and the first night
    removal_night: np.ndarray  # from this night on the snapshot lacks the profile (NEVER for nearly all)
    is_second: np.ndarray


@dataclass
class WebCookies:
    """Cookies of the web site."""

    person: np.ndarray
    number: np.ndarray
    first_night: np.ndarray
    first_visit_on: np.ndarray
    last_visit_on: np.ndarray
    is_signed_in: np.ndarray
    has_placeholder_login: np.ndarray
    phone: np.ndarray
    has_shared_device: np.ndarray
    kiosk: np.ndarray  # number of the branch kiosk, −1 for a person's own browser


@dataclass
class WeChatUsers:
    """Followers of the official account, or users of the mini-program."""

    person: np.ndarray
    first_night: np.ndarray
    followed_on: np.ndarray
    has_unionid: np.ndarray
    phone_night: np.ndarray
    binding_night: np.ndarray
    phone: np.ndarray


T = TypeVar("T", CoreRecords, AppUsers, WebCookies, WeChatUsers)


def pick_rows(records: T, rows: np.ndarray) -> T:
    """Give the same dataclass of arrays with only the rows of a mask or index."""
    return type(records)(*(getattr(records, f.name)[rows] for f in fields(records)))


def core_records(seed: int, people: People, first_day: int, rates: Rates) -> CoreRecords:
    """Give the core records: one per customer, and an old second one for some."""
    main_persons = np.flatnonzero(people.is_customer)
    second_persons = np.flatnonzero(people.has_second_record)
    rng = generator(seed, "core", 0)
    main_records = _core_block(rng, people, main_persons, False, first_day, rates)
    second_records = _core_block(generator(seed, "core", 1), people, second_persons, True, first_day, rates)
    records = CoreRecords(
        *(
            np.concatenate([getattr(main_records, f.name), getattr(second_records, f.name)])
            for f in fields(CoreRecords)
        )
    )
    # in order of the first night, then of the person: a further night only appends
    return pick_rows(records, np.lexsort((records.number, records.first_night)))


def _core_block(
    rng: np.random.Generator,
    people: People,
    person: np.ndarray,
    is_second: bool,
    first_day: int,
    rates: Rates,
) -> CoreRecords:
    count = len(person)
    draws = rng.random((count, 8))  # a row per record, so that later arrivals change no earlier record
    age, first_night = people.age[person], people.arrival_night[person]
    is_new = (draws[:, 0] < rates.new_customers) & ~is_second & (first_night == 0)
    years = np.minimum(
        -np.log(1 - draws[:, 1]) * 9 + 0.28,
        np.maximum(age - 0.5, 0.28) if not is_second else np.maximum(age - 18, 20),
    )
    days_ago = np.where(
        is_new, (draws[:, 1] * 101).astype(np.int64), (years * 365).astype(np.int64).clip(101)
    )
    days_ago = np.where(is_second, np.maximum(days_ago, 27 * 365), days_ago)
    is_outdated = people.has_lost_number[person] | people.has_stale_core_phone[person]
    days_ago = np.where(is_outdated, np.maximum(days_ago, 1_700), days_ago)
    opened_on = np.maximum(
        np.where(first_night > 0, first_day + first_night, first_day - days_ago), people.birth[person] + 30
    )
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
        [
            identifiers.ID_WRONG_CHECK,
            identifiers.ID_MISSING,
            identifiers.ID_PLACEHOLDER,
            identifiers.ID_FULL_WIDTH,
            identifiers.ID_FOREIGN,
            identifiers.ID_18,
        ]
    )
    id_form = kinds[np.searchsorted(edges, draws[:, 2], side="right")]
    id_form = np.where(people.has_only_old_form[person] | is_second, identifiers.ID_15, id_form)
    is_stale = is_outdated | is_second
    phone = np.where(is_stale, people.old_phone()[person], people.phone[person])
    edges = np.cumsum([rates.placeholder_phone, rates.missing_phone, rates.landline])
    phone_kind = np.searchsorted(edges, draws[:, 3], side="right")
    is_shared_phone = (
        people.has_recycled_number[person] | people.has_family_phone[person] | people.is_phone_lender[person]
    )
    phone_kind = np.where(is_shared_phone | (is_outdated & ~is_second), 3, phone_kind)
    placeholder_phone = identifiers.PLACEHOLDER_BASE - np.where(
        draws[:, 4] < 0.7, 0, (draws[:, 4] * 40).astype(np.int64) % 4
    )
    phone = np.choose(
        phone_kind,
        [
            placeholder_phone,
            np.full(count, identifiers.NO_PHONE),
            np.full(count, identifiers.LANDLINE),
            phone,
        ],
    )
    recent_day = np.maximum(opened_on, first_day - (draws[:, 5] * 1500).astype(np.int64))
    updated_on = np.where(
        is_stale, np.maximum(opened_on, first_day - 1600 - (draws[:, 5] * 2500).astype(np.int64)), recent_day
    )
    updated_on = np.where(
        people.has_recycled_number[person],
        np.maximum(opened_on, first_day - (draws[:, 5] * 600).astype(np.int64)),
        updated_on,
    )
    return CoreRecords(
        person=person,
        number=person * KEYS_PER_PERSON + is_second,
        first_night=first_night,
        opened_on=opened_on,
        id_form=id_form,
        phone=phone,
        phone_style=_phone_style(draws[:, 6], rates),
        has_email=draws[:, 7] < rates.email_known,
        can_learn_new_phone=(draws[:, 4] < 0.7) & ~is_stale,
        updated_on=updated_on,
        is_second=np.full(count, is_second),
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
        [
            identifiers.PHONE_PLUS86,
            identifiers.PHONE_SPACES,
            identifiers.PHONE_DASHES,
            identifiers.PHONE_FULL_WIDTH,
            identifiers.PHONE_PLAIN,
        ]
    )
    return styles[np.searchsorted(edges, draw, side="right")]


def _first_nights(people: People, person: np.ndarray, draw: np.ndarray, rates: Rates) -> np.ndarray:
    """Give the first night of a channel profile: with the person, or some nights later."""
    delay = np.where(draw < rates.late_profiles, 1 + (draw / rates.late_profiles * 50).astype(np.int64), 0)
    return people.arrival_night[person] + delay


def _binding_nights(
    seed: int,
    topic: str,
    people: People,
    person: np.ndarray,
    nights: int,
    is_bound_at_start: np.ndarray,
    can_bind: np.ndarray,
    rates: Rates,
) -> np.ndarray:
    """Give the night of each binding: 0 by the mask `is_bound_at_start`, else a draw night by night for those who can bind."""
    binding_night = np.where(is_bound_at_start, 0, NEVER)
    for night in range(1, nights):
        is_hit = (generator(seed, topic, "bind", night).random(len(people)) < rates.binds_per_night)[person]
        binding_night = np.where((binding_night == NEVER) & can_bind & is_hit, night, binding_night)
    return binding_night


def app_users(seed: int, people: People, nights: int, first_day: int, rates: Rates) -> AppUsers:
    """Give the app registrations; people with a relative's phone seldom have one."""
    count = len(people)
    draws = generator(seed, "app", 0).random((count, 10))
    share = np.where(people.is_customer, rates.app_of_customers, rates.app_of_prospects)
    share = share * np.where((people.age < 14) | (people.age > 85), 0, np.where(people.age > 65, 0.6, 1.1))
    share = np.where(people.has_family_phone, share * 0.25, share)
    has_app = draws[:, 0] < share
    has_second = (
        has_app
        & (draws[:, 1] < rates.second_app_profile)
        & ~people.has_family_phone
        & ~people.has_lost_number
    )
    person = np.concatenate([np.flatnonzero(has_app), np.flatnonzero(has_second)])
    is_second = np.arange(len(person)) >= has_app.sum()
    profile_draws = draws[person]
    first_night = np.where(
        is_second, people.arrival_night[person], _first_nights(people, person, profile_draws[:, 2], rates)
    )
    is_recent = profile_draws[:, 3] < 0.05
    days_ago = np.where(
        is_recent,
        (profile_draws[:, 3] / 0.05 * 31).astype(np.int64),
        31 + (-np.log(1 - profile_draws[:, 3]) * 800).astype(np.int64),
    )
    registered_on = np.where(
        first_night > 0, first_day + first_night, first_day - np.where(is_second, days_ago + 900, days_ago)
    )
    is_customer = people.is_customer[person]
    is_guarded = (people.has_family_phone | people.is_phone_lender)[person] & (
        profile_draws[:, 4] < rates.guardians_bound
    )
    is_bound_at_start = is_customer & ~is_second & ((profile_draws[:, 4] < rates.app_bound) | is_guarded)
    binding_night = _binding_nights(
        seed, "app", people, person, nights, is_bound_at_start, is_customer & ~is_second, rates
    )
    phone = np.where(is_second, people.old_phone()[person], people.phone[person])
    phone = np.where(
        (profile_draws[:, 5] < rates.app_without_phone) & ~is_second, identifiers.NO_PHONE, phone
    )
    # a couple on one tablet: the partner's app runs on the head's device
    is_partner = (people.role[person] == SPOUSE) & has_app[people.head[person]]
    is_on_shared_tablet = is_partner & (
        generator(seed, "tablet").random(count)[people.head[person]] < rates.shared_tablet
    )
    is_same_handset = generator(seed, "handset").random(count)[person] < rates.same_handset
    device = np.where(
        is_on_shared_tablet,
        people.head[person] * KEYS_PER_PERSON,
        person * KEYS_PER_PERSON + (is_second & ~is_same_handset),
    )
    is_shared_device = (
        np.isin(device, device[is_on_shared_tablet])
        if is_on_shared_tablet.any()
        else np.zeros(len(person), dtype=bool)
    )
    is_placeholder_device = (profile_draws[:, 6] < rates.placeholder_device) & ~is_shared_device
    device = np.where(
        is_placeholder_device,
        ZERO_DEVICE - (profile_draws[:, 6] / rates.placeholder_device * 3).astype(np.int64),
        device,
    )
    is_at_kiosk = generator(seed, "kiosk").random(count)[person] < rates.kiosk_users
    is_at_kiosk &= is_customer & ~is_second & ~is_shared_device
    device = np.where(is_at_kiosk, KIOSK_DEVICE - person // PEOPLE_PER_KIOSK, device)
    removal_night = np.full(len(person), NEVER)
    for night in range(1, nights):
        is_hit = generator(seed, "retracted", night).random(count)[person] < rates.retracted
        removal_night = np.where(
            (removal_night == NEVER) & is_hit & (first_night < night), night, removal_night
        )
    kinds = np.array(
        [
            identifiers.NAME_FULL_WIDTH_SPACE,
            identifiers.NAME_SPACED,
            identifiers.NAME_PINYIN,
            identifiers.NAME_MASKED,
            identifiers.NAME_PLAIN,
        ]
    )
    edges = np.cumsum([rates.name_full_width_space, rates.name_spaced, rates.name_pinyin, 0.2])
    activity = np.searchsorted(np.cumsum([0.52, 0.16, 0.1, 0.12]), profile_draws[:, 8], side="right")
    spread = profile_draws[:, 9]
    silent_days = np.choose(
        activity, [spread * 8, 5 + spread * 25, 31 + spread * 30, 61 + spread * 120, 181 + spread * 600]
    )
    monthly_logins = np.choose(
        activity, [3 + 9 * spread, 1 + spread, 1.5 * spread + 0.3, 0.6 + spread, 0.3 * spread + 0.1]
    )
    silent_days = np.minimum(silent_days.astype(np.int64), np.maximum(first_day - registered_on, 0))
    users = AppUsers(
        person=person,
        number=person * KEYS_PER_PERSON + is_second,
        first_night=first_night,
        registered_on=registered_on,
        binding_night=binding_night,
        phone=phone,
        device=device,
        name_style=kinds[np.searchsorted(edges, profile_draws[:, 7], side="right")],
        monthly_logins=np.where(is_second, 0, monthly_logins),
        silent_days=np.where(is_second, np.maximum(silent_days, 400), silent_days),
        removal_night=removal_night,
        is_second=is_second,
    )
    return pick_rows(users, np.lexsort((users.number, people.arrival_night[person])))


def web_cookies(
    seed: int, people: People, app: AppUsers, is_known: np.ndarray, first_day: int, rates: Rates
) -> WebCookies:
    """Give the cookies; people with the app sign in, many people whom a channel knows (`is_known`) leave a phone, strangers seldom do."""
    count = len(people)
    draws = generator(seed, "web", 0).random((count, 9))
    share = np.where(is_known, rates.web_visitors, rates.web_strangers) * np.where(
        people.has_family_phone, rates.dependants, 1.0
    )
    has_cookie = (draws[:, 0] < share) & (people.age >= 14)
    has_second = has_cookie & (draws[:, 1] < rates.second_cookie)
    person = np.concatenate([np.flatnonzero(has_cookie), np.flatnonzero(has_second)])
    is_second = np.arange(len(person)) >= has_cookie.sum()
    cookie_draws = np.where(is_second[:, None], draws[person][:, ::-1], draws[person])
    app_night = np.zeros(count, dtype=np.int64) + NEVER
    app_night[app.person[~app.is_second]] = app.first_night[~app.is_second]
    first_night = np.maximum(_first_nights(people, person, cookie_draws[:, 2], rates), 0)
    is_signed_in = (cookie_draws[:, 4] < rates.web_signed_in) & (app_night[person] <= first_night)
    has_placeholder_login = ~is_signed_in & (cookie_draws[:, 5] < rates.placeholder_login)
    has_form_phone = (
        ~is_signed_in
        & ~has_placeholder_login
        & (cookie_draws[:, 6] < np.where(is_known[person], rates.web_form_phone, rates.stranger_form_phone))
    )
    first_visit_on = np.where(
        first_night > 0, first_day + first_night, first_day - 1 - (cookie_draws[:, 7] * 300).astype(np.int64)
    )
    last_visit_on = np.minimum(
        first_visit_on + (cookie_draws[:, 8] * (first_day - first_visit_on)).astype(np.int64).clip(0),
        np.maximum(first_visit_on, first_day),
    )
    cookies = WebCookies(
        person=person,
        number=person * KEYS_PER_PERSON + is_second,
        first_night=first_night,
        first_visit_on=first_visit_on,
        last_visit_on=last_visit_on,
        is_signed_in=is_signed_in,
        has_placeholder_login=has_placeholder_login,
        phone=np.where(has_form_phone, people.phone[person], identifiers.NO_PHONE),
        has_shared_device=cookie_draws[:, 3] < 0.06,
        kiosk=np.full(len(person), -1),
    )
    return pick_rows(cookies, np.lexsort((cookies.number, people.arrival_night[person])))


def add_kiosks(
    web: WebCookies, people: People, app: AppUsers, is_clerk: np.ndarray, population_size: int, first_day: int
) -> WebCookies:
    """Add the browsers of the branch kiosks: on each one a clerk (`is_clerk` marks staff) is signed in, and everybody uses it."""
    users = app.person[(app.first_night == 0) & ~app.is_second]
    clerks = users[is_clerk[users]] if is_clerk[users].any() else users
    if not len(clerks):
        return web
    kiosk = np.arange((population_size - 1) // PEOPLE_PER_KIOSK + 1)
    ones = np.ones(len(kiosk), dtype=np.int64)
    kiosk_cookies = WebCookies(
        person=clerks[kiosk * 7 % len(clerks)], number=KIOSK_COOKIES + kiosk, first_night=ones * 0, first_visit_on=ones * (first_day - 60),
        last_visit_on=ones * first_day, is_signed_in=ones > 0, has_placeholder_login=ones < 0, phone=ones * identifiers.NO_PHONE,
        has_shared_device=ones < 0, kiosk=kiosk,
    )  # fmt: skip
    cookies = WebCookies(
        *(np.concatenate([getattr(web, f.name), getattr(kiosk_cookies, f.name)]) for f in fields(WebCookies))
    )
    return pick_rows(cookies, np.lexsort((cookies.number, people.arrival_night[cookies.person])))


def wechat_users(
    seed: int, people: People, is_mini: bool, nights: int, first_day: int, rates: Rates
) -> WeChatUsers:
    """Give the followers or the mini-program users; most mini users share their phone, and half of them are followers."""
    topic = "mini" if is_mini else "followers"
    follower_draws = generator(seed, "followers", 0).random((len(people), 8))
    draws = generator(seed, topic, 0).random((len(people), 8))
    share = rates.mini_users if is_mini else rates.followers
    scores = 0.5 * (follower_draws[:, 0] + draws[:, 0]) if is_mini else draws[:, 0]
    # the mean of two uniforms is below sqrt(s/2) with probability s
    limit = np.sqrt(share / 2) if is_mini else share
    scores = np.where(people.has_family_phone, scores / np.sqrt(max(rates.dependants, 1e-9)), scores)
    person = np.flatnonzero((scores < limit) & (people.age >= 14))
    user_draws = draws[person]
    is_customer = people.is_customer[person]
    # the channel knows guardians, and people with a relative's phone, by their customer number
    is_guarded = (
        (people.is_phone_lender | people.has_family_phone)[person]
        & is_customer
        & (user_draws[:, 7] < rates.guardians_bound)
    )
    if is_mini:
        is_bound = is_customer & (user_draws[:, 2] < rates.mini_bound) | is_guarded
        has_phone = (user_draws[:, 3] < rates.mini_phone) | is_bound
    else:
        is_linked = (user_draws[:, 2] < rates.follower_bound) & (is_customer | (user_draws[:, 3] < 0.75))
        is_bound = is_linked & is_customer & (user_draws[:, 3] >= rates.follower_phone_only) | is_guarded
        has_phone = is_linked & ((user_draws[:, 3] < rates.follower_phone_only) | (user_draws[:, 4] < 0.5))
    first_night = _first_nights(people, person, user_draws[:, 1], rates)
    days_ago = 1 + (user_draws[:, 5] * 1400).astype(np.int64)
    binding_night = _binding_nights(seed, topic, people, person, nights, is_bound, is_customer, rates)
    return WeChatUsers(
        person=person,
        first_night=first_night,
        followed_on=np.where(first_night > 0, first_day + first_night, first_day - days_ago),
        has_unionid=(user_draws[:, 6] >= rates.unionid_missing) | (days_ago < 700),
        phone_night=np.where(has_phone, 0, NEVER),
        binding_night=binding_night,
        phone=people.phone[person],
    )


def phone_changes(seed: int, people: People, nights: int, rates: Rates) -> np.ndarray:
    """Give the night of each person's change to a new number (NEVER for nearly all)."""
    change_night = np.full(len(people), NEVER)
    # a number on a relative's record does not change
    can_change = (
        ~people.has_family_phone & ~people.has_recycled_number & ~people.is_phone_lender & (people.age >= 16)
    )
    for night in range(1, nights):
        is_hit = generator(seed, "phone change", night).random(len(people)) < rates.phone_changes_per_night
        change_night = np.where(
            (change_night == NEVER) & can_change & is_hit & (people.arrival_night < night),
            night,
            change_night,
        )
    return change_night


def customer_facts(seed: int, people: People, core: CoreRecords, rates: Rates) -> dict[str, np.ndarray]:
    """Give facts of core records that need no history: staff, merchant, deceased, grades, consent; one array each."""
    draws = generator(seed, "standing").random((len(core.person), 8))
    age = people.age[core.person]
    is_adult = age >= 18
    return {
        "staff": is_adult & (age < 60) & (draws[:, 0] < rates.staff),
        "merchant": is_adult & (draws[:, 1] < rates.merchants),
        "deceased": draws[:, 2] < rates.deceased * np.where(age >= 65, 4, 0.4),
        "aml": weighted_choices(
            draws[:, 3], [0.80, 0.13, 0.07 - 3 * rates.aml_high, 2 * rates.aml_high, rates.aml_high]
        ),
        "controlled": draws[:, 4] < rates.controlled,
        "complaint": draws[:, 5] < rates.complaints,
        "consent": weighted_choices(
            draws[:, 6],
            [1 - rates.consent_none - rates.consent_refused, rates.consent_refused, rates.consent_none],
        ),
        "profiling_refused": draws[:, 7] < rates.profiling_refused,
    }
