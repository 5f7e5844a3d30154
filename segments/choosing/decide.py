"""From the leaf table to decisions: who is chosen, why not, in which control group or arm.

Runs at a desk on the rows of the leaf table, by dependency level; one pass per segment over narrow columns.
The order is fixed: rule → suppression → rollout → global control → local hold-out → arm → contact policy. The first part,
up to the arm, is decided segment by segment (``place_segment``), contact policy for all segments of a night together
(``segments.choosing.contact_policy``), and then each segment is concluded (``decide_segment``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from lakehouse.query.desk import Desk, Relation
from lakehouse.query.hashing import rows_hash, text_hash
from lakehouse.query.words import identifier, literal
from segments.choosing.assignment import ArmSql, arm_sql, control_sql, rollout_sql, whitelist_sql
from segments.choosing.compile import Leaves, published_tags, rank_leaves, tag_uses, value_column, value_tags
from segments.choosing.contacts import DecidedContacts
from segments.choosing.guards.refusing import gate_refusal
from segments.choosing.guards.yardsticks import Yardsticks
from segments.choosing.leaves.members import entity_sql
from segments.choosing.leaves.ranks import hash_duckdb_sql, rank_cuts, rank_sql
from segments.choosing.suppression import REASONS, channel_sql, reason_sql, ways_sql
from segments.contacting.problem import REASONS as DROP_REASONS
from segments.language.columns import COMPANIES, COMPANIES_LEVEL, WINDOW_COLUMNS, given_columns
from segments.language.conditions import Leaf, ListLeaf, SegmentLeaf, logic_sql, possible_sql
from segments.language.leaves.people import SampleLeaf
from segments.language.segment_leaves import all_leaves, read_leaves
from segments.language.spec import Segment
from vocabulary.audience import Audience
from vocabulary.buckets import bucket_duckdb_sql
from vocabulary.contact_rules import allowed_column, opt_out_column, usable_column
from vocabulary.policy import Policy
from vocabulary.tag_facts import TagFacts

COMMON_FACTS = (
    "kind",
    "is_deceased",
    "is_minor",
    "is_age_unknown",
    "is_restricted",
    "is_staff",
    "has_complained",
)


# Places of those a segment counts as its members: they are contacted, or would be but for a group they are in.
# Who is DROPPED by contact policy stays in the arm.
MEMBERS = "('TREATED', 'DROPPED', 'GLOBAL', 'LOCAL', 'CONTAMINATED')"
IN_ARMS = ("TREATED", "DROPPED")


@dataclass(frozen=True)
class SegmentPlaces:
    """What a segment decides alone, before contact policy. The relations are those of the night's desk."""

    segment: Segment
    candidates: Relation
    """One row per candidate: one_id, reason, place, variant, channel, ways and the values that are published."""
    members: Relation
    """one_id of every member, for segments that name this one."""
    parts: tuple[ArmSql, ...]
    """The global control, the local one and the arms, as SQL over the candidates."""
    answers: Relation
    """The leaves of everybody, ranks included; of a segment of companies or households those of each by its ``entity_key``."""
    unknown: int
    """How many people, companies or households have an unknown answer."""
    cuts: dict[str, dict[str, Any]]
    """Where each rank was cut, by the column of its leaf."""
    belonging: Relation | None = None
    """entity_key and one_id of the people of the companies or households it chooses from; None of persons."""
    addressees: Relation | None = None
    """entity_key and one_id: through whom each chosen one is contacted."""


@dataclass(frozen=True)
class SegmentDecision:
    """What was decided for one segment on one business date. The relations are those of the night's desk."""

    segment: Segment
    audience: Audience
    candidates: Relation
    """One row per candidate: one_id, reason, place, variant, channel and the values that are published."""
    assignments: Relation
    """salt, one_id, bucket, arm, source of everybody who met a control group or experiment."""
    cuts: dict[str, dict[str, Any]]
    """Where each rank was cut, by the column of its leaf."""
    contacts: DecidedContacts | None = None
    """What contact policy decided, None where no rule of contact concerns the segment."""

    @property
    def run_id(self) -> str:
        """The run: a hash of definition, date and inputs."""
        return self.audience.run_id


@dataclass(frozen=True)
class SegmentOutcome:
    """What becomes of each candidate of a segment, contact policy included."""

    candidates: Relation
    """As ``SegmentDecision.candidates``."""
    counts: dict[str, Any]
    """As ``Audience.counts``."""


def place_segment(
    desk: Desk,
    segment: Segment,
    *,
    policy: Policy,
    leaves: Relation,
    arms: Relation,
    members: Mapping[str, Relation],
    offer_risk: str | None,
    everybody: Relation | None = None,
    belonging: Relation | None = None,
    unknown: int | None = None,
) -> SegmentPlaces:
    """Place the candidates of one segment by the leaf table and the arms of earlier nights (salt, one_id, arm, arms).

    ``members`` holds the members (one_id) of every segment this one names. ``leaves`` may hold only those who may be chosen where
    ``everybody`` holds the answers of all people; a segment that ranks people, or one of companies or households, needs all of them in
    ``leaves``, or its ranks as columns of ``leaves``. ``belonging`` has entity_key and one_id of the people of these. ``unknown`` is how
    many people have an unknown answer, where that was counted already.
    """
    choice = _choose(desk, segment, offer_risk, leaves, everybody or leaves, members, belonging, unknown)
    parts = _parts(segment, policy, arms)
    candidates = _place(desk, segment, choice.people, *parts)
    return SegmentPlaces(
        segment,
        candidates,
        _members(desk, segment, candidates),
        parts,
        choice.answers,
        choice.unknown,
        choice.cuts,
        belonging,
        choice.addressees,
    )


def places_of(
    desk: Desk,
    segment: Segment,
    policy: Policy,
    arms: Relation,
    candidates: Relation,
    answers: Relation,
    unknown: int,
) -> SegmentPlaces:
    """Give the places of a segment of persons without ranks whose candidates were placed elsewhere, by the same arms."""
    members = _members(desk, segment, candidates)
    return SegmentPlaces(segment, candidates, members, _parts(segment, policy, arms), answers, unknown, {})


def _parts(segment: Segment, policy: Policy, arms: Relation) -> tuple[ArmSql, ArmSql, ArmSql]:
    return (
        control_sql(segment.spec.holdout.global_group, policy, arms),
        control_sql(segment, policy, arms),
        arm_sql(segment, arms),
    )


def _members(desk: Desk, segment: Segment, candidates: Relation) -> Relation:
    return desk.define(f"members_{segment.code}", f"SELECT one_id FROM {candidates} WHERE place IN {MEMBERS}")


def segment_outcome(
    desk: Desk, places: SegmentPlaces, policy: Policy, contacts: DecidedContacts | None
) -> SegmentOutcome:
    """Give what becomes of the candidates of a segment after contact policy, which may not concern it."""
    candidates = places.candidates if contacts is None else contacts.applied_to(desk, places.candidates)
    return SegmentOutcome(candidates, _counts(desk, places.segment, candidates, policy, places.unknown))


def decide_segment(
    desk: Desk,
    places: SegmentPlaces,
    *,
    business_date: date,
    policy: Policy,
    leaves: Leaves,
    members: Mapping[str, Relation],
    tags: Mapping[str, TagFacts],
    list_hashes: Mapping[str, tuple[int, str]],
    contacts: DecidedContacts | None = None,
    approvals: Sequence[Mapping[str, Any]] = (),
    dry_destinations: frozenset[str] = frozenset(),
    hashes: dict[tuple[str, ...], dict[str, Any]] | None = None,
    yardsticks: Yardsticks | None = None,
) -> SegmentDecision:
    """Conclude one segment after contact policy.

    ``hashes`` keeps what was hashed of the leaf table from one segment of a night to the next. ``yardsticks`` is what its guards
    compare with. What ``gate_refusal`` names is raised.
    """
    segment = places.segment
    outcome = segment_outcome(desk, places, policy, contacts)
    refusal = gate_refusal(desk, segment, outcome.counts, outcome.candidates, yardsticks)
    if refusal is not None:
        raise refusal
    known_hashes = hashes if hashes is not None else {}
    inputs = _inputs(desk, places, leaves, members, list_hashes, known_hashes)
    if contacts is not None:
        inputs.append(_input(desk, "segments.contacts", contacts.decisions_sql))
    audience = _audience(
        desk, segment, outcome, business_date, tags, inputs, approvals, is_timed=contacts is not None
    )
    return SegmentDecision(
        segment,
        replace(audience, dry_destinations=dry_destinations & frozenset(audience.destinations)),
        outcome.candidates,
        _assignments(desk, segment.code, places.candidates, places.parts),
        places.cuts,
        contacts,
    )


def _audience(
    desk: Desk,
    segment: Segment,
    outcome: SegmentOutcome,
    business_date: date,
    tags: Mapping[str, TagFacts],
    inputs: list[dict[str, Any]],
    approvals: Sequence[Mapping[str, Any]],
    *,
    is_timed: bool,
) -> Audience:
    publish = segment.spec.publish
    names = [*publish.columns, *(WINDOW_COLUMNS if is_timed else ())]
    columns = ["one_id", *(_column_sql(column, segment) for column in names)]
    rollout = segment.spec.rollout
    stage = rollout.effective_stage if rollout.stage is not None or approvals else None
    # A run without stages is named as it was before there were any.
    clearance = [_as_json([stage, [one["approval_id"] for one in approvals]])] if stage is not None else []
    run_id = text_hash(
        "segment_run",
        segment.code,
        segment.version,
        business_date,
        segment.definition_hash,
        _as_json(dict(segment.values)),
        _as_json(inputs),
        *clearance,
    )[:24]
    return Audience(
        code=segment.code,
        version=segment.version,
        definition_hash=segment.definition_hash,
        purpose=segment.spec.purpose,
        run_id=run_id,
        as_of=business_date,
        destinations=tuple(publish.destinations),
        modes=tuple(publish.mode),
        file_format=publish.format,
        valid_hours=publish.valid_hours,
        levels={column: _level(column, segment, tags) for column in names},
        counts=outcome.counts,
        tag_versions={tag: tags[tag].version for tag in tag_uses(segment) if tag in tags},
        inputs=inputs,
        people=desk.arrow(
            f"SELECT {', '.join(columns)} FROM {outcome.candidates} WHERE place = 'TREATED' ORDER BY one_id"
        ),
        quiet_columns=tuple(publish.ignore_changes_of),
        parameters=dict(segment.values),
        stage=stage,
        approvals=tuple(approvals),
    )


def answer_columns(members: Mapping[str, Relation]) -> Callable[[Leaf], str]:
    """Give what writes the answer of a leaf as SQL over the leaf table and the members of other segments."""

    def column_of(leaf: Leaf) -> str:
        if isinstance(leaf, SegmentLeaf):
            return f"(one_id IN (SELECT one_id FROM {members[leaf.segment]}))"
        if isinstance(leaf, SampleLeaf):
            return f"({bucket_duckdb_sql(leaf.salt)} < {leaf.buckets})"
        return leaf.column

    return column_of


def candidate_sql(segment: Segment, answer: str) -> str:
    """Give the SQL of being chosen by an answer, which may be unknown."""
    return f"coalesce({answer}, true)" if segment.unknown == "include" else answer


@dataclass(frozen=True)
class _Choice:
    """Whom a rule chooses."""

    people: str
    """SQL of one row per candidate: one_id, reason, channel, ways, whether whitelisted, and the values that are published."""
    answers: Relation
    unknown: int
    cuts: dict[str, dict[str, Any]]
    addressees: Relation | None = None


def _choose(
    desk: Desk,
    segment: Segment,
    offer_risk: str | None,
    leaves: Relation,
    everybody: Relation,
    members: Mapping[str, Relation],
    belonging: Relation | None = None,
    unknown: int | None = None,
) -> _Choice:
    """Give the candidates, the answers of everybody, how many of them are unknown, and where ranks were cut."""
    column_of = answer_columns(members)
    answer = logic_sql(segment.rule, column_of)
    ranks = [leaf for leaf in rank_leaves(segment) if leaf.column not in leaves.columns]
    cuts: dict[str, dict[str, Any]] = {}
    if ranks:
        sql = rank_sql(ranks, segment.ranked_group, str(everybody), column_of, hash_duckdb_sql)
        leaves = everybody = desk.keep(f"ranked_{segment.code}", f"SELECT * FROM {sql}")
        cuts = rank_cuts(desk, everybody, ranks, hash_duckdb_sql)
    candidate = candidate_sql(segment, f"({answer})")
    reason = reason_sql(segment, offer_risk=offer_risk)
    addressees, companies, rows = None, "", f"{leaves} WHERE {candidate}"
    if segment.is_collective:
        assert belonging is not None
        queries = entity_sql(
            segment, belonging=str(belonging), leaves=str(leaves), reason=reason, column_of=column_of
        )
        people_rows = desk.keep(f"people_{segment.code}", queries.people)
        everybody = desk.keep(f"entities_{segment.code}", queries.answers(str(people_rows)))
        choice = f"SELECT entity_key FROM {everybody} WHERE {candidate}"
        addressees = desk.keep(f"addressees_{segment.code}", queries.addressees(str(people_rows), choice))
        keys = f"SELECT one_id, list(entity_key ORDER BY entity_key) AS {COMPANIES} FROM {addressees} GROUP BY one_id"
        companies, rows = f", {COMPANIES}", f"({keys}) JOIN {leaves} USING (one_id)"
    values = "".join(f", {value_column(tag)}" for tag in published_tags(segment))
    people = (
        f"SELECT one_id, {reason} AS reason,\n"
        f"  {channel_sql(segment)} AS channel, {ways_sql(segment)} AS ways{values}{companies}{whitelist_sql(segment)}\n"
        f"FROM {rows}"
    )
    if unknown is None or segment.is_collective:
        # What is possible is asked first, since DuckDB leaves out at each condition whoever cannot meet it.
        possible = possible_sql(segment.rule, column_of)
        unknown = int(desk.value(f"SELECT count(*) FROM {everybody} WHERE {possible} AND ({answer}) IS NULL"))
    return _Choice(people, everybody, unknown, cuts, addressees)


def _level(column: str, segment: Segment, tags: Mapping[str, TagFacts]) -> str:
    if column in (*given_columns(segment), *WINDOW_COLUMNS):
        return COMPANIES_LEVEL if column == COMPANIES else "C1"
    return tags[column].level


def _column_sql(column: str, segment: Segment) -> str:
    return (
        column
        if column in (*given_columns(segment), *WINDOW_COLUMNS)
        else f"{value_column(column)} AS {identifier(column)}"
    )


def _place(
    desk: Desk,
    segment: Segment,
    people: str,
    global_control: ArmSql,
    local_control: ArmSql,
    arms: ArmSql,
) -> Relation:
    """Give every candidate, of the SQL ``people``, with place and arm; see ``SegmentDecision.candidates``."""
    parts = (global_control, local_control, arms)
    joins = "\n".join(dict.fromkeys(part.join for part in parts if part.join))
    torn = " OR ".join(part.torn for part in parts if part.torn) or "false"
    return desk.keep(
        f"placed_{segment.code}",
        "SELECT *, CASE WHEN place = 'TREATED' THEN given_arm WHEN place = 'CONTAMINATED' THEN 'CONTAMINATED' END AS variant\n"
        "FROM (SELECT c.*, CASE\n    WHEN c.reason IS NOT NULL THEN 'SUPPRESSED'\n"
        f"    WHEN NOT ({rollout_sql(segment)}) THEN 'NOT_IN_ROLLOUT'\n"
        f"    WHEN {torn} THEN 'CONTAMINATED'\n"
        f"    WHEN {global_control.arm} = 'CONTROL' THEN 'GLOBAL'\n"
        f"    WHEN {local_control.arm} = 'CONTROL' THEN 'LOCAL'\n"
        f"    ELSE 'TREATED' END AS place,\n  {arms.arm} AS given_arm\n"
        f"FROM ({people}) c\n{joins})",
    )


def _counts(
    desk: Desk, segment: Segment, candidates: Relation, policy: Policy, unknown: int
) -> dict[str, Any]:
    """Give the numbers the manifest's equations are about."""
    drop = "drop_reason" if "drop_reason" in candidates.columns else "NULL"
    rows = desk.rows(
        f"SELECT place, reason, variant, {drop} AS drop_reason, count(*) FROM {candidates} GROUP BY ALL"
    )

    def total(**values: str) -> int:
        names = ("place", "reason", "variant", "drop_reason")
        return sum(r[-1] for r in rows if all(r[names.index(k)] == v for k, v in values.items()))

    number = sum(row[-1] for row in rows)
    suppressed = {reason: total(reason=reason) for reason in REASONS if total(reason=reason)}
    variants = {
        v: sum(total(place=place, variant=v) for place in IN_ARMS)
        for v in sorted({r[2] for r in rows if r[0] in IN_ARMS})
    }
    dropped_by_contact = {r: total(drop_reason=r) for r in DROP_REASONS if total(drop_reason=r)}
    for arm in segment.spec.split.arms if segment.spec.split else ():
        variants.setdefault(arm, 0)
    published = sum(variants.values()) - sum(dropped_by_contact.values())
    required = policy.purpose(segment.spec.purpose).consent == "required"
    return {
        "candidates": number,
        "unknown": unknown,
        "suppressed_by_reason": suppressed,
        "eligible": number - sum(suppressed.values()),
        "not_in_rollout": total(place="NOT_IN_ROLLOUT"),
        "control_global": total(place="GLOBAL"),
        "holdout_local": total(place="LOCAL"),
        "contaminated": total(place="CONTAMINATED"),
        "variants": dict(sorted(variants.items())),
        "dropped_by_contact": dropped_by_contact,
        "published": published,
        "consent": {"granted" if required else "not_refused": published},
    }


def _inputs(
    desk: Desk,
    places: SegmentPlaces,
    leaves: Leaves,
    members: Mapping[str, Relation],
    list_hashes: Mapping[str, tuple[int, str]],
    hashes: dict[tuple[str, ...], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Give what the segment read of each table, as an order-free hash over all people with a tag row.

    Only the columns this segment asks for count, so that a correction elsewhere changes no run.
    """
    segment = places.segment
    inputs = []
    for table, columns in columns_read(segment, leaves.columns_of).items():
        inputs.append({"table": table, **_read_hash(desk, leaves.rows, columns, hashes)})
    for reference in sorted({leaf.reference for leaf in read_leaves(segment) if isinstance(leaf, ListLeaf)}):
        entries, sha256 = list_hashes[reference]
        inputs.append({"table": f"lists/{reference}", "rows": entries, "hash": sha256[:24]})
    for code in sorted({leaf.segment for leaf in all_leaves(segment) if isinstance(leaf, SegmentLeaf)}):
        inputs.append(_input(desk, f"segments.members/{code}", f"SELECT one_id FROM {members[code]}"))
    if places.belonging is not None:
        people = f"SELECT entity_key, one_id FROM {places.belonging}"
        inputs.append(_input(desk, f"trusted.relationships/{segment.spec.entity}", people))
    arms = f"SELECT one_id, place, variant FROM {places.candidates}"
    inputs.append(_input(desk, "segments.assignments", arms))
    return inputs


def _read_hash(
    desk: Desk, leaves: Relation, columns: tuple[str, ...], hashes: dict[tuple[str, ...], dict[str, Any]]
) -> dict[str, Any]:
    """Give people and hash of some columns of the leaf table, which has a row for each person, read once a night."""
    if columns not in hashes:
        people, content = rows_hash(desk, hashed_sql(columns, leaves))
        hashes[columns] = {"people": people, "hash": content}
    return hashes[columns]


def hashed_sql(columns: Iterable[str], leaves: Relation) -> str:
    """Give the rows whose hash says what of the leaf table was read."""
    return f"SELECT one_id, {', '.join(columns)} FROM {leaves}"


def _input(desk: Desk, table: str, sql: str) -> dict[str, Any]:
    rows, content = rows_hash(desk, sql)
    return {"table": table, "rows": rows, "hash": content}


def columns_read(segment: Segment, columns_of: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Give the columns of the leaf table that a segment reads, by the table of the lake they rest on."""
    every = _columns_used(segment)
    columns_by_table = {
        table: tuple(sorted(set(columns) & every)) for table, columns in sorted(columns_of.items())
    }
    return {table: columns for table, columns in columns_by_table.items() if columns}


def _columns_used(segment: Segment) -> set[str]:
    purpose, channels = segment.spec.purpose, segment.spec.contact.channels
    columns = {leaf.column for leaf in read_leaves(segment)} | set(COMMON_FACTS) | {opt_out_column(purpose)}
    columns |= {allowed_column(purpose, channel, segment.days_of_use) for channel in channels} | {
        usable_column(c) for c in channels
    }
    return columns | {value_column(tag) for tag in value_tags(segment)}


def _assignments(desk: Desk, code: str, candidates: Relation, parts: Iterable[ArmSql]) -> Relation:
    """Give the arms met in this run; a person who was suppressed or outside the rollout met none."""
    selects = [
        f"SELECT {literal(part.salt)} AS salt, c.one_id, cast({part.bucket} AS INTEGER) AS bucket, {part.arm} AS arm, "
        f"CASE WHEN {part.sticky}.arm IS NULL THEN 'bucket' ELSE 'inherited' END AS source\n"
        f"FROM {candidates} c\n{part.join}\n"
        f"WHERE c.place IN ('TREATED', 'GLOBAL', 'LOCAL') AND {part.in_range}"
        for part in parts
        if part.salt
    ]
    nothing = "SELECT '' AS salt, 0::BIGINT AS one_id, 0 AS bucket, '' AS arm, '' AS source WHERE false"
    return desk.keep(f"assignments_{code}", "\nUNION ALL\n".join([nothing, *selects]))


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
