"""Making staged audiences visible: a rename of the folder, then the pointer, which is replaced last.

A crash at any point leaves either the old pointer or the new one, each with a complete run.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from delivery.contract.verify_audience import LATEST, SUCCESS
from delivery.manifest import read_latest, read_manifest
from delivery.staging import STAGING, StagedAudience


def release_audience(audience: StagedAudience) -> None:
    """Make a staged audience visible: rename its folder, then replace the pointer. A repeated one changes nothing."""
    if audience.is_repeated:
        return
    final = audience.root / audience.path
    if audience.folder is not None:
        _remove_unreleased(audience.root, keep=final)
        final.parent.mkdir(parents=True, exist_ok=True)
        audience.folder.rename(final)
    shutil.rmtree(audience.root / STAGING, ignore_errors=True)
    text = json.dumps(audience.pointer, indent=2) + "\n"
    unfinished = audience.root / f".{LATEST}.unfinished"
    with unfinished.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(audience.root / LATEST)


def discard_audience(audience: StagedAudience) -> None:
    """Remove a staged audience that will not be released."""
    shutil.rmtree(audience.root / STAGING, ignore_errors=True)


def _remove_unreleased(root: Path, keep: Path) -> None:
    """Remove complete runs no pointer ever named: those numbered above the newest released one."""
    latest = read_latest(root)
    released = latest["seq"] if latest else 0
    for run in root.glob("v=*/as_of=*/run=*"):
        if run != keep and (not (run / SUCCESS).is_file() or read_manifest(run)["seq"] > released):
            shutil.rmtree(run)
