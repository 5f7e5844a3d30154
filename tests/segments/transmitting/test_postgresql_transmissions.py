"""What a table of a real PostgreSQL server holds after nights of trouble is exactly the audience, and nobody who withdrew."""

from __future__ import annotations

import shutil

import pytest
from segment_bank import lake_of, publish, read_tags, write_tags
from transmitting_bank import NEXT, destinations_json, prepare, rejects, released, send, withdraw

from delivery.transmission.books import Books
from lakehouse.settings.settings import load_settings

pytestmark = pytest.mark.slow
PASSWORD = "a password for tests only"


@pytest.fixture
def bank(evening, tmp_path, postgresql, monkeypatch):
    """The lake of a bank whose engine is a fresh schema of the server."""
    prepare(monkeypatch)
    monkeypatch.setenv("CDP_SECRET_ENGINE_PASSWORD", PASSWORD)
    folder = tmp_path / "bank"
    shutil.copytree(evening, folder)
    place = {"host": "127.0.0.1", "port": postgresql.port, "database": "postgres", "user": "writer", "schema_name": "audiences",
             "password_secret": "engine_password", "plain_connection": True, "networks": ["127.0.0.0/8"], "batch_rows": 2,
             "timeout_seconds": 10, "give_up_after_seconds": 1}  # fmt: skip
    text = destinations_json(
        {"kind": "postgresql", "description": "the warehouse", "ceiling": "C2", "postgresql": place}
    )
    (folder / "destinations.yml").write_text(text, encoding="utf-8")
    if not postgresql.is_up:
        postgresql.start()
    postgresql.sql(
        "do $$ begin if not exists (select from pg_roles where rolname = 'writer') then"
        f" create role writer login password '{PASSWORD}'; end if; end $$;"
        "drop schema if exists audiences cascade; create schema audiences authorization writer;"
    )
    return lake_of(load_settings(folder))


def held(postgresql) -> dict[str, str]:
    return dict(postgresql.sql("select recipient_key, balance from audiences.rich"))


def owners(bank) -> dict[str, int]:
    return {row["recipient_key"]: row["one_id"] for row in bank.read_arrow("segments.recipients").to_pylist()}


def publish_next(bank) -> None:
    """Let the night after D be published, on which one person changed and one left."""
    people = [
        {**row, "balance": row["balance"] + 1} if row["one_id"] == 1 else row
        for row in read_tags()
        if row["one_id"] != 3
    ]
    write_tags(bank, people, NEXT)
    publish(bank, NEXT)


def test_a_table_gets_the_audience_and_the_next_night_what_changed(bank, postgresql):
    (one,) = send(bank)
    assert (one.status, one.accepted, one.rejected, one.withheld) == ("SENT", 3, 0, 0)
    assert held(postgresql) == released(bank) and len(released(bank)) == 3
    assert send(bank) == ()
    publish_next(bank)
    (two,) = send(bank, NEXT)
    assert (two.status, two.accepted) == ("SENT", 2), "one who left, one who changed"
    assert held(postgresql) == released(bank)
    runs = postgresql.sql("select count(distinct _run_id) from audiences.rich")
    assert runs == [["2"]], "who did not change has the run that set the row"


def test_who_withdraws_is_not_sent_and_leaves_also_after_a_killed_attempt(bank, postgresql, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Books, "end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        send(bank)
    assert held(postgresql) == released(bank), "it arrived, and nobody knows"
    key = withdraw(bank, 1)
    (one,) = send(bank)
    assert (one.status, one.withheld) == ("SENT", 1)
    assert held(postgresql).keys() == released(bank).keys() - {key} and rejects(bank) == [(key, "WITHDRAWN")]


def test_rows_that_are_refused_are_kept_with_their_code_and_asked_again_by_the_next_run(bank, postgresql):
    send(bank)
    publish_next(bank)
    keys = {one_id: key for key, one_id in owners(bank).items()}
    postgresql.sql(
        f"alter table audiences.rich add constraint odd check (recipient_key <> '{keys[1]}' or balance < 1) not valid"
    )
    (two,) = send(bank, NEXT)
    assert (two.status, two.rejected) == ("PARTIAL", 1) and rejects(bank) == [(keys[1], "CHECK_VIOLATION")]
    assert send(bank, NEXT) == (), "what was answered is final for this run"
    postgresql.sql("alter table audiences.rich drop constraint odd")
    later = NEXT.replace(day=NEXT.day + 1)
    write_tags(bank, [row for row in read_tags() if row["one_id"] != 3], later)
    publish(bank, later)
    (three,) = send(bank, later)
    assert three.status == "SENT" and held(postgresql) == released(bank)


def test_a_table_that_was_emptied_or_dropped_is_filled_again(bank, postgresql, caplog):
    send(bank)
    publish_next(bank)
    postgresql.sql("truncate audiences.rich")
    (two,) = send(bank, NEXT)
    assert two.status == "SENT" and held(postgresql) == released(bank)
    assert "engine no longer has what was sent there of segment rich: all of it is sent again" in caplog.text
    postgresql.sql("drop schema audiences cascade; create schema audiences authorization writer")
    later = NEXT.replace(day=NEXT.day + 1)
    write_tags(bank, read_tags(), later)
    publish(bank, later)
    (three,) = send(bank, later)
    assert three.status == "SENT" and held(postgresql) == released(bank)


def test_a_database_that_is_down_stops_no_night_and_gets_it_all_later(bank, postgresql):
    send(bank)
    publish_next(bank)
    postgresql.stop()
    (two,) = send(bank, NEXT)
    assert (two.status, two.accepted) == ("FAILED", 0) and "did not answer" in two.message
    assert str(postgresql.port) not in two.message
    postgresql.start()
    (three,) = send(bank, NEXT)
    assert three.status == "SENT" and held(postgresql) == released(bank)


def test_a_table_of_somebody_else_is_left_alone_in_one_sentence(bank, postgresql, caplog):
    postgresql.sql("create table audiences.rich (name text); insert into audiences.rich values ('Ann')")
    (one,) = send(bank)
    assert (one.status, one.accepted) == ("FAILED", 0)
    assert one.message == (
        "the table rich has other columns than it must have: recipient_key is missing; have it altered, or name another schema"
    )
    assert postgresql.sql("select * from audiences.rich") == [["Ann"]] and "Ann" not in caplog.text
