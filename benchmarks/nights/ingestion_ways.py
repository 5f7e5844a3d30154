"""The ways of ``benchmarks.nights.ingestion``, each run as ``python -m benchmarks.nights.ingestion_ways WAY/FORM FOLDER``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.processes import write_answer

OURS, DUCKDB, SPARK = "cdp ingest", "duckdb to Parquet", "Spark's reader to Delta"
CSV, JSON = "CSV", "JSON lines"
FORMS = (CSV, JSON)
FILES, BROKEN = 4, 100
D = date(2026, 11, 18)
COLUMNS = ("id", "account", "day", "direction", "amount", "currency", "type", "channel")
TYPES = "id VARCHAR, account VARCHAR, day DATE, direction VARCHAR, amount DECIMAL(18,2), currency VARCHAR, type VARCHAR, channel VARCHAR"
PAYMENTS = """
SELECT printf('T%012d', i) AS id, printf('62%014d', (i * 7919) % 1000003) AS account,
  strftime(DATE '2026-11-18' - CAST(i % 30 AS INTEGER), '%Y-%m-%d') AS day,
  CASE WHEN i % 3 = 0 THEN 'credit' ELSE 'debit' END AS direction,
  CAST(((i * 104729) % 9999999) / 100 AS DECIMAL(18,2)) AS amount, 'CNY' AS currency,
  CASE i % 4 WHEN 0 THEN 'TRANSFER' WHEN 1 THEN 'PURCHASE' WHEN 2 THEN 'FEE' ELSE 'OTHER' END AS type,
  CASE i % 3 WHEN 0 THEN 'APP' WHEN 1 THEN 'WEB' ELSE 'BRANCH' END AS channel
FROM range({first}, {last}) t(i)
"""
FEED = """\
feed: payments
source: core
description: Payments.
mode: events
files: {{path: "payments/{{date}}/p*"}}
format: {{type: {kind}}}
columns: [{columns}]
targets:
  - table: trusted.transactions
    same_key: first
    columns: {{transaction_id: id, account_id: account, transacted_on: "try_to_date(day, 'yyyy-MM-dd')", direction: direction,
      amount: amount, currency: currency, amount_base: amount, transaction_type: type, initiator: "'C'", channel: channel}}
"""


def deliver(form: str, rows: int, folder: Path) -> None:
    """Write the files of a form, and the workspace that reads them."""
    import duckdb

    workspace = folder / "workspace"
    inbox = workspace / "inbox" / "payments" / D.isoformat()
    inbox.mkdir(parents=True)
    (workspace / "feeds").mkdir()
    (workspace / "cdp.yml").write_text("generate_secrets: true\nspark: {driver_memory: 6g}\n")
    kind = "csv" if form == CSV else "json_lines"
    (workspace / "feeds" / "payments.yml").write_text(FEED.format(kind=kind, columns=", ".join(COLUMNS)))
    connection = duckdb.connect()
    each = rows // FILES
    for at in range(FILES):
        query = PAYMENTS.format(first=at * each, last=(at + 1) * each)
        path = inbox / f"p{at}"
        how = "FORMAT csv, HEADER" if form == CSV else "FORMAT json"
        connection.execute(f"COPY ({query}) TO '{path}' ({how})")
        with path.open("a") as file:
            file.writelines('{"id": "cut\n' if form == JSON else "cut,1\n" for _ in range(BROKEN // FILES))


def ours(form: str, folder: Path) -> dict[str, Any]:
    """Take the one feed in as a night does, into an empty lake: landing, checks, trusted table, books."""
    import logging
    import shutil

    import ingestion
    from ingestion.inbox.inbox import NOTES
    from lakehouse.settings.settings import load_settings
    from lakehouse.tables.lake import open_lake

    logging.disable(logging.CRITICAL)
    workspace = folder / "workspace"
    shutil.rmtree(workspace / "lake", ignore_errors=True)
    # A delivery is hashed once; the note of an earlier run must not save it here.
    (workspace / ".cdp" / NOTES).unlink(missing_ok=True)
    lake = open_lake(load_settings(workspace))
    lake.spark.range(1000).selectExpr("sum(id)").collect()
    began, cpu_before = time.perf_counter(), cpu_seconds()
    result = ingestion.ingest(lake, D)
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu_before
    refused_rows = result.summary()["payments"]["refused"]
    assert refused_rows == BROKEN, refused_rows
    answer = _count_and_sum([str(file) for file in lake.delta("trusted.transactions").file_uris()])
    phases = result.feeds["payments"].seconds
    return {"seconds": seconds, "cpu_seconds": cpu, "answer": answer, "phases": phases}


def by_duckdb(form: str, folder: Path) -> dict[str, Any]:
    """Read by ``read_csv`` or ``read_json`` with the types given, broken lines left out, into one Parquet file."""
    import duckdb

    source = folder / "workspace" / "inbox" / "payments" / D.isoformat() / "p*"
    types = "{" + ", ".join(f"'{t.split()[0]}': '{t.split()[1]}'" for t in TYPES.split(", ")) + "}"
    relation = (
        f"read_csv('{source}', header = true, columns = {types}, ignore_errors = true)"
        if form == CSV
        else f"read_json('{source}', format = 'newline_delimited', columns = {types}, ignore_errors = true)"
    )
    target = folder / "duckdb.parquet"
    began, cpu_before = time.perf_counter(), cpu_seconds()
    duckdb.connect().execute(
        f"COPY (SELECT * FROM {relation} WHERE id IS NOT NULL) TO '{target}' (FORMAT parquet)"
    )
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu_before
    return {"seconds": seconds, "cpu_seconds": cpu, "answer": _count_and_sum([str(target)])}


def by_spark(form: str, folder: Path) -> dict[str, Any]:
    """Read by Spark's own reader with a schema, into a Delta table; broken lines are dropped, nobody knows which."""
    import shutil

    from lakehouse.session.session import start_session
    from lakehouse.settings.settings import load_settings

    spark = start_session(load_settings(folder / "workspace"))
    spark.range(1000).selectExpr("sum(id)").collect()
    source = str(folder / "workspace" / "inbox" / "payments" / D.isoformat())
    schema = TYPES.replace("VARCHAR", "STRING")
    target = folder / "spark"
    shutil.rmtree(target, ignore_errors=True)
    began, cpu_before = time.perf_counter(), cpu_seconds()
    reader = spark.read.schema(schema).option("mode", "DROPMALFORMED")
    rows = reader.option("header", True).csv(source) if form == CSV else reader.json(source)
    rows.write.format("delta").save(str(target))
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu_before
    answer = _count_and_sum([str(file) for file in target.glob("*.parquet")])
    return {"seconds": seconds, "cpu_seconds": cpu, "answer": answer}


def cpu_seconds() -> float:
    """Give the processor time this process and its children, the JVM among them, have used so far."""
    import psutil

    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _count_and_sum(files: list[str]) -> list[str]:
    import duckdb

    row = duckdb.connect().execute("SELECT count(*), sum(amount) FROM read_parquet(?)", [files]).fetchone()
    return [str(value) for value in row or ()]


WAYS: dict[str, Callable[[str, Path], dict[str, Any]]] = {OURS: ours, DUCKDB: by_duckdb, SPARK: by_spark}


def main() -> None:
    """Run the way and form named by the first argument in the folder named by the second; write the answer there."""
    way, _, form = sys.argv[1].partition("/")
    folder = Path(sys.argv[2])
    answer = WAYS[way](form, folder)
    write_answer(folder, answer)


if __name__ == "__main__":
    main()
