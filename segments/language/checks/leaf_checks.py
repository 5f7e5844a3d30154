"""Checks of the leaves of a rule that are more than one tag: lists, segments, events, rows, dates, ranks, expressions, members."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lakehouse.contracts.reading import contract
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.yaml_files import did_you_mean
from segments.language.checks.findings import Site, SpecFinding, finding
from segments.language.checks.tag_checks import check_measured_tag, check_tag, check_wish
from segments.language.complaints import unknown_event
from segments.language.conditions import ANY_VERSION, EventLeaf, Leaf, ListLeaf, SegmentLeaf, TagLeaf, leaves
from segments.language.leaves.dates import DateLeaf
from segments.language.leaves.expressions import ExpressionLeaf, type_faults
from segments.language.leaves.members import MembersLeaf
from segments.language.leaves.micro_segments import FOLDER as MICRO_FOLDER
from segments.language.leaves.micro_segments import MicroLeaf
from segments.language.leaves.people import RankLeaf
from segments.language.leaves.rows import RowLeaf
from segments.language.leaves.sequences import SequenceLeaf
from segments.language.lists import known_lists, list_file
from segments.language.operators import COMPARISONS, type_fault
from segments.language.spec import Segment


def check_members(segment: Segment, leaf: MembersLeaf, site: Site) -> Iterator[SpecFinding]:
    """Check what a leaf about a company or household measures; its condition is checked like any other."""
    measure = leaf.measure
    if measure.of is None:
        return
    yield from check_measured_tag(segment, measure.of, f"'{measure.name}'", leaf.line, site)
    fact = site.tags.get(measure.of)
    for test in measure.tests if fact is not None and fact.value_type == "number" else ():
        if test.operator not in COMPARISONS:
            text = f"'{measure.name}' is compared by {', '.join(COMPARISONS)}, not by '{test.operator}'"
            yield finding(segment, "E03", text, leaf.line)
        elif fault := type_fault(test.operator, "number", test.operand):
            yield finding(segment, "E03", f"{measure.name} of {measure.of}: {fault}", leaf.line)


def check_list(segment: Segment, leaf: ListLeaf, site: Site) -> Iterator[SpecFinding]:
    """Check that the file of a list is there; its rows are looked at once for all segments."""
    file = list_file(site.workspace, leaf)
    if not file.is_file():
        hint = did_you_mean(leaf.reference, known_lists(site.workspace))
        yield finding(segment, "E01", f"there is no list '{leaf.reference}' ({file}){hint}", leaf.line)


def check_nested(
    segment: Segment, leaf: SegmentLeaf, by_code: Mapping[str, Segment | None]
) -> Iterator[SpecFinding]:
    """Check that the segment whose members are asked for is there in the version that is wished."""
    other = by_code.get(leaf.segment)
    if leaf.segment in by_code and other is None:
        return  # its own file cannot be read, which is said there
    if other is None:
        hint = did_you_mean(leaf.segment, [code for code in by_code if code != segment.code])
        yield finding(segment, "E01", f"there is no segment '{leaf.segment}'{hint}", leaf.line)
        return
    yield from check_wish(segment, f"segment '{leaf.segment}'", other.version, leaf.version, leaf.line)


def check_further(
    segment: Segment, leaf: Leaf, excluding: bool, by_code: Mapping[str, Segment | None], site: Site
) -> Iterator[SpecFinding]:
    """Check a leaf over rows, sequences, dates, people, micro-segments or an expression."""
    for tag in leaf.tags:
        version = leaf.version if isinstance(leaf, RankLeaf) else ANY_VERSION
        fact = site.tags.get(tag)
        if fact is not None and fact.is_restricted and excluding and not isinstance(leaf, RankLeaf):
            text = f"tag '{tag}' may only exclude, by a condition of its own: write {{tag: {tag}, …}} below 'exclude'"
            yield finding(segment, "E06", text, leaf.line)
            continue
        yield from check_tag(segment, TagLeaf(tag, (), version, line=leaf.line), False, excluding, site)
    if isinstance(leaf, SequenceLeaf):
        yield from check_event_names(segment, leaf.names, leaf.line, site)
    elif isinstance(leaf, RowLeaf):
        operands = {match.column: match.tests[0].operand for match in leaf.matches}
        if leaf.word == "event":
            yield from check_event_names(segment, operands["event_name"], leaf.line, site)
        for code in operands.get("segment", []) if leaf.word == "receipt" else []:
            if code not in by_code and code not in {code_used for code_used, _ in site.known_hashes}:
                hint = did_you_mean(code, list(by_code))
                yield finding(segment, "E01", f"there is no segment '{code}'{hint}", leaf.line)
    elif isinstance(leaf, RankLeaf):
        yield from _check_rank(segment, leaf, site)
    elif isinstance(leaf, DateLeaf) and isinstance(leaf.of, str) and leaf.of in site.tags:
        fact = site.tags[leaf.of]
        if leaf.every == "month" and not (fact.value_type == "number" and fact.is_whole):
            text = f"'every: month' takes a tag that is a day of the month, and '{leaf.of}' is a {fact.value_type}"
            yield finding(segment, "E03", text, leaf.line)
        elif leaf.every != "month" and fact.value_type != "date":
            text = f"'date.of' takes a date, and tag '{leaf.of}' is a {fact.value_type}"
            yield finding(segment, "E03", text, leaf.line)
    elif isinstance(leaf, MicroLeaf):
        codes = sorted(file.stem for file in files_in(site.workspace / MICRO_FOLDER, "*.yml"))
        if leaf.set_code not in codes:
            hint = did_you_mean(leaf.set_code, codes)
            text = f"there is no set of micro-segments '{leaf.set_code}'{hint}"
            yield finding(segment, "E01", text, leaf.line)
    elif isinstance(leaf, ExpressionLeaf):
        fault = type_faults(leaf, site.tags)
        if fault:
            yield finding(segment, "E03", fault, leaf.line)


def _check_rank(segment: Segment, leaf: RankLeaf, site: Site) -> Iterator[SpecFinding]:
    fact = site.tags.get(leaf.tag)
    if fact is not None and fact.value_type not in ("number", "date"):
        text = f"'{leaf.tag}' is a {fact.value_type}; people are ranked by numbers and dates"
        yield finding(segment, "E03", text, leaf.line)
    if fact is not None and fact.is_restricted:
        text = f"tag '{leaf.tag}' may only exclude; a rank would show where it is cut"
        yield finding(segment, "E06", text, leaf.line)
    if leaf.within != "all" and segment.is_collective:
        text = f"the base of this segment is of {segment.spec.entity}; write within: all to rank everybody"
        yield finding(segment, "E03", text, leaf.line)
    elif leaf.within != "all" and segment.ranked_group(leaf) is None:
        whose = "template" if leaf.within == "template" else "segment"
        text = f"'within: base' needs the {whose}'s base; write within: all to rank everybody"
        yield finding(segment, "E03", text, leaf.line)
    if segment.base is not None and any(leaf == other for other, _ in leaves(segment.base)):
        yield finding(segment, "E03", "a rank stands in where; the base is what it ranks", leaf.line)


def check_negation(segment: Segment, leaf: Leaf, denied: bool, site: Site) -> Iterator[SpecFinding]:
    """Ask for what unknown means where a leaf is negated whose answer can be unknown."""
    is_stated = segment.spec.unknown is not None or leaf.include_unknown is not None
    nullable = any(site.tags[tag].is_nullable for tag in leaf.tags if tag in site.tags)
    if denied and not is_stated and (nullable or leaf.can_be_unknown):
        text = (
            "the condition can be unknown and is negated here; say what unknown means with "
            "'unknown: exclude|include|error' or 'include_unknown' on the condition"
        )
        yield finding(segment, "E13", text, leaf.line)


def check_event_names(
    segment: Segment, names: Iterable[str], line: int | None, site: Site
) -> Iterator[SpecFinding]:
    """Find names of events that were never seen."""
    if site.event_names is None:
        return
    for name in names:
        if name not in site.event_names:
            yield finding(segment, "E01", unknown_event(name, site.event_names), line)


def check_window(segment: Segment, leaf: EventLeaf) -> Iterator[SpecFinding]:
    """Find a window that is longer than events are kept."""
    days = contract("trusted.events").retention_days
    if days is not None and leaf.within_days > days:
        yield finding(segment, "E09", f"events are kept {days} days, not {leaf.within_days}", leaf.line)
