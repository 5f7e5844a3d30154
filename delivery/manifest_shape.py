"""The shape of a manifest: the values that whoever verifies one relies on, with their types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _ManifestFile(_Part):
    path: str
    rows: int
    bytes: int
    sha256: str


class _DeltaCounts(_Part):
    previous: int
    enter: int
    exit: int
    update: int


class _ManifestCounts(_Part):
    candidates: int
    suppressed_by_reason: dict[str, int]
    eligible: int
    not_in_rollout: int
    control_global: int
    holdout_local: int
    contaminated: int
    variants: dict[str, int]
    dropped_by_contact: dict[str, int]
    published: int
    consent: dict[str, int]
    delta: _DeltaCounts


class _ManifestColumn(_Part):
    name: str
    type: str


class _ManifestSignature(_Part):
    profile: str
    key_id: str


class _ManifestSpreadsheet(_Part):
    rule: str


class _ManifestApproval(_Part):
    by: str
    stage: Literal["whitelist", "small", "full"]
    definition_hash: str
    basis: str
    approval_id: str
    approved_at: AwareDatetime = Field(strict=False)
    until: date | None = Field(strict=False)


class _Manifest(_Part):
    """What whoever verifies a manifest relies on."""

    segment: str
    version: str
    destination: str
    run_id: str
    seq: int
    previous_run_id: str | None
    as_of: str
    valid_until: AwareDatetime = Field(strict=False)
    mode: list[Literal["snapshot", "delta"]]
    format: Literal["parquet", "csv", "json_lines"]
    columns: list[_ManifestColumn] = Field(alias="schema")
    files: list[_ManifestFile]
    counts: _ManifestCounts
    approvals: list[_ManifestApproval]
    stage: Literal["whitelist", "small", "full"] | None = None
    signature: _ManifestSignature | None = None
    spreadsheet: _ManifestSpreadsheet | None = None


def shape_fault(manifest: Mapping[str, Any]) -> str | None:
    """Give the first value of a manifest that is missing or of another type than its contract says; None where none is."""
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return None
