"""Writes by contract: states in one commit, facts by partition, dictionaries that only grow, gates that stop."""

from __future__ import annotations

import json
from datetime import date
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from lakehouse.contracts.reading import build_contract, contract, contract_names
from lakehouse.errors import ContractBroken, GateStopped
from lakehouse.gates.gates import check_tables
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from lakehouse.tables.clone import clone_lake
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.staged_files import StagedFile

MON, TUE, WED = date(2026, 11, 16), date(2026, 11, 17), date(2026, 11, 18)


def _contract(name: str, shape: str, key: list[str], **more):
    tree = {
        "table": name, "description": "d", "grain": "g", "shape": shape, "key": key, "owner": "tests",
        "columns": {
            "id": {"type": "string", "required": True}, "tier": {"type": "string", "allowed": ["A", "B", "C"]},
            "amount": {"type": "decimal(18,2)"},
        },
        **more,
    }  # fmt: skip
    return build_contract(tree)


SCRATCH = (
    _contract("quality.scratch_states", "state", ["id"]),
    _contract("quality.scratch_facts", "fact", ["id"], bounds=[
        {"name": "rows_today", "measure": "count(*)", "over": "arrived", "min": 1, "max": 3, "why": "tests"},
        {"name": "amount_sum", "measure": "sum(amount)", "min": 0, "severity": "warn", "why": "tests"},
    ]),
    _contract("quality.scratch_words", "dictionary", ["id"]),
)  # fmt: skip


@pytest.fixture
def lake(lake):
    """The fresh lake with the scratch tables in it."""
    lake.contracts.add(*SCRATCH)
    lake.create([entry.name for entry in SCRATCH])
    return lake


def states(spark, *rows):
    data = [(i, t, a, "f.csv", n) for n, (i, t, a) in enumerate(rows)]
    return spark.createDataFrame(data, "id string, tier string, amount int, _file string, _row long")


def facts(spark, day: date, *rows, feed="f"):
    data = [(i, t, a, feed, "f.csv", n, day) for n, (i, t, a) in enumerate(rows)]
    names = "id string, tier string, amount int, _feed string, _file string, _row long, _arrived_on date"
    return spark.createDataFrame(data, names)


def write_modes(lake, table):
    """The modes of a table's Spark writes, oldest first; its creation has none."""
    entries = [e.get("operationParameters") or {} for e in lake.delta(table).history()]
    return [entry["mode"] for entry in reversed(entries) if "mode" in entry]


def history(lake):
    rows = lake.read_arrow("quality.scratch_states").to_pylist()
    return sorted(
        (r["id"], r["tier"], r["valid_from"].day, r["valid_to"].day if r["valid_to"] else None) for r in rows
    )


@pytest.mark.slow
def test_a_state_table_keeps_when_we_knew_what_and_a_rerun_of_the_day_changes_nothing(lake, spark):
    table = "quality.scratch_states"

    def night(day, *rows, mode="snapshot"):
        before = lake.version(table)
        lake.change_states(table, states(spark, *rows), feed="f", business_date=day, mode=mode)
        return lake.version(table) - before

    assert night(MON, ("1", "A", 1), ("2", "A", 1), ("3", None, None)) == 1
    assert night(TUE, ("1", "B", 1), ("2", "A", 1), ("4", "A", 1)) == 1
    expected = [
        ("1", "A", 16, 17),
        ("1", "B", 17, None),
        ("2", "A", 16, None),
        ("3", None, 16, 17),
        ("4", "A", 17, None),
    ]
    assert history(lake) == expected
    settled = table_hash(lake.settings, table)
    assert night(TUE, ("1", "B", 1), ("2", "A", 1), ("4", "A", 1)) == 0, "the same again writes nothing"
    # A corrected file of the same day: 1 never changed, 3 was not gone, 4 is another tier, 2 has gone.
    assert night(TUE, ("1", "A", 1), ("3", None, None), ("4", "C", 1)) == 1, (
        "one commit rewinds, closes and opens"
    )
    assert history(lake) == [
        ("1", "A", 16, None),
        ("2", "A", 16, 17),
        ("3", None, 16, None),
        ("4", "C", 17, None),
    ]
    assert night(TUE, ("1", "B", 1), ("2", "A", 1), ("4", "A", 1)) == 1
    assert table_hash(lake.settings, table) == settled, "back to the first file, back to the first rows"
    night(WED, ("2", "B", 1), mode="delta")
    assert [row for row in history(lake) if row[3] is None] == [
        ("1", "B", 17, None),
        ("2", "B", 18, None),
        ("4", "A", 17, None),
    ]
    lake.change_states(table, states(spark, ("2", "C", 1)), feed="other", business_date=WED, mode="snapshot")
    assert ("2", "B", 18, None) in history(lake), "another feed's rows are its own"


@pytest.mark.slow
def test_facts_are_replaced_by_arrival_and_feed_and_only_when_there_is_something_to_replace(lake, spark):
    table = "quality.scratch_facts"
    lake.replace_partition(table, facts(spark, MON, ("1", "A", 1), ("2", "A", 2)), _arrived_on=MON, _feed="f")
    lake.replace_partition(table, facts(spark, MON, ("9", "A", 9), feed="g"), _arrived_on=MON, _feed="g")
    lake.replace_partition(table, facts(spark, TUE, ("3", "A", 3)), _arrived_on=TUE, _feed="f")
    assert write_modes(lake, table) == ["Append"] * 3, "nothing was there to be replaced"
    lake.replace_partition(table, facts(spark, MON, ("1", "B", 1)), _arrived_on=MON, _feed="f")
    assert write_modes(lake, table) == ["Append"] * 3 + ["Overwrite"]
    kept = sorted((r["id"], r["tier"]) for r in lake.read_arrow(table).to_pylist())
    assert kept == [("1", "B"), ("3", "A"), ("9", "A")]


def staged(lake, name, *rows, feed="f", day=MON, scale=2):
    """Write facts ``(id, tier, amount)`` as a Parquet file beside the tables; give it as one to be taken."""
    file = lake.settings.lake / f"{name}.parquet"
    made = {
        "id": pa.array([r[0] for r in rows], pa.string()),
        "tier": pa.array([r[1] for r in rows], pa.string()),
        "amount": pa.array([r[2] for r in rows], pa.int64())
        .cast(pa.decimal128(19, 0))
        .cast(pa.decimal128(18, scale)),
        "_feed": pa.repeat(pa.scalar(feed), len(rows)),
        "_file": pa.repeat(pa.scalar("f.csv"), len(rows)),
        "_row": pa.array(range(len(rows)), pa.int64()),
    }
    pq.write_table(pa.table(made), file)
    return StagedFile(file, {"_arrived_on": day})


@pytest.mark.slow
def test_files_become_a_tables_own_in_place_of_just_the_rows_they_replace(lake, spark):
    table = "quality.scratch_facts"

    def kept():
        found = sorted((r["id"], r["tier"], r["_arrived_on"]) for r in lake.read_arrow(table).to_pylist())
        by_spark = sorted((r["id"], r["tier"], r["_arrived_on"]) for r in lake.read(table).collect())
        assert by_spark == found
        assert lake.row_count(table) == len(found)
        return found

    monday = {"_arrived_on": MON, "_feed": "f"}
    lake.take_files(table, [staged(lake, "a", ("1", "A", 1)), staged(lake, "b", ("2", "A", 2))], **monday)
    lake.take_files(table, [staged(lake, "c", ("9", "A", 9), feed="g")], _arrived_on=MON, _feed="g")
    lake.take_files(table, [staged(lake, "d", ("3", None, 3), day=TUE)])
    assert kept() == [("1", "A", MON), ("2", "A", MON), ("3", None, TUE), ("9", "A", MON)]
    lake.take_files(table, [staged(lake, "a", ("1", "B", 1)), staged(lake, "e")], **monday)
    assert kept() == [("1", "B", MON), ("3", None, TUE), ("9", "A", MON)]
    lake.take_files(table, [], **monday)
    assert kept() == [("3", None, TUE), ("9", "A", MON)]
    assert (lake.settings.lake / "a.parquet").is_file(), "whoever reads it there still can"

    # A file that holds rows of two feeds: those that are to be replaced are taken out of it.
    mixed = lake.read_arrow(table).to_pylist()
    mixed += [{**row, "_feed": "h"} for row in mixed]
    lake.overwrite(table, pa.Table.from_pylist(mixed, schema=lake.contracts.get(table).arrow_schema()))
    lake.take_files(table, [staged(lake, "f", ("4", "C", 4), feed="g")], _arrived_on=MON, _feed="g")
    assert kept() == [("3", None, TUE), ("3", None, TUE), ("4", "C", MON), ("9", "A", MON)]


def test_rows_of_a_feed_with_a_long_name_are_found_and_replaced(make_workspace):
    lake = open_lake(load_settings(make_workspace()))
    table, names = "trusted.leads", ("f", "f" * 40, "客户主数据" * 20)
    schema = lake.contracts.get(table).arrow_schema()
    for place, (name, lead) in enumerate(product(names, "AB")):
        lead = {
            "source": "s",
            "lead_id": lead,
            "source_key": "k",
            "received_on": MON,
            "_feed": name,
            "_file": "f",
            "_row": 1,
        }
        file = lake.settings.lake / f"{place}.parquet"
        pq.write_table(pa.Table.from_pylist([lead], schema=schema).drop_columns(["_arrived_on"]), file)
        lake.take_files(table, [StagedFile(file, {"_arrived_on": MON})], _arrived_on=MON, _feed=name)
        rows = lake.read_arrow(table, columns=["lead_id"], filters=[("_feed", "=", name)])
        assert rows.to_pylist() == [{"lead_id": lead["lead_id"]}]
    assert lake.row_count(table) == 3


def test_files_that_break_the_contract_are_refused_before_anything_is_there(lake):
    table = "quality.scratch_facts"
    before = lake.version(table)
    for wrong, said in (
        (staged(lake, "a", ("1", "Z", 1)), "tier IS NULL OR tier IN"),
        (staged(lake, "b", (None, "A", 1)), "id IS NOT NULL"),
        (staged(lake, "c", ("1", "A", 1), scale=4), "have amount as decimal128"),
    ):
        with pytest.raises(ContractBroken, match=said):
            lake.take_files(table, [staged(lake, "good", ("2", "A", 1)), wrong])
    missing = staged(lake, "a", ("1", "A", 1))
    pq.write_table(pq.read_table(missing.path).drop_columns(["tier"]), missing.path)
    with pytest.raises(ContractBroken, match="do not have its columns: tier"):
        lake.take_files(table, [missing])
    assert lake.version(table) == before
    assert list(Path(lake.path(table)).rglob("*.parquet")) == []


def test_a_commit_that_fails_leaves_no_file_behind(lake, monkeypatch):
    from deltalake import DeltaTable

    def fails(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fails)
    with pytest.raises(OSError, match="no space"):
        lake.take_files("quality.scratch_facts", [staged(lake, "a", ("1", "A", 1))])
    assert list(Path(lake.path("quality.scratch_facts")).rglob("*.parquet")) == []


@pytest.mark.slow
def test_a_table_of_many_commits_opens_from_a_checkpoint(lake, spark):
    table = "quality.scratch_facts"
    for at in range(12):
        lake.take_files(table, [staged(lake, f"n{at}", (str(at), "A", at))])
    assert [file.name for file in (Path(lake.path(table)) / "_delta_log").glob("*.checkpoint.parquet")] == [
        f"{9:020d}.checkpoint.parquet"
    ]
    assert lake.row_count(table) == lake.read(table).count() == 12
    assert lake.read_arrow(table, version=4).num_rows == 4
    for version in (4, 9, 12):  # clones from before, at and after the checkpoint
        folder = lake.settings.lake.parent / f"clone-{version}"
        clone_lake(lake.settings, folder, {table: version, "quality.nothing": None})
        cloned = DeltaTable(folder / "quality" / "scratch_facts")
        assert (cloned.version(), cloned.to_pyarrow_table().num_rows) == (version, version)


@pytest.mark.slow
def test_many_rows_become_files_of_several_cores_and_read_like_few(lake, spark, monkeypatch):
    from lakehouse.tables import commits as writing
    from lakehouse.tables import packing

    monkeypatch.setattr(writing, "_MANY_ROWS", 4)
    monkeypatch.setattr(packing, "_ROWS_OF_A_PART", 2)
    monkeypatch.setattr(packing.os, "cpu_count", lambda: 2)
    table = "quality.scratch_words"

    def words(*rows):
        return pa.table(
            {
                "id": [r[0] for r in rows],
                "tier": pa.array([r[1] for r in rows], pa.string()),
                "amount": pa.array([r[2] for r in rows], pa.int32()),
            }
        )

    def kept():
        found = [(r["id"], r["tier"], int(r["amount"])) for r in lake.read_arrow(table).to_pylist()]
        by_spark = [(r["id"], r["tier"], int(r["amount"])) for r in lake.read(table).collect()]
        assert sorted(by_spark) == sorted(found)
        return sorted(found)

    def files():
        return [Path(uri).name[:5] for uri in lake.delta(table).file_uris()]

    many = [(str(n), "A" if n % 2 else None, n) for n in range(5)]
    lake.append(table, words(*many))
    assert files() == ["part-"] * 2
    assert kept() == many
    lake.append(table, words(("9", "B", 9)))
    assert kept() == [*many, ("9", "B", 9)]
    lake.overwrite(table, words(*reversed(many)))
    assert kept() == many
    before = lake.version(table)
    with pytest.raises(ContractBroken, match="tier IS NULL OR tier IN"):
        lake.overwrite(table, words(*many, ("5", "Z", 5)))
    assert lake.version(table) == before
    # A contract that has changed since changes the table's columns, as it would for few rows.
    changed = _contract("quality.scratch_words", "dictionary", ["id"], columns={
        "id": {"type": "string", "required": True}, "tier": {"type": "string"}, "amount": {"type": "bigint"},
    })  # fmt: skip
    lake.contracts.add(changed)
    lake.overwrite(table, words(*many))
    assert [str(field.type) for field in lake.read_arrow(table).schema] == ["string", "string", "int64"]
    assert kept() == many
    assert not list((lake.settings.lake / "_exchange").iterdir())


def test_whole_numbers_are_kept_as_differences(lake):
    table = "quality.scratch_states"
    day = pa.repeat(pa.scalar(MON, pa.date32()), 3)
    rows = {
        "id": ["1", "2", "3"],
        "tier": ["A"] * 3,
        "amount": pa.array([1, 2, 3], pa.int32()),
        "_feed": ["f"] * 3,
        "_file": ["f.csv"] * 3,
    }
    lake.append(table, pa.table({**rows, "_row": [0, 1, 2], "valid_from": day, "valid_to": day}))
    (uri,) = lake.delta(table).file_uris()
    group = pq.ParquetFile(uri).metadata.row_group(0)
    encodings = {
        group.column(at).path_in_schema: group.column(at).encodings for at in range(group.num_columns)
    }
    assert "DELTA_BINARY_PACKED" in encodings["_row"]
    assert "RLE_DICTIONARY" in encodings["tier"]


@pytest.mark.slow
def test_a_gate_measures_judges_keeps_and_stops(lake, spark):
    table = "quality.scratch_facts"
    lake.append(table, facts(spark, MON, ("1", "A", -5)))
    verdicts = check_tables(lake, "trusted", [table], MON)
    assert [(v.bound.name, v.value, v.is_passed) for v in verdicts] == [
        ("rows_today", 1.0, True),
        ("amount_sum", -5.0, False),
    ]
    with pytest.raises(
        GateStopped, match=r"quality.scratch_facts: rows_today is 0, must be between 1 and 3"
    ) as stopped:
        check_tables(lake, "trusted", [table], TUE)
    assert stopped.value.exit_code == 3
    kept = lake.read_arrow("quality.gate_results").to_pylist()
    assert {(r["business_date"], r["measure"], r["is_passed"]) for r in kept} == {
        (MON, "rows_today", True), (MON, "amount_sum", False), (TUE, "rows_today", False), (TUE, "amount_sum", False),
    }  # fmt: skip


@pytest.mark.slow
def test_small_and_large_tables_are_measured_alike(lake, spark):
    from lakehouse.gates.gates import bounds_of, measure

    rows = [("1", "A", 10), ("1", "A", -4), ("2", None, 1)]
    lake.append("quality.scratch_facts", facts(spark, MON, *rows))
    lake.change_states(
        "quality.scratch_states", states(spark, *rows[1:]), feed="f", business_date=MON, mode="snapshot"
    )
    scratch = ["quality.scratch_facts", "quality.scratch_states"]
    names = [*scratch, "trusted.balances", "trusted.order_lines", "trusted.consents"]
    bounds = {name: bounds_of(lake.contracts.get(name), lake.settings) for name in names}
    by_duckdb = measure(lake, bounds, MON)
    assert by_duckdb == measure(lake, bounds, MON, in_process_rows=-1)
    assert by_duckdb["quality.scratch_facts", "amount_sum"] == 7
    assert by_duckdb["quality.scratch_states", "duplicate_keys"] == 0


@pytest.mark.parametrize("table", contract_names())
def test_every_bound_can_be_measured_in_the_process(table, make_workspace):
    from lakehouse.gates.gates import bounds_of, measure
    from lakehouse.settings.settings import load_settings

    empty = Lake(load_settings(make_workspace()))
    empty.create([table])
    bounds = bounds_of(contract(table), empty.settings)
    assert set(measure(empty, {table: bounds}, MON)) == {(table, bound.name) for bound in bounds}


def test_a_dictionary_only_grows(lake):
    schema = lake.contracts.get("quality.scratch_words").arrow_schema()

    def words(*rows):
        return pa.Table.from_pylist([{"id": i, "tier": t} for i, t in rows], schema=schema)

    lake.extend_dictionary("quality.scratch_words", words(("a", "A"), ("b", "A")))
    lake.extend_dictionary("quality.scratch_words", words(("b", "B"), ("c", "C")))
    rows = lake.read_arrow("quality.scratch_words").to_pylist()
    assert sorted((r["id"], r["tier"]) for r in rows) == [("a", "A"), ("b", "A"), ("c", "C")]


@pytest.mark.slow
def test_a_row_that_breaks_the_contract_is_refused_in_one_sentence_without_its_values(lake, spark):
    with pytest.raises(ContractBroken, match="tier IN") as by_spark:
        lake.append("quality.scratch_facts", facts(spark, MON, ("secret-id", "Z", 1)))
    bad = pa.Table.from_pylist(
        [{"id": None, "tier": "secret-value"}],
        schema=lake.contracts.get("quality.scratch_words").arrow_schema(),
    )
    with pytest.raises(ContractBroken, match="breaks") as by_arrow:
        lake.append("quality.scratch_words", bad)
    assert "secret" not in str(by_spark.value) + str(by_arrow.value)
    with pytest.raises(ContractBroken, match="lack column 'amount'"):
        lake.append("quality.scratch_words", bad.select(["id", "tier"]))
    assert lake.row_count("quality.scratch_facts") == 0


def test_a_table_follows_its_contract_when_that_gains_columns_and_values(make_workspace):
    from lakehouse.settings.settings import load_settings

    grown = Lake(load_settings(make_workspace()))
    name = "quality.scratch_words"
    grown.contracts.add(*SCRATCH)
    grown.create([name])
    grown.append_rows(name, [{"id": "a", "tier": "A"}])
    columns = {
        "id": {"type": "string", "required": True},
        "tier": {"type": "string", "allowed": ["A", "B", "C", "D"]},
        "amount": {"type": "decimal(18,2)"},
        "note": {"type": "string"},
    }
    grown.contracts.add(_contract(name, "dictionary", ["id"], columns=columns))
    grown.create([name])
    version = grown.version(name)
    grown.create([name])
    assert grown.version(name) == version, "what fits is left alone"
    grown.append_rows(name, [{"id": "b", "tier": "D", "note": "new"}])
    with pytest.raises(ContractBroken, match="tier IN"):
        grown.append_rows(name, [{"id": "c", "tier": "E"}])
    assert sorted(r["id"] for r in grown.read_arrow(name).to_pylist()) == ["a", "b"]
    assert grown.delta(name).protocol().min_reader_version == 1


@pytest.mark.slow
def test_every_table_stays_readable_for_simple_delta_readers(lake, spark):
    lake.append("quality.scratch_facts", facts(spark, MON, ("1", "A", 1)))
    for log in Path(lake.settings.lake).glob("*/*/_delta_log/00000000000000000000.json"):
        protocol = json.loads(log.read_text().splitlines()[0])["protocol"]
        assert protocol["minReaderVersion"] == 1
    assert lake.delta("quality.scratch_facts").protocol().min_reader_version == 1
