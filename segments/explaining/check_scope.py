"""Which findings of a check concern some segments: those in their own files, and in what they rest on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lakehouse.errors import SettingsInvalid
from segments.explaining.snapshot import segment_of, with_draft
from segments.language.catalogue import Catalogue
from segments.language.checks.findings import SpecFinding
from segments.language.conditions import ListLeaf
from segments.language.lists import list_file
from segments.language.segment_leaves import read_leaves
from segments.language.spec import Segment, segment_file
from segments.language.templates import FOLDER as TEMPLATES


@dataclass(frozen=True)
class CheckScope:
    """Some segments of a workspace, drafts among them in their places, and the files that bear on them."""

    catalogue: Catalogue
    own_files: set[Path]
    """The files of the segments themselves."""
    further_files: set[Path]
    """Their templates and lists, and what all segments rest on."""

    def concerns(self, finding: SpecFinding) -> bool:
        """Tell whether a finding is about one of the segments."""
        return finding.file in self.own_files | self.further_files


def scope_of(catalogue: Catalogue, names: Iterable[str]) -> CheckScope:
    """Give the segments of a workspace by their codes, or those of files anywhere; an unknown code raises ``UsageError``."""
    own: set[Path] = set()
    further: set[Path] = set()
    for name in names:
        file = segment_file(catalogue.site.workspace, name)
        if not file.is_file() and Path(name).resolve() in catalogue.segment_files:
            file = Path(name).resolve()
        if file.is_file():
            own.add(file)
            continue
        try:
            segment = segment_of(catalogue, name)
        except SettingsInvalid as fault:
            own.add(Path(name))
            fault = fault if fault.file else SettingsInvalid(fault.message, file=name)
            further.add(Path(str(fault.file)))
            catalogue = replace(catalogue, faults=(*catalogue.faults, fault))
            continue
        catalogue = with_draft(catalogue, segment)
        own.add(segment.file)
    readable = {segment.file: segment for segment in [*catalogue.segments, *catalogue.unsettled]}
    for file in own & set(readable):
        further |= _files_beside(readable[file], catalogue.site.workspace)
    if own - set(readable):  # a template may be why
        further |= {Path(str(fault.file)) for fault in catalogue.faults} - set(catalogue.segment_files)
    return CheckScope(catalogue, own, further | _shared_files(catalogue))


def _files_beside(segment: Segment, workspace: Path) -> set[Path]:
    """Give the files that a segment names: its template and its lists."""
    files = {list_file(workspace, leaf) for leaf in read_leaves(segment) if isinstance(leaf, ListLeaf)}
    template = segment.spec.extends
    return files | ({workspace / TEMPLATES / f"{template}.yml"} if template else set())


def _shared_files(catalogue: Catalogue) -> set[Path]:
    """Give the files that cannot be read and bear on every segment: all but specifications, templates and lists."""
    workspace = catalogue.site.workspace
    files = {Path(str(fault.file)) for fault in catalogue.faults}
    own_folders = {workspace / name for name in ("segments", TEMPLATES)}
    return {file for file in files if file.is_relative_to(workspace) and file.parent not in own_folders}
