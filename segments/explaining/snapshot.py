"""Segments decided on a publication, by the functions of a night: what it would choose from the same inputs. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import UsageError
from lakehouse.settings.yaml_files import did_you_mean
from lakehouse.settings.yaml_limits import yaml_text
from segments.choosing.compile import LeafTable, Leaves
from segments.choosing.decide import Placement, place_candidates
from segments.choosing.inputs import NightInputs, read_inputs
from segments.choosing.leaf_tables import leaves_by_duckdb
from segments.language.catalogue import Catalogue
from segments.language.checks import SpecFinding, all_leaves, levels_of, refuse_findings
from segments.language.conditions import SegmentLeaf
from segments.language.lists import StaticList
from segments.language.spec import Segment, parse_segment

if TYPE_CHECKING:
    from lakehouse.query.desk import Relation
    from lakehouse.query.published import Published
    from segments.language.checks import Site

# A version that was published with another definition: a night refuses it, a draft may still be looked at.
_REUSED_VERSION = "E16"


@dataclass(frozen=True)
class Snapshot:
    """What segments are decided from on a publication; its relations are those of the publication's desk."""

    published: Published
    site: Site
    inputs: NightInputs

    def place(self, segment: Segment, members: dict[str, Relation]) -> Placement:
        """Choose and place the candidates of one segment; ``members`` holds those of the segments it names."""
        return place_candidates(
            self.published,
            segment,
            policy=self.site.policy,
            leaves=self.inputs.leaves.rows,
            arms=self.inputs.earlier.arms,
            members=members,
            offer_risk=self.inputs.offer_risk(segment),
        )

    def place_all(self, segments: Sequence[Segment]) -> dict[str, Placement]:
        """Place several segments, which name only one another, by their codes."""
        placements: dict[str, Placement] = {}
        members: dict[str, Relation] = {}
        for level in levels_of(list(segments)):
            for segment in level:
                placements[segment.code] = self.place(segment, members)
                members[segment.code] = placements[segment.code].members
        return placements


def read_snapshot(published: Published, site: Site, segments: Sequence[Segment]) -> Snapshot:
    """Read from a publication what these segments are decided from."""
    day = published.publication.business_date

    def make_leaves(leaf_table: LeafTable, lists: dict[str, StaticList]) -> Leaves:
        return leaves_by_duckdb(published, published, leaf_table, lists, day)

    return Snapshot(published, site, read_inputs(published, published, segments, site, day, make_leaves))


def segment_of(catalogue: Catalogue, name: str) -> Segment:
    """Give the segment of a workspace by its code, or that of a file anywhere; nobody else raises ``UsageError``."""
    for segment in catalogue.segments:
        if segment.code == name:
            return segment
    file = Path(name)
    if file.suffix in (".yml", ".yaml") or file.is_file():
        return parse_segment(yaml_text(file), file)
    raise unknown_segment(catalogue, name)


def unknown_segment(catalogue: Catalogue, name: str) -> UsageError:
    """Give the error about a code that no segment of a workspace has."""
    return UsageError(
        f"there is no segment '{name}'{did_you_mean(name, [s.code for s in catalogue.segments])}"
    )


def with_draft(catalogue: Catalogue, segment: Segment) -> Catalogue:
    """Give a workspace's segments with this one in place of the one of its code."""
    others = [other for other in catalogue.segments if other.code != segment.code]
    return Catalogue(sorted([*others, segment], key=lambda s: s.code), catalogue.site)


def named_by(segments: Iterable[Segment], catalogue: Catalogue) -> list[Segment]:
    """Give these segments and every segment that they name, that those name, and so on, ordered by code."""
    by_code = {segment.code: segment for segment in catalogue.segments}
    scope: dict[str, Segment] = {}
    waiting = list(segments)
    while waiting:
        segment = waiting.pop()
        if segment.code not in scope:
            scope[segment.code] = segment
            names = {leaf.segment for leaf in all_leaves(segment) if isinstance(leaf, SegmentLeaf)}
            waiting += [by_code[name] for name in names if name in by_code]
    return sorted(scope.values(), key=lambda s: s.code)


def refuse_faults(catalogue: Catalogue, segments: Iterable[Segment]) -> list[SpecFinding]:
    """Raise ``SettingsInvalid`` where one of these segments has a fault; give the findings that stop only a night."""
    files = {segment.file for segment in segments}
    findings = [finding for finding in catalogue.findings() if finding.file in files]
    refuse_findings(stopping(findings))
    return findings


def stopping(findings: Iterable[SpecFinding]) -> list[SpecFinding]:
    """Give the findings with which nothing can be decided."""
    return [finding for finding in findings if finding.code != _REUSED_VERSION]
