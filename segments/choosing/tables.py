"""The rows of ``segments.*`` that a night writes: one write a table for all segments, without a JVM."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.reading import contract
from lakehouse.query.words import literal, literals
from segments.choosing.decide import MEMBERS, SegmentDecision

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.tables.lake import Lake
    from segments.choosing.earlier import EarlierNights
    from vocabulary.audience import Audience

_CONSENT_REASONS = ("OPT_OUT", "NO_CONSENT", "COMPLAINT")


def member_rows(
    desk: Desk, decisions: Iterable[SegmentDecision], earlier: EarlierNights, business_date: date
) -> tuple[pa.Table, pa.Table]:
    """Give the rows of ``segments.members`` and of ``segments.changes``."""
    members, changes = [], []
    today = literal(business_date)
    for decision in decisions:
        code = literal(decision.segment.code)
        keys = f"{code} AS code, {today} AS as_of, {literal(decision.run_id)} AS run_id"
        current = desk.keep(
            "current_members",
            f"SELECT {keys}, p.one_id, p.variant,\n"
            "  CASE WHEN p.place IN ('GLOBAL', 'LOCAL') THEN p.place ELSE 'NONE' END AS holdout, p.channel,\n"
            f"  coalesce(e.entered_on, {today}) AS entered_on, p.place = 'DROPPED' AS is_dropped\n"
            f"FROM {decision.candidates} p LEFT JOIN {earlier.members} e ON e.code = {code} AND e.one_id = p.one_id\n"
            f"WHERE p.place IN {MEMBERS}",
        )
        members.append(desk.arrow(f"SELECT * FROM {current} ORDER BY one_id"))
        changes.append(desk.arrow(_changes_sql(code, keys, current, decision.candidates, earlier)))
        desk.drop(current)
    return _together("segments.members", members), _together("segments.changes", changes)


def _changes_sql(
    code: str, keys: str, current: Relation, candidates: Relation, earlier: EarlierNights
) -> str:
    is_sent = "holdout = 'NONE' AND coalesce(variant, '') <> 'CONTAMINATED' AND NOT is_dropped"
    return (
        f"WITH now AS (SELECT * FROM {current} WHERE {is_sent}),\n"
        f"before AS (SELECT * FROM {earlier.members} WHERE code = {code} AND {is_sent})\n"
        f"SELECT {keys}, coalesce(n.one_id, b.one_id) AS one_id,\n"
        "  CASE WHEN b.one_id IS NULL THEN 'ENTER' WHEN n.one_id IS NULL THEN 'EXIT' ELSE 'UPDATE' END AS op,\n"
        "  CASE WHEN b.one_id IS NULL THEN\n"
        f"      CASE WHEN n.one_id IN (SELECT to_one_id FROM {earlier.redirects} JOIN before x ON x.one_id = from_one_id)\n"
        "        THEN 'merge'\n"
        f"        WHEN n.one_id IN (SELECT one_id FROM {earlier.members} WHERE code = {code} AND is_dropped) THEN 'contact'\n"
        "        ELSE 'rule' END\n"
        "    WHEN n.one_id IS NOT NULL THEN CASE WHEN n.variant IS DISTINCT FROM b.variant THEN 'variant' ELSE 'channel' END\n"
        f"    WHEN b.one_id IN (SELECT from_one_id FROM {earlier.redirects}) THEN 'merge'\n"
        f"    WHEN p.reason IN ({literals(_CONSENT_REASONS)}) THEN 'consent'\n"
        "    WHEN p.reason IS NOT NULL THEN 'suppression'\n"
        "    WHEN p.place = 'DROPPED' THEN 'contact'\n"
        "    WHEN p.place = 'NOT_IN_ROLLOUT' THEN 'rollout'\n"
        "    WHEN p.place IN ('GLOBAL', 'LOCAL') THEN 'holdout'\n"
        "    WHEN p.place = 'CONTAMINATED' THEN 'merge' ELSE 'rule' END AS cause\n"
        "FROM now n FULL JOIN before b ON b.one_id = n.one_id\n"
        f"LEFT JOIN {candidates} p ON p.one_id = b.one_id\n"
        "WHERE n.one_id IS NULL OR b.one_id IS NULL OR n.variant IS DISTINCT FROM b.variant\n"
        "  OR n.channel IS DISTINCT FROM b.channel\nORDER BY one_id"
    )


def suppression_rows(desk: Desk, decisions: Iterable[SegmentDecision], business_date: date) -> pa.Table:
    """Give the rows of ``segments.suppressions``."""
    parts = []
    for decision in decisions:
        channels = literal(",".join(decision.segment.spec.contact.channels))
        parts.append(
            desk.arrow(
                f"SELECT {literal(decision.segment.code)} AS code, {literal(business_date)} AS as_of, "
                f"{literal(decision.run_id)} AS run_id, one_id, reason,\n"
                f"  CASE WHEN reason IN ('NO_CONSENT', 'UNREACHABLE') THEN {channels} END AS detail\n"
                f"FROM {decision.candidates} WHERE place = 'SUPPRESSED' ORDER BY one_id"
            )
        )
    return _together("segments.suppressions", parts)


def contact_rows(desk: Desk, decisions: Iterable[SegmentDecision], business_date: date) -> pa.Table:
    """Give the rows of ``segments.contacts``."""
    parts = [
        desk.arrow(
            f"SELECT {literal(decision.segment.code)} AS code, {literal(business_date)} AS as_of, "
            f"{literal(decision.run_id)} AS run_id, * FROM {decision.contacts.contacts} ORDER BY one_id"
        )
        for decision in decisions
        if decision.contacts is not None
    ]
    return _together("segments.contacts", parts)


def loss_rows(desk: Desk, decisions: Iterable[SegmentDecision], business_date: date) -> pa.Table:
    """Give the rows of ``segments.contact_losses``; a winner of the night is told with its run."""
    every = [decision for decision in decisions if decision.contacts is not None]
    runs = " ".join(f"WHEN {literal(d.segment.code)} THEN {literal(d.run_id)}" for d in every)
    parts = [
        desk.arrow(
            f"SELECT {literal(decision.segment.code)} AS code, {literal(business_date)} AS as_of, "
            f"{literal(decision.run_id)} AS run_id, one_id, reason, rule, winner,\n"
            f"  coalesce(winner_run_id, CASE winner {runs} END) AS winner_run_id, winner_contact_on, advantage, margin\n"
            f"FROM {decision.contacts.losses} ORDER BY one_id"
        )
        for decision in every
        if decision.contacts is not None
    ]
    return _together("segments.contact_losses", parts)


def assignment_rows(desk: Desk, decisions: Sequence[SegmentDecision], business_date: date) -> pa.Table:
    """Give the arms met this night; two segments that share a salt met the same arm, which is given once."""
    if not decisions:
        return _rows("segments.assignments", [])
    every = " UNION ALL ".join(f"SELECT * FROM {decision.assignments}" for decision in decisions)
    return desk.arrow(
        f"SELECT salt, one_id, min(bucket) AS bucket, min(arm) AS arm, {literal(business_date)} AS assigned_on, "
        f"min(source) AS source FROM ({every}) GROUP BY salt, one_id ORDER BY salt, one_id"
    )


def definition_rows(decisions: Iterable[SegmentDecision]) -> pa.Table:
    """Give the rows of ``segments.definitions``."""
    return _rows(
        "segments.definitions",
        [
            {
                "code": decision.segment.code,
                "version": decision.segment.version,
                "definition_hash": decision.segment.definition_hash,
                "yaml": decision.segment.text,
                "status": "active",
                "approved_by": ", ".join(one["by"] for one in decision.audience.approvals) or None,
                "approved_at": max(
                    (datetime.fromisoformat(one["approved_at"]) for one in decision.audience.approvals),
                    default=None,
                ),
            }
            for decision in decisions
        ],
    )


def run_rows(lake: Lake, decisions: Iterable[SegmentDecision], business_date: date) -> pa.Table:
    """Give the rows of ``segments.runs``; ``seq`` goes on from the business dates before."""
    runs = lake.read_arrow("segments.runs", columns=["code", "seq", "as_of"]).to_pylist()
    newest: dict[str, int] = {}
    for run in runs:
        if run["as_of"] < business_date:
            newest[run["code"]] = max(run["seq"], newest.get(run["code"], 0))
    return _rows(
        "segments.runs",
        [
            {
                "run_id": audience.run_id,
                "code": audience.code,
                "version": audience.version,
                "definition_hash": audience.definition_hash,
                "as_of": business_date,
                "seq": 1 + newest.get(audience.code, 0),
                "inputs": audience.inputs,
                "tag_versions": [{"tag": t, "version": v} for t, v in sorted(audience.tag_versions.items())],
                "params": _params(audience, cuts),
                "counts": json.dumps(audience.counts, sort_keys=True),
                "status": "evaluated",
            }
            for audience, cuts in ((decision.audience, decision.cuts) for decision in decisions)
        ],
    )


def _params(audience: Audience, cuts: dict[str, dict[str, Any]]) -> str:
    parts: dict[str, Any] = {"parameters": dict(audience.parameters), "cuts": cuts, "stage": audience.stage}
    parts["approvals"] = [one["approval_id"] for one in audience.approvals]
    return json.dumps({name: part for name, part in parts.items() if part}, sort_keys=True)


def _rows(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=contract(table).arrow_schema())


def _together(table: str, parts: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    schema = contract(table).arrow_schema()
    return (
        pa.concat_tables([part.select(schema.names).cast(schema) for part in parts])
        if parts
        else schema.empty_table()
    )
