"""Sending to a table of a real PostgreSQL server that fails on purpose: the end is exact, and no word of the server comes through."""

from __future__ import annotations

import shutil
import subprocess
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from delivery.endpoints import batches
from delivery.endpoints import postgresql as endpoints
from delivery.endpoints.outcome import EndpointFailed, Shipment
from delivery.endpoints.settings import PostgresqlSettings

PASSWORD = "a password for tests only"
KEYS = [f"{number:032x}" for number in range(1, 8)]
COLUMNS = {
    "tier": ("string", [f"T{number}" for number in range(7)]),
    "balance": ("decimal(18,2)", [Decimal(number) for number in range(7)]),
    "order": ("int", list(range(7))),
    "born": ("date", [date(1980, 1, 1 + number) for number in range(7)]),
    "habits": ("array<string>", [["a|b", "ä\\"], [], None, ['"'], ["x"], [None], ["'"]]),
    "share": ("double", [0.1, float("nan"), float("inf"), None, -0.5, 1e300, 2.0]),
    "is_staff": ("boolean", [True, False, None] * 2 + [True]),
}
ARROW = {"string": pa.string(), "decimal(18,2)": pa.decimal128(18, 2), "int": pa.int32(), "date": pa.date32(),
         "array<string>": pa.list_(pa.string()), "double": pa.float64(), "boolean": pa.bool_()}  # fmt: skip


def shipment(*, attempt=1, segment="rich", columns=COLUMNS, op="ENTER", keys=KEYS, **more) -> Shipment:
    schema = [{"name": "recipient_key", "type": "string", "level": "C2"}]
    schema += [{"name": name, "type": kind, "level": "C1"} for name, (kind, _) in columns.items()]
    manifest = {"destination": "warehouse", "segment": segment, "version": "1.0.0", "purpose": "marketing", "run_id": "abc",
                "seq": 1, "as_of": "2026-11-18", "valid_until": "2026-11-20T06:00:00+08:00", "schema": schema,
                "key": {"key_id": "0123456789abcdef"}, **more}  # fmt: skip
    values = {name: pa.array(cells, ARROW[kind]) for name, (kind, cells) in columns.items()}
    rows = pa.table({"op": [op] * 7, "recipient_key": KEYS, **values})
    return Shipment(manifest, "hash", attempt, rows.filter(pa.array([key in keys for key in KEYS])))


@pytest.fixture
def place(postgresql, monkeypatch):
    """The server with a fresh schema that the writer may use."""
    monkeypatch.setattr(batches, "FIRST_PAUSE", 0.02)
    if not postgresql.is_up:
        postgresql.start()
    postgresql.sql(
        "do $$ begin if not exists (select from pg_roles where rolname = 'writer') then"
        f" create role writer login password '{PASSWORD}'; end if; end $$;"
        "drop schema if exists audiences cascade; create schema audiences authorization writer;"
    )
    return postgresql


@pytest.fixture
def make_endpoint(place):
    def make(password=PASSWORD, certificates=None, **changes):
        settings = {"host": "127.0.0.1", "port": place.port, "database": "postgres", "user": "writer",
                    "password_secret": "writer", "schema_name": "audiences", "plain_connection": True,
                    "networks": ["127.0.0.0/8", "::1/128"], "batch_rows": 3, "timeout_seconds": 10, **changes}  # fmt: skip
        return endpoints.PostgresqlEndpoint(PostgresqlSettings(**settings), password.encode(), certificates)

    return make


@pytest.fixture
def send(make_endpoint):
    def function(one: Shipment, seconds: float = 30, **changes):
        return make_endpoint(**changes).send(one, deadline=time.monotonic() + seconds)

    return function


def there(place, columns="recipient_key, tier", table="audiences.rich") -> list[list[str]]:
    return place.sql(f"select {columns} from {table} order by 1")


def table_of(one: Shipment) -> str:
    """Give the statement that makes the table of a shipment, as its documentation says it."""
    shape = ", ".join(
        f'"{c["name"]}" {endpoints._type(c["name"], c["type"])}'
        for c in one.manifest["schema"]
        if c["name"] != "recipient_key"
    )
    return f'create table audiences.rich (recipient_key text primary key, {shape}, "_run_id" text not null); grant all on audiences.rich to writer;'


pytestmark = pytest.mark.slow
ALL = [[key, f"T{number}"] for number, key in enumerate(KEYS)]


def test_an_audience_arrives_with_its_types_and_the_same_again_changes_nothing(place, send):
    outcome = send(shipment())
    assert (outcome.answers, outcome.trials, outcome.rejects, outcome.failure) == (7, 7, {}, None)
    rows = there(place, 'tier, balance, "order", born, habits, share, is_staff, _run_id')
    assert rows[0] == ["T0", "0.00", "0", "1980-01-01", '{a|b,"ä\\\\"}', "0.1", "t", "abc"]
    assert rows[1][4:6] == ["{}", "NaN"] and rows[2][4:] == ["", "Infinity", "", "abc"]
    marks = there(place, "recipient_key, xmin")
    assert send(shipment(attempt=2, run_id="later")).failure is None
    assert there(place, "recipient_key, xmin") == marks, "a row that has its values stays as it is"
    names = "destination, run_id, seq, as_of, manifest_sha256, is_complete, people, attempt"
    assert there(place, names, "audiences._cdp_audiences") == [
        ["warehouse", "later", "1", "2026-11-18", "hash", "t", "7", "2"]
    ]


def test_tables_that_the_database_team_makes_by_the_page_need_four_rights_alone(place, send):
    page = (Path(__file__).resolve().parents[2] / "docs" / "consume-an-audience.md").read_text(
        encoding="utf-8"
    )
    sql = page.partition("## Audiences in a database")[2].partition("```sql\n")[2].partition("```")[0]
    place.sql("drop schema audiences; create schema audiences; grant usage on schema audiences to writer;")
    place.sql(sql.replace(" TO cdp;", " TO writer;"))
    columns = {"variant": ("string", ["A"] * 7), "aum_tier": COLUMNS["tier"], "balance": COLUMNS["balance"]}
    outcome = send(shipment(segment="wealth_maturity_rollover", columns=columns))
    assert (outcome.answers, outcome.failure) == (7, None)
    assert send(shipment(segment="another")).failure == "the user may not do that there (it answered 42501)"


def test_who_leaves_is_removed_and_a_row_of_somebody_else_stays(place, send):
    send(shipment())
    place.sql(
        "insert into audiences.rich (recipient_key, tier, _run_id) values ('of the warehouse', 'T9', 'own')"
    )
    outcome = send(shipment(attempt=2, op="EXIT", keys=KEYS[2:]))
    assert (outcome.answers, outcome.rejects, outcome.failure) == (5, {}, None)
    assert there(place) == [*ALL[:2], ["of the warehouse", "T9"]]


REFUSALS = {
    "a check": ("alter table audiences.rich add check (\"order\" not in (1, 5))", "CHECK_VIOLATION"),
    "a check at the end": (
        "create table tiers (tier text primary key); insert into tiers values ('T0'), ('T2'), ('T3'), ('T4'), ('T6');"
        "grant references on tiers to writer;"
        "alter table audiences.rich add foreign key (tier) references tiers deferrable initially deferred",
        "FOREIGN_KEY_VIOLATION",
    ),
    "a trigger": (
        "create function audiences.judge() returns trigger language plpgsql as $$ begin if new.\"order\" in (1, 5) then"
        " raise exception 'Mr % may not', new.tier; end if; return new; end $$;"
        "create trigger judge before insert on audiences.rich for each row execute function audiences.judge()",
        "REFUSED_BY_TRIGGER",
    ),
    "silence": (
        "create function audiences.judge() returns trigger language plpgsql as $$ begin if new.\"order\" in (1, 5) then"
        " return null; end if; return new; end $$;"
        "create trigger judge before insert on audiences.rich for each row execute function audiences.judge()",
        "NOT_STORED",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sql", "code"), REFUSALS.values(), ids=REFUSALS)
def test_rows_that_the_database_refuses_have_a_code_and_the_others_are_there(place, send, sql, code):
    place.sql("drop table if exists tiers cascade;" + table_of(shipment()) + sql)
    outcome = send(shipment())
    assert (outcome.answers, outcome.failure) == (7, None)
    assert outcome.rejects == dict.fromkeys((KEYS[1], KEYS[5]), code)
    assert there(place) == [row for row in ALL if row[0] not in outcome.rejects]


def test_a_removal_that_is_refused_or_ignored_has_a_code(place, send):
    send(shipment())
    place.sql(
        "create table audiences.calls (recipient_key text references audiences.rich);"
        f"insert into audiences.calls values ('{KEYS[0]}');"
        "create function audiences.keep() returns trigger language plpgsql as $$ begin if old.tier = 'T1' then return null; end if;"
        " return old; end $$; create trigger keep before delete on audiences.rich for each row execute function audiences.keep()"
    )
    outcome = send(shipment(attempt=2, op="EXIT"))
    assert outcome.rejects == {KEYS[0]: "FOREIGN_KEY_VIOLATION", KEYS[1]: "NOT_REMOVED"}
    assert there(place) == ALL[:2]


def test_a_text_that_no_database_can_hold_costs_its_row_alone(place, send):
    columns = {
        "tier": (
            "string",
            ["T0", "T1", "nul \0 inside", "T3", "T4", "'; drop table audiences.rich; --", "\\"],
        )
    }
    outcome = send(shipment(columns=columns))
    assert outcome.rejects == {KEYS[2]: "SQLSTATE_22P05"} and outcome.failure is None
    assert there(place)[4][1] == "'; drop table audiences.rich; --" and there(place)[5][1] == "\\"


def count_changes(place) -> None:
    place.sql(
        table_of(shipment())
        + "create table audiences.changes (recipient_key text); grant all on audiences.changes to writer;"
        "create function audiences.log() returns trigger language plpgsql as $$ begin"
        " insert into audiences.changes values (new.recipient_key); return new; end $$;"
        "create trigger log after insert or update on audiences.rich for each row execute function audiences.log()"
    )


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_batch_whose_answer_is_lost_is_written_once(place, send, monkeypatch, moment):
    count_changes(place)
    run, commits = endpoints.Connection.run, []

    def lose_one(connection, sql, **values):
        if sql == "COMMIT":
            commits.append(sql)
        is_lost = sql == "COMMIT" and len(commits) == 3
        if is_lost and moment == "before":
            raise endpoints.Error("network error")
        rows = run(connection, sql, **values)
        if is_lost:
            raise endpoints.Error("network error")
        return rows

    monkeypatch.setattr(endpoints.Connection, "run", lose_one)
    outcome = send(shipment())
    assert (outcome.answers, outcome.rejects, outcome.failure) == (7, {}, None)
    assert there(place) == ALL
    assert there(place, table="audiences.changes", columns="recipient_key") == [[key] for key in KEYS]


def test_a_lost_answer_with_rejects_is_remembered(place, send, monkeypatch):
    place.sql(table_of(shipment()) + 'alter table audiences.rich add check ("order" <> 1)')
    run, is_lost = endpoints.Connection.run, []

    def lose_one(connection, sql, **values):
        rows = run(connection, sql, **values)
        if sql == "COMMIT" and not is_lost and there(place):
            is_lost.append(True)
            place.sql("alter table audiences.rich drop constraint rich_order_check")
            raise endpoints.Error("network error")
        return rows

    monkeypatch.setattr(endpoints.Connection, "run", lose_one)
    assert send(shipment()).rejects == {KEYS[1]: "CHECK_VIOLATION"} and is_lost


@pytest.mark.parametrize("answer", ['{"theirs": "NO"}', '{"KEY": "Mr Smith"}', "[]", "garbage"])
def test_an_answer_that_another_hand_wrote_is_not_believed(place, send, monkeypatch, answer):
    run, is_lost = endpoints.Connection.run, []

    def lose_one(connection, sql, **values):
        rows = run(connection, sql, **values)
        if (
            sql == "COMMIT"
            and not is_lost
            and there(place, "count(*)", "audiences._cdp_audiences where batch = 1") == [["1"]]
        ):
            is_lost.append(True)
            text = answer.replace("KEY", KEYS[0])
            place.sql(f"update audiences._cdp_audiences set rejects = '{text}'")
            raise endpoints.Error("network error")
        return rows

    monkeypatch.setattr(endpoints.Connection, "run", lose_one)
    outcome = send(shipment(), seconds=9)
    assert is_lost and outcome.answers == 0 and outcome.rejects == {}
    assert outcome.failure == "what _cdp_audiences says of the last batch cannot be true"


def test_an_attempt_that_is_killed_leaves_whole_batches_and_the_next_one_finishes(place, send, monkeypatch):
    count_changes(place)
    run, commits = endpoints.Connection.run, []

    def die(connection, sql, **values):
        if sql == "COMMIT":
            commits.append(sql)
            if len(commits) == 3:
                raise KeyboardInterrupt
        return run(connection, sql, **values)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(endpoints.Connection, "run", die)
        send(shipment())
    assert there(place) == ALL[:3]
    assert there(place, "is_complete, people", "audiences._cdp_audiences") == [["f", ""]]
    assert send(shipment(attempt=2)).failure is None
    assert there(place) == ALL
    assert there(place, table="audiences.changes", columns="recipient_key") == [[key] for key in KEYS]
    assert there(place, "is_complete, people", "audiences._cdp_audiences") == [["t", "7"]]


def test_a_server_that_is_down_costs_a_bound_of_time_and_takes_all_later(place, send):
    send(shipment(keys=KEYS[:3]))
    place.stop()
    began = time.monotonic()
    outcome = send(shipment(attempt=2), seconds=0.5)
    assert time.monotonic() - began < 30
    assert (outcome.answers, outcome.trials, outcome.is_down) == (
        0,
        0,
        True,
    ) and "did not answer" in outcome.failure
    place.start()
    assert send(shipment(attempt=3)).failure is None and there(place) == ALL


def test_a_connection_that_the_server_ends_is_made_again(place, send, monkeypatch):
    take, ends = endpoints._Table.take, []

    def end(table, connection, one, number, rows):
        if number == 2 and not ends:
            ends.append(
                place.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'writer'")
            )
        return take(table, connection, one, number, rows)

    monkeypatch.setattr(endpoints._Table, "take", end)
    assert send(shipment()).failure is None and there(place) == ALL and ends


def test_a_slow_server_costs_a_bound_of_time_and_takes_all_later(place, send):
    send(shipment(keys=KEYS[:3]))
    psql = ["psql", "-h", str(place.data), "-p", str(place.port), "-U", "postgres", "-c",
            "begin; lock table audiences.rich; select pg_sleep(120)"]  # fmt: skip
    with subprocess.Popen(psql, stdout=subprocess.DEVNULL) as lock:
        while not place.sql(
            "select 1 from pg_stat_activity where query like 'begin; lock%' and wait_event = 'PgSleep'"
        ):
            time.sleep(0.05)
        began = time.monotonic()
        outcome = send(shipment(attempt=2), seconds=0.2, timeout_seconds=1)
        assert time.monotonic() - began < 300
        lock.terminate()
    assert (outcome.answers, outcome.trials, outcome.is_down) == (0, 3, True)
    assert "took too long" in outcome.failure or "did not answer" in outcome.failure
    place.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like 'begin; lock%'")
    assert send(shipment(attempt=3)).failure is None and there(place) == ALL


DOWN = {
    "another password": ("select 1", {"password": "not the password"}, "refused the user or the password (it answered 28P01)"),
    "no database": ("select 1", {"database": "elsewhere"}, "no such database"),
    "no schema": ("select 1", {"schema_name": "elsewhere"}, "no such schema"),
    "no right": ("alter schema audiences owner to postgres", {}, "may not do that"),
    "no connection left": ("alter role writer connection limit 0", {}, "no connection left"),
    "read-only": ("alter role writer set default_transaction_read_only = on", {}, "read-only"),
    "no TLS": ("select 1", {"plain_connection": False}, "it offers no TLS; set plain_connection: true"),
}  # fmt: skip


@pytest.mark.parametrize(("sql", "changes", "words"), DOWN.values(), ids=DOWN)
def test_a_server_that_does_not_let_us_says_why_in_one_sentence(place, send, sql, changes, words):
    place.sql(sql)
    try:
        outcome = send(shipment(), seconds=0.2, **changes)
    finally:
        place.sql("alter role writer connection limit -1; alter role writer reset all")
    assert words in outcome.failure and outcome.answers == outcome.trials == 0
    for secret in (PASSWORD, "not the password", str(place.port), "writer"):
        assert secret not in outcome.failure


def test_a_full_disk_ends_the_attempt_between_batches(place, send):
    place.sql(
        table_of(shipment()) + "create function audiences.fill() returns trigger language plpgsql as $$ begin"
        " if new.tier = 'T4' then raise exception 'no room for %', new.tier using errcode = '53100'; end if; return new; end $$;"
        "create trigger fill before insert on audiences.rich for each row execute function audiences.fill()"
    )
    outcome = send(shipment(), seconds=0.3)
    assert (outcome.answers, outcome.trials, outcome.is_down) == (3, 6, True)
    assert outcome.failure == "its disk is full (it answered 53100)" and there(place) == ALL[:3]
    place.sql("drop trigger fill on audiences.rich")
    assert send(shipment(attempt=2)).failure is None and there(place) == ALL


FOREIGN = {
    "rows": ("insert into audiences.rich (recipient_key, _run_id) values ('theirs', 'x')", "rows that did not come from here"),
    "a missing column": ("alter table audiences.rich drop column tier", "tier is missing"),
    "another type": ("alter table audiences.rich alter column balance type numeric(18,4)", "balance is numeric(18,4) and must be numeric(18,2)"),
    "a column of theirs": ("alter table audiences.rich add column name text", "name is not of the audience"),
    "no key": ("alter table audiences.rich drop constraint rich_pkey", "needs recipient_key as its primary key"),
    "a view": ("alter table audiences.rich rename to real; create view audiences.rich as select * from audiences.real", "is no table"),
    "books of theirs": ("create table audiences._cdp_audiences (segment text primary key)", "destination is missing"),
}  # fmt: skip


@pytest.mark.parametrize(("sql", "words"), FOREIGN.values(), ids=FOREIGN)
def test_a_table_of_somebody_else_is_left_alone(place, send, sql, words):
    place.sql(table_of(shipment()) + sql)
    place.sql("grant all on all tables in schema audiences to writer")
    before = there(place, "count(*)")
    outcome = send(shipment())
    assert words in str(outcome.failure) and not outcome.is_down and outcome.trials == 0
    assert there(place, "count(*)") == before


def test_a_table_of_another_destination_or_of_a_later_attempt_is_left_alone(place, send, make_endpoint):
    send(shipment(attempt=5))
    for one in (shipment(attempt=6, destination="elsewhere"), shipment(attempt=6, key={"key_id": "another"})):
        assert "belongs to another destination" in str(send(one).failure)
        with pytest.raises(EndpointFailed, match="belongs to another destination"):
            make_endpoint().keeps(one.manifest)
    assert "filled by a later attempt" in str(send(shipment(attempt=4, op="EXIT")).failure)
    assert there(place) == ALL


def test_what_was_lost_there_is_noticed(place, send, make_endpoint):
    endpoint, manifest = make_endpoint(), shipment().manifest
    assert not endpoint.keeps(manifest)
    send(shipment())
    assert endpoint.keeps(manifest)
    place.sql(f"delete from audiences.rich where recipient_key = '{KEYS[0]}'")
    assert not endpoint.keeps(manifest)
    place.sql("drop table audiences.rich")
    assert not endpoint.keeps(manifest)


NAMES = ['sel"ect', "user", "x; drop schema audiences cascade; --", ":rows", "$1", "it's", "列", "%s"]


def test_no_name_leaves_its_quotes(place, send):
    hostile = 'we"ird"; drop table public.victim; --'
    place.sql(
        "drop table if exists victim; create table victim (i int); grant all on victim to writer; grant create on database postgres to writer"
    )
    place.sql(
        'drop schema if exists "{0}" cascade; create schema "{0}" authorization writer'.format(
            hostile.replace('"', '""')
        )
    )
    columns = dict.fromkeys(NAMES, ("string", COLUMNS["tier"][1]))
    for segment in ("user", 'a"; drop table public.victim; --'):
        outcome = send(shipment(segment=segment, columns=columns), schema_name=hostile)
        assert (outcome.answers, outcome.failure) == (7, None)
        quoted = ".".join('"' + name.replace('"', '""') + '"' for name in (hostile, segment))
        assert (
            there(place, '"sel""ect", "x; drop schema audiences cascade; --", ":rows"', quoted)[6]
            == ["T6"] * 3
        )
    assert place.sql("select count(*) from victim") == [["0"]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"segment": "s" * 64}, "a longer name than a table"), ({"columns": {"列" * 22: COLUMNS["tier"]}}, "a longer name than a column"),
     ({"columns": {"xmin": COLUMNS["tier"]}}, "it answered 42701")],
)  # fmt: skip
def test_a_name_that_a_database_would_cut_or_has_itself_is_refused(place, send, changes, words):
    assert words in str(send(shipment(**changes)).failure)


def test_a_type_that_no_table_has_is_refused(send):
    one = shipment()
    one.manifest["schema"][1]["type"] = "map<string,string>"
    assert "of a type that no table can have" in send(one).failure


def test_a_certificate_that_nobody_vouches_for_is_refused_and_one_of_the_bank_is_taken(place, send, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine")
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    place.stop()
    files = [place.put(file.name, file.read_bytes()) for file in (key, certificate)]
    place.start("-c ssl=on", f"-c ssl_key_file={files[0]}", f"-c ssl_cert_file={files[1]}")
    try:
        place.sql("alter role writer set default_transaction_read_only = off")
        assert "its certificate is not one that we trust" in send(shipment(), plain_connection=False).failure
        trust = {"plain_connection": False, "certificates": certificate}
        assert "its certificate is not one that we trust" in send(shipment(), **trust).failure, (
            "it is another host's"
        )
        assert send(shipment(), **trust, host="localhost").failure is None and there(place) == ALL
    finally:
        place.stop()
