"""What an optional column cannot hold is left empty and counted; what a record needs refuses it; on both engines."""

from __future__ import annotations

import pytest
from judged_records import WAYS, judged

from ingestion.feeds.feeds import read_feed
from ingestion.nights import books
from lakehouse.errors import SettingsInvalid

PEOPLE = """\
feed: f
source: core
description: d
mode: delta
files: {path: "f/{date}/*"}
columns: [no, sex, born, died, phone, limit, used]
targets:
  - table: trusted.customers
    columns:
      source_key: no
      kind: "'customer'"
      gender: "case sex when '1' then 'M' when '2' then 'F' else sex end"
      birth_date: "try_to_date(born, 'yyyy-MM-dd')"
      deceased_on: "try_to_date(died, 'yyyy-MM-dd')"
  - table: trusted.identifier_observations
    each:
      - {source_key: no, namespace: "'phone'", value: phone, role: "'identity'", verified: true}
  - table: trusted.cards
    columns: {card_id: no, card_type: "'credit'", status: "'ACTIVE'", credit_limit: limit, used_amount: USED}
"""
RECORDS = [
    # no, sex, born, died, phone, limit, used
    ("a", "1", "1980-01-01", None, "138", "100.50", "1"),
    ("b", "2", "1980-02-30", None, "139", "100", "2.500"),
    ("c", "9", "x", None, "137", "1.005", "1e-400"),
    ("d", None, None, None, None, "n/a", "1e+05"),
    ("e", "1", "1980-01-01", "2020-02-30", "136", None, "0.0001"),
    ("f", "1", "1980-01-01", None, "135", "1.00000000000000000001", "25e-1"),
]
LOSSES = {
    ("trusted.customers", "birth_date", "unreadable"): 2,
    ("trusted.customers", "gender", "not_allowed"): 1,
    ("trusted.cards", "credit_limit", "unreadable"): 1,
    ("trusted.cards", "credit_limit", "more_decimals"): 2,
    ("trusted.cards", "used_amount", "more_decimals"): 1,
}


def a_feed(folder, text):
    (folder / "f.yml").write_text(text)
    return read_feed(folder / "f.yml")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "used", ["used", '"try_cast(used as decimal(18,2))"', '"try_cast(used as decimal(30,9))"']
)
def test_what_an_optional_column_cannot_hold_is_empty_and_counted(spark, tmp_path, way, used):
    feed = a_feed(tmp_path, PEOPLE.replace("USED", used))
    refused, tables, losses = judged(spark, tmp_path, feed, way=way, records=RECORDS)
    assert refused == {5: ["unreadable:deceased_on"]}
    assert losses == LOSSES
    people = {r["source_key"]: (r["gender"], str(r["birth_date"])) for r in tables["trusted.customers"]}
    assert people == {
        "a": ("M", "1980-01-01"), "b": ("F", "None"), "c": (None, "None"), "d": (None, "None"), "f": ("M", "1980-01-01"),
    }  # fmt: skip
    cards = {r["card_id"]: (str(r["credit_limit"]), str(r["used_amount"])) for r in tables["trusted.cards"]}
    assert cards == {
        "a": ("100.50", "1.00"), "b": ("100.00", "2.50"), "c": ("None", "None"), "d": ("None", "100000.00"), "f": ("None", "2.50"),
    }  # fmt: skip
    assert {r["value"] for r in tables["trusted.identifier_observations"]} == {"138", "139", "137", "135"}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_feed_may_refuse_records_for_such_values_or_round_them(spark, tmp_path, way):
    text = PEOPLE.replace("USED", "used")
    feed = a_feed(tmp_path, f"{text}unreadable: {{refuse: [birth_date]}}\ndecimals: round\n")
    refused, tables, losses = judged(spark, tmp_path, feed, way=way, records=RECORDS)
    assert refused == {
        2: ["unreadable:birth_date"], 3: ["unreadable:birth_date"], 5: ["unreadable:deceased_on"],
    }  # fmt: skip
    assert losses == {("trusted.cards", "credit_limit", "unreadable"): 1}
    assert {str(r["credit_limit"]) for r in tables["trusted.cards"]} == {"100.50", "None", "1.00"}
    again = tmp_path / "all"
    again.mkdir()
    refused, _, losses = judged(
        spark, again, a_feed(again, f"{text}unreadable: {{refuse: all}}\n"), way=way, records=RECORDS
    )
    assert (sorted(refused), losses) == ([2, 3, 4, 5, 6], {})
    assert refused[3] == [
        "more_decimals:credit_limit", "more_decimals:used_amount", "not_allowed:gender", "unreadable:birth_date",
    ]  # fmt: skip


def test_a_share_of_empty_values_above_the_feeds_is_said(tmp_path):
    feed = a_feed(tmp_path, PEOPLE.replace("USED", "used"))
    book = books.Book(
        lost_values=[
            {"path": p, "table_name": "trusted.customers", "column_name": "birth_date", "reason": "unreadable", "value_count": 3}
            for p in ("f/a", "f/b")
        ]
    )  # fmt: skip
    assert books.loss_warnings(feed, book, 600) == []
    said = (
        "feed 'f': 6 of 599 values of trusted.customers.birth_date cannot be kept (unreadable) and are empty"
    )
    assert books.loss_warnings(feed, book, 599) == [said]


def test_a_name_that_no_target_maps_is_refused(tmp_path):
    with pytest.raises(
        SettingsInvalid, match="unreadable names 'birthdate', which no target maps; did you mean 'birth_date'"
    ):
        a_feed(tmp_path, PEOPLE.replace("USED", "used") + "unreadable: {refuse: [birthdate]}\n")
