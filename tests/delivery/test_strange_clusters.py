"""What answers in the place of a broker of Kafka: none at all, another server, one that never ends, one that names other hosts."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import closing

import pyarrow as pa
import pytest

from delivery.endpoints.kafka import KafkaEndpoint
from delivery.endpoints.kafka_clients import ClusterAccess
from delivery.endpoints.outcome import EndpointFailed, Shipment
from delivery.endpoints.settings import KafkaSettings

SECRET = "a password for tests only"
MANIFEST = {
    "destination": "stream",
    "segment": "rich",
    "run_id": "abc",
    "seq": 1,
    "key": {"key_id": "0123456789ab"},
}
# Of ApiVersions: Produce, Fetch, ListOffsets, Metadata, FindCoordinator, SaslHandshake, ApiVersions, InitProducerId; metadata in its old form.
VERSIONS = [(0, 0, 8), (1, 0, 11), (2, 0, 5), (3, 1, 1), (10, 0, 2), (17, 0, 1), (18, 0, 2), (22, 0, 1)]


def endpoint(port: int, **changes) -> KafkaEndpoint:
    settings = {"brokers": [f"127.0.0.1:{port}"], "topic_prefix": "audiences.", "user": "writer", "password_secret": "stream_password",
                "networks": ["127.0.0.0/8"], "plain_connection": True, "timeout_seconds": 1, **changes}  # fmt: skip
    return KafkaEndpoint(
        ClusterAccess(KafkaSettings(**settings), SECRET.encode()), b"a key of sixteen letters"
    )


def send(port: int, **changes):
    rows = pa.table({"op": ["ENTER"], "recipient_key": ["0" * 32]})
    return endpoint(port, **changes).send(
        Shipment(MANIFEST, "hash", 1, rows), deadline=time.monotonic() + 0.1
    )


@pytest.fixture
def make_server():
    """A function that listens and gives each connection to a handler; gives the port."""
    servers = []

    def make(handle) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def attend(connection: socket.socket) -> None:
            with connection:
                try:
                    handle(connection)
                except OSError:
                    return

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=attend, args=[connection], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        return server.getsockname()[1]

    yield make
    for server in servers:
        server.close()


def drip(connection: socket.socket) -> None:
    connection.sendall(b"\0\0\0\x68")
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.1)


STRANGE = {
    "another protocol": lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\nyour a password for tests only"),
    "an answer to something else": lambda connection: connection.sendall(b"\0\0\0\x08\0\0\0\x63secr"),
    "a length that cannot be": lambda connection: connection.sendall(b"\xff\xff\xff\xff"),
    "an answer without an end": lambda connection: connection.sendall(b"\x7f\xff\xff\xff" + b"x" * 100_000),
    "an end": lambda connection: None,
    "silence": lambda connection: time.sleep(4),
    "dripping": drip,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("handle", STRANGE.values(), ids=STRANGE)
def test_what_is_no_broker_costs_a_bound_of_time_and_is_one_sentence(make_server, handle):
    began = time.monotonic()
    outcome = send(make_server(handle))
    assert time.monotonic() - began < 60
    assert (outcome.answers, outcome.trials) == (0, 0) and outcome.is_down
    assert len(outcome.failure) < 110
    for word in (SECRET, "secr", "Bad Request", "127.0.0.1"):
        assert word not in outcome.failure


def test_a_port_that_nobody_listens_on_is_one_sentence_and_what_it_has_is_not_known():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with pytest.raises(EndpointFailed, match="did not answer"):
        endpoint(port).keeps(MANIFEST)


def text(words: str) -> bytes:
    return struct.pack(">h", len(words)) + words.encode()


def advertise(host: str):
    """Give a handler that speaks for a broker and names another one in its metadata."""

    def handle(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while size := stream.read(4):
            request = stream.read(struct.unpack(">i", size)[0])
            kind, version, number = struct.unpack(">hhi", request[:8])
            if kind == 18:
                error = 35 if version > 2 else 0
                body = struct.pack(">hi", error, len(VERSIONS)) + b"".join(
                    struct.pack(">hhh", *one) for one in VERSIONS
                )
                body += struct.pack(">i", 0) if version in (1, 2) else b""
            elif kind == 3:
                body = (
                    struct.pack(">ii", 1, 7)
                    + text(host)
                    + struct.pack(">ihi", 9092, -1, 7)
                    + struct.pack(">i", 0)
                )
            else:
                return
            answer = struct.pack(">i", number) + body
            connection.sendall(struct.pack(">i", len(answer)) + answer)

    return handle


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("169.254.169.254", "machines' own services"),
        ("::1", "this machine itself"),
        ("0xa9fea9fe", "machines' own services"),
    ],
)
def test_a_host_that_a_cluster_advertises_is_judged_and_gets_no_connection(
    make_server, monkeypatch, host, words
):
    connect = socket.socket.connect_ex
    places = []

    def note(sock, place):
        places.append(place[0])
        return connect(sock, place)

    port = make_server(advertise(host))
    monkeypatch.setattr(socket.socket, "connect_ex", note)
    with pytest.raises(EndpointFailed, match=words):
        endpoint(port, user=None, password_secret=None, timeout_seconds=20).keeps(MANIFEST)
    assert set(places) == {"127.0.0.1"}


def test_a_name_that_means_this_machine_gets_no_connection(monkeypatch):
    from delivery.endpoints import networks

    addresses = [(0, 0, 0, "", ("93.184.216.34", 9092)), (0, 0, 0, "", ("127.0.0.1", 9092))]
    monkeypatch.setattr(networks.socket, "getaddrinfo", lambda *_, **__: addresses)
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: pytest.fail("a connection was made"))
    outcome = send(9092, brokers=["stream.example:9092"], networks=[], timeout_seconds=20)
    assert "nothing is sent there" in outcome.failure and outcome.is_down
