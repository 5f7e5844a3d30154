"""Clients of a cluster of Kafka: every connection goes to an address that was judged, and every exchange has a bound in time.

A cluster names further hosts in its answers (advertised listeners); they are judged like those of the settings. What a broker says
is never repeated: a failure is a sentence of ours and at most the name of its code.
"""

from __future__ import annotations

import logging
import math
import queue
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from delivery.endpoints.networks import resolve_host
from delivery.endpoints.outcome import EndpointFailed
from delivery.endpoints.settings import KafkaSettings
from lakehouse.errors import SettingsInvalid

Answer = TypeVar("Answer")
Tell = Callable[[EndpointFailed], None]

# Several records are sent together up to this size; a topic that takes less at once is no place for an audience.
BATCH_BYTES = 65_536
LEAST_MILLISECONDS = 1000
SECONDS_TO_CLOSE = 3
# The library's own log has addresses and words of brokers.
logging.getLogger("kafka").setLevel(logging.CRITICAL + 1)

_DENIED = "the user may not do that there"
_FINAL = {
    "SaslAuthenticationFailedError": "it refused the user or the password",
    "UnsupportedSaslMechanismError": "it does not know the mechanism",
    "TopicAuthorizationFailedError": _DENIED,
    "ClusterAuthorizationFailedError": _DENIED,
    "TransactionalIdAuthorizationFailedError": _DENIED,
    "InvalidTopicError": "it takes no topic of that name",
    "InvalidReplicationFactorError": "it has fewer brokers than a topic must have replicas",
    "InvalidPartitionsError": "it takes no topic with that many partitions",
    "PolicyViolationError": "its policy refuses the topic",
    "ProducerFencedError": "another sender writes to the same topic",
    "InvalidProducerEpochError": "another sender writes to the same topic",
    "UnsupportedVersionError": "it is too old: transactions are needed",
    "IncompatibleBrokerVersion": "it is too old: transactions are needed",
}
_PASSING = {
    "NotEnoughReplicasError": "it has too few replicas in step",
    "NotEnoughReplicasAfterAppendError": "it has too few replicas in step",
    "KafkaStorageError": "its disk does not take records",
}
# After these nothing else can be sent there now either.
_DOWN = ("SaslAuthenticationFailedError", "UnsupportedSaslMechanismError", *_PASSING)
_TIMEOUT = "it did not answer in time"


class JudgedConnections(KafkaConnectionManager):  # type: ignore[misc]
    """The connections of one client. What makes one impossible for good is told at once to ``tell``."""

    def __init__(self, network: NetworkSelector, networks: Sequence[str], tell: Tell, **options: Any) -> None:
        super().__init__(network, **options)
        self.networks = networks
        self.tell = tell
        # Else the library asks for a topic in a way that makes it.
        self.cluster.config["allow_auto_create_topics"] = False

    def get_connection(self, node_id: Any, *args: Any, **options: Any) -> Any:
        """Give a connection; that its user is refused is told, since the library tries again until its time is over."""
        is_new = node_id not in self._conns
        connection = super().get_connection(node_id, *args, **options)
        if is_new:
            connection.init_future.add_errback(self._tell_refusal)
        return connection

    def _tell_refusal(self, wrong: Exception) -> None:
        if isinstance(
            wrong, kafka_errors.SaslAuthenticationFailedError | kafka_errors.UnsupportedSaslMechanismError
        ):
            self.tell(failure_of(wrong))

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> KafkaTCPTransport:
        """Connect to the address that was judged, under the certificate of the name."""
        try:
            address = resolve_host(node.host, node.port, self.networks)
        except EndpointFailed as wrong:
            if wrong.is_final:
                self.tell(wrong)
            raise kafka_errors.KafkaConnectionError("refused") from None
        sock = await self._socket(address, node.port, timeout_at)
        if self.config["ssl_context"] is None:
            return KafkaTCPTransport(self._net, sock, host=node.host)
        transport = KafkaSSLTransport(self._net, sock, host=node.host, ssl_context=self.config["ssl_context"])
        try:
            await transport.handshake()
        except BaseException as wrong:
            transport.close()
            if isinstance(wrong, ssl.SSLCertVerificationError):
                self.tell(
                    EndpointFailed("its certificate is not one that we trust", is_final=True, is_down=True)
                )
            if isinstance(wrong, OSError):
                raise kafka_errors.KafkaConnectionError("no TLS") from None
            raise
        return transport

    async def _socket(self, address: str, port: int, timeout_at: float | None) -> socket.socket:
        """Give a socket that is connected; the library's own leaves one open where nobody listens."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await KafkaNetSocket().sock_connect(self._net, sock, (address, port), timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise
        return sock


@dataclass(frozen=True)
class ClusterAccess:
    """A cluster with the secrets that it is entered with."""

    settings: KafkaSettings
    password: bytes | None = field(default=None, repr=False)
    certificates: Path | None = None
    client_certificate: Path | None = None
    client_key: bytes | None = field(default=None, repr=False)

    def require_sound(self) -> None:
        """Refuse secrets and files that no broker could be entered with: ``SettingsInvalid`` that repeats none of them."""
        try:
            (self.password or b"").decode()
        except UnicodeDecodeError:
            raise SettingsInvalid(
                f"the secret '{self.settings.password_secret}' is no text in UTF-8"
            ) from None
        self.trust()

    def trust(self) -> ssl.SSLContext | None:
        """Give the TLS context; None where the network itself is protected. Wrong certificates raise ``SettingsInvalid``."""
        if self.settings.plain_connection:
            return None
        try:
            context = ssl.create_default_context(cafile=self.certificates)
        except OSError:
            raise SettingsInvalid(
                "this is no file of certificates in the form of PEM", file=self.certificates
            ) from None
        if self.client_certificate is not None:
            # The library of TLS reads keys from files alone; this one is its owner's and is gone at once.
            with tempfile.NamedTemporaryFile() as file:
                file.write(self.client_key or b"")
                file.flush()
                try:
                    context.load_cert_chain(self.client_certificate, file.name, password="")
                except (OSError, ValueError):
                    raise SettingsInvalid(
                        f"the certificate and the secret '{self.settings.client_key_secret}' are no pair in the form of PEM",
                        file=self.client_certificate,
                    ) from None
        return context

    @property
    def milliseconds(self) -> int:
        """How long a client waits for one answer."""
        return max(LEAST_MILLISECONDS, math.ceil(1000 * self.settings.timeout_seconds))

    def options(self) -> dict[str, Any]:
        """Give what every client is made with."""
        settings = self.settings
        milliseconds = self.milliseconds
        layer = "PLAINTEXT" if settings.plain_connection else "SSL"
        options: dict[str, Any] = {
            "bootstrap_servers": list(settings.brokers), "client_id": "oneid-cdp",
            "security_protocol": layer if settings.user is None else f"SASL_{layer}",
            "ssl_context": self.trust(), "request_timeout_ms": milliseconds,
            "bootstrap_timeout_ms": milliseconds, "reconnect_backoff_max_ms": 1000,
        }  # fmt: skip
        if settings.user is not None:
            options |= {
                "sasl_mechanism": settings.mechanism,
                "sasl_plain_username": settings.user,
                "sasl_plain_password": (self.password or b"").decode(),
            }
        return options


class Clients:
    """The clients of one attempt, each made when it is needed. What was given up makes no further ones, whoever holds it still."""

    def __init__(self, access: ClusterAccess, transactional_id: str, tell: Tell) -> None:
        self.access = access
        self.transactional_id = transactional_id
        self.tell = tell
        self.is_over = False

    @cached_property
    def producer(self) -> KafkaProducer:
        """The producer; what an earlier one of its name left open is ended before."""
        milliseconds = self.access.milliseconds
        producer = self._make(
            KafkaProducer, _end, transactional_id=self.transactional_id, acks="all", linger_ms=5, batch_size=BATCH_BYTES,
            max_request_size=self.access.settings.most_record_bytes + BATCH_BYTES, max_block_ms=milliseconds,
            delivery_timeout_ms=milliseconds + 5, transaction_timeout_ms=max(10_000, milliseconds), metrics_enabled=False,
        )  # fmt: skip
        try:
            producer.init_transactions()
        except BaseException:
            _end(producer)
            raise
        return producer

    @cached_property
    def consumer(self) -> KafkaConsumer:
        """A consumer that belongs to no group and sees what was committed."""
        return self._make(
            KafkaConsumer, KafkaConsumer.close, group_id=None, enable_auto_commit=False, isolation_level="read_committed",
            metrics_enabled=False,
        )  # fmt: skip

    @cached_property
    def admin(self) -> KafkaAdminClient:
        """A client that makes and describes topics."""
        return self._make(KafkaAdminClient, KafkaAdminClient.close)

    def give_up_producer(self) -> None:
        """Give up the producer alone: after a record that was too large the library counts on wrongly. The next one ends its transaction."""
        producer = self.__dict__.pop("producer", None)
        if producer is not None:
            _end(producer)

    def close(self) -> None:
        """Give up the clients. What waits for one of them waits no longer."""
        self.is_over = True
        thread = threading.Thread(target=self._give_up, name="kafka-close", daemon=True)
        thread.start()
        thread.join(SECONDS_TO_CLOSE)

    def _give_up(self) -> None:
        for name, end in (
            ("producer", _end),
            ("consumer", KafkaConsumer.close),
            ("admin", KafkaAdminClient.close),
        ):
            client = self.__dict__.pop(name, None)
            if client is not None:
                end(client)

    def _make(self, kind: Callable[..., Answer], end: Callable[[Answer], None], **options: Any) -> Answer:
        """Give a client; where it cannot be made, or is not wanted any more, all that it opened is closed by this thread."""
        clients: list[KafkaNetClient] = []

        def connect(**network_options: Any) -> KafkaNetClient:
            network = NetworkSelector(**network_options)
            connections = JudgedConnections(
                network, self.access.settings.networks, self.tell, **network_options
            )
            clients.append(KafkaNetClient(net=network, manager=connections, **network_options))
            return clients[-1]

        self._require_wanted()
        try:
            client = kind(**self.access.options(), kafka_client=connect, **options)
        except BaseException:
            for one in clients:
                one.close()
            raise
        if self.is_over:
            end(client)
        self._require_wanted()
        return client

    def _require_wanted(self) -> None:
        if self.is_over:
            raise EndpointFailed(_TIMEOUT, is_down=True)


class Cluster:
    """A cluster during one attempt: its clients are kept from exchange to exchange, and given up after every failure."""

    def __init__(self, access: ClusterAccess, transactional_id: str) -> None:
        self.access = access
        self.transactional_id = transactional_id
        self.clients: Clients | None = None
        self.answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def call(self, exchange: Callable[[Clients], Answer]) -> Answer:
        """Give what an exchange gives, within the time of one; what fails raises ``EndpointFailed``."""
        answers = self.answers = queue.SimpleQueue()
        clients = self.clients = self.clients or Clients(self.access, self.transactional_id, self._tell)

        def run() -> None:
            try:
                answers.put((exchange(clients), None))
            except BaseException as wrong:  # noqa: BLE001 - it is raised again where it is waited for
                answers.put((None, wrong))

        threading.Thread(target=run, name="kafka-exchange", daemon=True).start()
        is_done = False
        try:
            answer, wrong = answers.get(timeout=self.access.settings.timeout_seconds)
            if wrong is not None:
                raise wrong
            is_done = True
            return answer  # type: ignore[no-any-return]
        except queue.Empty:
            raise EndpointFailed(_TIMEOUT, is_down=True) from None
        except KafkaError as wrong:
            raise failure_of(wrong) from None
        except (OSError, ValueError, LookupError, RuntimeError, struct.error) as wrong:
            raise EndpointFailed(f"it did not answer ({type(wrong).__name__})", is_down=True) from None
        finally:
            if not is_done:
                self._close()

    def _tell(self, wrong: EndpointFailed) -> None:
        self.answers.put((None, wrong))

    def _close(self) -> None:
        clients, self.clients = self.clients, None
        if clients is not None:
            clients.close()


def _end(producer: KafkaProducer) -> None:
    """End a producer without waiting for what cannot be sent, as its ``close`` would."""
    producer._sender.force_close()
    producer._sender.join(SECONDS_TO_CLOSE)
    with suppress(KafkaError):
        producer.close(timeout=0)


def failure_of(wrong: KafkaError) -> EndpointFailed:
    """Give the sentence of an error of the library, of which nothing but its name is taken."""
    name = type(wrong).__name__
    if name in ("KafkaTimeoutError", "KafkaConnectionError", "NoBrokersAvailable", "NodeNotReadyError"):
        return EndpointFailed(_TIMEOUT, is_down=True)
    reason = _FINAL.get(name) or _PASSING.get(name)
    message = f"{reason} (it answered {name})" if reason else f"it answered {name}"
    is_passing = name in _PASSING or bool(getattr(wrong, "retriable", False))
    return EndpointFailed(message, is_final=not is_passing, is_down=name in _DOWN)
