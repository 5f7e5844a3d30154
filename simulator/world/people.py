"""The people of the simulated city: households, birth days, wealth, which phone they answer. Nothing here is delivered."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from simulator.world import codes
from simulator.world.draws import chosen, generator
from simulator.world.identifiers import unique_sequences
from simulator.world.rates import Rates

HEAD, SPOUSE, CHILD, ELDER = range(4)
ROLE_NAMES = ["head", "spouse", "child", "elder"]
# numbers of a person: the present one, the one after a change during the nights, the one of years ago
PHONES_PER_PERSON = 3


@dataclass
class People:
    """One entry per person in every array; position = person number. Days are day numbers since 1970-01-01."""

    arrives: np.ndarray  # night from which the person exists for the bank (0 = before the first)
    household: np.ndarray
    role: np.ndarray
    family_size: np.ndarray
    female: np.ndarray
    birth: np.ndarray
    age: np.ndarray
    city: np.ndarray
    area: np.ndarray
    sequence: np.ndarray
    surname: np.ndarray
    given: np.ndarray
    given_second: np.ndarray
    wealth: np.ndarray  # latent, standard normal
    occupation: np.ndarray
    is_customer: np.ndarray
    head: np.ndarray  # person number of the household's head
    phone: (
        np.ndarray
    )  # phone index the person answers (a relative's for family phones, somebody's old one if recycled)
    has_family_phone: np.ndarray
    has_hidden_owner: np.ndarray  # the relative whose phone it is is no customer
    lends_phone: np.ndarray  # a relative's record carries this person's phone
    lost_number: np.ndarray  # the old number is on the core record and belongs to a stranger
    took_number: np.ndarray  # answers a number that stands on a stranger's record
    took_hidden: np.ndarray  # and is no customer
    has_stale_core_phone: np.ndarray
    second_record: np.ndarray
    old_form_only: np.ndarray

    def __len__(self) -> int:
        return len(self.household)

    def old_phone(self) -> np.ndarray:
        """Phone index of years ago."""
        return np.arange(len(self), dtype=np.int64) * PHONES_PER_PERSON + 2


def people(seed: int, count: int, nights: int, first_day: int, rates: Rates) -> People:
    """Give the base population and the arrivals of later nights; more nights only append."""
    arrivals = max(2, round(count * rates.arrivals_per_night))
    blocks = [_block(seed, 0, count, 0, 0, first_day, rates)]
    for night in range(1, nights):
        start = count + (night - 1) * arrivals
        blocks.append(
            _block(seed, night, arrivals, start, int(blocks[-1].household[-1]) + 1, first_day + night, rates)
        )
    everyone = People(*(np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(People)))
    everyone.sequence = unique_sequences(everyone.area, everyone.birth, everyone.sequence)
    return everyone


def _block(
    seed: int, night: int, count: int, start: int, first_household: int, today: int, rates: Rates
) -> People:
    rng = generator(seed, "people", night)
    household, role, size, head = _households(rng, count, alone=night > 0)
    age, female = _ages(rng, role, head)
    birth = today - (age * 365.2425).astype(np.int64) - rng.integers(1, 360, count)
    city = chosen(rng, count, codes.CITY_WEIGHTS)[head]
    origin = np.where(rng.random(count) < 0.7, city, chosen(rng, count, codes.CITY_WEIGHTS))
    prefix = np.array([int(c[0]) for c in codes.CITIES])
    sequence = rng.integers(0, 500, count) * 2 + np.where(female, 0, 1)
    surname = (rng.random(count) ** 1.7 * len(codes.SURNAMES)).astype(np.int64)
    surname = np.where(role == SPOUSE, surname, surname[head])
    second = np.where(rng.random(count) < 0.25, -1, rng.integers(0, len(codes.GIVEN), count))
    second = np.where(
        rng.random(count) < 0.004, -2 - rng.integers(0, len(codes.MINORITY_NAMES), count), second
    )
    wealth = 0.6 * rng.standard_normal(count)[head] + 0.8 * rng.standard_normal(count)
    occupation = chosen(rng, count, [6, 12, 34, 10, 18, 8, 0, 0, 6])
    occupation = np.where(age >= 60, 6, np.where(age < 22, 7, occupation))
    customer = rng.random(count) < np.where(age < 18, rates.minor_customers, rates.adult_customers)
    customer |= night > 0

    numbers = np.arange(start, start + count, dtype=np.int64)
    own = numbers * PHONES_PER_PERSON
    with_family = size > 1
    weight = (
        np.where(role == CHILD, np.where(age < 16, 3.0, 0.5), np.where(role == ELDER, 2.0, 0.35))
        * with_family
    )
    weight[(role == HEAD) | ~customer] = 0
    likely = rates.family_phone * customer.sum() * weight / max(weight.sum(), 1e-9)
    family = rng.random(count) < likely
    phone = np.where(family, own[head], own)
    # whose phone it is, the bank knows: a guardian is identified when the account is opened
    hidden = family & (
        generator(seed, "hidden owners", night).random(count)
        < _part(rates.hidden_family_phone, rates.family_phone)
    )
    lends = np.zeros(count, dtype=bool)
    lends[head[family & ~hidden]] = True
    hidden &= ~lends[head]
    customer |= lends
    customer[head[hidden]] = False

    born_early = birth < _day(1983)
    lost = customer & ~family & (role != HEAD) | customer & ~family & (size == 1)
    lost &= (age >= 18) & (rng.random(count) < rates.recycled_phone * customer.sum() / max(lost.sum(), 1))
    # Somebody known by nothing but a recycled number is the old holder as far as anyone can tell: heirs are customers.
    heirs = np.flatnonzero(customer & ~family & ~lost & (age >= 16) & ((role != HEAD) | (size == 1)))
    losers = np.flatnonzero(lost)
    heirs = rng.permutation(heirs)[: len(losers)]
    losers = losers[: len(heirs)]
    strangers = household[heirs] != household[losers]
    heirs, losers = heirs[strangers], losers[strangers]
    lost = np.zeros(count, dtype=bool)
    lost[losers] = True
    took = np.zeros(count, dtype=bool)
    took[heirs] = True
    phone[heirs] = own[losers] + 2
    more, takers = _hidden_takers(
        generator(seed, "hidden takers", night), customer & (age >= 18) & ~family & ~lends & ~lost & ~took,
        ~customer & (age >= 16) & ~family & ~np.isin(np.arange(count), head[hidden]), household, rates.hidden_phone_taker,
    )  # fmt: skip
    lost[more] = took[takers] = True
    phone[takers] = own[more] + 2
    stale = (
        customer
        & ~family
        & ~lends
        & ~lost
        & ~took
        & (age >= 18)
        & (rng.random(count) < rates.stale_core_phone)
    )
    draw = rng.random(count)
    return People(
        arrives=np.full(count, night, dtype=np.int64),
        household=household + first_household,
        role=role,
        family_size=size,
        female=female,
        birth=birth,
        age=age,
        city=city,
        area=prefix[origin] + rng.integers(1, 21, count),
        sequence=sequence,
        surname=surname,
        given=rng.integers(0, len(codes.GIVEN), count),
        given_second=second,
        wealth=wealth,
        occupation=occupation,
        is_customer=customer,
        head=head + start,
        phone=phone,
        has_family_phone=family,
        has_hidden_owner=hidden,
        lends_phone=lends,
        lost_number=lost,
        took_number=took,
        took_hidden=_marked(count, takers),
        has_stale_core_phone=stale,
        second_record=customer & born_early & (draw < rates.second_core_record),
        old_form_only=customer & born_early & (draw > 1 - rates.old_form_only),
    )


def _part(some: float, whole: float) -> float:
    return some / whole if whole else 0.0


def _marked(count: int, rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(count, dtype=bool)
    mask[rows] = True
    return mask


def _hidden_takers(
    rng: np.random.Generator, may_lose: np.ndarray, may_take: np.ndarray, household: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Give customers whose old number, still on their record, is answered by somebody who is no customer, and that somebody."""
    losers = np.flatnonzero(may_lose & (rng.random(len(may_lose)) < share))
    takers = rng.permutation(np.flatnonzero(may_take))[: len(losers)]
    losers = losers[: len(takers)]
    strangers = household[losers] != household[takers]
    return losers[strangers], takers[strangers]


def _day(year: int) -> int:
    return int(np.datetime64(f"{year}-01-01", "D").astype(np.int64))


def _households(
    rng: np.random.Generator, count: int, *, alone: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    sizes = np.ones(count, dtype=np.int64) if alone else 1 + chosen(rng, count, [25, 30, 28, 12, 5])
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
    heads = (22 + 58 * rng.beta(1.7, 2.2, count)).astype(np.int64)[head]
    female = rng.random(count) < 0.42
    female = np.where(role == SPOUSE, ~female[head], np.where(role == HEAD, female, rng.random(count) < 0.5))
    age = heads + np.where(role == SPOUSE, rng.integers(-5, 6, count), 0)
    age = np.where(role == CHILD, heads - rng.integers(23, 38, count), age)
    age = np.where(role == ELDER, heads + rng.integers(22, 34, count), age)
    age = np.where((role == CHILD) & (age < 0), rng.integers(0, 6, count), age)
    return np.clip(np.where(role == SPOUSE, np.maximum(age, 20), age), 0, 97), female
