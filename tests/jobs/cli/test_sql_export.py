"""``cdp sql --export`` writes a DuckDB file that any tool opens: published figures, comments, masks, and nothing overwritten."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from ingestion import landing_contracts
from jobs.cli import run
from jobs.night.fingerprint import workspace_hash
from jobs.report.export import export_lake, refresh_export
from jobs.workspace.examine import examine_export
from lakehouse.errors import StepFailed
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from tests.published_lake import FEED, NAMES, PHONES, PRIVATE, TABLES, publish

NEXT_DAY = date(2026, 11, 19)
REPOSITORY = Path(__file__).resolve().parents[3]
VALUES = "trusted.identifier_observations"


@pytest.fixture(scope="module")
def published_folder(tmp_path_factory):
    """A published workspace that nobody changes."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "feeds").mkdir()
    (folder / "cdp.yml").write_text("generate_secrets: true\n", encoding="utf-8")
    (folder / "feeds" / "members.yml").write_text(FEED, encoding="utf-8")
    publish(folder)
    return folder


@pytest.fixture
def bank(published_folder, tmp_path, monkeypatch):
    """A copy of the workspace in a folder with a space and a quote, as the current folder."""
    folder = tmp_path / "bank's 银行 #1"
    shutil.copytree(published_folder, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CDP_WORKSPACE", str(folder))
    return folder


@pytest.fixture
def export(bank, capsys):
    """A function that runs ``cdp sql --export`` and gives exit code, output and messages."""

    def call(*arguments):
        code = run(["sql", "--export", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def rows_elsewhere(file, *statements):
    """Ask a file in another process, by DuckDB and nothing of the product."""
    code = (
        "import duckdb, json, sys\n"
        "desk = duckdb.connect(sys.argv[1], read_only=True)\n"
        "print(json.dumps([desk.execute(sql).fetchall() for sql in sys.argv[2:]], default=str))"
    )
    answer = subprocess.run([sys.executable, "-I", "-c", code, str(file), *statements], check=True, capture_output=True, text=True)  # fmt: skip
    return json.loads(answer.stdout)


def publish_next_night(bank):
    """Publish a night that knows one more person."""
    settings = load_settings(bank)
    lake = Lake(settings)
    lake.contracts.add(*landing_contracts(settings))
    row = {"_feed": "members", "_file": "members.csv", "valid_from": NEXT_DAY}
    key = {"source": "shop", "source_key": "3", "kind": "customer", "full_name": "王五"}
    lake.append_rows("trusted.customers", [{**key, "_row": 3, **row}])
    lake.append_rows(
        "ops.publications",
        [
            {
                "business_date": NEXT_DAY, "run_id": "run-2", "seq": 2, "fingerprint": "g", "summary": "{}",
                "published_at": datetime(2026, 11, 20, tzinfo=UTC),
                "tables": [{"table": table, "version": lake.version(table)} for table in TABLES],
            }
        ],
    )  # fmt: skip


def test_another_process_finds_the_published_figures_comments_and_masks(export, bank):
    file = bank / "the bank's lake.duckdb"
    code, out, err = export(file.name)
    assert (code, out) == (0, f"wrote {file}: 5 tables as published on 2026-11-18\n")
    assert "masked: " in err
    people, comments, values, raw, mark, views, landed = rows_elsewhere(
        file,
        "SELECT kind, count(*) FROM trusted.customers GROUP BY ALL",
        "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'customers' AND column_name IN ('kind', 'full_name') ORDER BY 1",
        "SELECT count(DISTINCT value), bool_and(value LIKE 'masked:%') FROM trusted.identifier_observations",
        "SELECT raw_text LIKE 'masked:%', row_number FROM quality.refused_rows",
        "SELECT business_date, run_id, seq, is_masked, lake FROM cdp.publication",
        "SELECT comment FROM duckdb_views() WHERE view_name = 'customers'",
        "SELECT no LIKE 'masked:%' FROM landing.members",
    )
    assert people == [["customer", 2]]
    assert [name for name, _ in comments] == ["full_name", "kind"]
    assert comments[0][1].endswith("; masked") and "masked" not in comments[1][1]
    assert values == [[2, True]]
    assert raw == [[True, 3]]
    assert mark == [["2026-11-18", "run-1", 1, True, str(bank / "lake")]]
    assert "; one row per" in views[0][0]
    assert landed == [[True], [True]]


def test_no_value_stands_in_the_file_and_its_rights_are_those_of_the_lake(export, bank):
    assert export("lake.duckdb")[0] == 0
    content = (bank / "lake.duckdb").read_bytes()
    assert not any(value.encode() in content for value in PRIVATE)
    assert stat.S_IMODE((bank / "lake.duckdb").stat().st_mode) == 0o600
    assert [file.name for file in bank.glob(".*.duckdb*")] == []


def test_a_reveal_is_recorded_before_the_file_shows_values(export, bank):
    assert export("lake.duckdb", "--reveal", " ")[0] == 2
    assert not (bank / "lake.duckdb").exists()
    code, _, err = export("lake.duckdb", "--reveal", "a model of names")
    assert code == 0 and "(masked:" not in err
    (entry,) = map(json.loads, (bank / "audit" / "reveals.jsonl").read_text().splitlines())
    assert (entry["reason"], entry["tables"]) == ("a model of names", sorted(TABLES))
    values, mark = rows_elsewhere(
        bank / "lake.duckdb",
        f"SELECT value FROM {VALUES} ORDER BY 1",
        "SELECT is_masked FROM cdp.publication",
    )
    assert [value for (value,) in values] == sorted(PHONES) and mark == [[False]]
    assert export("lake.duckdb")[0] == 0
    names = rows_elsewhere(bank / "lake.duckdb", "SELECT full_name FROM trusted.customers")[0]
    assert not {name for (name,) in names} & set(NAMES)


def test_a_reveal_that_cannot_be_recorded_writes_no_file(export, bank):
    (bank / "audit").write_text("a file where the folder belongs")
    code, _, err = export("lake.duckdb", "--reveal", "why not")
    assert code == 1 and "cannot be recorded" in err
    assert not (bank / "lake.duckdb").exists()


def test_a_later_night_shows_when_the_file_is_written_anew_and_disturbs_no_reader(export, bank):
    count = "SELECT count(*) FROM trusted.customers"
    assert export("lake.duckdb")[0] == 0
    publish_next_night(bank)
    assert rows_elsewhere(bank / "lake.duckdb", count) == [[[2]]]
    with duckdb.connect(bank / "lake.duckdb", read_only=True) as reader:
        code, out, _ = export("lake.duckdb", "--format", "json")
        assert code == 0 and json.loads(out)["business_date"] == "2026-11-19"
        assert reader.execute(count).fetchall() == [(2,)]
    assert rows_elsewhere(bank / "lake.duckdb", count) == [[[3]]]
    assert export("lake.duckdb", "--as-of", "2026-11-18")[0] == 0
    assert rows_elsewhere(bank / "lake.duckdb", count) == [[[2]]]


def make_link(file):
    (file.parent / "target.duckdb").write_bytes(b"somebody's")
    file.symlink_to("target.duckdb")


def make_database(file):
    with duckdb.connect(file) as desk:
        desk.execute("CREATE TABLE own AS SELECT 1 AS n")


def make_forgery(file):
    with duckdb.connect(file) as desk:
        desk.execute("CREATE SCHEMA cdp; CREATE TABLE cdp.publication AS SELECT 1 AS n")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: file.mkdir(), "is no file"),
        (os.mkfifo, "is no file"),
        (make_link, "is a link"),
        (lambda file: file.symlink_to("nowhere.duckdb"), "is a link"),
        (lambda file: file.write_bytes(b""), "is no export"),
        (lambda file: file.write_text("the only copy of a thesis"), "is no export"),
        (lambda file: file.write_bytes(b"SQLite format 3\0" + bytes(4096)), "is no export"),
        (lambda file: file.write_bytes(b"01234567DUCK" + bytes(9000)), "is no export"),
        (make_database, "is no export, or tables were added"),
        (make_forgery, "is no export"),
        (lambda file: file.with_name(f"{file.name}.wal").write_bytes(b"x"), "somebody writes to it"),
    ],
)
def test_what_is_no_export_is_never_replaced(export, bank, make, words):
    file = bank / "x.duckdb"
    make(file)
    before = {path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in bank.iterdir()}
    code, out, err = export("x.duckdb")
    assert (code, out) == (2, "") and words in err and "Traceback" not in err
    assert {path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in bank.iterdir()} == before


def test_a_table_that_somebody_added_and_the_export_of_another_lake_stay(export, bank):
    assert export("lake.duckdb")[0] == 0
    with duckdb.connect(bank / "lake.duckdb") as desk:
        desk.execute("CREATE TABLE notes AS SELECT 'mine' AS note")
    assert "tables were added to it" in export("lake.duckdb")[2]
    assert rows_elsewhere(bank / "lake.duckdb", "FROM notes") == [[["mine"]]]
    assert export("other.duckdb")[0] == 0
    shutil.copytree(bank / "lake", bank / "second")
    (bank / "cdp.yml").write_text("lake: second\n")
    code, _, err = export("other.duckdb")
    assert code == 2 and "is an export of another lake" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lake/x.duckdb"], "is a folder of the product"),
        (["way/trusted/x.duckdb"], "is a folder of the product"),
        (["inbox/x.duckdb"], "is a folder of the product"),
        (["cdp.yml"], "an export is called NAME.duckdb"),
        (["x.db"], "an export is called NAME.duckdb"),
        (["x?.duckdb"], "takes what follows a '?'"),
        ([".duckdb"], "an export is called NAME.duckdb"),
        (["nowhere/x.duckdb"], "does not exist"),
        (["trusted.duckdb"], "is the name of a database"),
        (["Main.duckdb"], "is the name of a database"),
        (["x.duckdb", "select 1"], "it takes no statement"),
        (["x.duckdb", "-f", "cdp.yml"], "it takes no statement"),
        (["x.duckdb", "--as-of", "2020-01-01"], "nothing was published for 2020-01-01"),
    ],
)
def test_a_wrong_place_is_one_sentence_and_exit_2(export, bank, arguments, words):
    (bank / "way").symlink_to("lake")
    (bank / "inbox").mkdir()
    code, out, err = export(*arguments)
    assert (code, out) == (2, "") and words in err and "Traceback" not in err
    assert not [path for path in bank.rglob("*.duckdb*") if path.is_file()]


def test_before_the_first_night_there_is_nothing_to_export(export, bank):
    shutil.rmtree(bank / "lake")
    code, _, err = export("x.duckdb")
    assert code == 2 and "run `cdp nightly --date D` first" in err
    assert not (bank / "x.duckdb").exists()


def test_a_disk_that_takes_no_more_leaves_the_file_before(export, bank):
    (bank / "out").mkdir()
    assert export("out/x.duckdb")[0] == 0
    before = (bank / "out" / "x.duckdb").read_bytes()
    code = (
        "import resource, sys; from jobs.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        "sys.argv = ['cdp', 'sql', '--export', 'out/x.duckdb']; main()"
    )
    full = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert full.returncode == 1 and "Traceback" not in full.stderr, full.stderr
    assert (bank / "out" / "x.duckdb").read_bytes() == before
    assert [file.name for file in (bank / "out").iterdir()] == ["x.duckdb"]


def test_a_night_refreshes_the_file_that_the_workspace_names(bank, caplog):
    settings = load_settings(bank)
    refresh_export(settings)
    assert not list(bank.glob("*.duckdb"))
    before = workspace_hash(settings)
    (bank / "cdp.yml").write_text("generate_secrets: true\nexport: own.duckdb\n")
    settings = load_settings(bank)
    assert workspace_hash(settings) == before
    refresh_export(settings)
    assert rows_elsewhere(bank / "own.duckdb", "SELECT count(*) FROM trusted.customers") == [[[2]]]
    shutil.rmtree(bank / "lake" / "trusted" / "customers" / "_delta_log")
    refresh_export(settings)
    assert "the night is published, but its export could not be written" in caplog.text
    assert rows_elsewhere(bank / "own.duckdb", "SELECT count(*) FROM trusted.customers") == [[[2]]]


def test_a_masked_export_is_recorded_before_it_is_written_or_is_not_written(bank):
    export_lake(load_settings(bank), bank / "x.duckdb")
    (line,) = (bank / "audit" / "lookups.jsonl").read_text(encoding="utf-8").splitlines()
    entry = json.loads(line)
    assert (entry["command"], entry["is_revealed"], entry["one_ids"]) == ("sql --export", False, [])
    assert "trusted.customers" in entry["tables"]
    shutil.rmtree(bank / "audit")
    (bank / "audit").write_text("a file where the folder belongs")
    with pytest.raises(StepFailed, match="the look-up cannot be recorded, so nothing is shown"):
        export_lake(load_settings(bank), bank / "y.duckdb")
    assert not (bank / "y.duckdb").exists()


def test_a_table_that_cannot_be_read_leaves_no_file(bank):
    next((bank / "lake" / "trusted" / "customers").glob("*.parquet")).write_bytes(b"x" * 99)
    with pytest.raises(StepFailed, match="missing or damaged"):
        export_lake(load_settings(bank), bank / "x.duckdb")
    assert not list(bank.glob("*.duckdb*")) and not list(bank.glob(".x*"))


def test_a_link_that_the_workspace_names_is_not_followed(bank, caplog):
    make_link(bank / "own.duckdb")
    (bank / "cdp.yml").write_text("export: own.duckdb\n")
    refresh_export(load_settings(bank))
    assert "is a link" in caplog.text
    assert (bank / "target.duckdb").read_bytes() == b"somebody's"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("lake.csv", "an export is called NAME.duckdb"),
        ("nowhere/lake.duckdb", "the folder of the export does not exist; make it first"),
        ("lake/own.duckdb", "is a folder of the product; name a file elsewhere"),
        ("trusted.duckdb", "'trusted' is the name of a database"),
        ("notes.duckdb", "is no export"),
    ],
)
def test_the_doctor_judges_the_file_before_a_night_fails_to_write_it(name, sentence, bank):
    (bank / "notes.duckdb").write_text("mine", encoding="utf-8")
    (bank / "cdp.yml").write_text(f"generate_secrets: true\nexport: {name}\n", encoding="utf-8")
    (requirement,) = examine_export(bank)
    assert not requirement.is_good and sentence in requirement.state and requirement.repair


def test_the_doctor_says_nothing_of_an_export_that_nobody_named_and_finds_a_good_one_good(bank, tmp_path):
    assert list(examine_export(bank)) == []
    (bank / "cdp.yml").write_text("generate_secrets: true\nexport: own.duckdb\n", encoding="utf-8")
    (requirement,) = examine_export(bank)
    assert requirement.is_good and requirement.state.endswith(
        "own.duckdb is replaced by every night that is published"
    )
    export_lake(load_settings(bank), bank / "own.duckdb")
    assert next(examine_export(bank)).is_good, "its own file is replaced"
    # Before the first night there is nothing to compare its name with but the names of DuckDB.
    new = tmp_path / "new"
    new.mkdir()
    (new / "cdp.yml").write_text("generate_secrets: true\nexport: main.duckdb\n", encoding="utf-8")
    assert not next(examine_export(new)).is_good
