"""The desk keeps what it is given to itself, names it, and reads tables below any folder a site may have."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.errors import SettingsInvalid
from lakehouse.query.desk import open_alone, open_newest, open_scratch
from lakehouse.query.files import file_paths, table_sql
from lakehouse.query.published import newest_publication, open_publication
from lakehouse.query.question import Question
from lakehouse.query.reading import answer
from lakehouse.query.words import duck_type, identifier, literal, spark_identifier, spark_literal
from lakehouse.settings.settings import load_settings
from tests.published_lake import FEED, publish

ROOT = Path(__file__).resolve().parents[3]


def test_desks_open_at_once_do_not_see_each_others_rows():
    with open_scratch() as one, open_scratch() as other:
        answers = []
        for desk, number in ((one, 1), (other, 2)):
            desk.let(n=number)
            lent = desk.lend("rows", pa.table({"n": [number]}))
            answers.append(desk.keep("copy", f"SELECT n, $n AS variable FROM {lent}"))
        assert one.rows(f"FROM {answers[0]}") == [(1, 1)]
        assert other.rows(f"FROM {answers[1]}") == [(2, 2)]


def test_a_relation_has_a_name_that_nobody_can_type_and_knows_its_columns():
    with open_scratch() as desk:
        one = desk.keep("people", "SELECT 1 AS one_id, 'a' AS source")
        other = desk.define(
            "people", f"SELECT one_id FROM {one} WHERE one_id > $least".replace("$least", "0")
        )
        assert one.name != other.name and one.columns == ("one_id", "source") and other.columns == ("one_id",)
        with pytest.raises(duckdb.CatalogException):
            desk.rows("FROM people")
        desk.extend(one, "SELECT 2, 'b'")
        assert desk.value(f"SELECT sum(one_id) FROM {other}") == 3
        desk.drop(one)
        with pytest.raises(duckdb.CatalogException):
            desk.rows(f"FROM {one}")


def test_nothing_is_left_for_the_next_desk_even_after_an_error():
    with pytest.raises(duckdb.Error), open_scratch() as desk:
        kept = desk.keep("rows", "SELECT 1 AS n")
        desk.rows("SELECT nothing")
    with open_scratch() as desk:
        assert desk.value("SELECT current_setting('TimeZone')") == "UTC"
        with pytest.raises(duckdb.CatalogException):
            desk.rows(f"SELECT n FROM {kept}")


def test_a_second_session_has_the_time_zone_and_works_beside_the_first():
    with open_alone("Asia/Shanghai", threads=1) as desk, desk.session() as other:
        assert desk.value("SELECT current_setting('threads')") == 1
        assert other.value("SELECT current_setting('TimeZone')") == "Asia/Shanghai"


@pytest.mark.parametrize("text", ["O'Brien", "'; DROP TABLE x; --", "", "张\n三", '"'])
def test_a_literal_and_an_identifier_say_exactly_the_text(text):
    with open_scratch() as desk:
        assert desk.value(f"SELECT {literal(text)}") == text
        if text:
            assert desk.keep("named", f"SELECT 1 AS {identifier(text)}").columns == (text,)


@pytest.mark.parametrize(
    "text", ["O'Neill", "a\\' OR true --", "back\\slash", "''", "line\nend", "银行", "`x`", "\\u0041"]
)
def test_spark_reads_a_literal_and_an_identifier_as_exactly_the_text(spark, text):
    row = spark.sql(f"SELECT {spark_literal(text)} AS {spark_identifier(text)}").collect()[0]
    assert row.asDict() == {text: text}


DOORS = [
    "FROM read_text('{outside}/key')", "FROM read_blob('/etc/hostname')", "FROM '/etc/hostname'", "FROM glob('{outside}/*')",
    "FROM read_text('{inside}/../outside/key')", "FROM read_text('{inside}2/key')",
    "COPY (SELECT 1) TO '{outside}/x.csv'", "COPY (SELECT 1) TO '{inside}2/x.csv'", "ATTACH '{outside}/x.db'", "INSTALL httpfs",
    "LOAD httpfs", "SET enable_external_access = true", "SET allowed_directories = ['/']", "SET threads = 1",
    "SET lock_configuration = false", "SET temp_directory = '{outside}'", "FROM read_csv('https://example.org/x.csv')",
    "EXPORT DATABASE '{outside}/out'", "SELECT * FROM variable_of_python",
]  # fmt: skip


@pytest.fixture
def places(tmp_path):
    """A folder that a desk may touch, and two beside it that it may not, each with a key."""
    for name in ("inside", "inside2", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text("secret")
    return {"inside": tmp_path / "inside", "outside": tmp_path / "outside"}


@pytest.mark.parametrize("door", DOORS)
def test_a_desk_touches_nothing_but_its_folders_and_nobody_changes_that(places, door):
    variable_of_python = pa.table({"n": [1]})
    with open_alone(folders=[places["inside"]]) as desk, open_scratch(folders=[places["inside"]]) as scratch:
        for one in (desk, scratch):
            assert (
                one.value(f"SELECT content FROM read_text({literal(places['inside'] / 'key')})") == "secret"
            )
            with pytest.raises(duckdb.Error):
                one.connection.execute(door.format(**places)).fetchall()
    assert variable_of_python.num_rows == 1
    assert sorted(file.name for file in places["outside"].iterdir()) == ["key"]


def test_a_desk_without_folders_touches_nothing(places):
    with open_scratch() as scratch, pytest.raises(duckdb.PermissionException):
        scratch.rows(f"FROM read_text({literal(places['inside'] / 'key')})")


def test_a_desk_spills_what_its_memory_does_not_hold_to_its_own_folder(places):
    spill = places["inside"] / "spilled"
    with open_alone(folders=[places["inside"]], threads=1, memory="60MB", spill=spill) as desk:
        rows = desk.keep("many", "SELECT DISTINCT i, md5(i::VARCHAR) AS text FROM range(2000000) t(i)")
        assert desk.value(f"SELECT count(*) FROM {rows}") == 2_000_000
        assert list(spill.iterdir())


def test_a_desk_over_a_publication_touches_only_the_tables_it_names(make_workspace):
    folder = make_workspace({"feeds/members.yml": FEED, "secrets/identity.key": "a key of sixteen letters"})
    settings = publish(folder)
    with open_publication(settings) as published:
        assert published.value("SELECT count(*) FROM trusted.customers") == 2
        for place in (
            folder / "secrets" / "identity.key", folder / "cdp.yml", settings.lake / "ops" / "publications" / "_delta_log" / f"{1:020}.json",
        ):  # fmt: skip
            assert place.is_file()
            with pytest.raises(duckdb.PermissionException):
                published.rows(f"FROM read_text({literal(place)})")


def test_the_reading_desk_opens_the_files_of_the_tables_that_are_named_and_writes_nothing(make_workspace):
    """Whatever the list of statements lets through, the desk itself holds."""
    folder = make_workspace({"feeds/members.yml": FEED, "secrets/identity.key": "a key of sixteen letters"})
    settings = publish(folder)
    publication = newest_publication(settings)

    def ask(text):
        question = Question(text, ("trusted.customers",), frozenset(), has_star=True, reads_catalogue=False)
        return answer(question, settings, publication, lambda table, columns: {}).rows

    def parquet(table):
        return next(settings.lake.joinpath(*table.split(".")).rglob("*.parquet"))

    assert ask(f"SELECT count(*) > 0 FROM read_blob({literal(parquet('trusted.customers'))})") == [(True,)]
    for place in (folder / "secrets" / "identity.key", parquet("trusted.identifier_observations")):
        with pytest.raises(duckdb.PermissionException):
            ask(f"SELECT count(*) FROM read_blob({literal(place)})")
    for text in ("CREATE TABLE t AS SELECT 1", "CREATE OR REPLACE VIEW trusted.customers AS SELECT 1"):
        with pytest.raises(duckdb.TransactionException, match="read-only"):
            ask(text)


def test_literals_have_the_type_of_the_value():
    with open_scratch() as desk:
        for value in (True, 7, Decimal("1.50"), date(2026, 11, 20), None):
            assert desk.value(f"SELECT {literal(value)}") == value
    with pytest.raises(TypeError):
        literal(1.5)


@pytest.mark.parametrize("name", ["a lake", "a#lake", "a?lake", "湖 一号", "o'lake", "lake*", "a+{lake}"])
def test_a_table_is_read_below_any_folder(tmp_path, name):
    for folder in (tmp_path / name, tmp_path / "alake", tmp_path / "axlake"):
        rows = pa.table(
            {"x": [1, 2], "day": pa.array([date(2026, 1, 1), date(2026, 1, 2)]), "k": ["甲", "b c"]}
        )
        write_deltalake(str(folder / "t"), rows, partition_by=["day", "k"])
    table = DeltaTable(str(tmp_path / name / "t"))
    assert all(file.is_file() for file in file_paths(table)) and len(file_paths(table)) == 2
    with open_scratch(folders=[tmp_path / name]) as desk:
        rows = desk.rows(f"SELECT x, day, k FROM ({table_sql(table, 'x.t')}) ORDER BY x")
    assert rows == [(1, date(2026, 1, 1), "甲"), (2, date(2026, 1, 2), "b c")]


def test_a_workspace_in_a_folder_of_many_signs_is_written_and_read(make_workspace):
    from lakehouse.tables.lake import Lake

    settings = load_settings(make_workspace(name="银行 #1 ?"))
    lake = Lake(settings)
    lake.create(["ops.runs", "identity.redirects"])
    lake.append_rows("identity.redirects", [{"from_one_id": 1, "to_one_id": 2}])
    with open_newest(settings) as desk:
        assert desk.rows("SELECT from_one_id, to_one_id FROM identity.redirects") == [(1, 2)]
        assert desk.value("SELECT count(*) FROM ops.runs") == 0


def test_every_type_of_a_contract_has_a_name_in_duckdb_and_another_type_is_refused():
    from lakehouse.contracts.reading import contract, contract_names

    simple = {c.type for n in contract_names() for c in contract(n).columns.values() if "<" not in c.type}
    assert {"int", "bigint", "date"} < simple
    with open_scratch() as desk:
        names = {kind: desk.rows(f"DESCRIBE SELECT NULL::{duck_type(kind)} AS x")[0][1] for kind in simple}
    assert (names["int"], names["bigint"], names["date"]) == ("INTEGER", "BIGINT", "DATE")
    assert [kind for kind, name in names.items() if name == "VARCHAR"] == ["string"]
    with pytest.raises(TypeError):
        duck_type("variant")


def test_what_stands_in_a_literal_is_a_value_and_names_no_table(make_workspace):
    with open_newest(load_settings(make_workspace())) as desk:
        desk.let(day=date(2026, 11, 20))
        row = desk.rows("SELECT 'ops.click' AS a, 'it''s $day, ops.click' AS b, $day AS c")[0]
    assert row == ("ops.click", "it's $day, ops.click", date(2026, 11, 20))


@pytest.mark.parametrize("name", ["a%20lake", "lake[1]"])
def test_a_lake_that_delta_cannot_address_is_refused_with_one_sentence(make_workspace, name):
    with pytest.raises(SettingsInvalid, match="name another one with lake:"):
        load_settings(make_workspace({"cdp.yml": f"lake: '{name}'"}))


KILLED = """
import os, signal, sys
from lakehouse.query import desk
desk._limits["spill"] = sys.argv[1]
folder = desk._spill_folders()
(folder / "rows").write_text("somebody")
print(folder.name, flush=True)
if sys.argv[2] == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
"""


def test_what_a_killed_process_spilled_goes_with_the_next_one_and_what_a_living_one_has_stays(tmp_path):
    def start(fate):
        command = [sys.executable, "-c", KILLED, str(tmp_path), fate]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return process, process.stdout.readline().strip()

    (living, its_own), (killed, left) = start("lives"), start("dies")
    killed.communicate()
    (tmp_path / "cdp-spill-link").symlink_to(tmp_path)
    assert (tmp_path / left / "rows").is_file() and (tmp_path / its_own / "rows").is_file()
    third, new = start("lives")
    assert {path.name for path in tmp_path.iterdir()} == {its_own, new, "cdp-spill-link"}
    for process in (living, third):
        process.communicate("")
    assert {path.name for path in tmp_path.iterdir()} == {"cdp-spill-link"}
