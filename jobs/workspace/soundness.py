"""The check of everything a workspace has stored: the lake, the equations of its audiences, what destinations hold."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from lakehouse.errors import SettingsInvalid, StepFailed
from lakehouse.integrity.lake_check import LakeFindings
from lakehouse.settings.settings import Settings

if TYPE_CHECKING:
    from delivery.mirrors import Mirrors


def check_soundness(settings: Settings, *, deep: bool = False) -> LakeFindings:
    """Check a lake and the published audiences; nothing is written and no JVM is needed."""
    import ingestion
    import tags
    from jobs.workspace.check import check_workspace
    from lakehouse.contracts.reading import Contracts
    from lakehouse.integrity.lake_check import check_lake

    contracts, faults = Contracts(), []
    try:
        contracts.add(*check_workspace(settings))
    except StepFailed as wrong:  # it reads what was published of tags and segments
        faults = [str(wrong)]
        # A file of the workspace that is wrong as well is said by the check of the workspace, once this is mended.
        with suppress(SettingsInvalid):
            contracts.add(*ingestion.landing_contracts(settings), *tags.tag_contracts(settings))
    findings = check_lake(settings, contracts, deep=deep)
    if findings.counts["publications"]:
        _check_audiences(settings, findings, deep=deep)
    # What the check of the lake says of the same file is said once.
    findings.faults[:0] = [text for text in faults if text.partition(";")[0] not in " ".join(findings.faults)]
    return findings


def mirror_faults(settings: Settings) -> list[str]:
    """Give one sentence for each destination's folder that is not, byte by byte, what was delivered; none before the first night."""
    mirrors = _compare_mirrors(settings, deep=True)
    return mirrors.faults if mirrors else []


def _compare_mirrors(settings: Settings, *, deep: bool) -> Mirrors | None:
    import delivery
    from delivery.mirrors import compare_mirrors, read_deliveries
    from lakehouse.query.published import newest_publication, open_publication

    newest = newest_publication(settings)
    if newest is None or "segments.deliveries" not in newest.tables:
        return None
    with open_publication(settings) as desk:
        destinations = delivery.read_destinations(settings)
        return compare_mirrors(settings, destinations, read_deliveries(desk), deep=deep)


def _check_audiences(settings: Settings, findings: LakeFindings, *, deep: bool) -> None:
    from delivery.verification import verify
    from jobs.workspace.audiences import published_roots, verification_keys
    from lakehouse.errors import CdpError
    from lakehouse.query.published import open_publication
    from segments.explaining.equations import equation_faults

    try:
        mirrors = _compare_mirrors(settings, deep=deep)
        if mirrors is not None:
            findings.faults += mirrors.faults
            findings.counts["audiences"] = len(mirrors.runs)
            if mirrors.removed:
                findings.notes.append(
                    f"{mirrors.removed} earlier audiences are no longer at their destinations"
                )
        if not deep:
            return
        with open_publication(settings) as desk:
            findings.counts["runs of segments"], faults = equation_faults(desk, desk)
        findings.faults += faults
        for root in published_roots(settings):
            for verification in verify(root, keys=verification_keys(settings.workspace)):
                findings.faults += [f"{verification.folder}: {fault}" for fault in verification.failures]
    except CdpError as wrong:
        findings.faults.append(str(wrong))
