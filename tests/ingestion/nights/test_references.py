"""Receipts answer runs and recipients that we know; others are refused with a reason, and many of them stop the night."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

import ingestion
from lakehouse.contracts.reading import contract
from lakehouse.errors import GateStopped
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

D = dt.date(2026, 11, 18)
YESTERDAY = D - dt.timedelta(days=1)
FEED = (Path(__file__).parents[3] / "examples/bank/feeds/marketing_receipts.yml").read_text()
HEADER = "receipt_id,run_id,destination,recipient_key,segment,channel,purpose,status,event_at\n"


def receipt(number: object, run: str, key: str, destination: str = "engine") -> str:
    return f"{number},{run},{destination},{key},rich,SMS,marketing,SENT,2026-11-18T10:00:00+08:00\n"


@pytest.fixture
def engine(make_workspace):
    """A lake that knows runs and recipients of two nights, and a function that takes a night's receipts."""

    def take(text: str, feed: str = FEED):
        folder = make_workspace({"feeds/marketing_receipts.yml": feed})
        file = folder / f"inbox/marketing_receipts/{D}/receipts.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(HEADER + text)
        lake = open_lake(load_settings(folder))
        runs = [("r1", "engine", YESTERDAY), ("r2", "desk", YESTERDAY), ("tonight", "engine", D)]
        keys = [("k1", "engine", YESTERDAY), ("k2", "desk", None), ("new", "engine", D)]
        _add(lake, "segments.deliveries", [
            {"run_id": run, "destination": name, "code": "rich", "as_of": day, "purpose": "marketing", "seq": 1, "attempt": 1,
             "status": "DELIVERED", "accepted": 1, "rejected": 0, "manifest_sha256": "x"} for run, name, day in runs])  # fmt: skip
        _add(lake, "segments.recipients", [
            {"recipient_key": key, "destination": name, "one_id": 1, "since": day} for key, name, day in keys])  # fmt: skip
        return lake, lambda: ingestion.ingest(lake, D)

    return take


def _add(lake, table: str, rows: list[dict]) -> None:
    if not lake.row_count(table):
        lake.append(table, pa.Table.from_pylist(rows, schema=contract(table).arrow_schema()))


def refused(lake) -> dict[int, list[str]]:
    return {row["row_number"]: row["reasons"] for row in lake.read_arrow("quality.refused_rows").to_pylist()}


def test_a_receipt_of_an_unknown_run_or_recipient_is_refused_with_its_reason(engine):
    text = "".join(
        [
            receipt(1, "r1", "k1"),
            receipt(2, "r9", "k1"),
            receipt(3, "r1", "k9"),
            receipt(4, "r9", "k9"),
            receipt(5, "r1", "k2"),
            receipt(6, "r2", "k2", "desk"),
            receipt(7, "r2", "k1"),
            receipt(8, "tonight", "k1"),
            receipt(9, "r1", "new"),
            receipt(2, "r9", "k1"),
            receipt(10, "", "k1"),
        ]
    )
    lake, ingest = engine(text)
    result = ingest()
    assert refused(lake) == {
        2: ["unknown_run"], 3: ["unknown_recipient"], 4: ["unknown_run"], 5: ["unknown_recipient"], 7: ["unknown_run"],
        8: ["unknown_run"], 9: ["unknown_recipient"], 11: ["missing:run_id", "receipt_without_recipient"],
    }  # fmt: skip
    assert {row["receipt_id"] for row in lake.read_arrow("trusted.receipts").to_pylist()} == {"1", "6"}
    counts = {"delivered": 11, "accepted": 2, "refused": 8, "duplicates": 1}
    assert result.summary() == {"marketing_receipts": counts}
    assert result.warnings == (
        "feed 'marketing_receipts': 7 of 11 records refer to what is not known and are refused (quality.refused_rows)",
    )
    before = table_hash(lake.settings, "trusted.receipts")
    assert ingest().summary() == result.summary()
    assert table_hash(lake.settings, "trusted.receipts") == before


def test_a_flood_of_them_stops_the_night_before_a_receipt_is_written(engine):
    text = "".join(receipt(n, "r1", "k1" if n % 5 else f"forged{n}") for n in range(1, 51))
    bound = "unknown_references: {ratio: 0.1, from_records: 10}\n"
    lake, ingest = engine(text, FEED + bound)
    words = (
        r"feed 'marketing_receipts': 10 of 50 records refer to what is not known and are refused; from 10 on more than 10% stop "
        r"the night: .* write 'unknown_references: any' into the feed"
    )
    with pytest.raises(GateStopped, match=words):
        ingest()
    assert lake.row_count("trusted.receipts") == 0

    for bound in ("{ratio: 0.1, from_records: 11}", "{ratio: 0.2, from_records: 10}", "any"):
        lake, ingest = engine(text, FEED + f"unknown_references: {bound}\n")
        assert ingest().summary()["marketing_receipts"]["refused"] == 10
