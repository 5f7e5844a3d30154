"""Verifying delivered audiences for a command line: by the file that consumers have, with the platform's own errors."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from delivery.contract import verify_audience
from delivery.contract.verify_audience import Keys, NoAudience, Verification, no_keys
from lakehouse.errors import UsageError


def verify(
    folder: Path, *, at: datetime | None = None, keys: Keys = no_keys, needs_signature: bool = False
) -> list[Verification]:
    """Verify every run below a folder; see ``verify_audience.verify``. A folder without any run raises ``UsageError``."""
    try:
        return verify_audience.verify(folder, at=at, keys=keys, needs_signature=needs_signature)
    except NoAudience as wrong:
        raise UsageError(str(wrong)) from None
