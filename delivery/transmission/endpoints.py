"""The endpoint of a destination with its secrets, and what it lacks."""

from __future__ import annotations

from pathlib import Path

from delivery.destinations import Destination, read_destinations
from delivery.endpoints.outcome import Endpoint
from delivery.endpoints.settings import EndpointSettings, HttpSettings
from delivery.signature import verification_secret
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import Settings, find_secret, secret_file


def endpoint_of(settings: Settings, name: str, destination: Destination) -> Endpoint:
    """Give the endpoint of a destination that has one; a secret or a file that is missing raises ``SettingsInvalid``."""
    from delivery.endpoints.http import HttpEndpoint

    http = destination.http
    if http is None:
        raise AssertionError(f"{name} is a folder")
    return HttpEndpoint(
        http,
        settings.secret(verification_secret(name)),
        _credential(settings, name, http),
        _certificates(settings, name, http),
    )


def require_endpoints(settings: Settings) -> None:
    """Refuse a workspace where a secret or a file of an endpoint is missing: ``SettingsInvalid`` with the first. Nothing is made."""
    for name, destination in read_destinations(settings.workspace).items():
        if destination.http is not None:
            settings.require_secret(verification_secret(name))
            _credential(settings, name, destination.http)
            _certificates(settings, name, destination.http)


def _credential(settings: Settings, name: str, endpoint: HttpSettings) -> bytes | None:
    """Give the secret that another system chose, which is never made here; None where none is named."""
    from delivery.endpoints.http import require_credential

    secret = endpoint.credential_secret
    if secret is None:
        return None
    value = find_secret(secret, settings.workspace)
    if value is None:
        raise SettingsInvalid(
            f"the secret '{secret}' of destination '{name}' is missing: set CDP_SECRET_{secret.upper()} or write it to "
            f"{secret_file(settings.workspace, secret)} (mode 0600)"
        )
    require_credential(secret, value)
    return value


def _certificates(settings: Settings, name: str, endpoint: EndpointSettings) -> Path | None:
    if endpoint.certificates is None:
        return None
    file = (settings.workspace / Path(endpoint.certificates).expanduser()).resolve()
    if not file.is_file():
        raise SettingsInvalid(f"the certificates of destination '{name}' are not there", file=file)
    return file
