"""Verifying a delivered audience from its files alone, as a consumer would: bytes, rows, equations, sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from delivery.manifest_shape import shape_fault
from delivery.signature import SIGNATURE, is_signed, signature_fault
from delivery.spreadsheet_cells import formula_cells
from lakehouse.errors import CdpError, StepFailed, UsageError
from lakehouse.query.hashing import file_hash

_STAGES = ("whitelist", "small", "full")
NOT_DATA = {MANIFEST, MANIFEST_SUM, SIGNATURE, SUCCESS}
# Gives the verification key of a destination by its name; None where it is not at hand.
Keys = Callable[[str], bytes | None]


@dataclass(frozen=True)
class Verification:
    """The result of verifying one folder; ``failures`` is empty when the audience may be used.

    ``is_signature_checked`` says whether a key was at hand: without one only damage is seen, not a forger.
    """

    folder: Path
    failures: tuple[str, ...]
    published: int | None = None
    valid_until: str | None = None
    destination: str | None = None
    is_signature_checked: bool = False
    superseded_by: str | None = None
    """The run that the segment's pointer names instead; its delta or snapshot takes people out who are in this one."""
    stage: str | None = None
    approved_by: tuple[str, ...] = ()
    """The roles and systems whose approval the manifest names."""


def no_keys(destination: str) -> None:
    """Give no key: signatures are not checked."""
    return


def verify(
    folder: Path, *, at: datetime | None = None, keys: Keys = no_keys, needs_signature: bool = False
) -> list[Verification]:
    """Verify every run below ``folder``: a run, a segment, a destination, the whole published folder, or a copy of one.

    An earlier run of a segment says which one superseded it, and fails where it is what was asked for. ``at`` is the instant the audience shall be used: the newest run of a segment fails when it is over by then. A run of
    whose destination ``keys`` has the key must have its signature where ``needs_signature``; else runs that an earlier key
    signed, or none, are left to the comparison with the lake. A folder without any run raises ``UsageError``.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    runs = [folder] if _is_run(folder) else sorted(_runs_below(folder))
    if not runs:
        raise UsageError(f"there is no published audience in {folder}")
    verifications = [
        _verify_checked(run, at if is_newest(run) else None, keys, needs_signature=needs_signature)
        for run in runs
    ]
    verifications = [_told_of_successor(one, is_asked_for=one.folder == folder) for one in verifications]
    roots = {root for run in runs if (root := segment_root(run)) is not None}
    # A run that was copied alone has no pointer: only a segment's folder that is looked at as a whole must have one.
    roots_with_pointer = {
        root for root in roots if (root / LATEST).exists() or root == folder or folder in root.parents
    }
    return verifications + [_verify_pointer(root) for root in sorted(roots_with_pointer)]


def _told_of_successor(verification: Verification, *, is_asked_for: bool) -> Verification:
    """Add the run that superseded a run; a failure for whoever asks whether this very run may be used."""
    run = verification.folder
    root = segment_root(run)
    try:
        latest = None if root is None else read_latest(root)
    except CdpError:
        return verification  # a pointer that cannot be read is told of by itself
    if root is None or latest is None or root / latest["path"] == run:
        return verification
    sentence = (
        f"run {latest['run_id']} (seq {latest['seq']}) superseded this one, which must not be used any more"
    )
    failures = (*verification.failures, sentence) if is_asked_for else verification.failures
    return replace(verification, failures=failures, superseded_by=latest["run_id"])


def verify_run(
    run: Path, *, at: datetime | None = None, keys: Keys = no_keys, needs_signature: bool = False
) -> Verification:
    """Verify one run's folder; see ``verify``."""
    return _verify_checked(run, at, keys, needs_signature=needs_signature)


def segment_root(run: Path) -> Path | None:
    """Give the segment's folder of a run: ``<segment>/v=…/as_of=…/run=…``; None for a copy that lies elsewhere."""
    version, day = run.parent.parent.name, run.parent.name
    is_in_place = version.startswith("v=") and day.startswith("as_of=") and run.name.startswith("run=")
    return run.parent.parent.parent if is_in_place else None


def is_newest(run: Path) -> bool:
    """Tell whether the segment's pointer names this run; where there is none, or none that can be read, it may be."""
    root = segment_root(run)
    try:
        latest = read_latest(root) if root is not None else None
    except StepFailed:
        latest = None
    return latest is None or root is None or root / latest["path"] == run


def _is_run(folder: Path) -> bool:
    return folder.name.startswith("run=") or (folder / MANIFEST).is_file()


def _runs_below(folder: Path) -> list[Path]:
    runs = [path for path in folder.rglob("run=*") if path.is_dir()]
    runs += [file.parent for file in folder.rglob(MANIFEST) if not file.parent.name.startswith("run=")]
    return [path for path in runs if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _verify_checked(run: Path, at: datetime | None, keys: Keys, *, needs_signature: bool) -> Verification:
    failures = _structure(run)
    if failures:
        return Verification(run, tuple(failures))
    manifest = read_manifest(run)
    key = keys(manifest["destination"])
    is_checked = key is not None and (needs_signature or is_signed(manifest, key))
    fault = signature_fault(run, manifest, key) if key is not None and is_checked else None
    failures = [fault] if fault else _files(run, manifest)
    if not failures:
        failures = broken_equations(manifest, _measure(run, manifest)) + _running_cells(run, manifest)
        failures += _unfit_approvals(manifest)
    if at is not None and at >= datetime.fromisoformat(manifest["valid_until"]):
        failures.append(f"the audience expired at {manifest['valid_until']} and must not be sent")
    return Verification(
        run,
        tuple(failures),
        manifest["counts"].get("published"),
        manifest["valid_until"],
        manifest["destination"],
        is_checked,
        stage=manifest.get("stage"),
        approved_by=tuple(one["by"] for one in manifest["approvals"]),
    )


def _unfit_approvals(manifest: Mapping[str, Any]) -> list[str]:
    """Look for approvals that are for another definition, for a lower stage, or that were over on the business date."""
    faults = []
    for one in manifest["approvals"]:
        what = f"the approval {one['approval_id']} of {one['by']}"
        if one["definition_hash"] != manifest["definition_hash"]:
            faults.append(f"{what} is for another definition")
        if _STAGES.index(one["stage"]) < _STAGES.index(manifest.get("stage") or _STAGES[-1]):
            faults.append(
                f"{what} is for {one['stage']}, and the audience is of {manifest.get('stage') or _STAGES[-1]}"
            )
        # Who is only taken out of an approved audience is so on a later date, too.
        if one["until"] is not None and one["until"] < manifest["as_of"] and not _is_shrunk(manifest):
            faults.append(f"{what} was over after {one['until']}")
    return faults


def _is_shrunk(manifest: Mapping[str, Any]) -> bool:
    return "RECALLED" in manifest["counts"]["dropped_by_contact"]


def _structure(run: Path) -> list[str]:
    for name in (MANIFEST, MANIFEST_SUM, SUCCESS):
        if not (run / name).is_file():
            return [f"{name} is missing; the audience is not complete"]
    sums = (run / MANIFEST_SUM).read_text(encoding="utf-8").split()
    if not sums or sums[0] != file_hash(run / MANIFEST):
        return [f"{MANIFEST} does not have the hash that {MANIFEST_SUM} states"]
    try:
        manifest = read_manifest(run)
    except StepFailed as unreadable:
        return [f"{MANIFEST}: {unreadable.message}"]
    missing = [key for key in KEYS if key not in manifest]
    if missing:
        return [f"{MANIFEST} lacks '{missing[0]}'"]
    fault = shape_fault(manifest)
    if fault:
        return [f"{MANIFEST} is not as its contract says: {fault}"]
    if manifest["contract_version"] != CONTRACT_VERSION:
        return [f"contract version {manifest['contract_version']} is not {CONTRACT_VERSION}"]
    place = {"run": manifest["run_id"], "as_of": manifest["as_of"], "v": manifest["version"].split(".")[0]}
    folders = dict(
        part.split("=", 1) for part in (run.name, run.parent.name, run.parent.parent.name) if "=" in part
    )
    wrong = [name for name, value in place.items() if folders.get(name, str(value)) != str(value)]
    return [f"the folder says {name}={folders.get(name)}, the manifest {place[name]}" for name in wrong]


def _files(run: Path, manifest: Mapping[str, Any]) -> list[str]:
    failures = []
    entries = {entry["path"]: entry for entry in manifest["files"]}
    present = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()} - NOT_DATA
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
    root = segment_root(run)
    for folder in root.glob(f"v=*/as_of=*/run={manifest['previous_run_id']}") if root else ():
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
    try:
        latest = read_latest(root)
    except StepFailed as wrong:
        return Verification(root, (f"{LATEST}: {wrong.message}",))
    if latest is None:
        return Verification(root, (f"{LATEST} is missing; no run was released",))
    run = root / latest["path"]
    failures = []
    if not (run / SUCCESS).is_file():
        failures.append(f"{LATEST} points to {latest['path']}, which is not complete")
    elif file_hash(run / MANIFEST) != latest["manifest_sha256"]:
        failures.append(f"{LATEST} states another hash than {latest['path']}/{MANIFEST} has")
    return Verification(root, tuple(failures), None, latest.get("valid_until"))
