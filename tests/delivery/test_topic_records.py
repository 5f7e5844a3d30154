"""The bytes of a topic's records, and what the consumer of the examples makes of them: whole, damaged, compacted, replayed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import jsonschema
import pyarrow as pa
import pytest
from kafka_broker import consumer_module

from delivery.contract.schemas import audience_schemas
from delivery.endpoints.outcome import Shipment
from delivery.endpoints.topic_records import (
    Mark,
    TopicRecord,
    mark_record,
    partition_of,
    people_of,
    person_record,
    read_mark,
)

SECRET = b"a verification key of 16 or more"
AT = datetime(2026, 11, 19, tzinfo=UTC)
KEYS = [f"{number:032x}" for number in range(1, 41)]
PARTITIONS = 3
consume = consumer_module()


def shipment(*, seq: int = 1, attempt: int = 1) -> Shipment:
    manifest = {"destination": "stream", "segment": "gold", "version": "1.0.0", "purpose": "marketing", "run_id": f"run{seq}", "seq": seq,
                "as_of": "2026-11-18", "valid_until": "2026-11-20T06:00:00+08:00", "key": {"key_id": "0123456789ab"}}  # fmt: skip
    return Shipment(manifest, "hash", attempt, pa.table({"op": [], "recipient_key": []}))


def marks(one: Shipment, people: set[str] | None, number: int = 1) -> list[TopicRecord]:
    """Give the marks of all partitions, of an end where people are given."""
    found = []
    for partition in range(PARTITIONS):
        keys = (
            None
            if people is None
            else frozenset(k for k in people if partition_of(k.encode(), PARTITIONS) == partition)
        )
        found.append(mark_record(one, Mark("topic", partition, PARTITIONS, 0, number, keys), SECRET))
    return found


def test_records_fit_the_schemas_of_the_contract():
    """Of a person a row or a tombstone, of a run its marks, whole or not."""
    one = replace(shipment(), manifest_sha256="0" * 64)
    rows = [
        {"op": "ENTER", "recipient_key": KEYS[0], "tier": "T1", "share": float("nan")},
        {"op": "UPDATE", "recipient_key": KEYS[1], "tags": ["a"]},
    ]
    schemas = {
        name: jsonschema.Draft7Validator(audience_schemas()[name], format_checker=jsonschema.FormatChecker())
        for name in ("kafka_row", "kafka_mark")
    }
    for row in rows:
        schemas["kafka_row"].validate(json.loads(person_record(one, 1, row, PARTITIONS).value))
    assert person_record(one, 1, {"op": "EXIT", "recipient_key": KEYS[0]}, PARTITIONS).value is None
    values = [json.loads(mark.value) for mark in (*marks(one, None, 0), *marks(one, set(KEYS)))]
    for value in values:
        schemas["kafka_mark"].validate(value)
    assert {value["is_complete"] for value in values} == {True, False}
    properties = audience_schemas()["kafka_mark"]["properties"]
    assert set(values[0]) == set(properties), "the schema has every key of a mark and no other"
    for name in properties:
        assert not schemas["kafka_mark"].is_valid(
            {key: value for key, value in values[0].items() if key != name}
        )


def night(seq: int, ops: dict[str, str], people: set[str]) -> list[TopicRecord]:
    """Give the records of a run that does ``ops`` (key → op) and leaves these people."""
    one = shipment(seq=seq, attempt=seq)
    rows = [{"op": op, "recipient_key": key, "tier": f"T{seq}"} for key, op in ops.items()]
    return [
        *marks(one, None, 0),
        *(person_record(one, 1, row, PARTITIONS) for row in rows),
        *marks(one, people),
    ]


def five_nights() -> list[TopicRecord]:
    """Give a stream in which people enter, change, leave and come back; the last night leaves KEYS[10:30] but one."""
    records = night(1, dict.fromkeys(KEYS[:20], "ENTER"), set(KEYS[:20]))
    records += night(
        2, dict.fromkeys(KEYS[20:30], "ENTER") | dict.fromkeys(KEYS[:10], "EXIT"), set(KEYS[10:30])
    )
    records += night(3, dict.fromkeys(KEYS[10:15], "UPDATE"), set(KEYS[10:30]))
    records += night(4, dict.fromkeys(KEYS[10:30], "EXIT"), set())
    return records + night(5, dict.fromkeys(KEYS[11:30], "ENTER"), set(KEYS[11:30]))


def compacted(records: list[TopicRecord], *, with_tombstones: bool = True) -> list[TopicRecord]:
    """Give what Kafka leaves of records: the newest of each key of a partition."""
    newest = {(record.partition, record.key): number for number, record in enumerate(records)}
    stay = [records[number] for number in sorted(newest.values())]
    return [record for record in stay if with_tombstones or record.value is not None]


def state_of(records: list[TopicRecord]) -> dict:
    state: dict = {}
    for record in records:
        consume.take(state, record.partition, record.key, record.value, record.headers, SECRET)
    return state


def refusal(records: list[TopicRecord], at: datetime = AT) -> str:
    with pytest.raises(consume.Refusal) as wrong:
        consume.judge(state_of(records), at)
    return wrong.value.kind


def test_a_record_has_the_bytes_that_the_page_says():
    row = {
        "op": "ENTER",
        "recipient_key": "dd7b7f1f646ac7ed06db844c7405d119",
        "variant": "A",
        "balance": "900.00",
        "name": '王\n"',
        "share": float("nan"),
    }
    record = person_record(shipment(seq=7), 1, row, 6)
    assert record.key == b"dd7b7f1f646ac7ed06db844c7405d119"
    assert record.value is not None
    assert record.value.decode() == (
        '{"op":"ENTER","recipient_key":"dd7b7f1f646ac7ed06db844c7405d119","variant":"A","balance":"900.00","name":"王\\n\\"","share":"nan",'
        '"_run_id":"run7","_seq":7}'
    )
    headers = [
        ("contract_version", b"audience/v1"),
        ("op", b"ENTER"),
        ("run_id", b"run7"),
        ("seq", b"7"),
        ("batch", b"1"),
    ]
    assert record.headers == headers
    leaver = person_record(shipment(seq=7), 1, {"op": "EXIT", "recipient_key": row["recipient_key"]}, 6)
    assert (leaver.value, leaver.partition) == (None, record.partition)


# From the test of Kafka's own clients (UtilsTest.testMurmur2).
@pytest.mark.parametrize(
    ("key", "number"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_the_partition_is_that_of_kafkas_own_clients(key, number):
    assert partition_of(key, 97) == (number & 0x7FFFFFFF) % 97


def test_the_hash_of_people_is_that_of_the_page():
    assert people_of(["b", "a"]) == {
        "people": 2,
        "keys_sha256": "911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2",
    }
    assert people_of(None) == {"people": None, "keys_sha256": None}


@pytest.mark.parametrize(
    "shape", [list, compacted, lambda records: compacted(records, with_tombstones=False)]
)
def test_five_nights_end_in_the_standing_people_with_and_without_compaction(shape):
    state = state_of(shape(five_nights()))
    assert consume.judge(state, AT)["run_id"] == "run5"
    assert consume.rows_of(state).keys() == set(KEYS[11:30])
    assert {row["tier"] for row in consume.rows_of(state).values()} == {"T5"}


def test_a_run_is_whole_only_when_every_partition_says_so():
    records = five_nights()
    for end in range(len(records) - 1, len(records) - PARTITIONS - 1, -1):
        assert refusal(records[:end]) == "incomplete"
    assert refusal([]) == "incomplete"
    assert refusal([record for record in records if record.partition != 2]) == "place"


def test_who_missed_a_tombstone_notices():
    records = five_nights()
    state = state_of(records[: len(night(1, dict.fromkeys(KEYS[:20], "ENTER"), set()))])
    for record in compacted(records, with_tombstones=False):
        consume.take(state, record.partition, record.key, record.value, record.headers, SECRET)
    with pytest.raises(consume.Refusal) as wrong:
        consume.judge(state, AT)
    assert wrong.value.kind == "recipients"


def test_what_another_hand_put_in_is_refused():
    records = five_nights()
    theirs = TopicRecord(partition_of(KEYS[0].encode(), PARTITIONS), KEYS[0].encode(), b'{"op":"ENTER"}', [])
    assert refusal([*records, theirs]) == "recipients"
    assert refusal([record for record in records if record.key != KEYS[20].encode()]) == "recipients"
    mark = records[-1]
    assert mark.value is not None
    forged = mark.value.replace(b'"seq":5', b'"seq":6')
    for value, headers in (
        (forged, mark.headers),
        (mark.value, []),
        (mark.value, [("signature", b"hmac-sha256 x " + b"0" * 64)]),
    ):
        assert (
            refusal_of_taking([*records, TopicRecord(mark.partition, mark.key, value, headers)])
            == "signature"
        )
    assert refusal_of_taking([*records, TopicRecord(0, mark.key, mark.value, mark.headers)]) == "place"
    assert refusal_of_taking([*records, records[0]]) == "replay"
    assert refusal(records, datetime(2026, 11, 20, tzinfo=UTC)) == "expired"


def refusal_of_taking(records: list[TopicRecord]) -> str:
    with pytest.raises(consume.Refusal) as wrong:
        state_of(records)
    return wrong.value.kind


NO_MARKS = [None, b"", b"[]", b"{", b'{"op":"RUN"}', b"[" * 200_000, "王".encode("utf-16")]


@pytest.mark.parametrize("value", NO_MARKS, ids=range(len(NO_MARKS)))
def test_what_is_no_mark_is_taken_for_none(value):
    assert read_mark(b"_run", value) is None


def test_a_mark_is_read_by_its_key_and_types():
    mark = marks(shipment(), {KEYS[0]})[0]
    body = read_mark(mark.key, mark.value)
    assert body is not None and body["is_complete"] and body["partitions"] == PARTITIONS
    assert read_mark(KEYS[0].encode(), mark.value) is None
    for name, value in (("attempt", "1"), ("seq", True), ("key_id", None), ("first_offset", 0.5)):
        assert read_mark(b"_run", json.dumps({**body, name: value}).encode()) is None
