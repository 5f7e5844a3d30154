"""Whole nights by both engines: two real sources and a bank of heavy mess. Every table and every published file is equal.

In the mess, a night of one engine is followed by a night of the other on the same lake, both ways.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from jobs.night.history import run_history
from jobs.night.nightly import run_night
from jobs.night.twin import compare
from lakehouse.session.session import java_version
from lakehouse.settings.settings import load_settings

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
GENERATED = shutil.ignore_patterns("lake", "inbox", "truth", "reports", "published", "secrets", ".cdp")
MESS_DAYS = (date(2028, 2, 28), date(2028, 2, 29), date(2028, 3, 1))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(java_version() is None, reason="the engine spark needs Java, which is not here"),
]


def workspace_of(example: str, folder: Path, data: Path) -> Path:
    """Copy an example whose inbox is a folder of real files."""
    if not data.is_dir():
        pytest.skip(f"the files of {example} are not beside the checkout")
    shutil.copytree(EXAMPLES / example, folder, ignore=GENERATED)
    file = folder / "cdp.yml"
    file.write_text(file.read_text().replace(f"../../../shared/data/{data.name}", str(data)))
    return folder


def require_equal(folder: Path, nights: Callable[[Path, str], None]) -> None:
    """Run nights of a workspace without Spark, and in a twin with the same secrets as ``spark`` says; compare what is published."""
    nights(folder, "duckdb")
    other = folder.parent / "twin"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("lake", "published", "reports", ".cdp"))
    nights(other, "spark")
    twins = compare(load_settings(folder), load_settings(other), "spark")
    assert twins.differing == ()
    assert len(twins.tables) > 20


def test_a_real_bank(shared_data, tmp_path):
    def nights(workspace: Path, engine: str) -> None:
        run_night(load_settings(workspace, engine=engine), date(1994, 3, 30))

    require_equal(workspace_of("berka", tmp_path / "berka", shared_data / "berka"), nights)


def test_a_real_shop_after_a_history(shared_data, tmp_path):
    def nights(workspace: Path, engine: str) -> None:
        settings = load_settings(workspace, engine=engine)
        run_history(settings, date(2011, 11, 1), date(2011, 12, 6))
        run_night(settings, date(2011, 12, 7))

    require_equal(workspace_of("online-retail", tmp_path / "shop", shared_data / "online-retail"), nights)


def test_a_bank_of_heavy_mess_whose_twin_lets_the_engines_take_turns(tmp_path):
    from simulator.simulation import simulate
    from simulator.world.bank import BankPlan
    from simulator.world.rates import rates_of

    folder = tmp_path / "bank"
    shutil.copytree(EXAMPLES / "bank", folder, ignore=GENERATED)
    plan = BankPlan(
        people=200, nights=3, seed=5, history_months=2, first=MESS_DAYS[0], rates=rates_of("heavy")
    )
    simulate(plan, folder)

    def nights(workspace: Path, engine: str) -> None:
        for day, name in zip(MESS_DAYS, (engine, "duckdb", engine), strict=True):
            run_night(load_settings(workspace, engine=name), day)

    require_equal(folder, nights)
