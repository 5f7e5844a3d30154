"""A night bucket by bucket, by either engine, gives every row that deciding all of it at once gives."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from identity_records import deliver, publish
from memory_lake import MemoryLake

from identity import resolve
from identity.nights.resolve import TABLES
from identity.reading import facts
from identity.reading.decisions import decide
from lakehouse.errors import GateStopped
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake, open_lake

DAY = date(2026, 11, 18)
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
RULES = "namespaces: {phone: {carriers: 4}, email: {carriers: 2, when_exceeded: newest}}\n"
DOCUMENTS = ["110105198503121015", "110105198706250028", "320106199002280050"]


def drawn_records(seed, size=60):
    """Records of three systems that share documents, phones (some of everybody), mails and names, and some bad values."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(size):
        record = {
            "id": f"{rng.choice(['core', 'crm', 'app'])}/{number}",
            "name": str(rng.choice(["张伟", "李娜", "O'Hara"])),
        }
        if rng.random() < 0.3:
            record["national_id"] = str(rng.choice([*DOCUMENTS, "110105198503121016"]))
        if rng.random() < 0.7:
            record["phone"] = ["13800138000", f"1381234{rng.integers(0, 14):04}"][int(rng.random() < 0.9)]
        if rng.random() < 0.5:
            record["email"] = {
                "value": f"{rng.integers(0, 12)}@mail.example",
                "on": date(2026, 1, 1 + number % 9),
            }
        if rng.random() < 0.1:
            record["openid@wx"] = {"value": f"h{number}", "hash": "sha256"}
        records.append(record)
    return records


def content(lake):
    return {
        name: sorted(map(repr, lake.read_arrow(name).to_pylist())) for name in TABLES if lake.exists(name)
    }


@pytest.fixture(autouse=True)
def names_are_soon_common(monkeypatch):
    monkeypatch.setattr(facts, "LEAST_COMMON", 15)


@pytest.mark.slow
@pytest.mark.parametrize("bucket_rows", [1, 7, 40])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_first_night_in_buckets_is_that_of_all_at_once(seed, bucket_rows, tmp_path):
    (tmp_path / "identity.yml").write_text(RULES, encoding="utf-8")
    at_once, in_buckets = MemoryLake(tmp_path), MemoryLake(tmp_path, bucket_rows=bucket_rows)
    for lake in (at_once, in_buckets):
        deliver(lake, DAY, drawn_records(seed))
        resolve(lake, DAY)
    assert content(in_buckets) == content(at_once)
    assert 1 < in_buckets.read_arrow("identity.one_ids").num_rows < 60
    # Tried again with other records, as after a failure: numbers stay with their people.
    for lake in (at_once, in_buckets):
        deliver(lake, DAY, drawn_records(seed + 100)[5:])
        resolve(lake, DAY)
    assert content(in_buckets) == content(at_once)
    # The next night begins from either as from the other.
    next_day = DAY + timedelta(days=1)
    for lake in (at_once, in_buckets):
        deliver(lake, next_day, [*drawn_records(seed + 100)[9:], *drawn_records(seed + 200, size=70)[60:]])
        assert resolve(lake, next_day).mode == "changes"
    assert content(in_buckets) == content(at_once)


def test_a_component_larger_than_a_bucket_is_decided_and_said(tmp_path, caplog):
    at_once, in_buckets = MemoryLake(tmp_path), MemoryLake(tmp_path, bucket_rows=3)
    chain = [{"id": f"core/{n}", "email": [f"{n}@mail.example", f"{n + 1}@mail.example"]} for n in range(9)]
    for lake in (at_once, in_buckets):
        deliver(lake, DAY, chain)
        resolve(lake, DAY)
    assert content(in_buckets) == content(at_once)
    assert "9 records are connected with one another, more than engine.bucket_rows (3)" in caplog.text
    assert "mail" not in caplog.text


def test_a_person_too_large_stops_a_first_night_before_anything_is_written(tmp_path):
    (tmp_path / "identity.yml").write_text(
        "largest_person: {cut_above: 3, stop_above: 4}\n", encoding="utf-8"
    )
    lake = MemoryLake(tmp_path, bucket_rows=2)
    deliver(lake, DAY, [{"id": f"core/{n}", "national_id": DOCUMENTS[0]} for n in range(6)])
    with pytest.raises(
        GateStopped, match=r"one person would have 6 profiles.* national_id 110\*\*\*15 joins 6 of them"
    ):
        resolve(lake, DAY)
    assert not lake.read_arrow("identity.nodes").num_rows


def replayed(lake):
    """Two attempts of a first night, a night of what changed, published and run again with other records, and one of all."""
    days = [DAY + timedelta(days=n) for n in range(3)]
    for seed in (1, 2):
        deliver(lake, days[0], drawn_records(seed))
        resolve(lake, days[0])
    publish(lake, days[0])
    deliver(lake, days[1], [*drawn_records(2)[9:], *drawn_records(3, size=70)[60:]])
    decide(
        lake,
        "must_link",
        *(f"{r['id']}" for r in drawn_records(2)[20:22]),
        author="chen",
        reason="called",
        decided_at=NOON,
    )
    modes = [resolve(lake, days[1]).mode]
    publish(lake, days[1])
    deliver(lake, days[1], [*drawn_records(2)[5:], *drawn_records(4, size=64)[60:]])
    modes.append(resolve(lake, days[1]).mode)
    publish(lake, days[1])
    (lake.settings.workspace / "identity.yml").write_text(
        "namespaces: {email: {kind: account, unique: 9}}\n", encoding="utf-8"
    )
    deliver(lake, days[2], drawn_records(2)[2:])
    modes.append(resolve(lake, days[2], full=True).mode)
    return modes


@pytest.mark.slow
def test_nights_of_a_published_lake_in_buckets_are_those_of_all_at_once(tmp_path):
    contents = []
    for bucket_rows in (1_000_000, 9):
        folder = tmp_path / str(bucket_rows)
        folder.mkdir()
        (folder / "identity.yml").write_text(RULES, encoding="utf-8")
        lake = MemoryLake(folder, bucket_rows=bucket_rows)
        assert replayed(lake) == ["changes", "changes", "full"]
        contents.append(content(lake))
    assert contents[0] == contents[1]
    events = " ".join(contents[0]["identity.lineage_events"])
    assert all(f"'{event}'" in events for event in ("CREATE", "MERGE", "RETIRE")), "the nights say something"
    assert contents[0]["identity.corrections"]


def three_nights(lake):
    """A first night, one that reaches many, and one that decides everybody again where numbers are held."""
    days = [DAY + timedelta(days=n) for n in range(3)]
    records = drawn_records(2, size=30)
    deliver(lake, days[0], records)
    modes = [resolve(lake, days[0]).mode]
    deliver(lake, days[1], [*records[4:], *drawn_records(4, size=36)[30:]])
    modes.append(resolve(lake, days[1]).mode)
    deliver(lake, days[2], records[2:])
    modes.append(resolve(lake, days[2], full=True).mode)
    return modes


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_spark_and_this_process_give_the_same_nights(spark, make_workspace, caplog):
    caplog.set_level("INFO", "cdp.identity")
    contents = []
    for engine in ("duckdb", "spark"):
        files = {
            "cdp.yml": f"generate_secrets: true\nengine: {{name: {engine}, bucket_rows: {20 if engine == 'spark' else 5_000_000}}}\n",
            "identity.yml": RULES,
        }
        settings = load_settings(make_workspace(files, name=engine))
        open_lake(settings)
        lake = Lake(settings, spark=spark if engine == "spark" else None)
        assert three_nights(lake) == ["full", "changes", "full"]
        contents.append(content(lake))
    assert caplog.text.count("are decided in buckets by spark") == 3, "every night went the way of Spark"
    assert contents[0] == contents[1]
    events = " ".join(contents[0]["identity.lineage_events"])
    assert all(f"'{event}'" in events for event in ("CREATE", "MERGE", "RETIRE")), "the nights say something"
