"""Segments decided on a publication, by the functions of a night: what it would choose from the same inputs. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import StepFailed
from lakehouse.settings.yaml_limits import yaml_text
from lakehouse.texts import text
from segments.choosing.compile import LeafTable, Leaves, compile_leaf_table
from segments.choosing.contact_history import branches_and_employees
from segments.choosing.contact_policy import decide_contacts, is_concerned
from segments.choosing.decide import (
    SegmentOutcome,
    SegmentPlaces,
    answer_columns,
    candidate_sql,
    place_segment,
    segment_outcome,
)
from segments.choosing.inputs import NightInputs, read_inputs, read_offers
from segments.choosing.leaf_tables import leaves_by_duckdb
from segments.indexing.answering import IndexedPeople, indexed_people
from segments.language.catalogue import Catalogue, read_catalogue
from segments.language.checks.findings import SpecFinding, refuse_findings
from segments.language.conditions import EventLeaf, Leaf, ListLeaf, SegmentLeaf, TagLeaf, logic_sql
from segments.language.leaves.dates import DateLeaf
from segments.language.leaves.expressions import ExpressionLeaf
from segments.language.leaves.micro_segments import MicroLeaf
from segments.language.leaves.people import SampleLeaf
from segments.language.leaves.rows import RowLeaf
from segments.language.leaves.sequences import SequenceLeaf
from segments.language.lists import StaticList
from segments.language.nesting import levels_of
from segments.language.segment_leaves import all_leaves
from segments.language.spec import Segment, parse_segment, segment_file

if TYPE_CHECKING:
    from lakehouse.query.desk import Relation
    from lakehouse.query.published import Published
    from segments.language.checks.findings import Site, Surroundings

# Leaves whose answer rests on the person alone, or on a segment that is decided before.
_OF_ONE_PERSON = (
    TagLeaf, EventLeaf, ListLeaf, SegmentLeaf, RowLeaf, DateLeaf, SequenceLeaf, ExpressionLeaf, SampleLeaf,
    MicroLeaf,
)  # fmt: skip
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
    """The leaves of everybody who has tags; with an index those of the rows of ``inputs``."""
    indexed: IndexedPeople | None = None
    """The answers of everybody, where an index holds them."""
    notes: tuple[str, ...] = ()
    """What was wrong with an index that is not used."""

    def place(self, segment: Segment, members: Mapping[str, Relation]) -> SegmentPlaces:
        """Choose and place the candidates of one segment; ``members`` holds those of the segments it names."""
        leaves, unknown = self.inputs.leaves.rows, None
        if self.indexed is not None:
            leaves = self.indexed.with_ranks(segment, leaves)
            if not segment.is_collective:
                ((_, unknown),) = self.indexed.count(segment, [segment.rule], members)
        return place_segment(
            self.published,
            segment,
            policy=self.site.policy,
            leaves=leaves,
            arms=self.inputs.earlier.arms,
            members=members,
            offer_risk=self.inputs.offer_risk(segment),
            everybody=self.answers,
            belonging=self.inputs.belonging(segment),
            unknown=unknown,
        )

    def place_all(
        self, segments: Sequence[Segment], others: Mapping[str, SegmentPlaces] | None = None
    ) -> dict[str, SegmentPlaces]:
        """Place several segments, which name only one another and ``others`` that are placed already, and give all by their codes."""
        every = dict(others or {})
        members = {code: places.members for code, places in every.items()}
        for level in levels_of([segment for segment in segments if segment.code not in every]):
            for segment in level:
                every[segment.code] = self.place(segment, members)
                members[segment.code] = every[segment.code].members
        return every

    def outcomes(self, places: Mapping[str, SegmentPlaces]) -> dict[str, SegmentOutcome]:
        """Decide the contacts of several segments together, as a night does, and give what becomes of their candidates."""
        day = self.published.publication.business_date
        groups = branches_and_employees if self.indexed is None else self.indexed.groups
        contacts = decide_contacts(
            self.published, self.published, list(places.values()), self.site.contact, day, groups=groups
        )
        return {
            code: segment_outcome(self.published, one, self.site.policy, contacts.get(code))
            for code, one in places.items()
        }


def read_snapshot(published: Published, site: Site, segments: Sequence[Segment]) -> Snapshot:
    """Read from a publication what these segments are decided from."""
    maker = _LeavesInSteps(published, site, segments)
    inputs = read_inputs(published, published, segments, site, maker.day, maker)
    return Snapshot(published, site, inputs, maker.answers or inputs.leaves.rows)


def read_indexed_snapshot(published: Published, site: Site, segments: Sequence[Segment]) -> Snapshot:
    """Give what ``read_snapshot`` gives, from the index of the publication where there is one that holds all that is asked.

    An index that is damaged, foreign or old is left aside with a note: it never changes an answer.
    """
    maker = _LeavesByIndex(published, site, segments)
    inputs = read_inputs(published, published, segments, site, maker.steps.day, maker)
    answers = maker.steps.answers or inputs.leaves.rows
    return Snapshot(published, site, inputs, answers, maker.indexed, tuple(maker.notes))


class _LeavesByIndex:
    """Makes the leaf table from an index, else in steps."""

    def __init__(self, published: Published, site: Site, segments: Sequence[Segment]) -> None:
        self.published, self.site, self.segments = published, site, segments
        self.steps = _LeavesInSteps(published, site, segments)
        self.indexed: IndexedPeople | None = None
        self.notes: list[str] = []

    def __call__(
        self, leaf_table: LeafTable, lists: dict[str, StaticList], people_of: Mapping[str, Relation]
    ) -> Leaves:
        try:
            self.indexed = indexed_people(self.published, self.site, self.segments, lists)
        except StepFailed as fault:
            self.notes.append(text("preview.index", fault=str(fault)))
        if self.indexed is None:
            return self.steps(leaf_table, lists, people_of)
        return self.indexed.rows(people_of)


class _LeavesInSteps:
    """Makes the leaf table in two steps: the answers of everybody, then what suppression asks of those who may be chosen.

    Whoever some segment chooses stays. Where a rule names another segment, whose members are not known yet, that is taken for unknown
    and everybody stays to whom the rule does not say no. A leaf that depends on other people needs the whole table at once.
    """

    def __init__(self, published: Published, site: Site, segments: Sequence[Segment]) -> None:
        self.published, self.site, self.segments = published, site, segments
        self.day = published.publication.business_date
        self.answers: Relation | None = None

    def __call__(
        self, leaf_table: LeafTable, lists: dict[str, StaticList], people_of: Mapping[str, Relation]
    ) -> Leaves:
        leaves = {leaf.column: leaf for segment in self.segments for leaf in all_leaves(segment)}
        rests_on_others = any(segment.is_collective for segment in self.segments)
        if rests_on_others or not all(type(leaf) in _OF_ONE_PERSON for leaf in leaves.values()):
            return leaves_by_duckdb(self.published, self.published, leaf_table, lists, self.day)
        narrow = compile_leaf_table(self.segments, business_date=self.day, policy=None)
        self.answers = leaves_by_duckdb(self.published, self.published, narrow, lists, self.day).rows
        people = self.published.keep(
            "maybe_chosen", f"SELECT one_id FROM {self.answers} WHERE {self._is_maybe_chosen()}"
        )
        return leaves_by_duckdb(self.published, self.published, leaf_table, lists, self.day, people=people)

    def _is_maybe_chosen(self) -> str:
        own_answer = answer_columns({})

        def column_of(leaf: Leaf) -> str:
            return "NULL::BOOLEAN" if isinstance(leaf, SegmentLeaf) else own_answer(leaf)

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
    file = Path(name)
    is_code = any(segment.code == name for segment in catalogue.segments)
    if not is_code and (file.suffix in (".yml", ".yaml") or file.is_file()):
        return parse_segment(yaml_text(file), file, catalogue.site.workspace)
    return catalogue.segment(name)


def with_draft(catalogue: Catalogue, segment: Segment) -> Catalogue:
    """Give a workspace's segments with this one in place of the one of its code."""
    others = [other for other in catalogue.segments if other.code != segment.code]
    own = segment_file(catalogue.site.workspace, segment.code)
    faults = tuple(fault for fault in catalogue.faults if fault.file != str(own))
    unsettled = [other for other in catalogue.unsettled if other.code != segment.code]
    return Catalogue(sorted([*others, segment], key=lambda s: s.code), catalogue.site, faults, unsettled)


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
    """Raise ``SettingsInvalid`` where these segments have a fault; give the findings that stop only a night.

    So does a fault of a segment they name whose file cannot be read, and one of the site's contact policy where it concerns them.
    """
    files = _files_of(segments, catalogue)
    findings = [
        finding for finding in catalogue.findings() if finding.file in files and not finding.is_warning
    ]
    refuse_findings(stopping(findings))
    return findings


def rivals_of(segments: Sequence[Segment], catalogue: Catalogue) -> list[Segment]:
    """Give the other segments whose contacts a night decides together with those of these; none where no rule concerns these."""
    rules, codes = catalogue.site.contact, {segment.code for segment in segments}
    if not any(is_concerned(segment, rules) for segment in segments):
        return []
    return [other for other in catalogue.segments if other.code not in codes and is_concerned(other, rules)]


def without_faults(segments: Iterable[Segment], catalogue: Catalogue) -> tuple[list[Segment], list[str]]:
    """Give those of some segments that can be decided, and the codes of the others."""
    files = {finding.file for finding in stopping(catalogue.findings())}
    every = list(segments)
    faulty = {s.code for s in every if _files_of(named_by([s], catalogue), catalogue) & files}
    return [segment for segment in every if segment.code not in faulty], sorted(faulty)


def _files_of(segments: Iterable[Segment], catalogue: Catalogue) -> set[Path]:
    """Give the files that decide about segments: their own, those of the segments they name, and the site's contact policy."""
    site = catalogue.site
    # Rules that cannot be read may concern any segment.
    files = (
        {site.contact.file}
        if any(fault.file == str(site.contact.file) for fault in catalogue.faults)
        else set()
    )
    for segment in segments:
        names = {leaf.segment for leaf in all_leaves(segment) if isinstance(leaf, SegmentLeaf)}
        codes = {other.code for other in catalogue.segments}
        files |= {segment.file, *(segment_file(site.workspace, name) for name in names - codes)}
        if is_concerned(segment, site.contact):
            files.add(site.contact.file)
    return files


def stopping(findings: Iterable[SpecFinding]) -> list[SpecFinding]:
    """Give the findings with which nothing can be decided."""
    return [finding for finding in findings if finding.code != _REUSED_VERSION]
