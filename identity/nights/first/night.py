"""A first night from delivered records to the published map, each step a wave of buckets; the tables are those of any night."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from identity.nights.first.graph import (
    DayRecords,
    Dictionary,
    inputs_of_people,
    link_profiles,
    number_nodes,
    place_profiles,
    read_records,
)
from identity.nights.first.kernels import GoldenKernel, PeopleKernel
from identity.nights.first.numbers import (
    Numbers,
    dictionary_rows,
    has_traces,
    minted_rows,
    number_first_people,
)
from identity.nights.log import NightRow, remove_night, rules_as_text
from identity.nights.night import IdentityNight
from identity.nights.write import FEED
from identity.reading.tables import KINDS, OPEN, open_desk, qualified
from identity.rules.rules import ATTRIBUTES
from lakehouse.engine import Engine, Rows
from lakehouse.engine.duckdb import DuckDBEngine
from lakehouse.errors import GateStopped

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.identity")


@dataclass(frozen=True)
class FirstNight:
    """What a first night did: the row of its log, the number of OneIDs it minted, and links that joined nobody by state."""

    row: NightRow
    minted: int
    refused_links: dict[str, int]


def resolve_first_night(
    lake: Lake, night: IdentityNight, mode_reason: str, *, lap: Callable[[str], None]
) -> FirstNight | None:
    """Decide everybody bucket by bucket and write the tables of identity; None where that is not called for.

    It is where the engine of the night is Spark, or there are more records than one bucket holds; and only while nobody
    has a number from another night.
    """
    if night.before is not None or night.published is not None:
        return None
    limit = lake.settings.engine.bucket_rows
    with open_desk(lake, night.business_date) as desk:
        count = desk.value(f"SELECT count(*) FROM trusted.identifier_observations WHERE {OPEN}")
        is_for_spark = lake.is_for_spark(is_large=count > limit)
        if not is_for_spark and count <= limit:
            return None
        if has_traces(DuckDBEngine(desk)):
            return None
    with (
        _engine(lake, night, is_for_spark=is_for_spark) as engine,
        lake.exchange("identity.components") as folder,
    ):
        log.info("identity: %d observations are decided in buckets by %s", count, engine.name)
        return _Steps(lake, night, engine, folder, lap).resolve(mode_reason, count)


@contextmanager
def _engine(lake: Lake, night: IdentityNight, *, is_for_spark: bool) -> Iterator[Engine]:
    if not is_for_spark:
        with open_desk(lake, night.business_date) as desk:
            yield DuckDBEngine(desk)
        return
    from lakehouse.engine.spark import SparkEngine

    with lake.exchange("identity.rows") as folder:
        engine = SparkEngine(lake.spark, folder, lake.register)
        engine.let(day=night.business_date)
        try:
            yield engine
        finally:
            engine.close()


@dataclass(frozen=True)
class _Steps:
    lake: Lake
    night: IdentityNight
    engine: Engine
    folder: Path
    lap: Callable[[str], None]

    def resolve(self, mode_reason: str, count: int) -> FirstNight:
        engine, night = self.engine, self.night
        # 1. Number records and values, and place who may be one person in one bucket.
        buckets = max(engine.width, -(-count // self.lake.settings.engine.bucket_rows))
        records = read_records(engine, night)
        nodes, carried_rows = number_nodes(engine, records, night, buckets=buckets)
        self.lap("observe")
        links = link_profiles(engine, nodes, carried_rows, night)
        places = place_profiles(
            engine, nodes, links, night, buckets=buckets, folder=self.folder,
            settings=self.lake.settings.components, spark=self._spark,
        )  # fmt: skip
        self._warn_of_large_components(places)
        # 2. Decide bucket by bucket.
        kernel = PeopleKernel(
            night.rules,
            night.business_date,
            tuple(night.decisions),
            records.common_names,
            nodes.highest,
            night.key,
        )
        inputs = inputs_of_people(engine, records, nodes, links, places)
        decided_rows = engine.run(kernel, inputs, by="bucket", buckets=buckets)
        figures = self._figures(decided_rows["figures"])
        self.lap("connect")
        # 3. Number the people.
        numbers = number_first_people(engine, decided_rows["profiles"])
        self.lap("mint")
        # 4. Write dictionaries first, then components and states, then what follows from the map.
        remove_night(self.lake, night.business_date)
        one_ids = dictionary_rows(engine, numbers)
        self._write_dictionaries(nodes, numbers)
        self._write_decisions(decided_rows, numbers)
        self.lap("write_states")
        self._write_map(one_ids, numbers)
        self._write_golden_records(decided_rows, numbers, buckets)
        row = self._row(mode_reason, records, decided_rows["profiles"], numbers, figures)
        minted = engine.records(f"SELECT count(*) AS n FROM {numbers.minted}")[0]["n"]
        return FirstNight(
            row, minted, {name: figures[name] for name in ("expired", "refused") if figures[name]}
        )

    @property
    def _spark(self) -> Callable[[], SparkSession] | None:
        return (lambda: self.lake.spark) if self.engine.name == "spark" else None

    def _warn_of_large_components(self, places: Rows) -> None:
        limit = self.lake.settings.engine.bucket_rows
        largest = self.engine.records(
            f"SELECT coalesce(max(n), 0) AS n FROM (SELECT count(*) AS n FROM {places} GROUP BY component) AS c"
        )[0]["n"]
        if largest > limit:
            log.warning(
                "%d records are connected with one another, more than engine.bucket_rows (%d): they cannot be divided, "
                "and whoever decides them needs memory for all of them; `cdp identity caps` names the values that connect most",
                largest, limit,
            )  # fmt: skip

    def _figures(self, rows: Rows) -> Mapping[str, Any]:
        """Add up what buckets counted; refuse a person that no limit allows, before anything is written."""
        too_large = self.engine.records(
            f"SELECT sentence FROM {rows} WHERE largest > 0 ORDER BY largest DESC, person LIMIT 1"
        )
        if too_large:
            raise GateStopped(too_large[0]["sentence"])
        names = ("violations", "kept_oversized", "refused", "expired")
        sums = ", ".join(f"CAST(coalesce(sum({name}), 0) AS BIGINT) AS {name}" for name in names)
        return self.engine.records(f"SELECT {sums} FROM {rows}")[0]

    def _write(self, write: Callable[..., object], table: str, sql: str, **options: Any) -> None:
        rows = self.engine.define(table, sql)
        write(table, self.engine.frame(rows), **options)

    def _write_whole(self, write: Callable[..., object], table: str, sql: str, **options: Any) -> None:
        rows = self.engine.define(table, sql)
        write(table, self.engine.table(rows), **options)

    def _write_state(self, table: str, sql: str) -> None:
        rows = f"SELECT r.*, '{self.night.file}' AS _file, CAST(0 AS BIGINT) AS _row FROM ({sql}) AS r"
        self._write_whole(
            self.lake.change_states,
            table,
            rows,
            feed=FEED,
            business_date=self.night.business_date,
            mode="snapshot",
        )

    def _write_dictionaries(self, nodes: Dictionary, numbers: Numbers) -> None:
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
        self._write(
            self.lake.append, "identity.one_ids", f"SELECT * FROM {minted_rows(self.engine, numbers.minted)}"
        )

    def _write_decisions(self, decided_rows: Mapping[str, Rows], numbers: Numbers) -> None:
        # Components come first: they tell a later attempt what this one decided.
        self._write_whole(
            self.lake.overwrite,
            "identity.components",
            f"SELECT *, $day AS computed_on FROM {decided_rows['components']}",
        )
        self._write_whole(
            self.lake.overwrite, "identity.refused_links", f"SELECT * FROM {decided_rows['refused_links']}"
        )
        self._write_state("identity.links", f"SELECT * FROM {decided_rows['links']}")
        # A value on too many records is one in several buckets.
        self._write_state("identity.node_states", f"SELECT DISTINCT * FROM {decided_rows['node_states']}")
        self._write_state("identity.memberships", self._memberships(decided_rows, numbers))

    def _memberships(self, decided_rows: Mapping[str, Rows], numbers: Numbers) -> str:
        return f"""
        SELECT n.one_id, p.source, p.source_key, p.profile_id
        FROM {decided_rows["profiles"]} p JOIN {numbers.people} n ON n.anchor = p.person
        """

    def _write_map(self, one_ids: Rows, numbers: Numbers) -> None:
        self._write(
            self.lake.replace_partition,
            "identity.lineage_events",
            f"""
            SELECT $day AS happened_on, 'CREATE' AS event, CAST(NULL AS BIGINT) AS from_one_id, one_id AS to_one_id,
                   profiles AS profile_count, 'links' AS cause, '{self.night.rules.version}' AS rules_version,
                   CAST(NULL AS BIGINT) AS corrects
            FROM {numbers.people}
            """,
            happened_on=self.night.business_date,
        )
        redirects = pa.table({name: pa.array([], pa.int64()) for name in ("from_one_id", "to_one_id")})
        self.lake.overwrite("identity.redirects", redirects)
        self._write_whole(self.lake.overwrite, "identity.one_ids", f"SELECT * FROM {one_ids}")

    def _write_golden_records(self, decided_rows: Mapping[str, Rows], numbers: Numbers, buckets: int) -> None:
        engine, rules = self.engine, self.night.rules
        links = decided_rows["links"]
        names = [row["namespace"] for row in engine.records(f"SELECT DISTINCT namespace FROM {links}")]
        documents = [
            name for name in sorted(names) if (rule := rules.rule(name)) is not None and rule.kind == "person"
        ]
        namespaces = engine.take(
            "document_namespaces", pa.table({"namespace": pa.array(documents, pa.string())})
        )
        statements = engine.define(
            "statements",
            f"""
            SELECT m.one_id, m.profile_id, m.source, m.source_key, c._feed, c.valid_from,
                   v.profile_id IS NOT NULL AS is_verified, {", ".join(f"c.{name}" for name in ATTRIBUTES)},
                   CAST(m.one_id % {buckets} AS INT) AS bucket
            FROM ({self._memberships(decided_rows, numbers)}) m
            JOIN trusted.customers c ON c.source = m.source AND c.source_key = m.source_key
            LEFT JOIN (
              SELECT DISTINCT l.profile_id FROM {links} l SEMI JOIN {namespaces} d USING (namespace) WHERE l.verified
            ) v ON v.profile_id = m.profile_id
            WHERE {qualified(OPEN, "c")}
            """,
        )
        answers = engine.run(
            GoldenKernel(rules.golden), {"statements": statements}, by="bucket", buckets=buckets
        )
        self._write_state("identity.golden_records", f"SELECT * FROM {answers['golden_records']}")

    def _row(
        self,
        mode_reason: str,
        records: DayRecords,
        profiles: Rows,
        numbers: Numbers,
        figures: Mapping[str, Any],
    ) -> NightRow:
        engine, night = self.engine, self.night
        sizes = engine.records(
            f"""
            SELECT CAST(coalesce(sum(profiles), 0) AS BIGINT) AS profiles, count(*) AS one_ids,
                   coalesce(max(profiles), 0) AS largest,
                   CAST(coalesce(sum(CASE WHEN profiles > 1 THEN profiles END), 0) AS BIGINT) AS joined
            FROM {numbers.people}
            """
        )[0]
        uncovered = engine.records(
            f"""
            SELECT count(*) AS n FROM (
              SELECT DISTINCT source, source_key FROM (
                SELECT source, source_key FROM {records.customers} UNION ALL
                SELECT source, source_key FROM {records.observations}) AS r) AS k
            ANTI JOIN {profiles} p USING (source, source_key)
            """
        )[0]["n"]
        with open_desk(self.lake, night.business_date) as desk:
            kinds = desk.value(KINDS)
        return NightRow(
            mode="full",
            mode_reason=mode_reason,
            rules_version=night.rules.version,
            rules=rules_as_text(night.rules),
            decisions=night.decisions_text,
            reached_counts="{}",
            kinds=kinds,
            touched_profiles=sizes["profiles"],
            profiles=sizes["profiles"],
            one_ids=sizes["one_ids"],
            largest_person=sizes["largest"],
            kept_oversized=figures["kept_oversized"],
            violations=figures["violations"],
            uncovered=uncovered,
            joined_profiles=sizes["joined"],
        )
