"""Checks of what a segment publishes and to whom: columns, levels, destinations, worklists."""

from __future__ import annotations

from collections.abc import Iterator

from lakehouse.settings.yaml_files import did_you_mean
from segments.language.checks.findings import Site, SpecFinding, finding
from segments.language.checks.tag_checks import is_usable, unusable_text
from segments.language.columns import COMPANIES, COMPANIES_LEVEL, WINDOW_COLUMNS, given_columns
from segments.language.contact import GLOBAL, Contact, ContactRules
from segments.language.spec import Segment
from vocabulary.audience import WORKLIST_COLUMNS
from vocabulary.levels import LEVELS
from vocabulary.tag_facts import TagFacts

# Channels by which one person speaks to another.
PERSONAL_CHANNELS = ("CALL", "WECOM", "BRANCH")


def check_columns(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    """Check the published columns, each destination, and that no column is above a destination's ceiling."""
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
            yield finding(segment, "E01", text, line)
        elif fact.level == "C3":
            yield finding(
                segment, "E08", f"column '{column}' is C3; nothing of level C3 may be published", line
            )
        elif fact.is_restricted:
            yield finding(segment, "E06", f"column '{column}' may only exclude and is never published", line)
        elif fact.purposes and segment.spec.purpose not in fact.purposes:
            yield finding(
                segment, "E06", f"column '{column}' may not be published for {segment.spec.purpose}", line
            )
        elif not is_usable(fact, segment, site):
            yield finding(segment, "E05", f"column '{column}' {unusable_text(fact)}", line)
        else:
            facts.append((fact, line))
    for position, column in enumerate(segment.spec.publish.ignore_changes_of):
        if column not in (*segment.spec.publish.columns, *WINDOW_COLUMNS):
            where = segment.line("publish", "ignore_changes_of", position)
            hint = did_you_mean(column, segment.spec.publish.columns)
            yield finding(segment, "E01", f"'{column}' is not among the published columns{hint}", where)
    for position, name in enumerate(() if site.unread.destinations else segment.spec.publish.destinations):
        place = segment.line("publish", "destinations", position)
        ceiling = site.ceilings.get(name)
        if ceiling is None:
            hint = did_you_mean(name, list(site.ceilings))
            yield finding(
                segment, "E01", f"there is no destination '{name}' in destinations.yml{hint}", place
            )
            continue
        for fact, where in facts:
            if LEVELS.index(fact.level) > LEVELS.index(ceiling):
                text = f"column '{fact.code}' is {fact.level}, above the ceiling {ceiling} of '{name}'"
                yield finding(segment, "E07", text, where)


def check_worklist(segment: Segment, site: Site) -> Iterator[SpecFinding]:
    """Check what a segment needs whose people are taken care of by employees (E18)."""
    if site.unread.destinations:
        return
    names = [name for name in segment.spec.publish.destinations if name in site.worklists]
    contact = segment.spec.contact
    if not names:
        if segment.spec.worklist is not None:
            text = "the segment has texts for a worklist and none of its destinations is one"
            yield finding(segment, "E18", text, segment.line("worklist"))
        return
    line = segment.line("publish", "destinations")
    if segment.spec.worklist is None:
        text = f"'{names[0]}' is a worklist: the segment needs worklist: with a reason and talking points, in both languages"
        yield finding(segment, "E18", text, line)
    for position, channel in enumerate(contact.channels):
        if channel not in PERSONAL_CHANNELS:
            text = (
                f"'{names[0]}' is a worklist and nobody works through {channel}; "
                f"its channels are {', '.join(PERSONAL_CHANNELS)}"
            )
            yield finding(segment, "E18", text, segment.line("contact", "channels", position))
        elif not _has_employee_capacity(contact, channel, site.contact, segment.spec.purpose):
            scope = contact.placements.get(channel, channel)
            text = (
                f"nothing says how many people an employee can take a day: {site.contact.file.name} needs "
                f"capacities: [{{scope: {scope}, per: employee, max: …}}] for {segment.spec.purpose}"
            )
            yield finding(segment, "E18", text, segment.line("contact", "channels", position))
    for position, column in enumerate(segment.spec.publish.columns):
        if column in WORKLIST_COLUMNS:
            text = f"the worklist has a column '{column}' of its own; publish the tag to another destination"
            yield finding(segment, "E18", text, segment.line("publish", "columns", position))


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
