"""Makes a release: ``python -m release FOLDER`` writes the wheel, its bill of materials, the lock file and their sums."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from release.pins import ROOT, RUN
from release.sbom import bill_of_materials


def main(folder: Path) -> None:
    """Write a release into an empty ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made_at = _made_at()
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(int(made_at.timestamp()))}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]  # fmt: skip
    subprocess.run(command, check=True, env=environment)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    bill = bill_of_materials(version, made_at)
    (folder / f"oneid_cdp-{version}.cdx.json").write_text(bill, encoding="utf-8")
    shutil.copy(RUN, folder)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    sums = "".join(f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (folder / "SHA256SUMS").write_text(sums, encoding="utf-8")
    for path in files:
        print(path)


def _made_at() -> datetime:
    """Give the instant of the commit that is released, so that the same commit gives the same bytes."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if seconds is None:
        command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
        seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return datetime.fromtimestamp(int(seconds), tz=UTC)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
