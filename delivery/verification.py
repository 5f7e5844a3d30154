"""Verifying a delivered audience from its files alone, as a consumer would: bytes, rows, equations, sequence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from delivery.audience_files import SUFFIX, count_rows, read_rows
from delivery.manifest import (
    CONTRACT_VERSION,
    KEYS,
    LATEST,
    MANIFEST,
    MANIFEST_SUM,
    SUCCESS,
    RunMeasures,
    broken_equations,
    read_latest,
    read_manifest,
)
from delivery.spreadsheet_cells import formula_cells
from lakehouse.errors import UsageError
from lakehouse.query.hashing import file_hash


@dataclass(frozen=True)
class Verification:
    """The result of verifying one folder; ``failures`` is empty when the audience may be used."""

    folder: Path
    failures: tuple[str, ...]
    published: int | None = None
    valid_until: str | None = None
    superseded_by: str | None = None
    """The run that the segment's pointer names instead; its delta or snapshot takes people out who are in this one."""


def verify(folder: Path, *, at: datetime | None = None) -> list[Verification]:
    """Verify every run below ``folder``: a run, a segment, a destination or the whole published folder.

    An earlier run of a segment says which one superseded it, and fails where it is what was asked for. ``at`` is the instant the audience shall be used: the newest run of a segment fails when it is over by then. A
    folder without any run raises ``UsageError``.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    runs = [folder] if folder.name.startswith("run=") else sorted(_runs_below(folder))
    if not runs:
        raise UsageError(f"there is no published audience in {folder}")
    verifications = [_verify_checked(run, at if is_newest(run) else None) for run in runs]
    verifications = [_told_of_successor(one, is_asked_for=one.folder == folder) for one in verifications]
    return verifications + [_verify_pointer(root) for root in sorted({segment_root(run) for run in runs})]


def _told_of_successor(verification: Verification, *, is_asked_for: bool) -> Verification:
    """Add the run that superseded a run; a failure for whoever asks whether this very run may be used."""
    run = verification.folder
    latest = read_latest(segment_root(run))
    if latest is None or segment_root(run) / latest["path"] == run:
        return verification
    sentence = (
        f"run {latest['run_id']} (seq {latest['seq']}) superseded this one, which must not be used any more"
    )
    failures = (*verification.failures, sentence) if is_asked_for else verification.failures
    return replace(verification, failures=failures, superseded_by=latest["run_id"])


def verify_run(run: Path, *, at: datetime | None = None) -> Verification:
    """Verify one run's folder."""
    return _verify_checked(run, at)


def segment_root(run: Path) -> Path:
    """Give the segment's folder of a run: ``<segment>/v=…/as_of=…/run=…``."""
    return run.parent.parent.parent


def is_newest(run: Path) -> bool:
    """Tell whether the segment's pointer names this run."""
    latest = read_latest(segment_root(run))
    return latest is not None and segment_root(run) / latest["path"] == run


def _runs_below(folder: Path) -> list[Path]:
    runs = [path for path in folder.rglob("run=*") if path.is_dir()]
    return [path for path in runs if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _verify_checked(run: Path, at: datetime | None) -> Verification:
    failures = _structure(run)
    if failures:
        return Verification(run, tuple(failures))
    manifest = read_manifest(run)
    failures = _files(run, manifest)
    if not failures:
        failures = broken_equations(manifest, _measure(run, manifest)) + _running_cells(run, manifest)
    if at is not None and at >= datetime.fromisoformat(manifest["valid_until"]):
        failures.append(f"the audience expired at {manifest['valid_until']} and must not be sent")
    return Verification(run, tuple(failures), manifest["counts"].get("published"), manifest["valid_until"])


def _structure(run: Path) -> list[str]:
    for name in (MANIFEST, MANIFEST_SUM, SUCCESS):
        if not (run / name).is_file():
            return [f"{name} is missing; the audience is not complete"]
    sums = (run / MANIFEST_SUM).read_text(encoding="utf-8").split()
    if not sums or sums[0] != file_hash(run / MANIFEST):
        return [f"{MANIFEST} does not have the hash that {MANIFEST_SUM} states"]
    try:
        manifest = read_manifest(run)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return [f"{MANIFEST} is not JSON"]
    missing = [key for key in KEYS if key not in manifest]
    if missing:
        return [f"{MANIFEST} lacks '{missing[0]}'"]
    if manifest["contract_version"] != CONTRACT_VERSION:
        return [f"contract version {manifest['contract_version']} is not {CONTRACT_VERSION}"]
    place = {"run": manifest["run_id"], "as_of": manifest["as_of"], "v": manifest["version"].split(".")[0]}
    folders = dict(
        part.split("=", 1) for part in (run.name, run.parent.name, run.parent.parent.name) if "=" in part
    )
    wrong = [name for name, value in place.items() if folders.get(name) != str(value)]
    return [f"the folder says {name}={folders.get(name)}, the manifest {place[name]}" for name in wrong]


def _files(run: Path, manifest: Mapping[str, Any]) -> list[str]:
    failures = []
    entries = {entry["path"]: entry for entry in manifest["files"]}
    present = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()} - {
        MANIFEST,
        MANIFEST_SUM,
        SUCCESS,
    }
    failures += [f"{path} is not in the manifest" for path in sorted(present - set(entries))]
    for path, entry in sorted(entries.items()):
        if path not in present:
            failures.append(f"{path} is missing")
        elif (run / path).stat().st_size != entry["bytes"]:
            failures.append(
                f"{path} has {(run / path).stat().st_size} bytes, the manifest says {entry['bytes']}"
            )
        elif file_hash(run / path) != entry["sha256"]:
            failures.append(f"{path} does not have the sha256 that the manifest states")
        elif count_rows(run / path, manifest["format"]) != entry["rows"]:
            rows = count_rows(run / path, manifest["format"])
            failures.append(f"{path} has {rows} rows, the manifest says {entry['rows']}")
    return failures


def _running_cells(run: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Look for cells that a spreadsheet would run where the manifest says that there are none."""
    if manifest.get("spreadsheet", {"rule": "keep"})["rule"] == "keep":
        return []
    texts = {c["name"] for c in manifest["schema"] if c["type"] == "string" or c["type"].startswith("array")}
    counts = {
        (mode, name): count
        for mode in manifest["mode"]
        for name, count in formula_cells(read_rows(run / mode, manifest["format"])).items()
        if name in texts
    }
    return [
        f"column '{name}' of the {mode} has {count} cells that a spreadsheet would run"
        for (mode, name), count in counts.items()
    ]


def _measure(run: Path, manifest: Mapping[str, Any]) -> RunMeasures:
    form = manifest["format"]
    rows = {
        mode: sum(e["rows"] for e in manifest["files"] if e["path"].startswith(f"{mode}/"))
        for mode in manifest["mode"]
    }
    current = read_rows(run / "snapshot", form)["recipient_key"].to_pylist()
    changes: dict[str, frozenset[str] | None] = {"ENTER": None, "EXIT": None, "UPDATE": None}
    if "delta" in manifest["mode"]:
        delta = read_rows(run / "delta", form)
        pairs = list(zip(_plain(delta, "op"), _plain(delta, "recipient_key"), strict=True))
        changes = {name: frozenset(key for op, key in pairs if op == name) for name in changes}
    before = previous_run(run, manifest)
    return RunMeasures(
        rows_by_mode=rows,
        recipients=len(set(current)),
        entering=changes["ENTER"],
        leaving=changes["EXIT"],
        updating=changes["UPDATE"],
        current=frozenset(_plain_values(current)),
        previous=_keys(before) if before else None,
        previous_manifest=read_manifest(before) if before else None,
    )


def previous_run(run: Path, manifest: Mapping[str, Any]) -> Path | None:
    """Give the folder of the run before this one, if it is still there and whole."""
    if manifest["previous_run_id"] is None:
        return None
    for folder in segment_root(run).glob(f"v=*/as_of=*/run={manifest['previous_run_id']}"):
        if (folder / SUCCESS).is_file() and (folder / MANIFEST).is_file():
            return folder
    return None


def _keys(run: Path) -> frozenset[str] | None:
    form = read_manifest(run)["format"]
    if not list((run / "snapshot").glob(f"part-*.{SUFFIX[form]}")):
        return None
    return frozenset(_plain(read_rows(run / "snapshot", form), "recipient_key"))


def _plain(rows: Any, column: str) -> list[str]:
    return _plain_values(rows[column].to_pylist()) if column in rows.column_names else []


def _plain_values(values: list[str]) -> list[str]:
    """JSON lines are read as JSON text; a key is compared without its quotes."""
    return [value.strip('"') for value in values]


def _verify_pointer(root: Path) -> Verification:
    latest = read_latest(root)
    if latest is None:
        return Verification(root, (f"{LATEST} is missing; no run was released",))
    run = root / latest["path"]
    failures = []
    if not (run / SUCCESS).is_file():
        failures.append(f"{LATEST} points to {latest['path']}, which is not complete")
    elif file_hash(run / MANIFEST) != latest["manifest_sha256"]:
        failures.append(f"{LATEST} states another hash than {latest['path']}/{MANIFEST} has")
    return Verification(root, tuple(failures), None, latest.get("valid_until"))
