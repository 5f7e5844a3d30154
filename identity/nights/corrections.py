"""A published night that is run again: what it says otherwise than its publication said, record by record and by OneID.

Readers may have taken numbers from the publication. A number that it showed and that is gone leaves a correction for every
record, and events that redirects follow from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from identity.nights.night import IdentityNight
from identity.reading.published_night import CORRECTIONS, PublishedNight
from identity.reading.tables import OWN_BEFORE
from lakehouse.contracts.reading import contract
from lakehouse.query.desk import Desk, Relation

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake


@dataclass(frozen=True)
class Corrections:
    """Rows of ``identity.corrections`` and of ``identity.lineage_events``, earlier ones of the night included."""

    records: pa.Table
    events: pa.Table


def corrections_of(desk: Desk, night: IdentityNight, published: PublishedNight | None) -> Corrections | None:
    """Compare the map of the night, which ``desk`` sees, with the published one; None where nothing was published."""
    if published is None:
        return None
    desk.let(seq=published.seq, cause=_cause(night, published), rules=night.rules.version)
    records_of_change = _changed_records(desk, published)
    records = desk.arrow(
        f"""
        SELECT $day AS happened_on, $seq AS publication_seq, profile_id, source, source_key,
               old_one_id, new_one_id, event, $cause AS cause
        FROM {records_of_change} ORDER BY profile_id
        """
    )
    events = desk.arrow(
        f"""
        SELECT $day AS happened_on, event, old_one_id AS from_one_id, new_one_id AS to_one_id,
               count(*) AS profile_count, $cause AS cause, $rules AS rules_version, $seq AS corrects
        FROM {records_of_change} WHERE event <> 'LEAVE' GROUP BY ALL
        UNION ALL
        SELECT $day, 'RESURRECT', NULL, new_one_id, count(*), $cause, $rules, $seq
        FROM {records_of_change} WHERE lives_again GROUP BY new_one_id
        ORDER BY event, from_one_id, to_one_id
        """
    )
    return Corrections(
        _with_earlier(published.corrections, records, CORRECTIONS, published.seq, "publication_seq"),
        _with_earlier(published.lineage, events, "identity.lineage_events", published.seq, "corrects"),
    )


def write_corrections(lake: Lake, night: IdentityNight, corrections: Corrections | None) -> None:
    """Replace the corrections of the night."""
    if corrections is not None:
        lake.replace_partition(CORRECTIONS, corrections.records, happened_on=night.business_date)


def _cause(night: IdentityNight, published: PublishedNight) -> str:
    if published.rules_version != night.rules.version:
        return "rules"
    return "links" if published.decisions == night.decisions_text else "decision"


def _changed_records(desk: Desk, published: PublishedNight) -> Relation:
    """Give ``profile_id, source, source_key, old_one_id, new_one_id, event, lives_again`` of records whose number differs.

    A record that neither run of the night touched has the number of the night before in both.
    """
    rows_of_publication = desk.take("published_rows", published.memberships)
    return desk.keep(
        "corrected_records",
        f"""
        WITH of_night AS (
          SELECT profile_id, source, source_key, one_id, valid_from, valid_to FROM identity.memberships
          WHERE valid_from = $day OR valid_to = $day
        ), records AS (
          SELECT DISTINCT profile_id, source, source_key FROM {rows_of_publication}
          UNION SELECT DISTINCT profile_id, source, source_key FROM of_night
        ), before AS (
          SELECT profile_id, one_id FROM identity.memberships
          WHERE {OWN_BEFORE} AND profile_id IN (SELECT profile_id FROM records)
        ), now AS (
          SELECT profile_id, one_id FROM identity.memberships
          WHERE valid_to IS NULL AND profile_id IN (SELECT profile_id FROM records)
        ), seen AS (
          SELECT profile_id, one_id FROM {rows_of_publication} WHERE valid_to IS NULL
          UNION ALL
          SELECT profile_id, one_id FROM before WHERE profile_id NOT IN (SELECT profile_id FROM {rows_of_publication})
        ), changed AS (
          SELECT r.*, s.one_id AS old_one_id, n.one_id AS new_one_id
          FROM records r JOIN seen s USING (profile_id) LEFT JOIN now n USING (profile_id)
          WHERE n.one_id IS DISTINCT FROM s.one_id
        ), living AS (
          SELECT DISTINCT one_id FROM identity.memberships
          WHERE valid_to IS NULL AND one_id IN (SELECT old_one_id FROM changed)
        ), living_before AS (
          SELECT DISTINCT one_id FROM identity.memberships
          WHERE {OWN_BEFORE} AND one_id IN (SELECT new_one_id FROM changed)
        ), seen_living AS (
          SELECT one_id FROM seen
          UNION
          SELECT one_id FROM identity.memberships
          WHERE {OWN_BEFORE} AND profile_id NOT IN (SELECT profile_id FROM records)
          AND one_id IN (SELECT new_one_id FROM changed)
        ), heirs AS (
          SELECT old_one_id, new_one_id FROM changed WHERE new_one_id IS NOT NULL
          GROUP BY old_one_id, new_one_id
          QUALIFY row_number() OVER (PARTITION BY old_one_id ORDER BY count(*) DESC, new_one_id) = 1
        )
        SELECT c.*, CASE
          WHEN c.new_one_id IS NULL AND l.one_id IS NULL AND h.old_one_id IS NULL THEN 'RETIRE'
          WHEN c.new_one_id IS NULL THEN 'LEAVE'
          WHEN l.one_id IS NULL AND h.new_one_id = c.new_one_id THEN 'MERGE'
          WHEN c.new_one_id IN (SELECT one_id FROM seen_living) THEN 'MOVE'
          ELSE 'SPLIT' END AS event,
          coalesce(c.new_one_id IN (SELECT one_id FROM living_before)
                   AND c.new_one_id NOT IN (SELECT one_id FROM seen_living), false) AS lives_again
        FROM changed c LEFT JOIN living l ON l.one_id = c.old_one_id LEFT JOIN heirs h ON h.old_one_id = c.old_one_id
        """,
    )


def _with_earlier(earlier: pa.Table, rows: pa.Table, table: str, seq: int, column: str) -> pa.Table:
    """Give rows after those that correct earlier publications; an earlier attempt of this correction is replaced."""
    import pyarrow.compute as pc

    schema = contract(table).arrow_schema()
    earlier_rows = earlier.filter(pc.less(earlier[column], seq))
    return pa.concat_tables(
        [earlier_rows.select(schema.names).cast(schema), rows.select(schema.names).cast(schema)]
    )
