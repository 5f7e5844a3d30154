"""Who may not be contacted, whatever the rule says: law and policy, with exactly one primary reason each.

The default exclusions cannot be removed by a specification. Missing consent is no consent. REFUSED receipts
count as a refusal of everything, COMPLAINED as a complaint, a hard bounce makes its channel unreachable
until something is delivered there again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from lakehouse.query.words import spark_literal, spark_literals
from segments.language.policy import ChannelRule, Policy
from segments.language.spec import Segment

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
RESTRICTING = ("FRAUD", "STOP_PAYMENT", "JUDICIAL")
RISK_ORDER = ("R1", "R2", "R3", "R4", "R5")
TABLES = (
    "identity.memberships",
    "identity.one_ids",
    "identity.redirects",
    "trusted.customers",
    "trusted.account_controls",
    "trusted.relationships",
    "trusted.consents",
    "trusted.identifier_observations",
    "trusted.receipts",
    "segments.recipients",
)

# Engines order nulls inside structs differently, so a decision without end has a last day.
_LATEST = "struct(decided_at, is_refusal, expires_on)"


@dataclass(frozen=True)
class PersonFactsSql:
    """Spark SQL that answers what suppression asks of a person: WITH parts, joins to ``t``, select columns."""

    parts: tuple[str, ...]
    joins: tuple[str, ...]
    columns: tuple[str, ...]
    tables: tuple[str, ...]
    columns_of: dict[str, tuple[str, ...]]


def opt_out_column(purpose: str) -> str:
    """Give the column that says a person refused the purpose altogether."""
    return f"opt_out_{purpose}"


def allowed_column(purpose: str, channel: str, days: int) -> str:
    """Give the column that says a person's consent covers the purpose on the channel for so many days."""
    return f"allowed_{purpose}_{channel.lower()}_{days}d"


def usable_column(channel: str) -> str:
    """Give the column that says a person has a usable address on the channel."""
    return f"usable_{channel.lower()}"


def person_facts_sql(segments: Iterable[Segment], *, policy: Policy, business_date: date) -> PersonFactsSql:
    """Give the facts for the purposes and channels that the segments use; one row per OneID in each part."""
    every = list(segments)
    uses = sorted(
        {(s.spec.purpose, channel, s.days_of_use) for s in every for channel in s.spec.contact.channels}
    )
    purposes = sorted({purpose for purpose, _, _ in uses})
    channels = sorted({channel for _, channel, _ in uses})
    today = spark_literal(business_date)
    parts = (
        "persons AS (\n  SELECT one_id, source, source_key FROM identity.memberships WHERE valid_to IS NULL)",
        _customers_part(policy, today),
        _controls_part(policy, today),
        _receipts_part(today),
        _receipt_facts_part(channels),
        _decisions_part(),
        _consents_part(uses, purposes, policy, business_date),
        _addresses_part(channels, policy),
    )
    names = (
        "one_id_facts",
        "customer_facts",
        "control_facts",
        "receipt_facts",
        "consent_facts",
        "address_facts",
    )
    joins = (
        "LEFT JOIN identity.one_ids one_id_facts ON one_id_facts.one_id = t.one_id",
        *(f"LEFT JOIN {name} ON {name}.one_id = t.one_id" for name in names[1:]),
    )
    permissions = [
        f"coalesce(consent_facts.{allowed_column(p, c, d)}, {_allowed_without_decision(policy, p)})"
        f" AS {allowed_column(p, c, d)}"
        for p, c, d in uses
    ]
    opted = [f"coalesce(consent_facts.{opt_out_column(p)}, false) AS {opt_out_column(p)}" for p in purposes]
    usable = [
        f"{_address_sql(c, policy)} AND NOT coalesce(receipt_facts.bounced_{c.lower()}, false) AS {usable_column(c)}"
        for c in channels
    ]
    columns = (
        "one_id_facts.kind",
        "coalesce(customer_facts.is_deceased, false) AS is_deceased",
        "coalesce(customer_facts.is_minor, false) AS is_minor",
        "NOT coalesce(customer_facts.is_age_settled, false) AS is_age_unknown",
        "coalesce(control_facts.is_restricted, false) AS is_restricted",
        "coalesce(customer_facts.is_staff, false) AS is_staff",
        "coalesce(control_facts.has_complained, false) OR coalesce(receipt_facts.has_complained, false)"
        " AS has_complained",
        *opted,
        *permissions,
        *usable,
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


def reason_sql(segment: Segment, *, offer_risk: str | None = None) -> str:
    """Give the SQL (Spark and DuckDB) of the one primary reason against a person, null when there is none."""
    purpose, channels, days = segment.spec.purpose, segment.spec.contact.channels, segment.days_of_use
    permissions = [allowed_column(purpose, channel, days) for channel in channels]
    reachable = [
        f"({allowed_column(purpose, channel, days)} AND {usable_column(channel)})" for channel in channels
    ]
    conditions = {
        "NOT_ELIGIBLE_KIND": f"coalesce(kind, '') <> '{segment.spec.entity}'",
        "DECEASED": "is_deceased",
        "MINOR": "is_minor",
        **({"AGE_UNKNOWN": "is_age_unknown"} if purpose == "marketing" else {}),
        "RESTRICTED": "is_restricted",
        "STAFF": "is_staff",
        "OPT_OUT": opt_out_column(purpose),
        "COMPLAINT": "has_complained",
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


def channel_sql(segment: Segment) -> str:
    """Give the SQL of the first channel of the specification that consent covers and an address serves."""
    purpose, days = segment.spec.purpose, segment.days_of_use
    cases = " ".join(
        f"WHEN {allowed_column(purpose, channel, days)} AND {usable_column(channel)} THEN '{channel}'"
        for channel in segment.spec.contact.channels
    )
    return f"CASE {cases} END"


def _allowed_without_decision(policy: Policy, purpose: str) -> str:
    return "true" if policy.purpose(purpose).consent == "not_required" else "false"


def _customers_part(policy: Policy, today: str) -> str:
    return (
        "customer_facts AS (\n  SELECT p.one_id,\n"
        f"    bool_or(c.deceased_on <= {today}) AS is_deceased,\n"
        f"    bool_or(c.birth_date > add_months({today}, -{12 * policy.minimum_age})) AS is_minor,\n"
        f"    bool_or(c.birth_date IS NOT NULL{_taken_for_adult(policy)}) AS is_age_settled,\n"
        "    bool_or(c.is_staff) AS is_staff\n"
        "  FROM trusted.customers c JOIN persons p ON p.source = c.source AND p.source_key = c.source_key\n"
        "  WHERE c.valid_to IS NULL GROUP BY p.one_id)"
    )


def _taken_for_adult(policy: Policy) -> str:
    sources = policy.unknown_age.adult_sources if policy.unknown_age else []
    return f" OR c.source IN ({spark_literals(sources)})" if sources else ""


def _controls_part(policy: Policy, today: str) -> str:
    grades = spark_literals(policy.restricted_aml_grades)
    kinds = spark_literals(RESTRICTING)
    holds = f"c.valid_to IS NULL AND c.started_on <= {today} AND (c.ended_on IS NULL OR c.ended_on > {today})"
    return (
        "controls AS (\n  SELECT p.one_id, c.control_type, c.grade\n"
        "  FROM trusted.account_controls c JOIN persons p ON p.source = c.source AND p.source_key = c.source_key\n"
        f"  WHERE {holds}\n  UNION ALL\n"
        "  SELECT p.one_id, c.control_type, c.grade\n  FROM trusted.account_controls c\n"
        "  JOIN trusted.relationships r ON r.relationship_type = 'person_account' AND r.role IN ('owner', 'co_holder')\n"
        "    AND r.valid_to IS NULL AND r.to_source = c.source AND r.to_key = c.account_id\n"
        "  JOIN persons p ON p.source = r.from_source AND p.source_key = r.from_key\n"
        f"  WHERE {holds}),\n"
        "control_facts AS (\n  SELECT one_id,\n"
        f"    bool_or(control_type IN ({kinds}) OR (control_type = 'AML_GRADE' AND grade IN ({grades}))) AS is_restricted,\n"
        "    bool_or(control_type = 'COMPLAINT') AS has_complained\n  FROM controls GROUP BY one_id)"
    )


def _receipts_part(today: str) -> str:
    return (
        "answers AS (\n  SELECT coalesce(d.to_one_id, k.one_id) AS one_id, r.channel, r.status, r.event_at,\n"
        "    coalesce(r.purpose, 'marketing') AS purpose\n"
        "  FROM trusted.receipts r\n"
        "  JOIN segments.recipients k ON k.destination = r.destination AND k.recipient_key = r.recipient_key\n"
        "  LEFT JOIN identity.redirects d ON d.from_one_id = k.one_id\n"
        f"  WHERE r._arrived_on <= {today} AND r.event_on <= {today})"
    )


def _receipt_facts_part(channels: list[str]) -> str:
    bounced = [
        f"max(CASE WHEN channel = '{c}' AND status = 'BOUNCED_HARD' THEN event_at END) > "
        f"coalesce(max(CASE WHEN channel = '{c}' AND status IN ('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED') "
        f"THEN event_at END), timestamp'1970-01-01 00:00:00') AS bounced_{c.lower()}"
        for c in channels
    ]
    columns = ",\n    ".join(["bool_or(status = 'COMPLAINED') AS has_complained", *bounced])
    return f"receipt_facts AS (\n  SELECT one_id,\n    {columns}\n  FROM answers GROUP BY one_id)"


def _decisions_part() -> str:
    return (
        "decisions AS (\n  SELECT p.one_id, c.purpose, c.channel, c.decision = 'REFUSE' AS is_refusal, c.decided_at,"
        " coalesce(c.expires_on, DATE '9999-12-31') AS expires_on\n"
        "  FROM trusted.consents c JOIN persons p ON p.source = c.source AND p.source_key = c.source_key\n"
        "  WHERE c.valid_to IS NULL\n  UNION ALL\n"
        "  SELECT one_id, purpose, 'ALL', true, event_at, DATE '9999-12-31' FROM answers WHERE status = 'REFUSED')"
    )


def _consents_part(
    uses: Sequence[tuple[str, str, int]], purposes: Sequence[str], policy: Policy, business_date: date
) -> str:
    """Latest decision per channel; the later of two profiles of a person counts, a tie is a refusal.

    A grant must still hold on the last day on which the audience may be used.

    A channel's own refusal stands whatever was said about all channels, and its own grant falls with a
    later refusal of all.
    """
    latest_columns, answer_columns = [], []
    for purpose in purposes:
        latest = _LATEST
        of_all = f"purpose = '{purpose}' AND channel = 'ALL'"
        latest_columns.append(f"max(CASE WHEN {of_all} THEN {latest} END) AS all_{purpose}")
        latest_columns.append(
            f"max(CASE WHEN {of_all} AND is_refusal THEN decided_at END) AS all_{purpose}_refused_at"
        )
        overall = f"purpose = '{purpose}' AND (channel = 'ALL' OR NOT is_refusal)"
        latest_columns.append(
            f"max(CASE WHEN {overall} THEN struct(decided_at, is_refusal) END) AS overall_{purpose}"
        )
        opted = f"coalesce(overall_{purpose}.is_refusal, false)"
        if purpose == "marketing":
            latest_columns.append(
                "max(CASE WHEN purpose = 'profiling' THEN struct(decided_at, is_refusal) END) AS profiling"
            )
            opted += " OR coalesce(profiling.is_refusal, false)"
        answer_columns.append(f"{opted} AS {opt_out_column(purpose)}")
    for purpose, channel in sorted({(purpose, channel) for purpose, channel, _ in uses}):
        own = f"own_{purpose}_{channel.lower()}"
        latest_columns.append(
            f"max(CASE WHEN purpose = '{purpose}' AND channel = '{channel}' THEN {_LATEST} END) AS {own}"
        )
    for purpose, channel, days in uses:
        used_on = spark_literal(business_date + timedelta(days=days))
        own, all_ = f"own_{purpose}_{channel.lower()}", f"all_{purpose}"
        recalled = f"coalesce({all_}_refused_at >= {own}.decided_at, false)"
        if policy.purpose(purpose).consent == "required":
            own_holds = f"NOT {own}.is_refusal AND {_unexpired(own, used_on)} AND NOT {recalled}"
            all_holds = f"coalesce(NOT {all_}.is_refusal AND {_unexpired(all_, used_on)}, false)"
        else:
            own_holds = f"NOT {own}.is_refusal AND NOT {recalled}"
            all_holds = f"coalesce(NOT {all_}.is_refusal, true)"
        answer_columns.append(
            f"CASE WHEN {own} IS NOT NULL THEN {own_holds} ELSE {all_holds} END"
            f" AS {allowed_column(purpose, channel, days)}"
        )
    return (
        "latest_decisions AS (\n  SELECT one_id,\n    "
        + ",\n    ".join(latest_columns)
        + "\n  FROM decisions GROUP BY one_id),\nconsent_facts AS (\n  SELECT one_id,\n    "
        + ",\n    ".join(answer_columns)
        + "\n  FROM latest_decisions)"
    )


def _unexpired(decision: str, day: str) -> str:
    return f"{decision}.expires_on > {day}"


def _addresses_part(channels: list[str], policy: Policy) -> str:
    flags = [
        f"bool_or({_namespaces_sql(policy.channel(c))}) AS address_{c.lower()}"
        for c in channels
        if not policy.channel(c).everyone
    ]
    if not flags:
        return "address_facts AS (\n  SELECT DISTINCT one_id FROM persons)"
    columns = ",\n    ".join(["p.one_id", *flags])
    return (
        f"address_facts AS (\n  SELECT {columns}\n"
        "  FROM trusted.identifier_observations o JOIN persons p ON p.source = o.source AND p.source_key = o.source_key\n"
        "  WHERE o.valid_to IS NULL GROUP BY p.one_id)"
    )


def _namespaces_sql(rule: ChannelRule) -> str:
    alike = [
        f"startswith(o.namespace, {spark_literal(name[:-1])})"
        if name.endswith("*")
        else f"o.namespace = {spark_literal(name)}"
        for name in rule.addresses
    ]
    matching = f" AND trim(o.value) RLIKE {spark_literal(rule.matches)}" if rule.matches else ""
    return f"({' OR '.join(alike)}){matching}"


def _address_sql(channel: str, policy: Policy) -> str:
    return (
        "true"
        if policy.channel(channel).everyone
        else f"coalesce(address_facts.address_{channel.lower()}, false)"
    )
