"""What ``destinations.yml`` says of an endpoint. Secrets are named there and stand in files or in the environment."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from delivery.endpoints.networks import address_fault, literal_address
from lakehouse.query.hashing import text_hash

SecretName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Network = Annotated[str, Field(min_length=1)]
DatabaseName = Annotated[str, Field(min_length=1)]
Account = Annotated[str, Field(min_length=1, max_length=255)]
# PostgreSQL cuts longer names, and two of them could mean one table.
MOST_NAME_BYTES = 63
_PLACE_LENGTH = 12


class EndpointSettings(BaseModel):
    """What every endpoint has: how long one answer and one night may take, and which networks are allowed that else are not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_seconds: float = Field(default=30, gt=0, le=600)
    give_up_after_seconds: float = Field(default=300, gt=0, le=3600)
    networks: tuple[Network, ...] = ()
    certificates: str | None = None

    @field_validator("networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError("write networks like 10.20.0.0/16") from None
        return value

    @property
    def place(self) -> str:
        """What tells where audiences are sent to from any other place, as a hash: addresses stand in no table."""
        return text_hash(*self._place_names())[:_PLACE_LENGTH]

    def _place_names(self) -> tuple[str, ...]:
        raise NotImplementedError

    def require_host(self, host: str) -> None:
        """Refuse a host that is an address nothing is sent to."""
        address = literal_address(host)
        fault = address and address_fault(address, self.networks)
        if fault:
            raise ValueError(f"its host {fault}; where it is meant, name it in networks:")


class HttpSettings(EndpointSettings):
    """An HTTP endpoint that takes batches of operations."""

    url: str
    credential_secret: SecretName | None = None
    batch_rows: int = Field(default=1000, ge=1, le=100_000)
    plain_http: bool = False

    @model_validator(mode="after")
    def _url(self) -> HttpSettings:
        # No sentence repeats the URL: it may hold what should not stand there.
        if not re.fullmatch(r"[!-~]+", self.url):
            raise ValueError("the url has a sign that no URL has, such as a space or a line break")
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            raise ValueError("the url cannot be read") from None
        if parts.scheme not in ("https", "http"):
            raise ValueError("the url must begin with https://")
        if parts.scheme == "http" and not self.plain_http:
            raise ValueError(
                "the url must begin with https://; set plain_http: true where the network itself is protected"
            )
        if not parts.hostname or port == 0:
            raise ValueError("the url names no host")
        if "@" in parts.netloc:
            raise ValueError(
                "the url holds a user or a password; keep it as a secret and name that in credential_secret:"
            )
        if parts.query or parts.fragment:
            raise ValueError(
                "the url has a part after ? or #; keep a token as a secret and name that in credential_secret:"
            )
        self.require_host(parts.hostname)
        return self

    def _place_names(self) -> tuple[str, ...]:
        return ("http", self.url)

    @property
    def parts(self) -> SplitResult:
        """The URL in its parts."""
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """The host's name."""
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        """The port, else that of the scheme."""
        return self.parts.port or (443 if self.parts.scheme == "https" else 80)


class PostgresqlSettings(EndpointSettings):
    """A schema of a PostgreSQL database that has a table for each audience."""

    host: str
    port: int = Field(default=5432, ge=1, le=65_535)
    database: DatabaseName
    user: DatabaseName
    password_secret: SecretName
    schema_name: DatabaseName
    batch_rows: int = Field(default=1000, ge=1, le=10_000)
    plain_connection: bool = False

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        # The sentence does not repeat the value: it may hold what should not stand there.
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?|::1?", value) or "://" in value:
            raise ValueError(
                "the host is the name or address of a machine alone; user, database and port have keys of their own, "
                "and the password is a secret that password_secret: names"
            )
        return value

    @field_validator("database", "user", "schema_name")
    @classmethod
    def _name(cls, value: str) -> str:
        if len(value.encode()) > MOST_NAME_BYTES or not value.isprintable():
            raise ValueError(f"a name of PostgreSQL has at most {MOST_NAME_BYTES} bytes, all printable")
        return value

    @model_validator(mode="after")
    def _allowed_host(self) -> PostgresqlSettings:
        self.require_host(self.host)
        return self

    def _place_names(self) -> tuple[str, ...]:
        # Hosts of one database change; a table that is not there is noticed when it is written.
        return ("postgresql", self.database, self.schema_name)


class TopicCreation(BaseModel):
    """How a topic is made that is not there. Its cleanup.policy is always ``compact``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partitions: int = Field(ge=1, le=1000)
    replication_factor: int = Field(ge=1, le=100)
    min_insync_replicas: int = Field(ge=1, le=100)

    @model_validator(mode="after")
    def _in_sync(self) -> TopicCreation:
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError("min_insync_replicas is more than replication_factor: nothing could be written")
        return self


class KafkaSettings(EndpointSettings):
    """A cluster of Kafka that has a topic for each audience."""

    brokers: tuple[str, ...] = Field(min_length=1)
    topic_prefix: str
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    user: Account | None = None
    password_secret: SecretName | None = None
    client_certificate: str | None = None
    client_key_secret: SecretName | None = None
    create_topics: TopicCreation | None = None
    batch_rows: int = Field(default=1000, ge=1, le=10_000)
    most_record_bytes: int = Field(default=1_000_000, ge=1000, le=100_000_000)
    plain_connection: bool = False

    @field_validator("brokers")
    @classmethod
    def _brokers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for broker in value:
            place = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", broker)
            # The sentence does not repeat the value: it may hold what should not stand there.
            if place is None or not 1 <= int(place[2]) <= 65_535:
                raise ValueError(
                    "a broker is host:port alone, such as kafka1.bank.example:9093; user and password have keys of their own"
                )
        return value

    @field_validator("topic_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,120}", value):
            raise ValueError(
                "a prefix of topics has letters, digits, '.', '_' and '-' alone, at most 120 of them"
            )
        return value

    def _place_names(self) -> tuple[str, ...]:
        # Brokers of one cluster change; a topic that is not there is noticed when it is written.
        return ("kafka", self.topic_prefix)

    @model_validator(mode="after")
    def _access(self) -> KafkaSettings:
        for broker in self.brokers:
            self.require_host(broker.rpartition(":")[0].strip("[]"))
        if (self.user is None) != (self.password_secret is None):
            raise ValueError("user and password_secret belong together")
        if (self.client_certificate is None) != (self.client_key_secret is None):
            raise ValueError("client_certificate and client_key_secret belong together")
        if self.plain_connection and self.client_certificate is not None:
            raise ValueError("a client_certificate needs TLS: take plain_connection away")
        if self.plain_connection and self.user is not None and self.mechanism == "PLAIN":
            raise ValueError(
                "mechanism PLAIN shows the password to the network: take plain_connection away, or SCRAM"
            )
        return self
