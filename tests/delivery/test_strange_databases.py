"""What answers in the place of a PostgreSQL server: no server at all, another one, one that never ends. No real server is needed."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing

import pyarrow as pa
import pytest

from delivery.endpoints.outcome import EndpointFailed, Shipment
from delivery.endpoints.postgresql import PostgresqlEndpoint
from delivery.endpoints.settings import PostgresqlSettings

MANIFEST = {
    "destination": "warehouse",
    "segment": "rich",
    "run_id": "abc",
    "schema": [],
    "key": {"key_id": "0123456789abcdef"},
}
SECRET = "a password for tests only"


def endpoint(port: int, **changes) -> PostgresqlEndpoint:
    settings = {"host": "127.0.0.1", "port": port, "database": "dw", "user": "writer", "password_secret": "dw_password",
                "schema_name": "audiences", "networks": ["127.0.0.0/8"], "plain_connection": True, "timeout_seconds": 0.4, **changes}  # fmt: skip
    return PostgresqlEndpoint(PostgresqlSettings(**settings), SECRET.encode())


def send(port: int, seconds: float = 0.1, **changes):
    rows = pa.table({"op": ["ENTER"], "recipient_key": ["0" * 32]})
    return endpoint(port, **changes).send(
        Shipment(MANIFEST, "hash", 1, rows), deadline=time.monotonic() + seconds
    )


@pytest.fixture
def make_server():
    """A function that listens and gives each connection to a handler; gives the port."""
    servers = []

    def make(handle) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65_536)
                        handle(connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        return server.getsockname()[1]

    yield make
    for server in servers:
        server.close()


def drip(connection: socket.socket) -> None:
    # A notice of 200 bytes, one at a time: each of them comes before a read is over its time.
    connection.sendall(b"N\0\0\0\xcc")
    for _ in range(200):
        connection.sendall(b"x")
        time.sleep(0.2)


STRANGE = {
    "another protocol": lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\nyour a password for tests only"),
    "a message that nobody knows": lambda connection: connection.sendall(b"\xff\0\0\0\x04"),
    "a length that cannot be": lambda connection: connection.sendall(b"R\xff\xff\xff\xff"),
    "an end": lambda connection: None,
    "silence": lambda connection: time.sleep(15),
    "dripping": drip,
    "an error without a code": lambda connection: connection.sendall(b"E\0\0\0\x12Msecret words\0"),
    "an error with a strange code": lambda connection: connection.sendall(b"E\0\0\0\x0fCMr Smith\0\0"),
    "a way to prove oneself that nobody knows": lambda connection: connection.sendall(b"R\0\0\0\x08\0\0\0\x63"),
}  # fmt: skip


@pytest.mark.parametrize("handle", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("plain_connection", [True, False])
def test_what_is_no_database_costs_a_bound_of_time_and_is_one_sentence(make_server, handle, plain_connection):
    began = time.monotonic()
    outcome = send(make_server(handle), plain_connection=plain_connection)
    assert time.monotonic() - began < 30
    assert (outcome.answers, outcome.trials) == (0, 0) and outcome.is_down
    assert len(outcome.failure) < 110
    for word in (SECRET, "secret words", "Smith", "Bad Request"):
        assert word not in outcome.failure


def test_a_port_that_nobody_listens_on_is_one_sentence_and_what_it_has_is_not_known():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    assert send(port).failure == "it did not answer (ConnectionRefusedError)"
    with pytest.raises(EndpointFailed, match="did not answer"):
        endpoint(port).keeps(MANIFEST)


def test_a_name_that_means_this_machine_gets_no_connection(monkeypatch):
    from delivery.endpoints import networks

    addresses = [(0, 0, 0, "", ("93.184.216.34", 5432)), (0, 0, 0, "", ("127.0.0.1", 5432))]
    monkeypatch.setattr(networks.socket, "getaddrinfo", lambda *_, **__: addresses)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("a connection was made"))
    assert "nothing is sent there" in send(5432, host="db.example", networks=[]).failure


def test_a_connection_is_made_to_the_address_that_was_judged(monkeypatch):
    """A name that is asked for again may mean another address a moment later."""
    from delivery.endpoints import networks

    places = []

    def refuse(place, **_):
        places.append(place)
        raise ConnectionRefusedError

    address = [(0, 0, 0, "", ("93.184.216.34", 5432))]
    monkeypatch.setattr(networks.socket, "getaddrinfo", lambda *_, **__: address)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert send(5432, host="db.example", networks=[]).is_down
    assert set(places) == {("93.184.216.34", 5432)}
