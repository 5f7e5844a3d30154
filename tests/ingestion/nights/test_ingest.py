"""Nights of ingestion: conservation, reruns, corrections, duplicates, refusals, states; on a tiny bank."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import duckdb
import pytest

import ingestion
from ingestion.feeds.feeds import read_feed
from ingestion.inbox.inbox import find_files
from ingestion.nights import night
from ingestion.records import reading
from ingestion.records.landing import Nights
from ingestion.records.record_files import RecordFiles
from lakehouse.errors import InputInvalid, SettingsInvalid
from lakehouse.query.hashing import file_hash, frame_hash, table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

FEEDS = {
    "feeds/clients.yml": """\
        feed: clients
        source: core
        description: Clients, whole every night.
        mode: snapshot
        required: true
        files: {path: "clients/{date}/clients.csv"}
        columns: [no, name, sex, born, phone, mail]
        row_rules:
          - {rule: no_name, refuse_when: "name is null", why: a client has a name}
        targets:
          - table: trusted.customers
            columns:
              source_key: no
              kind: "'customer'"
              full_name: name
              gender: "case sex when '1' then 'M' when '2' then 'F' else sex end"
              birth_date: "try_to_date(born, 'yyyyMMdd')"
          - table: trusted.identifier_observations
            each:
              - {source_key: no, namespace: "'phone'", value: phone, role: "'identity'", verified: true}
              - {source_key: no, namespace: "'email'", value: mail, role: "'identity'", verified: false}
        """,
    "feeds/bookings.yml": """\
        feed: bookings
        source: core
        description: Bookings with the balance after each.
        mode: events
        files: {path: "bookings/{date}/b*.csv"}
        format: {type: csv, separator: "|", header: false}
        columns: [id, account, day, amount, balance]
        targets:
          - table: trusted.transactions
            where: "amount <> '0'"
            columns:
              transaction_id: id
              account_id: account
              transacted_on: "try_to_date(day, 'yyyy-MM-dd')"
              direction: "case when amount like '-%' then 'debit' else 'credit' end"
              amount: "abs(try_cast(amount as decimal(18,2)))"
              currency: "'CNY'"
              amount_base: "abs(try_cast(amount as decimal(18,2)))"
              transaction_type: "'OTHER'"
              initiator: "'C'"
          - table: trusted.balances
            same_key: last by id
            columns:
              account_id: account
              product_class: "'demand'"
              balance_on: "try_to_date(day, 'yyyy-MM-dd')"
              balance: balance
              currency: "'CNY'"
              balance_base: balance
        """,
}
CLIENTS_18 = """\
no,name,sex,born,phone,mail,new
c1,Ann,2,19800101,138,a@x,n1
c2,Bob,1,19800230,139,,n2
c3,,1,19800101,137,,n3
c4,Dan,3,19800101,,,n4
c5,Eve,2,,136,e@x,n5
c5,Eve,2,,136,e@x,n5
c6,Fay,2,,135,,n6
c6,Fae,2,,134,,n6
c7,"Gus
"""
BOOKINGS_18 = """\
b1|a1|2026-11-18|10.00|10.00
b2|a1|2026-11-18|-4.00|6.00
b2|a1|2026-11-18|-4.00|6.00
b3|a2|2026-11-19|1.00|1.00
b4|a2|2026-11-18|0|0.00
b5|a3|2026-11-18|x|5.00
b6|a4|2026-11-18|1|
"""
CLIENTS_19 = "no,name,sex,born,phone,mail\nc1,Ann,2,19800101,138,\nc5,Eva,2,,136,e@x\nc8,Hal,1,,133,\n"
D18, D19 = date(2026, 11, 18), date(2026, 11, 19)
STATES = ("trusted.customers", "trusted.identifier_observations")
FACTS = ("trusted.transactions", "trusted.balances")
BOOKS = (
    "landing.files",
    "landing.loads",
    "quality.refused_rows",
    "quality.lost_values",
    "landing.clients",
    "landing.bookings",
)


@pytest.fixture
def bank(make_workspace):
    """An empty lake whose workspace has the two feeds, and a function that delivers a file."""
    workspace = make_workspace({**FEEDS, "cdp.yml": "generate_secrets: true\n"})
    (workspace / "inbox").mkdir()
    lake = open_lake(load_settings(workspace))

    def deliver(path: str, text: str | bytes) -> None:
        file = workspace / "inbox" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)

    lake.deliver = deliver
    deliver("clients/2026-11-18/clients.csv", CLIENTS_18)
    deliver("bookings/2026-11-18/b1.csv", BOOKINGS_18)
    return lake


def rows(lake, table, *columns):
    """The rows of a table as sorted tuples of some columns."""
    return sorted((tuple(r[c] for c in columns) for r in lake.read_arrow(table).to_pylist()), key=str)


def open_customers(lake):
    columns = ("source_key", "full_name", "valid_from", "valid_to")
    return [(k, n) for k, n, _, until in rows(lake, "trusted.customers", *columns) if until is None]


def hashes(lake, tables):
    return {name: table_hash(lake.settings, name) for name in tables}


def test_nights_of_a_small_bank(bank):
    # The first night: every record is in a table, refused with its reasons, or a duplicate.
    result = ingestion.ingest(bank, D18)
    assert result.summary() == {
        "clients": {"delivered": 9, "accepted": 4, "refused": 4, "duplicates": 1},
        "bookings": {"delivered": 7, "accepted": 4, "refused": 2, "duplicates": 1},
    }
    assert rows(bank, "quality.refused_rows", "feed", "row_number", "raw_text", "reasons") == [
        ("bookings", 6, "b5|a3|2026-11-18|x|5.00", ["unreadable:amount", "unreadable:amount_base"]),
        ("bookings", 7, "b6|a4|2026-11-18|1|", ["missing:balance", "missing:balance_base"]),
        ("clients", 3, "c3,,1,19800101,137,,n3", ["no_name"]),
        ("clients", 7, "c6,Fay,2,,135,,n6", ["same_key:trusted.customers"]),
        ("clients", 8, "c6,Fae,2,,134,,n6", ["same_key:trusted.customers"]),
        ("clients", 9, 'c7,"Gus', ["columns: 2 instead of 7"]),
    ]
    # A birth date of 30 February and an unknown sex cost themselves, not the person.
    lost_columns = ("path", "table_name", "column_name", "reason", "value_count")
    file = "clients/2026-11-18/clients.csv"
    assert rows(bank, "quality.lost_values", *lost_columns) == [
        (file, "trusted.customers", "birth_date", "unreadable", 1),
        (file, "trusted.customers", "gender", "not_allowed", 1),
    ]
    assert open_customers(bank) == [("c1", "Ann"), ("c2", "Bob"), ("c4", "Dan"), ("c5", "Eve")]
    assert rows(bank, "trusted.identifier_observations", "source_key", "namespace", "value", "verified") == [
        ("c1", "email", "a@x", False),
        ("c1", "phone", "138", True),
        ("c2", "phone", "139", True),
        ("c5", "email", "e@x", False),
        ("c5", "phone", "136", True),
    ]
    # A booking of tomorrow is kept; the balance of a day is the one of the highest number.
    assert rows(bank, "trusted.transactions", "transaction_id", "amount", "transacted_on", "_row") == [
        ("b1", Decimal("10.00"), D18, 1),
        ("b2", Decimal("4.00"), D18, 2),
        ("b3", Decimal("1.00"), D19, 4),
    ]
    assert rows(bank, "trusted.balances", "account_id", "balance_on", "balance") == [
        ("a1", D18, Decimal("6.00")),
        ("a2", D18, Decimal("0.00")),
        ("a2", D19, Decimal("1.00")),
    ]
    loads = rows(
        bank,
        "landing.loads",
        "table_name",
        "delivered",
        "accepted",
        "refused",
        "exact_duplicates",
        "key_duplicates",
        "excluded",
    )
    assert loads == [
        ("trusted.balances", 7, 3, 2, 1, 1, 0),
        ("trusted.customers", 9, 4, 4, 1, 0, 0),
        ("trusted.identifier_observations", 18, 5, 8, 2, 0, 3),
        ("trusted.transactions", 7, 3, 2, 1, 0, 1),
    ]
    assert rows(bank, "landing.clients", "_row", "_extra")[0] == (1, '{"new": "n1"}')
    assert rows(bank, "landing.files", "path", "status", "records", "extra_columns") == [
        ("bookings/2026-11-18/b1.csv", "loaded", 7, []),
        ("clients/2026-11-18/clients.csv", "loaded", 9, ["new"]),
    ]

    # A rerun of the night gives the same rows everywhere, and the same inputs before and after.
    first = hashes(bank, (*STATES, *FACTS, *BOOKS))
    inputs = ingestion.inputs_of_night(bank, D18)
    assert ingestion.ingest(bank, D18).summary() == result.summary()
    assert hashes(bank, (*STATES, *FACTS, *BOOKS)) == first
    assert ingestion.inputs_of_night(bank, D18) == inputs == list(result.inputs)

    # A corrected file on a rerun changes what it must: one booking; the clients' tables stay as they are.
    bank.deliver(
        "bookings/2026-11-18/b1.csv", BOOKINGS_18.replace("b1|a1|2026-11-18|10.00", "b1|a1|2026-11-18|11.00")
    )
    ingestion.ingest(bank, D18)
    assert rows(bank, "trusted.transactions", "transaction_id", "amount")[:2] == [
        ("b1", Decimal("11.00")),
        ("b2", Decimal("4.00")),
    ]
    assert hashes(bank, STATES) == {name: first[name] for name in STATES}
    assert rows(bank, "landing.files", "path", "status") == [
        ("bookings/2026-11-18/b1.csv", "corrected"),
        ("bookings/2026-11-18/b1.csv", "loaded"),
        ("clients/2026-11-18/clients.csv", "loaded"),
    ]
    bank.deliver("bookings/2026-11-18/b1.csv", BOOKINGS_18)
    ingestion.ingest(bank, D18)
    assert hashes(bank, (*STATES, *FACTS)) == {name: first[name] for name in (*STATES, *FACTS)}

    # The next night closes who is gone, changes who changed, and knows the bookings of the night before.
    bank.deliver("clients/2026-11-19/clients.csv", CLIENTS_19)
    bank.deliver("bookings/2026-11-19/b1.csv", "b2|a1|2026-11-18|-4.00|6.00\nb7|a1|2026-11-19|1.00|7.00\n")
    bank.deliver("bookings/2026-11-18/b2_late.csv", "b8|a1|2026-11-18|2.00|8.00\n")
    bank.deliver("bookings/2026-11-19/b2_again.csv", BOOKINGS_18)
    bank.deliver("bookings/2026-11-20/b1.csv", "b9|a1|2026-11-20|2.00|8.00\n")
    result = ingestion.ingest(bank, D19)
    assert result.summary()["bookings"] == {"delivered": 3, "accepted": 2, "refused": 0, "duplicates": 1}
    assert result.waiting == ("bookings/2026-11-20/b1.csv",)
    assert rows(bank, "trusted.transactions", "transaction_id", "_arrived_on")[-2:] == [
        ("b7", D19),
        ("b8", D19),
    ]
    assert rows(bank, "trusted.customers", "source_key", "full_name", "valid_from", "valid_to") == [
        ("c1", "Ann", D18, None),
        ("c2", "Bob", D18, D19),
        ("c4", "Dan", D18, D19),
        ("c5", "Eva", D19, None),
        ("c5", "Eve", D18, D19),
        ("c8", "Hal", D19, None),
    ]
    assert ("bookings/2026-11-19/b2_again.csv", "repeated") in rows(bank, "landing.files", "path", "status")
    second = hashes(bank, (*STATES, *FACTS, *BOOKS))
    ingestion.ingest(bank, D19)
    assert hashes(bank, (*STATES, *FACTS, *BOOKS)) == second

    # A rerun whose delivery turns out to be that of the day before takes back what the night had changed.
    bank.deliver("clients/2026-11-19/clients.csv", CLIENTS_18)
    ingestion.ingest(bank, D19)
    assert rows(bank, "trusted.customers", "source_key", "valid_to") == [
        (key, None) for key in ("c1", "c2", "c4", "c5")
    ]


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("clients/2026-11-18/clients.csv", "", "clients/2026-11-18/clients.csv: is empty"),
        ("clients/2026-11-18/clients.csv", "no,name,sex,born,phone,mail\n", "holds no record"),
        (
            "clients/2026-11-18/clients.csv",
            "no,name,sex,birth,phone,mail\nc1,A,1,,,\n",
            "has no column 'born'",
        ),
    ],
)
def test_a_faulty_delivery_of_a_required_feed_is_one_sentence_and_nothing_is_written(bank, path, text, said):
    bank.deliver(path, text)
    with pytest.raises(InputInvalid, match=said):
        ingestion.ingest(bank, D18)
    assert [bank.row_count(name) for name in (*STATES, *FACTS, *BOOKS[:4])] == [0] * 8


@pytest.mark.slow
def test_a_broken_file_is_refused_as_a_whole_and_read_when_it_is_delivered_corrected(bank):
    tables = (*STATES, *FACTS, *BOOKS)
    bank.deliver("bookings/2026-11-18/b2.csv", b"b8|a1|2026-11-18|2.00|8.00\n" + b"\xff\xfe|\n" * 3)
    inputs = ingestion.inputs_of_night(bank, D18)
    result = ingestion.ingest(bank, D18)
    reason = "is not utf-8 text: 3 of 4 records cannot be decoded"
    assert [text[: len(reason)] for text in result.refused_files.values()] == [reason]
    assert result.summary()["bookings"]["delivered"] == 7
    assert rows(bank, "landing.files", "path", "status", "records")[:2] == [
        ("bookings/2026-11-18/b1.csv", "loaded", 7),
        ("bookings/2026-11-18/b2.csv", "refused", None),
    ]
    assert inputs == ingestion.inputs_of_night(bank, D18) == list(result.inputs)
    first = hashes(bank, tables)
    ingestion.ingest(bank, D18)
    assert hashes(bank, tables) == first

    # Delivered corrected it is read, by a rerun as by the next night; a night that finds it broken takes its rows back.
    for day in (D18, D19):
        bank.deliver("bookings/2026-11-18/b2.csv", f"b{day.day}|a1|2026-11-18|2.00|8.00\n")
        bank.deliver(f"clients/{day}/clients.csv", CLIENTS_18)
        ingestion.ingest(bank, day)
        ids = [name for (name,) in rows(bank, "trusted.transactions", "transaction_id")]
        assert f"b{day.day}" in ids
        bank.deliver("bookings/2026-11-18/b2.csv", b"\xff\n" * day.day)
        ingestion.ingest(bank, day)
        assert rows(bank, "trusted.transactions", "transaction_id") == [("b1",), ("b2",), ("b3",)]
    assert [row[:2] for row in rows(bank, "landing.files", "arrived_on", "status", "path") if "b2" in row[2]] == [
        (D18, "corrected"), (D18, "refused"), (D19, "corrected"), (D19, "refused"),
    ]  # fmt: skip


@pytest.mark.slow
def test_an_expression_spark_refuses_is_named_and_one_that_fails_on_a_value_refuses_its_record(bank, spark):
    file = bank.settings.workspace / "feeds" / "bookings.yml"
    good = file.read_text()
    bad = good.replace("account_id: account\n", "account_id: to_date(account, 1, 2, 3)\n", 1)
    file.write_text(bad)
    with pytest.raises(
        SettingsInvalid,
        match=r"bookings.yml:13: Spark refuses the expression of trusted.transactions.account_id",
    ):
        ingestion.ingest(bank, D18)
    assert bank.row_count("trusted.customers") == 0
    file.write_text(
        good.replace("abs(try_cast(amount as decimal(18,2)))", "abs(cast(amount as decimal(18,2)))", 1)
    )
    ingestion.ingest(bank, D18)
    reasons = [row["reasons"] for row in bank.read_arrow("quality.refused_rows").to_pylist()]
    assert ["failed:amount"] in reasons


@pytest.mark.slow
def test_sparks_workers_read_the_same_records(bank, spark, tmp_path):
    feed = read_feed(bank.settings.workspace / "feeds" / "clients.yml")
    files, _ = find_files(feed, bank.settings.inbox, until=D18)
    here, there = (RecordFiles(feed, tmp_path / name / "records") for name in ("here", "there"))
    assert reading.read_files(here, files) == reading.read_files_by_spark(spark, there, files)
    read = [duckdb.connect().sql(records.sql(Nights(D18, D18))).to_arrow_table() for records in (here, there)]
    assert frame_hash(read[0]) == frame_hash(read[1])
    assert read[0].num_rows == here.count() == there.count() > 0


def test_a_sample_is_checked_without_writing_and_personal_values_keep_their_shape_only(bank):
    from ingestion.onboarding.sample import check_sample, newest_file

    feed = read_feed(bank.settings.workspace / "feeds" / "clients.yml")
    path = newest_file(feed, bank.settings)
    found = check_sample(bank.settings, feed, path)
    assert found.counts.as_dict() == {"delivered": 9, "accepted": 4, "refused": 4, "duplicates": 1}
    assert found.tables[0].rows[0] == {
        "source": "core", "source_key": "x9", "kind": "customer", "full_name": "xxx", "gender": "F", "birth_date": "9999-99-99",
    }  # fmt: skip
    assert found.refused[0]["raw_text"] == "x9,,9,99999999,999,,x9"
    assert check_sample(bank.settings, feed, path, show_values=True).tables[0].rows[0]["full_name"] == "Ann"
    assert found.extra_columns == ("new",)
    assert bank.row_count("trusted.customers") == 0
    assert ("clients/2026-11-18/clients.csv", file_hash(path)) in night.inputs_of_night(bank, D18)
