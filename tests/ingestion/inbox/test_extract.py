"""Tables of other systems become files of the inbox once a night; a real database (Derby) and a real Delta table."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

import ingestion
from ingestion.feeds.feeds import read_feed
from ingestion.inbox.extract import extract_tables
from lakehouse.errors import EnvironmentUnready, InputInvalid, SettingsInvalid
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

D18, D19 = date(2026, 11, 18), date(2026, 11, 19)
DERBY = "org.apache.derby.iapi.jdbc.AutoloadedDriver"


def feed_text(extract: str) -> str:
    return f"""\
feed: bookings
source: core
description: Bookings of a database.
mode: events
required: true
extract: {extract}
columns: [ID, PAID, BOOKED]
targets:
  - table: trusted.transactions
    columns:
      transaction_id: ID
      account_id: "'a'"
      transacted_on: "try_to_date(BOOKED, 'yyyy-MM-dd')"
      direction: "'debit'"
      amount: "try_cast(PAID as decimal(18,2))"
      currency: "'CNY'"
      amount_base: "try_cast(PAID as decimal(18,2))"
      transaction_type: "'OTHER'"
      initiator: "'C'"
"""


@pytest.fixture
def make_lake(make_workspace, spark):
    """A function that gives a lake whose one feed extracts a table."""

    def make(extract: str):
        workspace = make_workspace({"feeds/bookings.yml": feed_text(extract)})
        (workspace / "inbox").mkdir(exist_ok=True)
        return open_lake(load_settings(workspace), spark=spark)

    return make


def booked(lake):
    rows = lake.read_arrow("trusted.transactions").to_pylist()
    return sorted((r["transaction_id"], r["amount"], r["transacted_on"], r["_arrived_on"]) for r in rows)


@pytest.mark.slow
def test_a_delta_table_is_read_once_a_night(make_lake, spark, tmp_path):
    def told(rows: str) -> None:
        frame = spark.sql(
            f"select ID, cast(PAID as decimal(18,2)) PAID, cast(BOOKED as date) BOOKED from values {rows} as t(ID, PAID, BOOKED)"
        )
        frame.write.format("delta").mode("overwrite").save(str(tmp_path / "core" / "bookings"))

    told("('b1', '1.10', '2026-11-18'), ('b2', null, '2026-11-17')")
    lake = make_lake("""{delta: {path: ../core/bookings, where: "BOOKED = date'{date}'"}}""")
    feeds = [read_feed(lake.settings.workspace / "feeds" / "bookings.yml")]
    assert [p.name for p in extract_tables(lake, feeds, D18)] == ["extract.parquet"]
    told("('b1', '9.99', '2026-11-18'), ('b3', '3.00', '2026-11-19')")
    assert extract_tables(lake, feeds, D18) == [], "the night has its extract"
    for day in (D18, D19):
        ingestion.extract_tables(lake, day)
        ingestion.ingest(lake, day)
    assert booked(lake) == [("b1", Decimal("1.10"), D18, D18), ("b3", Decimal("3.00"), D19, D19)]


@pytest.mark.slow
def test_a_table_of_a_database_is_read_with_its_types(make_lake, spark, tmp_path):
    url = f"jdbc:derby:{tmp_path}/core;create=true"
    connect = spark._jvm.java.sql.DriverManager.getConnection(url)
    statement = connect.createStatement()
    statement.execute(
        "create table bookings (id varchar(9), paid decimal(12,2), booked date, changed timestamp)"
    )
    statement.execute(
        "insert into bookings values ('b1', 1.10, '2026-11-18', '2026-11-18 23:59:59'), ('b2', 2.00, '2026-11-17', null)"
    )
    connect.close()
    lake = make_lake(
        f"""{{jdbc: {{url: "jdbc:derby:{tmp_path}/core", table: bookings, where: "booked = date('{{date}}')"}}}}"""
    )
    ingestion.extract_tables(lake, D18)
    result = ingestion.ingest(lake, D18)
    assert booked(lake) == [("b1", Decimal("1.10"), D18, D18)]
    assert result.warnings == (
        "bookings/2026-11-18/extract.parquet brings columns the feed does not name, kept in landing: CHANGED",
    )
    kept = lake.read_arrow("landing.bookings").to_pylist()
    assert kept[0]["_extra"] == '{"CHANGED": "2026-11-18 23:59:59"}'


@pytest.mark.parametrize(
    ("extract", "error", "said"),
    [
        ('{jdbc: {url: "jdbc:derby:/nowhere/core", table: t}}', InputInvalid, r"bookings.yml:6: the source of feed 'bookings' did not answer \(.*\); run the same"),
        ('{jdbc: {url: "jdbc:nosuch:x", table: t}}', EnvironmentUnready, "the database driver of feed 'bookings' is not on the class path"),
        ("{delta: {path: ../nothing}}", InputInvalid, "the Delta table of feed 'bookings' is not there; check 'path'"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_read_leaves_no_file(make_lake, extract, error, said):
    lake = make_lake(extract)
    with pytest.raises(error, match=said):
        ingestion.extract_tables(lake, D18)
    assert not list(lake.settings.inbox.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("extract", "said"),
    [
        ("{}", "extract reads either 'delta' or 'jdbc'"),
        ("{delta: {path: x}}\nfiles: {path: 'x/{date}'}", "with 'extract' the feed has no 'files'"),
        ('{jdbc: {url: "postgres:x", table: t}}', "jdbc.url"),
        ('{jdbc: {url: "jdbc:x:y", table: t, password: p}}', "unknown key 'password'"),
    ],
)
def test_an_extract_that_cannot_be_meant_is_refused(make_workspace, extract, said):
    workspace = make_workspace({"feeds/bookings.yml": feed_text(extract)})
    with pytest.raises(SettingsInvalid, match=said):
        read_feed(workspace / "feeds" / "bookings.yml")
