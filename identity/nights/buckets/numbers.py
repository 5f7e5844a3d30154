"""Numbers of a night in buckets: what the map remembers, then what the dictionary does, then new ones in the order of profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from identity.components import components
from identity.nights.buckets.kernels import NumbersKernel
from identity.numbering.mint import FIRST_ONE_ID
from identity.reading.holdings import SCHEMA, define_holdings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession

    from identity.nights.buckets.graph import ReachRows
    from identity.nights.night import IdentityNight
    from lakehouse.engine import Engine, Rows
    from lakehouse.settings.settings import ComponentSettings


@dataclass(frozen=True)
class Numbers:
    """``people`` (``anchor, profiles, kind, one_id``), one row each, and ``minted`` (``anchor, one_id``).

    ``before`` (``profile_id, one_id``) is the map of the night before, of the profiles that are decided. ``events``
    (``event, from_one_id, to_one_id, profile_count``) are the differences to it.
    """

    people: Rows
    minted: Rows
    before: Rows
    events: Rows


def number_people_in_buckets(
    engine: Engine,
    night: IdentityNight,
    profiles: Rows,
    reach: ReachRows | None,
    *,
    buckets: int,
    folder: Path,
    settings: ComponentSettings,
    spark: Callable[[], SparkSession] | None,
) -> Numbers:
    """Give numbers to the people of ``profiles`` (``profile_id, person, kind, weight``), as ``identity.numbering`` does.

    A number that somebody held goes to who remembers it; one that no map knows is found by the smallest profile of who
    held it last, else of whom it was minted for; else one is minted.
    """
    people = engine.keep(
        "people",
        f"SELECT person AS anchor, count(*) AS profiles, max(kind) AS kind FROM {profiles} GROUP BY person",
    )
    holdings = _holdings(engine, night, reach)
    places = _places_of_numbers(engine, profiles, holdings, buckets, folder, settings, spark)
    inputs = _inputs(engine, profiles, holdings, places)
    answers = engine.run(NumbersKernel(night.business_date), inputs, by="bucket", buckets=buckets)
    people_served = _serve(engine, people, answers["people"], holdings)
    highest = engine.records(
        f"SELECT greatest(coalesce(max(one_id), 0), {FIRST_ONE_ID - 1}) AS n FROM identity.one_ids"
    )
    minted = engine.number(
        "minted",
        f"SELECT anchor FROM {people_served} WHERE one_id IS NULL",
        order=("anchor",), name="one_id", after=highest[0]["n"],
    )  # fmt: skip
    numbered = engine.keep(
        "numbered_people",
        f"""
        SELECT p.anchor, p.profiles, p.kind, coalesce(p.one_id, m.one_id) AS one_id, p.has_id_before
        FROM {people_served} p LEFT JOIN {minted} m ON m.anchor = p.anchor
        """,
    )
    counts = engine.records(
        f"SELECT count(*) AS people, count(one_id) AS numbered, count(DISTINCT one_id) AS numbers FROM {numbered}"
    )[0]
    if len(set(counts.values())) != 1:
        raise AssertionError("a person has no OneID or two persons have the same; nothing was written")
    before = engine.keep(
        "map_before", f"SELECT profile_id, one_id FROM {holdings} WHERE is_last AND is_decided"
    )
    events = _events(engine, numbered, profiles, holdings, before, answers["events"])
    engine.drop(holdings, people_served)
    return Numbers(numbered, minted, before, events)


def _holdings(engine: Engine, night: IdentityNight, reach: ReachRows | None) -> Rows:
    """Keep who held what (see ``NumbersKernel``), of everybody."""
    rows = define_holdings(engine, night.published)
    if reach is None:
        sql = f"SELECT h.*, true AS is_decided, false AS is_stated FROM {rows} h"
    else:
        sql = f"""
        SELECT h.*, r.node_id IS NOT NULL AS is_decided, s.profile_id IS NOT NULL AS is_stated FROM {rows} h
        LEFT JOIN (SELECT DISTINCT node_id FROM {reach.profiles}) r ON r.node_id = h.profile_id
        LEFT JOIN (SELECT DISTINCT profile_id FROM {rows} WHERE is_last) s ON s.profile_id = h.profile_id
        """
    return engine.keep("marked_holdings", sql)


def _places_of_numbers(
    engine: Engine,
    profiles: Rows,
    holdings: Rows,
    buckets: int,
    folder: Path,
    settings: ComponentSettings,
    spark: Callable[[], SparkSession] | None,
) -> Rows:
    """Give ``person, one_id, bucket``: persons of tonight and the numbers their records ever held.

    Persons that ever shared a number stand in one bucket. Only these are connected, so what that takes grows with the
    people whose numbers are in question, not with the map.
    """
    pairs = engine.keep(
        "persons_and_numbers",
        f"SELECT DISTINCT p.person, h.one_id FROM {holdings} h JOIN {profiles} p ON p.profile_id = h.profile_id",
    )
    ends = engine.keep(
        "shared_numbers",
        f"""
        SELECT person AS source, first_person AS target FROM (
          SELECT person, min(person) OVER (PARTITION BY one_id) AS first_person FROM {pairs}) AS r
        WHERE person <> first_person
        """,
    )
    folder.mkdir()
    answer = components(engine.table(ends), folder, settings=settings, spark=spark)
    together = engine.take("components_of_persons", answer.rows)
    return engine.keep(
        "places_of_numbers",
        f"""
        SELECT p.person, p.one_id, CAST(coalesce(c.component, p.person) % {buckets} AS INT) AS bucket
        FROM {pairs} p LEFT JOIN {together} c ON c.node_id = p.person
        """,
    )


def _inputs(engine: Engine, profiles: Rows, holdings: Rows, places: Rows) -> dict[str, Rows]:
    return {
        "profiles": engine.define(
            "placed_people",
            f"""
            SELECT p.profile_id, p.person, p.weight, p.kind > 0 AS is_known, n.bucket FROM {profiles} p
            JOIN (SELECT DISTINCT person, bucket FROM {places}) n ON n.person = p.person
            """,
        ),
        "holdings": engine.define(
            "placed_holdings",
            f"""
            SELECT {", ".join(f"h.{name}" for name in SCHEMA.names)}, h.is_decided, h.is_stated, n.bucket
            FROM {holdings} h JOIN (SELECT DISTINCT one_id, bucket FROM {places}) n ON n.one_id = h.one_id
            """,
        ),
    }


def _serve(engine: Engine, people: Rows, answers: Rows, holdings: Rows) -> Rows:
    """Give the people with the number they have, null where one is to be minted.

    Who the map gives none has the one that no map knows and that was last held at its smallest profile, else minted for it.
    """
    free = engine.keep(
        "numbers_of_no_map",
        f"""
        SELECT one_id, anchor_profile_id, last_profile_id, last_held_on, status FROM (
          SELECT one_id, anchor_profile_id, last_profile_id, last_held_on, status FROM identity.one_ids) AS o
        ANTI JOIN (SELECT DISTINCT one_id FROM {holdings}) h USING (one_id)
        """,
    )
    # Where a number was held after the day, in a night that is replayed, says nothing of the day.
    has_place = "last_profile_id IS NOT NULL AND last_held_on <= $day"
    return engine.keep(
        "served_people",
        f"""
        SELECT p.anchor, p.profiles, p.kind, coalesce(m.one_id, h.one_id, a.one_id) AS one_id,
               coalesce(m.has_id_before, false) AS has_id_before
        FROM {people} p
        LEFT JOIN {answers} m ON m.anchor = p.anchor
        LEFT JOIN (
          SELECT anchor, one_id FROM (
            SELECT last_profile_id AS anchor, one_id, row_number() OVER (
              PARTITION BY last_profile_id
              ORDER BY last_held_on DESC, CASE WHEN status = 'active' THEN 0 ELSE 1 END, one_id) AS place
            FROM {free} WHERE {has_place}) AS r
          WHERE place = 1) h ON h.anchor = p.anchor
        LEFT JOIN (
          SELECT anchor_profile_id AS anchor, min(one_id) AS one_id FROM {free}
          WHERE NOT coalesce({has_place}, false) GROUP BY anchor_profile_id) a ON a.anchor = p.anchor
        """,
    )


def _events(
    engine: Engine, people: Rows, profiles: Rows, holdings: Rows, before: Rows, changes: Rows
) -> Rows:
    """Give what became of numbers: those that did not simply stay, that are new or live again, and that nobody has."""
    has_nights = engine.records(f"SELECT count(*) AS n FROM {holdings} WHERE NOT is_published")[0]["n"] > 0
    earlier = (
        f"SELECT DISTINCT one_id FROM {holdings} WHERE NOT is_published OR NOT is_decided"
        if has_nights
        else "SELECT one_id FROM identity.one_ids WHERE last_profile_id IS NOT NULL AND last_held_on < $day"
    )
    nobody = "CAST(NULL AS BIGINT)"
    return engine.keep(
        "events",
        f"""
        SELECT c.event, c.from_one_id, p.one_id AS to_one_id, c.profile_count
        FROM {changes} c JOIN {people} p ON p.anchor = c.anchor
        UNION ALL
        SELECT CASE WHEN e.one_id IS NULL THEN 'CREATE' ELSE 'RESURRECT' END, {nobody}, p.one_id, p.profiles
        FROM (SELECT one_id, profiles, has_id_before FROM {people}) p
        LEFT JOIN ({earlier}) e ON e.one_id = p.one_id
        LEFT JOIN (SELECT DISTINCT one_id FROM {before}) l ON l.one_id = p.one_id
        WHERE l.one_id IS NULL AND (e.one_id IS NOT NULL OR NOT p.has_id_before)
        UNION ALL
        SELECT 'RETIRE', b.one_id, {nobody}, count(*)
        FROM {before} b LEFT JOIN {profiles} p ON p.profile_id = b.profile_id
        GROUP BY b.one_id HAVING count(p.profile_id) = 0
        """,
    )


def minted_rows(engine: Engine, minted: Rows) -> Rows:
    """Give the rows the dictionary of OneIDs has to gain, before any person is said to have one."""
    return engine.define(
        "minted_rows",
        f"""
        SELECT one_id, anchor AS anchor_profile_id, $day AS created_on, 'anonymous' AS kind, 'retired' AS status,
               CAST(NULL AS BIGINT) AS successor, CAST(0 AS BIGINT) AS profile_count,
               CAST(NULL AS BIGINT) AS last_profile_id, CAST(NULL AS DATE) AS last_held_on
        FROM {minted}
        """,
    )
