"""What a night has to decide anew: the raw components that something reaches, whole; everything else stays as it is.

A raw component (what unblocked links and must-links connect, before any refusal) is the unit of locality: no guard
looks beyond it, but for two things that are made explicit: names that are nobody's, a statistic over all records that
every night computes in full, and values on so many records that they connect nothing, whose carriers are counted in the
links of the night before. So the night before, plus the components that a change reaches decided from their records,
is what a full rebuild gives (docs/adr, tests/identity/nights/test_night_by_night.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from identity.joining.limits import carrier_limits
from identity.nights.changes import (
    Changes,
    add_changed_decisions,
    add_changed_records,
    add_common_names,
    add_due_links,
    add_earlier_attempt,
    no_changes,
)
from identity.nights.log import NightBefore
from identity.nights.night import IdentityNight
from identity.nights.rule_changes import add_changed_rules, reason_for_all
from identity.reading.records import records_on_day
from identity.reading.tables import KINDS, KINDS_BEFORE, OWN_BEFORE
from identity.reading.values import KeyedHashes, carried_values
from lakehouse.query.desk import Desk, Relation


@dataclass(frozen=True)
class Reach:
    """The raw components that something reaches, whole, as relations of the night's desk.

    ``profiles``: ``node_id, source, source_key``, one row per profile; ``node_id`` is null for a record the dictionary
    does not have. ``raw_components``: ``raw_component_id`` as the night before left them. ``identifiers``: ``node_id,
    namespace, carriers``, those of the dictionary that changed records carry now, with the number of such records.
    ``common_names``: ``source, full_name``, the names that are nobody's today. ``outside``: ``identifier_id, n``, links
    that other profiles have with the identifiers of these. ``profile_ids`` are the ids of ``profiles``.
    """

    profiles: Relation
    raw_components: Relation
    identifiers: Relation
    common_names: Relation
    outside: Relation
    profile_ids: np.ndarray


@dataclass(frozen=True)
class NightPlan:
    """What a night decides: everything (``full_reason`` says why, ``reach`` is None), or what ``reach`` holds.

    ``counts`` are the profiles something reaches, by cause; ``causes`` (``node_id, cause``) names them; ``profile_ids``
    are the profiles of their raw components. The last two are None where there is no night before to begin from.
    ``has_kinds_before``: the dictionary has the kinds of everybody else as the night before left them. ``hashes``: what
    was hashed of changed records.
    """

    full_reason: str
    reach: Reach | None = None
    counts: dict[str, int] = field(default_factory=dict)
    causes: pa.Table | None = None
    profile_ids: np.ndarray | None = None
    has_kinds_before: bool = True
    hashes: dict[str, KeyedHashes] = field(default_factory=dict, repr=False)

    @property
    def is_full(self) -> bool:
        """Tell whether all records are decided."""
        return self.reach is None

    @property
    def is_for_rules(self) -> bool:
        """Tell whether rules or an unusable night before, and nothing smaller, make the night decide everybody."""
        return self.is_full and self.full_reason not in ("asked for", "the first night")


def plan_night(desk: Desk, night: IdentityNight, *, full: bool) -> NightPlan:
    """Find what the night has to decide anew; nothing is written. ``full`` asks for everything."""
    if night.before is None:
        return NightPlan("the first night")
    desk.let(before=night.before.business_date)
    unusable = _reason_unusable(desk, night.before)
    if unusable:
        return NightPlan(unusable)
    reason = "asked for" if full else reason_for_all(night.before, night.rules)
    changes = no_changes(desk)
    add_changed_records(desk, changes)
    add_due_links(desk, changes)
    common_names = add_common_names(desk, changes, night.rules)
    add_changed_decisions(desk, changes, night)
    add_earlier_attempt(desk, changes)
    if not reason:
        add_changed_rules(desk, changes, night)
    reached_profiles = _reached_profiles(desk, changes)
    identifiers, hashes = _add_freed_values(desk, reached_profiles, changes, night)
    raw_components = _raw_components(desk, reached_profiles, identifiers)
    profiles = _whole_components(desk, reached_profiles, raw_components)
    ids = desk.arrow(f"SELECT node_id FROM {profiles} WHERE node_id IS NOT NULL")["node_id"].to_numpy()
    reach = None
    if not reason:
        outside = _carriers_outside(desk, profiles, identifiers)
        reach = Reach(profiles, raw_components, identifiers, common_names, outside, ids)
    return NightPlan(
        reason,
        reach,
        counts=_counts_by_cause(desk, reached_profiles),
        causes=desk.arrow(f"SELECT node_id, cause FROM {reached_profiles} WHERE node_id IS NOT NULL"),
        profile_ids=ids,
        has_kinds_before=_has_kinds_before(desk),
        hashes=hashes,
    )


def _counts_by_cause(desk: Desk, reached_profiles: Relation) -> dict[str, int]:
    return dict(
        desk.rows(
            f"SELECT cause, count(DISTINCT (source, source_key)) FROM {reached_profiles} GROUP BY cause ORDER BY cause"
        )
    )


def _reason_unusable(desk: Desk, before: NightBefore) -> str:
    """Say why the tables are none to begin from; empty where they are.

    Components hold no history: an attempt that was cut off has left younger ones, or fewer where it only took away.
    """
    present = desk.value("SELECT count(*) FROM identity.nights WHERE _arrived_on = $day")
    later = desk.value("SELECT count(*) FROM identity.nights WHERE _arrived_on > $day")
    newest = desk.value("SELECT max(computed_on) FROM identity.components")
    profiles = desk.value("SELECT count(*) FROM identity.components WHERE is_profile")
    between = desk.value(
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


def _has_kinds_before(desk: Desk) -> bool:
    """Tell whether the dictionary has the kinds of people as the night before, or a whole attempt of this one, left them.

    It is never rewound: a refused night and, in a replay, a later one leave theirs.
    """
    present = desk.value("SELECT count(*) FROM identity.nights WHERE _arrived_on = $day")
    start = "$day" if present else "$before"
    kinds = desk.value(f"SELECT max(kinds) FROM identity.nights WHERE _arrived_on = {start}")
    return bool(desk.value(KINDS) == kinds or (not present and desk.value(KINDS_BEFORE) == kinds))


def _reached_profiles(desk: Desk, changes: Changes) -> Relation:
    """Give ``node_id, source, source_key, cause`` of all that is reached; ``node_id`` is null for new records."""
    return desk.keep(
        "reached_profiles",
        f"""
        SELECT n.node_id, k.source, k.source_key, k.cause FROM {changes.keys} k
        LEFT JOIN (SELECT node_id, source, source_key FROM identity.nodes WHERE kind = 'profile') n
          USING (source, source_key)
        UNION ALL
        SELECT i.node_id, n.source, n.source_key, i.cause FROM {changes.ids} i JOIN identity.nodes n USING (node_id)
        """,
    )


def _add_freed_values(
    desk: Desk, reached_profiles: Relation, changes: Changes, night: IdentityNight
) -> tuple[Relation, dict[str, KeyedHashes]]:
    """Reach all carriers of values that were above the limit of carriers and no longer are.

    Gives the identifiers of changed records (see ``Reach``), and what was hashed for them.
    """
    # Keys that rules reach are records of a namespace that is read anew: they carry other identifiers than before.
    changed_keys = desk.keep("changed_keys", f"SELECT DISTINCT source, source_key FROM {changes.keys}")
    values, hashes = carried_values(records_on_day(desk, changed_keys).observations, night.rules, night.key)
    carried_rows = desk.take("carried_values", values)
    identifiers = desk.keep(
        "carried_identifiers",
        f"""
        SELECT n.node_id, c.namespace, c.carriers FROM {carried_rows} c
        JOIN identity.nodes n ON n.kind = 'identifier' AND n.namespace = c.namespace AND n.value = c.value
        """,
    )
    namespaces = set(values["namespace"].to_pylist()) | _namespaces_before(desk)
    most = carrier_limits(night.rules, namespaces)
    if not most:
        return identifiers, hashes
    limits = desk.take(
        "carrier_limits",
        pa.table(
            {"namespace": pa.array(list(most), pa.string()), "most": pa.array(most.values(), pa.int64())}
        ),
    )
    # Not materialized: every use reads few of the links, and keeping them all took longer than the rest.
    desk.extend(
        reached_profiles,
        f"""
        WITH links_before AS NOT MATERIALIZED (
          SELECT profile_id, identifier_id, namespace FROM identity.links
          WHERE {OWN_BEFORE} AND namespace IN (SELECT namespace FROM {limits})
        ),
        of_changed AS (
          SELECT identifier_id, count(*) AS n FROM links_before
          WHERE profile_id IN (SELECT node_id FROM {reached_profiles} JOIN {changed_keys} USING (source, source_key)) GROUP BY ALL
        ), concerned AS (
          SELECT identifier_id FROM of_changed UNION SELECT node_id FROM {identifiers}
        ), counts AS (
          SELECT l.identifier_id, any_value(l.namespace) AS namespace, count(*) AS n FROM links_before l
          WHERE l.identifier_id IN (SELECT identifier_id FROM concerned) GROUP BY l.identifier_id
        ), freed AS (
          SELECT c.identifier_id FROM counts c JOIN {limits} m USING (namespace)
          LEFT JOIN of_changed g USING (identifier_id) LEFT JOIN {identifiers} t ON t.node_id = c.identifier_id
          WHERE c.n > m.most AND c.n - coalesce(g.n, 0) + coalesce(t.carriers, 0) <= m.most
        )
        SELECT DISTINCT n.node_id, n.source, n.source_key, 'crowd' FROM links_before l
        JOIN freed USING (identifier_id) JOIN identity.nodes n ON n.node_id = l.profile_id
        """,
    )
    return identifiers, hashes


def _namespaces_before(desk: Desk) -> set[str]:
    return {row[0] for row in desk.rows(f"SELECT DISTINCT namespace FROM identity.links WHERE {OWN_BEFORE}")}


def _raw_components(desk: Desk, reached_profiles: Relation, identifiers: Relation) -> Relation:
    return desk.keep(
        "reached_components",
        f"""
        SELECT DISTINCT raw_component_id FROM identity.components WHERE node_id IN (
          SELECT node_id FROM {reached_profiles} WHERE node_id IS NOT NULL UNION SELECT node_id FROM {identifiers})
        """,
    )


def _whole_components(desk: Desk, reached_profiles: Relation, raw_components: Relation) -> Relation:
    """Close what is reached to whole raw components of the night before."""
    return desk.keep(
        "profiles_to_decide",
        f"""
        WITH ids AS (
          SELECT node_id FROM identity.components
          WHERE is_profile AND raw_component_id IN (SELECT raw_component_id FROM {raw_components})
          UNION SELECT node_id FROM {reached_profiles} WHERE node_id IS NOT NULL
        )
        SELECT n.node_id, n.source, n.source_key FROM identity.nodes n WHERE n.node_id IN (SELECT node_id FROM ids)
        UNION
        SELECT DISTINCT node_id, source, source_key FROM {reached_profiles} WHERE node_id IS NULL
        """,
    )


def _carriers_outside(desk: Desk, profiles: Relation, identifiers: Relation) -> Relation:
    """Count, per identifier that these profiles carry or carried, the links of all others."""
    return desk.keep(
        "carriers_outside",
        f"""
        SELECT identifier_id, count(*) AS n FROM identity.links WHERE {OWN_BEFORE} AND identifier_id IN (
          SELECT node_id FROM {identifiers} UNION
          SELECT identifier_id FROM identity.links WHERE {OWN_BEFORE} AND profile_id IN (SELECT node_id FROM {profiles}))
        AND profile_id NOT IN (SELECT node_id FROM {profiles} WHERE node_id IS NOT NULL) GROUP BY identifier_id
        """,
    )
