"""``cdp sql`` answers one question about published tables; it shows, writes and changes nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import stat
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs.cli import run
from jobs.report.reveals import operating_user, record_lookup
from lakehouse.query.published import newest_publication
from lakehouse.settings.settings import load_settings
from tests.published_lake import FEED, NAMES, PHONES, PRIVATE, RAW, publish

KEY = "the identity key of the bank, 64 letters"
VALUES = "trusted.identifier_observations"


@pytest.fixture(scope="module")
def published_folder(tmp_path_factory):
    """A published workspace that nobody changes, with a key beside the lake."""
    folder = tmp_path_factory.mktemp("published")
    files = {"cdp.yml": "generate_secrets: true\n", "feeds/members.yml": FEED, "secrets/identity.key": KEY}
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    publish(folder)
    return folder


@pytest.fixture
def bank(published_folder, tmp_path, monkeypatch):
    """A copy of the workspace in a folder of many signs, as the current folder."""
    folder = tmp_path / "银行 #1?"
    shutil.copytree(published_folder, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CDP_WORKSPACE", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


@pytest.fixture
def ask(bank, capsys):
    """A function that runs ``cdp sql`` and gives exit code, output and messages."""

    def call(*arguments):
        code = run(["sql", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def files_of(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def parquet(bank, table=VALUES):
    return sorted((bank / "lake").joinpath(*table.split(".")).rglob("*.parquet"))[0]


ATTACKS = [
    # What is not one question.
    "", "   ", ";", "-- only a comment", "/* only a comment */", "select 1; select 2", "select 1; drop table x",
    # Files.
    "select * from read_text('{bank}/secrets/identity.key')", "from read_text('secrets/identity.key')",
    "select * from read_blob('/etc/passwd')", "select * from read_csv('/etc/passwd')",
    "select * from read_csv_auto('/etc/passwd')", "select * from read_json('/etc/passwd')", "from sniff_csv('/etc/passwd')",
    "from '/etc/hostname'", "from '{bank}/secrets/identity.key'", 'from "{bank}/inbox/x.csv"', "from glob('/etc/*')",
    "from glob('{bank}/**')", "from read_parquet('{parquet}')", "from '{parquet}'", "from parquet_metadata('{parquet}')",
    "from parquet_bloom_probe('{parquet}', 'value', '13800138000')", "summarize select * from read_text('/etc/passwd')",
    "describe select * from read_csv('/etc/passwd')", "select (select content from read_text('/etc/passwd'))",
    "select * from (select 1) where exists (from read_text('/etc/passwd'))",
    "with t as (select 1), u as (from read_text('/etc/passwd')) from u", "from read_csv('https://example.org/x.csv')",
    "from 's3://bucket/x.parquet'", "from delta_scan('{bank}/lake/trusted/customers')",
    # A name of WITH that means something else where it is not seen.
    "with a as (from \"{parquet}\"), \"{parquet}\" as (select 1) from a",
    "select (with duckdb_settings as (select 1) select count(*) from duckdb_settings), * from duckdb_settings",
    "with duckdb_views as (from duckdb_views) select sql from duckdb_views",
    # Statements as text.
    "from query('select 1')", "from query_table('trusted.customers')",
    "from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "select json_serialize_sql('select 1')",
    # Writing.
    "copy (select 1) to '{bank}/lake/x.parquet'", "copy (select 1) to '{bank}/lake/trusted/customers/_delta_log/9.json'",
    "explain analyze copy (select 1) to '{bank}/lake/x.parquet'", "explain copy (select 1) to '{bank}/x.csv'",
    "explain select 1", "export database '{bank}/out'", "create table t as select 1", "create view v as select 1",
    "create temp table t as select 1", "create or replace view trusted.customers as select 1", "insert into t values (1)",
    "with x as (insert into trusted.customers values (1) returning *) select * from x", "drop view trusted.customers",
    "delete from trusted.customers", "update trusted.customers set source = 'x'", "select 1 into t", "create macro m() as 1",
    "create secret s (type s3)", "attach '{bank}/x.db'", "attach ':memory:' as m", "detach memory", "checkpoint",
    # Settings, extensions and what the process knows.
    "install httpfs", "load httpfs", "force install httpfs from community", "set threads = 1", "set enable_external_access = true",
    "set global lock_configuration = false", "reset threads", "set variable x = 1", "pragma version", "pragma threads = 2",
    "pragma database_list", "call pragma_version()", "use memory", "prepare p as select 1", "execute p", "begin", "vacuum",
    "select getenv('HOME')", "select current_setting('allowed_paths')", "select current_setting('temp_directory')",
    "select getvariable('x')", "from duckdb_settings()", "from duckdb_settings", "from duckdb_secrets()", "from which_secret('s3://x', 's3')",
    "from duckdb_variables()", "from duckdb_views()", "select sql from duckdb_views", "from duckdb_temporary_files()", "from duckdb_logs()",
    "from duckdb_extensions()", "from pragma_database_size()", "from pragma_user_agent()", "from duckdb_databases()",
    "select pg_get_viewdef(1)", "select current_query()", "select write_log('x')", "select stats(1)", "select nextval('s')",
    "select sleep_ms(10)", "select view_definition from information_schema.views", "from pg_catalog.pg_views", "from sqlite_master",
    "select definition from pg_views", "show databases", "show variables", "from (show tables)", "from enable_logging()",
    "select * from range(3) t(i) where current_setting('threads') = 1", "select 1 order by current_setting('temp_directory')",
    "select list_transform([1], lambda x: current_setting('temp_directory'))",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_one_sentence_and_leaves_nothing(bank, ask, attack):
    before = files_of(bank)
    code, out, err = ask(attack.replace("{bank}", str(bank)).replace("{parquet}", str(parquet(bank))))
    assert (code, out) == (2, "")
    assert err.startswith("cdp: ") and err.count("\n") == 1 and "Traceback" not in err
    assert KEY not in err and "root:" not in err and not any(value in err for value in PRIVATE)
    assert files_of(bank) == before


def test_the_statement_comes_from_the_call_standard_input_or_a_file(bank, ask, monkeypatch):
    file = bank / "question.sql"
    file.write_text("-- of the file\nselect 3 as n", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"-- of a pipe\nselect 2 as n;\n")))
    calls = {
        "1": ["-- of the call\nselect 1 as n"],
        "2": ["-"],
        "3": ["-f", str(file)],
        "4": ["--", "-- behind two dashes\nselect 4 as n"],
        "5": ["--no blank\nselect 5 as n", "--workspace", str(bank)],
    }
    for number, arguments in calls.items():
        assert ask("--format", "csv", *arguments) == (0, f"n\n{number}\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-f", "missing.sql"], "'missing.sql' does not exist"),
        ([], "say one statement"),
        (["select 1", "-f", "cdp.yml"], "say one statement"),
        (["-f", "latin.sql"], "latin.sql: the statement cannot be read as UTF-8 text"),
        (["select 1", "--formt", "csv"], "No such option"),
        (["select 1", "select 2"], "unexpected extra argument"),
    ],
)
def test_a_wrong_call_is_a_sentence(bank, ask, arguments, sentence):
    (bank / "latin.sql").write_bytes(b"select '\xe9'")
    code, out, err = ask(*arguments)
    assert (code, out) == (2, "") and sentence in err


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("select * from trusted.customer", "no published table is called 'trusted.customer'; did you mean 'trusted.customers'?"),
        ("select * from customers", "there is no table 'customers'; tables are written <database>.<table>"),
        ("select 1; select 2", "there are 2 statements; cdp sql runs one SELECT, DESCRIBE, SUMMARIZE or SHOW"),
        ("", "there is no statement to run; cdp sql runs one SELECT, DESCRIBE, SUMMARIZE or SHOW"),
        ("copy (select 1) to 'x'", "this is COPY; cdp sql runs one SELECT, DESCRIBE, SUMMARIZE or SHOW"),
        ("pivot trusted.customers on kind", "PIVOT has to name the values that become columns: PIVOT … ON … IN (…)"),
        ("select nothing from trusted.customers", "the SQL failed: Binder Error"),
        ("select " + "(" * 5000 + "1" + ")" * 5000, "the SQL"),
        ("select " + "+".join(["1"] * 900), "the SQL is nested too deep to be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_says_what_can(ask, statement, sentence):
    code, out, err = ask(statement)
    assert (code, out) == (2, "") and err.startswith(f"cdp: {sentence}") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("select count(*) from trusted.customers", "2"),
        ("from trusted.customers select source_key order by all", "1|2"),
        ("with c as (from trusted.customers), d as (from c) select count(*) from d", "2"),
        ("with recursive r(n) as (select 1 union all select n + 1 from r where n < 3) select max(n) from r", "3"),
        ("select max(i) from range(4) t(i)", "3"),
        ("select a + b from (values (1, 2)) t(a, b)", "3"),
        ("select unnest([1, 2]) as n order by n", "1|2"),
        ("select count(*) from trusted.customers a join trusted.customers b using (source, source_key)", "2"),
        ("select row_number() over (order by source_key) from trusted.customers order by 1", "1|2"),
        ("select kind, \"1\" from (select kind, source_key from trusted.customers) pivot (count(*) for source_key in ('1'))", "customer,1"),
        ("select list_sum(list_transform([1, 2], lambda x: x + 1)), split_part('a-b', '-', 2)", "5,b"),
        ("select now() is null, current_date is null, random() > 2", "False,False,False"),
        ("select source_key from TRUSTED.Customers except select '1'", "2"),
        ("select count(*) from trusted.customers where _arrived_on is null", None),
        ("select lower(md5('a')) = md5('a')", "True"),
    ],
)  # fmt: skip
def test_a_question_is_answered(ask, statement, rows):
    code, out, err = ask("--format", "csv", statement)
    if rows is None:
        assert code == 2 and "_arrived_on" in err
    else:
        assert (code, out.splitlines()[1:]) == (0, rows.split("|")), err


@pytest.mark.parametrize("statement", ["describe trusted.customers", "summarize trusted.customers"])
def test_a_table_is_described_and_summarised(ask, statement):
    code, out, _ = ask("--format", "json", statement)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and rows[0]["column_name"] == "source"
    assert not any(value in out for value in PRIVATE)


@pytest.mark.parametrize(
    "statement",
    ["show tables", "show all tables", "select table_schema, table_name from information_schema.tables order by all"],
)  # fmt: skip
def test_the_published_tables_are_listed_with_their_databases(ask, statement):
    code, out, _ = ask("--format", "csv", statement)
    assert code == 0 and out.splitlines()[1:] == [
        "identity,memberships", "landing,members", "quality,refused_rows", "trusted,customers",
        "trusted,identifier_observations",
    ]  # fmt: skip


def test_the_columns_of_all_published_tables_are_listed(ask):
    statement = (
        "select column_name from information_schema.columns where table_name = 'members' order by 1 limit 3"
    )
    assert ask("--format", "csv", statement)[1].split() == ["column_name", "_arrived_on", "_extra", "_feed"]


@pytest.mark.parametrize(
    "statement",
    [
        f"select value from {VALUES}", f"select * from {VALUES}", f"select v from (select value as v from {VALUES})",
        f"select t from {VALUES} t", f"select substr(value, 1, 20), reverse(value), value[1:12] from {VALUES}",
        f"select regexp_extract_all(value, '[0-9]') from {VALUES}", f"select string_agg(value) from {VALUES}",
        f"select min(value), max(value), any_value(value), mode(value), histogram(value) from {VALUES}",
        f"summarize {VALUES}", f"select columns('val.*') from {VALUES}", f"select to_json(t) from {VALUES} t",
        f"select cast(value as blob), encode(value), hex(value), base64(encode(value)) from {VALUES}",
        f"select error_free from (select try_cast(value as bigint) as error_free from {VALUES})",
        f"select cast(value as bigint) from {VALUES}", f"select value from {VALUES} union all select full_name from trusted.customers",
        "select full_name from trusted.customers", "select * from trusted.customers",
        "select raw_text from quality.refused_rows", "select * from quality.refused_rows", "select * from landing.members",
        "select no, mobile, name from landing.members", "select list(m) from landing.members m",
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_no_identifier_is_shown(ask, statement, form):
    _, out, err = ask("--format", form, statement)
    shown = out + err
    assert not any(value in shown or value[:7] in shown for value in (*PHONES, *NAMES, RAW))
    hexes = [value.encode().hex() for value in PHONES]
    assert not any(value in shown.lower() for value in hexes)


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        (f"value = '{PHONES[0]}'", 0), ("value like '138%'", 0), ("value like '%138%' and length(value) = 11", 0),
        (f"hash(value) = hash('{PHONES[0]}')", 0), (f"md5(value) = md5('{PHONES[0]}')", 0),
        ("starts_with(value, 'masked:')", 2), ("length(value) = 23", 2), ("value is null", 0),
        (f"value in (select 'masked:' || left(sha256('{PHONES[0]}'), 16))", 0),
    ],
)  # fmt: skip
def test_a_condition_meets_the_pseudonym_and_not_the_value(ask, condition, count):
    code, out, _ = ask("--format", "csv", f"select count(*) from {VALUES} where {condition}")
    assert (code, out.split()[1]) == (0, str(count))


def test_equal_values_are_equal_within_one_answer_and_not_across_two(ask):
    joined = (
        f"select v._row, m._row from {VALUES} v join landing.members m on v.value = m.mobile order by all"
    )
    assert ask("--format", "csv", joined)[1].split() == ["_row,_row", "1,1", "2,2"]
    one, other = (ask("--format", "csv", f"select value from {VALUES} order by source_key")[1] for _ in "12")
    assert one != other and len(set(one.split()) | set(other.split())) == 5


def test_what_was_masked_is_said_and_only_then(ask):
    _, _, err = ask(f"select value from {VALUES}")
    assert err == f"(2 rows)\n(masked: {VALUES}.value; --reveal REASON shows the values)\n"
    assert ask(f"select namespace from {VALUES}")[2] == "(2 rows)\n"


def test_values_are_revealed_with_a_reason_that_is_recorded(bank, ask):
    statement = f"select value, c.full_name from {VALUES} join trusted.customers c using (source, source_key) order by 1"
    code, out, err = ask("--reveal", " case 4711, 回访 ", "--format", "csv", statement)
    assert code == 0 and out.split("\n")[1:3] == [
        f"{PHONES[0]},{NAMES[0]}",
        f"{PHONES[1]},{NAMES[1]}",
    ]
    assert ask("--reveal", "another case", "select raw_text from quality.refused_rows")[1].find(RAW) > 0
    file = bank / "audit" / "reveals.jsonl"
    first, second = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    assert first["reason"] == "case 4711, 回访" and second["tables"] == ["quality.refused_rows"]
    assert first["tables"] == [VALUES, "trusted.customers"]
    assert (first["business_date"], first["run_id"]) == ("2026-11-18", "run-1")
    assert set(first) == {"revealed_at", "user", "reason", "business_date", "run_id", "tables"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first["user"] in err and "case 4711" in err
    assert not any(value in err or value in file.read_text(encoding="utf-8") for value in PRIVATE)


def test_only_a_role_that_may_reveal_reveals_where_one_is_named(bank, ask, tmp_path):
    statement = f"select value from {VALUES}"
    roles = bank / "roles.yml"
    roles.write_text("roles: {lead: {users: [nobody], may: [approve]}}")
    assert ask("--reveal", "case", statement)[0] == 0, "no role names the right, so a reason is enough"
    roles.write_text("roles: {privacy: {users: [nobody], may: [reveal]}}")
    code, out, err = ask("--reveal", "case", statement)
    assert (code, out) == (2, "") and "that may reveal: privacy; this is recorded" in err
    assert run(["sql", "--export", str(tmp_path / "x.duckdb"), "--reveal", "case"]) == 2
    assert not (tmp_path / "x.duckdb").exists()
    roles.write_text(f"roles: {{privacy: {{users: [{operating_user()}], may: [reveal]}}}}")
    assert ask("--reveal", "case", statement)[0] == 0
    lines = [json.loads(line) for line in (bank / "audit" / "reveals.jsonl").read_text().splitlines()]
    assert [line.get("refusal") for line in lines] == [None, "role", "role", None]


def test_roles_that_are_no_file_reveal_to_nobody(bank, ask):
    roles = bank / "roles.yml"
    for make, remove in (
        (lambda: roles.symlink_to("nowhere"), roles.unlink),
        (roles.mkdir, roles.rmdir),
        (lambda: os.mkfifo(roles), roles.unlink),
    ):
        make()
        code, out, err = ask("--reveal", "case", f"select value from {VALUES}")
        assert (code, out) == (2, "") and "roles.yml" in err and "Traceback" not in err
        remove()


def look_ups(bank):
    file = bank / "audit" / "lookups.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize(
    ("statement", "one_ids"),
    [
        (f"select source_key, 7 as one_id from {VALUES}", [7]),
        (f"from {VALUES}", []),
        (f"select count(*) from {VALUES} where SOURCE_KEY = 'c1'", []),
        (f"select source_key as who, 7 as one_id from {VALUES} limit 1", [7]),
        (f"with m as (select * from {VALUES}) select count(*) from m", []),
        (
            f"select range as one_id, source_key from range(1001), (select source_key from {VALUES} limit 1)",
            [],
        ),
        (f"summarize {VALUES}", []),
    ],
)
def test_a_statement_that_tells_people_apart_is_a_look_up(bank, ask, statement, one_ids):
    code, out, _ = ask(statement, "--format", "json")
    assert code == 0
    (line,) = look_ups(bank)
    assert (line["command"], line["tables"], line["is_revealed"]) == ("sql", [VALUES], False)
    assert (line["one_ids"], line["rows"]) == (one_ids, len(out.splitlines()))
    assert set(line) == {
        "looked_up_at", "user", "command", "business_date", "run_id", "is_revealed", "one_ids", "tables", "rows",
    }  # fmt: skip
    assert not [value for value in PRIVATE if value in json.dumps(line, ensure_ascii=False)]


@pytest.mark.parametrize(
    "statement", [f"select count(*), source from {VALUES} group by 2", "show tables", "select 1"]
)
def test_a_statement_about_nobody_is_none(bank, ask, statement):
    assert ask(statement)[0] == 0 and look_ups(bank) == []


@pytest.mark.parametrize(
    "statement",
    [
        f"select t from {VALUES} t",
        f"select x[1] from (select list(t) x from {VALUES} t)",
        f"select #2 from {VALUES}",
        f"select a, b from {VALUES} x(a, b)",
        f"with x(a, b) as (from {VALUES}) select b from x",
        f"select count(*) from {VALUES} x(a, b) where b = 'nobody'",
        f"select count(*) from {VALUES} a join trusted.customers b using (source, source_key)",
        f"select count(*) from {VALUES} natural join trusted.customers",
        f"select columns('.*key') from {VALUES}",
        f"select v from (unpivot {VALUES} on source_key into name n value v)",
        f"summarize {VALUES}",
    ],
)
def test_a_column_is_read_by_whatever_name_a_statement_has_for_it(bank, ask, statement):
    code, _, err = ask(statement)
    assert code == 0, err
    assert [line["command"] for line in look_ups(bank)] == ["sql"]


@pytest.mark.parametrize(
    "statement",
    [
        f"select cast(string_agg(source_key || '.') as date) from {VALUES}",
        "select cast(kind as int) from trusted.customers",
        f"select cast(t as struct(a date)) from (select {{'a': source_key || 'x'}} t from {VALUES})",
        f"select cast(source_key || 'x' as decimal(3, 1)) from {VALUES}",
        f"select strptime(source_key || 'x', '%Y') from {VALUES}",
        f"select json_extract(source_key || '{{', '$.a') from {VALUES}",
        f"select regexp_matches('a', '(' || source_key) from {VALUES}",
        f"select (select source_key from {VALUES}) = 'a' and cast(source_key || '-' as int) > 0 from {VALUES}",
    ],
)
@pytest.mark.parametrize("words", [(), ("--reveal", "case 1")])
def test_no_row_leaves_by_an_error_and_who_was_met_is_recorded(bank, ask, caplog, statement, words):
    code, out, err = ask(*words, statement)
    assert (code, out) == (2, "")
    assert re.fullmatch(
        r"cdp: the SQL failed on a value that it met \(\w+\); which one is not told, [\w ,.(…)]+",
        err.splitlines()[-1],
    ), err
    assert not [value for value in PRIVATE if value in err + caplog.text]
    assert len(look_ups(bank)) == (not words and "source_key" in statement)


def test_a_look_up_that_cannot_be_recorded_shows_nobody(bank, ask):
    (bank / "audit").write_text("no folder")
    code, out, err = ask(f"select source_key from {VALUES}")
    assert (code, out) == (1, "") and "cannot be recorded, so nothing is shown" in err


def test_a_reveal_without_a_reason_or_a_record_shows_nothing(bank, ask):
    statement = f"select value from {VALUES}"
    code, out, err = ask("--reveal", "  ", statement)
    assert (code, out, err) == (2, "", "cdp: --reveal has to say why the values are needed\n")
    record = bank / "audit" / "reveals.jsonl"
    record.parent.mkdir()
    (bank / "elsewhere").write_text("of somebody else")
    for place in ("/dev/null", "../elsewhere"):
        record.symlink_to(place)
        code, out, err = ask("--reveal", "case 1", statement)
        assert (code, out) == (1, "") and "the reveal cannot be recorded, so nothing is shown" in err
        record.unlink()
    assert (bank / "elsewhere").read_text() == "of somebody else"


def test_lookups_of_many_commands_at_once_stay_whole_lines(bank):
    settings = load_settings(bank)
    publication = newest_publication(settings)

    def look_up(number):
        return record_lookup(settings, f"command {number}", publication, range(5_000))

    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(look_up, range(64)))
    lines = (bank / "audit" / "lookups.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["command"] for line in lines) == sorted(e["command"] for e in entries)


def test_the_user_of_a_reveal_is_not_taken_from_the_environment(bank, ask, monkeypatch):
    for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "somebody else")
    ask("--reveal", "case 1", f"select value from {VALUES}")
    assert "somebody else" not in (bank / "audit" / "reveals.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("attack", ["from read_parquet('{parquet}')", "copy (select 1) to '{bank}/x.csv'"])
def test_a_reveal_opens_no_other_door(bank, ask, attack):
    code, out, _ = ask(
        "--reveal", "case 1", attack.replace("{bank}", str(bank)).replace("{parquet}", str(parquet(bank)))
    )
    assert (code, out) == (2, "") and not (bank / "audit").exists()
