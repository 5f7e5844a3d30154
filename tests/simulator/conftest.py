"""One small simulated bank for all tests of the simulator."""

from __future__ import annotations

import pytest

from simulator.simulation import simulate
from simulator.world.bank import Bank, BankPlan


@pytest.fixture(scope="session")
def plan():
    return BankPlan(people=4_000, nights=3, seed=11, history_months=2)


@pytest.fixture(scope="session")
def delivery(plan, tmp_path_factory):
    out = tmp_path_factory.mktemp("bank")
    simulate(plan, out)
    return out


@pytest.fixture(scope="session")
def bank(plan):
    return Bank(plan)
