"""The endpoint of a destination with its secrets, and what it lacks."""

from __future__ import annotations

from pathlib import Path

from delivery.destinations import Destination, read_destinations
from delivery.endpoints.outcome import Endpoint
from delivery.endpoints.settings import EndpointSettings, HttpSettings, KafkaSettings, PostgresqlSettings
from delivery.signature import verification_secret
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import Settings, find_secret, secret_file


def endpoint_of(settings: Settings, name: str, destination: Destination) -> Endpoint:
    """Give the endpoint of a destination that has one; a secret or a file that is missing raises ``SettingsInvalid``."""
    if destination.http is not None:
        return _http_endpoint(settings, name, destination.http, settings.secret(verification_secret(name)))
    if destination.postgresql is not None:
        return _postgresql_endpoint(settings, name, destination.postgresql)
    if destination.kafka is not None:
        return _kafka_endpoint(settings, name, destination.kafka, settings.secret(verification_secret(name)))
    raise AssertionError(f"{name} is a folder")


def require_endpoints(settings: Settings) -> None:
    """Refuse a workspace where a secret or a file of an endpoint is missing: ``SettingsInvalid`` with the first. Nothing is made."""
    for name, destination in read_destinations(settings.workspace).items():
        if destination.http is not None:
            settings.require_secret(verification_secret(name))
            _http_endpoint(settings, name, destination.http, b"")
        if destination.postgresql is not None:
            _postgresql_endpoint(settings, name, destination.postgresql)
        if destination.kafka is not None:
            settings.require_secret(verification_secret(name))
            _kafka_endpoint(settings, name, destination.kafka, b"")


def _http_endpoint(settings: Settings, name: str, http: HttpSettings, signing_key: bytes) -> Endpoint:
    from delivery.endpoints.http import HttpEndpoint, require_credential

    credential = None
    if http.credential_secret is not None:
        credential = _secret_of_others(settings, name, http.credential_secret)
        require_credential(http.credential_secret, credential)
    return HttpEndpoint(http, signing_key, credential, _certificates(settings, name, http))


def _postgresql_endpoint(settings: Settings, name: str, postgresql: PostgresqlSettings) -> Endpoint:
    from delivery.endpoints.postgresql import PostgresqlEndpoint

    password = _secret_of_others(settings, name, postgresql.password_secret)
    return PostgresqlEndpoint(postgresql, password, _certificates(settings, name, postgresql))


def _kafka_endpoint(settings: Settings, name: str, kafka: KafkaSettings, signing_key: bytes) -> Endpoint:
    from delivery.endpoints.kafka import KafkaEndpoint
    from delivery.endpoints.kafka_clients import ClusterAccess

    password, client_key = (
        None if secret is None else _secret_of_others(settings, name, secret)
        for secret in (kafka.password_secret, kafka.client_key_secret)
    )
    access = ClusterAccess(
        kafka, password, _certificates(settings, name, kafka),
        _file(settings, name, kafka.client_certificate, "client certificate"), client_key,
    )  # fmt: skip
    access.require_sound()
    return KafkaEndpoint(access, signing_key)


def _secret_of_others(settings: Settings, name: str, secret: str) -> bytes:
    """Give a secret that another system chose, which is never made here."""
    value = find_secret(secret, settings.workspace)
    if value is None:
        raise SettingsInvalid(
            f"the secret '{secret}' of destination '{name}' is missing: set CDP_SECRET_{secret.upper()} or write it to "
            f"{secret_file(settings.workspace, secret)} (mode 0600)"
        )
    return value


def _certificates(settings: Settings, name: str, endpoint: EndpointSettings) -> Path | None:
    return _file(settings, name, endpoint.certificates, "certificates")


def _file(settings: Settings, name: str, text: str | None, what: str) -> Path | None:
    if text is None:
        return None
    file = (settings.workspace / Path(text).expanduser()).resolve()
    if not file.is_file():
        verb = "are" if what.endswith("s") else "is"
        raise SettingsInvalid(f"the {what} of destination '{name}' {verb} not there", file=file)
    return file
