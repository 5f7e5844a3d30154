"""The signature of a manifest: by a destination's verification key one can tell that another hand wrote it.

HMAC-SHA256 over the bytes of the manifest, in a file beside it. The key is another one than that of the recipients: who
verifies cannot compute whose key a recipient has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from delivery.manifest import MANIFEST
from vocabulary.signatures import is_signature, key_id

SIGNATURE = "_manifest.hmac"
PROFILE = "hmac-sha256"


def verification_secret(destination: str) -> str:
    """Give the name of the secret by which the manifests of a destination are signed."""
    return f"verification_key_{destination}"


def is_signed(manifest: Mapping[str, Any], key: bytes) -> bool:
    """Tell whether a manifest says that it is signed by this key; earlier ones are not signed at all."""
    return bool(manifest.get("signature", {}).get("key_id") == key_id(key))


def signature_fault(run: Path, manifest: Mapping[str, Any], key: bytes) -> str | None:
    """Give what is wrong with the signature of a run's manifest; None where the key made it."""
    if "signature" not in manifest and not (run / SIGNATURE).exists():
        return f"{MANIFEST} is not signed"
    if not is_signed(manifest, key):
        name = manifest.get("signature", {}).get("key_id")
        return f"{MANIFEST} is signed by the key {name}, and the verification key at hand is {key_id(key)}"
    if not (run / SIGNATURE).is_file():
        return f"{SIGNATURE} is missing"
    if not is_signature(run / SIGNATURE, (run / MANIFEST).read_bytes(), key):
        return f"{MANIFEST} does not have the signature of the verification key: another hand wrote it"
    return None
