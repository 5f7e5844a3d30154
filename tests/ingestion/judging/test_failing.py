"""A record on which an expression fails is refused by itself, in each way of mapping; an expression that fails on most is at fault."""

from __future__ import annotations

import logging
import re

import pytest
from judged_records import WAYS, judged

from ingestion.feeds.feeds import read_feed
from lakehouse.errors import InputInvalid

FEED = """\
feed: f
source: core
description: d
mode: delta
files: {path: "f/{date}/*"}
columns: [no, amount, parts, born, code]
row_rules:
  - {rule: closed, refuse_when: "code = 7", why: closed}
targets:
  - table: trusted.cards
    columns:
      card_id: no
      card_type: "'credit'"
      status: "'ACTIVE'"
      credit_limit: "cast(amount as decimal(18,2)) / cast(parts as int)"
      used_amount: "try_cast(amount as int) * 1000000"
      applied_on: "cast(born as date)"
"""
GOOD = [(f"g{n}", "12.00", "4", "2030-01-31", "1") for n in range(12)]
BAD = [
    ("no amount", "n/a", "4", "2030-01-31", "1"),
    ("by zero", "12.00", "0", "2030-01-31", "1"),
    ("no day", "12.00", "4", "2030-02-31", "1"),
    ("too large", "99999", "4", "2030-01-31", "1"),
    ("no code", "12.00", "4", "2030-01-31", "x"),
    ("closed", "12.00", "4", "2030-01-31", "7"),
    ("nothing", None, None, None, None),
]
REASONS = {
    13: ["failed:credit_limit"],
    14: ["failed:credit_limit"],
    15: ["failed:applied_on"],
    16: ["failed:used_amount"],
    17: ["failed:closed"],
    18: ["closed"],
}


def feed_of(folder, text=FEED):
    (folder / "f.yml").write_text(text)
    return read_feed(folder / "f.yml")


def refused_of(spark, folder, way, records, text=FEED):
    refused, tables, _ = judged(spark, folder, feed_of(folder, text), way=way, records=records)
    return refused, tables["trusted.cards"]


@pytest.mark.parametrize("way", ["one by one", "quick, then one by one"])
def test_a_record_that_an_expression_fails_on_is_refused_alone(tmp_path, way, caplog):
    with caplog.at_level(logging.WARNING):
        refused, cards = refused_of(None, tmp_path, way, [*GOOD, *BAD])
    assert refused == REASONS
    assert {card["card_id"] for card in cards} == {*(row[0] for row in GOOD), "nothing"}
    assert len([one for one in caplog.messages if "failed on" in one]) == 4
    assert not any("n/a" in one or "99999" in one for one in caplog.messages)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_both_engines_refuse_the_same_records(spark, tmp_path, way):
    assert refused_of(spark, tmp_path, way, [*GOOD, *BAD])[0] == REASONS


ONLY_SPARK = FEED.replace('"cast(born as date)"', "\"cast(concat_ws('-', split(born, '-', 3)) as date)\"")


@pytest.mark.slow
@pytest.mark.parametrize("text", [FEED, ONLY_SPARK], ids=["exact", "only Spark"])
def test_any_number_of_records_fails_one_by_one_on_spark_as_well(spark, tmp_path, text):
    records = [(f"r{n}", "n/a" if n % 3 == 0 else "12.00", "4", "2030-01-31", "1") for n in range(3_000)]
    refused, cards = refused_of(spark, tmp_path, "by Spark", records, text)
    assert len(refused) == 1_000 and {tuple(reasons) for reasons in refused.values()} == {
        ("failed:credit_limit",)
    }
    assert len(cards) == 2_000


@pytest.mark.slow
def test_what_only_spark_knows_fails_on_single_records_as_well(spark, tmp_path):
    assert refused_of(spark, tmp_path, "by Spark", [*GOOD, *BAD], ONLY_SPARK)[0] == {
        **REASONS,
        19: ["failed:applied_on"],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "refused"),
    [
        ("cast(amount as int) + cast(amount as int)", [0, 1]),
        ("if(amount = 'y', cast('no number' as int), 1)", [1]),
        ("if(code = '8', cast(amount as int), 1)", [0]),
    ],
)
def test_a_value_that_is_asked_for_twice_or_not_at_all_fails_where_it_is_asked_for(
    spark, tmp_path, limit, refused
):
    """Spark would compute what stands twice once, in front of the trial, and what has no column before any record."""
    text = ONLY_SPARK.replace('"cast(amount as decimal(18,2)) / cast(parts as int)"', f'"{limit}"')
    records = [("0", "x", "4", "2030-01-31", "8"), ("1", "y", "4", "2030-01-31", "1")] + [
        (f"{n}", "5", "4", "2030-01-31", "8") for n in range(2, 9)
    ]
    of_rows = refused_of(spark, tmp_path, "by Spark", records, text)[0]
    assert of_rows == {row + 1: ["failed:credit_limit"] for row in refused}


@pytest.mark.slow
def test_a_column_may_be_called_as_a_variable_of_spark(spark, tmp_path):
    text = re.sub(r"\b(amount|parts)\b", lambda name: {"amount": "x_1", "parts": "x_2"}[name[0]], ONLY_SPARK)
    refused = refused_of(spark, tmp_path, "by Spark", [*GOOD, *BAD], text)[0]
    assert refused == {**REASONS, 19: ["failed:applied_on"]}


@pytest.mark.slow
def test_an_expression_that_fails_before_any_record_is_at_fault_itself(spark, tmp_path):
    text = ONLY_SPARK.replace("/ cast(parts as int)", "+ cast('no number' as int)")
    with pytest.raises(InputInvalid, match=r"f\.yml:15: .*credit_limit failed on all records"):
        refused_of(spark, tmp_path, "by Spark", GOOD[:3], text)


@pytest.mark.parametrize(
    ("records", "is_fault"),
    [
        ([("a", "n/a", "1", None, None)] * 10, False),
        ([("a", "n/a", "1", None, None)] * 11, True),
        ([*GOOD, *[("a", "n/a", "1", None, None)] * 12], False),
        ([*GOOD, *[("a", "n/a", "1", None, None)] * 13], True),
    ],
)
def test_an_expression_that_fails_on_most_records_is_named_with_its_line(tmp_path, records, is_fault):
    records = [(f"{row[0]}{at}", *row[1:]) for at, row in enumerate(records)]
    if not is_fault:
        refused, _ = refused_of(None, tmp_path, "quick, then one by one", records)
        assert len(refused) == len([row for row in records if row[1] == "n/a"])
        return
    with pytest.raises(
        InputInvalid,
        match=r"f\.yml:15: the expression of trusted\.cards\.credit_limit failed on 1\d of \d+ records",
    ) as wrong:
        refused_of(None, tmp_path, "quick, then one by one", records)
    assert "n/a" not in str(wrong.value)
