"""The manifest of a delivered audience and the equations anyone can check on it.

Nothing of the attempt (clock, host, table versions) is in it: the same run gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import StepFailed

if TYPE_CHECKING:
    import pyarrow as pa

CONTRACT_VERSION = "audience/v1"
MANIFEST = "_manifest.json"
MANIFEST_SUM = "_manifest.sha256"
SUCCESS = "_SUCCESS"
LATEST = "LATEST.json"
POINTER_REPAIR = "restore the file from a backup, or move the segment's folder away to begin anew"
KEYS = (
    "contract_version", "segment", "version", "definition_hash", "parameters", "purpose", "destination", "run_id",
    "seq", "previous_run_id", "as_of", "valid_until", "mode", "format", "schema", "files", "counts", "key",
    "consent_as_of", "tag_versions", "inputs", "approvals",
)  # fmt: skip
# What not every manifest has: segments with stages or approvals, CSV files, and those since manifests are signed.
ALL_KEYS = (*KEYS, "stage", "spreadsheet", "signature")
_RUN_PATH = re.compile(r"v=[^/]+/as_of=[^/]+/run=[^/]+")


@dataclass(frozen=True)
class RunMeasures:
    """What the files of a run hold, and those of the run before it when it is still there."""

    rows_by_mode: Mapping[str, int]
    recipients: int | None = None
    entering: frozenset[str] | None = None
    leaving: frozenset[str] | None = None
    updating: frozenset[str] | None = None
    current: frozenset[str] | None = None
    previous: frozenset[str] | None = None
    previous_manifest: Mapping[str, Any] | None = field(default=None)


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Give the manifest as it is written: keys in the documented order, UTF-8, one line break at the end."""
    body = {key: manifest[key] for key in ALL_KEYS if key in KEYS or key in manifest}
    return (json.dumps(body, ensure_ascii=False, indent=2) + "\n").encode()


def broken_equations(manifest: Mapping[str, Any], measures: RunMeasures) -> list[str]:
    """Give one sentence for each equation that does not hold; an empty list when all do."""
    counts = manifest["counts"]
    suppressed = sum(counts["suppressed_by_reason"].values())
    variants = sum(counts["variants"].values())
    dropped_count = sum(counts["dropped_by_contact"].values())
    kept_out = sum(
        counts[name] for name in ("not_in_rollout", "control_global", "holdout_local", "contaminated")
    )
    published, delta = counts["published"], counts["delta"]
    pairs = [
        ("rows of the snapshot", measures.rows_by_mode.get("snapshot", 0), "published", published),
        ("candidates", counts["candidates"], "eligible + suppressed", counts["eligible"] + suppressed),
        ("eligible", counts["eligible"], "kept out + variants", kept_out + variants),
        ("published", published, "variants - dropped by contact", variants - dropped_count),
        (
            "previous + enter - exit",
            delta["previous"] + delta["enter"] - delta["exit"],
            "published",
            published,
        ),
        ("people with consent", sum(counts["consent"].values()), "published", published),
    ]
    if "delta" in manifest["mode"]:
        delta_rows = delta["enter"] + delta["exit"] + delta["update"]
        pairs.append(
            ("rows of the delta", measures.rows_by_mode.get("delta", 0), "enter + exit + update", delta_rows)
        )
    if measures.recipients is not None:
        pairs.append(("recipients", measures.recipients, "rows of the snapshot", published))
    faults = [
        f"{name} is {value}, but {other_name} is {other}"
        for name, value, other_name, other in pairs
        if value != other
    ]
    return faults + _broken_sets(manifest, measures) + _broken_order(manifest, measures)


def _broken_sets(manifest: Mapping[str, Any], measures: RunMeasures) -> list[str]:
    """Compare the delta with the snapshots before and after it, as far as they are at hand."""
    faults: list[str] = []
    if measures.entering is None or measures.leaving is None or measures.updating is None:
        return faults
    if measures.current is not None:
        if measures.leaving & measures.current:
            faults.append("the delta removes recipients that are in the snapshot")
        if not (measures.entering | measures.updating) <= measures.current:
            faults.append("the delta adds or updates recipients that are not in the snapshot")
    previous = frozenset() if manifest["previous_run_id"] is None else measures.previous
    if previous is None:
        return faults
    if measures.entering & previous:
        faults.append("the delta adds recipients that were in the previous snapshot")
    if not (measures.leaving | measures.updating) <= previous:
        faults.append("the delta removes or updates recipients that were not in the previous snapshot")
    if measures.current is not None and (previous | measures.entering) - measures.leaving != measures.current:
        faults.append("the previous snapshot with the delta applied is not the snapshot")
    return faults


def _broken_order(manifest: Mapping[str, Any], measures: RunMeasures) -> list[str]:
    before = measures.previous_manifest
    if manifest["previous_run_id"] is None:
        return [] if manifest["seq"] == 1 else [f"seq is {manifest['seq']} without a previous run"]
    if before is None:
        return []
    faults = []
    if manifest["seq"] != before["seq"] + 1:
        faults.append(f"seq is {manifest['seq']}, but the previous run has {before['seq']}")
    if manifest["counts"]["delta"]["previous"] != before["counts"]["published"]:
        faults.append(
            f"previous is {manifest['counts']['delta']['previous']}, but the previous run published "
            f"{before['counts']['published']}"
        )
    return faults


def schema_of(rows: pa.Table, levels: Mapping[str, str]) -> list[dict[str, str]]:
    """Give name, type (as Spark SQL writes it) and personal level of each column."""
    return [
        {"name": f.name, "type": type_name(f.type), "level": levels.get(f.name, "C1")} for f in rows.schema
    ]


def type_name(kind: pa.DataType) -> str:
    """Give an Arrow type as Spark SQL writes it."""
    text = str(kind)
    if match := re.fullmatch(r"decimal128\((\d+), (\d+)\)", text):
        return f"decimal({match[1]},{match[2]})"
    if text.startswith("list<"):
        return f"array<{type_name(kind.value_type)}>"
    names = {
        "int64": "bigint",
        "int32": "int",
        "bool": "boolean",
        "date32[day]": "date",
        "large_string": "string",
    }
    return names.get(text, text)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Give the manifest of a run's folder; one that cannot be read raises ``StepFailed``."""
    return _read_object(folder / MANIFEST, "restore the run's folder as it was delivered")


def read_latest(root: Path) -> dict[str, Any] | None:
    """Give what ``LATEST.json`` of a segment's folder points to; None before the first delivery.

    One that cannot be read, or that points out of the folder, raises ``StepFailed``.
    """
    file = root / LATEST
    if not file.is_file():
        return None
    pointer = _read_object(file, POINTER_REPAIR)
    texts = all(isinstance(pointer.get(name), str) for name in ("run_id", "as_of", "path", "manifest_sha256"))
    if not texts or not isinstance(pointer.get("seq"), int) or not _RUN_PATH.fullmatch(pointer["path"]):
        raise StepFailed(f"the pointer does not name a run of this folder; {POINTER_REPAIR}", file=file)
    return pointer


def _read_object(file: Path, repair: str) -> dict[str, Any]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as wrong:
        reason = wrong.strerror if isinstance(wrong, OSError) else "it is not JSON"
        raise StepFailed(f"the file cannot be read ({reason}); {repair}", file=file) from None
    if not isinstance(entries, dict):
        raise StepFailed(f"the file is no JSON object; {repair}", file=file)
    return entries
