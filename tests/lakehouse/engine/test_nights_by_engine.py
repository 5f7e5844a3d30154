"""Whole nights by both engines: two real sources and a bank of heavy mess. Every table and every published file is equal.

What the night of the real bank says of its clients is worked out from its files in plain Python, too.

In the mess, a night of one engine is followed by a night of the other on the same lake, both ways.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from example_workspaces import copy_before_nights, copy_of_example, copy_with_data

from jobs.night.history import run_history
from jobs.night.nightly import run_night
from jobs.night.twin import compare
from lakehouse.query.published import open_publication
from lakehouse.session.session import java_version
from lakehouse.settings.settings import load_settings

BERKA_DAY = date(1994, 3, 30)
MESS_DAYS = (date(2028, 2, 28), date(2028, 2, 29), date(2028, 3, 1))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(java_version() is None, reason="the engine spark needs Java, which is not here"),
]


def require_equal(folder: Path, nights: Callable[[Path, str], None]) -> None:
    """Run nights of a workspace without Spark, and in a twin with the same secrets as ``spark`` says; compare what is published."""
    nights(folder, "duckdb")
    other = copy_before_nights(folder, folder.parent / "twin")
    nights(other, "spark")
    twins = compare(load_settings(folder), load_settings(other), "spark")
    assert twins.differing == ()
    assert len(twins.tables) > 20


def test_a_real_bank(shared_data, tmp_path):
    def nights(workspace: Path, engine: str) -> None:
        run_night(load_settings(workspace, engine=engine), BERKA_DAY)

    folder = copy_with_data("berka", tmp_path / "berka", shared_data / "berka")
    require_equal(folder, nights)
    require_tags_of_files(folder, shared_data / "berka")


def require_tags_of_files(folder: Path, data: Path) -> None:
    """Hold the tags of every client of the real bank against its files."""
    expected = clients_of(data)
    codes = list(next(iter(expected.values())))
    with open_publication(load_settings(folder)) as published:
        rows = published.records(
            f"SELECT source_key, {', '.join(codes)} FROM tags.customer_tags JOIN identity.memberships USING (one_id) WHERE valid_to IS NULL"
        )
    tags = {row.pop("source_key"): row for row in rows}
    assert len(rows) == len(tags) == len(expected) == 5_369
    wrong = {key: (tags[key], answers) for key, answers in expected.items() if tags[key] != answers}
    assert not wrong, (len(wrong), dict(list(wrong.items())[:5]))
    for code in codes:
        assert len({answers[code] for answers in expected.values()}) > 1, code
    assert sum(answers["aum_eod"] for answers in expected.values()) == Decimal("39318533.10")
    assert sum(answers["has_running_loan"] for answers in expected.values()) == 7


def lines_of(file: Path) -> Iterator[dict[str, str]]:
    """Give the records of a file of the bank that are whole."""
    with file.open(encoding="ascii", newline="") as text:
        yield from (row for row in csv.DictReader(text, delimiter=";") if None not in row.values())


def day_of(text: str) -> date:
    return date(1900 + int(text[:2]), int(text[2:4]), int(text[4:6]))


def clients_of(data: Path) -> dict[str, dict[str, object]]:
    """Give by client eight tags as of the night; the money of an account is its owner's."""
    owners = {
        row["account_id"]: row["client_id"] for row in lines_of(data / "disp.asc") if row["type"] == "OWNER"
    }
    newest: dict[str, tuple[date, int, Decimal]] = {}
    acts: dict[str, list[date]] = defaultdict(list)
    penalties: dict[str, Decimal] = defaultdict(Decimal)
    for row in lines_of(data / "trans.asc"):
        day, owner = day_of(row["date"]), owners[row["account_id"]]
        if day > BERKA_DAY:
            continue
        last = (day, int(row["trans_id"]), Decimal(row["balance"]))
        newest[row["account_id"]] = max(newest.get(row["account_id"], last), last)
        if row["k_symbol"] == "SANKC. UROK" and day > BERKA_DAY - timedelta(days=365):
            penalties[owner] += Decimal(row["amount"])
        if row["k_symbol"] not in ("UROK", "SANKC. UROK", "SLUZBY") and row["operation"] != "PREVOD Z UCTU":
            acts[owner].append(day)
    assets: dict[str, Decimal] = defaultdict(Decimal)
    for account, (_, _, balance) in newest.items():
        assets[owners[account]] += balance
    opened: dict[str, list[date]] = defaultdict(list)
    for row in lines_of(data / "account.asc"):
        opened[owners[row["account_id"]]] += [day_of(row["date"])] if day_of(row["date"]) <= BERKA_DAY else []
    borrowers = {
        owners[row["account_id"]]
        for row in lines_of(data / "loan.asc")
        if day_of(row["date"]) <= BERKA_DAY and row["status"] != "A"
    }
    clients = {}
    for row in lines_of(data / "client.asc"):
        client, number = row["client_id"], int(row["birth_number"])
        born = day_of(f"{number - 5000 * (number // 100 % 100 > 50):06d}")
        own = acts[client]
        clients[client] = {
            "gender": "F" if number // 100 % 100 > 50 else "M",
            "age": BERKA_DAY.year - born.year - ((BERKA_DAY.month, BERKA_DAY.day) < (born.month, born.day)),
            "aum_eod": assets[client],
            "tenure_days": (BERKA_DAY - min(opened[client])).days if opened[client] else None,
            "active_txn_count_90d": sum(day > BERKA_DAY - timedelta(days=90) for day in own),
            "days_since_active_txn": (BERKA_DAY - max(own)).days if own else None,
            "has_running_loan": client in borrowers,
            "penalty_interest_amount_365d": penalties[client],
        }
    return clients


def test_a_real_shop_after_a_history(shared_data, tmp_path):
    def nights(workspace: Path, engine: str) -> None:
        settings = load_settings(workspace, engine=engine)
        run_history(settings, date(2011, 11, 1), date(2011, 12, 6))
        run_night(settings, date(2011, 12, 7))

    require_equal(copy_with_data("online-retail", tmp_path / "shop", shared_data / "online-retail"), nights)


def test_a_bank_of_heavy_mess_whose_twin_lets_the_engines_take_turns(tmp_path):
    from simulator.simulation import simulate
    from simulator.world.bank import BankPlan
    from simulator.world.rates import rates_of

    folder = copy_of_example("bank", tmp_path / "bank")
    plan = BankPlan(
        people=200, nights=3, seed=5, history_months=2, first=MESS_DAYS[0], rates=rates_of("heavy")
    )
    simulate(plan, folder)

    def nights(workspace: Path, engine: str) -> None:
        for day, name in zip(MESS_DAYS, (engine, "duckdb", engine), strict=True):
            run_night(load_settings(workspace, engine=name), day)

    require_equal(folder, nights)
