"""A consumer of an audience in Kafka: reads a topic to its end and says whether what it holds is the whole audience.

``take`` and ``judge`` need Python alone, so they go with any client; ``main`` reads with kafka-python::

    python consume_topic.py audiences.gold --brokers kafka1:9093 --key-file KEY --memory memory.json --at "$(date --iso-8601=seconds)"

Exit code 0 with one JSON object where the audience is whole and may be used, 1 where it must not be: then contact nobody who entered.
Whoever left is gone from the memory in any case.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import sys
from datetime import datetime
from pathlib import Path

RUN = b"_run"
AGAIN = ("recipients",)  # what reading the topic from its beginning may mend


class Refusal(Exception):
    """The audience must not be used; ``kind`` says why in one word."""

    def __init__(self, kind, sentence):
        super().__init__(sentence)
        self.kind = kind


def take(state, partition, key, value, headers, verification_key):
    """Take one record into the state: partition → its rows by recipient_key, and the newest mark."""
    part = state.setdefault(str(partition), {"rows": {}, "mark": None})
    if key != RUN:
        if value is None:
            part["rows"].pop(key.decode(), None)
        else:
            part["rows"][key.decode()] = json.loads(value)
        return
    signature = dict(headers).get("signature", b"").split()
    expected = hmac.new(verification_key, value, hashlib.sha256).hexdigest().encode()
    if len(signature) != 3 or not hmac.compare_digest(signature[2], expected):
        raise Refusal("signature", "a mark is not signed by the verification key")
    mark = json.loads(value)
    if (mark["contract_version"], mark["partition"]) != ("audience/v1", partition):
        raise Refusal("place", "a mark is for another partition or follows another major version")
    if part["mark"] and (mark["seq"], mark["attempt"]) < (part["mark"]["seq"], part["mark"]["attempt"]):
        raise Refusal("replay", "a mark is older than the one before it")
    part["mark"] = mark


def judge(state, at):
    """Give the mark of the run that the state holds as a whole; where it holds none, raise a ``Refusal``."""
    marks = [part["mark"] for part in state.values()]
    if not marks or None in marks:
        raise Refusal("incomplete", "a partition has no mark yet")
    if not all(mark["is_complete"] for mark in marks) or len({mark["run_id"] for mark in marks}) > 1:
        raise Refusal("incomplete", "a run is being written")
    if sorted(mark["partition"] for mark in marks) != list(range(marks[0]["partitions"])):
        raise Refusal("place", "the topic has other partitions than its marks say")
    for part in state.values():
        lines = "".join(f"{key}\n" for key in sorted(part["rows"])).encode()
        people = (len(part["rows"]), hashlib.sha256(lines).hexdigest())
        if people != (part["mark"]["people"], part["mark"]["keys_sha256"]):
            raise Refusal("recipients", "other people are held than the mark says")
    if datetime.fromisoformat(marks[0]["valid_until"]) <= at:
        raise Refusal("expired", "the audience is past its valid_until")
    return marks[0]


def rows_of(state):
    """Give all rows by recipient_key."""
    return {key: row for part in state.values() for key, row in part["rows"].items()}


def consume(consumer, topic, memory, verification_key, at):
    """Read what is new; give the mark of the whole audience. The memory changes in any case."""
    try:
        _read(consumer, topic, memory, verification_key)
        return judge(memory["state"], at)
    except Refusal as wrong:
        if wrong.kind not in AGAIN or not memory["had"]:
            raise
    # A tombstone is kept for a day: whoever slept longer has missed it, and begins anew.
    memory.clear()
    _read(consumer, topic, memory, verification_key)
    return judge(memory["state"], at)


def _read(consumer, topic, memory, verification_key):
    from kafka import TopicPartition

    places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    state, offsets = memory.setdefault("state", {}), memory.setdefault("offsets", {})
    memory["had"] = bool(offsets)
    consumer.assign(places)
    begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    for place in places:
        offset = offsets.get(str(place.partition), begins[place])
        if not begins[place] <= offset <= ends[place]:
            # The topic was made again, or records were deleted: what is held says nothing about it.
            state.pop(str(place.partition), None)
            offset = begins[place]
        consumer.seek(place, offset)
    while any(consumer.position(place) < ends[place] for place in places):
        for records in consumer.poll(timeout_ms=500).values():
            for record in records:
                take(state, record.partition, record.key, record.value, record.headers, verification_key)
    offsets.update({str(place.partition): consumer.position(place) for place in places})


def main():
    """Consume one topic once; give the exit code."""
    parser = argparse.ArgumentParser(description="Consume the audience of a topic.")
    parser.add_argument("topic")
    parser.add_argument("--brokers", required=True, help="host:port, several with commas between them")
    parser.add_argument(
        "--client", type=Path, help="JSON with further settings of kafka-python: TLS, user, password"
    )
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--memory", type=Path, required=True)
    parser.add_argument("--at", type=datetime.fromisoformat, required=True)
    options = parser.parse_args()
    if options.at.tzinfo is None:
        parser.error("--at is an instant with its offset, such as 2026-11-21T09:00:00+08:00")
    for file in (options.key_file, options.client):
        if file is not None and not file.is_file():
            parser.error(f"there is no file {file}")
    try:
        from kafka import KafkaConsumer
    except ModuleNotFoundError:
        sys.exit("kafka is missing: run `pip install kafka-python`")

    key = options.key_file.read_bytes().strip()
    memory = json.loads(options.memory.read_text(encoding="utf-8")) if options.memory.exists() else {}
    client = json.loads(options.client.read_text(encoding="utf-8")) if options.client else {}
    consumer = KafkaConsumer(
        bootstrap_servers=options.brokers.split(","), isolation_level="read_committed", group_id=None,
        enable_auto_commit=False, allow_auto_create_topics=False, **client,
    )  # fmt: skip
    try:
        mark = consume(consumer, options.topic, memory, key, options.at)
        answer, code = (
            {"outcome": "whole", "run_id": mark["run_id"], "people": len(rows_of(memory["state"]))},
            0,
        )
    except Refusal as wrong:
        answer, code = {"outcome": "refused", "kind": wrong.kind, "sentence": str(wrong)}, 1
    finally:
        consumer.close()
    unfinished = options.memory.with_name(options.memory.name + ".unfinished")
    unfinished.write_text(json.dumps(memory), encoding="utf-8")
    unfinished.replace(options.memory)
    print(json.dumps(answer))
    return code


if __name__ == "__main__":
    sys.exit(main())
