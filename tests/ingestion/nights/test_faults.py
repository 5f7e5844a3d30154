"""The case book of what can be wrong with a delivery: one sentence and an exit code, or a night that keeps its books."""

from __future__ import annotations

import copy
import re
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import ingestion
from ingestion.feeds.feeds import load_feeds
from lakehouse.errors import CdpError
from lakehouse.gates.gates import check_tables
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake, open_lake

D = date(2026, 11, 18)
CASES = yaml.safe_load(
    (Path(__file__).parents[2] / "cases" / "ingestion" / "faults.yml").read_text(encoding="utf-8")
)
FEED = {
    "source": "core",
    "description": "Payments.",
    "mode": "events",
    "columns": ["id", "day", "amount"],
    "targets": [
        {
            "table": "trusted.transactions",
            "columns": {
                "transaction_id": "id",
                "account_id": "'a'",
                "transacted_on": "try_to_date(day, 'yyyy-MM-dd')",
                "direction": "'debit'",
                "amount": "amount",
                "currency": "'CNY'",
                "amount_base": "amount",
                "transaction_type": "'OTHER'",
                "initiator": "'C'",
            },
        }
    ],
}


def slug(case: dict) -> str:
    return re.sub(r"[^a-z0-9]+", "_", case["fault"].lower()).strip("_")


def deliver(workspace: Path, case: dict) -> None:
    """Write a case's feed and its file."""
    name = slug(case)
    file_name = case.get("name", "a.csv")
    feed = {"feed": name, **copy.deepcopy(FEED), "files": {"path": f"{name}/{{date}}/{file_name}"}}
    change = (
        yaml.safe_dump(case.get("change", {})).replace("{name}/", f"{name}/").replace("{{date}}", "{date}")
    )
    feed |= yaml.safe_load(change)
    feed["source"] = name
    text = case.get("yaml") or yaml.safe_dump(feed, sort_keys=False, allow_unicode=True)
    (workspace / "feeds").mkdir(exist_ok=True)
    (workspace / "feeds" / f"{name}.yml").write_text(text, encoding="utf-8")
    folder = workspace / "inbox" / name / D.isoformat()
    folder.mkdir(parents=True)
    if "parquet" in case:
        file = folder / file_name
        pq.write_table(pa.table(case["parquet"]), file, write_page_checksum=True)
        if "flips" in case:
            content = bytearray(file.read_bytes())
            content[case["flips"]] ^= 1
            file.write_bytes(content)
    elif "file" in case:
        text = case["file"].replace("DEEP", "[" * 5_000 + "]" * 5_000)
        (folder / file_name).write_bytes(text.encode(case.get("encoding", "utf-8")))


STOPS = [case for case in CASES if "stops" in case]
REFUSALS = [case for case in CASES if "refuses" in case]
# What refuses the file of an optional feed stops the night of a required one.
REQUIRED = [
    case | {"change": case.get("change", {}) | {"required": True}, "stops": {"exit": 1, **case["refuses"]}}
    for case in REFUSALS
]


@pytest.mark.parametrize("case", [*STOPS, *REQUIRED], ids=lambda case: case["fault"])
def test_a_faulty_delivery_stops_the_night_in_one_sentence(make_workspace, case):
    workspace = make_workspace()
    (workspace / "inbox").mkdir()
    deliver(workspace, case)
    lake = Lake(load_settings(workspace))
    with pytest.raises(CdpError, match=re.escape(case["stops"]["says"])) as stopped:
        load_feeds(workspace)
        lake.create()
        ingestion.ingest(lake, D)
    assert stopped.value.exit_code == case["stops"]["exit"]
    assert "\n" not in str(stopped.value)
    written = [name for name in ("trusted.transactions", "landing.files") if lake.exists(name)]
    assert [name for name in written if lake.row_count(name)] == []


@pytest.mark.slow
def test_a_night_takes_what_is_good_and_keeps_the_rest_with_its_reason(make_workspace):
    workspace = make_workspace()
    (workspace / "inbox").mkdir()
    cases = [case for case in CASES if "takes" in case]
    for case in [*cases, *REFUSALS]:
        deliver(workspace, case)
    lake = open_lake(load_settings(workspace))
    result = ingestion.ingest(lake, D)
    summary = result.summary()
    assert_refused_files(lake, result)
    reasons: dict[str, set[str]] = {}
    for row in lake.read_arrow("quality.refused_rows").to_pylist():
        assert row["raw_text"]
        reasons.setdefault(row["feed"], set()).update(row["reasons"])
    for case in cases:
        wanted, name = case["takes"], slug(case)
        found = {key: summary[name][key] for key in ("accepted", "refused", "duplicates")}
        assert found == {"accepted": 0, "refused": 0, "duplicates": 0} | {
            key: value for key, value in wanted.items() if key != "reasons"
        }, case["fault"]
        assert sorted(reasons.get(name, ())) == sorted(wanted.get("reasons", ())), case["fault"]
    lost = lake.read_arrow("quality.lost_values").to_pylist()
    assert sorted((row["column_name"], row["reason"], row["value_count"]) for row in lost) == [
        ("birth_date", "unreadable", 1), ("gender", "not_allowed", 1),
    ]  # fmt: skip
    assert sum("cannot be kept" in warning for warning in result.warnings) == 2
    kept = lake.read_arrow("landing.a_new_column").to_pylist()
    assert [row["_extra"] for row in kept] == ['{"note": "x"}']


def assert_refused_files(lake, result):
    """Hold the ledger, the books and what the night says to the book's refused files."""
    rows = {row["feed"]: row for row in lake.read_arrow("landing.files").to_pylist()}
    booked = {row["feed"] for row in lake.read_arrow("landing.loads").to_pylist()}
    for case in REFUSALS:
        name, row = slug(case), rows[slug(case)]
        assert row["status"] == "refused", case["fault"]
        assert case["refuses"]["says"] in row["reason"], case["fault"]
        assert row["records"] is None
        assert name not in booked
        assert result.summary()[name] == {"delivered": 0, "accepted": 0, "refused": 0, "duplicates": 0}
        assert result.refused_files[row["path"]] == row["reason"]
        assert any(warning.startswith(f"{row['path']}: ") for warning in result.warnings)
    assert {row["status"] for name, row in rows.items() if name not in map(slug, REFUSALS)} == {"loaded"}
    check_tables(lake, "landing", ["landing.files", "landing.loads"], D)
    verdicts = lake.read_arrow("quality.gate_results").to_pylist()
    values = {row["measure"]: row["value"] for row in verdicts}
    assert values == {
        "files_to_backfill": 0, "files_refused": len(REFUSALS), "unaccounted": 0, "refused_ratio": values["refused_ratio"],
    }  # fmt: skip
