"""How two maps differ, and the clone of a lake on which the second one is made."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
from identity_records import deliver

from identity import resolve
from identity.measuring.difference import difference
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.tables.clone import clone_lake
from lakehouse.tables.lake import open_lake

D1, D2 = date(2026, 11, 18), date(2026, 11, 19)
# record, person before, person after
MAPS = """
a/1 1 1
a/2 1 1
a/3 2 1
a/4 3 1
a/5 4 4
a/6 4 5
a/7 6 7
gone 8 -
came - 9
"""


def maps():
    rows = [line.split() for line in MAPS.strip().splitlines()]
    for place in (1, 2):
        told = [row for row in rows if row[place] != "-"]
        yield pa.table(
            {
                "source": [row[0].partition("/")[0] for row in told],
                "source_key": [row[0].partition("/")[2] for row in told],
                "one_id": [int(row[place]) for row in told],
            }
        )


def test_merges_splits_and_moves_are_counted_over_the_records_both_maps_have():
    found = difference(*maps())
    assert (found.records, found.people_before, found.people_after) == (7, 5, 4)
    assert (found.merges, found.splits, found.moved_records) == (2, 1, 4)
    assert found.merge_examples == [
        {
            "one_id": 1,
            "parts": [{"one_id": 1, "records": 2}, {"one_id": 2, "records": 1}, {"one_id": 3, "records": 1}],
            "between": ["a/1", "a/3"],
        }
    ]
    assert [example["one_id"] for example in found.split_examples] == [4]
    same = difference(*[next(maps())] * 2)
    assert (same.merges, same.splits, same.moved_records, same.merge_examples, same.split_examples) == (
        0,
        0,
        0,
        [],
        [],
    )


def test_a_clone_stands_at_the_versions_asked_for_and_keeps_its_writes_to_itself(make_workspace, tmp_path):
    lake = open_lake(load_settings(make_workspace()))
    records = [{"id": "core/1", "phone": "13812340001"}, {"id": "app/9", "phone": "13812340001"}]
    deliver(lake, D1, records)
    resolve(lake, D1)
    tables = [f"identity.{t}" for t in ("memberships", "one_ids", "links", "nights")]
    versions = {table: lake.version(table) for table in tables}
    first = {table: table_hash(lake.settings, table) for table in tables}
    deliver(lake, D2, records[:1])
    resolve(lake, D2)
    second = {table: table_hash(lake.settings, table) for table in tables}
    folder = tmp_path / "clone"
    clone_lake(lake.settings, folder, {**versions, "trusted.customers": None})
    clone = open_lake(lake.settings.model_copy(update={"lake": folder}))
    assert {table: table_hash(clone.settings, table) for table in tables} == first
    assert clone.row_count("trusted.customers") == lake.row_count("trusted.customers")
    for table in tables:
        clone.overwrite(table, clone.read_arrow(table).slice(0, 0))
    assert clone.row_count("identity.memberships") == 0
    assert {table: table_hash(lake.settings, table) for table in tables} == second
