"""Tables of a night in buckets: what it decided goes from the engine into the lake, in the order of any night."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from identity.nights.buckets.kernels import GoldenKernel
from identity.nights.kinds import KINDS, SPEAKING_NAMESPACES
from identity.nights.log import rules_as_text
from identity.nights.write import FEED
from identity.reading.tables import OPEN, OWN_BEFORE, qualified
from identity.rules.rules import ATTRIBUTES
from lakehouse.contracts.reading import contract
from lakehouse.states.rule import Scope

if TYPE_CHECKING:
    from identity.nights.buckets.graph import Dictionary, ReachRows
    from identity.nights.buckets.numbers import Numbers
    from identity.nights.night import IdentityNight
    from identity.nights.plan import NightPlan
    from lakehouse.engine import Engine, Rows
    from lakehouse.tables.lake import Lake

# What later statements of the night read again, as the night has left it.
_STATES = ("identity.memberships", "identity.links", "identity.golden_records", "identity.one_ids")


@dataclass(frozen=True)
class BucketTables:
    """Writes the tables of a night; where it decides a part (``reach``), the rows of others stay."""

    lake: Lake
    night: IdentityNight
    engine: Engine
    reach: ReachRows | None

    def write_dictionaries(self, nodes: Dictionary, minted: Rows) -> None:
        """Write new nodes and new OneIDs (``minted``, as rows of the dictionary) before anything refers to them."""
        text = "CAST(NULL AS STRING)"
        self._write(
            self.lake.append,
            "identity.nodes",
            f"""
            SELECT node_id, 'profile' AS kind, source, source_key, {text} AS namespace, {text} AS value,
                   {text} AS masked, $day AS first_known_on
            FROM {nodes.new_profiles}
            UNION ALL
            SELECT node_id, 'identifier', {text}, {text}, namespace, value, masked, $day FROM {nodes.new_identifiers}
            """,
        )
        self._write(self.lake.append, "identity.one_ids", f"SELECT * FROM {minted}")

    def write_decided(self, decided_rows: Mapping[str, Rows], numbers: Numbers) -> None:
        """Write components and refused links, then the change sets of the states.

        Components come first: they tell a later attempt what this one decided.
        """
        profiles, identifiers = (
            self._scope_of_profiles(decided_rows),
            self._scope_of_identifiers(decided_rows),
        )
        components = f"SELECT node_id, raw_component_id, is_profile, $day AS computed_on FROM {decided_rows['components']}"
        names = ", ".join(contract("identity.refused_links").columns)
        refused_links = f"SELECT {names} FROM {decided_rows['refused_links']}"
        if self.reach is not None:
            components += f"""
            UNION ALL
            SELECT c.node_id, c.raw_component_id, c.is_profile, c.computed_on
            FROM (SELECT node_id, raw_component_id, is_profile, computed_on FROM identity.components) c
            ANTI JOIN {self.reach.raw_components} r USING (raw_component_id)
            ANTI JOIN (SELECT DISTINCT node_id FROM {decided_rows["components"]}) d USING (node_id)
            """
            refused_links += f"""
            UNION ALL
            SELECT {names} FROM (SELECT {names} FROM identity.refused_links) AS r
            ANTI JOIN {profiles} p USING (profile_id)
            """
        self._write_whole(self.lake.overwrite, "identity.components", components)
        self._write_whole(self.lake.overwrite, "identity.refused_links", refused_links)
        self._write_state("identity.links", f"SELECT * FROM {decided_rows['links']}", profiles)
        # A value on too many records is one in several buckets.
        self._write_state(
            "identity.node_states", f"SELECT DISTINCT * FROM {decided_rows['node_states']}", identifiers
        )
        self._write_state(
            "identity.memberships",
            f"""
            SELECT n.one_id, p.source, p.source_key, p.profile_id
            FROM {decided_rows["profiles"]} p JOIN {numbers.people} n ON n.anchor = p.person
            """,
            profiles,
        )
        self.engine.renew(*_STATES)

    def _scope_of_profiles(self, decided_rows: Mapping[str, Rows]) -> Rows | None:
        if self.reach is None:
            return None
        return self.engine.keep(
            "written_profiles",
            f"""
            SELECT node_id AS profile_id FROM {self.reach.profiles} WHERE node_id IS NOT NULL
            UNION SELECT profile_id FROM {decided_rows["profiles"]}
            """,
        )

    def _scope_of_identifiers(self, decided_rows: Mapping[str, Rows]) -> Rows | None:
        """Give the values that decided records carry, and those they had on the night before and nobody else has."""
        if self.reach is None:
            return None
        return self.engine.keep(
            "written_identifiers",
            f"""
            SELECT identifier_id AS node_id FROM {decided_rows["links"]}
            UNION
            SELECT identifier_id FROM (SELECT profile_id, identifier_id FROM identity.links WHERE {OWN_BEFORE}) AS l
            SEMI JOIN (SELECT node_id AS profile_id FROM {self.reach.profiles}) r USING (profile_id)
            ANTI JOIN {self.reach.outside} o USING (identifier_id)
            """,
        )

    def living(self) -> Rows:
        """Give every OneID of the map, with its number of profiles ``n`` and the ``smallest`` of them."""
        return self.engine.keep(
            "living_numbers",
            """
            SELECT one_id, count(*) AS n, min(profile_id) AS smallest FROM identity.memberships
            WHERE valid_to IS NULL GROUP BY one_id
            """,
        )

    def write_lineage(self, sql: str) -> None:
        """Replace the night's events."""
        self._write(
            self.lake.replace_partition,
            "identity.lineage_events",
            sql,
            happened_on=self.night.business_date,
        )

    def write_one_ids(self, numbers: Numbers, living: Rows, redirects: pa.Table, plan: NightPlan) -> None:
        """Bring kind, status, successor, size and place of every OneID to tonight; none ever leaves the dictionary."""
        kinds = " ".join(f"WHEN {rank} THEN '{kind}'" for rank, kind in enumerate(KINDS))
        self._write_whole(
            self.lake.overwrite,
            "identity.one_ids",
            f"""
            SELECT o.one_id, o.anchor_profile_id, o.created_on,
                   CASE k.kind {kinds} ELSE o.kind END AS kind,
                   CASE WHEN l.one_id IS NOT NULL THEN 'active' WHEN r.from_one_id IS NOT NULL THEN 'merged'
                        ELSE 'retired' END AS status,
                   r.to_one_id AS successor, coalesce(l.n, 0) AS profile_count,
                   coalesce(l.smallest, o.last_profile_id) AS last_profile_id,
                   CASE WHEN l.one_id IS NULL THEN o.last_held_on ELSE $day END AS last_held_on
            FROM identity.one_ids o
            LEFT JOIN {living} l ON l.one_id = o.one_id
            LEFT JOIN {self._kinds(numbers, plan)} k ON k.one_id = o.one_id
            LEFT JOIN {self.engine.take("redirects", redirects)} r ON r.from_one_id = o.one_id
            """,
        )

    def _kinds(self, numbers: Numbers, plan: NightPlan) -> Rows:
        """Give ``one_id, kind``: of who is decided, and of everybody where the dictionary has another night's kinds."""
        decided_kinds = f"SELECT one_id, kind FROM {numbers.people}"
        if plan.is_full or plan.has_kinds_before:
            return self.engine.define("kinds", decided_kinds)
        ranks = " ".join(f"WHEN '{kind}' THEN {rank}" for rank, kind in enumerate(KINDS))
        speaking = ", ".join(f"'{name}'" for name in SPEAKING_NAMESPACES)
        return self.engine.keep(
            "kinds",
            f"""
            {decided_kinds}
            UNION ALL
            SELECT m.one_id, max(CASE WHEN c.kind IS NOT NULL THEN CASE c.kind {ranks} ELSE 0 END
                                      WHEN s.profile_id IS NOT NULL THEN 1 ELSE 0 END)
            FROM (SELECT one_id, profile_id, source, source_key FROM identity.memberships WHERE valid_to IS NULL) m
            LEFT JOIN (
              SELECT source, source_key, min(kind) AS kind FROM trusted.customers WHERE {OPEN}
              GROUP BY source, source_key) c ON c.source = m.source AND c.source_key = m.source_key
            LEFT JOIN (
              SELECT DISTINCT profile_id FROM identity.links
              WHERE valid_to IS NULL AND split_part(namespace, '@', 1) IN ({speaking})) s ON s.profile_id = m.profile_id
            LEFT JOIN (SELECT one_id FROM {numbers.people}) d ON d.one_id = m.one_id
            WHERE d.one_id IS NULL GROUP BY m.one_id
            """,
        )

    def write_golden_records(self, plan: NightPlan, buckets: int) -> None:
        """Bring the golden records to the map of tonight; see ``identity.nights.golden``."""
        engine, night = self.engine, self.night
        documents = self._document_namespaces()
        people = None
        if night.before is not None and not plan.is_full and night.before.rules == rules_as_text(night.rules):
            people = self._changed_people(documents)
        within = "" if people is None else f"SEMI JOIN {people} p USING (one_id)"
        statements = engine.define(
            "statements",
            f"""
            SELECT m.one_id, m.profile_id, m.source, m.source_key, c._feed, c.valid_from,
                   v.profile_id IS NOT NULL AS is_verified, {", ".join(f"c.{name}" for name in ATTRIBUTES)},
                   CAST(m.one_id % {buckets} AS INT) AS bucket
            FROM (
              SELECT one_id, profile_id, source, source_key FROM (
                SELECT one_id, profile_id, source, source_key FROM identity.memberships WHERE valid_to IS NULL) AS r
              {within}) m
            JOIN trusted.customers c ON c.source = m.source AND c.source_key = m.source_key
            LEFT JOIN (
              SELECT DISTINCT profile_id FROM (
                SELECT profile_id, namespace FROM identity.links WHERE valid_to IS NULL AND verified) AS l
              SEMI JOIN {documents} d USING (namespace)
            ) v ON v.profile_id = m.profile_id
            WHERE {qualified(OPEN, "c")}
            """,
        )
        answers = engine.run(
            GoldenKernel(night.rules.golden), {"statements": statements}, by="bucket", buckets=buckets
        )
        self._write_state("identity.golden_records", f"SELECT * FROM {answers['golden_records']}", people)

    def _document_namespaces(self) -> Rows:
        names = [
            row["namespace"]
            for row in self.engine.records("SELECT DISTINCT namespace FROM identity.links ORDER BY namespace")
        ]
        documents = [
            name for name in names
            if (rule := self.night.rules.rule(name)) is not None and rule.kind == "person"
        ]  # fmt: skip
        return self.engine.take(
            "document_namespaces", pa.table({"namespace": pa.array(documents, pa.string())})
        )

    def _changed_people(self, documents: Rows) -> Rows:
        has_changed = "(valid_from > $before OR valid_to > $before)"
        now = "SELECT one_id, profile_id, source, source_key FROM identity.memberships WHERE valid_to IS NULL"
        return self.engine.keep(
            "changed_people",
            f"""
            SELECT one_id FROM identity.memberships WHERE {has_changed}
            UNION SELECT one_id FROM identity.golden_records WHERE {has_changed}
            UNION SELECT one_id FROM ({now}) AS m SEMI JOIN (
              SELECT profile_id FROM (SELECT profile_id, namespace FROM identity.links WHERE {has_changed}) AS l
              SEMI JOIN {documents} d USING (namespace)) h USING (profile_id)
            UNION SELECT one_id FROM ({now}) AS m SEMI JOIN (
              SELECT source, source_key FROM trusted.customers WHERE {has_changed}) r USING (source, source_key)
            """,
        )

    def _write(self, write: Callable[..., object], table: str, sql: str, **options: Any) -> None:
        rows = self.engine.define(table, sql)
        write(table, self.engine.frame(rows), **options)

    def _write_whole(self, write: Callable[..., object], table: str, sql: str, **options: Any) -> None:
        rows = self.engine.define(table, sql)
        write(table, self.engine.table(rows), **options)

    def _write_state(self, table: str, sql: str, scope: Rows | None) -> None:
        rows = f"SELECT r.*, '{self.night.file}' AS _file, CAST(0 AS BIGINT) AS _row FROM ({sql}) AS r"
        self._write_whole(
            self.lake.change_states,
            table,
            rows,
            feed=FEED,
            business_date=self.night.business_date,
            mode="snapshot",
            scope=None if scope is None else self._scope(scope),
        )

    def _scope(self, rows: Rows) -> Scope:
        (column,) = rows.columns
        values = self.engine.table(rows)
        return Scope(column, values[column].combine_chunks() if isinstance(values, pa.Table) else values)
