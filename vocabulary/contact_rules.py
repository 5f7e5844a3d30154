"""What must be known of a person before anybody contacts them: one definition each, for tags and for suppression.

Each rule is text of Spark SQL over the tables of the lake. Whoever asks says by ``RulePlace`` how tables, days and texts are
written there: segments put it into the leaf table, tags into a dbt model, so that both always answer alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from lakehouse.query.words import spark_literal
from vocabulary.buckets import salted_bucket_sql, share
from vocabulary.policy import DEFAULT_GLOBAL_PERCENT, ChannelRule, Policy

RESTRICTING = ("FRAUD", "STOP_PAYMENT", "JUDICIAL")
CONTROLS_KEPT_DAYS = 400
TABLES = (
    "identity.memberships",
    "identity.redirects",
    "identity.inheritances",
    "trusted.account_controls",
    "trusted.relationships",
    "trusted.consents",
    "trusted.identifier_observations",
    "trusted.receipts",
    "segments.recipients",
    "segments.deliveries",
)
# Engines order nulls inside structs differently, so a decision without end has a last day.
_ENDLESS = "DATE '9999-12-31'"
_OF_PROFILING = "purpose = 'profiling'"
_RECEIVED = "('DELIVERED', 'OPENED', 'CLICKED', 'REPLIED')"
# What a receipt tells that is no contact, as ``int_contacts_keyed`` reads it; after the first three there will be none.
NEVER_MADE = ("CAPPED", "QUIET_DROPPED", "EXPIRED")
NOT_A_TOUCH = (*NEVER_MADE, "QUIET_DEFERRED", "ASSIGNED")
HABIT_DAYS = 180
# Parameters of the tag ``channel_habit``; a test holds them against the registry.
PRIOR_RESPONSES, PRIOR_DELIVERIES, WECHAT_AFTER_UNOPENED = 1, 20, 2


@dataclass(frozen=True)
class RulePlace:
    """How a table, a day and a text are written where the rules are asked."""

    table: Callable[[str], str]
    day: Callable[[int], str]
    """The business date and so many days."""
    text: Callable[[str], str] = spark_literal

    @property
    def today(self) -> str:
        """The business date."""
        return self.day(0)

    def texts(self, values: Iterable[str]) -> str:
        """Give texts with commas between them, for an ``IN`` list."""
        return ", ".join(self.text(value) for value in values)


def lake_place(business_date: date) -> RulePlace:
    """Give the place of a query over the lake's tables by their names."""
    return RulePlace(lambda table: table, lambda days: spark_literal(business_date + timedelta(days=days)))


@dataclass(frozen=True)
class ContactFacts:
    """Spark SQL of what decides over a contact: WITH parts of one row per OneID, joins to ``t``, select columns."""

    parts: tuple[str, ...]
    joins: tuple[str, ...]
    columns: tuple[str, ...]


def opt_out_column(purpose: str) -> str:
    """Give the column that says a person refused the purpose altogether."""
    return f"opt_out_{purpose}"


def allowed_column(purpose: str, channel: str, days: int) -> str:
    """Give the column that says a person's consent covers the purpose on the channel for so many days."""
    return f"allowed_{purpose}_{channel.lower()}_{days}d"


def usable_column(channel: str) -> str:
    """Give the column that says a person has a usable address on the channel."""
    return f"usable_{channel.lower()}"


def contact_facts_sql(
    uses: Iterable[tuple[str, str, int]], policy: Policy, place: RulePlace, *, persons: str | None = None
) -> ContactFacts:
    """Give consent, reachability, complaints and controls for uses: purpose, channel and days of use.

    The joins are to ``t.one_id``. The first part, ``persons``, maps profiles to OneIDs: a relation of source, source_key and
    one_id, or else today's map.
    """
    map_of_today = f"{place.table('identity.memberships')} WHERE valid_to IS NULL"
    every_use = sorted(set(uses))
    purposes = sorted({purpose for purpose, _, _ in every_use})
    channels = sorted({channel for _, channel, _ in every_use})
    parts = (
        _part("persons", f"SELECT one_id, source, source_key FROM {persons or map_of_today}"),
        _part("controls", controls_sql(place, persons="persons")),
        _part("control_facts", _control_facts(policy, place)),
        _part("answers", receipts_sql(place)),
        _part("receipt_facts", _receipt_facts(channels)),
        _part("decisions", _decisions(place)),
        _part("latest_decisions", _latest_decisions(every_use, purposes)),
        _part("consent_facts", _consent_facts(every_use, purposes, policy, place)),
        _part("address_facts", _address_facts(channels, policy, place)),
    )
    joins = tuple(
        f"LEFT JOIN {name} ON {name}.one_id = t.one_id"
        for name in ("control_facts", "receipt_facts", "consent_facts", "address_facts")
    )
    columns = (
        "coalesce(control_facts.is_restricted, false) AS is_restricted",
        "coalesce(control_facts.has_complained, false) OR coalesce(receipt_facts.has_complained, false)"
        " AS has_complained",
        *(f"coalesce(consent_facts.{opt_out_column(p)}, false) AS {opt_out_column(p)}" for p in purposes),
        *(
            f"coalesce(consent_facts.{allowed_column(p, c, d)}, {_allowed_without_decision(policy, p)})"
            f" AS {allowed_column(p, c, d)}"
            for p, c, d in every_use
        ),
        *(
            f"{_address_sql(c, policy)} AND NOT coalesce(receipt_facts.bounced_{c.lower()}, false) AS {usable_column(c)}"
            for c in channels
        ),
    )
    return ContactFacts(parts, joins, columns)


def profiling_refusals_sql(place: RulePlace) -> str:
    """Give who has refused to be profiled, by the latest decision on the business date: one_id, once a person.

    On the same instant a refusal is the later decision, as for contacts.
    """
    memberships = f"{place.table('identity.memberships')} WHERE valid_to IS NULL"
    parts = (
        _part("persons", f"SELECT one_id, source, source_key FROM {memberships}"),
        _part("answers", receipts_sql(place)),
        _part("decisions", _decisions(place)),
    )
    latest = (
        f"SELECT one_id, {_latest(_OF_PROFILING, 'is_refusal')} AS is_refusal FROM decisions GROUP BY one_id"
    )
    return f"WITH {', '.join(parts)}\nSELECT one_id FROM ({latest}) WHERE is_refusal"


def controls_sql(place: RulePlace, *, persons: str) -> str:
    """Give the controls known on the business date and those closed in the last 400 days, one row per person of each.

    A control restricts the person it names and everybody the source states as owner or co-holder of the account it names.
    ``persons`` is a relation of source, source_key and one_id. ``held_until`` is the day after the last on which we knew it
    to hold.
    """
    columns = (
        "c.source, c.control_id, c.control_type, c.grade, c.started_on, c.ended_on, c.valid_from, c.valid_to,\n"
        f"    (c.valid_to IS NULL OR c.valid_to > {place.today})"
        f" AND (c.ended_on IS NULL OR c.ended_on > {place.today}) AS is_in_force,\n"
        f"    least(coalesce(c.valid_to, {_ENDLESS}), coalesce(c.ended_on, {_ENDLESS})) AS held_until"
    )
    rows = (
        f"c.valid_from <= {place.today} AND (c.valid_to IS NULL OR c.valid_to > {place.day(-CONTROLS_KEPT_DAYS)})"
        f" AND c.started_on <= {place.today}"
    )
    controls, relationships = (
        place.table("trusted.account_controls"),
        place.table("trusted.relationships"),
    )
    return (
        f"SELECT p.one_id, {columns}\n"
        f"  FROM {controls} c JOIN {persons} p ON p.source = c.source AND p.source_key = c.source_key\n"
        f"  WHERE {rows}\n  UNION\n"
        f"  SELECT p.one_id, {columns}\n  FROM {controls} c\n"
        f"  JOIN {relationships} r ON r.relationship_type = 'person_account' AND r.role IN ('owner', 'co_holder')\n"
        f"    AND {_holds('r', place)} AND r.to_source = c.source AND r.to_key = c.account_id\n"
        f"  JOIN {persons} p ON p.source = r.from_source AND p.source_key = r.from_key\n"
        f"  WHERE {rows}"
    )


def receipts_sql(place: RulePlace) -> str:
    """Give the receipts known on the business date with everybody who may have answered and the purpose of the contact.

    That is today's OneID of the recipient and whoever was split off since the contact: nobody knows which of them refused. The
    contact lies on the night of its run, or else before what the receipt tells. The purpose is that of the run; what the receipt
    says counts only for a run of which none was recorded, and a receipt that says nothing is of marketing.
    """
    columns = (
        *("source", "receipt_id", "run_id", "destination", "recipient_key", "channel", "status", "event_at"),
        *("event_on", "purpose"),
    )
    of_receipt = ", ".join(f"r.{column}" for column in columns[:-1])
    receipts = (
        f"SELECT k.one_id, {of_receipt},\n"
        "    coalesce(v.purpose, r.purpose, 'marketing') AS purpose, coalesce(v.as_of, date_add(r.event_on, -1)) AS given_on\n"
        f"  FROM {place.table('trusted.receipts')} r\n"
        f"  JOIN {place.table('segments.recipients')} k"
        " ON k.destination = r.destination AND k.recipient_key = r.recipient_key\n"
        f"  LEFT JOIN {place.table('segments.deliveries')} v"
        " ON v.destination = r.destination AND v.run_id = r.run_id\n"
        f"  WHERE r._arrived_on <= {place.today} AND r.event_on <= {place.today}"
    )
    redirects, inheritances = place.table("identity.redirects"), place.table("identity.inheritances")
    return shared_past_sql(receipts, columns, redirects, inheritances, place.today)


def shared_past_sql(rows: str, columns: Sequence[str], redirects: str, inheritances: str, day: str) -> str:
    """Give rows of what people were given, by today's OneIDs: one_id and the ``columns``, once per row and person concerned.

    ``rows`` is a query with one_id, ``given_on`` and the columns. Concerned are the person of the number and whoever was split
    off it after that day, up to ``day``. Spark SQL and DuckDB.
    """
    names = ", ".join(f"g.{column}" for column in columns)
    own, heir = "coalesce(m.to_one_id, g.one_id)", "coalesce(h.to_one_id, i.one_id)"
    return (
        f"WITH given AS (\n  {rows})\n"
        f"SELECT {own} AS one_id, {names}\n"
        f"  FROM given g LEFT JOIN {redirects} m ON m.from_one_id = g.one_id\n"
        "  UNION ALL\n"
        f"  SELECT DISTINCT {heir}, {names}\n"
        f"  FROM {inheritances} i JOIN given g ON g.one_id = i.from_one_id AND g.given_on < i.shared_until\n"
        f"  LEFT JOIN {redirects} m ON m.from_one_id = g.one_id\n"
        f"  LEFT JOIN {redirects} h ON h.from_one_id = i.one_id\n"
        f"  WHERE i.parted_on <= {day} AND {heir} <> {own}"
    )


def channel_responses_sql(place: RulePlace, *, receipts: str) -> str:
    """Give how contacts of 180 days were answered, one row per person and channel, worklists left out.

    ``receipts`` is a relation of what ``receipts_sql`` gives. A contact is one message of a run to a recipient in a channel; it
    was delivered if it was opened or clicked, whatever else was reported. ``unopened_before`` counts, of WECHAT, the contacts
    delivered in other channels before its last answer and never answered themselves.
    """
    open_status, click_status, wechat = map(place.text, ("OPENED", "CLICKED", "WECHAT"))
    arrivals = place.texts(("DELIVERED", "OPENED", "CLICKED", "REPLIED", "CONVERTED"))
    contact = "one_id, channel, source, run_id, destination, recipient_key"
    return (
        f"WITH contacts AS (\n  SELECT {contact},\n"
        f"    max(CASE WHEN status IN ({arrivals}) THEN 1 ELSE 0 END) AS is_delivered,\n"
        f"    max(CASE WHEN status = {open_status} THEN 1 ELSE 0 END) AS is_opened,\n"
        f"    max(CASE WHEN status = {click_status} THEN 1 ELSE 0 END) AS is_clicked,\n"
        "    min(event_at) AS contacted_at,\n"
        f"    max(CASE WHEN status IN ({open_status}, {click_status}) THEN event_at END) AS responded_at\n"
        f"  FROM {receipts} r\n"
        f"  WHERE event_on > {place.day(-HABIT_DAYS)} AND channel <> {place.text('WORKLIST')}\n"
        f"  GROUP BY {contact}),\n"
        "followed AS (\n  SELECT *, max(CASE WHEN channel = "
        f"{wechat} THEN responded_at END) OVER (PARTITION BY one_id) AS wechat_at FROM contacts),\n"
        "unopened AS (\n  SELECT one_id, count(*) AS unopened_before FROM followed\n"
        f"  WHERE channel <> {wechat} AND is_delivered = 1 AND responded_at IS NULL AND contacted_at < wechat_at\n"
        "  GROUP BY one_id)\n"
        "SELECT f.one_id, f.channel, sum(f.is_opened) + sum(f.is_clicked) AS response_count,\n"
        "    sum(f.is_delivered) AS delivered_count, max(f.responded_at) AS responded_at,\n"
        f"    CASE WHEN f.channel = {wechat} THEN coalesce(max(u.unopened_before), 0) ELSE 0 END AS unopened_before\n"
        "FROM followed f LEFT JOIN unopened u ON u.one_id = f.one_id GROUP BY f.one_id, f.channel"
    )


def habits_sql(place: RulePlace) -> str:
    """Give the channel each person answers to, as the tag ``channel_habit``: one_id, channel; who answers none has no row.

    Of the channels with an open or click the one with the highest (opens + clicks + 1) / (delivered + 20), a tie going to the
    latest answer and then to the channel's code. An answer in WeChat after two or more contacts elsewhere that were delivered
    and not answered decides for WeChat.
    """
    responses = channel_responses_sql(place, receipts=f"(\n  {receipts_sql(place)})")
    switches = f"CASE WHEN channel = {place.text('WECHAT')} AND unopened_before >= {WECHAT_AFTER_UNOPENED} THEN 0 ELSE 1 END"
    share = f"(response_count + {PRIOR_RESPONSES}.0) / (delivered_count + {PRIOR_DELIVERIES}.0)"
    return (
        "SELECT one_id, channel FROM (\n  SELECT one_id, channel, row_number() OVER (PARTITION BY one_id\n"
        f"    ORDER BY {switches}, {share} DESC, responded_at DESC, channel) AS place\n"
        f"  FROM (\n  {responses}) a WHERE response_count > 0) o WHERE place = 1"
    )


def global_controls_sql(policy: Policy, place: RulePlace, *, people: str) -> str:
    """Give every one of ``people`` with their side of the current global control group.

    ``was_control`` is what an earlier night assigned, null before the first; ``is_control`` counts it or else the bucket.
    The group of a day is that of its half-year, and an earlier half-year's does not count.
    """
    salt = global_group_sql(place.today)
    sizes = " ".join(
        f"WHEN {place.text(name)} THEN {policy.global_buckets(name)}"
        for name in sorted(policy.global_control)
    )
    default = share(DEFAULT_GLOBAL_PERCENT)
    size = f"CASE {salt} {sizes} ELSE {default} END" if sizes else str(default)
    bucket = salted_bucket_sql(salt, "p.one_id")
    arms = earlier_arms_sql(
        place.table("segments.assignments"),
        place.table("identity.redirects"),
        place.table("identity.inheritances"),
        place.today,
    )
    return (
        "SELECT p.one_id, a.arm = 'CONTROL' AS was_control,\n"
        f"    coalesce(a.arm = 'CONTROL', {bucket} < {size}) AS is_control\n"
        f"  FROM {people} p\n"
        f"  LEFT JOIN ({arms}) a ON a.one_id = p.one_id AND a.salt = {salt}"
    )


def global_group_sql(day: str) -> str:
    """Give the name of a day's global control group, which is also its salt: ``GCG-<year>H<half>``."""
    return f"concat('GCG-', year({day}), 'H', CASE WHEN month({day}) <= 6 THEN 1 ELSE 2 END)"


def earlier_arms_sql(assignments: str, redirects: str, inheritances: str, day: str) -> str:
    """Give what nights before ``day`` assigned, by today's OneIDs: salt, one_id, arm, and how many different (``arms``).

    Who was split off goes on with what the whole was given before; only a number that came back keeps what it was given itself
    before it was a part. Of several arms the first by name counts, which is CONTROL where one of them is. Spark SQL and DuckDB.
    """
    return (
        "SELECT g.salt, coalesce(m.to_one_id, g.one_id) AS one_id, min(g.arm) AS arm, count(DISTINCT g.arm) AS arms\n"
        f"  FROM (SELECT s.salt, s.one_id, s.arm FROM {assignments} s WHERE s.assigned_on < {day}\n"
        "    UNION ALL\n"
        f"    SELECT s.salt, i.one_id, s.arm FROM {inheritances} i\n"
        f"    JOIN {assignments} s ON s.one_id = i.from_one_id AND s.assigned_on < i.shared_until\n"
        f"    LEFT JOIN {assignments} o ON o.salt = s.salt AND o.one_id = i.one_id AND o.assigned_on < i.parted_on\n"
        f"    WHERE i.parted_on <= {day} AND s.assigned_on < {day} AND o.one_id IS NULL) g\n"
        f"  LEFT JOIN {redirects} m ON m.from_one_id = g.one_id\n"
        "  GROUP BY g.salt, coalesce(m.to_one_id, g.one_id)"
    )


def _part(name: str, sql: str) -> str:
    return f"{name} AS (\n  {sql})"


def _holds(alias: str, place: RulePlace) -> str:
    """Give the condition that a row of a state table was known on the business date."""
    return f"{alias}.valid_from <= {place.today} AND ({alias}.valid_to IS NULL OR {alias}.valid_to > {place.today})"


def _allowed_without_decision(policy: Policy, purpose: str) -> str:
    return "true" if policy.purpose(purpose).consent == "not_required" else "false"


def _control_facts(policy: Policy, place: RulePlace) -> str:
    grades, kinds = place.texts(policy.restricted_aml_grades), place.texts(RESTRICTING)
    return (
        "SELECT one_id,\n"
        f"    bool_or(control_type IN ({kinds}) OR (control_type = 'AML_GRADE' AND grade IN ({grades}))) AS is_restricted,\n"
        "    bool_or(control_type = 'COMPLAINT') AS has_complained\n"
        "  FROM controls WHERE is_in_force GROUP BY one_id"
    )


def _receipt_facts(channels: Sequence[str]) -> str:
    """Give complaints and dead channels: a hard bounce counts until something is received there again."""
    bounced = [
        f"max(CASE WHEN channel = '{c}' AND status = 'BOUNCED_HARD' THEN event_at END) >= "
        f"coalesce(max(CASE WHEN channel = '{c}' AND status IN {_RECEIVED} THEN event_at END),"
        f" timestamp'1970-01-01 00:00:00') AS bounced_{c.lower()}"
        for c in channels
    ]
    columns = ",\n    ".join(["bool_or(status = 'COMPLAINED') AS has_complained", *bounced])
    return f"SELECT one_id,\n    {columns}\n  FROM answers GROUP BY one_id"


def _decisions(place: RulePlace) -> str:
    """Give every decision a person took, by a form or as the answer to a contact.

    Who answers a contact of any purpose with a refusal has refused that purpose, and marketing with it, on all channels.
    """
    refusals = f"SELECT one_id, {{}}, 'ALL', true, event_at, {_ENDLESS} FROM answers WHERE status = 'REFUSED'"
    return (
        "SELECT p.one_id, c.purpose, c.channel, c.decision = 'REFUSE' AS is_refusal, c.decided_at,"
        f" coalesce(c.expires_on, {_ENDLESS}) AS expires_on\n"
        f"  FROM {place.table('trusted.consents')} c"
        " JOIN persons p ON p.source = c.source AND p.source_key = c.source_key\n"
        f"  WHERE {_holds('c', place)}\n"
        f"  UNION ALL {refusals.format('purpose')}\n"
        f"  UNION ALL {refusals.format(repr('marketing'))} AND purpose <> 'marketing'"
    )


def _latest(condition: str, value: str) -> str:
    """Give the value of the latest decision under a condition; on the same instant a refusal is the later one."""
    order = "struct(decided_at, is_refusal, expires_on)"
    return f"max_by(CASE WHEN {condition} THEN {value} END, CASE WHEN {condition} THEN {order} END)"


def _latest_decisions(uses: Sequence[tuple[str, str, int]], purposes: Sequence[str]) -> str:
    columns = []
    for purpose in purposes:
        of_all = f"purpose = '{purpose}' AND channel = 'ALL'"
        columns += _word_columns(f"all_{purpose}", of_all)
        columns.append(
            f"max(CASE WHEN {of_all} AND is_refusal THEN decided_at END) AS all_{purpose}_refused_at"
        )
        overall = f"purpose = '{purpose}' AND (channel = 'ALL' OR NOT is_refusal)"
        columns.append(f"{_latest(overall, 'is_refusal')} AS overall_{purpose}_is_refusal")
        if purpose == "marketing":
            columns.append(f"{_latest(_OF_PROFILING, 'is_refusal')} AS profiling_is_refusal")
    for purpose, channel in sorted({(purpose, channel) for purpose, channel, _ in uses}):
        own = f"own_{purpose}_{channel.lower()}"
        of_channel = f"purpose = '{purpose}' AND channel = '{channel}'"
        columns += _word_columns(own, of_channel)
        columns.append(f"max(CASE WHEN {of_channel} THEN decided_at END) AS {own}_at")
    return "SELECT one_id,\n    " + ",\n    ".join(columns) + "\n  FROM decisions GROUP BY one_id"


def _word_columns(name: str, condition: str) -> list[str]:
    return [
        f"{_latest(condition, 'is_refusal')} AS {name}_is_refusal",
        f"{_latest(condition, 'expires_on')} AS {name}_expires_on",
    ]


def _consent_facts(
    uses: Sequence[tuple[str, str, int]], purposes: Sequence[str], policy: Policy, place: RulePlace
) -> str:
    """Give the decision that counts per purpose and channel: of two profiles of a person the later, in a tie the refusal.

    A channel's own refusal stands until a later grant names that channel. Its own grant counts before what was decided
    about all channels, but falls with a later refusal of all; then what was said last about all channels counts. A grant
    must still hold on the last day of use.
    """
    columns = []
    for purpose in purposes:
        opted = f"coalesce(overall_{purpose}_is_refusal, false)"
        if purpose == "marketing":
            opted += " OR coalesce(profiling_is_refusal, false)"
        columns.append(f"{opted} AS {opt_out_column(purpose)}")
    for purpose, channel, days in uses:
        last_day = place.day(days)
        own, all_ = f"own_{purpose}_{channel.lower()}", f"all_{purpose}"
        stands = f"NOT coalesce(all_{purpose}_refused_at >= {own}_at, false)"
        if policy.purpose(purpose).consent == "required":
            own_holds = f"{own}_expires_on > {last_day}"
            all_holds = f"coalesce(NOT {all_}_is_refusal AND {all_}_expires_on > {last_day}, false)"
        else:
            own_holds, all_holds = "true", f"coalesce(NOT {all_}_is_refusal, true)"
        columns.append(
            f"CASE WHEN {own}_is_refusal THEN false WHEN {own}_at IS NOT NULL AND {stands} THEN {own_holds}"
            f" ELSE {all_holds} END AS {allowed_column(purpose, channel, days)}"
        )
    return "SELECT one_id,\n    " + ",\n    ".join(columns) + "\n  FROM latest_decisions"


def _address_facts(channels: Sequence[str], policy: Policy, place: RulePlace) -> str:
    flags = [
        f"bool_or({_namespaces_sql(policy.channel(c), place)}) AS address_{c.lower()}"
        for c in channels
        if not policy.channel(c).everyone
    ]
    if not flags:
        return "SELECT DISTINCT one_id FROM persons"
    columns = ",\n    ".join(["p.one_id", *flags])
    return (
        f"SELECT {columns}\n  FROM {place.table('trusted.identifier_observations')} o"
        " JOIN persons p ON p.source = o.source AND p.source_key = o.source_key\n"
        f"  WHERE {_holds('o', place)} GROUP BY p.one_id"
    )


def _namespaces_sql(rule: ChannelRule, place: RulePlace) -> str:
    alike = [
        f"startswith(o.namespace, {place.text(name[:-1])})"
        if name.endswith("*")
        else f"o.namespace = {place.text(name)}"
        for name in rule.addresses
    ]
    matching = f" AND trim(o.value) RLIKE {place.text(rule.matches)}" if rule.matches else ""
    return f"({' OR '.join(alike)}){matching}"


def _address_sql(channel: str, policy: Policy) -> str:
    return (
        "true"
        if policy.channel(channel).everyone
        else f"coalesce(address_facts.address_{channel.lower()}, false)"
    )
