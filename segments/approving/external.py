"""Approvals of other systems: ``approvals/<system>/*.json`` of a workspace, each with its signature in ``<name>.json.hmac`` beside it.

The key is the secret ``approval_key_<system>``, which the other system has too. A file that the key did not sign counts for nothing.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from delivery.contract.verify_audience import is_signature
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.settings import Settings, find_secret
from segments.language.spec import Stage

FOLDER = "approvals"
SUFFIX = ".hmac"
MOST_BYTES = 64 * 1024


class ExternalFile(BaseModel):
    """A decision of another system as it wrote it; a withdrawal counts against every approval of its id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    approval_id: Annotated[str, Field(min_length=1, max_length=200)]
    decision: Literal["approved", "withdrawn"]
    code: str
    version: str
    definition_hash: str
    basis: str
    stage: Stage
    approved_by: str
    approved_at: datetime
    until: date | None = None


@dataclass(frozen=True)
class ExternalApproval:
    """One file of another system: what it says, or why it counts for nothing."""

    system: str
    file: Path
    content: ExternalFile | None
    fault: str | None = None


def secret_of(system: str) -> str:
    """Give the name of the secret by which a system signs."""
    return f"approval_key_{system}"


def approval_files(workspace: Path) -> list[Path]:
    """Give the files of all systems with their signatures, sorted."""
    systems = [place for place in files_in(workspace / FOLDER, "*") if not place.is_file()]
    files = [file for system in systems for file in files_in(system, "*.json*")]
    return sorted(file for file in files if file.name.endswith((".json", f".json{SUFFIX}")))


def read_external(settings: Settings) -> tuple[ExternalApproval, ...]:
    """Read every file of other systems."""
    files = [file for file in approval_files(settings.workspace) if file.name.endswith(".json")]
    return tuple(_read(settings, file) for file in files)


def _read(settings: Settings, file: Path) -> ExternalApproval:
    system = file.parent.name

    def without(fault: str) -> ExternalApproval:
        return ExternalApproval(system, file, None, fault)

    key = find_secret(secret_of(system), settings.workspace)
    if key is None:
        return without(f"there is no secret {secret_of(system)} to check it by")
    signature = file.with_name(file.name + SUFFIX)
    try:
        for one in (file, signature):
            facts = one.lstat()
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > MOST_BYTES:
                return without(f"{one.name} is no regular file of at most {MOST_BYTES} bytes")
        body = file.read_bytes()
        if not is_signature(signature, body, key):
            return without(f"{secret_of(system)} did not sign it")
    except FileNotFoundError:
        return without("it is not signed")
    except OSError as wrong:
        return without(f"it cannot be read: {wrong.strerror}")
    try:
        return ExternalApproval(system, file, ExternalFile.model_validate_json(body))
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False)[0]
        return without(f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}")
