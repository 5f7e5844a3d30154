"""The records of a topic that holds one audience: the bytes of their keys, values and headers.

A person has the record of its ``recipient_key``; who leaves, a tombstone. Every transaction ends with a mark in each partition, the
record ``_run``: which run the partition is brought to, by which batch, and, once the run is complete, who is in the partition.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from kafka.partitioner.default import murmur2

from delivery.contract.verify_audience import CONTRACT_VERSION, KEY, PROFILE, key_id, signature_of
from delivery.endpoints.batches import Row, finite
from delivery.endpoints.outcome import Shipment

RUN_KEY = b"_run"
RUN = "RUN"
_OF_MANIFEST = ("destination", "segment", "version", "purpose", "run_id", "seq", "as_of", "valid_until")
_NUMBERS = ("seq", "attempt", "batch", "partition", "partitions", "first_offset")
_TEXTS = ("destination", "segment", "key_id", "run_id", "topic_id")

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class TopicRecord:
    """One record, as it is written to a partition."""

    partition: int
    key: bytes
    value: bytes | None = field(repr=False)
    headers: Headers = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key) + len(self.value or b"") + headers


@dataclass(frozen=True)
class Mark:
    """Where a mark stands and how far the run is: after which batch, and who is in the partition if that was the last one."""

    topic_id: str
    partition: int
    partitions: int
    first_offset: int
    batch: int
    keys: frozenset[str] | None = field(default=None, repr=False)


def partition_of(key: bytes, partitions: int) -> int:
    """Give the partition of a key, the one that Kafka's own clients choose."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def person_record(shipment: Shipment, number: int, row: Row, partitions: int) -> TopicRecord:
    """Give the record of one operation of a batch. The same operation of the same run gives the same bytes in every attempt."""
    key = str(row[KEY]).encode()
    value = None
    if row["op"] != "EXIT":
        body = {name: finite(cell) for name, cell in row.items()}
        value = _bytes({**body, "_run_id": shipment.run_id, "_seq": shipment.manifest["seq"]})
    headers = _headers(shipment, row["op"], number)
    return TopicRecord(partition_of(key, partitions), key, value, headers)


def mark_record(shipment: Shipment, mark: Mark, signing_key: bytes) -> TopicRecord:
    """Give the mark of a run in one partition."""
    body = {
        "contract_version": CONTRACT_VERSION,
        "op": RUN,
        **{name: shipment.manifest[name] for name in _OF_MANIFEST},
        "manifest_sha256": shipment.manifest_sha256,
        "key_id": owner_of(shipment.manifest),
        "attempt": shipment.attempt,
        "batch": mark.batch,
        "topic_id": mark.topic_id,
        "partition": mark.partition,
        "partitions": mark.partitions,
        "first_offset": mark.first_offset,
        "is_complete": mark.keys is not None,
        **people_of(mark.keys),
    }
    value = _bytes(body)
    signature = f"{PROFILE} {key_id(signing_key)} {signature_of(value, signing_key)}".encode()
    headers = [*_headers(shipment, RUN, mark.batch), ("signature", signature)]
    return TopicRecord(mark.partition, RUN_KEY, value, headers)


def people_of(keys: Iterable[str] | None) -> dict[str, Any]:
    """Give number and hash of recipients: SHA-256 over their keys in order, each with a line feed after it."""
    if keys is None:
        return {"people": None, "keys_sha256": None}
    lines = [f"{key}\n" for key in sorted(keys)]
    return {"people": len(lines), "keys_sha256": sha256("".join(lines).encode()).hexdigest()}


def owner_of(manifest: Mapping[str, Any]) -> str:
    """Give the id of the key by which a destination's recipients are named; no other destination has it."""
    return str(manifest["key"]["key_id"])


def read_mark(key: bytes | None, value: bytes | None) -> dict[str, Any] | None:
    """Give what the mark of a run says; None where the record is none."""
    if key != RUN_KEY:
        return None
    try:
        body = json.loads(value or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("op") != RUN:
        return None
    is_whole = all(type(body.get(name)) is int for name in _NUMBERS)
    return body if is_whole and all(isinstance(body.get(name), str) for name in _TEXTS) else None


def is_signed(value: bytes, headers: Iterable[tuple[str, bytes]], signing_key: bytes) -> bool:
    """Tell whether a mark was signed by the verification key of the destination."""
    words = dict(headers).get("signature", b"").split()
    return len(words) == 3 and hmac.compare_digest(words[2], signature_of(value, signing_key).encode())


def _headers(shipment: Shipment, op: str, number: int) -> Headers:
    values = {
        "contract_version": CONTRACT_VERSION,
        "op": op,
        "run_id": shipment.run_id,
        "seq": str(shipment.manifest["seq"]),
        "batch": str(number),
    }
    return [(name, value.encode()) for name, value in values.items()]


def _bytes(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
