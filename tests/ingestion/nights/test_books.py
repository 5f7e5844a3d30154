"""The books balance or the night stops: every record that was read is accounted for once, in every table."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import pyarrow as pa
import pytest

from ingestion.feeds.feeds import read_feed
from ingestion.judging.judging import FileCounts
from ingestion.judging.mapping import table_maps
from ingestion.nights.books import Book, Load, check_written, count_records
from ingestion.records.landing import Nights
from lakehouse.errors import ContractBroken

D = date(2026, 11, 18)
PATH = "members/2026-11-18/members.csv"
FEED = """
feed: members
source: shop
description: Members of the shop.
mode: snapshot
files: {path: "members/{date}/members.csv"}
columns: [no, name, phone, mail]
targets:
  - {table: trusted.customers, columns: {source_key: no, kind: "'customer'", full_name: name}}
  - table: trusted.identifier_observations
    each:
      - {source_key: no, namespace: "'phone'", value: phone, role: "'identity'"}
      - {source_key: no, namespace: "'email'", value: mail, role: "'identity'"}
"""


@pytest.fixture
def feed(tmp_path):
    file = tmp_path / "members.yml"
    file.write_text(FEED)
    return read_feed(file)


def counted(feed, counts, records=10):
    """The book of one file of ``records`` records of which the judgement says ``counts``."""
    judgement = SimpleNamespace(
        losses=list, feed=feed, maps=table_maps(feed), counts=lambda: {PATH: counts}, refused_rows=lambda: []
    )
    return count_records(judgement, [SimpleNamespace(file=SimpleNamespace(path=PATH), records=records)])


def counts_of(**changes):
    """Ten records: two refused, one a twin, seven without fault; they give seven people and twelve of fourteen observations."""
    base = {"records": 10, "refused_records": 2, "twins": 1, "without_fault": 7, "rows": {0: 7, 1: 12}, "repeated_rows": {0: 0, 1: 3}}  # fmt: skip
    return FileCounts(**(base | changes))


def test_a_table_is_counted_in_the_rows_that_its_records_may_become(feed):
    assert counted(feed, counts_of()).loads == [
        Load(PATH, "trusted.customers", 1, 10, 7, 2, 1, 0, 0),
        Load(PATH, "trusted.identifier_observations", 2, 20, 9, 4, 2, 3, 2),
    ]
    assert counted(feed, counts_of()).feed_counts().as_dict() == {
        "delivered": 10,
        "accepted": 7,
        "refused": 2,
        "duplicates": 1,
    }


WRONG = {
    "a record that is nowhere": {"without_fault": 6, "rows": {0: 6, 1: 12}},
    "a record that is in two places": {"twins": 2},
    "a refusal that was not counted": {"refused_records": 1},
    "more rows than records": {"rows": {0: 8, 1: 12}},
    "more repeated rows than rows": {"rows": {0: 7, 1: 2}},
}


@pytest.mark.parametrize("what", WRONG)
def test_books_that_do_not_balance_stop_the_night(feed, what):
    with pytest.raises(ContractBroken, match=rf"the books of {PATH} for trusted\.\w+ do not balance"):
        counted(feed, counts_of(**WRONG[what]))


def test_a_record_that_was_read_and_not_judged_stops_the_night(feed):
    with pytest.raises(ContractBroken, match="11 records were read but 10 were judged"):
        counted(feed, counts_of(), records=11)


def test_rows_that_are_not_in_the_table_stop_the_night(tmp_path):
    text = FEED.replace("snapshot", "events").partition("targets:")[0] + (
        "targets:\n  - table: trusted.balances\n    columns: {account_id: no, product_class: \"'demand'\", balance_on: \"date'2026-11-18'\","
        " balance: phone, currency: \"'CNY'\", balance_base: phone}\n"
    )
    file = tmp_path / "members.yml"
    file.write_text(text)
    book = Book([Load(PATH, "trusted.balances", 1, 3, 3, 0, 0, 0, 0)])
    for row_count in (2, 3, 4):
        lake = SimpleNamespace(read_arrow=lambda *_, n=row_count, **__: pa.table({"_row": range(n)}))
        if row_count == 3:
            check_written(lake, read_feed(file), book, Nights(D, D))
            continue
        with pytest.raises(ContractBroken, match=f"holds {row_count} rows of members .* 3 were accepted"):
            check_written(lake, read_feed(file), book, Nights(D, D))
