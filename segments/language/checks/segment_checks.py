"""Every check of every segment of a workspace: each by itself, then one against the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from lakehouse.errors import SettingsInvalid
from lakehouse.settings.optional_files import files_in
from lakehouse.settings.yaml_files import did_you_mean
from segments.language.checks.audience_checks import check_columns, check_worklist
from segments.language.checks.contact_checks import contact_faults
from segments.language.checks.findings import Site, SpecFinding, finding, unreadable
from segments.language.checks.leaf_checks import (
    check_event_names,
    check_further,
    check_list,
    check_members,
    check_negation,
    check_nested,
    check_window,
)
from segments.language.checks.possible_answers import Dead, dead_conditions
from segments.language.checks.tag_checks import (
    check_measured_tag,
    check_offer_tag,
    check_tag,
    deprecations,
    is_usable,
)
from segments.language.conditions import EventLeaf, ListLeaf, SegmentLeaf, TagLeaf, leaves, person_leaves
from segments.language.leaves.members import MembersLeaf
from segments.language.lists import list_file, read_list
from segments.language.nesting import shortest_circle
from segments.language.offers import offer_fault
from segments.language.segment_leaves import (
    addressee_parts,
    chosen_parts,
    entity_leaves,
    nested_leaves,
    read_leaves,
)
from segments.language.spec import Segment


def check_segments(
    segments: list[Segment], site: Site, faults: Iterable[SettingsInvalid] = ()
) -> list[SpecFinding]:
    """Give every finding over all specifications of a workspace, in order of file and line.

    ``faults`` are those of files that cannot be read; a segment that names such a file's is not blamed for it.
    """
    findings = [unreadable(fault) for fault in faults]
    files = files_in(site.workspace / "segments", "*.yml")
    by_code: dict[str, Segment | None] = {file.stem: None for file in files}
    by_code |= {segment.code: segment for segment in segments}
    for segment in segments:
        own = list(_check_one(segment, by_code, site))
        findings += own or _check_answers(segment, site)
        findings += deprecations(segment, site)
    findings += _list_faults(segments, site)
    findings += _cycles(segments)
    findings += _overlaps(segments)
    findings += contact_faults(
        by_code, site.contact, site.tags, lambda fact, segment: is_usable(fact, segment, site), site.unread
    )
    # A leaf that becomes two, as an absence does, is blamed once.
    return sorted(set(findings), key=lambda f: (str(f.file), f.line or 0, f.code, f.message))


def _check_one(segment: Segment, by_code: Mapping[str, Segment | None], site: Site) -> Iterator[SpecFinding]:
    parts = [(part, False) for part in chosen_parts(segment)] + [(part, True) for part in segment.exclude]
    for part, excluding in parts:
        for leaf, denied in leaves(part, denied=excluding):
            if isinstance(leaf, MembersLeaf):
                yield from check_members(segment, leaf, site)
                yield from check_negation(segment, leaf, denied, site)
    # A restricted tag excludes the person it is about, not a household that the person belongs to.
    questions = [(part, excluding, excluding and not segment.is_collective) for part, excluding in parts]
    questions += [(node, False, False) for node in addressee_parts(segment)]
    for part, is_denied, excluding in questions:
        for leaf, denied in person_leaves(part, denied=is_denied):
            if isinstance(leaf, TagLeaf):
                yield from check_tag(segment, leaf, denied, excluding and denied, site)
            elif isinstance(leaf, ListLeaf):
                yield from check_list(segment, leaf, site)
            elif isinstance(leaf, SegmentLeaf):
                yield from check_nested(segment, leaf, by_code)
            elif isinstance(leaf, EventLeaf):
                yield from check_window(segment, leaf)
                yield from check_event_names(segment, leaf.names, leaf.line, site)
            else:
                yield from check_further(segment, leaf, excluding and denied, by_code, site)
                yield from check_negation(segment, leaf, denied, site)
            if segment.spec.kind == "static" and not excluding and not isinstance(leaf, ListLeaf):
                yield finding(
                    segment, "E03", "a static segment chooses by lists only; use kind: dynamic", leaf.line
                )
    if (whitelist := segment.spec.rollout.list_leaf) is not None:
        line = segment.line("rollout", "whitelist")
        yield from check_list(segment, replace(whitelist, line=line), site)
    if segment.addressee is not None and segment.addressee.tag is not None:
        line = segment.line("addressee") or segment.line("extends")
        yield from check_measured_tag(segment, segment.addressee.tag, "the order of 'addressee'", line, site)
    yield from check_columns(segment, site)
    yield from check_worklist(segment, site)
    yield from _check_global_group(segment, site)
    yield from _check_version(segment, site)
    if segment.spec.offer:
        yield from check_offer_tag(segment, site)
        fault = offer_fault(segment, site.offers) if site.offers is not None else None
        if fault:
            yield finding(segment, "E01", fault, segment.line("offer"))


def _check_answers(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    """Find what nobody, or everybody, meets; of a rule without other faults."""
    parts = [*chosen_parts(segment), *segment.exclude]
    inner = [leaf.where for leaf in entity_leaves(segment) if leaf.where is not None]
    for part in [*inner, *addressee_parts(segment)]:
        for dead in dead_conditions([part], part, site.tags):
            yield finding(segment, "E14", _dead_text(dead, "the condition"), dead.line)
    for dead in dead_conditions(parts, segment.rule, site.tags):
        what = "the whole rule" if dead.node == segment.rule and dead.node not in parts else "the condition"
        yield finding(segment, "E14", _dead_text(dead, what), dead.line)


def _dead_text(dead: Dead, what: str) -> str:
    if dead.is_always_true:
        return f"{what} is true of everybody whose values are known; to ask whether a value is known write is_null: false"
    return f"{what} is true of nobody: its parts exclude each other"


def _check_global_group(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    """Find a global control group that the policy does not name where it names others: its people would be others."""
    group, groups = segment.spec.holdout.global_group, site.policy.global_control
    if group is not None and groups and group not in groups:
        hint = did_you_mean(group, sorted(groups))
        text = f"consent.yml names no global control group '{group}'{hint}"
        yield finding(segment, "E01", text, segment.line("holdout", "global"))


def _check_version(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    published = site.known_hashes.get((segment.code, segment.version))
    if published is not None and published != segment.definition_hash:
        text = f"version {segment.version} was published with another definition; raise the version"
        yield finding(segment, "E16", text, segment.line("version"))


def _list_faults(segments: Iterable[Segment], site: Site) -> Iterator[SpecFinding]:
    """Give the first fault inside every list that is named and there, each list once."""
    by_reference = {x.reference: x for s in segments for x in read_leaves(s) if isinstance(x, ListLeaf)}
    for _, leaf in sorted(by_reference.items()):
        if list_file(site.workspace, leaf).is_file():
            try:
                read_list(site.workspace, leaf)
            except SettingsInvalid as fault:
                yield unreadable(fault)


def _cycles(segments: list[Segment]) -> Iterator[SpecFinding]:
    """Report each circle once, at the segment of the circle that comes first in the alphabet."""
    by_code = {segment.code: segment for segment in segments}
    reported: set[frozenset[str]] = set()
    for segment in sorted(segments, key=lambda s: s.code):
        circle = shortest_circle(segment.code, by_code)
        if circle and frozenset(circle) not in reported and segment.code == min(circle):
            reported.add(frozenset(circle))
            following = circle[1] if len(circle) > 1 else circle[0]
            line = next(leaf.line for leaf in nested_leaves(segment) if leaf.segment == following)
            yield finding(
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
                yield finding(segment, "E11", text, segment.line("split", "range"))
