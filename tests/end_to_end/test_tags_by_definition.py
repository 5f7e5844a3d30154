"""Nights of simulated banks, the demo's and one of heavy mess: every online tag of everybody is what the independent evaluator says.

The last night of each has the receipts of the audiences of the one before.
"""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from tags.compile.compilation import compile_tags
from tests.tags.golden.evaluator.comparison import (
    differences,
    entity_differences,
    policy_of,
    tables_of,
    unanswered,
)

BANK = Path(__file__).resolve().parents[2] / "examples" / "bank"
PEOPLE = 400
NIGHTS = 2
# The last day is a month end, and of the heavy mess a leap day.
FIRST = {"default": date(2026, 11, 29), "heavy": date(2028, 2, 28)}


@pytest.fixture(scope="module", params=["default", "heavy"])
def bank(request, tmp_path_factory):
    """A bank after its nights: settings and the business dates."""
    from jobs.night.nightly import run_night
    from simulator.engine import answer
    from simulator.simulation import simulate
    from simulator.world.bank import BankPlan
    from simulator.world.rates import rates_of

    folder = tmp_path_factory.mktemp(request.param)
    ignored = shutil.ignore_patterns("lake", "inbox", "truth", "reports", "published", "secrets", ".cdp")
    shutil.copytree(BANK, folder, dirs_exist_ok=True, ignore=ignored)
    first = FIRST[request.param]
    simulate(
        BankPlan(
            people=PEOPLE,
            nights=NIGHTS,
            seed=11,
            history_months=7,
            first=first,
            rates=rates_of(request.param),
        ),
        folder,
    )
    settings = load_settings(folder)
    last = first + timedelta(days=NIGHTS - 1)
    for day in (first, last):
        assert run_night(settings, day).exit_code == 0
        answer(settings.published, settings.inbox, day)
    return settings, (first, last)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_tag_of_everybody_is_what_its_definition_says(bank):
    settings, nights = bank
    day = nights[-1]
    lake = open_lake(settings)
    entries = compile_tags(settings.workspace).registry.online()
    night = lake.read_arrow("tags.customer_tags").to_pylist()
    assert unanswered(entries) == [] and len(night) > PEOPLE / 2
    tables = tables_of(lake)
    faults = differences(night, tables, entries, day, policy_of(settings.workspace), nights)
    rows_of = {code: lake.read_arrow(f"tags.{code}_tags").to_pylist() for code in ("product", "branch")}
    assert all(rows_of.values())
    faults += entity_differences(rows_of, tables, entries, day)
    assert not faults, f"{len(faults)} differences\n" + "\n".join(faults[:40])
    entries = [entry for entry in entries if entry.code in night[0]]
    constant = [entry.code for entry in entries if len({str(row[entry.code]) for row in night}) == 1]
    assert len(constant) < len(entries) / 5, f"tags that are alike for everybody show nothing: {constant}"
