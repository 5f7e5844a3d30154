"""What destinations hold, compared with what ``segments.deliveries`` says was handed to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from delivery.destinations import Destination, destination_folder
from delivery.manifest import LATEST, MANIFEST, SUCCESS, read_latest
from lakehouse.errors import CdpError
from lakehouse.query.hashing import file_hash
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk


@dataclass(frozen=True)
class Delivery:
    """One run as it was handed to a destination."""

    run_id: str
    destination: str
    segment: str
    seq: int
    manifest_sha256: str


@dataclass
class Mirrors:
    """What was compared: runs that are there, ``faults``, and how many earlier runs a destination no longer holds."""

    runs: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    removed: int = 0


def read_deliveries(desk: Desk) -> list[Delivery]:
    """Give every delivery that a desk over the lake knows, oldest first."""
    rows = desk.rows(
        "SELECT run_id, destination, code, seq, manifest_sha256 FROM segments.deliveries ORDER BY destination, code, seq"
    )
    return [Delivery(*row) for row in rows]


def compare_mirrors(
    settings: Settings, destinations: Mapping[str, Destination], deliveries: Iterable[Delivery]
) -> Mirrors:
    """Compare the folders of destinations with deliveries.

    The newest run of a segment must be there and be pointed to. An earlier one may have been removed; if it is there, it
    has the manifest that was delivered.
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
        newest = max(runs, key=lambda run: run.seq)
        for run in runs:
            _compare_run(root, run, mirrors, is_newest=run is newest)
        mirrors.faults += _pointer_faults(root, newest)
    return mirrors


def _compare_run(root: Path, run: Delivery, mirrors: Mirrors, *, is_newest: bool) -> None:
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
