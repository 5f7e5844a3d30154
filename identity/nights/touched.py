"""What a night has to decide anew: the raw components that something reaches, whole; everything else stays as it is.

A raw component (what unblocked links and must-links connect, before any refusal) is the unit of locality: no guard
looks beyond it, but for two things that are made explicit: names that are nobody's, a statistic over all records that
every night computes in full, and values on so many records that they connect nothing, whose carriers are counted in the
links of the night before. So the night before, plus the components that a change reaches decided from their records,
is what a full rebuild gives (docs/adr, tests/identity/test_night_by_night.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from identity.nights.log import LastNight
from identity.nights.rule_changes import reach_of_rules, why_all
from identity.reading.decisions import Decision
from identity.reading.facts import common_among
from identity.reading.observe import NODE_SCHEMA
from identity.reading.tables import KINDS, KINDS_LEFT, KNOWN, LEFT, WAS_KNOWN, Tables
from identity.reading.values import Hashes, carried_values
from identity.rules.rules import Rules

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

CUSTOMERS = ("source", "source_key", "kind", "full_name", "gender", "birth_date")
OBSERVATIONS = (
    "source",
    "source_key",
    "namespace",
    "value",
    "role",
    "verified",
    "observed_on",
    "hash_method",
)
_READ = (("trusted.customers", CUSTOMERS), ("trusted.identifier_observations", OBSERVATIONS))


@dataclass(frozen=True)
class Plan:
    """What a night decides: everything (``why_full`` says why), or the profiles kept in ``touched``.

    ``reached`` counts the profiles something reached, by cause, ``causes`` names them; ``touched_ids`` are node ids of
    profiles. All three are known also for full nights where there was a night before.
    ``are_kinds_left`` tells whether the dictionary has the kinds of everybody else as the night before left them, ``hashes``
    what was hashed of changed records.
    """

    why_full: str
    reached: dict[str, int] = field(default_factory=dict)
    causes: pa.Table | None = None
    touched_ids: np.ndarray | None = None
    are_kinds_left: bool = True
    hashes: dict[str, Hashes] = field(default_factory=dict, repr=False)

    @property
    def is_full(self) -> bool:
        """Tell whether all records are decided."""
        return bool(self.why_full)


def plan_night(
    lake: Lake,
    tables: Tables,
    rules: Rules,
    key: bytes,
    *,
    business_date: date,
    before: LastNight | None,
    decisions: list[Decision],
    all_decisions: list[Decision],
    full: bool,
) -> Plan:
    """Find what the night has to decide anew; nothing is written.

    Leaves behind in ``tables``: ``reached`` (node_id, source, source_key, cause) and ``touched`` (node_id, source,
    source_key), unless there is no night before to begin from.
    """
    if before is None:
        return Plan("the first night")
    tables.since(before.business_date)
    broken = _cut_off(tables, before)
    if broken:
        return Plan(broken)
    why = "asked for" if full else why_all(before, rules)
    _changed_records(tables)
    _come_due(tables)
    _common_names_changed(tables, rules)
    _decisions_changed(tables, before, decisions, all_decisions)
    _earlier_attempt(tables)
    if not why:
        reach_of_rules(tables, before, rules, key)
    hashes = _crowds_dissolved(tables, rules, key)
    _whole_components(tables)
    rows = tables.sql("SELECT node_id, cause FROM reached WHERE node_id IS NOT NULL")
    counts = tables.sql(
        "SELECT cause, count(DISTINCT (source, source_key)) AS n FROM reached GROUP BY cause ORDER BY cause"
    )
    reached = dict(zip(counts["cause"].to_pylist(), counts["n"].to_pylist(), strict=True))
    touched = tables.sql("SELECT node_id FROM touched WHERE node_id IS NOT NULL")["node_id"].to_numpy()
    return Plan(why, reached, rows, touched, _are_kinds_left(tables), hashes)


def _cut_off(tables: Tables, before: LastNight) -> str:
    """Say why the tables cannot be begun from; empty where they can.

    Components hold no history: an attempt that was cut off has left younger ones, or fewer where it only took away.
    """
    present = tables.one("SELECT count(*) FROM identity.nights WHERE _arrived_on = $day")
    later = tables.one("SELECT count(*) FROM identity.nights WHERE _arrived_on > $day")
    newest = tables.one("SELECT max(computed_on) FROM identity.components")
    profiles = tables.one("SELECT count(*) FROM identity.components WHERE is_profile")
    between = tables.one(
        """
        SELECT count(*) FROM (
          SELECT valid_from, valid_to FROM identity.links UNION ALL
          SELECT valid_from, valid_to FROM identity.memberships UNION ALL
          SELECT valid_from, valid_to FROM identity.node_states)
        WHERE (valid_from > $before AND valid_from <> $day) OR (valid_to > $before AND valid_to <> $day)
        """
    )
    if later or between:
        return "rows of another night were left behind"
    is_younger = newest is not None and newest > before.business_date
    if not present and (is_younger or profiles != before.profiles):
        return "an earlier attempt was cut off"
    return ""


def _are_kinds_left(tables: Tables) -> bool:
    """Tell whether the dictionary knows the kinds of people as the night before, or a whole attempt of this one, left them.

    It is never rewound: a refused night and, in a replay, a later one leave theirs.
    """
    present = tables.one("SELECT count(*) FROM identity.nights WHERE _arrived_on = $day")
    begun = "$day" if present else "$before"
    told = tables.one(f"SELECT max(kinds) FROM identity.nights WHERE _arrived_on = {begun}")
    return bool(tables.one(KINDS) == told or (not present and tables.one(KINDS_LEFT) == told))


def _changed_records(tables: Tables) -> None:
    """Reach profiles whose records differ from the night before, in what identity reads of them."""
    tables.run(
        "CREATE OR REPLACE TEMP TABLE reached_keys (source VARCHAR, source_key VARCHAR, cause VARCHAR)"
    )
    for table, columns in _READ:
        listed = ", ".join(columns)
        was = f"SELECT {listed} FROM {table} WHERE {WAS_KNOWN} AND valid_to <= $day"
        now = f"SELECT {listed} FROM {table} WHERE {KNOWN} AND valid_from > $before"
        tables.keep("ended", was)
        tables.keep("begun", now)
        tables.run(
            f"""
            INSERT INTO reached_keys SELECT DISTINCT source, source_key, 'records' FROM (
              SELECT {listed} FROM (SELECT *, -1 AS rows FROM ended UNION ALL SELECT *, 1 FROM begun)
              GROUP BY ALL HAVING sum(rows) <> 0)
            """
        )
    tables.run("CREATE OR REPLACE TEMP TABLE reached_ids (node_id BIGINT, cause VARCHAR)")


def _come_due(tables: Tables) -> None:
    tables.run(
        f"""
        INSERT INTO reached_ids SELECT DISTINCT profile_id, 'time' FROM identity.links
        WHERE {LEFT} AND due_on > $before AND due_on <= $day
        """
    )


def _common_names_changed(tables: Tables, rules: Rules) -> None:
    """Reach records with a name that has become nobody's, or somebody's again."""
    for name, known in (("were_common", WAS_KNOWN), ("common", KNOWN)):
        counted = tables.sql(
            f"SELECT source, full_name, count(*) AS n FROM trusted.customers WHERE {known} GROUP BY ALL"
        )
        tables.take(name, common_among(counted, rules))
    tables.run(
        f"""
        INSERT INTO reached_keys SELECT DISTINCT c.source, c.source_key, 'names'
        FROM trusted.customers c JOIN (
          (SELECT * FROM common EXCEPT SELECT * FROM were_common) UNION ALL
          (SELECT * FROM were_common EXCEPT SELECT * FROM common)) d USING (source, full_name)
        WHERE {KNOWN}
        """
    )


def _decisions_changed(
    tables: Tables, before: LastNight, decisions: list[Decision], all_decisions: list[Decision]
) -> None:
    now = {decision.decision_id for decision in decisions}
    changed = [d for d in all_decisions if (d.decision_id in now) != (d.decision_id in before.decisions)]
    schema = pa.schema([("source", pa.string()), ("source_key", pa.string())])

    def profiles(of: list[Decision]) -> list[dict[str, str]]:
        return [{"source": s, "source_key": k} for d in of for s, k in (d.a, d.b)]

    tables.take("decided", pa.Table.from_pylist(profiles(changed), schema=schema))
    tables.run("INSERT INTO reached_keys SELECT DISTINCT source, source_key, 'decision' FROM decided")
    # A record that comes or goes brings the other end of its decisions along.
    partners = pa.schema([(n, pa.string()) for n in ("one_source", "one_key", "source", "source_key")])
    pairs = [
        {"one_source": one[0], "one_key": one[1], "source": other[0], "source_key": other[1]}
        for d in decisions
        for one, other in ((d.a, d.b), (d.b, d.a))
    ]
    tables.take("partners", pa.Table.from_pylist(pairs, schema=partners))
    tables.run(
        """
        INSERT INTO reached_keys SELECT DISTINCT p.source, p.source_key, 'partner' FROM partners p
        WHERE (p.one_source, p.one_key) IN (SELECT source, source_key FROM reached_keys WHERE cause = 'records')
        """
    )


def _earlier_attempt(tables: Tables) -> None:
    """Reach what an earlier, whole attempt of this night decided."""
    tables.run(
        """
        INSERT INTO reached_ids SELECT DISTINCT node_id, 'attempt' FROM (
          SELECT node_id FROM identity.components WHERE is_profile AND computed_on = $day UNION ALL
          SELECT profile_id FROM identity.memberships WHERE valid_from = $day OR valid_to = $day)
        """
    )


def _crowds_dissolved(tables: Tables, rules: Rules, key: bytes) -> dict[str, Hashes]:
    """Find identifiers of changed records; values that too many carried, and no longer do, reach all their carriers.

    Gives what was hashed for it.
    """
    tables.keep(
        "reached",
        """
        SELECT n.node_id, k.source, k.source_key, k.cause FROM reached_keys k
        LEFT JOIN (SELECT node_id, source, source_key FROM identity.nodes WHERE kind = 'profile') n
          USING (source, source_key)
        UNION ALL
        SELECT i.node_id, n.source, n.source_key, i.cause FROM reached_ids i JOIN identity.nodes n USING (node_id)
        """,
    )
    # Keys that rules reach are records of a namespace that is read anew: they carry other identifiers than before.
    tables.keep("changed_keys", "SELECT DISTINCT source, source_key FROM reached_keys")
    _, observations = rows_of(tables, "changed_keys")
    carried, hashes = carried_values(observations, rules, key)
    tables.take("carried", carried)  # namespace, value, carriers among the changed records
    tables.keep(
        "carried_nodes",
        """
        SELECT n.node_id, c.namespace, c.carriers FROM carried c
        JOIN identity.nodes n ON n.kind = 'identifier' AND n.namespace = c.namespace AND n.value = c.value
        """,
    )
    capped = {
        name: limit
        for name in set(carried["namespace"].to_pylist()) | _namespaces_left(tables)
        if (limit := getattr(rules.rule(name), "carriers", None)) is not None
    }
    tables.take(
        "caps",
        pa.table(
            {"namespace": pa.array(list(capped), pa.string()), "most": pa.array(capped.values(), pa.int64())}
        ),
    )
    if not capped:
        return hashes
    # Not materialized: every use reads few of the links, and keeping them all took longer than the rest.
    tables.run(
        f"""
        INSERT INTO reached
        WITH left_links AS NOT MATERIALIZED (
          SELECT profile_id, identifier_id, namespace FROM identity.links
          WHERE {LEFT} AND namespace IN (SELECT namespace FROM caps)
        ),
        let_go AS (
          SELECT identifier_id, count(*) AS n FROM left_links
          WHERE profile_id IN (SELECT node_id FROM reached JOIN changed_keys USING (source, source_key)) GROUP BY ALL
        ), met AS (
          SELECT identifier_id FROM let_go UNION SELECT node_id FROM carried_nodes
        ), counted AS (
          SELECT l.identifier_id, any_value(l.namespace) AS namespace, count(*) AS n FROM left_links l
          WHERE l.identifier_id IN (SELECT identifier_id FROM met) GROUP BY l.identifier_id
        ), dissolved AS (
          SELECT c.identifier_id FROM counted c JOIN caps USING (namespace)
          LEFT JOIN let_go g USING (identifier_id) LEFT JOIN carried_nodes t ON t.node_id = c.identifier_id
          WHERE c.n > caps.most AND c.n - coalesce(g.n, 0) + coalesce(t.carriers, 0) <= caps.most
        )
        SELECT DISTINCT n.node_id, n.source, n.source_key, 'crowd' FROM left_links l
        JOIN dissolved USING (identifier_id) JOIN identity.nodes n ON n.node_id = l.profile_id
        """
    )
    return hashes


def _namespaces_left(tables: Tables) -> set[str]:
    rows = tables.sql(f"SELECT DISTINCT namespace FROM identity.links WHERE {LEFT}")
    return set(rows["namespace"].to_pylist())


def _whole_components(tables: Tables) -> None:
    """Close what is reached to whole raw components of the night before."""
    tables.keep(
        "touched_raw",
        """
        SELECT DISTINCT raw_component_id FROM identity.components WHERE node_id IN (
          SELECT node_id FROM reached WHERE node_id IS NOT NULL UNION SELECT node_id FROM carried_nodes)
        """,
    )
    tables.run(
        """
        CREATE OR REPLACE TEMP TABLE touched AS
        WITH ids AS (
          SELECT node_id FROM identity.components
          WHERE is_profile AND raw_component_id IN (SELECT raw_component_id FROM touched_raw)
          UNION SELECT node_id FROM reached WHERE node_id IS NOT NULL
        )
        SELECT n.node_id, n.source, n.source_key FROM identity.nodes n WHERE n.node_id IN (SELECT node_id FROM ids)
        UNION
        SELECT DISTINCT node_id, source, source_key FROM reached WHERE node_id IS NULL
        """
    )


def rows_of(tables: Tables, keys: str | None) -> tuple[pa.Table, pa.Table]:
    """Give customers and observations as known on the day, of all profiles or of those kept under a name."""
    found = []
    for table, columns in _READ:
        kept = f"AND (source, source_key) IN (SELECT source, source_key FROM {keys})" if keys else ""
        found.append(tables.sql(f"SELECT {', '.join(columns)} FROM {table} WHERE {KNOWN} {kept}"))
    return found[0], found[1]


def known_nodes(tables: Tables) -> pa.Table:
    """Give the part of the dictionary that records of touched profiles may name."""
    return tables.sql(
        f"""
        SELECT node_id, kind, source, source_key, namespace, value, masked, first_known_on FROM identity.nodes
        WHERE node_id IN (
          SELECT node_id FROM touched UNION SELECT node_id FROM carried_nodes UNION
          SELECT identifier_id FROM identity.links WHERE {LEFT} AND profile_id IN (SELECT node_id FROM touched))
        """
    ).cast(NODE_SCHEMA)


def carriers_outside(tables: Tables, identifiers: np.ndarray) -> np.ndarray:
    """Count per identifier (ascending node ids) the links of profiles that are not touched."""
    tables.take("decided_nodes", pa.table({"node_id": identifiers}))
    tables.keep(
        "outside",
        f"""
        SELECT identifier_id, count(*) AS n FROM identity.links WHERE {LEFT} AND identifier_id IN (
          SELECT node_id FROM decided_nodes UNION
          SELECT identifier_id FROM identity.links WHERE {LEFT} AND profile_id IN (SELECT node_id FROM touched))
        AND profile_id NOT IN (SELECT node_id FROM touched WHERE node_id IS NOT NULL) GROUP BY identifier_id
        """,
    )
    rows = tables.sql("SELECT * FROM outside WHERE identifier_id IN (SELECT node_id FROM decided_nodes)")
    counts = np.zeros(len(identifiers), dtype=np.int64)
    counts[np.searchsorted(identifiers, rows["identifier_id"].to_numpy())] = rows["n"].to_numpy()
    return counts


def identifiers_let_go(tables: Tables) -> np.ndarray:
    """Give identifiers that touched profiles carried and nobody else does (after ``carriers_outside``)."""
    rows = tables.sql(
        f"""
        SELECT DISTINCT identifier_id FROM identity.links WHERE {LEFT}
        AND profile_id IN (SELECT node_id FROM touched)
        AND identifier_id NOT IN (SELECT identifier_id FROM outside)
        """
    )
    return rows["identifier_id"].to_numpy()
