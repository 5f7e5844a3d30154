"""Money of a row in the workspace's currency needs no conversion by the source, in each way of mapping."""

from __future__ import annotations

from decimal import Decimal

import pytest
from judged_records import WAYS, judged

from ingestion.feeds.feeds import read_feed
from lakehouse.contracts.reading import build_contract, contract, contract_names
from lakehouse.errors import ContractBroken

FEED = """\
feed: f
source: core
description: d
mode: delta
files: {{path: "f/{{date}}/*"}}
columns: [no, amount, currency, base]
targets:
  - table: trusted.loans
    columns:
      loan_id: no
      account_id: no
      status: "'active'"
      outstanding: "try_cast(amount as decimal(18,2))"
      currency: currency
{more}"""
BASE = '      outstanding_base: "try_cast(base as decimal(18,2))"\n'
RECORDS = [
    ("own", "12.00", "CNY", None),
    ("own, with a figure of the source", "12.00", "CNY", "12.01"),
    ("another's, converted", "10.00", "USD", "71.20"),
    ("another's", "10.00", "USD", None),
    ("own, of no amount", None, "CNY", None),
]


def converted(spark, folder, way, more, currency):
    (folder / "f.yml").write_text(FEED.format(more=more))
    feed = read_feed(folder / "f.yml")
    _, tables, _ = judged(spark, folder, feed, way=way, records=RECORDS, currency=currency)
    return {row["loan_id"]: row["outstanding_base"] for row in tables["trusted.loans"]}


@pytest.mark.parametrize(
    "way", [pytest.param(w, marks=[pytest.mark.slow] if "Spark" in w else []) for w in WAYS]
)
def test_what_is_in_the_currency_of_the_workspace_is_filled_and_nothing_else(way, request, tmp_path):
    spark = request.getfixturevalue("spark") if "Spark" in way else None
    places = {name: tmp_path / name for name in ("mapped", "left")}
    for place in places.values():
        (place / "records").mkdir(parents=True)
    with_base = converted(spark, places["mapped"], way, BASE, "CNY")
    assert list(with_base.values()) == [Decimal("12.00"), Decimal("12.01"), Decimal("71.20"), None, None]
    without = converted(spark, places["left"], way, "", "USD")
    assert list(without.values()) == [None, None, Decimal("10.00"), Decimal("10.00"), None]


def test_every_amount_in_the_currency_of_the_workspace_is_required_or_filled():
    columns = [
        c for t in contract_names("trusted") for c in contract(t).columns.values() if c.name.endswith("_base")
    ]
    assert [c.name for c in columns if not c.required and c.converts is None] == []
    assert len(columns) >= 8


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"base": {"type": "int", "converts": "amont"}}, "'amont' is no column"),
        ({"base": {"type": "int", "converts": "amount"}}, "without a column 'currency'"),
        ({"base": {"type": "int", "converts": "amount"}, "currency": {"type": "string"}}, "has not the type"),
    ],
)
def test_a_conversion_of_nothing_is_no_contract(columns, words):
    tree = {
        "table": "trusted.x", "description": "d", "grain": "g", "shape": "log", "key": ["k"], "owner": "o",
        "columns": {"k": {"type": "string"}, "amount": {"type": "decimal(18,2)"}, **columns},
    }  # fmt: skip
    with pytest.raises(ContractBroken, match=words):
        build_contract(tree)
