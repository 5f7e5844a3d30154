"""Rollout, control groups and arms as DuckDB SQL over ``c.one_id``: by bucket, and sticky once given.

Rollout is by bucket alone, so that growing a percentage only adds people. Control groups and arms stick: an arm of
an earlier night wins over the bucket, also one that the whole was given which a person was split off. A person whose predecessors
were given different arms is torn (``arms > 1``), is not contacted and stays out of the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from lakehouse.query.desk import Desk, Relation
from lakehouse.query.words import literal
from segments.language.spec import DEFAULT_ARM, Segment, Split
from vocabulary.buckets import BUCKETS, bucket_duckdb_sql, share
from vocabulary.contact_rules import earlier_arms_sql
from vocabulary.policy import Policy

WHITELISTED = "is_whitelisted"


@dataclass(frozen=True)
class ArmSql:
    """SQL of one assignment: its arm, the join it needs, when it is torn, and whom it concerns."""

    salt: str = ""
    arm: str = "'TREATED'"
    join: str = ""
    torn: str = ""
    bucket: str = "0"
    sticky: str = ""
    """The alias under which the person's earlier arm is joined."""
    in_range: str = "true"


def rollout_salt(segment: Segment) -> str:
    """Give the salt of a segment's rollout."""
    return f"rollout:{segment.code}"


def local_salt(segment: Segment) -> str:
    """Give the salt of a segment's local hold-out."""
    return f"holdout:{segment.code}"


def experiment_salt(split: Split) -> str:
    """Give the name arms are kept under; the bucket is the layer's, so that experiments of a layer do not mix."""
    return f"{split.layer}/{split.experiment}"


def rollout_sql(segment: Segment) -> str:
    """Give the condition of being inside the rollout."""
    rollout = segment.spec.rollout
    buckets = share(rollout.percent)
    if rollout.stage == "full" or (rollout.stage is None and buckets >= BUCKETS):
        return "true"
    parts = [f"c.{WHITELISTED}"] if rollout.list_leaf is not None else []
    if rollout.stage != "whitelist":
        parts.append(f"{bucket_duckdb_sql(rollout_salt(segment), 'c.one_id')} < {buckets}")
    return f"({' OR '.join(parts)})"


def outside_share_sql(segment: Segment, one_id: str) -> str:
    """Give the condition that the share of the roll-out does not reach a person, who may be on its whitelist all the same."""
    rollout = segment.spec.rollout
    if rollout.stage == "full":
        return "false"
    buckets = 0 if rollout.stage == "whitelist" else share(rollout.percent)
    return f"{bucket_duckdb_sql(rollout_salt(segment), one_id)} >= {buckets}"


def whitelist_sql(segment: Segment) -> str:
    """Give whether a person of the leaf table is on the whitelist of the roll-out, as a column to select; nothing without one."""
    leaf = segment.spec.rollout.list_leaf
    return "" if leaf is None else f", {leaf.column} AS {WHITELISTED}"


def control_sql(group: Segment | str | None, policy: Policy, arms: Relation) -> ArmSql:
    """Give the arm (CONTROL or TREATED) of the global group named by its salt, or of a segment's local hold-out.

    ``arms`` are those of earlier nights, as ``earlier_arms`` gives them.
    """
    if group is None:
        return ArmSql()
    if isinstance(group, Segment):
        salt, buckets, alias = local_salt(group), share(group.spec.holdout.local_percent), "local_arm"
    else:
        salt, buckets, alias = group, policy.global_buckets(group), "global_arm"
    if not buckets:
        return ArmSql()
    bucket = bucket_duckdb_sql(salt, "c.one_id")
    arm = f"CASE WHEN {bucket} < {buckets} THEN 'CONTROL' ELSE 'TREATED' END"
    return _sticky(salt, arms, alias, bucket, arm, "true")


def arm_sql(segment: Segment, arms: Relation) -> ArmSql:
    """Give the arm of the segment's experiment; DEFAULT without a split and outside its range."""
    split = segment.spec.split
    if split is None:
        return ArmSql(arm=f"'{DEFAULT_ARM}'")
    bucket = bucket_duckdb_sql(split.layer, "c.one_id")
    begin, end = split.range
    in_range = f"{bucket} >= {begin} AND {bucket} < {end}"
    total, upto, cases = sum(split.arms.values()), 0, []
    for name, weight in split.arms.items():
        upto += weight
        cases.append(f"WHEN {bucket} < {begin + round((end - begin) * upto / total)} THEN '{name}'")
    arm = f"CASE WHEN NOT ({in_range}) THEN '{DEFAULT_ARM}' {' '.join(cases)} END"
    return _sticky(experiment_salt(split), arms, "experiment_arm", bucket, arm, in_range)


def earlier_arms(
    desk: Desk, assignments: Relation, redirects: Relation, inheritances: Relation, business_date: date
) -> Relation:
    """Keep what nights before the date assigned; see ``vocabulary.contact_rules.earlier_arms_sql``.

    ``assignments`` has salt, one_id, arm and assigned_on; ``redirects`` has from_one_id and to_one_id of merged people;
    ``inheritances`` is ``identity.inheritances``.
    """
    sql = earlier_arms_sql(str(assignments), str(redirects), str(inheritances), literal(business_date))
    return desk.keep("earlier_arms", sql)


def _sticky(salt: str, arms: Relation, alias: str, bucket: str, arm: str, in_range: str) -> ArmSql:
    return ArmSql(
        salt=salt,
        arm=f"coalesce({alias}.arm, {arm})",
        join=f"LEFT JOIN {arms} {alias} ON {alias}.salt = {literal(salt)} AND {alias}.one_id = c.one_id",
        torn=f"coalesce({alias}.arms > 1, false)",
        bucket=bucket,
        sticky=alias,
        in_range=in_range,
    )
