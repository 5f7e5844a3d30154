"""The people of the simulated country: households, birth days, wealth, the phone each one answers. No channel delivers this."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from simulator.world import codes
from simulator.world.draws import generator, weighted_choices
from simulator.world.identifiers import unique_sequences
from simulator.world.rates import Rates

HEAD, SPOUSE, CHILD, ELDER = range(4)
ROLE_NAMES = ["head", "spouse", "child", "elder"]
# phone numbers of a person: the present one, the one after a change during the nights, the one of years ago
PHONES_PER_PERSON = 3


@dataclass
class People:
    """One entry per person in every array; position = person number. Days are day numbers since 1970-01-01."""

    arrival_night: np.ndarray  # the person exists for the bank from this night on (0 = before the first)
    household: np.ndarray
    role: np.ndarray
    family_size: np.ndarray
    is_female: np.ndarray
    birth: np.ndarray
    age: np.ndarray
    city: np.ndarray
    area: np.ndarray
    sequence: np.ndarray
    surname: np.ndarray
    given_name: np.ndarray
    second_given_name: np.ndarray
    wealth: np.ndarray  # latent, standard normal
    occupation: np.ndarray
    is_customer: np.ndarray
    head: np.ndarray  # person number of the household's head
    phone: np.ndarray  # index of the person's phone (a relative's, or a stranger's old one, for some)
    has_family_phone: np.ndarray  # a relative's phone stands on the person's records
    has_hidden_owner: np.ndarray  # and the relative is no customer
    is_phone_lender: np.ndarray  # a relative's record carries this person's phone
    has_lost_number: np.ndarray  # the old number is on the core record and belongs to a stranger
    has_recycled_number: np.ndarray  # answers a number that a stranger's record still has
    is_hidden_taker: np.ndarray  # and is no customer
    has_stale_core_phone: np.ndarray
    has_second_record: np.ndarray
    has_only_old_form: np.ndarray

    def __len__(self) -> int:
        return len(self.household)

    def old_phone(self) -> np.ndarray:
        """Give the index of each person's phone of years ago."""
        return np.arange(len(self), dtype=np.int64) * PHONES_PER_PERSON + 2


def population(seed: int, count: int, nights: int, first_day: int, rates: Rates) -> People:
    """Give the people of the first night and the arrivals of later nights; more nights only append."""
    arrivals = max(2, round(count * rates.arrivals_per_night))
    blocks = [_people_block(seed, 0, count, 0, 0, first_day, rates)]
    for night in range(1, nights):
        start = count + (night - 1) * arrivals
        blocks.append(
            _people_block(
                seed, night, arrivals, start, int(blocks[-1].household[-1]) + 1, first_day + night, rates
            )
        )
    everybody = People(*(np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(People)))
    everybody.sequence = unique_sequences(everybody.area, everybody.birth, everybody.sequence)
    return everybody


def _people_block(
    seed: int, night: int, count: int, start: int, first_household: int, this_day: int, rates: Rates
) -> People:
    rng = generator(seed, "people", night)
    household, role, size, head = _households(rng, count, is_alone=night > 0)
    age, is_female = _ages(rng, role, head)
    birth = this_day - (age * 365.2425).astype(np.int64) - rng.integers(1, 360, count)
    city = weighted_choices(rng.random(count), codes.CITY_WEIGHTS)[head]
    origin = np.where(rng.random(count) < 0.7, city, weighted_choices(rng.random(count), codes.CITY_WEIGHTS))
    prefix = np.array([int(c[0]) for c in codes.CITIES])
    sequence = rng.integers(0, 500, count) * 2 + np.where(is_female, 0, 1)
    surname = (rng.random(count) ** 1.7 * len(codes.SURNAMES)).astype(np.int64)
    surname = np.where(role == SPOUSE, surname, surname[head])
    second_given_name = np.where(rng.random(count) < 0.25, -1, rng.integers(0, len(codes.GIVEN_NAMES), count))
    second_given_name = np.where(
        rng.random(count) < 0.004, -2 - rng.integers(0, len(codes.MINORITY_NAMES), count), second_given_name
    )
    wealth = 0.6 * rng.standard_normal(count)[head] + 0.8 * rng.standard_normal(count)
    occupation = weighted_choices(rng.random(count), [6, 12, 34, 10, 18, 8, 0, 0, 6])
    occupation = np.where(age >= 60, 6, np.where(age < 22, 7, occupation))
    is_customer = rng.random(count) < np.where(age < 18, rates.minor_customers, rates.adult_customers)
    is_customer |= night > 0

    numbers = np.arange(start, start + count, dtype=np.int64)
    own_phone = numbers * PHONES_PER_PERSON
    has_family = size > 1
    weight = (
        np.where(role == CHILD, np.where(age < 16, 3.0, 0.5), np.where(role == ELDER, 2.0, 0.35)) * has_family
    )
    weight[(role == HEAD) | ~is_customer] = 0
    chances = rates.family_phone * is_customer.sum() * weight / max(weight.sum(), 1e-9)
    has_family_phone = rng.random(count) < chances
    phone = np.where(has_family_phone, own_phone[head], own_phone)
    # the bank knows the owner of the phone: it identifies a guardian who opens an account for a relative
    has_hidden_owner = has_family_phone & (
        generator(seed, "hidden owners", night).random(count)
        < _ratio(rates.hidden_family_phone, rates.family_phone)
    )
    is_phone_lender = np.zeros(count, dtype=bool)
    is_phone_lender[head[has_family_phone & ~has_hidden_owner]] = True
    has_hidden_owner &= ~is_phone_lender[head]
    is_customer |= is_phone_lender
    is_customer[head[has_hidden_owner]] = False

    is_born_early = birth < _first_day_of(1983)
    has_lost_number = is_customer & ~has_family_phone & (role != HEAD) | is_customer & ~has_family_phone & (
        size == 1
    )
    has_lost_number &= (age >= 18) & (
        rng.random(count) < rates.recycled_phone * is_customer.sum() / max(has_lost_number.sum(), 1)
    )
    # With nothing but a recycled number, a person looks like the old holder to anybody. So takers are customers.
    takers = np.flatnonzero(
        is_customer & ~has_family_phone & ~has_lost_number & (age >= 16) & ((role != HEAD) | (size == 1))
    )
    losers = np.flatnonzero(has_lost_number)
    takers = rng.permutation(takers)[: len(losers)]
    losers = losers[: len(takers)]
    is_stranger = household[takers] != household[losers]
    takers, losers = takers[is_stranger], losers[is_stranger]
    has_lost_number = np.zeros(count, dtype=bool)
    has_lost_number[losers] = True
    has_recycled_number = np.zeros(count, dtype=bool)
    has_recycled_number[takers] = True
    phone[takers] = own_phone[losers] + 2
    hidden_losers, hidden_takers = _hidden_takers(
        generator(seed, "hidden takers", night), is_customer & (age >= 18) & ~has_family_phone & ~is_phone_lender & ~has_lost_number & ~has_recycled_number,
        ~is_customer & (age >= 16) & ~has_family_phone & ~np.isin(np.arange(count), head[has_hidden_owner]), household, rates.hidden_phone_taker,
    )  # fmt: skip
    has_lost_number[hidden_losers] = has_recycled_number[hidden_takers] = True
    phone[hidden_takers] = own_phone[hidden_losers] + 2
    is_stale = (
        is_customer
        & ~has_family_phone
        & ~is_phone_lender
        & ~has_lost_number
        & ~has_recycled_number
        & (age >= 18)
        & (rng.random(count) < rates.stale_core_phone)
    )
    draw = rng.random(count)
    return People(
        arrival_night=np.full(count, night, dtype=np.int64),
        household=household + first_household,
        role=role,
        family_size=size,
        is_female=is_female,
        birth=birth,
        age=age,
        city=city,
        area=prefix[origin] + rng.integers(1, 21, count),
        sequence=sequence,
        surname=surname,
        given_name=rng.integers(0, len(codes.GIVEN_NAMES), count),
        second_given_name=second_given_name,
        wealth=wealth,
        occupation=occupation,
        is_customer=is_customer,
        head=head + start,
        phone=phone,
        has_family_phone=has_family_phone,
        has_hidden_owner=has_hidden_owner,
        is_phone_lender=is_phone_lender,
        has_lost_number=has_lost_number,
        has_recycled_number=has_recycled_number,
        is_hidden_taker=_mask_of(count, hidden_takers),
        has_stale_core_phone=is_stale,
        has_second_record=is_customer & is_born_early & (draw < rates.second_core_record),
        has_only_old_form=is_customer & is_born_early & (draw > 1 - rates.old_form_only),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _mask_of(count: int, rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(count, dtype=bool)
    mask[rows] = True
    return mask


def _hidden_takers(
    rng: np.random.Generator, can_lose: np.ndarray, can_take: np.ndarray, household: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Give customers whose record still has an old number, and for each the person who answers it now and is no customer."""
    losers = np.flatnonzero(can_lose & (rng.random(len(can_lose)) < share))
    takers = rng.permutation(np.flatnonzero(can_take))[: len(losers)]
    losers = losers[: len(takers)]
    is_stranger = household[losers] != household[takers]
    return losers[is_stranger], takers[is_stranger]


def _first_day_of(year: int) -> int:
    return int(np.datetime64(f"{year}-01-01", "D").astype(np.int64))


def _households(
    rng: np.random.Generator, count: int, *, is_alone: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    sizes = (
        np.ones(count, dtype=np.int64)
        if is_alone
        else 1 + weighted_choices(rng.random(count), [25, 30, 28, 12, 5])
    )
    household = np.repeat(np.arange(count), sizes)[:count]
    head = np.searchsorted(household, household, side="left")
    size = np.bincount(household, minlength=count)[household]
    place = np.arange(count) - head
    draw = rng.random(count)
    role = np.where(place == 0, HEAD, np.where(place == 1, SPOUSE, CHILD))
    role = np.where((place == 1) & (draw < 0.12), np.where(draw < 0.07, CHILD, ELDER), role)
    role = np.where((place >= 2) & (draw > (0.9 - 0.2 * (place > 2))), ELDER, role)
    return household, role, size, head


def _ages(rng: np.random.Generator, role: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = len(role)
    head_ages = (22 + 58 * rng.beta(1.7, 2.2, count)).astype(np.int64)[head]
    is_female = rng.random(count) < 0.42
    is_female = np.where(
        role == SPOUSE, ~is_female[head], np.where(role == HEAD, is_female, rng.random(count) < 0.5)
    )
    age = head_ages + np.where(role == SPOUSE, rng.integers(-5, 6, count), 0)
    age = np.where(role == CHILD, head_ages - rng.integers(23, 38, count), age)
    age = np.where(role == ELDER, head_ages + rng.integers(22, 34, count), age)
    age = np.where((role == CHILD) & (age < 0), rng.integers(0, 6, count), age)
    return np.clip(np.where(role == SPOUSE, np.maximum(age, 20), age), 0, 97), is_female
