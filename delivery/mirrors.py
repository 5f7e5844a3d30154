"""What destinations hold, compared with what ``segments.deliveries`` says was handed to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from delivery.contract.verify_audience import LATEST, MANIFEST, SIGNATURE, SUCCESS
from delivery.destinations import Destination, destination_folder
from delivery.manifest import read_latest
from lakehouse.errors import CdpError
from lakehouse.query.hashing import file_hash
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk


@dataclass(frozen=True)
class AudienceFile:
    """One file of a run as it was handed over; ``path`` is in the folder of the run."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Delivery:
    """One run as it was handed to a destination; without ``signature`` and ``files`` where it is older than they are."""

    run_id: str
    destination: str
    segment: str
    as_of: date
    seq: int
    manifest_sha256: str
    signature: str | None = None
    files: tuple[AudienceFile, ...] = ()

    def is_of(self, destination: str, segment: str) -> bool:
        """Tell whether the run is one of a segment at a destination."""
        return (self.destination, self.segment) == (destination, segment)


@dataclass
class Mirrors:
    """What was compared: runs that are there, ``faults``, and how many earlier runs a destination no longer holds."""

    runs: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    removed: int = 0


def read_deliveries(desk: Desk) -> list[Delivery]:
    """Give every delivery that a desk over the lake knows, oldest first."""
    names, rows = desk.named_rows("SELECT * FROM segments.deliveries ORDER BY destination, code, as_of, seq")
    entries = [dict(zip(names, row, strict=True)) for row in rows]
    return [
        Delivery(
            run_id=entry["run_id"],
            destination=entry["destination"],
            segment=entry["code"],
            as_of=entry["as_of"],
            seq=entry["seq"],
            manifest_sha256=entry["manifest_sha256"],
            signature=entry.get("signature"),
            files=tuple(
                AudienceFile(file["path"], file["bytes"], file["sha256"]) for file in entry.get("files") or ()
            ),
        )
        for entry in entries
    ]


def compare_mirrors(
    settings: Settings,
    destinations: Mapping[str, Destination],
    deliveries: Iterable[Delivery],
    *,
    deep: bool = False,
) -> Mirrors:
    """Compare the folders of destinations with deliveries; the bytes of their files too where ``deep``, else sizes.

    The newest run of a segment must be there and be pointed to. An earlier one may have been removed; if it is there, it
    has the manifest, the signature and the files that were delivered.
    """
    mirrors = Mirrors()
    by_place: dict[tuple[str, str], list[Delivery]] = {}
    for delivery in deliveries:
        by_place.setdefault((delivery.destination, delivery.segment), []).append(delivery)
    for (name, segment), runs in sorted(by_place.items()):
        if name not in destinations:
            mirrors.removed += len(runs)
            continue
        root = destination_folder(settings, name, destinations[name]) / segment
        newest = max(runs, key=lambda run: (run.as_of, run.seq))
        for run in runs:
            _compare_run(root, run, mirrors, is_newest=run is newest, deep=deep)
        mirrors.faults += _pointer_faults(root, newest)
    return mirrors


def _compare_run(root: Path, run: Delivery, mirrors: Mirrors, *, is_newest: bool, deep: bool) -> None:
    folder = next(iter(root.glob(f"v=*/as_of=*/run={run.run_id}")), None)
    if folder is None or not (folder / SUCCESS).is_file() or not (folder / MANIFEST).is_file():
        if is_newest:
            mirrors.faults.append(
                f"{root}: run {run.run_id} of {run.segment} was delivered to {run.destination} and is not there"
            )
        else:
            mirrors.removed += 1
    elif file_hash(folder / MANIFEST) != run.manifest_sha256:
        mirrors.faults.append(f"{folder}: {MANIFEST} is not the one that was delivered to {run.destination}")
    else:
        mirrors.runs.append(folder)
        mirrors.faults += [f"{folder}: {fault}" for fault in _run_faults(folder, run, deep=deep)]


def _run_faults(folder: Path, run: Delivery, *, deep: bool) -> list[str]:
    faults = []
    if run.signature is not None:
        file = folder / SIGNATURE
        words = file.read_text(encoding="ascii", errors="replace").split() if file.is_file() else []
        if words[:1] != [run.signature]:
            faults.append(f"{SIGNATURE} is not the one that was delivered to {run.destination}")
    for entry in run.files:
        file = folder / entry.path
        if not file.is_file():
            faults.append(f"{entry.path} was delivered to {run.destination} and is missing")
        elif file.stat().st_size != entry.bytes or (deep and file_hash(file) != entry.sha256):
            faults.append(f"{entry.path} does not have the bytes that were delivered to {run.destination}")
    return faults


def _pointer_faults(root: Path, newest: Delivery) -> list[str]:
    try:
        latest = read_latest(root)
    except CdpError as wrong:
        return [str(wrong)]
    if latest is None:
        return [f"{root}: {LATEST} is missing"]
    if latest["run_id"] != newest.run_id:
        return [f"{root}: {LATEST} names run {latest['run_id']}, and {newest.run_id} was delivered last"]
    return []
