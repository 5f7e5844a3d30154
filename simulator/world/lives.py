"""What happens to people from night to night: they move, marry, die, and some ask to be forgotten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.world import codes
from simulator.world.draws import chosen, generator
from simulator.world.people import HEAD, People
from simulator.world.rates import Rates

NEVER = 9_999
LIFE_NAMES = ("moved", "married", "died", "asked_for_erasure")


@dataclass
class Lives:
    """One entry per person: the night of each turn (NEVER for nearly all), and the city after a move."""

    moves: np.ndarray
    marries: np.ndarray
    dies: np.ndarray
    asks_erasure: np.ndarray
    next_city: np.ndarray

    def turns(self) -> dict[str, np.ndarray]:
        """Give the night of each turn by its name in the truth."""
        return dict(zip(LIFE_NAMES, (self.moves, self.marries, self.dies, self.asks_erasure), strict=True))


def lives_of(seed: int, world: People, nights: int, rates: Rates) -> Lives:
    """Draw the turns of everybody's life; a further night changes no earlier one."""
    count, adult = len(world), world.age >= 18
    single = adult & (world.role == HEAD) & (world.family_size == 1) & (world.age >= 22) & (world.age <= 50)
    frail = np.where(world.age >= 65, rates.deaths_per_night, rates.deaths_per_night / 20)
    everybody = np.ones(count, dtype=bool)
    return Lives(
        moves=_nights(seed, "moves", world, nights, adult, np.full(count, rates.moves_per_night)),
        marries=_nights(seed, "marriages", world, nights, single, np.full(count, rates.marriages_per_night)),
        dies=_nights(seed, "deaths", world, nights, everybody, frail),
        asks_erasure=_nights(
            seed, "erasures", world, nights, adult & world.is_customer, np.full(count, rates.erasures_per_night)
        ),
        next_city=_cities(seed, world),
    )  # fmt: skip


def _nights(
    seed: int, topic: str, world: People, nights: int, may: np.ndarray, chance: np.ndarray
) -> np.ndarray:
    """Give the first night the turn comes to each person; who arrived that night is left alone."""
    found = np.full(len(world), NEVER)
    for night in range(1, nights):
        hit = generator(seed, topic, night).random(len(world)) < chance
        found = np.where((found == NEVER) & may & hit & (world.arrives < night), night, found)
    return found


def _cities(seed: int, world: People) -> np.ndarray:
    """Another city than the present one for everybody, drawn by arrival so that later people change no earlier draw."""
    draws = chosen(generator(seed, "next city"), len(world), codes.CITY_WEIGHTS)
    return np.where(draws == world.city, (draws + 1) % len(codes.CITIES), draws)
