"""Checks of the tags that a segment names: their status, level, purpose, values and version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lakehouse.settings.yaml_files import did_you_mean
from segments.language.checks.findings import Site, SpecFinding, finding
from segments.language.checks.possible_answers import keeps_in_the_best
from segments.language.conditions import TagLeaf
from segments.language.offers import OFFER_TAG
from segments.language.operators import OPERATORS, Test, type_fault
from segments.language.segment_leaves import all_leaves
from segments.language.spec import Segment, version_matches
from vocabulary.tag_facts import TagFacts


def check_tag(
    segment: Segment, leaf: TagLeaf, denied: bool, excluding: bool, site: Site
) -> Iterator[SpecFinding]:
    """Check a tag where it stands: ``denied`` says below a negation, ``excluding`` that it can only keep people out."""
    fact = site.tags.get(leaf.tag)
    if fact is None and site.unread.has_tag(leaf.tag):
        return
    if fact is None:
        yield finding(
            segment,
            "E01",
            f"there is no tag '{leaf.tag}'{did_you_mean(leaf.tag, list(site.tags))}",
            leaf.line,
        )
        return
    yield from check_wish(segment, f"tag '{leaf.tag}'", fact.version, leaf.version, leaf.line)
    if not is_usable(fact, segment, site):
        yield finding(segment, "E05", f"tag '{leaf.tag}' {unusable_text(fact)}", leaf.line)
    if fact.level == "C3":
        yield finding(segment, "E08", f"tag '{leaf.tag}' is C3; nothing of level C3 may be used", leaf.line)
    if fact.is_restricted and not excluding:
        advice = (
            "; of a company or household nobody is told by it, and such people count for nothing already"
            if segment.is_collective
            else "; move it to 'exclude'"
        )
        yield finding(segment, "E06", f"tag '{leaf.tag}' may only exclude{advice}", leaf.line)
    elif fact.is_restricted and leaf.tests and not keeps_in_the_best(leaf, fact):
        text = (
            f"tag '{leaf.tag}' may only exclude, and this condition keeps in whom it is about; "
            "exclude its worse values, and leave the best one"
        )
        yield finding(segment, "E06", text, leaf.line)
    elif not fact.is_restricted and fact.purposes and segment.spec.purpose not in fact.purposes:
        yield finding(
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
        yield finding(
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
        yield finding(
            segment, "E03", f"tag '{leaf.tag}': {fault}; operators for it: {', '.join(fitting)}", line
        )
        return
    if test.operator == "changed_since" and test.operand > days:
        yield finding(
            segment,
            "E09",
            f"'changed_since: {test.operand}' looks back further than the {days} days that cdp.yml keeps of tags (retention.tag_days)",
            line,
        )
    for value in test.operands():
        if fact.domain and str(value) not in fact.domain:
            hint = did_you_mean(str(value), list(fact.domain))
            yield finding(segment, "E02", f"tag '{leaf.tag}' has no value '{value}'{hint}", line)
        elif fact.value_type == "number" and _outside(value, fact):
            yield finding(
                segment,
                "E02",
                f"tag '{leaf.tag}' runs from {_bound_text(fact.minimum)} to {_bound_text(fact.maximum)}, not to {value}",
                line,
            )


def check_measured_tag(
    segment: Segment, tag: str, what: str, line: int | None, site: Site
) -> Iterator[SpecFinding]:
    """Check a tag by whose values people are added up or put in order."""
    yield from check_tag(segment, TagLeaf(tag, (), line=line), False, False, site)
    fact = site.tags.get(tag)
    if fact is not None and fact.value_type != "number":
        text = f"{what} works on numbers, and tag '{tag}' is a {fact.value_type}"
        yield finding(segment, "E03", text, line)


def check_offer_tag(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    """Check that the tag is there by which an offer suits a person."""
    fact = site.tags.get(OFFER_TAG)
    if fact is None and site.unread.has_tag(OFFER_TAG):
        return
    if fact is None or not is_usable(fact, segment, site):
        reason = "is not online" if fact is None else unusable_text(fact)
        text = f"an offer needs the tag '{OFFER_TAG}', which {reason}"
        yield finding(segment, "E05", text, segment.line("offer"))


def check_wish(
    segment: Segment, what: str, version: str, wish: str, line: int | None
) -> Iterator[SpecFinding]:
    """Check the version that a segment wishes of a tag or of another segment."""
    try:
        matches = version_matches(version, wish)
    except ValueError as wrong:
        yield finding(segment, "E01", str(wrong), line)
        return
    if not matches:
        yield finding(segment, "E01", f"{what} has version {version}, which is not '{wish}'", line)


def deprecations(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    """Warn of each deprecated tag that a version of a segment uses as long as it may."""
    uses = [(leaf.tag, leaf.line) for leaf in all_leaves(segment) if isinstance(leaf, TagLeaf)]
    columns = segment.spec.publish.columns
    uses += [(column, segment.line("publish", "columns", at)) for at, column in enumerate(columns)]
    if segment.spec.contact.expected_value:
        uses.append((segment.spec.contact.expected_value, segment.line("contact", "expected_value")))
    for code, line in dict(reversed(uses)).items():
        fact = site.tags.get(code)
        if fact is not None and fact.status == "deprecated" and is_usable(fact, segment, site):
            yield finding(segment, "W06", f"tag '{code}' {fact.deprecation}", line)


def is_usable(fact: TagFacts, segment: Segment, site: Site) -> bool:
    """Tell whether a segment may use a tag: one of people, and a deprecated one only in a version that is in use already."""
    if not fact.is_of_people:
        return False
    is_in_use = (segment.code, segment.version) in site.known_hashes
    return fact.status == "online" or (fact.status == "deprecated" and is_in_use)


def unusable_text(fact: TagFacts) -> str:
    """Say why a segment may not use a tag, as the end of a sentence about it."""
    if not fact.is_of_people:
        return f"is about a {fact.entity}, and a segment chooses people by their own tags"
    return fact.deprecation if fact.status == "deprecated" else fact.unusable


def _outside(value: Any, fact: TagFacts) -> bool:
    return (fact.minimum is not None and value < fact.minimum) or (
        fact.maximum is not None and value > fact.maximum
    )


def _bound_text(bound: Any) -> str:
    return "…" if bound is None else str(bound)
