"""Sending to a topic of a real broker of Kafka that fails on purpose: the end is exact, and no word of the broker comes through."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from kafka.errors import KafkaConnectionError
from kafka_broker import PASSWORD, held, records_of

from delivery.endpoints import batches
from delivery.endpoints import kafka as endpoints
from delivery.endpoints.kafka_clients import ClusterAccess
from delivery.endpoints.outcome import EndpointFailed, Shipment
from delivery.endpoints.settings import KafkaSettings

pytestmark = pytest.mark.slow
KEY = b"a verification key of 16 or more"
KEYS = [f"{number:032x}" for number in range(1, 8)]
COLUMNS = {
    "tier": ("string", [f"T{number}" for number in range(7)]),
    "balance": ("decimal(18,2)", [Decimal(number) for number in range(7)]),
    "born": ("date", [date(1980, 1, 1 + number) for number in range(7)]),
    "habits": ("array<string>", [["a|b", "ä\\"], [], None, ['"'], ["x"], [None], ["'"]]),
    "share": ("double", [0.1, float("nan"), float("inf"), None, -0.5, 1e300, 2.0]),
}
ARROW = {"string": pa.string(), "decimal(18,2)": pa.decimal128(18, 2), "date": pa.date32(),
         "array<string>": pa.list_(pa.string()), "double": pa.float64()}  # fmt: skip


def shipment(
    *, attempt=1, segment="rich", columns=COLUMNS, op="ENTER", keys=KEYS, held_keys=(), **more
) -> Shipment:
    manifest = {"destination": "stream", "segment": segment, "version": "1.0.0", "purpose": "marketing", "run_id": "abc",
                "seq": 1, "as_of": "2026-11-18", "valid_until": "2026-11-20T06:00:00+08:00",
                "key": {"key_id": "0123456789ab"}, **more}  # fmt: skip
    values = {name: pa.array(cells, ARROW[kind]) for name, (kind, cells) in columns.items()}
    rows = pa.table({"op": [op] * 7, "recipient_key": KEYS, **values})
    chosen = rows.filter(pa.array([key in keys for key in KEYS]))
    return Shipment(manifest, "hash", attempt, chosen, frozenset(held_keys))


@pytest.fixture
def prefix(request) -> str:
    """A prefix of topics that no other test has."""
    return re.sub("[^A-Za-z0-9]+", "-", request.node.name[5:120]) + "."


@pytest.fixture
def place(kafka_broker, monkeypatch):
    """The broker, running."""
    monkeypatch.setattr(batches, "FIRST_PAUSE", 0.02)
    if not kafka_broker.is_up:
        kafka_broker.start()
    return kafka_broker


@pytest.fixture
def make_endpoint(place, prefix):
    def make(password=PASSWORD, listener="SASL", certificates=None, client=None, **changes):
        host = "localhost" if listener in ("TLS", "MUTUAL") else "127.0.0.1"
        settings = {"brokers": [f"{host}:{place.ports[listener]}"], "topic_prefix": prefix, "user": "writer", "password_secret": "writer",
                    "plain_connection": listener in ("SASL", "OPEN"), "networks": ["127.0.0.0/8", "::1/128"], "batch_rows": 3,
                    "timeout_seconds": 60, "create_topics": {"partitions": 3, "replication_factor": 1, "min_insync_replicas": 1},
                    **changes}  # fmt: skip
        if settings["user"] is None:
            settings["password_secret"] = None
        certificate, key = client or (None, None)
        access = ClusterAccess(KafkaSettings(**settings), password.encode(), certificates, certificate, key)
        return endpoints.KafkaEndpoint(access, KEY)

    place.allow(prefix)
    return make


@pytest.fixture
def send(make_endpoint):
    def function(one: Shipment, seconds: float = 180, **changes):
        return make_endpoint(**changes).send(one, deadline=time.monotonic() + seconds)

    return function


@pytest.fixture
def there(place, prefix):
    """A function that gives what a consumer of the pages holds: recipient_key → tier. The marks must agree."""

    def function(segment="rich") -> dict[str, str]:
        return {
            key: row["tier"]
            for key, row in held(place, prefix + segment, KEY, datetime(2026, 11, 19, tzinfo=UTC)).items()
        }

    return function


ALL = {key: f"T{number}" for number, key in enumerate(KEYS)}


def test_an_audience_arrives_byte_by_byte_and_the_same_again_changes_nothing(place, prefix, send, there):
    outcome = send(shipment())
    assert (outcome.answers, outcome.trials, outcome.rejects, outcome.failure) == (7, 7, {}, None)
    assert there() == ALL
    records = records_of(place, prefix + "rich")
    first = next(record for record in records if record.key == KEYS[0].encode())
    assert first.value.decode() == (
        f'{{"op":"ENTER","recipient_key":"{KEYS[0]}","tier":"T0","balance":"0.00","born":"1980-01-01","habits":["a|b","ä\\\\"],'
        '"share":0.1,"_run_id":"abc","_seq":1}'
    )
    assert first.headers == [
        ("contract_version", b"audience/v1"),
        ("op", b"ENTER"),
        ("run_id", b"abc"),
        ("seq", b"1"),
        ("batch", b"1"),
    ]
    assert [json.loads(r.value)["share"] for r in records if r.key == KEYS[1].encode()] == ["nan"]
    assert len({record.partition for record in records if record.key != b"_run"}) > 1
    assert send(shipment(attempt=2, run_id="later", held_keys=KEYS)).failure is None
    assert there() == ALL


def test_who_leaves_is_a_tombstone(place, prefix, send, there):
    send(shipment())
    outcome = send(shipment(attempt=2, op="EXIT", keys=KEYS[2:], held_keys=KEYS))
    assert (outcome.answers, outcome.rejects, outcome.failure) == (5, {}, None)
    assert there() == {KEYS[0]: "T0", KEYS[1]: "T1"}
    last = [record for record in records_of(place, prefix + "rich") if record.key == KEYS[6].encode()][-1]
    assert last.value is None and dict(last.headers)["op"] == b"EXIT"


def test_a_row_that_is_too_large_has_a_code_and_the_others_are_there(send, there):
    columns = {"tier": ("string", ["x" * 5000 if number in (1, 5) else f"T{number}" for number in range(7)])}
    outcome = send(shipment(columns=columns), most_record_bytes=2000)
    assert (outcome.answers, outcome.failure) == (7, None)
    assert outcome.rejects == dict.fromkeys((KEYS[1], KEYS[5]), "RECORD_TOO_LARGE")
    assert there() == {key: tier for key, tier in ALL.items() if key not in outcome.rejects}


def test_a_row_that_the_topic_refuses_costs_itself_alone(place, prefix, send, there):
    columns = {"tier": ("string", ["x" * 9000 if number in (1, 5) else f"T{number}" for number in range(7)])}
    place.allow(prefix)
    place.topic(f"{prefix}rich", max_message_bytes="4000")
    outcome = send(shipment(columns=columns), batch_rows=7)
    assert (outcome.answers, outcome.failure) == (7, None)
    assert outcome.rejects == dict.fromkeys((KEYS[1], KEYS[5]), "RECORD_TOO_LARGE")
    assert there() == {key: tier for key, tier in ALL.items() if key not in outcome.rejects}


def test_a_topic_that_is_missing_is_one_sentence_and_is_not_made(place, prefix, send):
    outcome = send(shipment(), create_topics=None)
    assert outcome.failure == (
        f"it has no topic {prefix}rich; have it made with cleanup.policy=compact, or set create_topics:"
    )
    assert not outcome.is_down and outcome.trials == 0
    assert f"{prefix}rich" not in place.topics()


def test_a_topic_that_is_deleted_while_it_is_looked_at_is_not_made_by_asking_for_it(
    place, prefix, send, make_endpoint, monkeypatch
):
    """The broker makes a topic that a client asks for, unless the client says that it shall not."""
    assert send(shipment()).failure is None
    numbers_of, topics = endpoints._Topic._numbers, []

    def delete_once(topic, clients):
        numbers = numbers_of(topic, clients)
        if not topics:
            topics.append(topic.name)
            place.delete(topic.name)
        return numbers

    monkeypatch.setattr(endpoints._Topic, "_numbers", delete_once)
    with pytest.raises(EndpointFailed, match="it did not answer"):
        make_endpoint(timeout_seconds=8).keeps(shipment().manifest)
    assert topics == [f"{prefix}rich"] and topics[0] not in place.topics()


def foreign_records(place, topic, send):
    place.topic(topic)
    place.write(topic, b"theirs", b"Ann")


def records_after_ours(place, topic, send):
    send(shipment())
    place.write(topic, KEYS[0].encode(), b"Ann", partition=0)


def another_destination(place, topic, send):
    assert send(shipment(destination="elsewhere")).failure is None


def another_key(place, topic, send):
    assert send(shipment(key={"key_id": "another"})).failure is None


def more_partitions(place, topic, send):
    send(shipment())
    place.grow(topic, 5)


def a_later_attempt(place, topic, send):
    send(shipment(attempt=9))


def age(place, topic, send):
    place.topic(topic, cleanup_policy="delete")


def age_too(place, topic, send):
    place.topic(topic, cleanup_policy="compact,delete")


LEFT_ALONE = {
    "records of somebody else": (foreign_records, "has records that did not come from here"),
    "a record after ours": (records_after_ours, "has records that did not come from here"),
    "another destination": (another_destination, "belongs to another destination"),
    "an earlier key": (another_key, "or has recipients of an earlier key"),
    "more partitions": (more_partitions, "has 5 partitions and was filled when it had 3"),
    "a later attempt": (a_later_attempt, "was filled by a later attempt than the lake knows of"),
    "a topic that forgets": (age, "forgets people by its cleanup.policy"),
    "a topic that forgets, too": (age_too, "forgets people by its cleanup.policy"),
}


@pytest.mark.parametrize(("damage", "words"), LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_a_topic_that_is_not_as_we_left_it_is_left_alone(place, prefix, send, damage, words):
    place.allow(prefix)
    damage(place, f"{prefix}rich", send)
    before = len(records_of(place, f"{prefix}rich"))
    outcome = send(shipment(attempt=2, held_keys=KEYS))
    assert words in str(outcome.failure) and not outcome.is_down and outcome.trials == 0
    assert len(records_of(place, f"{prefix}rich")) == before


def test_what_was_lost_there_is_noticed(place, prefix, send, make_endpoint):
    endpoint, manifest, topic = make_endpoint(), shipment().manifest, f"{prefix}rich"
    assert not endpoint.keeps(manifest), "there is no topic"
    send(shipment())
    assert endpoint.keeps(manifest)
    place.delete_records(topic)
    assert not endpoint.keeps(manifest), "its beginning is gone"
    assert send(shipment(attempt=2, held_keys=KEYS)).failure is None and endpoint.keeps(manifest)
    records = records_of(place, topic)
    place.write(topic, b"_run", records[-1].value, partition=0)
    assert not endpoint.keeps(manifest), "a mark that nobody signed"
    place.remake(topic)
    assert not endpoint.keeps(manifest), "it was made again"
    for record in records:
        place.write(topic, record.key, record.value, record.partition, record.headers)
    assert not endpoint.keeps(manifest), "it was made again from a copy of its records"


def test_a_topic_that_is_made_again_during_a_run_is_not_believed(
    place, prefix, send, make_endpoint, there, monkeypatch
):
    take = endpoints._Topic.take

    def remake(topic, clients, one, number, rows):
        rejects = take(topic, clients, one, number, rows)
        if number == 2:
            place.remake(topic.name)
        return rejects

    with monkeypatch.context() as patch:
        patch.setattr(endpoints._Topic, "take", remake)
        outcome = send(shipment(), timeout_seconds=20, seconds=50)
    assert outcome.failure is not None
    assert not make_endpoint().keeps(shipment().manifest)
    assert send(shipment(attempt=2, held_keys=KEYS)).failure is None and there() == ALL


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_batch_whose_answer_is_lost_is_written_again_with_the_same_bytes(
    place, prefix, send, there, monkeypatch, moment
):
    commit, commits = endpoints.KafkaProducer.commit_transaction, []

    def lose_one(producer):
        commits.append(producer)
        if len(commits) == 3 and moment == "before":
            raise KafkaConnectionError("the network")
        commit(producer)
        if len(commits) == 3:
            raise KafkaConnectionError("the network")

    monkeypatch.setattr(endpoints.KafkaProducer, "commit_transaction", lose_one)
    outcome = send(shipment())
    assert (outcome.answers, outcome.rejects, outcome.failure) == (7, {}, None)
    assert there() == ALL
    values: dict[bytes, set] = {}
    for record in records_of(place, f"{prefix}rich"):
        values.setdefault(record.key, set()).add(record.value)
    del values[b"_run"]
    assert {len(some) for some in values.values()} == {1}


def test_an_attempt_that_is_killed_leaves_whole_batches_and_the_next_one_finishes(
    place, prefix, send, make_endpoint, there, monkeypatch
):
    commit, commits = endpoints.KafkaProducer.commit_transaction, []

    def die(producer):
        commits.append(producer)
        if len(commits) == 3:
            raise KeyboardInterrupt
        commit(producer)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(endpoints.KafkaProducer, "commit_transaction", die)
        send(shipment())
    assert {r.key.decode() for r in records_of(place, f"{prefix}rich") if r.key != b"_run"} == set(KEYS[:3])
    with pytest.raises(Exception, match="a run is being written"):
        there()
    assert make_endpoint().keeps(shipment().manifest), "what is there is what the books say"
    assert send(shipment(attempt=2, held_keys=KEYS)).failure is None and there() == ALL


def test_a_broker_that_is_down_or_stands_still_costs_a_bound_of_time_and_takes_all_later(place, send, there):
    send(shipment(keys=KEYS[:3]))
    place.pause()
    try:
        began = time.monotonic()
        outcome = send(shipment(attempt=2, held_keys=KEYS[:3]), seconds=1, timeout_seconds=3)
        assert time.monotonic() - began < 30
    finally:
        place.go_on()
    assert (outcome.answers, outcome.trials, outcome.is_down) == (0, 0, True)
    assert outcome.failure == "it did not answer in time"
    place.stop()
    outcome = send(shipment(attempt=3, held_keys=KEYS[:3]), seconds=1, timeout_seconds=3)
    assert (outcome.answers, outcome.is_down) == (0, True) and str(place.ports["SASL"]) not in outcome.failure
    place.start()
    assert send(shipment(attempt=4, held_keys=KEYS)).failure is None and there() == ALL


def test_a_broker_that_dies_between_batches_takes_the_rest_later(place, send, there, monkeypatch):
    take = endpoints._Topic.take

    def die(topic, clients, one, number, rows):
        if number == 2:
            place.stop(signum=9)
        return take(topic, clients, one, number, rows)

    with monkeypatch.context() as patch:
        patch.setattr(endpoints._Topic, "take", die)
        outcome = send(shipment(), seconds=1, timeout_seconds=10)
    assert (outcome.answers, outcome.trials, outcome.is_down) == (3, 6, True)
    place.start()
    assert send(shipment(attempt=2, held_keys=KEYS)).failure is None and there() == ALL


DENIED = {
    "no right to write": ({"operations": ("READ", "DESCRIBE", "DESCRIBE_CONFIGS")}, "the user may not do that there"),
    "no right to read": ({"operations": ("WRITE", "DESCRIBE", "DESCRIBE_CONFIGS")}, "the user may not do that there"),
    "no right to see settings": ({"operations": ("READ", "WRITE", "DESCRIBE")}, "may not read the settings of the topic"),
    "no right at all": ({"operations": ()}, "the user may not do that there"),
}  # fmt: skip


@pytest.mark.parametrize(("rights", "words"), DENIED.values(), ids=DENIED)
def test_a_user_without_a_right_is_one_sentence(place, prefix, make_endpoint, rights, words):
    name = f"denied.{prefix}"
    place.topic(f"{name}rich")
    place.write(f"{name}rich", b"theirs", b"Ann")
    if rights["operations"]:
        place.allow(name, **rights)
    endpoint = make_endpoint(topic_prefix=name)
    outcome = endpoint.send(shipment(), deadline=time.monotonic() + 60)
    assert words in outcome.failure and outcome.trials == 0 and "writer" not in outcome.failure


def test_a_wrong_password_is_one_sentence_at_once(send):
    for mechanism in ("SCRAM-SHA-512", "SCRAM-SHA-256"):
        outcome = send(shipment(), password="not the password", mechanism=mechanism)
        assert (
            outcome.failure
            == "it refused the user or the password (it answered SaslAuthenticationFailedError)"
        )
        assert outcome.is_down and outcome.trials == 0


def test_only_the_certificate_of_the_host_is_taken_and_ours_is_shown(place, send, there):
    bank, client = place.certificate["certificate"], place.client_certificate
    refused = send(shipment(), listener="TLS")
    assert refused.failure == "its certificate is not one that we trust" and refused.is_down
    assert (
        send(
            shipment(), listener="TLS", certificates=bank, brokers=[f"127.0.0.1:{place.ports['TLS']}"]
        ).failure
        == refused.failure
    ), "it is another host's"
    assert (
        send(shipment(), listener="TLS", certificates=bank, mechanism="PLAIN").failure is None
        and there() == ALL
    )
    mutual = {
        "listener": "MUTUAL",
        "certificates": bank,
        "user": None,
        "client_certificate": "writer.pem",
        "client_key_secret": "key",
    }
    pair = (client["certificate"], client["key"].read_bytes())
    assert send(shipment(attempt=2, held_keys=KEYS), **mutual, client=pair).failure is None


def test_a_name_that_no_topic_has_is_refused(send):
    for segment in ("s" * 240, "a/b", "列"):
        assert send(shipment(segment=segment)).failure == "the segment has a name that no topic can have"


def test_what_compaction_leaves_is_the_audience(place, prefix, send, there):
    place.allow(prefix)
    place.topic(
        f"{prefix}rich",
        1,
        segment_ms="100",
        min_cleanable_dirty_ratio="0.01",
        delete_retention_ms="0",
        max_compaction_lag_ms="100",
    )
    send(shipment())
    send(shipment(attempt=2, op="EXIT", keys=KEYS[2:], held_keys=KEYS))
    until = time.monotonic() + 60
    while len(records_of(place, f"{prefix}rich")) > 6 and time.monotonic() < until:
        time.sleep(1)
        # A segment of the log is closed by the next record.
        send(shipment(attempt=3, keys=KEYS[:1], op="UPDATE", held_keys=KEYS[:2]))
    assert len(records_of(place, f"{prefix}rich")) <= 6
    assert there() == {KEYS[0]: "T0", KEYS[1]: "T1"}
