"""The evidence about a few people: their raw components, decided once more from published tables and nothing else.

No decision looks beyond a raw component (see ``identity.joining.connect``), so deciding those of the people asked about under
the night's own rules and decisions gives back what the night did, with everything a night does not write down: which
statement led where, and what refused it. The answer is held against the published map before anybody reads it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.joining.connect import connect
from identity.nights.touched import rows_of
from identity.reading.decisions import TABLE as DECISIONS
from identity.reading.decisions import Decision, decided_places, decisions_of
from identity.reading.facts import common_among
from identity.reading.graph import Graph, Grouping
from identity.reading.observe import NODE_SCHEMA, Observed, observe
from identity.reading.tables import KNOWN, Tables
from identity.rules.normalise import NORMALISERS, keyed
from identity.rules.rules import Rules
from identity.rules.workspace_key import known_key
from lakehouse.errors import StepFailed, UsageError
from lakehouse.query.desk import newest_sql

if TYPE_CHECKING:
    from lakehouse.query.published import Published

Profile = tuple[str, str]


@dataclass(frozen=True)
class Evidence:
    """What decided about the people asked for, and about everybody some usable statement connects them with.

    Places are those of ``graph``. ``one_ids`` and ``since`` (the night from which the record has that number) stand per
    profile, ``told_since`` (the night that first knew it) per link.
    """

    tables: Tables
    rules: Rules
    rules_versions: dict[str, str]
    key: bytes
    observed: Observed
    grouping: Grouping
    one_ids: np.ndarray
    since: list[str]
    told_since: list[str]
    decisions: dict[str, dict[str, Any]]

    @property
    def graph(self) -> Graph:
        """The graph of the raw components."""
        return self.observed.graph

    def place_of(self, profile: Profile) -> int:
        """Give the place of a profile that was asked for."""
        rows = self.observed.profiles
        mine = pc.and_(pc.equal(rows["source"], profile[0]), pc.equal(rows["source_key"], profile[1]))
        return int(np.flatnonzero(mine.to_numpy(zero_copy_only=False))[0])

    def name_of(self, place: int) -> str:
        """Give a profile as ``source/key``."""
        rows = self.observed.profiles
        return f"{rows['source'][place].as_py()}/{rows['source_key'][place].as_py()}"

    def namespace_of(self, identifier: int) -> str:
        """Give the namespace of an identifier."""
        return self.graph.namespaces[int(self.graph.identifiers.namespaces[identifier])]

    def statement(self, link: int) -> dict[str, Any]:
        """Give who said so, in which record of which file, and since when it is known; no value."""
        links = self.graph.links
        place, identifier = int(links.profiles[link]), int(links.identifiers[link])
        told = self.told_since[link]
        return {
            "profile": self.name_of(place),
            "verified": bool(links.verified[link]),
            "known_since": told,
            "rules_version": self.rules_versions.get(told),
            "records": self._records(place, identifier),
        }

    def _records(self, place: int, identifier: int) -> list[dict[str, Any]]:
        """Find the delivered records that carry an identifier of a profile, by normalising what they carry."""
        namespace = self.namespace_of(identifier)
        rule = self.rules.rule(namespace)
        profiles = self.observed.profiles
        wanted = {name: profiles[name][place].as_py() for name in ("source", "source_key")}
        self.tables.take(
            "wanted", pa.table({**{n: [v] for n, v in wanted.items()}, "namespace": [namespace]})
        )
        rows = self.tables.sql(
            f"""
            SELECT value, _feed, _file, _row, observed_on FROM trusted.identifier_observations
            JOIN wanted USING (source, source_key, namespace)
            WHERE {KNOWN} AND role = 'identity' AND hash_method IS NULL ORDER BY _feed, _file, _row
            """
        )
        if rule is None or not rows.num_rows:
            return []
        values = NORMALISERS[rule.normaliser](rows["value"].combine_chunks()).values
        if rule.sensitive:
            known = values.is_valid()
            hashed = keyed(namespace, values.filter(known), self.key)
            values = pc.replace_with_mask(values, known, hashed)
        stored = self.graph.identifiers.stored[identifier]
        mine = rows.filter(pc.fill_null(pc.equal(values, stored), False))
        return [
            {"feed": row["_feed"], "file": row["_file"], "row": row["_row"], "observed_on": _text(row["observed_on"])}
            for row in mine.to_pylist()
        ]  # fmt: skip


def evidence_about(published: Published, profiles: Sequence[Profile]) -> Evidence:
    """Decide the raw components of published profiles again, as the published night did.

    ``StepFailed`` where that gives another map than the published one: then nothing about it can be explained.
    """
    day = published.publication.business_date
    nights = published.sql(
        "SELECT _arrived_on, rules_version, rules, decisions FROM identity.nights"
    ).fetchall()
    found = [row for row in nights if row[0] == day]
    if not found:
        raise UsageError(f"the publication of {day} has no night of identity to explain")
    rules = Rules.model_validate(json.loads(found[0][2]))
    fingerprints = published.sql("SELECT fingerprint FROM identity.keys").fetchall()
    key = known_key(published.settings, [row[0] for row in fingerprints])
    tables = Tables(published, day)
    _reach(tables, profiles)
    customers, observations = rows_of(tables, "touched")
    counted = tables.sql(
        f"SELECT source, full_name, count(*) AS n FROM trusted.customers WHERE {KNOWN} GROUP BY ALL"
    )
    nodes = tables.sql(
        """
        SELECT node_id, kind, source, source_key, namespace, value, masked, first_known_on FROM identity.nodes
        WHERE node_id IN (SELECT node_id FROM touched UNION SELECT identifier_id FROM carried)
        """
    ).cast(NODE_SCHEMA)
    observed = observe(
        customers=customers, observations=observations, nodes=nodes, rules=rules, key=key, business_date=day,
        common=common_among(counted, rules),
    )  # fmt: skip
    decisions, said = _decisions(published, json.loads(found[0][3]))
    graph = observed.graph
    graph = replace(
        graph,
        identifiers=replace(graph.identifiers, outside=_outside(tables, graph)),
        decided=decided_places(decisions, observed.profiles),
    )
    grouping = connect(graph, rules)
    one_ids, since = _published_map(tables, graph)
    if observed.new_nodes.num_rows or not _is_same_map(grouping.people, one_ids):
        raise StepFailed(
            f"the night of {day} cannot be told again: deciding its records once more gives another map; "
            "run `cdp nightly` with this version of the product, then ask again"
        )
    return Evidence(
        tables=tables,
        rules=rules,
        rules_versions={str(row[0]): row[1] for row in nights},
        key=key,
        observed=replace(observed, graph=graph),
        grouping=grouping,
        one_ids=one_ids,
        since=since,
        told_since=_told_since(tables, graph),
        decisions=said,
    )


def _reach(tables: Tables, profiles: Sequence[Profile]) -> None:
    """Keep ``touched`` (profiles of the raw components asked for) and ``carried`` (their links)."""
    sources, keys = zip(*profiles, strict=True)
    tables.take("asked", pa.table({"source": list(sources), "source_key": list(keys)}))
    tables.keep(
        "asked_nodes",
        """
        SELECT node_id FROM identity.nodes JOIN asked USING (source, source_key) WHERE kind = 'profile'
        """,
    )
    tables.keep(
        "touched",
        """
        SELECT node_id, source, source_key FROM identity.nodes WHERE node_id IN (
          SELECT node_id FROM identity.components WHERE is_profile AND raw_component_id IN (
            SELECT raw_component_id FROM identity.components WHERE node_id IN (SELECT node_id FROM asked_nodes)))
        """,
    )
    tables.keep(
        "carried",
        """
        SELECT profile_id, identifier_id, valid_from FROM identity.links
        WHERE valid_to IS NULL AND profile_id IN (SELECT node_id FROM touched)
        """,
    )


def _outside(tables: Tables, graph: Graph) -> np.ndarray:
    """Count, per identifier, the links of profiles that are not among those decided."""
    rows = tables.sql(
        """
        SELECT identifier_id, count(*) AS n FROM identity.links
        WHERE valid_to IS NULL AND identifier_id IN (SELECT identifier_id FROM carried)
        AND profile_id NOT IN (SELECT node_id FROM touched) GROUP BY identifier_id
        """
    )
    counts = np.zeros(len(graph.identifiers), dtype=np.int64)
    counts[np.searchsorted(graph.identifiers.node_ids, rows["identifier_id"].to_numpy())] = rows[
        "n"
    ].to_numpy()
    return counts


def _decisions(published: Published, in_force: list[str]) -> tuple[list[Decision], dict[str, dict[str, Any]]]:
    """Give the decisions the night knew, and the rows of the log that say them.

    No night writes the log, and nothing is ever taken from it, so its newest version has them.
    """
    columns = (
        "decision_id", "kind", "source_a", "source_key_a", "source_b", "source_key_b", "author", "decided_at", "reason",
        "revokes",
    )  # fmt: skip
    log = newest_sql(published.settings, DECISIONS)
    told = published.connection.execute(f"SELECT {', '.join(columns)} FROM ({log})").fetchall()
    rows = [dict(zip(columns, row, strict=True)) for row in told]
    known = [d for d in decisions_of(rows, with_revoked=True) if d.decision_id in in_force]
    return known, {row["decision_id"]: row for row in rows}


def _published_map(tables: Tables, graph: Graph) -> tuple[np.ndarray, list[str]]:
    rows = tables.sql(
        """
        SELECT profile_id, one_id, valid_from FROM identity.memberships
        WHERE valid_to IS NULL AND profile_id IN (SELECT node_id FROM touched) ORDER BY profile_id
        """
    )
    if rows["profile_id"].to_pylist() != graph.profiles.node_ids.tolist():
        return np.zeros(0, dtype=np.int64), []
    return rows["one_id"].to_numpy(), [str(day) for day in rows["valid_from"].to_pylist()]


def _is_same_map(people: np.ndarray, one_ids: np.ndarray) -> bool:
    if len(people) != len(one_ids):
        return False
    pairs = set(zip(people.tolist(), one_ids.tolist(), strict=True))
    return len(pairs) == len({person for person, _ in pairs}) == len({one_id for _, one_id in pairs})


def _told_since(tables: Tables, graph: Graph) -> list[str]:
    """Give, per link, the night that first knew it as it is."""
    rows = tables.sql("SELECT profile_id, identifier_id, valid_from FROM carried")
    columns = (rows[name].to_pylist() for name in ("profile_id", "identifier_id", "valid_from"))
    days = {(profile, identifier): day for profile, identifier, day in zip(*columns, strict=True)}
    links = graph.links
    profiles = graph.profiles.node_ids[links.profiles].tolist()
    identifiers = graph.identifiers.node_ids[links.identifiers].tolist()
    return [str(days[pair]) for pair in zip(profiles, identifiers, strict=True)]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
