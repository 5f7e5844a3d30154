"""``cdp doctor``: what this machine lacks, and how to repair it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.options import workspace_option

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings

MEMORY_NEEDED_GB = 4
DISK_NEEDED_GB = 5


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it will do, what was seen and how to repair it."""

    what: str
    is_good: bool
    seen: str
    repair: str = ""


@click.command("doctor")
@workspace_option
def command(workspace: Path | None) -> int:
    """Check Java, Python, memory, disk, JARs and the workspace; say how to repair each. Exit 2 if one fails."""
    findings = list(examine(workspace))
    for finding in findings:
        click.echo(f"{'good' if finding.is_good else 'BAD '}  {finding.what:<10} {finding.seen}")
        if not finding.is_good:
            click.echo(f"      → {finding.repair}")
    return 0 if all(finding.is_good for finding in findings) else 2


def examine(workspace: Path | None) -> Iterator[Finding]:
    """Give the findings, one per thing the product needs."""
    yield _python()
    yield _java()
    yield from _machine(workspace)
    yield _jars(workspace)
    yield _workspace(workspace)


def _python() -> Finding:
    seen = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "Python", sys.version_info >= (3, 11), seen, "install Python 3.11 or newer and run `make setup` again"
    )


def _java() -> Finding:
    from lakehouse.errors import EnvironmentUnready
    from lakehouse.session.session import java_version, require_java

    try:
        require_java()
    except EnvironmentUnready as wrong:
        return Finding("Java", False, "not usable", str(wrong))
    return Finding("Java", True, str(java_version()))


def _machine(workspace: Path | None) -> Iterator[Finding]:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    yield Finding(
        "memory", free >= MEMORY_NEEDED_GB, f"{free:.1f} GB free",
        f"free {MEMORY_NEEDED_GB} GB, or lower spark.driver_memory in cdp.yml",
    )  # fmt: skip
    folder = (workspace or Path()).resolve()
    while not folder.exists():
        folder = folder.parent
    disk = shutil.disk_usage(folder).free / 2**30
    yield Finding(
        "disk", disk >= DISK_NEEDED_GB, f"{disk:.1f} GB free at {folder}",
        f"free {DISK_NEEDED_GB} GB, or point `lake:` in cdp.yml at a larger disk",
    )  # fmt: skip


def _jars(workspace: Path | None) -> Finding:
    from lakehouse.errors import SettingsInvalid
    from lakehouse.session.session import _spark_home_jars, jars_folder, verify_jars
    from lakehouse.settings.settings import load_settings

    if any(_spark_home_jars().glob("delta-spark*.jar")):
        return Finding("JARs", True, "Delta is on Spark's own class path")
    try:
        settings = load_settings(workspace)
    except SettingsInvalid:
        settings = None
    folder = jars_folder(settings)
    sums = verify_jars(folder)
    wrong = [name for name, good in sums.items() if not good]
    seen = f"{len(sums) - len(wrong)} of {len(sums)} with the known sha256 in {folder}"
    return Finding("JARs", not wrong, seen, "run `cdp jars fetch` once with a network")


def _workspace(workspace: Path | None) -> Finding:
    from lakehouse.errors import CdpError
    from lakehouse.settings.settings import load_settings

    try:
        settings = load_settings(workspace)
        if not any((settings.workspace / "feeds").glob("*.yml")):
            return _workspace_without_feeds(settings)
        from jobs.night.nightly import check_workspace

        check_workspace(settings)
    except CdpError as wrong:
        return Finding("workspace", False, "not usable", str(wrong))
    target = settings.lake if settings.lake.exists() else settings.workspace
    if not os.access(target, os.W_OK):
        return Finding(
            "workspace", False, f"{target} cannot be written", "give this user the right to write there"
        )
    return Finding("workspace", True, str(settings.workspace))


def _workspace_without_feeds(settings: Settings) -> Finding:
    """Judge a workspace that was just made: its other files are read, feeds are the next step."""
    import identity
    import segments
    import tags
    from jobs.night.surroundings import read_surroundings

    identity.load_rules(settings)
    tags.load_registry(settings)
    segments.check_specs(settings, read_surroundings(settings))
    return Finding(
        "workspace", True, f"{settings.workspace}, without feeds yet: cdp feeds draft FILE --write"
    )
