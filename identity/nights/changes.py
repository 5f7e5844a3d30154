"""What something reaches since the night before: changed records, days that come due, names, decisions, attempts.

Each function adds rows to ``Changes``; ``identity.nights.plan`` closes them to whole raw components.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from identity.nights.night import IdentityNight
from identity.reading.decisions import PairDecision
from identity.reading.facts import common_among
from identity.reading.records import COLUMNS
from identity.reading.tables import OPEN, OPEN_BEFORE, OWN_BEFORE
from identity.rules.rules import Rules
from lakehouse.query.desk import Desk, Relation


@dataclass(frozen=True)
class Changes:
    """What is reached, with a cause per row; a profile may stand in both, and several times.

    ``keys``: ``source, source_key, cause`` of records. ``ids``: ``node_id, cause`` of profiles of the dictionary.
    """

    keys: Relation
    ids: Relation


def no_changes(desk: Desk) -> Changes:
    """Give changes without rows, to be added to."""
    return Changes(
        desk.keep(
            "reached_keys",
            "SELECT ''::VARCHAR AS source, ''::VARCHAR AS source_key, ''::VARCHAR AS cause LIMIT 0",
        ),
        desk.keep("reached_ids", "SELECT 0::BIGINT AS node_id, ''::VARCHAR AS cause LIMIT 0"),
    )


def add_changed_records(desk: Desk, changes: Changes) -> None:
    """Reach profiles whose records differ from the night before, in what identity reads of them."""
    for table, names in COLUMNS.items():
        columns = ", ".join(names)
        before = desk.keep(
            "ended_rows", f"SELECT {columns} FROM {table} WHERE {OPEN_BEFORE} AND valid_to <= $day"
        )
        now = desk.keep("new_rows", f"SELECT {columns} FROM {table} WHERE {OPEN} AND valid_from > $before")
        desk.extend(
            changes.keys,
            f"""
            SELECT DISTINCT source, source_key, 'records' FROM (
              SELECT {columns} FROM (SELECT *, -1 AS rows FROM {before} UNION ALL SELECT *, 1 FROM {now})
              GROUP BY ALL HAVING sum(rows) <> 0)
            """,
        )


def add_due_links(desk: Desk, changes: Changes) -> None:
    """Reach carriers of links that time alone may change today."""
    desk.extend(
        changes.ids,
        f"""
        SELECT DISTINCT profile_id, 'time' FROM identity.links
        WHERE {OWN_BEFORE} AND due_on > $before AND due_on <= $day
        """,
    )


def add_common_names(desk: Desk, changes: Changes, rules: Rules) -> Relation:
    """Reach records with a name that has become nobody's, or somebody's again; give today's (``source, full_name``)."""

    def common(label: str, predicate: str) -> Relation:
        counts = desk.arrow(
            f"SELECT source, full_name, count(*) AS n FROM trusted.customers WHERE {predicate} GROUP BY ALL"
        )
        return desk.take(label, common_among(counts, rules))

    before, now = common("common_names_before", OPEN_BEFORE), common("common_names", OPEN)
    desk.extend(
        changes.keys,
        f"""
        SELECT DISTINCT c.source, c.source_key, 'names'
        FROM trusted.customers c JOIN (
          (SELECT * FROM {now} EXCEPT SELECT * FROM {before}) UNION ALL
          (SELECT * FROM {before} EXCEPT SELECT * FROM {now})) d USING (source, full_name)
        WHERE {OPEN}
        """,
    )
    return now


def add_changed_decisions(desk: Desk, changes: Changes, night: IdentityNight) -> None:
    """Reach both ends of new and revoked decisions, and the other end where a record of a decision changed."""
    if night.before is None:
        return
    now = {decision.decision_id for decision in night.decisions}
    earlier = night.before.decisions
    changed_decisions = [
        d for d in night.all_decisions if (d.decision_id in now) != (d.decision_id in earlier)
    ]
    ends = desk.take("changed_decisions", _ends(changed_decisions))
    desk.extend(changes.keys, f"SELECT DISTINCT source, source_key, 'decision' FROM {ends}")
    # A record that comes or goes brings the other end of its decisions along.
    partners = desk.take("partners", _partners(night.decisions))
    desk.extend(
        changes.keys,
        f"""
        SELECT DISTINCT p.source, p.source_key, 'partner' FROM {partners} p
        WHERE (p.one_source, p.one_key) IN (SELECT source, source_key FROM {changes.keys} WHERE cause = 'records')
        """,
    )


def _ends(decisions: list[PairDecision]) -> pa.Table:
    schema = pa.schema([("source", pa.string()), ("source_key", pa.string())])
    rows = [{"source": source, "source_key": key} for d in decisions for source, key in (d.a, d.b)]
    return pa.Table.from_pylist(rows, schema=schema)


def _partners(decisions: list[PairDecision]) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in ("one_source", "one_key", "source", "source_key")])
    rows = [
        {"one_source": one[0], "one_key": one[1], "source": other[0], "source_key": other[1]}
        for d in decisions
        for one, other in ((d.a, d.b), (d.b, d.a))
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def add_earlier_attempt(desk: Desk, changes: Changes) -> None:
    """Reach what an earlier, whole attempt of this night decided."""
    desk.extend(
        changes.ids,
        """
        SELECT DISTINCT node_id, 'attempt' FROM (
          SELECT node_id FROM identity.components WHERE is_profile AND computed_on = $day UNION ALL
          SELECT profile_id FROM identity.memberships WHERE valid_from = $day OR valid_to = $day)
        """,
    )
