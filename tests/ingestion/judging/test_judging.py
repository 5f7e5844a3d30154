"""Judging by hashes gives what windows over whole records give, whatever collides."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from judged_by_windows import explode_rows, judge_records

from ingestion.feeds.feeds import read_feed
from ingestion.judging import duplicates, judging, mapping
from ingestion.nights.work import map_into_parquet
from ingestion.records import record_schema
from ingestion.records.landing import Nights
from ingestion.records.record_files import RecordFiles
from lakehouse.engine.duckdb import DuckDBEngine
from lakehouse.engine.spark import SparkEngine
from lakehouse.query import words

D = date(2026, 11, 18)
BOOKING = """
      transaction_id: id
      account_id: who
      transacted_on: "try_to_date(day, 'yyyy-MM-dd')"
      direction: "case when amount like '-%' then 'debit' else 'credit' end"
      amount: "abs(try_cast(amount as decimal(18,2)))"
      currency: "'CNY'"
      amount_base: "abs(try_cast(amount as decimal(18,2)))"
      transaction_type: "'OTHER'"
      initiator: "'C'"
"""
CUSTOMER = """
  - table: trusted.customers
    columns: {source_key: who, kind: "'customer'", full_name: amount, birth_date: "try_to_date(day, 'yyyy-MM-dd')"}
"""
OBSERVED = """
  - table: trusted.identifier_observations
    each:
      - {source_key: who, namespace: "'phone'", value: id, role: "'identity'", verified: true}
      - {source_key: who, namespace: "'phone'", value: amount, role: "'identity'", verified: false}
"""
BALANCE = """
  - table: trusted.balances
    same_key: last by id
    columns: {account_id: who, product_class: "'demand'", balance_on: "try_to_date(day, 'yyyy-MM-dd')", balance: amount,
      currency: "'CNY'", balance_base: amount}
"""


def booked(policy):
    return f"\n  - table: trusted.transactions\n    same_key: {policy}\n    where: \"id <> 'z'\"\n    columns:{BOOKING}"


FEEDS = {
    "events that refuse": ("events", "", booked("refuse") + BALANCE),
    "events, first": ("events", "dedupe_days: 2\n", booked("first")),
    "events, last by an amount, if there is one": ("events", "dedupe_days: 1\nexact_duplicates: keep\n", booked("last by nullif(amount, '1')")),
    "events, first by an expression only Spark knows": (
        "events", "dedupe_days: 3\n", booked("first by regexp_replace(amount, '0', '9')") + OBSERVED),
    "events told apart by where they stand": (
        "events", "", booked("first").replace("transaction_id: id", "transaction_id: concat(id, _file)").replace("where:", "# where:")),
    "clients": ("snapshot", "", CUSTOMER + OBSERVED),
    "changed clients": ("delta", "", CUSTOMER.replace("columns:", "same_key: last\n    columns:") + OBSERVED + BALANCE),
    "landed only": ("events", "row_rules: [{rule: no_id, refuse_when: id is null, why: w}]\n", " []"),
}  # fmt: skip


def a_feed(folder, name):
    mode, more, targets = FEEDS[name]
    text = f"feed: f\nsource: core\ndescription: d\nmode: {mode}\nfiles: {{path: 'f/{{date}}/*'}}\n"
    text += f"columns: [id, who, day, amount]\n{more}targets:{targets}\n"
    (folder / "f.yml").write_text(text)
    return read_feed(folder / "f.yml")


def deliver(folder, feed, days, seed):
    """Write records of few values, so that texts and keys stand often, some of them broken or unreadable."""
    rng = np.random.default_rng(seed)
    schema = record_schema(feed.columns)
    files = RecordFiles(feed, folder / "records")
    for n in range(2 * days):
        rows = []
        for row in range(1, 26):
            said = {
                "id": rng.choice(["a", "b", " b", "c", "d", "z", None]),
                "who": rng.choice(["p", "q", "é", "p "]),
                "day": rng.choice(["2026-11-18", "2026-11-18", "2026-11-17", "2026-1-1"]),
                "amount": rng.choice(
                    ["1", "1.000", "-2", "1e1", "x", None, "1.005", "1e-3"],
                    p=[0.3, 0.3, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05],
                ),
            }
            if rng.random() < 0.05:
                said = {"_problem": "columns: 2 instead of 4", "_raw": "a,b"}
            rows.append({**dict.fromkeys(schema.names), "_row": row, **said})
        with files.writer(f"{n}.parquet", f"f/{n % 3}/{n}", D + timedelta(days=n // 2 - n % 2)) as out:
            out.write(pa.RecordBatch.from_pylist(rows, schema=schema))


def by_windows(spark, feed, folder, nights, known):
    """What the careful way says: refused, twins, and the accepted rows of every table."""
    records = RecordFiles(feed, folder / "records").frame(spark, nights)
    frames = {name: spark.createDataFrame(table) for name, table in known.items()}
    judged = judge_records(records, feed, frames, is_history=nights.is_history).persist()
    rows = judged.toArrow().to_pylist()
    refused = {(r["_file"], r["_row"]): r["reasons"] for r in rows if r["reasons"]}
    twins = {(r["_file"], r["_row"]) for r in rows if r["is_twin"]}
    tables = {}
    for table in mapping.table_maps(feed):
        k = table.index
        if table.is_single:
            kept = [
                r
                for r in rows
                if not r["reasons"] and not r["is_twin"] and r[f"in{k}_0"] and not r[f"dup{k}"]
            ]
            found = [(r["_file"], r["_row"], r["_night"], r[f"m{k}_0"]) for r in kept]
        else:
            exploded = explode_rows(judged, feed, table, frames.get(table.name), is_history=nights.is_history)
            found = [
                (r["_file"], r["_row"], r["_night"], r["m"])
                for r in exploded.toArrow().to_pylist()
                if not r["dup"]
            ]
        tables[table.name] = sorted(found, key=str)
    judged.unpersist()
    return refused, twins, tables


def by_hashes(spark, feed, folder, nights, known, *, in_process, spark_maps=True, spark_compares=False):
    for left in ("careful", "unsure", "hashes"):
        shutil.rmtree(folder / left, ignore_errors=True)
    (folder / "hashes").mkdir()
    engine = SparkEngine(spark, folder / "hashes", lambda names: None) if spark_compares else None
    files = {}
    for name, table in known.items():
        (folder / "known").mkdir(exist_ok=True)
        pq.write_table(table, folder / "known" / "0.parquet")
        rows = engine.read("known", folder / "known") if engine else f"'{folder / 'known' / '0.parquet'}'"
        files[name] = f"SELECT * FROM {rows}"

    def by_spark(records: RecordFiles, into: Path, text) -> None:
        map_into_parquet(spark, records, into, nights, text=text)

    judgement = judging.judge_records(
        feed,
        folder,
        nights,
        by_spark=by_spark if spark_maps else None,
        engine=engine,
        earlier_keys=files,
        in_process=in_process,
    )
    refused = {(r["_file"], r["_row"]): r["reasons"] for r in judgement.refused_rows()}
    twin_rows = judgement.duplicates.twins
    twins = set(judgement.desk.rows(f"SELECT _file, _row FROM {twin_rows}")) if twin_rows else set()
    tables = {}
    counts = judgement.counts()
    for table in judgement.maps:
        names = list(table.contract.business_columns)
        rows = judgement.accepted_rows(table).read_all().to_pylist()
        found = [(r["_file"], r["_row"], r["_arrived_on"], {n: r[n] for n in names}) for r in rows]
        tables[table.name] = sorted(found, key=str)
        k = table.index
        assert len(rows) == sum(c.rows[k] - c.repeated_rows[k] for c in counts.values())
    assert sum(c.refused_records for c in counts.values()) == len(refused)
    assert sum(c.twins for c in counts.values()) == len(twins)
    assert all(c.records == c.refused_records + c.twins + c.without_fault for c in counts.values())
    judgement.close()
    return refused, twins, tables


@pytest.mark.slow
@pytest.mark.parametrize("name", FEEDS)
def test_hashes_find_what_windows_find(spark, tmp_path, monkeypatch, name):
    feed = a_feed(tmp_path, name)
    tells_keys = "trusted.transactions" in feed.tables and feed.dedupe_window("trusted.transactions")
    for days, with_known in ((1, False), (1, True), (4, False)):
        if with_known and not tells_keys:
            continue
        folder = tmp_path / f"{days}{with_known}"
        folder.mkdir()
        deliver(folder, feed, days, seed=days + with_known)
        nights = Nights(D, D + timedelta(days=days - 1))
        known = (
            {"trusted.transactions": pa.table({"transaction_id": ["b", "nobody's", "b"]})}
            if with_known
            else {}
        )
        expected = by_windows(spark, feed, folder, nights, known)
        reasons = {reason for of_record in expected[0].values() for reason in of_record}
        assert ("more_decimals:amount" in reasons) is ("trusted.transactions" in feed.tables)
        assert by_hashes(spark, feed, folder, nights, known, in_process=True) == expected
        for quickly in (True, False):
            arguments = {"in_process": quickly, "spark_maps": False}
            assert by_hashes(spark, feed, folder, nights, known, **arguments) == expected
        arguments = {"in_process": False, "spark_compares": True}
        assert by_hashes(spark, feed, folder, nights, known, **arguments) == expected
        with monkeypatch.context() as patch:
            # Every hash collides with every other, and Spark maps all of it: dearer, and the same.
            for engine in (DuckDBEngine, SparkEngine):
                patch.setattr(engine, "hash_of", lambda self, values: "CAST(0 AS BIGINT)")
            for name_of_hash in ("duck_hash", "spark_hash"):
                patch.setattr(words, name_of_hash, lambda values: "CAST(0 AS BIGINT)")
            patch.setattr(duplicates, "NIGHTS_AT_ONCE", 3)
            assert by_hashes(spark, feed, folder, nights, known, in_process=False) == expected
            assert by_hashes(spark, feed, folder, nights, known, **arguments) == expected
