"""Checks of specifications before any data is read: every finding names code, file, line and a hint.

E00 a file that cannot be read · E01 unknown tag, list, segment, offer, event or version · E02 value outside the domain ·
E03 operator or type mismatch · E04 cycle · E05 tag not online or not of people · E06 purpose not allowed · E07 level above the destination's
ceiling · E08 C3 anywhere · E09 window longer than kept data · E11 overlapping ranges in one layer · E12 rules of contact that
contradict · E13 negation of a nullable tag without a stated policy · E14 a condition that is never or always true · E16 changed
definition under an old version. Codes that begin with W are warnings: they stop nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lakehouse.contracts.reading import contract
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.yaml_files import did_you_mean
from segments.language.complaints import Unread, unknown_event
from segments.language.conditions import (
    ANY_VERSION,
    EventLeaf,
    Leaf,
    ListLeaf,
    Node,
    SegmentLeaf,
    TagLeaf,
    leaves,
    person_leaves,
)
from segments.language.contact import GLOBAL, Contact, ContactRules
from segments.language.contact_checks import contact_faults
from segments.language.leaves.dates import DateLeaf
from segments.language.leaves.expressions import ExpressionLeaf, type_faults
from segments.language.leaves.members import MembersLeaf
from segments.language.leaves.people import RankLeaf
from segments.language.leaves.rows import RowLeaf
from segments.language.leaves.sequences import SequenceLeaf
from segments.language.lists import known_lists, list_file, read_list
from segments.language.offers import Offers, offer_fault
from segments.language.operators import COMPARISONS, OPERATORS, Test, type_fault
from segments.language.possible_answers import Dead, dead_conditions, keeps_in_the_best
from segments.language.spec import Segment, version_matches
from vocabulary.audience import WORKLIST_COLUMNS
from vocabulary.levels import LEVELS
from vocabulary.policy import Policy
from vocabulary.tag_facts import TagFacts

WINDOW_COLUMNS = ("send_from", "send_until")
GIVEN_COLUMNS = ("variant", "channel")
# Channels by which one person speaks to another.
PERSONAL_CHANNELS = ("CALL", "WECOM", "BRANCH")
COMPANIES = "companies"
# The credit codes a person is contacted for: public numbers, but beside a person they say what the person owns.
COMPANIES_LEVEL = "C2"
OFFER_TAG = "max_sellable_risk"


@dataclass(frozen=True)
class SpecFinding:
    """One fault of a specification."""

    code: str
    message: str
    file: Path
    line: int | None

    @property
    def is_warning(self) -> bool:
        """Whether it is said and stops nothing."""
        return self.code.startswith("W")

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.code} {self.message}"


@dataclass(frozen=True)
class Surroundings:
    """What specifications may name and other rooms define."""

    tags: Mapping[str, TagFacts]
    """The registered tags by code."""
    ceilings: Mapping[str, str]
    """The destinations by name, each with the highest personal level it may receive."""
    offers: Offers | None = None
    """The open offers; None where they are not looked at, as before the first night."""
    event_names: frozenset[str] | None = None
    """The names of all events so far; None where they are not looked at."""
    dry_destinations: frozenset[str] = frozenset()
    """The destinations for which everything is done but the release."""
    worklists: frozenset[str] = frozenset()
    """The destinations at which employees take care of people."""
    unread: Unread = field(default_factory=Unread)
    """What is missing here, since its file cannot be read."""
    faults: tuple[SettingsInvalid, ...] = ()
    """The faults of those files."""


@dataclass(frozen=True)
class Site:
    """What the specifications of a workspace are checked against."""

    workspace: Path
    tags: Mapping[str, TagFacts]
    ceilings: Mapping[str, str]
    policy: Policy
    known_hashes: Mapping[tuple[str, str], str]
    offers: Offers | None = None
    event_names: frozenset[str] | None = None
    contact: ContactRules = field(default_factory=ContactRules)
    worklists: frozenset[str] = frozenset()
    tag_days: int = 32
    unread: Unread = field(default_factory=Unread)


def check_segments(
    segments: list[Segment], site: Site, faults: Iterable[SettingsInvalid] = ()
) -> list[SpecFinding]:
    """Give every finding over all specifications of a workspace, in order of file and line.

    ``faults`` are those of files that cannot be read; a segment that names such a file's is not blamed for it.
    """
    findings = [_unreadable(fault) for fault in faults]
    files = (site.workspace / "segments").glob("*.yml")
    by_code: dict[str, Segment | None] = {file.stem: None for file in files}
    by_code |= {segment.code: segment for segment in segments}
    for segment in segments:
        own = list(_check_one(segment, by_code, site))
        findings += own or _check_answers(segment, site)
        findings += _deprecations(segment, site)
    findings += _list_faults(segments, site)
    findings += _cycles(segments)
    findings += _overlaps(segments)
    of_contact = contact_faults(
        by_code, site.contact, site.tags, lambda fact, segment: _is_usable(fact, segment, site), site.unread
    )
    findings += [SpecFinding(fault.code, fault.message, fault.file, fault.line) for fault in of_contact]
    # A leaf that becomes two, as an absence does, is blamed once.
    return sorted(set(findings), key=lambda f: (str(f.file), f.line or 0, f.code, f.message))


def refuse_findings(findings: Iterable[SpecFinding]) -> None:
    """Raise ``SettingsInvalid`` with the first finding and the number of further ones, if there is any."""
    every = [finding for finding in findings if not finding.is_warning]
    if every:
        first = every[0]
        more = f" ({len(every) - 1} more; see `cdp segments check`)" if len(every) > 1 else ""
        raise SettingsInvalid(f"{first.code} {first.message}{more}", file=first.file, line=first.line)


def levels_of(segments: list[Segment]) -> list[list[Segment]]:
    """Give the segments by dependency level: those of a level name only segments of earlier ones."""
    remaining = {segment.code: segment for segment in segments}
    levels: list[list[Segment]] = []
    while remaining:
        ready = [s for s in remaining.values() if not nested_segments(s) & set(remaining)]
        if not ready:
            cyclic = min(remaining)
            raise SettingsInvalid(f"E04 the segments {', '.join(sorted(remaining))} name each other in a circle",
                                  file=remaining[cyclic].file, line=1)  # fmt: skip
        levels.append(sorted(ready, key=lambda s: s.code))
        for segment in ready:
            del remaining[segment.code]
    return levels


def _unreadable(fault: SettingsInvalid) -> SpecFinding:
    """Give the finding of a fault that was raised while a file was read; some name their code already."""
    has_code = re.match(r"(E\d\d) (.*)", fault.message, re.DOTALL)
    code, message = has_code.groups() if has_code else ("E00", fault.message)
    return SpecFinding(code, message, Path(str(fault.file)), fault.line)


def _check_answers(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    """Find what nobody, or everybody, meets; of a rule without other faults."""
    parts = [*_chosen_parts(segment), *segment.exclude]
    inner = [leaf.where for leaf in entity_leaves(segment) if leaf.where is not None]
    for part in [*inner, *_addressee_parts(segment)]:
        for dead in dead_conditions([part], part, site.tags):
            yield _finding(segment, "E14", _dead_text(dead, "the condition"), dead.line)
    for dead in dead_conditions(parts, segment.rule, site.tags):
        what = "the whole rule" if dead.node == segment.rule and dead.node not in parts else "the condition"
        yield _finding(segment, "E14", _dead_text(dead, what), dead.line)


def _dead_text(dead: Dead, what: str) -> str:
    if dead.is_always_true:
        return f"{what} is true of everybody whose values are known; to ask whether a value is known write is_null: false"
    return f"{what} is true of nobody: its parts exclude each other"


def _check_one(segment: Segment, by_code: Mapping[str, Segment | None], site: Site) -> Iterator[SpecFinding]:
    parts = [(part, False) for part in _chosen_parts(segment)] + [(part, True) for part in segment.exclude]
    for part, excluding in parts:
        for leaf, denied in leaves(part, denied=excluding):
            if isinstance(leaf, MembersLeaf):
                yield from _check_members(segment, leaf, site)
                yield from _check_negation(segment, leaf, denied, site)
    # A restricted tag excludes the person it is about, not a household that the person belongs to.
    questions = [(part, excluding, excluding and not segment.is_collective) for part, excluding in parts]
    questions += [(node, False, False) for node in _addressee_parts(segment)]
    for part, is_denied, excluding in questions:
        for leaf, denied in person_leaves(part, denied=is_denied):
            if isinstance(leaf, TagLeaf):
                yield from _check_tag(segment, leaf, denied, excluding and denied, site)
            elif isinstance(leaf, ListLeaf):
                yield from _check_list(segment, leaf, site)
            elif isinstance(leaf, SegmentLeaf):
                yield from _check_nested(segment, leaf, by_code)
            elif isinstance(leaf, EventLeaf):
                yield from _check_window(segment, leaf)
                yield from _check_event_names(segment, leaf.names, leaf.line, site)
            else:
                yield from _check_further(segment, leaf, excluding and denied, by_code, site)
                yield from _check_negation(segment, leaf, denied, site)
            if segment.spec.kind == "static" and not isinstance(leaf, ListLeaf):
                yield _finding(
                    segment, "E03", "a static segment is made of lists only; use kind: dynamic", leaf.line
                )
    if (whitelist := segment.spec.rollout.list_leaf) is not None:
        line = segment.line("rollout", "whitelist")
        yield from _check_list(segment, replace(whitelist, line=line), site)
    if segment.addressee is not None and segment.addressee.tag is not None:
        line = segment.line("addressee") or segment.line("extends")
        yield from _check_measured_tag(segment, segment.addressee.tag, "the order of 'addressee'", line, site)
    yield from _check_columns(segment, site)
    yield from _check_worklist(segment, site)
    yield from _check_global_group(segment, site)
    yield from _check_version(segment, site)
    if segment.spec.offer:
        yield from _check_offer_tag(segment, site)
        fault = offer_fault(segment, site.offers) if site.offers is not None else None
        if fault:
            yield _finding(segment, "E01", fault, segment.line("offer"))


def _check_tag(
    segment: Segment, leaf: TagLeaf, denied: bool, excluding: bool, site: Site
) -> Iterator[SpecFinding]:
    fact = site.tags.get(leaf.tag)
    if fact is None and site.unread.has_tag(leaf.tag):
        return
    if fact is None:
        yield _finding(
            segment,
            "E01",
            f"there is no tag '{leaf.tag}'{did_you_mean(leaf.tag, list(site.tags))}",
            leaf.line,
        )
        return
    yield from _check_wish(segment, f"tag '{leaf.tag}'", fact.version, leaf.version, leaf.line)
    if not _is_usable(fact, segment, site):
        yield _finding(segment, "E05", f"tag '{leaf.tag}' {_state(fact)}", leaf.line)
    if fact.level == "C3":
        yield _finding(segment, "E08", f"tag '{leaf.tag}' is C3; nothing of level C3 may be used", leaf.line)
    if fact.is_restricted and not excluding:
        advice = (
            "; of a company or household nobody is told by it, and such people count for nothing already"
            if segment.is_collective
            else "; move it to 'exclude'"
        )
        yield _finding(segment, "E06", f"tag '{leaf.tag}' may only exclude{advice}", leaf.line)
    elif fact.is_restricted and leaf.tests and not keeps_in_the_best(leaf, fact):
        text = (
            f"tag '{leaf.tag}' may only exclude, and this condition keeps in whom it is about; "
            "exclude its worse values, and leave the best one"
        )
        yield _finding(segment, "E06", text, leaf.line)
    elif not fact.is_restricted and fact.purposes and segment.spec.purpose not in fact.purposes:
        yield _finding(
            segment,
            "E06",
            f"tag '{leaf.tag}' may be used for {', '.join(fact.purposes)}, not for {segment.spec.purpose}",
            leaf.line,
        )
    for test in leaf.tests:
        yield from _check_test(segment, leaf, fact, test, site.tag_days)
    negating = denied or any(OPERATORS[test.operator].denies for test in leaf.tests)
    asks_null = all(test.operator == "is_null" for test in leaf.tests)
    is_stated = segment.spec.unknown is not None or leaf.include_unknown is not None
    if negating and fact.is_nullable and not is_stated and not asks_null:
        yield _finding(
            segment,
            "E13",
            f"tag '{leaf.tag}' can be null and is negated here; say what unknown means with "
            "'unknown: exclude|include|error' or 'include_unknown' on the condition",
            leaf.line,
        )


def _check_test(
    segment: Segment, leaf: TagLeaf, fact: TagFacts, test: Test, days: int
) -> Iterator[SpecFinding]:
    line = leaf.line
    fault = type_fault(test.operator, fact.value_type, test.operand)
    if fault:
        fitting = [name for name, operator in OPERATORS.items() if fact.value_type in operator.types]
        yield _finding(
            segment, "E03", f"tag '{leaf.tag}': {fault}; operators for it: {', '.join(fitting)}", line
        )
        return
    if test.operator == "changed_since" and test.operand > days:
        yield _finding(
            segment,
            "E09",
            f"'changed_since: {test.operand}' looks back further than the {days} days that cdp.yml keeps of tags (retention.tag_days)",
            line,
        )
    for value in test.operands():
        if fact.domain and str(value) not in fact.domain:
            hint = did_you_mean(str(value), list(fact.domain))
            yield _finding(segment, "E02", f"tag '{leaf.tag}' has no value '{value}'{hint}", line)
        elif fact.value_type == "number" and _outside(value, fact):
            yield _finding(
                segment,
                "E02",
                f"tag '{leaf.tag}' runs from {_bound_text(fact.minimum)} to {_bound_text(fact.maximum)}, not to {value}",
                line,
            )


def _check_members(segment: Segment, leaf: MembersLeaf, site: Site) -> Iterator[SpecFinding]:
    """Check what a leaf about a company or household measures; its condition is checked like any other."""
    measure = leaf.measure
    if measure.of is None:
        return
    yield from _check_measured_tag(segment, measure.of, f"'{measure.name}'", leaf.line, site)
    fact = site.tags.get(measure.of)
    for test in measure.tests if fact is not None and fact.value_type == "number" else ():
        if test.operator not in COMPARISONS:
            text = f"'{measure.name}' is compared by {', '.join(COMPARISONS)}, not by '{test.operator}'"
            yield _finding(segment, "E03", text, leaf.line)
        elif fault := type_fault(test.operator, "number", test.operand):
            yield _finding(segment, "E03", f"{measure.name} of {measure.of}: {fault}", leaf.line)


def _check_measured_tag(
    segment: Segment, tag: str, what: str, line: int | None, site: Site
) -> Iterator[SpecFinding]:
    """Check a tag by whose values people are added up or put in order."""
    yield from _check_tag(segment, TagLeaf(tag, (), line=line), False, False, site)
    fact = site.tags.get(tag)
    if fact is not None and fact.value_type != "number":
        text = f"{what} works on numbers, and tag '{tag}' is a {fact.value_type}"
        yield _finding(segment, "E03", text, line)


def _check_list(segment: Segment, leaf: ListLeaf, site: Site) -> Iterator[SpecFinding]:
    file = list_file(site.workspace, leaf)
    if not file.is_file():
        hint = did_you_mean(leaf.reference, known_lists(site.workspace))
        yield _finding(segment, "E01", f"there is no list '{leaf.reference}' ({file}){hint}", leaf.line)


def _list_faults(segments: Iterable[Segment], site: Site) -> Iterator[SpecFinding]:
    """Give the first fault inside every list that is named and there, each list once."""
    by_reference = {x.reference: x for s in segments for x in read_leaves(s) if isinstance(x, ListLeaf)}
    for _, leaf in sorted(by_reference.items()):
        if list_file(site.workspace, leaf).is_file():
            try:
                read_list(site.workspace, leaf)
            except SettingsInvalid as fault:
                yield _unreadable(fault)


def _check_nested(
    segment: Segment, leaf: SegmentLeaf, by_code: Mapping[str, Segment | None]
) -> Iterator[SpecFinding]:
    other = by_code.get(leaf.segment)
    if leaf.segment in by_code and other is None:
        return  # its own file cannot be read, which is said there
    if other is None:
        hint = did_you_mean(leaf.segment, [code for code in by_code if code != segment.code])
        yield _finding(segment, "E01", f"there is no segment '{leaf.segment}'{hint}", leaf.line)
        return
    yield from _check_wish(segment, f"segment '{leaf.segment}'", other.version, leaf.version, leaf.line)


def _check_wish(
    segment: Segment, what: str, version: str, wish: str, line: int | None
) -> Iterator[SpecFinding]:
    try:
        matches = version_matches(version, wish)
    except ValueError as wrong:
        yield _finding(segment, "E01", str(wrong), line)
        return
    if not matches:
        yield _finding(segment, "E01", f"{what} has version {version}, which is not '{wish}'", line)


def _check_further(
    segment: Segment, leaf: Leaf, excluding: bool, by_code: Mapping[str, Segment | None], site: Site
) -> Iterator[SpecFinding]:
    """Check a leaf over rows, sequences, dates, people or an expression."""
    for tag in leaf.tags:
        version = leaf.version if isinstance(leaf, RankLeaf) else ANY_VERSION
        fact = site.tags.get(tag)
        if fact is not None and fact.is_restricted and excluding and not isinstance(leaf, RankLeaf):
            text = f"tag '{tag}' may only exclude, by a condition of its own: write {{tag: {tag}, …}} below 'exclude'"
            yield _finding(segment, "E06", text, leaf.line)
            continue
        yield from _check_tag(segment, TagLeaf(tag, (), version, line=leaf.line), False, excluding, site)
    if isinstance(leaf, SequenceLeaf):
        yield from _check_event_names(segment, leaf.names, leaf.line, site)
    elif isinstance(leaf, RowLeaf):
        operands = {match.column: match.tests[0].operand for match in leaf.matches}
        if leaf.word == "event":
            yield from _check_event_names(segment, operands["event_name"], leaf.line, site)
        for code in operands.get("segment", []) if leaf.word == "receipt" else []:
            if code not in by_code and code not in {code_used for code_used, _ in site.known_hashes}:
                hint = did_you_mean(code, list(by_code))
                yield _finding(segment, "E01", f"there is no segment '{code}'{hint}", leaf.line)
    elif isinstance(leaf, RankLeaf):
        yield from _check_rank(segment, leaf, site)
    elif isinstance(leaf, DateLeaf) and isinstance(leaf.of, str) and leaf.of in site.tags:
        fact = site.tags[leaf.of]
        if leaf.every == "month" and not (fact.value_type == "number" and fact.is_whole):
            text = f"'every: month' takes a tag that is a day of the month, and '{leaf.of}' is a {fact.value_type}"
            yield _finding(segment, "E03", text, leaf.line)
        elif leaf.every != "month" and fact.value_type != "date":
            text = f"'date.of' takes a date, and tag '{leaf.of}' is a {fact.value_type}"
            yield _finding(segment, "E03", text, leaf.line)
    elif isinstance(leaf, ExpressionLeaf):
        fault = type_faults(leaf, site.tags)
        if fault:
            yield _finding(segment, "E03", fault, leaf.line)


def _check_rank(segment: Segment, leaf: RankLeaf, site: Site) -> Iterator[SpecFinding]:
    fact = site.tags.get(leaf.tag)
    if fact is not None and fact.value_type not in ("number", "date"):
        text = f"'{leaf.tag}' is a {fact.value_type}; people are ranked by numbers and dates"
        yield _finding(segment, "E03", text, leaf.line)
    if fact is not None and fact.is_restricted:
        text = f"tag '{leaf.tag}' may only exclude; a rank would show where it is cut"
        yield _finding(segment, "E06", text, leaf.line)
    if leaf.within == "base" and segment.is_collective:
        text = f"the base of this segment is of {segment.spec.entity}; write within: all to rank everybody"
        yield _finding(segment, "E03", text, leaf.line)
    elif leaf.within == "base" and segment.base is None:
        text = "'within: base' needs the segment's base; write within: all to rank everybody"
        yield _finding(segment, "E03", text, leaf.line)
    if segment.base is not None and any(leaf == other for other, _ in leaves(segment.base)):
        yield _finding(segment, "E03", "a rank stands in where; the base is what it ranks", leaf.line)


def _check_negation(segment: Segment, leaf: Leaf, denied: bool, site: Site) -> Iterator[SpecFinding]:
    """Ask for what unknown means where a leaf is negated whose answer can be unknown."""
    is_stated = segment.spec.unknown is not None or leaf.include_unknown is not None
    nullable = any(site.tags[tag].is_nullable for tag in leaf.tags if tag in site.tags)
    if denied and not is_stated and (nullable or leaf.can_be_unknown):
        text = (
            "the condition can be unknown and is negated here; say what unknown means with "
            "'unknown: exclude|include|error' or 'include_unknown' on the condition"
        )
        yield _finding(segment, "E13", text, leaf.line)


def _check_event_names(
    segment: Segment, names: Iterable[str], line: int | None, site: Site
) -> Iterator[SpecFinding]:
    if site.event_names is None:
        return
    for name in names:
        if name not in site.event_names:
            yield _finding(segment, "E01", unknown_event(name, site.event_names), line)


def _check_window(segment: Segment, leaf: EventLeaf) -> Iterator[SpecFinding]:
    days = contract("trusted.events").retention_days
    if days is not None and leaf.within_days > days:
        yield _finding(segment, "E09", f"events are kept {days} days, not {leaf.within_days}", leaf.line)


def _check_global_group(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    """Find a global control group that the policy does not name where it names others: its people would be others."""
    group, groups = segment.spec.holdout.global_group, site.policy.global_control
    if group is not None and groups and group not in groups:
        hint = did_you_mean(group, sorted(groups))
        text = f"consent.yml names no global control group '{group}'{hint}"
        yield _finding(segment, "E01", text, segment.line("holdout", "global"))


def _check_columns(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    line = segment.line("publish", "columns")
    facts = []
    for position, column in enumerate(segment.spec.publish.columns):
        line = segment.line("publish", "columns", position) or line
        if column in given_columns(segment):
            if column == COMPANIES:
                facts.append((TagFacts(COMPANIES, "set", level=COMPANIES_LEVEL), line))
            continue
        fact = site.tags.get(column)
        if fact is None and site.unread.has_tag(column):
            continue
        if fact is None:
            names = given_columns(segment)
            hint = did_you_mean(column, [*names, *site.tags])
            text = f"column '{column}' is neither {', '.join(names)} nor a tag{hint}"
            yield _finding(segment, "E01", text, line)
        elif fact.level == "C3":
            yield _finding(
                segment, "E08", f"column '{column}' is C3; nothing of level C3 may be published", line
            )
        elif fact.is_restricted:
            yield _finding(segment, "E06", f"column '{column}' may only exclude and is never published", line)
        elif fact.purposes and segment.spec.purpose not in fact.purposes:
            yield _finding(
                segment, "E06", f"column '{column}' may not be published for {segment.spec.purpose}", line
            )
        elif not _is_usable(fact, segment, site):
            yield _finding(segment, "E05", f"column '{column}' {_state(fact)}", line)
        else:
            facts.append((fact, line))
    for position, column in enumerate(segment.spec.publish.ignore_changes_of):
        if column not in (*segment.spec.publish.columns, *WINDOW_COLUMNS):
            where = segment.line("publish", "ignore_changes_of", position)
            hint = did_you_mean(column, segment.spec.publish.columns)
            yield _finding(segment, "E01", f"'{column}' is not among the published columns{hint}", where)
    for position, name in enumerate(() if site.unread.destinations else segment.spec.publish.destinations):
        place = segment.line("publish", "destinations", position)
        ceiling = site.ceilings.get(name)
        if ceiling is None:
            hint = did_you_mean(name, list(site.ceilings))
            yield _finding(
                segment, "E01", f"there is no destination '{name}' in destinations.yml{hint}", place
            )
            continue
        for fact, where in facts:
            if LEVELS.index(fact.level) > LEVELS.index(ceiling):
                text = f"column '{fact.code}' is {fact.level}, above the ceiling {ceiling} of '{name}'"
                yield _finding(segment, "E07", text, where)


def _check_worklist(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    """Check what a segment needs whose people are taken care of by employees (E18)."""
    if site.unread.destinations:
        return
    names = [name for name in segment.spec.publish.destinations if name in site.worklists]
    contact = segment.spec.contact
    if not names:
        if segment.spec.worklist is not None:
            text = "the segment has texts for a worklist and none of its destinations is one"
            yield _finding(segment, "E18", text, segment.line("worklist"))
        return
    line = segment.line("publish", "destinations")
    if segment.spec.worklist is None:
        text = f"'{names[0]}' is a worklist: the segment needs worklist: with a reason and talking points, in both languages"
        yield _finding(segment, "E18", text, line)
    for position, channel in enumerate(contact.channels):
        if channel not in PERSONAL_CHANNELS:
            text = (
                f"'{names[0]}' is a worklist and nobody works through {channel}; "
                f"its channels are {', '.join(PERSONAL_CHANNELS)}"
            )
            yield _finding(segment, "E18", text, segment.line("contact", "channels", position))
        elif not _has_employee_capacity(contact, channel, site.contact, segment.spec.purpose):
            scope = contact.placements.get(channel, channel)
            text = (
                f"nothing says how many people an employee can take a day: {site.contact.file.name} needs "
                f"capacities: [{{scope: {scope}, per: employee, max: …}}] for {segment.spec.purpose}"
            )
            yield _finding(segment, "E18", text, segment.line("contact", "channels", position))
    for position, column in enumerate(segment.spec.publish.columns):
        if column in WORKLIST_COLUMNS:
            text = f"the worklist has a column '{column}' of its own; publish the tag to another destination"
            yield _finding(segment, "E18", text, segment.line("publish", "columns", position))


def _has_employee_capacity(contact: Contact, channel: str, rules: ContactRules, purpose: str) -> bool:
    """Tell whether employees have a bound for the channel; service that the site does not limit needs none."""
    if rules.is_unread:
        return True
    if not rules.governs(purpose):
        return purpose == "service"
    scopes = {GLOBAL, channel, contact.placements.get(channel, channel)}
    return any(
        capacity.per == "employee" and capacity.scope in scopes for capacity in rules.policy.capacities
    )


def _check_version(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    published = site.known_hashes.get((segment.code, segment.version))
    if published is not None and published != segment.definition_hash:
        text = f"version {segment.version} was published with another definition; raise the version"
        yield _finding(segment, "E16", text, segment.line("version"))


def _check_offer_tag(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    fact = site.tags.get(OFFER_TAG)
    if fact is None and site.unread.has_tag(OFFER_TAG):
        return
    if fact is None or not _is_usable(fact, segment, site):
        reason = "is not online" if fact is None else _state(fact)
        text = f"an offer needs the tag '{OFFER_TAG}', which {reason}"
        yield _finding(segment, "E05", text, segment.line("offer"))


def _cycles(segments: list[Segment]) -> Iterator[SpecFinding]:
    """Report each circle once, at the segment of the circle that comes first in the alphabet."""
    by_code = {segment.code: segment for segment in segments}
    reported: set[frozenset[str]] = set()
    for segment in sorted(segments, key=lambda s: s.code):
        circle = _circle(segment.code, by_code)
        if circle and frozenset(circle) not in reported and segment.code == min(circle):
            reported.add(frozenset(circle))
            following = circle[1] if len(circle) > 1 else circle[0]
            line = next(leaf.line for leaf in _nested_leaves(segment) if leaf.segment == following)
            yield _finding(
                segment, "E04", f"the segments go in a circle: {' → '.join([*circle, circle[0]])}", line
            )


def _overlaps(segments: list[Segment]) -> Iterator[SpecFinding]:
    """Two experiments of one layer must not claim the same buckets."""
    splits = [(s, s.spec.split) for s in segments if s.spec.split]
    for position, (segment, split) in enumerate(splits):
        for other, earlier in splits[:position]:
            same = split.layer == earlier.layer and split.experiment != earlier.experiment
            if same and split.range[0] < earlier.range[1] and earlier.range[0] < split.range[1]:
                text = f"layer '{split.layer}': the range overlaps with experiment '{earlier.experiment}' of '{other.code}'"
                yield _finding(segment, "E11", text, segment.line("split", "range"))


def _circle(start: str, by_code: dict[str, Segment]) -> list[str]:
    """Give the shortest way from ``start`` back to itself, empty when there is none (breadth first)."""
    paths, visited_codes = [[start]], {start}
    while paths:
        longer: list[list[str]] = []
        for path in paths:
            for following in sorted(nested_segments(by_code[path[-1]])):
                if following == start:
                    return path
                if following in by_code and following not in visited_codes:
                    visited_codes.add(following)
                    longer.append([*path, following])
        paths = longer
    return []


def _nested_leaves(segment: Segment) -> list[SegmentLeaf]:
    return [leaf for leaf in all_leaves(segment) if isinstance(leaf, SegmentLeaf)]


def nested_segments(segment: Segment) -> set[str]:
    """Give the codes of the segments whose members a segment asks for."""
    return {leaf.segment for leaf in _nested_leaves(segment)}


def given_columns(segment: Segment) -> tuple[str, ...]:
    """Give the columns a segment may publish that are no tags."""
    return (*GIVEN_COLUMNS, COMPANIES) if segment.spec.entity == "company" else GIVEN_COLUMNS


def all_leaves(segment: Segment) -> list[Leaf]:
    """Give every leaf about people of a segment's rule, in the order of the file's sections, and those of its addressee."""
    parts = (*_chosen_parts(segment), *segment.exclude, *_addressee_parts(segment))
    return [leaf for part in parts for leaf, _ in person_leaves(part)]


def rule_leaves(segment: Segment) -> list[Leaf]:
    """Give every leaf that the rule itself joins: about people, or about companies and households."""
    return [leaf for part in (*_chosen_parts(segment), *segment.exclude) for leaf, _ in leaves(part)]


def entity_leaves(segment: Segment) -> list[MembersLeaf]:
    """Give every leaf about companies or households, each once."""
    every = {leaf.column: leaf for leaf in rule_leaves(segment) if isinstance(leaf, MembersLeaf)}
    return list(every.values())


def measured_tags(segment: Segment) -> list[str]:
    """Give the tags whose values are added up, or put people in order, for a company or household."""
    tags = {tag for leaf in entity_leaves(segment) for tag in leaf.tags}
    if segment.addressee is not None and segment.addressee.tag is not None:
        tags.add(segment.addressee.tag)
    return sorted(tags)


def read_leaves(segment: Segment) -> list[Leaf]:
    """Give every leaf that must be answered: those of the rule and the whitelist of the roll-out."""
    leaf = segment.spec.rollout.list_leaf
    return [*all_leaves(segment), *([leaf] if leaf is not None else [])]


def _addressee_parts(segment: Segment) -> list[Node]:
    addressee = segment.addressee
    if addressee is None:
        return []
    return [node for node in (addressee.where, addressee.prefer) if node is not None]


def _chosen_parts(segment: Segment) -> list[Node]:
    return [node for node in (segment.base, segment.where, *segment.include) if node is not None]


def _is_usable(fact: TagFacts, segment: Segment, site: Site) -> bool:
    """Tell whether a segment may use a tag: one of people, and a deprecated one only in a version that is in use already."""
    if not fact.is_of_people:
        return False
    is_in_use = (segment.code, segment.version) in site.known_hashes
    return fact.status == "online" or (fact.status == "deprecated" and is_in_use)


def _state(fact: TagFacts) -> str:
    """Say why a segment may not use a tag, as the end of a sentence about it."""
    if not fact.is_of_people:
        return f"is about a {fact.entity}, and a segment chooses people by their own tags"
    return fact.deprecation if fact.status == "deprecated" else fact.unusable


def _deprecations(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    """Warn of each deprecated tag that a version of a segment uses as long as it may."""
    uses = [(leaf.tag, leaf.line) for leaf in all_leaves(segment) if isinstance(leaf, TagLeaf)]
    columns = segment.spec.publish.columns
    uses += [(column, segment.line("publish", "columns", at)) for at, column in enumerate(columns)]
    if segment.spec.contact.expected_value:
        uses.append((segment.spec.contact.expected_value, segment.line("contact", "expected_value")))
    for code, line in dict(reversed(uses)).items():
        fact = site.tags.get(code)
        if fact is not None and fact.status == "deprecated" and _is_usable(fact, segment, site):
            yield _finding(segment, "W06", f"tag '{code}' {fact.deprecation}", line)


def _outside(value: Any, fact: TagFacts) -> bool:
    return (fact.minimum is not None and value < fact.minimum) or (
        fact.maximum is not None and value > fact.maximum
    )


def _bound_text(bound: Any) -> str:
    return "…" if bound is None else str(bound)


def _finding(segment: Segment, code: str, message: str, line: int | None) -> SpecFinding:
    return SpecFinding(code, message, segment.file, line)
