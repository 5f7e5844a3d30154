"""Checks of what segments and the site ask of contacts, before any data is read.

E01 unknown placement, scope, segment or tag · E03 a tag for expected value that is no number · E05, E06, E08 as for other tags ·
E12 rules that contradict each other, so that one of them never counts or nobody can ever be contacted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lakehouse.settings.yaml_files import did_you_mean
from segments.language.checks.findings import SpecFinding
from segments.language.contact import (
    GLOBAL,
    ContactCap,
    ContactPolicy,
    ContactRules,
    QuietHours,
    channel_of,
    covers,
    open_minutes,
)
from vocabulary.policy import CHANNELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from segments.language.complaints import Unread
    from segments.language.spec import Segment
    from vocabulary.tag_facts import TagFacts


def contact_faults(
    by_code: Mapping[str, Segment | None],
    rules: ContactRules,
    tags: Mapping[str, TagFacts],
    is_usable: Callable[[TagFacts, Segment], bool],
    unread: Unread,
) -> Iterator[SpecFinding]:
    """Give every fault of the site's contact policy and of the contact part of each segment.

    A segment whose file cannot be read is None. ``is_usable`` tells whether a segment may name a tag of that status.
    """
    yield from _policy_faults(by_code, rules)
    for segment in by_code.values():
        if segment is not None:
            yield from _segment_faults(segment, rules)
            yield from _value_faults(segment, tags, is_usable, unread)


def _policy_faults(by_code: Mapping[str, Segment | None], rules: ContactRules) -> Iterator[SpecFinding]:
    policy = rules.policy

    def fault(code: str, message: str, *path: str | int) -> SpecFinding:
        return SpecFinding(code, message, rules.file, rules.line(*path))

    for place in sorted(set(policy.placements) & {GLOBAL}):
        yield fault(
            "E12", f"'{place}' is the scope of all channels and names no placement", "placements", place
        )
    for position, cap in enumerate(policy.caps):
        if unknown := _scope_fault(cap.scope, policy):
            yield fault("E01", unknown, "caps", position)
    for at, message in _cap_faults(policy.caps, policy):
        yield fault("E12", message, "caps", at)
    for position, rule in enumerate(policy.never_together):
        for code in rule.segments:
            segment = by_code.get(code)
            if code not in by_code:
                text = f"there is no segment '{code}'{did_you_mean(code, sorted(by_code))}"
                yield fault("E01", text, "never_together", position)
            elif segment is not None and not rules.governs(segment.spec.purpose):
                text = (
                    f"segment '{code}' has the purpose {segment.spec.purpose}, which 'purposes' does not name"
                )
                yield fault("E12", text, "never_together", position)
        if len(set(rule.segments)) < len(rule.segments):
            yield fault("E12", "a segment cannot be kept apart from itself", "never_together", position)
    kinds: set[tuple[str, str | None]] = set()
    for position, capacity in enumerate(policy.capacities):
        if unknown := _scope_fault(capacity.scope, policy):
            yield fault("E01", unknown, "capacities", position)
        if (capacity.scope, capacity.per) in kinds:
            yield fault("E12", f"the capacity of {capacity} is stated twice", "capacities", position)
        kinds.add((capacity.scope, capacity.per))


def _segment_faults(segment: Segment, rules: ContactRules) -> Iterator[SpecFinding]:
    contact, policy = segment.spec.contact, rules.policy

    def fault(code: str, message: str, *path: str | int) -> SpecFinding:
        return SpecFinding(
            code, message, segment.file, segment.line("contact", *path) or segment.line("contact")
        )

    for channel, place in contact.placements.items():
        if channel not in contact.channels:
            yield fault(
                "E12", f"a placement in {channel}, which is no channel of the segment", "placements", channel
            )
        elif rules.is_unread:
            continue
        elif place not in policy.placements:
            hint = did_you_mean(place, sorted(policy.placements))
            yield fault(
                "E01", f"there is no placement '{place}' in {rules.file.name}{hint}", "placements", channel
            )
        elif policy.placements[place] != channel:
            text = f"placement '{place}' is one of {policy.placements[place]}, not of {channel}"
            yield fault("E12", text, "placements", channel)
    for position, cap in enumerate(contact.caps):
        if not rules.is_unread and (unknown := _scope_fault(cap.scope, policy)):
            yield fault("E01", unknown, "caps", position)
    for at, message in _cap_faults(contact.caps, policy):
        yield fault("E12", message, "caps", at)
    is_governed = rules.governs(segment.spec.purpose)
    if is_governed:
        for position, cap in enumerate(contact.caps):
            wider = next((c for c in policy.caps if _never_reached(cap, c, policy)), None)
            if wider:
                text = (
                    f"the cap {cap} can never be reached, since the site allows {wider} ({rules.file.name})"
                )
                yield fault("E12", text, "caps", position)
    yield from _closed_faults(segment, rules, is_governed)


def _closed_faults(segment: Segment, rules: ContactRules, is_governed: bool) -> Iterator[SpecFinding]:
    """Give channels by which the segment, or the site's rules for as many destinations as it has, let nobody be reached."""
    contact, policy = segment.spec.contact, rules.policy
    contacts = len(set(segment.spec.publish.destinations))
    where = segment.line("contact")
    for position, channel in enumerate(dict.fromkeys(contact.channels)):
        line = segment.line("contact", "channels", position) or where
        scopes = {GLOBAL, channel, contact.placements.get(channel)}
        reason = (
            f"each contact counts {contacts}, one for each destination" if contacts > 1 else "it allows none"
        )
        # A site may close a scope by a cap of none.
        site = [(cap, f" ({rules.file.name})") for cap in policy.caps if cap.max] if is_governed else []
        for cap, place in [*((cap, "") for cap in contact.caps), *site]:
            if cap.scope in scopes and cap.max < contacts:
                text = f"the cap {cap}{place} lets nobody be reached on {channel}: {reason}"
                yield SpecFinding("E12", text, segment.file, line)
        hours = [contact.windows] if contact.windows else []
        if is_governed and channel in policy.windows:
            hours.append(policy.windows[channel])
        quiet = quiet_hours(segment, rules, channel)
        if not any(open_minutes(weekday, hours, quiet) for weekday in range(7)):
            text = f"windows and quiet hours leave no minute of the week for {channel}"
            yield SpecFinding("E12", text, segment.file, line)


def quiet_hours(segment: Segment, rules: ContactRules, channel: str) -> list[QuietHours]:
    """Give the quiet hours that hold for a channel of a segment."""
    site = rules.policy.quiet if rules.governs(segment.spec.purpose) else None
    return [one for one in (segment.spec.contact.quiet, site) if one is not None and one.holds_for(channel)]


def _cap_faults(caps: Sequence[ContactCap], policy: ContactPolicy) -> Iterator[tuple[int, str]]:
    """Give the caps of one list that contradict another of it, each with its position."""
    for position, cap in enumerate(caps):
        for other in caps[:position]:
            if (other.scope, other.days) == (cap.scope, cap.days):
                yield position, f"the cap {cap} contradicts {other}: one scope and as many days"
        wider = next((other for other in caps if _never_reached(cap, other, policy)), None)
        if wider and (wider.scope, wider.days) != (cap.scope, cap.days):
            yield position, f"the cap {cap} can never be reached, since {wider} is stricter"


def _never_reached(cap: ContactCap, other: ContactCap, policy: ContactPolicy) -> bool:
    """Tell whether a cap allows more than another that counts at least the same contacts over at least as many days."""
    return other.max < cap.max and other.days >= cap.days and covers(other.scope, cap.scope, policy)


def _scope_fault(scope: str, policy: ContactPolicy) -> str | None:
    if scope == GLOBAL or channel_of(scope, policy) is not None:
        return None
    names = [GLOBAL, *CHANNELS, *sorted(policy.placements)]
    return f"'{scope}' is neither global, a channel nor a placement{did_you_mean(scope, names)}"


def _value_faults(
    segment: Segment,
    tags: Mapping[str, TagFacts],
    is_usable: Callable[[TagFacts, Segment], bool],
    unread: Unread,
) -> Iterator[SpecFinding]:
    code = segment.spec.contact.expected_value
    if code is None or unread.has_tag(code):
        return
    line = segment.line("contact", "expected_value")
    fact = tags.get(code)
    if fact is None:
        fault = ("E01", f"there is no tag '{code}'{did_you_mean(code, list(tags))}")
    elif not fact.is_of_people:
        fault = (
            "E05",
            f"tag '{code}' is about a {fact.entity}, and people are put in order by their own tags",
        )
    elif fact.value_type != "number":
        fault = ("E03", f"the expected value is a number, and tag '{code}' is a {fact.value_type}")
    elif not is_usable(fact, segment):
        state = fact.deprecation if fact.status == "deprecated" else fact.unusable
        fault = ("E05", f"tag '{code}' {state}")
    elif fact.is_restricted or (fact.purposes and segment.spec.purpose not in fact.purposes):
        fault = ("E06", f"tag '{code}' may not be used for {segment.spec.purpose}")
    elif fact.level == "C3":
        fault = ("E08", f"tag '{code}' is C3; nothing of level C3 may be used")
    else:
        return
    yield SpecFinding(*fault, segment.file, line)
