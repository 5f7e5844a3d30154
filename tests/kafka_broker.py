"""A real broker of Kafka for tests: one process, made for one module, started, stopped, paused, asked."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import platformdirs

VERSION = "4.3.1"
PASSWORD = "a password for tests only"
USERS = ("writer", "CN=writer")
SECONDS_TO_COMMIT = 3
RIGHTS = ("READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS", "CREATE")
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>tests</groupId><artifactId>broker</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
</dependencies></project>"""
LISTENERS = {"OPEN": "PLAINTEXT", "SASL": "SASL_PLAINTEXT", "TLS": "SASL_SSL", "MUTUAL": "SSL", "CONTROLLER": "PLAINTEXT"}  # fmt: skip


@cache
def jars() -> Path | str:
    """Give the folder of the broker's JARs, fetched once for this user; where that is impossible the reason."""
    folder = Path(platformdirs.user_cache_dir("oneid-cdp-tests")) / f"kafka-{VERSION}"
    if folder.is_dir():
        return folder
    if shutil.which("mvn") is None or shutil.which("java") is None:
        return "a broker of Kafka needs mvn and java, which are not here"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        (Path(place) / "pom.xml").write_text(POM, encoding="utf-8")
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars", "-DincludeScope=runtime"]  # fmt: skip
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=500)
        if done.returncode != 0:
            return "the JARs of a broker of Kafka could not be fetched by mvn"
        (Path(place) / "jars").rename(folder)
    return folder


def free_ports(number: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class KafkaBroker:
    """A broker process as a test sees it. The listener OPEN is the test's own; users of the others are judged by rights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = Path(tempfile.mkdtemp(prefix="cdp-kafka-"))
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        self.process: subprocess.Popen[bytes] | None = None
        self.certificate = self._make_certificate("broker", "DNS:localhost")
        self.client_certificate = self._make_certificate("writer", "DNS:writer")
        self._write_settings()
        self._java(
            "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", str(self.settings),
            "--add-scram", f"SCRAM-SHA-512=[name=writer,password={PASSWORD}]",
            "--add-scram", f"SCRAM-SHA-256=[name=writer,password={PASSWORD}]",
        )  # fmt: skip

    @property
    def settings(self) -> Path:
        return self.data / "server.properties"

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        with (self.data / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command("kafka.Kafka", str(self.settings)), stdout=log, stderr=log, cwd=self.data
            )
        until = time.monotonic() + 400
        while time.monotonic() < until and self.is_up:
            try:
                socket.create_connection(("127.0.0.1", self.ports["OPEN"]), timeout=1).close()
                self.admin().close()
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError((self.data / "log").read_text(encoding="utf-8")[-2000:])

    def stop(self, *, signum: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(signum)
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        self.stop(signum=signal.SIGKILL)
        shutil.rmtree(self.data)

    def open_address(self) -> str:
        return f"127.0.0.1:{self.ports['OPEN']}"

    def admin(self):
        from kafka import KafkaAdminClient

        return KafkaAdminClient(bootstrap_servers=self.open_address(), bootstrap_timeout_ms=3000)

    def allow(
        self, prefix: str, *, operations: tuple[str, ...] = RIGHTS, users: tuple[str, ...] = USERS
    ) -> None:
        """Let the writers do this with the topics and transactional ids of a prefix."""
        from kafka.admin import (
            ACL,
            ACLOperation,
            ACLPermissionType,
            ACLResourcePatternType,
            ResourcePattern,
            ResourceType,
        )

        rights = [
            ACL(
                f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW,
                ResourcePattern(kind, prefix, ACLResourcePatternType.PREFIXED),
            )
            for user in users
            for kind in (ResourceType.TOPIC, ResourceType.TRANSACTIONAL_ID)
            for operation in operations
            if kind is ResourceType.TOPIC or operation in ("WRITE", "DESCRIBE")
        ]  # fmt: skip
        admin = self.admin()
        assert not admin.create_acls(rights)["failed"]
        admin.close()

    def topic(self, name: str, partitions: int = 3, **configs: str) -> None:
        """Make a topic as the cluster's team would; compacted unless said otherwise."""
        settings = {
            "cleanup.policy": "compact",
            **{key.replace("_", "."): value for key, value in configs.items()},
        }
        admin = self.admin()
        admin.create_topics(
            {name: {"num_partitions": partitions, "replication_factor": 1, "configs": settings}},
            wait_for_metadata=True,
        )
        admin.close()

    def topics(self) -> list[str]:
        admin = self.admin()
        names = admin.list_topics()
        admin.close()
        return names

    def grow(self, topic: str, partitions: int) -> None:
        admin = self.admin()
        admin.create_partitions({topic: partitions})
        admin.close()

    def delete(self, topic: str) -> None:
        """Delete a topic and wait until it is gone."""
        admin = self.admin()
        admin.delete_topics([topic])
        while topic in admin.list_topics():
            time.sleep(0.05)
        admin.close()

    def remake(self, topic: str) -> None:
        """Delete a topic and make it again, as somebody does who wants it empty."""
        self.delete(topic)
        self.topic(topic)

    def delete_records(self, topic: str) -> None:
        """Take away the first record of each partition; a compacted topic must be another one for that moment."""
        from kafka import TopicPartition

        firsts = {record.partition: record.offset for record in reversed(records_of(self, topic))}
        admin = self.admin()
        self._set_policy(admin, topic, "delete")
        admin.delete_records({TopicPartition(topic, number): offset + 1 for number, offset in firsts.items()})
        self._set_policy(admin, topic, "compact")
        admin.close()

    def _set_policy(self, admin, topic: str, policy: str) -> None:
        from kafka.admin import ConfigResource, ConfigResourceType

        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": policy})])

    def write(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        partition: int | None = None,
        headers: Sequence = (),
    ) -> None:
        """Write a record as another hand would."""
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=self.open_address())
        producer.send(topic, value, key, list(headers), partition=partition).get(timeout=60)
        producer.close()

    def _write_settings(self) -> None:
        ports = self.ports
        places = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
        advertised = {"TLS": "localhost", "MUTUAL": "localhost"}
        names = ",".join(
            f"{name}://{advertised.get(name, '127.0.0.1')}:{port}"
            for name, port in ports.items()
            if name != "CONTROLLER"
        )
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_writer="{PASSWORD}";'
        lines = {
            "process.roles": "broker,controller", "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{ports['CONTROLLER']}",
            "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "OPEN",
            "listeners": places, "advertised.listeners": names,
            "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in LISTENERS.items()),
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
            "ssl.keystore.type": "PEM", "ssl.keystore.location": self.certificate["both"],
            "ssl.truststore.type": "PEM", "ssl.truststore.location": self.client_certificate["certificate"],
            "listener.name.mutual.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS", "log.dirs": self.data / "logs",
            # The default of Kafka, and a surprise that must not happen here.
            "auto.create.topics.enable": "true",
            "offsets.topic.replication.factor": 1, "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1, "transaction.state.log.num.partitions": 2,
            "group.initial.rebalance.delay.ms": 0, "log.cleaner.backoff.ms": 200, "num.io.threads": 2, "num.network.threads": 2,
        }  # fmt: skip
        for listener in ("sasl", "tls"):
            for mechanism in ("scram-sha-512", "scram-sha-256"):
                lines[f"listener.name.{listener}.{mechanism}.sasl.jaas.config"] = scram
            lines[f"listener.name.{listener}.plain.sasl.jaas.config"] = plain
        self.settings.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))

    def _make_certificate(self, name: str, names: str) -> dict[str, Path]:
        key, certificate, both = (self.data / f"{name}.{end}" for end in ("key", "pem", "both"))
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", f"/CN={name}",
                   "-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        return {"key": key, "certificate": certificate, "both": both}

    def _command(self, *words: str) -> list[str]:
        return ["java", "-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{self.folder}/*", *words]  # fmt: skip

    def _java(self, *words: str) -> str:
        done = subprocess.run(
            self._command(*words), capture_output=True, text=True, check=False, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def records_of(broker: KafkaBroker, topic: str) -> list:
    """Give the committed records of a topic, partition by partition.

    A commit is answered before its marks are in the partitions, and until then the ends of what is committed lie before it: they are
    waited for up to the ends of all that was written. What an open transaction holds back is left out after some seconds.
    """
    from kafka import KafkaConsumer, TopicPartition

    consumer, everything = (
        KafkaConsumer(
            bootstrap_servers=broker.open_address(), isolation_level=level, group_id=None, enable_auto_commit=False,
            allow_auto_create_topics=False,
        )
        for level in ("read_committed", "read_uncommitted")
    )  # fmt: skip
    try:
        places = [
            TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        consumer.assign(places)
        begins, ends = consumer.beginning_offsets(places), everything.end_offsets(places)
        for place in places:
            consumer.seek(place, begins[place])
        records = []
        latest = time.monotonic() + SECONDS_TO_COMMIT
        while any(consumer.position(place) < ends[place] for place in places) and time.monotonic() < latest:
            for some in consumer.poll(timeout_ms=500).values():
                records += some
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()
        everything.close()


def held(broker: KafkaBroker, topic: str, key: bytes, at) -> dict[str, dict]:
    """Give what the consumer of the examples holds after it read a topic; its marks must agree."""
    consume = consumer_module()
    state: dict = {}
    for record in records_of(broker, topic):
        consume.take(state, record.partition, record.key, record.value, record.headers, key)
    consume.judge(state, at)
    return consume.rows_of(state)


def consumer_module():
    """Give the consumer of the examples as a module."""
    import importlib.util

    file = Path(__file__).resolve().parents[1] / "examples" / "consumers" / "python" / "consume_topic.py"
    spec = importlib.util.spec_from_file_location("consume_topic", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
