"""The evidence about a few people: their raw components, decided again from published tables and nothing else.

No decision looks beyond a raw component (see ``identity.joining.decide``), so deciding those of the people asked about under
the night's own rules and decisions gives back what the night did, with everything a night does not write down: which
statement led where, and what refused it. The answer is held against the published map before anybody reads it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.joining.decide import RawComponents, decide_components
from identity.reading.decisions import TABLE as DECISIONS
from identity.reading.decisions import PairDecision, decisions_of
from identity.reading.facts import common_among
from identity.reading.graph import Graph, Grouping
from identity.reading.observe import NODE_SCHEMA, Observed
from identity.reading.records import records_on_day
from identity.reading.tables import OPEN, open_desk
from identity.rules.normalise import NORMALISERS, keyed, shown_key
from identity.rules.rules import Rules
from identity.rules.workspace_key import known_key
from lakehouse.errors import StepFailed, UsageError
from lakehouse.query.desk import Desk, Relation, open_newest
from lakehouse.query.words import literal

if TYPE_CHECKING:
    from lakehouse.query.published import Published

Profile = tuple[str, str]


@dataclass(frozen=True)
class _Concerned:
    """The raw components of the records asked for.

    ``profiles``: ``node_id, source, source_key``; ``links``: ``profile_id, identifier_id, valid_from``, the open ones.
    """

    profiles: Relation
    links: Relation


@dataclass(frozen=True)
class Evidence:
    """What decides about the people asked for, and about everybody some usable statement connects them with.

    Places are those of ``graph``. ``one_ids`` and ``since`` (the night from which the record has that number) stand per
    profile, ``link_since`` (the night that first knew it) per link.
    """

    desk: Desk
    rules: Rules
    rules_versions: dict[str, str]
    key: bytes
    observed: Observed
    grouping: Grouping
    one_ids: np.ndarray
    since: list[str]
    link_since: list[str]
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
        """Give a profile as ``source/key``; a key that is an identifier of the person itself is masked like it."""
        rows, links = self.observed.profiles, self.graph.links
        mine = np.unique(links.identifiers[links.profiles == place]).tolist()
        identifiers = [(self.namespace_of(i), self.observed.masked_of(i)) for i in mine]
        return f"{rows['source'][place].as_py()}/{shown_key(rows['source_key'][place].as_py(), identifiers)}"

    def namespace_of(self, identifier: int) -> str:
        """Give the namespace of an identifier."""
        return self.graph.namespaces[int(self.graph.identifiers.namespaces[identifier])]

    def statement(self, link: int) -> dict[str, Any]:
        """Give who said so, in which record of which file, and since when it is known; no value."""
        links = self.graph.links
        place, identifier = int(links.profiles[link]), int(links.identifiers[link])
        since = self.link_since[link]
        return {
            "profile": self.name_of(place),
            "verified": bool(links.verified[link]),
            "known_since": since,
            "rules_version": self.rules_versions.get(since),
            "records": self._records(place, identifier),
        }

    def _records(self, place: int, identifier: int) -> list[dict[str, Any]]:
        """Find the delivered records that carry an identifier of a profile, by normalising what they carry."""
        namespace = self.namespace_of(identifier)
        rule = self.rules.rule(namespace)
        profiles = self.observed.profiles
        record = {name: profiles[name][place].as_py() for name in ("source", "source_key")}
        rows = self.desk.arrow(
            f"""
            SELECT value, _feed, _file, _row, observed_on FROM trusted.identifier_observations
            WHERE {OPEN} AND role = 'identity' AND hash_method IS NULL AND namespace = {literal(namespace)}
              AND source = {literal(record["source"])} AND source_key = {literal(record["source_key"])}
            ORDER BY _feed, _file, _row
            """
        )
        if rule is None or not rows.num_rows:
            return []
        values = NORMALISERS[rule.normaliser](rows["value"].combine_chunks()).values
        if rule.sensitive:
            is_valid = values.is_valid()
            hashes = keyed(namespace, values.filter(is_valid), self.key)
            values = pc.replace_with_mask(values, is_valid, hashes)
        value = self.graph.identifiers.values[identifier]
        mine = rows.filter(pc.fill_null(pc.equal(values, value), False))
        return [
            {"feed": row["_feed"], "file": row["_file"], "row": row["_row"], "observed_on": _text(row["observed_on"])}
            for row in mine.to_pylist()
        ]  # fmt: skip


def evidence_about(published: Published, profiles: Sequence[Profile]) -> Evidence:
    """Decide the raw components of published profiles again, as the published night did.

    ``StepFailed`` where that gives another map than the published one: then nothing about it can be explained.
    """
    day = published.publication.business_date
    nights = {
        row[0]: row[1:]
        for row in published.rows("SELECT _arrived_on, rules_version, rules, decisions FROM identity.nights")
    }
    if day not in nights:
        raise UsageError(f"the publication of {day} has no night of identity to explain")
    _, rules_text, in_force = nights[day]
    rules = Rules.model_validate(json.loads(rules_text))
    fingerprints = published.rows("SELECT fingerprint FROM identity.keys")
    key = known_key(published.settings, [row[0] for row in fingerprints])
    decisions, decision_rows = _decisions(published, json.loads(in_force))
    desk = open_desk(published, day)
    concerned = _concerned(desk, profiles)
    components = _components(desk, concerned, rules, decisions)
    outcome = decide_components(components, rules, key=key, business_date=day)
    graph, grouping = outcome.graph, outcome.grouping
    one_ids, since = _published_map(desk, concerned, graph)
    if outcome.observed.new_nodes.num_rows or not _is_same_map(grouping.people, one_ids):
        raise StepFailed(
            f"the night of {day} cannot be told again: deciding its records once more gives another map; "
            "run `cdp nightly` with this version of the product, then ask again"
        )
    return Evidence(
        desk=desk,
        rules=rules,
        rules_versions={str(night): row[0] for night, row in nights.items()},
        key=key,
        observed=outcome.observed,
        grouping=grouping,
        one_ids=one_ids,
        since=since,
        link_since=_link_since(desk, concerned, graph),
        decisions=decision_rows,
    )


def _concerned(desk: Desk, profiles: Sequence[Profile]) -> _Concerned:
    sources, keys = zip(*profiles, strict=True)
    wanted_keys = desk.take("wanted", pa.table({"source": list(sources), "source_key": list(keys)}))
    nodes = desk.keep(
        "wanted_nodes",
        f"""
        SELECT node_id FROM identity.nodes JOIN {wanted_keys} USING (source, source_key) WHERE kind = 'profile'
        """,
    )
    members = desk.keep(
        "component_profiles",
        f"""
        SELECT node_id, source, source_key FROM identity.nodes WHERE node_id IN (
          SELECT node_id FROM identity.components WHERE is_profile AND raw_component_id IN (
            SELECT raw_component_id FROM identity.components WHERE node_id IN (SELECT node_id FROM {nodes})))
        """,
    )
    links = desk.keep(
        "component_links",
        f"""
        SELECT profile_id, identifier_id, valid_from FROM identity.links
        WHERE valid_to IS NULL AND profile_id IN (SELECT node_id FROM {members})
        """,
    )
    return _Concerned(members, links)


def _components(
    desk: Desk, concerned: _Concerned, rules: Rules, decisions: list[PairDecision]
) -> RawComponents:
    records = records_on_day(desk, concerned.profiles)
    counts = desk.arrow(
        f"SELECT source, full_name, count(*) AS n FROM trusted.customers WHERE {OPEN} GROUP BY ALL"
    )
    nodes = desk.arrow(
        f"""
        SELECT {", ".join(NODE_SCHEMA.names)} FROM identity.nodes
        WHERE node_id IN (
          SELECT node_id FROM {concerned.profiles} UNION SELECT identifier_id FROM {concerned.links})
        """
    ).cast(NODE_SCHEMA)
    outside = desk.arrow(
        f"""
        SELECT identifier_id, count(*) AS n FROM identity.links
        WHERE valid_to IS NULL AND identifier_id IN (SELECT identifier_id FROM {concerned.links})
        AND profile_id NOT IN (SELECT node_id FROM {concerned.profiles}) GROUP BY identifier_id
        """
    )
    return RawComponents(
        customers=records.customers,
        observations=records.observations,
        nodes=nodes,
        highest=pc.max(nodes["node_id"]).as_py() or 0,
        decisions=decisions,
        common_names=common_among(counts, rules),
        outside=outside,
    )


def _decisions(
    published: Published, in_force: list[str]
) -> tuple[list[PairDecision], dict[str, dict[str, Any]]]:
    """Give the decisions the night knew, and the rows of the log that say them.

    No night writes the log, and nothing is ever taken from it, so its newest version has them.
    """
    columns = (
        "decision_id", "kind", "source_a", "source_key_a", "source_b", "source_key_b", "author", "decided_at", "reason",
        "revokes",
    )  # fmt: skip
    with open_newest(published.settings, published.settings.time_zone) as desk:
        values = desk.rows(f"SELECT {', '.join(columns)} FROM {DECISIONS}")
    rows = [dict(zip(columns, row, strict=True)) for row in values]
    decisions = [d for d in decisions_of(rows, with_revoked=True) if d.decision_id in in_force]
    return decisions, {row["decision_id"]: row for row in rows}


def _published_map(desk: Desk, concerned: _Concerned, graph: Graph) -> tuple[np.ndarray, list[str]]:
    rows = desk.arrow(
        f"""
        SELECT profile_id, one_id, valid_from FROM identity.memberships
        WHERE valid_to IS NULL AND profile_id IN (SELECT node_id FROM {concerned.profiles}) ORDER BY profile_id
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


def _link_since(desk: Desk, concerned: _Concerned, graph: Graph) -> list[str]:
    """Give, per link, the night that first knew it as it is."""
    rows = desk.rows(f"SELECT profile_id, identifier_id, valid_from FROM {concerned.links}")
    days = {(profile, identifier): day for profile, identifier, day in rows}
    links = graph.links
    profiles = graph.profiles.node_ids[links.profiles].tolist()
    identifiers = graph.identifiers.node_ids[links.identifiers].tolist()
    return [str(days[pair]) for pair in zip(profiles, identifiers, strict=True)]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
