"""The signature of a manifest: by a destination's verification key one can tell that another hand wrote it.

HMAC-SHA256 over the bytes of the manifest, in a file beside it. The key is another one than that of the recipients: who
verifies cannot compute whose key a recipient has.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from delivery.manifest import MANIFEST

SIGNATURE = "_manifest.hmac"
PROFILE = "hmac-sha256"


def verification_secret(destination: str) -> str:
    """Give the name of the secret by which the manifests of a destination are signed."""
    return f"verification_key_{destination}"


def key_id(secret: bytes) -> str:
    """Give what a manifest calls a key, so that a changed key is seen; the key does not follow from it."""
    return sha256(b"key id|" + secret).hexdigest()[:12]


def signature_of(body: bytes, key: bytes) -> str:
    """Give the signature of a manifest's bytes."""
    return hmac.digest(key, body, "sha256").hex()


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
    words = (run / SIGNATURE).read_text(encoding="ascii", errors="replace").split()
    signature = signature_of((run / MANIFEST).read_bytes(), key)
    if not words or not hmac.compare_digest(words[0].encode(), signature.encode()):
        return f"{MANIFEST} does not have the signature of the verification key: another hand wrote it"
    return None
