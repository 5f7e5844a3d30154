"""From the leaf table to decisions: who is chosen, why not, in which control group or arm.

Runs in DuckDB on the leaf table's Parquet, by dependency level; one pass per segment over narrow columns.
The order is fixed: rule → suppression → rollout → global control → local hold-out → arm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse.errors import GateStopped
from lakehouse.query.hashing import frame_hash, text_hash
from segments.choosing.assignment import arm_sql, control_sql, rollout_sql
from segments.choosing.compile import LeafTable, published_tags, value_column
from segments.choosing.suppression import (
    REASONS,
    allowed_column,
    channel_sql,
    opt_out_column,
    reason_sql,
    usable_column,
)
from segments.language.checks import GIVEN_COLUMNS, all_leaves
from segments.language.conditions import Leaf, ListLeaf, SegmentLeaf, TagLeaf, logic_sql
from segments.language.policy import Policy
from segments.language.spec import Segment
from segments.language.tag_facts import TagFacts

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

COMMON_FACTS = ("kind", "is_deceased", "is_minor", "is_restricted", "is_staff", "has_complained")


@dataclass(frozen=True)
class Decision:
    """What was decided for one segment on one business date. Frames are sorted by ``one_id``."""

    segment: Segment
    run_id: str
    inputs: list[dict[str, Any]]
    tag_versions: dict[str, str]
    counts: dict[str, Any]
    placed: pa.Table
    """one_id, reason, place, variant, channel of every candidate."""
    audience: pa.Table
    """one_id and the published columns, in the specification's order, of everybody to be published."""
    assignments: pa.Table
    """salt, one_id, bucket, arm, source of everybody who met a control group or experiment."""


def decide_segment(
    connection: duckdb.DuckDBPyConnection,
    segment: Segment,
    *,
    business_date: date,
    policy: Policy,
    leaf_table: LeafTable,
    tags: Mapping[str, TagFacts],
    list_hashes: Mapping[str, tuple[int, str]],
    offer_risk: str | None,
    hashes: dict[tuple[str, ...], dict[str, Any]] | None = None,
) -> Decision:
    """Decide one segment; the segments it names must have been decided on the same connection before.

    ``hashes`` keeps what was hashed of the leaf table from one segment of a night to the next.

    The connection holds ``leaf_table`` and ``held_arms`` (salt, one_id, arm, arms). An unknown answer under
    ``unknown: error`` and a size outside ``guards.size`` raise ``GateStopped``.
    """
    code = segment.code
    unknown = _choose(connection, segment, offer_risk)
    if unknown and segment.unknown == "error":
        raise GateStopped(
            f"segment {code}: {unknown} people have an unknown answer and the bound is 0 (unknown: error); "
            "nothing was published",
            file=segment.file,
            line=segment.line("unknown"),
        )
    _place(connection, segment, policy)
    placed = connection.sql(
        f"SELECT one_id, reason, place, variant, channel FROM placed_{code} ORDER BY one_id"
    ).to_arrow_table()
    counts = _counts(connection, segment, policy, unknown)
    _guard(segment, counts["published"])
    columns = ["one_id", *(_shown(column) for column in segment.spec.publish.columns)]
    audience = connection.sql(
        f"SELECT {', '.join(columns)} FROM placed_{code} WHERE place = 'TREATED' ORDER BY one_id"
    ).to_arrow_table()
    inputs = _inputs(connection, segment, leaf_table, list_hashes, hashes if hashes is not None else {})
    versions = {tag: tags[tag].version for tag in _tags_of(segment) if tag in tags}
    run_id = text_hash(
        "segment_run",
        code,
        segment.version,
        business_date,
        segment.definition_hash,
        _as_json({}),
        _as_json(inputs),
    )[:24]
    return Decision(
        segment, run_id, inputs, versions, counts, placed, audience, _assignments(connection, segment, policy)
    )


def _choose(connection: duckdb.DuckDBPyConnection, segment: Segment, offer_risk: str | None) -> int:
    """Make ``chosen_<code>``, the candidates; give how many answers were unknown."""
    answer = logic_sql(segment.rule, _column_of)
    candidate = "coalesce(answer, true)" if segment.unknown == "include" else "answer"
    values = "".join(f", {value_column(tag)}" for tag in published_tags(segment))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE chosen_{segment.code} AS\n"
        f"SELECT one_id, {reason_sql(segment, offer_risk=offer_risk)} AS reason,\n"
        f"  {channel_sql(segment)} AS channel{values}\n"
        f"FROM (SELECT *, {answer} AS answer FROM leaf_table) WHERE {candidate}"
    )
    row = connection.execute(f"SELECT count(*) FROM leaf_table WHERE ({answer}) IS NULL").fetchone()
    return int(row[0]) if row else 0


def _shown(column: str) -> str:
    return column if column in GIVEN_COLUMNS else f'{value_column(column)} AS "{column}"'


def _column_of(leaf: Leaf) -> str:
    if isinstance(leaf, SegmentLeaf):
        return f"(one_id IN (SELECT one_id FROM members_{leaf.segment}))"
    return leaf.column


def _place(connection: duckdb.DuckDBPyConnection, segment: Segment, policy: Policy) -> None:
    """Make ``placed_<code>`` (every candidate with place and arm) and ``members_<code>`` (for nesting)."""
    code = segment.code
    global_control = control_sql(segment.spec.holdout.global_group, policy)
    local_control = control_sql(segment, policy)
    arms = arm_sql(segment)
    joins = "\n".join(dict.fromkeys(part.join for part in (global_control, local_control, arms) if part.join))
    torn = " OR ".join(part.torn for part in (global_control, local_control, arms) if part.torn) or "false"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE placed_{code} AS\n"
        "SELECT *, CASE WHEN place = 'TREATED' THEN given_arm WHEN place = 'CONTAMINATED' THEN 'CONTAMINATED' END AS variant\n"
        "FROM (SELECT c.*, CASE\n    WHEN c.reason IS NOT NULL THEN 'SUPPRESSED'\n"
        f"    WHEN NOT ({rollout_sql(segment)}) THEN 'NOT_IN_ROLLOUT'\n"
        f"    WHEN {torn} THEN 'CONTAMINATED'\n"
        f"    WHEN {global_control.arm} = 'CONTROL' THEN 'GLOBAL'\n"
        f"    WHEN {local_control.arm} = 'CONTROL' THEN 'LOCAL'\n"
        f"    ELSE 'TREATED' END AS place,\n  {arms.arm} AS given_arm\n"
        f"FROM chosen_{code} c\n{joins})"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE members_{code} AS SELECT one_id FROM placed_{code} "
        "WHERE place IN ('TREATED', 'GLOBAL', 'LOCAL', 'CONTAMINATED')"
    )


def _counts(
    connection: duckdb.DuckDBPyConnection, segment: Segment, policy: Policy, unknown: int
) -> dict[str, Any]:
    """Give the numbers the manifest's equations are about."""
    rows = connection.execute(
        f"SELECT place, reason, variant, count(*) FROM placed_{segment.code} GROUP BY ALL"
    ).fetchall()

    def total(**wanted: str) -> int:
        names = ("place", "reason", "variant")
        return sum(r[3] for r in rows if all(r[names.index(k)] == v for k, v in wanted.items()))

    candidates = sum(row[3] for row in rows)
    suppressed = {reason: total(reason=reason) for reason in REASONS if total(reason=reason)}
    variants = {
        v: total(place="TREATED", variant=v) for v in sorted({r[2] for r in rows if r[0] == "TREATED"})
    }
    for arm in segment.spec.split.arms if segment.spec.split else ():
        variants.setdefault(arm, 0)
    published = sum(variants.values())
    required = policy.purpose(segment.spec.purpose).consent == "required"
    return {
        "candidates": candidates,
        "unknown": unknown,
        "suppressed_by_reason": suppressed,
        "eligible": candidates - sum(suppressed.values()),
        "not_in_rollout": total(place="NOT_IN_ROLLOUT"),
        "control_global": total(place="GLOBAL"),
        "holdout_local": total(place="LOCAL"),
        "contaminated": total(place="CONTAMINATED"),
        "variants": dict(sorted(variants.items())),
        "dropped_by_contact": {},
        "published": published,
        "consent": {"granted" if required else "not_refused": published},
    }


def _guard(segment: Segment, published: int) -> None:
    size = segment.spec.guards.size
    for bound, limit, broken in (
        ("min", size.min, published < size.min),
        ("max", size.max, size.max is not None and published > size.max),
    ):
        if broken:
            raise GateStopped(
                f"segment {segment.code}: the audience has {published} people and guards.size.{bound} is {limit}; "
                "nothing was published",
                file=segment.file,
                line=segment.line("guards", "size", bound),
            )


def _inputs(
    connection: duckdb.DuckDBPyConnection,
    segment: Segment,
    leaf_table: LeafTable,
    list_hashes: Mapping[str, tuple[int, str]],
    hashes: dict[tuple[str, ...], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Give what the segment read of each table, as an order-free hash over all people with a tag row.

    Only the columns this segment asks for count, so that a correction elsewhere changes no run.
    """
    used = _columns_used(segment)
    found = []
    for table, columns in sorted(leaf_table.columns_of.items()):
        wanted = sorted(set(columns) & used)
        if wanted:
            found.append({"table": table, **_read_hash(connection, tuple(wanted), hashes)})
    for reference in sorted({leaf.reference for leaf in all_leaves(segment) if isinstance(leaf, ListLeaf)}):
        entries, sha256 = list_hashes[reference]
        found.append({"table": f"lists/{reference}", "rows": entries, "hash": sha256[:24]})
    for code in sorted({leaf.segment for leaf in all_leaves(segment) if isinstance(leaf, SegmentLeaf)}):
        found.append(
            _input(f"segments.members/{code}", connection.sql(f"FROM members_{code}").to_arrow_table())
        )
    placed = connection.sql(f"SELECT one_id, place, variant FROM placed_{segment.code}").to_arrow_table()
    found.append(_input("segments.assignments", placed))
    return found


def _read_hash(
    connection: duckdb.DuckDBPyConnection,
    columns: tuple[str, ...],
    hashes: dict[tuple[str, ...], dict[str, Any]],
) -> dict[str, Any]:
    """Give rows and hash of some columns of the leaf table, each set of columns read once a night."""
    if columns not in hashes:
        rows = connection.sql(f"SELECT one_id, {', '.join(columns)} FROM leaf_table").to_arrow_table()
        hashes[columns] = {"rows": rows.num_rows, "hash": frame_hash(rows).split(":")[1]}
    return hashes[columns]


def _input(table: str, rows: pa.Table) -> dict[str, Any]:
    return {"table": table, "rows": rows.num_rows, "hash": frame_hash(rows).split(":")[1]}


def _columns_used(segment: Segment) -> set[str]:
    purpose, channels = segment.spec.purpose, segment.spec.contact.channels
    used = {leaf.column for leaf in all_leaves(segment)} | set(COMMON_FACTS) | {opt_out_column(purpose)}
    used |= {allowed_column(purpose, channel) for channel in channels} | {usable_column(c) for c in channels}
    return used | {value_column(tag) for tag in published_tags(segment)}


def _tags_of(segment: Segment) -> list[str]:
    asked = {leaf.tag for leaf in all_leaves(segment) if isinstance(leaf, TagLeaf)}
    return sorted(asked | set(published_tags(segment)))


def _assignments(connection: duckdb.DuckDBPyConnection, segment: Segment, policy: Policy) -> pa.Table:
    """Give the arms met in this run; a person who was suppressed or outside the rollout met none."""
    parts = [
        control_sql(segment.spec.holdout.global_group, policy),
        control_sql(segment, policy),
        arm_sql(segment),
    ]
    selects = [
        f"SELECT '{part.salt}' AS salt, c.one_id, cast({part.bucket} AS INTEGER) AS bucket, {part.arm} AS arm, "
        f"CASE WHEN {part.held}.arm IS NULL THEN 'bucket' ELSE 'inherited' END AS source\n"
        f"FROM placed_{segment.code} c\n{part.join}\n"
        f"WHERE c.place IN ('TREATED', 'GLOBAL', 'LOCAL') AND {part.in_range}"
        for part in parts
        if part.salt
    ]
    nothing = "SELECT '' AS salt, 0::BIGINT AS one_id, 0 AS bucket, '' AS arm, '' AS source WHERE false"
    return connection.sql(
        "\nUNION ALL\n".join([nothing, *selects]) + "\nORDER BY salt, one_id"
    ).to_arrow_table()


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
