"""Signatures by a shared key: HMAC-SHA256 over the bytes of a file, its hexadecimal digits first in a file beside it."""

from __future__ import annotations

import hmac
from hashlib import sha256
from pathlib import Path


def key_id(secret: bytes) -> str:
    """Give what a file calls a key, so that a changed key is seen; the key does not follow from it."""
    return sha256(b"key id|" + secret).hexdigest()[:12]


def signature_of(body: bytes, key: bytes) -> str:
    """Give the signature of a file's bytes."""
    return hmac.digest(key, body, "sha256").hex()


def is_signature(file: Path, body: bytes, key: bytes) -> bool:
    """Tell whether a file holds the signature that the key makes of these bytes."""
    with file.open(encoding="ascii", errors="replace") as stream:
        words = stream.read(1024).split()
    return bool(words) and hmac.compare_digest(words[0].encode(), signature_of(body, key).encode())
