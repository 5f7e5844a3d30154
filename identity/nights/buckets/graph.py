"""The graph of a night as rows of an engine: numbered records and values, who carries what, and raw components."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from identity.components import components
from identity.joining.limits import carrier_limits
from identity.nights.buckets.kernels import ValuesKernel
from identity.reading import facts
from identity.reading.records import COLUMNS
from identity.reading.tables import OPEN
from lakehouse.engine.duckdb import DuckDBEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession

    from identity.nights.night import IdentityNight
    from identity.nights.plan import Reach
    from lakehouse.engine import Engine, Rows
    from lakehouse.query.desk import Desk, Relation
    from lakehouse.settings.settings import ComponentSettings

log = logging.getLogger("cdp.identity")


@dataclass(frozen=True)
class ReachRows:
    """What a night decides that does not decide everybody, as rows of the engine; see ``identity.nights.plan.Reach``."""

    profiles: Rows
    raw_components: Rows
    outside: Rows
    common_names: pa.Table


@dataclass(frozen=True)
class DayRecords:
    """Delivered rows that are open on the day and decided, and the names that are nobody's."""

    customers: Rows
    observations: Rows
    common_names: pa.Table


@dataclass(frozen=True)
class Dictionary:
    """DayRecords and values with their numbers: ``node_id, source, source_key`` and ``node_id, namespace, value``.

    ``new_profiles`` and ``new_identifiers`` (with ``masked``) are those the table does not have; ``highest`` is the largest number.
    """

    profiles: Rows
    identifiers: Rows
    new_profiles: Rows
    new_identifiers: Rows
    highest: int


@dataclass(frozen=True)
class NumberedLinks:
    """Who carries what: ``profile_id, identifier_id, joins``; and ``identifier_id, n`` of values on too many records."""

    rows: Rows
    crowded: Rows


def rows_of_reach(engine: Engine, desk: Desk, reach: Reach | None) -> ReachRows | None:
    """Hand what the plan has found at its desk to the engine; what works at the same desk has it already."""
    if reach is None:
        return None

    def at_engine(label: str, relation: Relation) -> Rows:
        if isinstance(engine, DuckDBEngine) and engine.desk is desk:
            return relation
        return engine.take(label, desk.arrow(f"SELECT * FROM {relation}"))

    return ReachRows(
        at_engine("reached_profiles", reach.profiles),
        at_engine("reached_components", reach.raw_components),
        at_engine("carriers_outside", reach.outside),
        desk.arrow(f"SELECT source, full_name FROM {reach.common_names}"),
    )


def read_records(engine: Engine, night: IdentityNight, reach: ReachRows | None) -> DayRecords:
    """Read the records of the day, of everybody or of whom the night reaches."""
    within = "" if reach is None else f"SEMI JOIN {reach.profiles} p USING (source, source_key)"
    customers, observations = (
        engine.define(
            table.partition(".")[2],
            f"SELECT {', '.join(columns)} FROM (SELECT {', '.join(columns)} FROM {table} WHERE {OPEN}) AS r {within}",
        )
        for table, columns in COLUMNS.items()
    )
    common = _common_names(engine, customers, night) if reach is None else reach.common_names
    return DayRecords(customers, observations, common)


def _common_names(engine: Engine, customers: Rows, night: IdentityNight) -> pa.Table:
    text = {"source": pa.string(), "full_name": pa.string(), "n": pa.int64()}
    sizes = engine.records(f"SELECT source, count(*) AS n FROM {customers} GROUP BY source")
    names = engine.records(
        f"""
        SELECT source, full_name, count(*) AS n FROM {customers} WHERE full_name IS NOT NULL
        GROUP BY source, full_name HAVING count(*) >= {facts.LEAST_COMMON}
        """
    )
    return facts.common_among(
        pa.Table.from_pylist(names, schema=pa.schema(text)),
        night.rules,
        pa.Table.from_pylist(sizes, schema=pa.schema({"source": pa.string(), "n": pa.int64()})),
    )


def number_nodes(
    engine: Engine, records: DayRecords, night: IdentityNight, *, buckets: int
) -> tuple[Dictionary, Rows]:
    """Give the dictionary with a number for all it does not have, in the order of keys; and what records carry, by keys."""
    by_value = engine.bucket_of(("namespace", "value"), buckets)
    observed = engine.define(
        "observed",
        f"SELECT *, {by_value} AS bucket FROM {records.observations} WHERE role = 'identity'",
    )
    answers = engine.run(
        ValuesKernel(night.rules, night.key), {"observations": observed}, by="bucket", buckets=buckets
    )
    known_profiles = engine.define(
        "known_profiles", "SELECT node_id, source, source_key FROM identity.nodes WHERE kind = 'profile'"
    )
    known_identifiers = engine.define(
        "known_identifiers", "SELECT node_id, namespace, value FROM identity.nodes WHERE kind = 'identifier'"
    )
    keys = engine.keep(
        "record_keys",
        f"""
        SELECT DISTINCT source, source_key FROM (
          SELECT source, source_key FROM {records.customers} UNION ALL
          SELECT source, source_key FROM {records.observations}) AS r
        """,
    )
    values = engine.keep(
        "distinct_values",
        f"SELECT namespace, value, min(masked) AS masked FROM {answers['values']} GROUP BY namespace, value",
    )
    highest = engine.records("SELECT coalesce(max(node_id), 0) AS n FROM identity.nodes")[0]["n"]
    new_profiles = engine.number(
        "new_profiles",
        f"SELECT k.source, k.source_key FROM {keys} k ANTI JOIN {known_profiles} n USING (source, source_key)",
        order=("source", "source_key"), name="node_id", after=highest,
    )  # fmt: skip
    highest += engine.records(f"SELECT count(*) AS n FROM {new_profiles}")[0]["n"]
    new_identifiers = engine.number(
        "new_identifiers",
        f"SELECT v.namespace, v.value, v.masked FROM {values} v ANTI JOIN {known_identifiers} n USING (namespace, value)",
        order=("namespace", "value"), name="node_id", after=highest,
    )  # fmt: skip
    highest += engine.records(f"SELECT count(*) AS n FROM {new_identifiers}")[0]["n"]
    profiles = engine.keep(
        "profile_nodes",
        f"""
        SELECT n.node_id, k.source, k.source_key FROM {keys} k JOIN {known_profiles} n USING (source, source_key)
        UNION ALL SELECT node_id, source, source_key FROM {new_profiles}
        """,
    )
    identifiers = engine.keep(
        "identifier_nodes",
        f"""
        SELECT n.node_id, v.namespace, v.value FROM {values} v JOIN {known_identifiers} n USING (namespace, value)
        UNION ALL SELECT node_id, namespace, value FROM {new_identifiers}
        """,
    )
    engine.drop(answers["values"], keys, values)
    return Dictionary(profiles, identifiers, new_profiles, new_identifiers, highest), answers["carried"]


def link_profiles(
    engine: Engine, nodes: Dictionary, carried_rows: Rows, night: IdentityNight, reach: ReachRows | None
) -> NumberedLinks:
    """Put numbers in place of keys, and find the values that are on more records than their limit, decided or not."""
    rows = engine.keep(
        "links",
        f"""
        SELECT DISTINCT p.node_id AS profile_id, i.node_id AS identifier_id, i.namespace, c.joins
        FROM {carried_rows} c JOIN {nodes.profiles} p USING (source, source_key)
        JOIN {nodes.identifiers} i USING (namespace, value)
        """,
    )
    engine.drop(carried_rows)
    names = [
        row["namespace"] for row in engine.records(f"SELECT DISTINCT namespace FROM {nodes.identifiers}")
    ]
    most = carrier_limits(night.rules, sorted(names))
    limits = engine.take(
        "carrier_limits",
        pa.table(
            {"namespace": pa.array(list(most), pa.string()), "most": pa.array(most.values(), pa.int64())}
        ),
    )
    n, others = "c.n", ""
    if reach is not None:
        n = "c.n + coalesce(o.n, 0)"
        others = f"LEFT JOIN {reach.outside} o ON o.identifier_id = c.identifier_id"
    crowded = engine.keep(
        "crowded_values",
        f"""
        SELECT c.identifier_id, {n} AS n FROM (
          SELECT identifier_id, namespace, count(*) AS n FROM {rows} GROUP BY identifier_id, namespace) c
        JOIN {limits} m ON m.namespace = c.namespace {others} WHERE {n} > m.most
        """,
    )
    return NumberedLinks(rows, crowded)


def place_profiles(
    engine: Engine,
    nodes: Dictionary,
    links: NumberedLinks,
    night: IdentityNight,
    *,
    buckets: int,
    folder: Path,
    settings: ComponentSettings,
    spark: Callable[[], SparkSession] | None,
) -> Rows:
    """Give ``profile_id, source, source_key, bucket``: who may be one person stands in one bucket.

    Profiles stand together that good values or a must-link connect, before any refusal and whether a window is over or
    not: whole raw components, and sometimes several of them.
    """
    decided_pairs = engine.take("must_links", _must_links(night))
    ends = engine.keep(
        "ends",
        f"""
        SELECT l.profile_id AS source, l.identifier_id AS target FROM {links.rows} l
        ANTI JOIN {links.crowded} c USING (identifier_id) WHERE l.joins
        UNION ALL
        SELECT a.node_id, b.node_id FROM {decided_pairs} d
        JOIN {nodes.profiles} a ON a.source = d.source_a AND a.source_key = d.key_a
        JOIN {nodes.profiles} b ON b.source = d.source_b AND b.source_key = d.key_b
        """,
    )
    answer = components(engine.table(ends), folder, settings=settings, spark=spark)
    engine.drop(ends)
    together = engine.take("components_of_nodes", answer.rows)
    places = engine.keep(
        "placed_profiles",
        f"""
        SELECT p.node_id AS profile_id, p.source, p.source_key, coalesce(c.component, p.node_id) AS component,
               CAST(coalesce(c.component, p.node_id) % {buckets} AS INT) AS bucket
        FROM {nodes.profiles} p LEFT JOIN {together} c ON c.node_id = p.node_id
        """,
    )
    engine.drop(together)
    return places


def _must_links(night: IdentityNight) -> pa.Table:
    rows = [
        dict(zip(("source_a", "key_a", "source_b", "key_b"), (*decision.a, *decision.b), strict=True))
        for decision in night.decisions
        if decision.kind == "must_link"
    ]
    names = ("source_a", "key_a", "source_b", "key_b")
    return pa.Table.from_pylist(rows, schema=pa.schema(dict.fromkeys(names, pa.string())))


def inputs_of_people(
    engine: Engine, records: DayRecords, nodes: Dictionary, links: NumberedLinks, places: Rows
) -> dict[str, Rows]:
    """Give what a bucket of people is decided from (see ``PeopleKernel.takes``), with the ``bucket`` of every row."""
    customers, observations = (
        engine.define(
            f"placed_{name}", f"SELECT r.*, p.bucket FROM {rows} r JOIN {places} p USING (source, source_key)"
        )
        for name, rows in (("customers", records.customers), ("observations", records.observations))
    )
    placed_nodes = engine.define(
        "placed_nodes",
        f"""
        SELECT bucket, profile_id AS node_id, 'profile' AS kind, source, source_key,
               CAST(NULL AS STRING) AS namespace, CAST(NULL AS STRING) AS value
        FROM {places}
        UNION ALL
        SELECT h.bucket, h.identifier_id, 'identifier', CAST(NULL AS STRING), CAST(NULL AS STRING), i.namespace, i.value
        FROM (SELECT DISTINCT p.bucket, l.identifier_id FROM {links.rows} l JOIN {places} p USING (profile_id)) h
        JOIN {nodes.identifiers} i ON i.node_id = h.identifier_id
        """,
    )
    outside = engine.define(
        "carriers_outside",
        f"""
        SELECT h.bucket, h.identifier_id, c.n - h.n AS n FROM (
          SELECT p.bucket, l.identifier_id, count(*) AS n
          FROM {links.rows} l SEMI JOIN {links.crowded} w USING (identifier_id) JOIN {places} p USING (profile_id)
          GROUP BY p.bucket, l.identifier_id) h
        JOIN {links.crowded} c USING (identifier_id) WHERE c.n > h.n
        """,
    )
    return {
        "customers": customers,
        "observations": observations,
        "nodes": placed_nodes,
        "outside": outside,
    }
