"""The name of the secret by which the manifests of a destination are signed; the method stands in ``delivery.contract.verify_audience``.

HMAC-SHA256 over the bytes of the manifest, in a file beside it. The key is another one than that of the recipients: who
verifies cannot compute whose key a recipient has.
"""

from __future__ import annotations


def verification_secret(destination: str) -> str:
    """Give the name of the secret by which the manifests of a destination are signed."""
    return f"verification_key_{destination}"
