"""The head of the record of decisions, kept apart from it: ``decisions.json`` in the lake's folder, sealed by ``decisions_key``.

A chain alone does not show that its end, or all of it, is gone. The head says how many decisions there are and which is the newest; a
record that does not hold that one is refused. The record is written first: after a crash between both it is one decision longer than
its head, which is no fault, and the next decision or night moves the head on.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from delivery.contract.verify_audience import signature_of
from lakehouse.errors import StepFailed
from lakehouse.settings.file_rights import closed_files
from lakehouse.settings.yaml_limits import open_file

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings

FILE: Final = "decisions.json"
_MOST_BYTES = 4_096


@dataclass(frozen=True)
class RecordHead:
    """How many decisions a record has at least, and the signature of that one."""

    count: int
    signature: str


def head_file(settings: Settings) -> Path:
    """Give the file of the head."""
    return settings.lake / FILE


def read_head(settings: Settings, secret: str) -> RecordHead | None:
    """Give the head; None where none was written yet. One that this workspace did not seal raises ``StepFailed``."""
    file = head_file(settings)
    if not os.path.lexists(file):
        return None
    with open_file(file, "head of decisions") as stream:
        body = stream.read(_MOST_BYTES)
    try:
        tree = json.loads(body)
        head = RecordHead(int(tree["count"]), str(tree["signature"]))
        is_own = secrets.compare_digest(str(tree["seal"]), _seal(head, settings.secret(secret)))
    except (ValueError, KeyError, TypeError):
        is_own = False
    if not is_own:
        raise StepFailed(
            f"the head of the decisions is not sealed by this workspace's {secret}; restore it with audit/ from a backup, or"
            " begin anew: cdp segments begin-anew",
            file=file,
        )
    return head


def write_head(settings: Settings, head: RecordHead, secret: str) -> None:
    """Seal a head and put it in its place at once; the disk's refusal raises ``OSError``."""
    file = head_file(settings)
    tree = {"count": head.count, "signature": head.signature, "seal": _seal(head, settings.secret(secret))}
    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    with closed_files(settings):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(json.dumps(tree) + "\n")
                stream.flush()
                os.fsync(handle)
            part.replace(file)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def _seal(head: RecordHead, key: bytes) -> str:
    return signature_of(f"head of decisions|{head.count}|{head.signature}".encode(), key)
