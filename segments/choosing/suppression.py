"""Who may not be contacted, whatever the rule says: law and policy, with exactly one primary reason each.

The default exclusions cannot be removed by a specification. What consent, addresses, receipts and controls say is defined in
``vocabulary.contact_rules``, for tags as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from lakehouse.query.words import literals, spark_literals
from segments.language.spec import Segment
from vocabulary.contact_rules import TABLES as CONTACT_TABLES
from vocabulary.contact_rules import (
    allowed_column,
    contact_facts_sql,
    lake_place,
    opt_out_column,
    usable_column,
)
from vocabulary.policy import EARLIEST_BIRTH_DATE, NO_BIRTH_DATES, Policy
from vocabulary.relations import ENTITY_TIES

REASONS = (
    "NOT_ELIGIBLE_KIND",
    "DECEASED",
    "MINOR",
    "AGE_UNKNOWN",
    "RESTRICTED",
    "STAFF",
    "OPT_OUT",
    "COMPLAINT",
    "NO_CONSENT",
    "UNREACHABLE",
    "UNSUITABLE",
)
RISK_ORDER = ("R1", "R2", "R3", "R4", "R5")
TABLES = (*CONTACT_TABLES, "identity.one_ids", "trusted.customers")
# A purpose, a channel, and on how many days after the business date.
Use = tuple[str, str, int]


@dataclass(frozen=True)
class PersonFactsSql:
    """Spark SQL that answers what suppression asks of a person: WITH parts, joins to ``t``, select columns."""

    parts: tuple[str, ...]
    joins: tuple[str, ...]
    columns: tuple[str, ...]
    tables: tuple[str, ...]
    columns_of: dict[str, tuple[str, ...]]


def person_facts_sql(segments: Iterable[Segment], *, policy: Policy, business_date: date) -> PersonFactsSql:
    """Give the facts for the purposes and channels that the segments use; one row per OneID in each part."""
    return facts_of_uses(uses_of(segments), policy=policy, business_date=business_date)


def uses_of(segments: Iterable[Segment]) -> list[Use]:
    """Give what the segments ask consent for, sorted."""
    return sorted(
        {(s.spec.purpose, channel, s.days_of_use) for s in segments for channel in s.spec.contact.channels}
    )


def facts_of_uses(uses: Sequence[Use], *, policy: Policy, business_date: date) -> PersonFactsSql:
    """Give the facts for sorted uses; one row per OneID in each part."""
    purposes = sorted({purpose for purpose, _, _ in uses})
    channels = sorted({channel for _, channel, _ in uses})
    place = lake_place(business_date)
    contact = contact_facts_sql(uses, policy, place)
    parts = (*contact.parts, _customers_part(policy, place.today))
    joins = (
        "LEFT JOIN identity.one_ids one_id_facts ON one_id_facts.one_id = t.one_id",
        "LEFT JOIN customer_facts ON customer_facts.one_id = t.one_id",
        *contact.joins,
    )
    columns = (
        "one_id_facts.kind",
        "coalesce(customer_facts.is_deceased, false) AS is_deceased",
        "coalesce(customer_facts.is_minor, false) AS is_minor",
        "NOT coalesce(customer_facts.is_age_settled, false) AS is_age_unknown",
        "coalesce(customer_facts.is_staff, false) AS is_staff",
        *contact.columns,
    )
    columns_of = {
        "identity.one_ids": ("kind",),
        "trusted.customers": ("is_deceased", "is_minor", "is_age_unknown", "is_staff"),
        "trusted.account_controls": ("is_restricted", "has_complained"),
        "trusted.consents": tuple(
            [opt_out_column(p) for p in purposes] + [allowed_column(p, c, d) for p, c, d in uses]
        ),
        "trusted.identifier_observations": tuple(usable_column(c) for c in channels),
        "trusted.receipts": ("has_complained", *(usable_column(c) for c in channels)),
    }
    return PersonFactsSql(parts, joins, columns, TABLES, columns_of)


def fact_columns(uses: Iterable[Use]) -> list[str]:
    """Give the columns of the facts for these uses, each once."""
    every = list(uses)
    columns = [
        "kind",
        "is_deceased",
        "is_minor",
        "is_age_unknown",
        "is_staff",
        "is_restricted",
        "has_complained",
    ]
    columns += [opt_out_column(purpose) for purpose, _, _ in every]
    columns += [allowed_column(*use) for use in every]
    columns += [usable_column(channel) for _, channel, _ in every]
    return list(dict.fromkeys(columns))


def reason_sql(segment: Segment, *, offer_risk: str | None = None) -> str:
    """Give the SQL (Spark and DuckDB) of the one primary reason against a person, null when there is none."""
    purpose, channels, days = segment.spec.purpose, segment.spec.contact.channels, segment.days_of_use
    permissions = [allowed_column(purpose, channel, days) for channel in channels]
    reachable = [
        f"({allowed_column(purpose, channel, days)} AND {usable_column(channel)})" for channel in channels
    ]
    conditions = {
        "NOT_ELIGIBLE_KIND": f"coalesce(kind, '') NOT IN ({literals(eligible_kinds(segment.spec.entity))})",
        **purpose_conditions(purpose),
        "NO_CONSENT": f"NOT ({' OR '.join(permissions)})",
        "UNREACHABLE": f"NOT ({' OR '.join(reachable)})",
    }
    if offer_risk is not None:
        sellable = ", ".join(f"'{level}'" for level in RISK_ORDER[RISK_ORDER.index(offer_risk) :])
        conditions["UNSUITABLE"] = f"coalesce(value_max_sellable_risk NOT IN ({sellable}), true)"
    cases = "\n    ".join(
        f"WHEN {conditions[reason]} THEN '{reason}'" for reason in REASONS if reason in conditions
    )
    return f"CASE\n    {cases}\n  END"


def purpose_conditions(purpose: str) -> dict[str, str]:
    """Give the SQL of the reasons that hold for every contact of a purpose, whatever its segment and channel, by reason."""
    return {
        "DECEASED": "is_deceased",
        "MINOR": "is_minor",
        **({"AGE_UNKNOWN": "is_age_unknown"} if purpose == "marketing" else {}),
        "RESTRICTED": "is_restricted",
        "STAFF": "is_staff",
        "OPT_OUT": opt_out_column(purpose),
        "COMPLAINT": "has_complained",
    }


def may_contact_sql(purpose: str, channel: str, days: int) -> str:
    """Give the SQL of being allowed to contact a person so on every one of the days, and of having a usable address for it."""
    against = " OR ".join(purpose_conditions(purpose).values())
    return f"({allowed_column(purpose, channel, days)} AND {usable_column(channel)} AND NOT ({against}))"


def eligible_kinds(entity: str) -> tuple[str, ...]:
    """Give the kinds of people a segment of an entity contacts: for a company or household whoever is known by name."""
    return ("customer", "prospect") if entity in ENTITY_TIES else (entity,)


def channel_sql(segment: Segment) -> str:
    """Give the SQL of the first channel of the specification that consent covers and an address serves."""
    purpose, days = segment.spec.purpose, segment.days_of_use
    cases = " ".join(
        f"WHEN {allowed_column(purpose, channel, days)} AND {usable_column(channel)} THEN '{channel}'"
        for channel in segment.spec.contact.channels
    )
    return f"CASE {cases} END"


def ways_sql(segment: Segment) -> str:
    """Give the SQL of the channels a person can be reached by, as bits: the first channel of the specification is 1."""
    purpose, days = segment.spec.purpose, segment.days_of_use
    bits = [
        f"CASE WHEN {allowed_column(purpose, channel, days)} AND {usable_column(channel)} THEN {1 << number} ELSE 0 END"
        for number, channel in enumerate(dict.fromkeys(segment.spec.contact.channels))
    ]
    return " + ".join(bits)


def _customers_part(policy: Policy, today: str) -> str:
    return (
        "customer_facts AS (\n  SELECT p.one_id,\n"
        f"    bool_or(c.deceased_on <= {today}) AS is_deceased,\n"
        f"    bool_or(c.birth_date > add_months({today}, -{12 * policy.minimum_age})) AS is_minor,\n"
        f"    bool_or({_is_birth_date(today)}{_taken_for_adult(policy)}) AS is_age_settled,\n"
        "    bool_or(c.is_staff) AS is_staff\n"
        "  FROM trusted.customers c JOIN persons p ON p.source = c.source AND p.source_key = c.source_key\n"
        "  WHERE c.valid_to IS NULL GROUP BY p.one_id)"
    )


def _is_birth_date(today: str) -> str:
    """Give the SQL of a birth date that somebody who lives can have, and that no system writes for want of one."""
    nothing = ", ".join(f"date'{day}'" for day in NO_BIRTH_DATES)
    return f"c.birth_date BETWEEN date'{EARLIEST_BIRTH_DATE}' AND {today} AND c.birth_date NOT IN ({nothing})"


def _taken_for_adult(policy: Policy) -> str:
    sources = policy.unknown_age.adult_sources if policy.unknown_age else []
    return f" OR c.source IN ({spark_literals(sources)})" if sources else ""
