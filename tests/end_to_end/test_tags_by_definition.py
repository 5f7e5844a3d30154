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
# Tags that are alike for everybody of a simulated bank, and why; any other one is dead by accident, and both sides may agree on that.
CONSTANT = {
    "contribution_12m": "twelve months of the ledger are more than the history",
    "fatigue": "two nights contact nobody three times",
    "no_response_state": "two nights contact nobody three times",
    "has_loan_paid_early_90d": "no feed delivers when a loan was paid off",
    "has_repayment_contract": "no feed delivers from which account a loan is repaid",
    "is_new_in_city": "no feed delivers since when somebody lives in a city",
    "is_parent": "no feed delivers who somebody's parents are",
    "product_net_flow_30d": "no feed delivers the product of a booking",
    "search_topics_30d": "searches of the app are filed under no topic",
}
# Those that are alike in one of the banks, and not in the other.
CONSTANT_IN = {
    "default": {},
    "heavy": {
        "assigned_global_control": "the bank assigned nobody in the half-year of its nights",
        "has_early_repayment_90d": "rare among 400 people",
        "has_loan_prepaid_90d": "rare among 400 people",
        "is_wholesale": "rare among 400 people",
        "large_inflow_7d": "rare among 400 people",
    },
}
# The last day is a month end, and of the heavy mess a leap day.
FIRST = {"default": date(2026, 11, 29), "heavy": date(2028, 2, 28)}


@pytest.fixture(scope="module", params=["default", "heavy"])
def bank(request, tmp_path_factory):
    """A bank after its nights: settings, the business dates, and the tags that may be alike for everybody."""
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
    return settings, (first, last), CONSTANT.keys() | CONSTANT_IN[request.param].keys()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_tag_of_everybody_is_what_its_definition_says(bank):
    settings, nights, may_be_constant = bank
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
    tables_of_tags = {"customer": night, **rows_of}
    constant = {
        entry.code
        for entry in entries
        if len({str(row[entry.code]) for row in tables_of_tags[entry.about.code]}) == 1
    }
    assert sorted(constant - may_be_constant) == [], "tags that are alike for everybody"
