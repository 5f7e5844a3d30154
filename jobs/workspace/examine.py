"""The examination of a machine and a workspace: what the product needs, and how to repair what is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.workspace.check import check_workspace
from jobs.workspace.places import NightFolder

MEMORY_NEEDED_GB = 4


@dataclass(frozen=True)
class Requirement:
    """One thing the product needs: its subject, whether it is good enough, what the machine has, and how to repair it."""

    subject: str
    is_good: bool
    state: str
    repair: str = ""


def examine(workspace: Path | None) -> Iterator[Requirement]:
    """Give every requirement, good or not, in the order a person repairs them."""
    yield _python()
    reason = _reason_for_java(workspace)
    yield _java(reason)
    yield _memory()
    yield _jars(workspace, reason)
    yield examine_workspace(workspace)
    yield from examine_tags(workspace)
    yield from _segments(workspace)
    yield from _places(workspace)
    yield from _files(workspace)
    yield from examine_export(workspace)
    yield from examine_lake(workspace)


def _python() -> Requirement:
    version = ".".join(map(str, sys.version_info[:3]))
    return Requirement(
        "Python",
        sys.version_info >= (3, 11),
        version,
        "install Python 3.11 or newer and run `make setup` again",
    )


def _reason_for_java(workspace: Path | None) -> str | None:
    """Give why this workspace's nights need Spark, and so Java; None where they do not."""
    import ingestion
    import tags
    from lakehouse.errors import CdpError
    from lakehouse.settings.settings import is_cluster, load_settings

    try:
        settings = load_settings(workspace)
        if settings.engine.name == "spark":
            return "the engine is spark"
        if is_cluster(settings):
            return "a cluster is the master"
        return ingestion.reason_for_spark(settings) or tags.reason_for_spark(settings)
    except CdpError:
        return None  # the workspace itself is not usable, which is said elsewhere


def _java(reason: str | None) -> Requirement:
    from lakehouse.errors import EnvironmentUnready
    from lakehouse.session.session import java_version, require_java

    try:
        require_java()
    except EnvironmentUnready as wrong:
        if reason is None:
            return Requirement("Java", True, "not usable, and not needed by these nights")
        return Requirement("Java", False, f"not usable, and needed: {reason}", str(wrong))
    return Requirement("Java", True, str(java_version()))


def _memory() -> Requirement:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    return Requirement(
        "memory", free >= MEMORY_NEEDED_GB, f"{free:.1f} GB free",
        f"free {MEMORY_NEEDED_GB} GB, or lower spark.driver_memory in cdp.yml",
    )  # fmt: skip


def _jars(workspace: Path | None, reason: str | None) -> Requirement:
    from lakehouse.errors import SettingsInvalid
    from lakehouse.session.session import _spark_home_jars, jars_folder, verify_jars
    from lakehouse.settings.settings import load_settings

    if any(_spark_home_jars().glob("delta-spark*.jar")):
        return Requirement("JARs", True, "Delta is on Spark's own class path")
    try:
        settings = load_settings(workspace)
    except SettingsInvalid:
        settings = None
    folder = jars_folder(settings)
    sums = verify_jars(folder)
    wrong = [name for name, good in sums.items() if not good]
    state = f"{len(sums) - len(wrong)} of {len(sums)} with the known sha256 in {folder}"
    if reason is None and wrong:
        return Requirement("JARs", True, f"{state}, and not needed by these nights")
    return Requirement("JARs", not wrong, state, "run `cdp jars fetch` once with a network")


def _segments(workspace: Path | None) -> Iterator[Requirement]:
    """Judge every segment and what it rests on, its offer against those that are published; before the first night there are none."""
    from jobs.workspace.check import checked_catalogue
    from lakehouse.errors import CdpError
    from lakehouse.settings.settings import load_settings

    try:
        catalogue = checked_catalogue(load_settings(workspace))
        findings = [finding for finding in catalogue.findings() if not finding.is_warning]
    except CdpError:
        return  # the workspace itself is not usable, which was said
    for finding in findings:
        yield Requirement("segments", False, str(finding), "correct the file")


def _places(workspace: Path | None) -> Iterator[Requirement]:
    """Judge every folder that nights write to, and the room on their disks."""
    from jobs.workspace.places import DISK_NEEDED_GB, places_of
    from lakehouse.errors import CdpError
    from lakehouse.settings.settings import load_settings

    try:
        places = places_of(load_settings(workspace))
    except CdpError:
        places = [NightFolder("current folder", Path.cwd())]
    for place in places:
        if fault := place.fault():
            yield Requirement("paths", False, fault, "give this user the right to write there")
    scarce = min(places, key=lambda place: place.free_gb)
    yield Requirement(
        "disk", scarce.free_gb >= DISK_NEEDED_GB, f"{scarce.free_gb:.1f} GB free at {scarce.existing}",
        f"free {DISK_NEEDED_GB:.0f} GB, or point `lake:` in cdp.yml at a larger disk",
    )  # fmt: skip


def _files(workspace: Path | None) -> Iterator[Requirement]:
    """Judge who may read what the product writes; without a usable workspace there is nothing to judge."""
    from delivery.destinations import destination_folder, read_destinations
    from lakehouse.errors import CdpError
    from lakehouse.settings.file_rights import rights_faults
    from lakehouse.settings.settings import load_settings

    try:
        settings = load_settings(workspace)
        destinations = read_destinations(settings.workspace)
        folders = {destination_folder(settings, name, place).parent for name, place in destinations.items()}
        faults = rights_faults(settings, sorted(folders - {settings.published}))
    except CdpError as wrong:
        yield Requirement("files", False, "not judged", str(wrong))
        return
    for fault in faults:
        yield Requirement("files", False, fault.sentence, fault.repair)
    if not faults:
        yield Requirement("files", True, "lake, reports, audiences and secrets are closed to others")


def examine_workspace(workspace: Path | None) -> Requirement:
    """Judge the workspace; one that is new and has no feeds yet is good."""
    from lakehouse.errors import CdpError
    from lakehouse.settings.optional_files import files_in
    from lakehouse.settings.settings import load_settings

    try:
        settings = load_settings(workspace)
        has_feeds = bool(files_in(settings.workspace / "feeds", "*.yml"))
        check_workspace(settings, needs_feeds=has_feeds)
    except CdpError as wrong:
        return Requirement("workspace", False, "not usable", str(wrong))
    if not has_feeds:
        return Requirement(
            "workspace", True, f"{settings.workspace}, without feeds yet: cdp feeds draft FILE --write"
        )
    return Requirement("workspace", True, str(settings.workspace))


def examine_tags(workspace: Path | None) -> Iterator[Requirement]:
    """Say how many tags nights compute, and which packs are off and why; none of that needs a repair."""
    from lakehouse.errors import CdpError
    from lakehouse.settings.settings import load_settings
    from tags import REGISTRY
    from vocabulary.registry import load_registry

    try:
        registry = load_registry(load_settings(workspace).workspace, shipped=REGISTRY)
    except CdpError:
        return  # the workspace itself is not usable, which was said
    off = "; ".join(one.sentence for one in registry.packs_off())
    state = f"{len(registry.online())} computed{f'; off: {off}' if off else ''}"
    yield Requirement("tags", True, state)


def examine_export(workspace: Path | None) -> Iterator[Requirement]:
    """Judge the file that every night replaces for other tools, where the workspace names one."""
    from jobs.report.export import export_fault
    from lakehouse.errors import CdpError
    from lakehouse.settings.settings import load_settings

    try:
        settings = load_settings(workspace)
        fault = export_fault(settings)
    except CdpError:
        return  # the workspace itself is not usable, which was said
    if settings.export is not None:
        yield Requirement(
            "export", fault is None, fault or f"{settings.export} is replaced by every night that is published",
            "name a file that nights may write by export: in cdp.yml, or repair what is said of it",
        )  # fmt: skip


def examine_lake(workspace: Path | None) -> Iterator[Requirement]:
    """Judge by the quick check what the workspace has stored; nothing to judge before the first night."""
    from jobs.workspace.soundness import check_soundness
    from lakehouse.errors import CdpError
    from lakehouse.settings.settings import load_settings

    try:
        findings = check_soundness(load_settings(workspace))
    except CdpError:
        return  # the workspace itself is not usable, which was said
    if not findings.counts["publications"] and not findings.faults:
        return
    state = f"{findings.counts['tables']} tables, {findings.counts['files']} files"
    if findings.faults:
        yield Requirement("lake", False, findings.faults[0], "run `cdp fsck --deep` for all that is damaged")
    else:
        yield Requirement("lake", True, f"{state} are there")
