"""Segments decided on a publication, by the functions of a night: what it would choose from the same inputs. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import UsageError
from lakehouse.settings.yaml_files import did_you_mean
from lakehouse.settings.yaml_limits import yaml_text
from segments.choosing.compile import LeafTable, Leaves, compile_leaf_table
from segments.choosing.decide import Placement, candidate_sql, place_candidates
from segments.choosing.inputs import NightInputs, read_inputs, read_offers
from segments.choosing.leaf_tables import leaves_by_duckdb
from segments.language.catalogue import Catalogue, read_catalogue
from segments.language.checks import SpecFinding, all_leaves, levels_of, refuse_findings
from segments.language.conditions import EventLeaf, Leaf, ListLeaf, SegmentLeaf, TagLeaf, logic_sql
from segments.language.lists import StaticList
from segments.language.spec import Segment, parse_segment

if TYPE_CHECKING:
    from lakehouse.query.desk import Relation
    from lakehouse.query.published import Published
    from segments.language.checks import Site, Surroundings

# Leaves whose answer rests on the person alone, or on a segment that is decided before.
_OF_ONE_PERSON = (TagLeaf, EventLeaf, ListLeaf, SegmentLeaf)
# A version that was published with another definition: a night refuses it, a draft may still be looked at.
_REUSED_VERSION = "E16"


@dataclass(frozen=True)
class Snapshot:
    """What segments are decided from on a publication; its relations are those of the publication's desk."""

    published: Published
    site: Site
    inputs: NightInputs
    """Its leaf table may hold only those who may be chosen."""
    answers: Relation
    """The leaves of everybody who has tags."""

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
            everybody=self.answers,
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
    maker = _LeavesInSteps(published, site, segments)
    inputs = read_inputs(published, published, segments, site, maker.day, maker)
    return Snapshot(published, site, inputs, maker.answers or inputs.leaves.rows)


class _LeavesInSteps:
    """Makes the leaf table in two steps: the answers of everybody, then what suppression asks of those who may be chosen.

    Whoever some segment chooses stays. Where a rule names another segment, whose members are not known yet, that is taken for unknown
    and everybody stays to whom the rule does not say no. A leaf that depends on other people needs the whole table at once.
    """

    def __init__(self, published: Published, site: Site, segments: Sequence[Segment]) -> None:
        self.published, self.site, self.segments = published, site, segments
        self.day = published.publication.business_date
        self.answers: Relation | None = None

    def __call__(self, leaf_table: LeafTable, lists: dict[str, StaticList]) -> Leaves:
        leaves = {leaf.column: leaf for segment in self.segments for leaf in all_leaves(segment)}
        if not all(type(leaf) in _OF_ONE_PERSON for leaf in leaves.values()):
            return leaves_by_duckdb(self.published, self.published, leaf_table, lists, self.day)
        narrow = compile_leaf_table(
            self.segments, business_date=self.day, policy=self.site.policy, has_facts=False
        )
        self.answers = leaves_by_duckdb(self.published, self.published, narrow, lists, self.day).rows
        people = self.published.keep(
            "maybe_chosen", f"SELECT one_id FROM {self.answers} WHERE {self._is_maybe_chosen()}"
        )
        return leaves_by_duckdb(self.published, self.published, leaf_table, lists, self.day, people=people)

    def _is_maybe_chosen(self) -> str:
        def column_of(leaf: Leaf) -> str:
            return "NULL::BOOLEAN" if isinstance(leaf, SegmentLeaf) else leaf.column

        rules = []
        for segment in self.segments:
            answer = f"({logic_sql(segment.rule, column_of)})"
            names_others = any(isinstance(leaf, SegmentLeaf) for leaf in all_leaves(segment))
            maybe = f"{answer} IS DISTINCT FROM false" if names_others else candidate_sql(segment, answer)
            rules.append(f"coalesce({maybe}, false)")
        return " OR ".join(rules) or "false"


def catalogue_on(published: Published, surroundings: Surroundings) -> Catalogue:
    """Give the segments of the workspace, to be checked against the offers that are open in the publication."""
    on_it = replace(surroundings, offers=read_offers(published))
    return read_catalogue(published.settings, on_it)


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
