"""The workspace's key: sensitive identifiers are stored as keyed hashes, so the key must stay the same."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from typing import TYPE_CHECKING

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import FILE_NAME, Settings

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

SECRET = "identity_key"
_FIXED_TEXT = b"identity key fingerprint"


def fingerprint(key: bytes) -> str:
    """Give 128 bits that tell keys apart and say nothing about them."""
    return hmac.digest(key, _FIXED_TEXT, hashlib.sha256().name)[:16].hex()


def workspace_key(lake: Lake, business_date: date) -> bytes:
    """Give the key of the workspace; one that differs from the key of earlier nights raises ``SettingsInvalid``."""
    fingerprints = lake.read_arrow("identity.keys", columns=["fingerprint"])["fingerprint"].to_pylist()
    key = known_key(lake.settings, fingerprints)
    if not fingerprints:
        lake.append_rows("identity.keys", [{"fingerprint": fingerprint(key), "first_used_on": business_date}])
    return key


def known_key(settings: Settings, fingerprints: list[str]) -> bytes:
    """Give the key of the workspace; ``SettingsInvalid`` where it has none of the ``known`` fingerprints."""
    key = settings.secret(SECRET)
    if fingerprints and fingerprint(key) not in fingerprints:
        raise SettingsInvalid(
            f"the secret '{SECRET}' is not the one this lake's identifiers were hashed with: bring the old key back "
            f"(CDP_SECRET_{SECRET.upper()} or secrets/{SECRET}.key); with another key nobody would be recognised",
            file=settings.workspace / FILE_NAME,
        )
    return key
