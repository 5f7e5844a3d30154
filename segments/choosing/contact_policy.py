"""Contact policy of a night: the question that its segments, its rules and its history ask, and the answer as rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from segments.choosing.compile import value_column
from segments.choosing.contact_history import branches_and_employees, channel_habits, contact_history
from segments.choosing.contacts import DecidedContacts
from segments.contacting.arbitration import Arbitration, arbitrate
from segments.contacting.problem import (
    ApartRule,
    CapacityRule,
    CapRule,
    ContactProblem,
    ContactWay,
    SegmentOffer,
)
from segments.contacting.windows import send_window
from segments.language.checks.contact_checks import quiet_hours
from segments.language.contact import HABIT, ContactCap, ContactRules

if TYPE_CHECKING:
    from datetime import tzinfo

    import pyarrow as pa

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.query.reader import TableReader
    from segments.choosing.decide import SegmentPlaces
    from segments.language.spec import Segment

log = logging.getLogger("cdp.segments")
# Gives one_id, branch and employee of some people (a relation of one_id) on a business date.
GroupReader = Callable[["TableReader", "Desk", date, "Relation"], "pa.Table"]
TREATED = "place = 'TREATED'"


def decide_contacts(
    reader: TableReader,
    desk: Desk,
    every: Sequence[SegmentPlaces],
    rules: ContactRules,
    business_date: date,
    *,
    is_logged: bool = False,
    name: str = "",
    groups: GroupReader = branches_and_employees,
) -> dict[str, DecidedContacts]:
    """Decide the contacts of all segments of a night that a rule of contact concerns, by their codes.

    ``name`` is part of the names of the relations, where a desk decides more than once. ``groups`` gives people's branches and
    employees.
    """
    concerned = [
        places
        for places in sorted(every, key=lambda places: places.segment.code)
        if is_concerned(places.segment, rules)
    ]
    if not concerned:
        return {}
    offers = [_offer(desk, places, rules, business_date, reader.settings.zone) for places in concerned]
    people = desk.keep(
        f"{name}contacted",
        " UNION ".join(f"SELECT one_id FROM {places.candidates} WHERE {TREATED}" for places in concerned),
    )
    arbitration = arbitrate(contact_problem(reader, desk, offers, rules, business_date, people, groups))
    desk.drop(people)
    if is_logged:
        _tell(arbitration)
    decisions = {}
    for offer in offers:
        part = arbitration.by_code[offer.code]
        decisions[offer.code] = DecidedContacts(
            desk.take(f"{name}contacts_{offer.code}", part.contacts),
            desk.take(f"{name}contact_losses_{offer.code}", part.losses),
            {way.channel: (way.window.begin, way.window.end) for way in offer.ways if way.window is not None},
        )
    return decisions


def is_concerned(segment: Segment, rules: ContactRules) -> bool:
    """Tell whether the site's rules or its own concern the contacts of a segment."""
    return rules.governs(segment.spec.purpose) or segment.spec.contact.has_rules


def contact_problem(
    reader: TableReader,
    desk: Desk,
    offers: Sequence[SegmentOffer],
    rules: ContactRules,
    business_date: date,
    people: Relation,
    groups: GroupReader = branches_and_employees,
) -> ContactProblem:
    """Give a night's question about offers to these people (one_id); what no rule asks for is not read."""
    policy = rules.policy
    looked_back = [cap.days for offer in offers for cap in offer.caps]
    looked_back += [rule.days for rule in policy.never_together] + [1 for _ in policy.capacities]
    apart = tuple(ApartRule(frozenset(rule.segments), rule.days) for rule in policy.never_together)
    capacities = tuple(CapacityRule(c.scope, c.max, c.per, c.each) for c in policy.capacities)
    has_habits = any(offer.picks_habit for offer in offers)
    has_groups = any(capacity.per for capacity in capacities)
    return ContactProblem(
        offers,
        contact_history(reader, desk, business_date, max(looked_back)) if looked_back else _nothing(_HISTORY),
        channel_habits(reader, desk, business_date) if has_habits else _nothing(("channel",)),
        groups(reader, desk, business_date, people) if has_groups else _nothing(("branch", "employee")),
        apart,
        capacities,
    )


def _offer(
    desk: Desk, places: SegmentPlaces, rules: ContactRules, business_date: date, zone: tzinfo
) -> SegmentOffer:
    segment = places.segment
    contact, policy = segment.spec.contact, rules.policy
    is_governed = rules.governs(segment.spec.purpose)
    ways = []
    for channel in dict.fromkeys(contact.channels):
        hours = [contact.windows] if contact.windows else []
        if is_governed and channel in policy.windows:
            hours.append(policy.windows[channel])
        window = send_window(
            channel,
            business_date,
            hours=hours,
            quiet=quiet_hours(segment, rules, channel),
            periods=policy.do_not_disturb if is_governed else (),
            valid_hours=segment.spec.publish.valid_hours,
            zone=zone,
        )
        ways.append(ContactWay(channel, contact.placements.get(channel), window))
    purposes = frozenset(policy.purposes) if is_governed else frozenset({segment.spec.purpose})
    caps: list[ContactCap] = [*(policy.caps if is_governed else ()), *contact.caps]
    value = contact.expected_value
    worth = f"coalesce({value_column(value)}::DOUBLE, 'nan')" if value else "0::DOUBLE"
    rows = desk.arrow(
        f"SELECT one_id, ways::UTINYINT AS ways, {worth} AS value FROM {places.candidates} "
        f"WHERE {TREATED} ORDER BY one_id"
    )
    return SegmentOffer(
        code=segment.code,
        priority=contact.priority,
        purpose=segment.spec.purpose,
        ways=tuple(ways),
        caps=tuple(dict.fromkeys(CapRule(cap.scope, cap.max, cap.days, purposes) for cap in caps)),
        rows=rows,
        contacts=len(set(segment.spec.publish.destinations)),
        picks_habit=contact.channel_pick == HABIT,
    )


def _tell(arbitration: Arbitration) -> None:
    contacts = sum(part.contacts.num_rows for part in arbitration.by_code.values())
    losses = sum(part.losses.num_rows for part in arbitration.by_code.values())
    log.info("contact policy: %d contacts, %d lost", contacts, losses)
    if arbitration.gap is not None:
        log.info(
            "contact policy with capacities: value %.2f of at most %.2f, a gap of %.2f%% to the linear bound",
            arbitration.value,
            arbitration.bound,
            100 * arbitration.gap,
        )


_HISTORY = ("code", "run_id", "channel", "placement", "purpose")


def _nothing(texts: Sequence[str]) -> pa.Table:
    """Give no rows: one_id, texts, and the day of a contact where the texts are those of the history."""
    import pyarrow as pa

    days = [("contact_on", pa.date32())] if texts == _HISTORY else []
    return pa.schema([("one_id", pa.int64()), *days, *((name, pa.string()) for name in texts)]).empty_table()
