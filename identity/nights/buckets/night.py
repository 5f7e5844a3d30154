"""A night from delivered records to the published map, each step a wave of buckets; the tables are those of any night."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from identity.nights.buckets.comparison import (
    causes_of_numbers,
    lineage_of_night,
    moves_of_night,
    reached_profiles,
)
from identity.nights.buckets.graph import (
    DayRecords,
    Dictionary,
    ReachRows,
    inputs_of_people,
    link_profiles,
    number_nodes,
    place_profiles,
    read_records,
    rows_of_reach,
)
from identity.nights.buckets.kernels import PeopleKernel
from identity.nights.buckets.numbers import minted_rows, number_people_in_buckets
from identity.nights.buckets.tables import BucketTables
from identity.nights.corrections import corrections_of, write_corrections
from identity.nights.figures import share_of_joins_lost
from identity.nights.log import NightRow, remove_night, rules_as_text
from identity.nights.night import IdentityNight
from identity.nights.plan import NightPlan
from identity.nights.stability import Moves
from identity.nights.write import steps_of_numbers, write_redirects
from identity.reading.tables import KINDS, OPEN, OWN_BEFORE, open_desk
from lakehouse.engine import Engine, Rows
from lakehouse.engine.duckdb import DuckDBEngine
from lakehouse.errors import GateStopped
from lakehouse.query.desk import Desk

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.identity")


@dataclass(frozen=True)
class BucketNight:
    """What a night in buckets did: the row of its log, OneIDs it minted, events, and links that joined nobody by state."""

    row: NightRow
    minted: int
    events: dict[str, int]
    refused_links: dict[str, int]


def resolve_in_buckets(
    lake: Lake, desk: Desk, night: IdentityNight, plan: NightPlan, *, lap: Callable[[str], None]
) -> BucketNight | None:
    """Decide what is planned bucket by bucket and write the tables of identity; None where that is not called for.

    It is called for where more is decided than one bucket holds. Spark, where it is the engine, decides everybody in
    buckets, and a part of them where the part or the dictionary of nodes is larger than a bucket.
    """
    limit = lake.settings.engine.bucket_rows
    within = "" if plan.reach is None else f"SEMI JOIN {plan.reach.profiles} p USING (source, source_key)"
    count = desk.value(
        f"SELECT count(*) FROM (SELECT source, source_key FROM trusted.identifier_observations WHERE {OPEN}) {within}"
    )
    is_large = count > limit
    if plan.reach is None:
        is_for_spark = lake.is_for_spark(is_large=is_large)
    else:
        is_wide = is_large or desk.value("SELECT count(*) FROM identity.nodes") > limit
        is_for_spark = is_wide and lake.is_for_spark(is_large=True)
    if not is_for_spark and not is_large:
        return None
    with (
        _engine(lake, desk, night, is_for_spark=is_for_spark) as engine,
        lake.exchange("identity.components") as folder,
    ):
        log.info("identity: %d observations are decided in buckets by %s", count, engine.name)
        reach = rows_of_reach(engine, desk, plan.reach)
        tables = BucketTables(lake, night, engine, reach)
        return _Steps(lake, night, plan, engine, reach, tables, folder, lap).resolve(count)


@contextmanager
def _engine(lake: Lake, desk: Desk, night: IdentityNight, *, is_for_spark: bool) -> Iterator[Engine]:
    if not is_for_spark:
        yield DuckDBEngine(desk)
        return
    from lakehouse.engine.spark import SparkEngine

    with lake.exchange("identity.rows") as folder:
        engine = SparkEngine(lake.spark, folder, lake.register)
        engine.let(day=night.business_date)
        if night.before is not None:
            engine.let(before=night.before.business_date)
        try:
            yield engine
        finally:
            engine.close()


@dataclass(frozen=True)
class _Steps:
    lake: Lake
    night: IdentityNight
    plan: NightPlan
    engine: Engine
    reach: ReachRows | None
    tables: BucketTables
    folder: Path
    lap: Callable[[str], None]

    def resolve(self, count: int) -> BucketNight:
        engine, night, plan = self.engine, self.night, self.plan
        # 1. Number records and values, and place who may be one person in one bucket.
        buckets = max(engine.width, -(-count // self.lake.settings.engine.bucket_rows))
        records = read_records(engine, night, self.reach)
        nodes, carried_rows = number_nodes(engine, records, night, buckets=buckets)
        self.lap("observe")
        # 2. Decide bucket by bucket.
        decided_rows = self._decide(records, nodes, carried_rows, buckets)
        figures = self._figures(decided_rows["figures"])
        self.lap("connect")
        # 3. Number the people, and compare them with those of the night before.
        numbers = number_people_in_buckets(
            engine, night, decided_rows["profiles"], self.reach, buckets=buckets,
            folder=self.folder / "numbers", settings=self.lake.settings.components, spark=self._spark,
        )  # fmt: skip
        reached_rows = reached_profiles(engine, plan)
        causes = causes_of_numbers(engine, plan, decided_rows, numbers, reached_rows)
        moves = moves_of_night(engine, plan, decided_rows["profiles"], numbers, causes, reached_rows)
        minted = self._count(str(numbers.minted))
        self.lap("mint")
        # 4. Write dictionaries first, then components and states.
        remove_night(self.lake, night.business_date)
        self.tables.write_dictionaries(nodes, minted_rows(engine, numbers.minted))
        self.tables.write_decided(decided_rows, numbers)
        self.lap("write_states")
        # 5. Write what follows from the new map: what became of numbers first.
        living = self.tables.living()
        with open_desk(self.lake, night.business_date) as desk:
            corrections = corrections_of(desk, night, night.published)
            write_corrections(self.lake, night, corrections)
            self.tables.write_lineage(lineage_of_night(engine, night, numbers, causes, corrections))
            steps = steps_of_numbers(desk)
            redirects = write_redirects(self.lake, steps, self._living_among(steps, living))
            self.tables.write_one_ids(numbers, living, redirects, plan)
            self.tables.write_golden_records(plan, buckets)
            row = self._row(desk.value(KINDS), decided_rows["profiles"], living, figures, moves)
        events = engine.records(
            f"SELECT event, count(*) AS n FROM {numbers.events} GROUP BY event ORDER BY event"
        )
        return BucketNight(
            row,
            minted,
            {event["event"]: event["n"] for event in events},
            {name: figures[name] for name in ("expired", "refused") if figures[name]},
        )

    def _decide(
        self, records: DayRecords, nodes: Dictionary, carried_rows: Rows, buckets: int
    ) -> Mapping[str, Rows]:
        engine, night = self.engine, self.night
        links = link_profiles(engine, nodes, carried_rows, night, self.reach)
        folder = self.folder / "raw"
        folder.mkdir()
        places = place_profiles(
            engine, nodes, links, night, buckets=buckets, folder=folder,
            settings=self.lake.settings.components, spark=self._spark,
        )  # fmt: skip
        self._warn_of_large_components(places)
        kernel = PeopleKernel(
            night.rules,
            night.business_date,
            tuple(night.decisions),
            records.common_names,
            nodes.highest,
            night.key,
        )
        inputs = inputs_of_people(engine, records, nodes, links, places)
        return engine.run(kernel, inputs, by="bucket", buckets=buckets)

    @property
    def _spark(self) -> Callable[[], SparkSession] | None:
        return (lambda: self.lake.spark) if self.engine.name == "spark" else None

    def _count(self, rows: str) -> int:
        return int(self.engine.records(f"SELECT count(*) AS n FROM {rows}")[0]["n"])

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

    def _living_among(self, steps: list[tuple[str, int, int, date]], living: Rows) -> set[int]:
        """Give those of the numbers that ever merged that somebody has."""
        ids = sorted({one_id for event, one_id, *_ in steps if event == "MERGE"})
        if not ids:
            return set()
        merged_ids = self.engine.take("merged_numbers", pa.table({"one_id": pa.array(ids, pa.int64())}))
        rows = self.engine.records(
            f"SELECT one_id FROM (SELECT one_id FROM {living}) AS l SEMI JOIN {merged_ids} m USING (one_id)"
        )
        return {row["one_id"] for row in rows}

    def _row(
        self, kinds: str, profiles: Rows, living: Rows, figures: Mapping[str, Any], moves: Moves
    ) -> NightRow:
        engine, night, plan = self.engine, self.night, self.plan
        sizes = engine.records(
            f"""
            SELECT CAST(coalesce(sum(n), 0) AS BIGINT) AS profiles, count(*) AS one_ids, coalesce(max(n), 0) AS largest,
                   CAST(coalesce(sum(CASE WHEN n > 1 THEN n END), 0) AS BIGINT) AS joined
            FROM {living}
            """
        )[0]
        return NightRow(
            mode="full" if plan.is_full else "changes",
            mode_reason=plan.full_reason,
            rules_version=night.rules.version,
            rules=rules_as_text(night.rules),
            decisions=night.decisions_text,
            reached_counts=json.dumps(
                {cause: n for cause, n in plan.counts.items() if cause != "attempt"}, sort_keys=True
            ),
            kinds=kinds,
            touched_profiles=self._count(str(profiles)),
            profiles=sizes["profiles"],
            one_ids=sizes["one_ids"],
            largest_person=sizes["largest"],
            kept_oversized=figures["kept_oversized"],
            violations=figures["violations"],
            largest_growth=moves.largest_growth,
            known_profiles=self._count(f"(SELECT 1 AS a FROM identity.memberships WHERE {OWN_BEFORE}) AS m"),
            moves_by_cause=json.dumps(moves.by_cause, sort_keys=True),
            moved_quietly=moves.quietly,
            moved_untouched=moves.untouched,
            uncovered=self._uncovered(),
            joined_profiles=sizes["joined"],
            joined_share_lost=share_of_joins_lost(night.before, sizes["joined"], sizes["profiles"]),
        )

    def _uncovered(self) -> int:
        """Count records that came since the night before and are in no map."""
        since = "" if self.night.before is None else "AND valid_from > $before"
        records = " UNION ".join(
            f"SELECT source, source_key FROM trusted.{table} WHERE {OPEN} {since}"
            for table in ("customers", "identifier_observations")
        )
        return self._count(
            f"""
            ({records}) AS k ANTI JOIN (
              SELECT source, source_key FROM identity.memberships WHERE valid_to IS NULL) m USING (source, source_key)
            """
        )
