"""What Spark's workers find by hashes is what this process finds: the same twins, conflicts, repeated rows, books and rows.

The last feeds are hard on purpose: one key for all records, keys that are null, a delivery without a record, one with a single
one, keys of signs that hardly anybody writes.
"""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.feeds.feeds import read_feed
from ingestion.judging import duplicates, judging
from ingestion.nights.work import map_into_parquet
from ingestion.records import record_schema
from ingestion.records.landing import Nights
from ingestion.records.record_files import RecordFiles
from lakehouse.engine.spark import SparkEngine

D = date(2026, 11, 18)
EVENTS = """
feed: f
source: core
description: d
mode: events
{more}
files: {{path: 'f/{{date}}/*'}}
columns: [id, who, amount]
targets:
  - table: trusted.transactions
    same_key: {policy}
    columns:
      transaction_id: id
      account_id: who
      transacted_on: "date'2026-11-18'"
      direction: "'debit'"
      amount: amount
      currency: "'CNY'"
      amount_base: amount
      transaction_type: "'OTHER'"
      initiator: "'C'"
  - table: trusted.identifier_observations
    each:
      - {{source_key: who, namespace: "'phone'", value: id, role: "'identity'", verified: true}}
      - {{source_key: who, namespace: "'phone'", value: amount, role: "'identity'", verified: false}}
"""
# A zero byte, half of what looks like one letter, a private sign, a sign beyond 16 bits, two ways to write é, a mark of direction.
SIGNS = [
    "a\x00b",
    "a\x00",
    "a",
    "e\u0301",
    "\u00e9",
    "\ue000",
    "\U0001f9d1\u200d\U0001f4bb",
    "\u202ea",
    "\ufeffa",
    "ａ",
    "İ",
    "i̇",
]
CASES = {
    "mixed": [(k, who, amount) for k in "abcab" for who in "pq" for amount in ("1", "2", "1")],
    "one key": [("a", "p", "1")] * 300 + [("a", "q", "2")] * 3,
    "no key": [(None, "p", "1"), (None, None, None), ("", "p", "1"), (" ", "p", "x"), ("a", None, "1")] * 2,
    "nothing": [],
    "one record": [("a", "p", "1")],
    "signs": [(sign, "p", "1") for sign in SIGNS + SIGNS[:7]],
}  # fmt: skip


def a_feed(folder, policy, more):
    (folder / "f.yml").write_text(EVENTS.format(policy=policy, more=more))
    return read_feed(folder / "f.yml")


def deliver(folder, feed, records, days):
    """Write the same records for each of some days, half of them in a second file."""
    schema = record_schema(feed.columns)
    files = RecordFiles(feed, folder / "records")
    for day in range(days):
        for half in range(2):
            rows = [
                dict.fromkeys(schema.names) | {"_row": at} | dict(zip(feed.columns, values, strict=True))
                for at, values in enumerate(records[half::2], 1)
            ]
            with files.writer(f"{day}_{half}.parquet", f"f/{day}/{half}", D + timedelta(days=day)) as out:
                out.write(pa.RecordBatch.from_pylist(rows, schema=schema))
    (folder / "known").mkdir()
    pq.write_table(pa.table({"transaction_id": ["b", "a\x00", "b"]}), folder / "known" / "0.parquet")


def judged(folder, feed, days, spark=None):
    """Give all that is said of the records: refused ones, twins, repeated rows, books, losses and accepted rows."""
    nights = Nights(D, D + timedelta(days=days - 1))
    earlier, engine = f"SELECT * FROM '{folder}/known/0.parquet'", None
    if spark is not None:
        (folder / "hashes").mkdir()
        engine = SparkEngine(spark, folder / "hashes", lambda names: None)
        earlier = f"SELECT * FROM {engine.read('known', folder / 'known')}"

    def by_spark(records, into, text) -> None:
        map_into_parquet(spark, records, into, nights, text=text)

    judgement = judging.judge_records(
        feed,
        folder,
        nights,
        by_spark=None if spark is None else by_spark,
        engine=engine,
        earlier_keys={"trusted.transactions": earlier},
        in_process=False,
    )
    relations = {"twins": judgement.duplicates.twins, "conflicts": judgement.duplicates.conflicts}
    relations |= {str(k): relation for k, relation in judgement.duplicates.repeated_rows.items()}
    answer = {
        "refused": judgement.refused_rows(),
        "counts": {path: vars(counts) for path, counts in judgement.counts().items()},
        "losses": judgement.losses(),
        "rows": {t.name: sorted(judgement.accepted_rows(t).read_all().to_pylist(), key=repr) for t in judgement.maps},
        **{
            name: sorted(map(repr, judgement.desk.rows(f"SELECT * FROM {relation}")))
            for name, relation in relations.items()
            if relation is not None
        },
    }  # fmt: skip
    judgement.close()
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_workers_find_what_this_process_finds(spark, tmp_path, name):
    for at, (policy, more, days) in enumerate(
        (("refuse", "", 1), ("last by amount", "dedupe_days: 2\nexact_duplicates: keep", 4))
    ):
        folder = tmp_path / str(at)
        folder.mkdir()
        feed = a_feed(folder, policy, more)
        deliver(folder, feed, CASES[name], days)
        ours = judged(folder, feed, days)
        assert judged(folder, feed, days, spark) == ours
        assert sum(counts["records"] for counts in ours["counts"].values()) == days * len(CASES[name])
        if name == "mixed":
            assert ours["conflicts" if policy == "refuse" else "0"]
            assert ("twins" in ours) is (policy == "refuse")


def test_hashes_that_are_grouped_are_those_that_are_sorted(tmp_path, monkeypatch):
    for name in ("mixed", "one key", "no key", "nothing"):
        folder = tmp_path / name
        folder.mkdir()
        feed = a_feed(folder, "first", "")
        deliver(folder, feed, CASES[name], 1)
        ours = judged(folder, feed, 1)
        with monkeypatch.context() as patch:
            patch.setattr(duplicates, "MOST_SORTED", -1)
            assert judged(folder, feed, 1) == ours
