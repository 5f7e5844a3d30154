"""Nights of identity on a real lake, without a JVM: stability, merges, reruns, corrected files."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from identity_records import deliver

from identity import evaluate, resolve
from lakehouse.errors import SettingsInvalid
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

NIGHT_1, NIGHT_2, NIGHT_3 = date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 20)
STABLE = (
    "nights",
    "nodes", "keys", "node_states", "links", "components", "memberships", "one_ids", "lineage_events", "redirects",
    "inheritances", "refused_links",
)  # fmt: skip


@pytest.fixture
def dry_lake(make_workspace):
    """A lake that never starts a JVM."""
    return open_lake(load_settings(make_workspace()))


def people(lake):
    """Give record id → OneID of the open map."""
    rows = lake.read_arrow("identity.memberships").to_pylist()
    return {f"{r['source']}/{r['source_key']}": r["one_id"] for r in rows if r["valid_to"] is None}


def hashes(lake):
    return {t: table_hash(lake.settings, f"identity.{t}") for t in STABLE}


def rows_of(lake, table):
    return lake.read_arrow(f"identity.{table}").to_pylist()


ZHANG = {"id": "core/1", "name": "张伟", "national_id": "110105198503121015", "phone": "13812340001"}
LI = {"id": "core/2", "name": "李娜", "national_id": "110105198706250028", "phone": "13812340002"}
WANG = {"id": "core/3", "name": "王芳", "national_id": "320106199002280050", "phone": "13812340003"}
APP = {"id": "app/9", "kind": "prospect", "app_user_id@app": "u9"}
APP_BOUND = {**APP, "phone": "13812340001"}
COOKIE = {"id": "web/c", "kind": "anonymous", "device_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"}


def test_three_nights_keep_merge_and_split_people_and_a_rerun_changes_nothing(dry_lake):
    lake = dry_lake
    deliver(lake, NIGHT_1, [ZHANG, LI, APP, COOKIE])
    first = resolve(lake, NIGHT_1)
    assert first.summary() == {"profiles": 4, "one_ids": 4, "largest": 1}
    night_1 = people(lake)
    assert sorted(night_1.values()) == [1_000_000_000_001 + i for i in range(4)]
    before = hashes(lake)
    again = resolve(lake, NIGHT_1)
    assert (again.minted, again.summary()) == (0, first.summary())
    assert hashes(lake) == before

    deliver(lake, NIGHT_2, [ZHANG, LI, APP_BOUND, COOKIE, WANG])
    second = resolve(lake, NIGHT_2)
    night_2 = people(lake)
    assert night_2["core/1"] == night_2["app/9"] == night_1["core/1"], "the document's OneID survives"
    assert night_2["core/2"] == night_1["core/2"]
    assert second.events == {"CREATE": 1, "MERGE": 1}
    redirect = {"from_one_id": night_1["app/9"], "to_one_id": night_1["core/1"]}
    assert rows_of(lake, "redirects") == [redirect]
    merged = next(r for r in rows_of(lake, "one_ids") if r["one_id"] == night_1["app/9"])
    assert (merged["status"], merged["successor"], merged["profile_count"]) == (
        "merged",
        night_1["core/1"],
        0,
    )
    untouched = [r for r in rows_of(lake, "memberships") if r["source_key"] in ("2", "c")]
    assert {r["valid_from"] for r in untouched} == {NIGHT_1}, "members of untouched people are not rewritten"
    before = hashes(lake)
    assert resolve(lake, NIGHT_2).minted == 0
    assert hashes(lake) == before

    deliver(lake, NIGHT_3, [ZHANG, LI, {**APP, "phone": "13812340077"}, WANG])
    third = resolve(lake, NIGHT_3)
    night_3 = people(lake)
    assert night_3["app/9"] == night_1["app/9"], "who splits off gets back the id it held before"
    assert rows_of(lake, "redirects") == []
    assert third.events == {"RESURRECT": 1, "RETIRE": 1, "SPLIT": 1}
    assert "web/c" not in night_3
    before = hashes(lake)
    assert (resolve(lake, NIGHT_3).minted, hashes(lake)) == (0, before)
    assert {lake.delta(f"identity.{t}").protocol().min_reader_version for t in STABLE} == {1}


@pytest.mark.slow
def test_a_corrected_file_gives_nobody_another_persons_one_id(dry_lake):
    lake = dry_lake
    deliver(lake, NIGHT_1, [ZHANG])
    resolve(lake, NIGHT_1)
    deliver(lake, NIGHT_2, [ZHANG, LI, WANG])
    resolve(lake, NIGHT_2)
    published = people(lake)
    deliver(lake, NIGHT_2, [ZHANG, WANG, APP])
    corrected = resolve(lake, NIGHT_2)
    now = people(lake)
    assert now["core/1"] == published["core/1"]
    assert now["core/3"] == published["core/3"]
    assert corrected.minted == 1
    assert now["app/9"] not in published.values(), "Li's published number is not handed to the app user"
    gone = next(r for r in rows_of(lake, "one_ids") if r["one_id"] == published["core/2"])
    assert gone["status"] == "retired"
    deliver(lake, NIGHT_2, [ZHANG, LI, WANG])
    resolve(lake, NIGHT_2)
    assert people(lake) == published, "the first file again gives the first numbers again"


def test_a_tightened_rule_repairs_history_and_says_so(dry_lake):
    lake = dry_lake
    deliver(lake, NIGHT_1, [ZHANG, {**APP, "phone": "13812340001"}])
    resolve(lake, NIGHT_1)
    assert len(set(people(lake).values())) == 1
    file = lake.settings.workspace / "identity.yml"
    file.write_text("namespaces:\n  phone: {kind: attribute}\n", encoding="utf-8")
    deliver(lake, NIGHT_2, [ZHANG, {**APP, "phone": "13812340001"}])
    resolve(lake, NIGHT_2)
    assert len(set(people(lake).values())) == 2
    split = [r for r in rows_of(lake, "lineage_events") if r["event"] == "SPLIT"]
    assert [(r["profile_count"], r["cause"]) for r in split] == [(1, "rules")]


def test_sensitive_values_are_stored_as_keyed_hashes_and_another_key_is_refused(dry_lake, monkeypatch):
    lake = dry_lake
    deliver(lake, NIGHT_1, [ZHANG, APP])
    resolve(lake, NIGHT_1)
    nodes = {r["namespace"]: r for r in rows_of(lake, "nodes") if r["kind"] == "identifier"}
    assert nodes["phone"]["masked"] == "138****0001"
    assert len(nodes["phone"]["value"]) == 32 and "0001" not in nodes["phone"]["value"][:11]
    assert nodes["app_user_id@app"]["value"] == "u9"
    before = hashes(lake)
    monkeypatch.setenv("CDP_SECRET_IDENTITY_KEY", "another key, also 32 letters long")
    with pytest.raises(SettingsInvalid, match="bring the old key back"):
        resolve(lake, NIGHT_1)
    assert hashes(lake) == before


def test_a_night_is_measured_against_its_truth(dry_lake, tmp_path):
    lake = dry_lake
    deliver(lake, NIGHT_1, [ZHANG, LI, APP_BOUND])
    resolve(lake, NIGHT_1)
    truth = tmp_path / "profiles.csv"
    truth.write_text("source,source_key,person\ncore,1,a\napp,9,a\ncore,2,b\nlate,7,b\n", encoding="utf-8")
    measures = evaluate(lake, truth)
    assert (measures.precision, measures.recall, measures.truth_without_profile) == (1.0, 1.0, 1)


def test_every_client_of_berka_is_one_person_and_co_holders_stay_apart(dry_lake, shared_data):
    lake = dry_lake
    rules = Path(__file__).parents[3] / "examples" / "berka" / "identity.yml"
    (lake.settings.workspace / "identity.yml").write_text(rules.read_text(encoding="utf-8"), encoding="utf-8")
    clients = [
        line.split(";")[0].strip('"')
        for line in (shared_data / "berka" / "client.asc").read_text().splitlines()[1:]
    ]
    deliver(lake, NIGHT_1, [{"id": f"berka/{number}", "customer_no@berka": number} for number in clients])
    assert resolve(lake, NIGHT_1).summary() == {"profiles": 5369, "one_ids": 5369, "largest": 1}
