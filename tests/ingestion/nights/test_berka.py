"""The real bank of examples/berka: the figures known of it, from its files by YAML alone."""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

import ingestion
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

D = date(1994, 3, 30)


@pytest.fixture
def berka(shared_data, tmp_path):
    """The example workspace, copied, its inbox the third-party folder, with its night of ingestion done."""
    if not (shared_data / "berka" / "trans.asc").is_file():
        pytest.skip("the Berka files are not beside the checkout")
    example = Path(__file__).resolve().parents[3] / "examples" / "berka"
    workspace = tmp_path / "berka"
    shutil.copytree(example / "feeds", workspace / "feeds")
    settings = (
        (example / "cdp.yml").read_text().replace("../../../shared/data/berka", str(shared_data / "berka"))
    )
    (workspace / "cdp.yml").write_text(settings)
    lake = open_lake(load_settings(workspace))
    lake.result = ingestion.ingest(lake, D)
    return lake


def test_the_figures_of_the_real_bank(berka):
    assert berka.result.summary()["transactions"] == {
        "delivered": 49103,
        "accepted": 49102,
        "refused": 1,
        "duplicates": 0,
    }
    assert sum(counts["refused"] for counts in berka.result.summary().values()) == 1
    assert berka.read_arrow("quality.refused_rows").to_pylist() == [
        {
            "feed": "transactions",
            "path": "trans.asc",
            "row_number": 49103,
            "raw_text": '3526882;11021;940331;"PRIJE',
            "reasons": ["columns: 4 instead of 10"],
            "arrived_on": D,
        }
    ]
    db = duckdb.connect()
    for name in ("transactions", "balances", "customers", "relationships", "loans", "accounts", "cards"):
        db.register(name, berka.read_arrow(f"trusted.{name}"))
    asked = {
        "select count(*), sum(amount) from transactions": (49102, Decimal("315486449.80")),
        "select count(*) from transactions where transacted_on <= date '1994-03-30'": (46997,),
        "select count(*) from transactions where transacted_on = date '1994-03-31'": (2105,),
        "select count(*) from transactions where transaction_type = 'PENALTY_INTEREST'": (64,),
        "select count(*) from transactions where transaction_type = 'INTEREST'": (9463,),
        """select count(*), sum(balance), count_if(balance < 0) from
           (select arg_max(balance, balance_on) as balance from balances
            where balance_on <= date '1994-03-30' group by account_id)""": (1229, Decimal("39318533.10"), 2),
        "select count(*), count_if(gender = 'F') from customers": (5369, 2645),
        "select min(birth_date), max(birth_date) from customers": (date(1911, 8, 20), date(1987, 9, 27)),
        "select count_if(role = 'owner'), count_if(role = 'co_holder') from relationships": (4500, 869),
        "select count(*) from accounts where opened_on <= date '1994-03-30'": (1229,),
        "select count(*), count_if(loan_class = 'L'), count(days_past_due) from loans": (37, 5, 32),
        "select count(*) from cards": (6,),
    }
    assert {question: db.execute(question).fetchone() for question in asked} == asked
