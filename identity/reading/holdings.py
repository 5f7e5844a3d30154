"""Who held which OneID, from when until when: the map of the nights before, and what the night itself has published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from identity.reading.published_night import CORRECTIONS, MEMBERSHIPS, PublishedNight
from identity.reading.tables import OWN_BEFORE, qualified
from lakehouse.contracts.reading import contract

if TYPE_CHECKING:
    from lakehouse.engine import Engine, Rows

# A time is a day and, within it, the publication that a map was seen in; what still holds has no end.
SCHEMA = pa.schema(
    [
        ("profile_id", pa.int64()),
        ("one_id", pa.int64()),
        ("since_on", pa.date32()),
        ("since_seq", pa.int64()),
        ("until_on", pa.date32()),
        ("until_seq", pa.int64()),
        ("joins", pa.bool_()),
        ("is_last", pa.bool_()),
        ("is_published", pa.bool_()),
    ]
)
_CORRECTION_COLUMNS = "happened_on, publication_seq, profile_id, old_one_id, new_one_id, event"


def define_holdings(engine: Engine, published: PublishedNight | None) -> Rows:
    """Define who held which OneID (columns of ``SCHEMA``): on nights before the day, and as the day has ``published`` it.

    ``is_last`` marks the map of the night before. What a later run of a night took back was held too, until the publication
    that it corrects. ``joins`` marks a record whose number was taken back for one that somebody else had been published
    with: it joined that one, on whatever day both began.
    """
    memberships, corrections_of_night = (
        (
            contract(MEMBERSHIPS).arrow_schema().empty_table(),
            contract(CORRECTIONS).arrow_schema().empty_table(),
        )
        if published is None
        else (published.memberships, published.corrections)
    )
    engine.let(seq=0 if published is None else published.seq)
    of_night = engine.take("published_rows", memberships)
    corrections = engine.keep(
        "corrections",
        f"""
        SELECT {_CORRECTION_COLUMNS},
               lag(publication_seq) OVER (PARTITION BY profile_id, happened_on ORDER BY publication_seq) AS earlier
        FROM (SELECT {_CORRECTION_COLUMNS} FROM {CORRECTIONS} WHERE happened_on < $day UNION ALL
              SELECT {_CORRECTION_COLUMNS} FROM {engine.take("corrections_of_night", corrections_of_night)}) AS r
        """,
    )
    last_corrections = engine.define(
        "last_corrections",
        f"""
        SELECT profile_id, happened_on, max(publication_seq) + 1 AS after FROM {corrections}
        GROUP BY profile_id, happened_on
        """,
    )
    joined_numbers = engine.define(
        "joined_numbers",
        f"""
        SELECT DISTINCT profile_id, happened_on, new_one_id AS one_id FROM {corrections}
        WHERE event IN ('MERGE', 'MOVE')
        """,
    )

    def rows_of_map(rows: str, until: str, last: str, published_too: str) -> str:
        return f"""
        SELECT m.profile_id, m.one_id, m.valid_from AS since_on, CAST(coalesce(c.after, 0) AS BIGINT) AS since_seq,
               {until}, j.profile_id IS NOT NULL AS joins, {last} AS is_last, {published_too} AS is_published
        FROM {rows} m
        LEFT JOIN {last_corrections} c ON c.profile_id = m.profile_id AND c.happened_on = m.valid_from
        LEFT JOIN {joined_numbers} j
          ON j.profile_id = m.profile_id AND j.happened_on = m.valid_from AND j.one_id = m.one_id
        """

    is_last = qualified(OWN_BEFORE, "m")
    before = rows_of_map(
        "identity.memberships",
        f"""
        CASE WHEN NOT ({is_last}) THEN m.valid_to WHEN s.profile_id IS NOT NULL THEN $day END AS until_on,
        CAST(0 AS BIGINT) AS until_seq
        """,
        f"({is_last})",
        "false",
    )
    rows_of_day = rows_of_map(
        str(of_night), "$day AS until_on, CAST($seq + 1 AS BIGINT) AS until_seq", "false", "true"
    )
    return engine.define(
        "holdings",
        f"""
        {before}
        LEFT JOIN (SELECT DISTINCT profile_id FROM {of_night}) s ON s.profile_id = m.profile_id
        WHERE m.valid_from < $day
        UNION ALL
        SELECT profile_id, old_one_id, happened_on, CAST(coalesce(earlier + 1, 0) AS BIGINT), happened_on,
               CAST(publication_seq + 1 AS BIGINT), false, false, happened_on = $day
        FROM {corrections}
        UNION ALL
        {rows_of_day} WHERE m.valid_from = $day
        """,
    )
