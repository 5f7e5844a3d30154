"""Sending operations to an HTTP endpoint, in batches that may be repeated.

Each batch has a connection of its own, to an address that was checked, and a bound in time for the whole of the exchange; so no
answer can be taken for that of another batch, and a slow endpoint cannot hold the lake. No redirect is followed, no proxy and no
credentials of the environment are used.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from delivery.contract.verify_audience import CONTRACT_VERSION, PROFILE, key_id, signature_of
from delivery.endpoints.batches import Row, finite, send_batches
from delivery.endpoints.networks import resolve_host
from delivery.endpoints.outcome import CODE, EndpointFailed, Outcome, Shipment
from delivery.endpoints.settings import HttpSettings
from lakehouse.errors import SettingsInvalid

MOST_ANSWER_BYTES = 8 * 2**20
# Answers after which the same batch may be taken a moment later.
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507})
_PIECE = 65_536


@dataclass(frozen=True)
class HttpEndpoint:
    """An HTTP endpoint with its secrets."""

    settings: HttpSettings
    signing_key: bytes = field(repr=False)
    credential: bytes | None = field(default=None, repr=False)
    certificates: Path | None = None

    def keeps(self, manifest: Mapping[str, Any]) -> bool:
        """Tell that what was sent is there still: an endpoint answers for what it took."""
        return True

    def send(self, shipment: Shipment, *, deadline: float) -> Outcome:
        """Send the operations batch by batch; see ``delivery.endpoints.outcome.Endpoint``."""

        def take(number: int, rows: list[Row]) -> Mapping[str, str]:
            return self._exchange(shipment, number, batch_body(shipment, number, rows), rows)

        return send_batches(shipment, self.settings.batch_rows, take, deadline=deadline)

    def _exchange(self, shipment: Shipment, number: int, body: bytes, rows: list[Row]) -> dict[str, str]:
        connection = self._connection()
        expiry: threading.Timer | None = None
        was_cut = threading.Event()
        try:
            connection.connect()
            # The connection forgets its socket once an answer begins that ends with it.
            expiry = threading.Timer(self.settings.timeout_seconds, _cut, [connection.sock, was_cut])
            expiry.daemon = True
            expiry.start()
            headers = self._headers(shipment, number, body)
            path = self.settings.parts.path or "/"
            connection.request("POST", path, body=body, headers=headers, preload_content=False)
            response = connection.getresponse()
            content = _content(response)
            # An answer that ends with its connection looks whole when the connection is cut.
            if was_cut.is_set():
                raise TimeoutError
        except ssl.SSLError:
            raise EndpointFailed(
                "its certificate is not one that we trust", is_final=True, is_down=True
            ) from None
        except (HTTPError, HTTPException, OSError, ValueError) as wrong:
            raise EndpointFailed(f"it did not answer ({type(wrong).__name__})", is_down=True) from None
        finally:
            if expiry is not None:
                expiry.cancel()
            connection.close()
        _require_good(response)
        return rejects_of(content, [row["recipient_key"] for row in rows])

    def _connection(self) -> HTTPConnection:
        settings = self.settings
        limit = settings.timeout_seconds
        address = resolve_host(settings.host, settings.port, settings.networks)
        if settings.parts.scheme == "http":
            return HTTPConnection(address, settings.port, timeout=limit)
        context = ssl.create_default_context(cafile=self.certificates)
        return HTTPSConnection(
            address, settings.port, timeout=limit, ssl_context=context, server_hostname=settings.host
        )

    def _headers(self, shipment: Shipment, number: int, body: bytes) -> dict[str, str]:
        """Give the headers; of what a person may have named, none of them holds anything."""
        digest = sha256(body).hexdigest()
        headers = {
            "Host": self.settings.parts.netloc,
            "Content-Type": "application/json; charset=utf-8",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": "oneid-cdp",
            "Idempotency-Key": f"{shipment.run_id}-{number}-{digest[:16]}",
            "X-CDP-Signature": f"{PROFILE} {key_id(self.signing_key)} {signature_of(body, self.signing_key)}",
        }
        if self.credential is not None:
            headers["Authorization"] = f"Bearer {self.credential.decode('ascii')}"
        return headers


def require_credential(name: str, credential: bytes) -> None:
    """Refuse a credential that cannot stand in a header; the sentence does not repeat it."""
    if not re.fullmatch(rb"[!-~]+", credential):
        raise SettingsInvalid(
            f"the secret '{name}' has a sign that no header can carry, such as a space or a line break"
        )


def batch_body(shipment: Shipment, number: int, rows: list[Row]) -> bytes:
    """Give the body of one batch. The same rows of the same run give the same bytes in every attempt."""
    manifest = shipment.manifest
    body = {
        "contract_version": CONTRACT_VERSION,
        **{key: manifest[key] for key in ("destination", "segment", "version", "purpose", "run_id", "seq",
                                          "as_of", "valid_until")},
        "manifest_sha256": shipment.manifest_sha256,
        "batch": number,
        "rows": [{name: finite(cell) for name, cell in row.items()} for row in rows],
    }  # fmt: skip
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def rejects_of(content: bytes, keys: list[str]) -> dict[str, str]:
    """Give recipient_key → code of an answer to rows with these keys; an answer that cannot be true raises ``EndpointFailed``.

    Every row is either accepted or rejected, once: the endpoint says how many it accepted and names the others.
    """
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        raise EndpointFailed("its answer is no JSON") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("rejected", []), list):
        raise EndpointFailed("its answer does not say what it accepted and rejected")
    number = tree.get("accepted")
    if not isinstance(number, int) or isinstance(number, bool):
        raise EndpointFailed("its answer does not say what it accepted and rejected")
    rejects: dict[str, str] = {}
    for entry in tree.get("rejected", []):
        key, code = (
            (entry.get("recipient_key"), entry.get("code")) if isinstance(entry, Mapping) else (None,) * 2
        )
        if not isinstance(key, str) or not isinstance(code, str) or not CODE.fullmatch(code):
            raise EndpointFailed("its answer rejects a row without a key or without a code")
        if key in rejects:
            raise EndpointFailed("its answer rejects a row twice")
        rejects[key] = code
    if not rejects.keys() <= set(keys):
        raise EndpointFailed("its answer rejects a row that was not sent")
    if number + len(rejects) != len(keys):
        raise EndpointFailed(
            f"its answer accounts for {number + len(rejects)} rows, and {len(keys)} were sent"
        )
    return rejects


def _content(response: BaseHTTPResponse) -> bytes:
    """Give the body of an answer as it was sent; one above the limit is not read to its end."""
    content = bytearray()
    while piece := response.read(_PIECE, decode_content=False):
        content += piece
        if len(content) > MOST_ANSWER_BYTES:
            raise EndpointFailed(f"its answer is larger than {MOST_ANSWER_BYTES} bytes")
    return bytes(content)


def _require_good(response: BaseHTTPResponse) -> None:
    status = response.status
    if status == 200:
        return
    if 300 <= status < 400:
        raise EndpointFailed(
            f"it answered {status}: redirects are not followed; name the place itself in url:", is_final=True
        )
    if status in _PASSING:
        raise EndpointFailed(
            f"it answered {status}", is_down=status in (429, 503, 507), pause=_pause_of(response)
        )
    raise EndpointFailed(f"it answered {status}", is_final=True, is_down=status in (401, 403, 404))


def _pause_of(response: BaseHTTPResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _cut(sock: socket.socket, was_cut: threading.Event) -> None:
    """End what a connection waits for, whatever it waits for; under TLS too, whose own goodbye would wait."""
    was_cut.set()
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return
