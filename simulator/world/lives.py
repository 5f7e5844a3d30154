"""What happens to people from night to night: they move, marry, die, and some ask for erasure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.world import codes
from simulator.world.draws import generator, weighted_choices
from simulator.world.people import HEAD, People
from simulator.world.rates import Rates

NEVER = 9_999
EVENT_NAMES = ("moved", "married", "died", "asked_for_erasure")


@dataclass
class Lives:
    """One entry per person: the night of each event (NEVER for nearly all), and the city after a move."""

    move_night: np.ndarray
    marriage_night: np.ndarray
    death_night: np.ndarray
    erasure_night: np.ndarray
    next_city: np.ndarray

    def nights_by_event(self) -> dict[str, np.ndarray]:
        """Give the night of each event by its name in the truth."""
        return dict(
            zip(
                EVENT_NAMES,
                (self.move_night, self.marriage_night, self.death_night, self.erasure_night),
                strict=True,
            )
        )


def lives_of(seed: int, people: People, nights: int, rates: Rates) -> Lives:
    """Draw the events of everybody's life; a further night changes no earlier one."""
    count, is_adult = len(people), people.age >= 18
    is_single = (
        is_adult & (people.role == HEAD) & (people.family_size == 1) & (people.age >= 22) & (people.age <= 50)
    )
    death_chance = np.where(people.age >= 65, rates.deaths_per_night, rates.deaths_per_night / 20)
    everybody = np.ones(count, dtype=bool)
    return Lives(
        move_night=_event_nights(seed, "moves", people, nights, is_adult, np.full(count, rates.moves_per_night)),
        marriage_night=_event_nights(seed, "marriages", people, nights, is_single, np.full(count, rates.marriages_per_night)),
        death_night=_event_nights(seed, "deaths", people, nights, everybody, death_chance),
        erasure_night=_event_nights(
            seed, "erasures", people, nights, is_adult & people.is_customer, np.full(count, rates.erasures_per_night)
        ),
        next_city=_next_cities(seed, people),
    )  # fmt: skip


def _event_nights(
    seed: int, topic: str, people: People, nights: int, can_happen: np.ndarray, chance: np.ndarray
) -> np.ndarray:
    """Give the night of the event for each person; nobody has one on the night of arrival."""
    first_nights = np.full(len(people), NEVER)
    for night in range(1, nights):
        is_hit = generator(seed, topic, night).random(len(people)) < chance
        first_nights = np.where(
            (first_nights == NEVER) & can_happen & is_hit & (people.arrival_night < night),
            night,
            first_nights,
        )
    return first_nights


def _next_cities(seed: int, people: People) -> np.ndarray:
    """Give everybody another city than the present one, in order of arrival: later people change no earlier draw."""
    cities = weighted_choices(generator(seed, "next city").random(len(people)), codes.CITY_WEIGHTS)
    return np.where(cities == people.city, (cities + 1) % len(codes.CITIES), cities)
