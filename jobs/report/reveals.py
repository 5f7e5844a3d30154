"""The record of reveals: who saw identifiers unmasked, when, why and of which tables.

``audit/reveals.jsonl`` of the workspace has one JSON object per reveal. Lines are only ever added. It is a file and no
table of the lake: a reader may not write there, and a night that is taken back must not take a reveal with it.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Sequence
from typing import Any, Final

from lakehouse.clock import now
from lakehouse.errors import StepFailed
from lakehouse.query.published import Publication
from lakehouse.settings.settings import Settings

FOLDER: Final = "audit"
FILE: Final = "reveals.jsonl"


def record_reveal(
    settings: Settings, reason: str, publication: Publication, tables: Sequence[str]
) -> dict[str, Any]:
    """Add a reveal and give its entry; ``StepFailed`` where it cannot be written, so that nothing is shown unrecorded.

    The user is the one the operating system knows, whatever the environment says.
    """
    entry = {
        "revealed_at": now().isoformat(timespec="seconds"),
        "user": _user(),
        "reason": reason,
        "business_date": publication.business_date.isoformat(),
        "run_id": publication.run_id,
        "tables": list(tables),
    }
    folder = settings.workspace / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(handle)
    except OSError as wrong:
        raise StepFailed(
            f"the reveal cannot be recorded, so nothing is shown: {wrong.strerror}", file=folder / FILE
        ) from None
    return entry


def _user() -> str:
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
