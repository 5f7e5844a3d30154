"""Which records a change of the rules reaches: what it cannot reach is not decided again."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from identity.nights.log import LastNight
from identity.reading.tables import KNOWN, LEFT, Tables
from identity.reading.values import block_states
from identity.rules.normalise import NORMALISERS, keyed
from identity.rules.rules import NamespaceRule, Rules

# Keys of a namespace after whose change every record that carries it is read anew.
_READ_ANEW = ("kind", "normaliser", "sensitive", "window_days")
_UNLIMITED = 2**62


def why_all(before: LastNight, rules: Rules) -> str:
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


def reach_of_rules(tables: Tables, before: LastNight, rules: Rules, key: bytes) -> None:
    """Add to ``reached_ids`` and ``reached_keys`` what a change of namespaces, block lists or sizes reaches."""
    if before.rules_version == rules.version:
        return
    old = Rules.model_validate(json.loads(before.rules))
    delivered = tables.sql(f"SELECT DISTINCT namespace FROM trusted.identifier_observations WHERE {KNOWN}")
    for namespace in sorted(delivered["namespace"].to_pylist()):
        was, now = old.rule(namespace), rules.rule(namespace)
        if was != now or old.block != rules.block:
            _reach_of_namespace(tables, namespace, (old, was), (rules, now), key)
    sizes = old.largest_person.cut_above, rules.largest_person.cut_above
    if sizes[0] != sizes[1]:
        _people_above(tables, min(sizes))


def _reach_of_namespace(
    tables: Tables,
    namespace: str,
    was: tuple[Rules, NamespaceRule | None],
    now: tuple[Rules, NamespaceRule | None],
    key: bytes,
) -> None:
    old, new = was[1], now[1]
    if old is None or new is None or any(getattr(old, name) != getattr(new, name) for name in _READ_ANEW):
        tables.run(
            f"""
            INSERT INTO reached_keys SELECT DISTINCT source, source_key, 'rules'
            FROM trusted.identifier_observations WHERE {KNOWN} AND namespace = '{namespace}'
            """
        )
        return
    if (old.block, old.unblock, was[0].block) != (new.block, new.unblock, now[0].block):
        _blocked_differently(tables, namespace, (was[0], old), (now[0], new), key)
    if old.carriers != new.carriers:
        low, high = sorted((old.carriers or _UNLIMITED, new.carriers or _UNLIMITED))
        _carriers(tables, namespace, f"> {low} AND count(*) <= {high}")
    if old.fan_out != new.fan_out:
        _carriers(tables, namespace, f"> {min(old.fan_out or _UNLIMITED, new.fan_out or _UNLIMITED)}")
    if any(getattr(old, name) != getattr(new, name) for name in ("at_most", "when_exceeded", "corroborate")):
        _carriers(tables, namespace, "> 1")
    if old.unique != new.unique:
        _components_with_more(tables, namespace, min(old.unique or _UNLIMITED, new.unique or _UNLIMITED))
    if old.strength != new.strength:
        _refused_before(tables)
        _people_above(tables, min(_cut(was[0]), _cut(now[0])))


def _cut(rules: Rules) -> int:
    """Give the size above which a person's weak joins are cut."""
    return rules.largest_person.cut_above


def _blocked_differently(
    tables: Tables,
    namespace: str,
    was: tuple[Rules, NamespaceRule],
    now: tuple[Rules, NamespaceRule],
    key: bytes,
) -> None:
    """Find values that are blocked now and were not, or the other way round; it reads the namespace's values once."""
    raw = tables.sql(
        f"SELECT DISTINCT value FROM trusted.identifier_observations WHERE {KNOWN} AND namespace = '{namespace}'"
    )["value"]
    values, _ = NORMALISERS[now[1].normaliser](raw.combine_chunks())
    values = pa.chunked_array([values]).combine_chunks().unique().drop_null()
    before, after = (block_states(values, rule, rules)[0] for rules, rule in (was, now))
    flipped = values.take(pa.array(np.flatnonzero(before != after)))
    stored = keyed(namespace, flipped, key) if now[1].sensitive else flipped
    tables.take("flipped", pa.table({"value": pa.array(stored, pa.string())}))
    tables.run(
        f"""
        INSERT INTO reached_ids SELECT DISTINCT l.profile_id, 'rules' FROM identity.links l
        JOIN identity.nodes n ON n.node_id = l.identifier_id AND n.namespace = '{namespace}'
        WHERE {LEFT.replace("valid_", "l.valid_")} AND n.value IN (SELECT value FROM flipped)
        """
    )


def _carriers(tables: Tables, namespace: str, condition: str) -> None:
    tables.run(
        f"""
        INSERT INTO reached_ids
        WITH mine AS (SELECT profile_id, identifier_id FROM identity.links WHERE {LEFT} AND namespace = '{namespace}')
        SELECT DISTINCT profile_id, 'rules' FROM mine WHERE identifier_id IN (
          SELECT identifier_id FROM mine GROUP BY identifier_id HAVING count(*) {condition})
        """
    )


def _components_with_more(tables: Tables, namespace: str, limit: int) -> None:
    """Reach raw components that hold more than ``limit`` values of a namespace."""
    tables.run(
        f"""
        INSERT INTO reached_ids
        WITH held AS (
          SELECT DISTINCT identifier_id FROM identity.links WHERE {LEFT} AND namespace = '{namespace}'
        ), large AS (
          SELECT raw_component_id FROM identity.components JOIN held ON node_id = identifier_id
          GROUP BY raw_component_id HAVING count(*) > {limit}
        )
        SELECT node_id, 'rules' FROM identity.components WHERE is_profile
        AND raw_component_id IN (SELECT raw_component_id FROM large)
        """
    )


def _refused_before(tables: Tables) -> None:
    tables.run(
        f"""
        INSERT INTO reached_ids SELECT DISTINCT profile_id, 'rules' FROM identity.links
        WHERE {LEFT} AND status = 'refused'
        """
    )


def _people_above(tables: Tables, size: int) -> None:
    """Reach raw components with more than ``size`` profiles: only they can hold a person that large."""
    tables.run(
        f"""
        INSERT INTO reached_ids SELECT node_id, 'rules' FROM identity.components WHERE is_profile
        AND raw_component_id IN (
          SELECT raw_component_id FROM identity.components WHERE is_profile
          GROUP BY raw_component_id HAVING count(*) > {size})
        """
    )
