"""Keys that earlier nights brought: by either engine the same rows are repeated, and only within the days a feed looks back."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

import ingestion
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

D = date(2026, 11, 18)
BOOKINGS = """\
    feed: bookings
    source: core
    description: Bookings, of which some are sent again.
    mode: events
    dedupe_days: 2
    files: {path: "bookings/{date}/*.csv"}
    columns: [id, account, amount]
    targets:
      - table: trusted.transactions
        same_key: first
        columns:
          transaction_id: id
          account_id: account
          transacted_on: "_business_date"
          direction: "'debit'"
          amount: amount
          currency: "'CNY'"
          amount_base: amount
          transaction_type: "'OTHER'"
          initiator: "'C'"
    """
# By night: ids and amounts.
NIGHTS = (
    "a,1 b,1 é,1 b,1 b,2",
    "a,1 c,3 b,9 x,many",
    "c,3 d,4 d,5 é,2 e,1",
    "a,1 d,4 b,1 f,1",
    "",
)


@pytest.fixture
def nights(make_workspace):
    """A function that gives the counts of each night and the hash of each table by an engine."""

    def run(engine, spark=None):
        files = {
            f"inbox/bookings/{D + timedelta(days=n)}/b.csv": "\n".join(
                ["id,account,amount", *(f"{r.split(',')[0]},p,{r.split(',')[1]}" for r in rows.split())]
            )
            + "\n"
            for n, rows in enumerate(NIGHTS)
        }
        settings = {
            "cdp.yml": f"engine: {{name: {engine}, bucket_rows: 1}}\ngenerate_secrets: true\n",
            "feeds/bookings.yml": BOOKINGS,
        }
        lake = open_lake(load_settings(make_workspace(settings | files, name=engine)), spark=spark)
        results = [ingestion.ingest(lake, D + timedelta(days=n)) for n in range(len(NIGHTS))]
        hashes = {name: table_hash(lake.settings, name) for name in results[0].tables}
        rows = lake.read_arrow("trusted.transactions", ["transaction_id", "_arrived_on"]).to_pylist()
        brought = sorted((row["transaction_id"], (row["_arrived_on"] - D).days) for row in rows)
        return [list(result.summary()["bookings"].values()) for result in results], hashes, brought

    return run


def test_a_key_counts_once_within_the_days_that_are_looked_back(nights):
    counts, _, brought = nights("duckdb")
    assert brought == [
        ("a", 0), ("a", 3), ("b", 0), ("b", 3), ("c", 1), ("d", 2), ("e", 2), ("f", 3), ("é", 0),
    ]  # fmt: skip
    # Delivered, accepted, refused, duplicates.
    assert counts == [[5, 3, 0, 2], [4, 1, 1, 2], [5, 2, 0, 3], [4, 3, 0, 1], [0, 0, 0, 0]]


@pytest.mark.slow
def test_spark_finds_the_same_keys_again(nights, spark, monkeypatch):
    from lakehouse.engine.spark import SparkEngine

    labels = set()
    keep = SparkEngine.keep
    monkeypatch.setattr(
        SparkEngine, "keep", lambda self, label, sql: labels.add(label) or keep(self, label, sql)
    )
    assert nights("spark", spark) == nights("duckdb")
    assert labels == {"outcome", "shared_hashes", "returned_keys", "possible_twins", "doubts", "doubtful"}
