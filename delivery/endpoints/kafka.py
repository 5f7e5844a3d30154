"""Sending operations to a topic of a cluster of Kafka, in transactions that each end with a mark in every partition.

Each segment has a topic, named by a prefix and its code, that is compacted: the newest record of a key is that of the person, and a
tombstone takes the person away. The last record of a partition is always a mark; what is there still, and whose the topic is, is
read from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    NoError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.producer.future import FutureRecordMetadata

from delivery.endpoints.batches import Row, insist, send_batches
from delivery.endpoints.kafka_clients import BATCH_BYTES, Clients, Cluster, ClusterAccess
from delivery.endpoints.outcome import EndpointFailed, Outcome, Shipment
from delivery.endpoints.topic_records import (
    Mark,
    TopicRecord,
    is_signed,
    mark_record,
    owner_of,
    partition_of,
    person_record,
    read_mark,
)

RECORD_TOO_LARGE = "RECORD_TOO_LARGE"
MOST_NAME_LENGTH = 249
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_FIRST_WINDOW = 256


@dataclass(frozen=True)
class KafkaEndpoint:
    """A cluster of Kafka with the secrets that it is entered with."""

    access: ClusterAccess
    signing_key: bytes = field(repr=False)

    def keeps(self, manifest: Mapping[str, Any]) -> bool:
        """Tell whether the topic of a segment is there with all that was written to it."""
        topic = _Topic(self, manifest)
        with Cluster(self.access, topic.name) as cluster:
            return cluster.call(topic.is_intact)

    def send(self, shipment: Shipment, *, deadline: float) -> Outcome:
        """Send the operations, a transaction for each batch; see ``delivery.endpoints.outcome.Endpoint``."""
        outcome = Outcome(0, 0)
        try:
            topic = _Topic(self, shipment.manifest)
            with Cluster(self.access, topic.name) as cluster:

                def take(number: int, rows: list[Row]) -> Mapping[str, str]:
                    return cluster.call(lambda clients: topic.take(clients, shipment, number, rows))

                insist(
                    lambda: cluster.call(lambda clients: topic.prepare(clients, shipment)), deadline=deadline
                )
                outcome = send_batches(shipment, self.access.settings.batch_rows, take, deadline=deadline)
                if outcome.failure is None:
                    rejects = outcome.rejects.keys()
                    insist(
                        lambda: cluster.call(lambda clients: topic.complete(clients, shipment, rejects)),
                        deadline=deadline,
                    )
        except EndpointFailed as wrong:
            return replace(outcome, failure=str(wrong), is_down=wrong.is_down)
        return outcome


@dataclass(frozen=True)
class _Partition:
    """What is known of a partition: its first offset, whether it has records, and the mark that is its last one."""

    first_offset: int
    is_empty: bool
    mark: Mapping[str, Any] | None = None
    is_signed: bool = False


class _Topic:
    """The topic of one segment."""

    def __init__(self, endpoint: KafkaEndpoint, manifest: Mapping[str, Any]) -> None:
        self.settings = endpoint.access.settings
        self.signing_key = endpoint.signing_key
        self.manifest = manifest
        self.name = f"{self.settings.topic_prefix}{manifest['segment']}"
        self.topic_id = ""
        self.first_offsets: dict[int, int] = {}
        self.batch = 0
        if len(self.name) > MOST_NAME_LENGTH or not re.fullmatch(r"[A-Za-z0-9._-]+", self.name):
            raise EndpointFailed("the segment has a name that no topic can have", is_final=True)

    def is_intact(self, clients: Clients) -> bool:
        """Tell whether every partition ends with a mark of ours, and nothing was taken from its beginning since."""
        partitions = self._look(clients)
        if not partitions or any(place.mark is None for place in partitions.values()):
            return False
        return all(
            place.is_signed
            and place.mark is not None
            and place.mark["topic_id"] == self.topic_id
            and place.first_offset <= place.mark["first_offset"]
            for place in partitions.values()
        )

    def prepare(self, clients: Clients, shipment: Shipment) -> None:
        """Make the topic, or require it as it must be, and say that a run begins."""
        # What an earlier attempt left open is ended first.
        _ = clients.producer
        partitions = self._look(clients)
        if not partitions:
            self._make(clients)
            partitions = self._look(clients)
        self._require_compaction(clients)
        self._require_own(partitions, shipment)
        self.first_offsets = {number: place.first_offset for number, place in partitions.items()}
        self._write(clients, self._marks(shipment, 0))

    def take(self, clients: Clients, shipment: Shipment, number: int, rows: list[Row]) -> dict[str, str]:
        """Write one batch in a transaction; give the code of each row that is larger than a record may be."""
        records = [person_record(shipment, number, row, len(self.first_offsets)) for row in rows]
        most = self.settings.most_record_bytes
        large_keys = {record.key for record in records if record.size > most}
        marks = self._marks(shipment, number)
        try:
            self._write(clients, [record for record in records if record.key not in large_keys] + marks)
        except _TOO_LARGE:
            limit = self._refused_size(clients, records, most)
            large_keys = {record.key for record in records if record.size >= limit}
            self._write(clients, [record for record in records if record.key not in large_keys] + marks)
        self.batch = number
        return {key.decode(): RECORD_TOO_LARGE for key in large_keys}

    def complete(self, clients: Clients, shipment: Shipment, rejects: AbstractSet[str]) -> None:
        """Say in each partition that the run is complete, and who is there."""
        topic_id = self.topic_id
        self._numbers(clients)
        if self.topic_id != topic_id:
            raise EndpointFailed(f"the topic {self.name} was made again meanwhile", is_final=True)
        people: list[set[str]] = [set() for _ in self.first_offsets]
        for key in shipment.people_after(rejects):
            people[partition_of(key.encode(), len(people))].add(key)
        self._write(clients, self._marks(shipment, self.batch, people))

    def _marks(
        self, shipment: Shipment, batch: int, people: Sequence[Iterable[str]] | None = None
    ) -> list[TopicRecord]:
        partitions = len(self.first_offsets)
        marks = [
            Mark(
                self.topic_id,
                number,
                partitions,
                offset,
                batch,
                None if people is None else frozenset(people[number]),
            )
            for number, offset in sorted(self.first_offsets.items())
        ]
        return [mark_record(shipment, mark, self.signing_key) for mark in marks]

    def _write(self, clients: Clients, records: Iterable[TopicRecord]) -> None:
        """Write records in one transaction, or none of them; one that is too large raises an error of ``_TOO_LARGE``."""
        producer = clients.producer
        producer.begin_transaction()
        futures = []
        try:
            for record in records:
                futures.append(self._send(producer, record))
            # A flush knows nothing of a batch that was too large and is sent in parts.
            for future in futures:
                future.get(timeout=self.settings.timeout_seconds)
            producer.commit_transaction()
        except KafkaError as wrong:
            # Whichever call meets the failure first names it, or has it among its words.
            reasons = (wrong, *wrong.args, producer._transaction_manager.last_error)
            if not any(isinstance(reason, _TOO_LARGE) for reason in reasons):
                raise
            clients.give_up_producer()
            raise MessageSizeTooLargeError from None

    def _send(self, producer: KafkaProducer, record: TopicRecord) -> FutureRecordMetadata:
        return producer.send(
            self.name, record.value, record.key, list(record.headers), partition=record.partition
        )

    def _refused_size(self, clients: Clients, records: Sequence[TopicRecord], most: int) -> int:
        """Give the size from which the topic refuses a record; each is tried alone, in a transaction that is taken back."""
        sizes = sorted({record.size: record for record in records if record.size <= most}.items())
        low, high = 0, len(sizes)
        while low < high:
            middle = (low + high) // 2
            if self._takes(clients, sizes[middle][1]):
                low = middle + 1
            else:
                high = middle
        if low == len(sizes):
            raise EndpointFailed(
                f"the topic {self.name} does not take {BATCH_BYTES} bytes at once; have its max.message.bytes raised",
                is_final=True,
            )
        return sizes[low][0]

    def _takes(self, clients: Clients, record: TopicRecord) -> bool:
        producer = clients.producer
        producer.begin_transaction()
        try:
            self._send(producer, record).get(timeout=self.settings.timeout_seconds)
        except _TOO_LARGE:
            clients.give_up_producer()
            return False
        producer.abort_transaction()
        return True

    def _look(self, clients: Clients) -> dict[int, _Partition]:
        """Give the partitions with the marks at their ends; nothing where there is no topic."""
        numbers = self._numbers(clients)
        if not numbers:
            return {}
        places = [TopicPartition(self.name, number) for number in numbers]
        consumer = clients.consumer
        consumer.assign(places)
        begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
        return {
            place.partition: self._end_of(consumer, place, begins[place], ends[place]) for place in places
        }

    def _numbers(self, clients: Clients) -> list[int]:
        (answer,) = clients.admin.describe_topics([self.name])
        error = for_code(answer["error_code"])
        if error is UnknownTopicOrPartitionError:
            return []
        if error is not NoError:
            raise error
        self.topic_id = str(answer.get("topic_id"))
        return sorted(partition["partition_index"] for partition in answer["partitions"])

    def _end_of(self, consumer: KafkaConsumer, place: TopicPartition, begin: int, end: int) -> _Partition:
        window, last = _FIRST_WINDOW, None
        while last is None and begin < end:
            start = max(begin, end - window)
            consumer.seek(place, start)
            while consumer.position(place) < end:
                for record in consumer.poll(timeout_ms=500).get(place, ()):
                    last = record
            if start == begin:
                break
            window *= 16
        if last is None:
            return _Partition(begin, True)
        mark = read_mark(last.key, last.value)
        return _Partition(
            begin, False, mark, mark is not None and is_signed(last.value, last.headers, self.signing_key)
        )

    def _require_own(self, partitions: Mapping[int, _Partition], shipment: Shipment) -> None:
        """Refuse a topic of somebody else, of another number of partitions, or that a later attempt wrote to."""
        for place in partitions.values():
            if place.is_empty:
                continue
            mark = place.mark
            if mark is None:
                raise EndpointFailed(
                    f"the topic {self.name} has records that did not come from here; name another topic_prefix, or have it made again",
                    is_final=True,
                )
            owner = (self.manifest["destination"], self.manifest["segment"], owner_of(self.manifest))
            if (mark["destination"], mark["segment"], mark["key_id"]) != owner:
                raise EndpointFailed(
                    f"the topic {self.name} belongs to another destination, or has recipients of an earlier key; "
                    "name another topic_prefix, or have it made again",
                    is_final=True,
                )
            if mark["partitions"] != len(partitions):
                raise EndpointFailed(
                    f"the topic {self.name} has {len(partitions)} partitions and was filled when it had {mark['partitions']}: "
                    "people would stand in two of them; have it made again",
                    is_final=True,
                )
            if mark["attempt"] > shipment.attempt:
                raise EndpointFailed(
                    f"the topic {self.name} was filled by a later attempt than the lake knows of; where an earlier lake was restored, "
                    "have it made again",
                    is_final=True,
                )

    def _make(self, clients: Clients) -> None:
        creation = self.settings.create_topics
        if creation is None:
            raise EndpointFailed(
                f"it has no topic {self.name}; have it made with cleanup.policy=compact, or set create_topics:",
                is_final=True,
            )
        options = {
            "num_partitions": creation.partitions,
            "replication_factor": creation.replication_factor,
            "configs": {
                "cleanup.policy": "compact",
                "min.insync.replicas": str(creation.min_insync_replicas),
            },
        }
        clients.admin.create_topics({self.name: options}, wait_for_metadata=True)

    def _require_compaction(self, clients: Clients) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, self.name, ["cleanup.policy"])
        answer = clients.admin.describe_configs([resource], config_filter="all")
        policy = answer.get("topic", {}).get(self.name, {}).get("cleanup.policy", {}).get("value")
        if policy is None:
            raise EndpointFailed(
                f"the user may not read the settings of the topic {self.name}, its cleanup.policy among them",
                is_final=True,
            )
        if policy != "compact":
            raise EndpointFailed(
                f"the topic {self.name} forgets people by its cleanup.policy; have it set to compact alone",
                is_final=True,
            )
