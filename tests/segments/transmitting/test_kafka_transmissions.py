"""What a consumer rebuilds from a topic of a real broker after nights of trouble is exactly the audience, and nobody who withdrew."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kafka_broker import PASSWORD, held, records_of
from segment_bank import D, lake_of, publish, read_tags, write_tags
from transmitting_bank import NEXT, destinations_json, prepare, rejects, released, send, withdraw

from delivery.endpoints import kafka as endpoints
from delivery.transmission.books import Books
from jobs.cli import run
from jobs.night import recall as recall_job
from jobs.night import transmitting
from jobs.night.writing import LakeWriter
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.query.published import publications
from lakehouse.settings.settings import load_settings

pytestmark = pytest.mark.slow
CONSUMER = Path(__file__).resolve().parents[3] / "examples" / "consumers" / "python" / "consume_topic.py"
ON_THE_DAY = dt.datetime(2026, 11, 19, tzinfo=dt.UTC)


@pytest.fixture
def prefix(request) -> str:
    """A prefix of topics that no other test has."""
    return re.sub("[^A-Za-z0-9]+", "-", request.node.name[5:90]) + "."


@pytest.fixture
def bank(evening, tmp_path, kafka_broker, monkeypatch, prefix):
    """The lake of a bank whose engine reads a topic of the broker."""
    prepare(monkeypatch)
    monkeypatch.setenv("CDP_SECRET_ENGINE_PASSWORD", PASSWORD)
    folder = tmp_path / "bank"
    shutil.copytree(evening, folder)
    place = {"brokers": [f"127.0.0.1:{kafka_broker.ports['SASL']}"], "topic_prefix": prefix, "user": "writer",
             "password_secret": "engine_password", "plain_connection": True, "networks": ["127.0.0.0/8"], "batch_rows": 2,
             "create_topics": {"partitions": 2, "replication_factor": 1, "min_insync_replicas": 1},
             "timeout_seconds": 60, "give_up_after_seconds": 120}  # fmt: skip
    text = destinations_json({"kind": "kafka", "description": "the stream", "ceiling": "C2", "kafka": place})
    (folder / "destinations.yml").write_text(text, encoding="utf-8")
    if not kafka_broker.is_up:
        kafka_broker.start()
    kafka_broker.allow(prefix)
    return lake_of(load_settings(folder))


@pytest.fixture
def consumed(bank, kafka_broker, prefix):
    """A function that gives balance by recipient_key as a consumer holds it who read the topic from its beginning."""
    key = bank.settings.secret("verification_key_engine")

    def function(at: dt.datetime = ON_THE_DAY) -> dict[str, str]:
        return {
            person: row["balance"] for person, row in held(kafka_broker, f"{prefix}rich", key, at).items()
        }

    return function


def publish_next(bank, day: dt.date = NEXT, *, more: int = 1, without: int = 3) -> None:
    """Let a night be published on which one person changed and one left."""
    people = [
        {**row, "balance": row["balance"] + more} if row["one_id"] == 1 else row
        for row in read_tags()
        if row["one_id"] != without
    ]
    write_tags(bank, people, day)
    publish(bank, day)


def owners(bank) -> dict[int, str]:
    return {row["one_id"]: row["recipient_key"] for row in bank.read_arrow("segments.recipients").to_pylist()}


def test_a_topic_gets_the_audience_and_the_next_night_what_changed(bank, kafka_broker, prefix, consumed):
    (one,) = send(bank)
    assert (one.status, one.accepted, one.rejected, one.withheld) == ("SENT", 3, 0, 0), one.message
    assert consumed() == released(bank) and len(released(bank)) == 3
    assert send(bank) == ()
    before = len([r for r in records_of(kafka_broker, f"{prefix}rich") if r.key != b"_run"])
    publish_next(bank)
    (two,) = send(bank, NEXT)
    assert (two.status, two.accepted) == ("SENT", 2), "one who left, one who changed"
    assert consumed() == released(bank)
    after = len([r for r in records_of(kafka_broker, f"{prefix}rich") if r.key != b"_run"])
    assert after - before == 2


def test_five_nights_of_trouble_end_in_the_standing_run(bank, consumed, monkeypatch):
    # A kill between two batches.
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        take = endpoints._Topic.take

        def die(topic, cluster, shipment, number, rows):
            if number == 2:
                raise KeyboardInterrupt
            return take(topic, cluster, shipment, number, rows)

        patch.setattr(endpoints._Topic, "take", die)
        send(bank)
    (one,) = send(bank)
    assert one.status == "SENT" and consumed() == released(bank)
    # An answer that was lost, and a person who withdrew between decision and delivery.
    publish_next(bank)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Books, "end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        send(bank, NEXT)
    key = withdraw(bank, 1)
    (two,) = send(bank, NEXT)
    assert (two.status, two.withheld) == ("SENT", 1)
    assert consumed().keys() == released(bank).keys() - {key} and (key, "WITHDRAWN") in rejects(bank)
    # A night in which nobody was told, then two nights whose runs arrive at once.
    third, fourth = NEXT + dt.timedelta(days=1), NEXT + dt.timedelta(days=2)
    publish_next(bank, third, without=2)
    publish_next(bank, fourth, without=99)
    monkeypatch.setattr(transmitting, "now", lambda: dt.datetime(2026, 11, 21, 1, tzinfo=dt.UTC))
    (three,) = send(bank, fourth)
    assert three.status == "SENT" and consumed() == released(bank) and key not in released(bank)


@pytest.mark.parametrize("when", ["at once", "the next night"])
def test_a_recall_reaches_the_topic_and_the_consumer_holds_nobody_any_more(
    bank, kafka_broker, prefix, tmp_path, monkeypatch, when
):
    key_file, memory = tmp_path / "key", tmp_path / "memory.json"
    key_file.write_bytes(bank.settings.secret("verification_key_engine"))

    def consume():
        words = [f"{prefix}rich", "--brokers", kafka_broker.open_address(), "--key-file", key_file, "--memory", memory,
                 "--at", ON_THE_DAY.isoformat()]  # fmt: skip
        process = subprocess.run(
            [sys.executable, CONSUMER, *map(str, words)], capture_output=True, text=True, check=False
        )
        parts = json.loads(memory.read_text())["state"].values()
        return (
            process.returncode,
            json.loads(process.stdout),
            {person for part in parts for person in part["rows"]},
        )

    @contextlib.contextmanager
    def hold_lake(settings, purpose):
        yield LakeWriter(bank, tuple(publications(settings)), lambda pid: None)

    make_visible(bank, D, "first", {})
    assert send(bank)[0].status == "SENT"
    people = set(released(bank))
    code, answer, held_people = consume()
    assert (code, answer["people"], held_people) == (0, 3, people)

    (bank.settings.workspace / "roles.yml").write_text("roles: {lead: {users: [wang], may: [recall]}}\n")
    monkeypatch.setattr("jobs.report.reveals.operating_user", lambda: "wang")
    monkeypatch.setattr(recall_job, "hold_lake", hold_lake)
    words = [
        "segments",
        "recall",
        "rich",
        "--role",
        "lead",
        "--reason",
        "wrong rate",
        "--workspace",
        str(bank.settings.workspace),
    ]
    assert run([*words, "--now"] if when == "at once" else words) == 0
    if when == "the next night":
        assert consume()[2] == people, "nothing is sent before the night"
        write_tags(bank, read_tags(), NEXT)
        publish(bank, NEXT)
        (sending,) = send(bank, NEXT)
        assert (sending.status, sending.accepted) == ("SENT", 3), sending.message
    code, answer, held_people = consume()
    assert (code, answer["outcome"], answer["people"], held_people) == (0, "whole", 0, set())
    exits = [
        r
        for r in records_of(kafka_broker, f"{prefix}rich")
        if r.key != b"_run" and dict(r.headers)["op"] == b"EXIT"
    ]
    assert {r.key.decode() for r in exits} == people and all(r.value is None for r in exits)
    assert send(bank, NEXT if when == "the next night" else D) == (), "it is recalled once"
