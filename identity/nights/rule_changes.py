"""Which records a change of the rules reaches: what it cannot reach is not decided again."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from identity.nights.changes import Changes
from identity.nights.log import NightBefore
from identity.nights.night import IdentityNight
from identity.reading.tables import OPEN, OWN_BEFORE, qualified
from identity.reading.values import block_states
from identity.rules.normalise import NORMALISERS, keyed
from identity.rules.rules import NamespaceRule, Rules
from lakehouse.query.desk import Desk
from lakehouse.query.words import literal

# Keys of a namespace after whose change every record that carries it is read anew.
_READ_ANEW = ("kind", "normaliser", "sensitive", "window_days")
_UNLIMITED = 2**62


def reason_for_all(before: NightBefore, rules: Rules) -> str:
    """Say why a change of the rules reaches everybody; empty where it does not."""
    if before.rules_version == rules.version:
        return ""
    old = Rules.model_validate(json.loads(before.rules))
    if old.version != before.rules_version:
        return "the product decides differently"
    for name in ("names", "disagree", "contacts_from_age", "never_merge"):
        if getattr(old, name) != getattr(rules, name):
            return f"'{name}' of the rules changed"
    return ""


def add_changed_rules(desk: Desk, changes: Changes, night: IdentityNight) -> None:
    """Reach what a change of namespaces, block lists or sizes may decide otherwise."""
    before, rules = night.before, night.rules
    if before is None or before.rules_version == rules.version:
        return
    old = Rules.model_validate(json.loads(before.rules))
    namespaces = desk.arrow(f"SELECT DISTINCT namespace FROM trusted.identifier_observations WHERE {OPEN}")
    for namespace in sorted(namespaces["namespace"].to_pylist()):
        was, now = old.rule(namespace), rules.rule(namespace)
        if was != now or old.block != rules.block:
            _add_namespace(desk, changes, namespace, (old, was), (rules, now), night.key)
    sizes = old.largest_person.cut_above, rules.largest_person.cut_above
    if sizes[0] != sizes[1]:
        _add_components_above(desk, changes, min(sizes))


def _add_namespace(
    desk: Desk,
    changes: Changes,
    namespace: str,
    was: tuple[Rules, NamespaceRule | None],
    now: tuple[Rules, NamespaceRule | None],
    key: bytes,
) -> None:
    old, new = was[1], now[1]
    if old is None or new is None or any(getattr(old, name) != getattr(new, name) for name in _READ_ANEW):
        desk.extend(
            changes.keys,
            f"""
            SELECT DISTINCT source, source_key, 'rules'
            FROM trusted.identifier_observations WHERE {OPEN} AND namespace = {literal(namespace)}
            """,
        )
        return
    if (old.block, old.unblock, was[0].block) != (new.block, new.unblock, now[0].block):
        _add_blocked_values(desk, changes, namespace, (was[0], old), (now[0], new), key)
    if old.carriers != new.carriers:
        low, high = sorted((old.carriers or _UNLIMITED, new.carriers or _UNLIMITED))
        _add_carriers(desk, changes, namespace, f"> {low} AND count(*) <= {high}")
    if old.fan_out != new.fan_out:
        _add_carriers(
            desk, changes, namespace, f"> {min(old.fan_out or _UNLIMITED, new.fan_out or _UNLIMITED)}"
        )
    if any(getattr(old, name) != getattr(new, name) for name in ("at_most", "when_exceeded", "corroborate")):
        _add_carriers(desk, changes, namespace, "> 1")
    if old.unique != new.unique:
        _add_components_with_more(
            desk, changes, namespace, min(old.unique or _UNLIMITED, new.unique or _UNLIMITED)
        )
    if old.strength != new.strength:
        _add_refused_links(desk, changes)
        _add_components_above(desk, changes, min(_cut_above(was[0]), _cut_above(now[0])))


def _cut_above(rules: Rules) -> int:
    """Give the size above which a person's weak joins are cut."""
    return rules.largest_person.cut_above


def _add_blocked_values(
    desk: Desk,
    changes: Changes,
    namespace: str,
    was: tuple[Rules, NamespaceRule],
    now: tuple[Rules, NamespaceRule],
    key: bytes,
) -> None:
    """Find values that are blocked now and were not, or the other way round; it reads the namespace's values once."""
    raw = desk.arrow(
        f"SELECT DISTINCT value FROM trusted.identifier_observations WHERE {OPEN} AND namespace = {literal(namespace)}"
    )["value"]
    values, _ = NORMALISERS[now[1].normaliser](raw.combine_chunks())
    values = pa.chunked_array([values]).combine_chunks().unique().drop_null()
    before, after = (block_states(values, rule, rules)[0] for rules, rule in (was, now))
    flipped_values = values.take(pa.array(np.flatnonzero(before != after)))
    hashes = keyed(namespace, flipped_values, key) if now[1].sensitive else flipped_values
    rows = desk.take("flipped_values", pa.table({"value": pa.array(hashes, pa.string())}))
    desk.extend(
        changes.ids,
        f"""
        SELECT DISTINCT l.profile_id, 'rules' FROM identity.links l
        JOIN identity.nodes n ON n.node_id = l.identifier_id AND n.namespace = {literal(namespace)}
        WHERE {qualified(OWN_BEFORE, "l")} AND n.value IN (SELECT value FROM {rows})
        """,
    )


def _add_carriers(desk: Desk, changes: Changes, namespace: str, condition: str) -> None:
    desk.extend(
        changes.ids,
        f"""
        WITH mine AS (SELECT profile_id, identifier_id FROM identity.links WHERE {OWN_BEFORE} AND namespace = {literal(namespace)})
        SELECT DISTINCT profile_id, 'rules' FROM mine WHERE identifier_id IN (
          SELECT identifier_id FROM mine GROUP BY identifier_id HAVING count(*) {condition})
        """,
    )


def _add_components_with_more(desk: Desk, changes: Changes, namespace: str, limit: int) -> None:
    """Reach raw components that hold more than ``limit`` values of a namespace."""
    desk.extend(
        changes.ids,
        f"""
        WITH held AS (
          SELECT DISTINCT identifier_id FROM identity.links WHERE {OWN_BEFORE} AND namespace = {literal(namespace)}
        ), large AS (
          SELECT raw_component_id FROM identity.components JOIN held ON node_id = identifier_id
          GROUP BY raw_component_id HAVING count(*) > {limit}
        )
        SELECT node_id, 'rules' FROM identity.components WHERE is_profile
        AND raw_component_id IN (SELECT raw_component_id FROM large)
        """,
    )


def _add_refused_links(desk: Desk, changes: Changes) -> None:
    desk.extend(
        changes.ids,
        f"""
        SELECT DISTINCT profile_id, 'rules' FROM identity.links
        WHERE {OWN_BEFORE} AND status = 'refused'
        """,
    )


def _add_components_above(desk: Desk, changes: Changes, size: int) -> None:
    """Reach raw components with more than ``size`` profiles: only they can hold a person that large."""
    desk.extend(
        changes.ids,
        f"""
        SELECT node_id, 'rules' FROM identity.components WHERE is_profile
        AND raw_component_id IN (
          SELECT raw_component_id FROM identity.components WHERE is_profile
          GROUP BY raw_component_id HAVING count(*) > {size})
        """,
    )
