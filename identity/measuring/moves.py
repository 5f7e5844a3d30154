"""The map against the last published one: whoever has another OneID has an event of the night that says so.

The gate of ``identity.nights`` judges what a night tells of itself. This one reads the map that readers have, so it also sees
a night that began from another map than the published one.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from lakehouse.query.desk import newest_sql, open_scratch
from lakehouse.query.words import literal

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings

TABLE = "identity.memberships"


def unexplained_moves(settings: Settings, business_date: date, version: int) -> int:
    """Give how many profiles have another OneID than at a ``version`` of the map, without an event of the date.

    ``version`` is that of the last publication of an earlier date. Causes (rules, a decision, links, time) stand in the events.
    """
    was, now = newest_sql(settings, TABLE, version), newest_sql(settings, TABLE)
    events = newest_sql(settings, "identity.lineage_events")
    with open_scratch(folders=[settings.lake]) as desk:
        count: int = desk.value(
            f"""
            WITH was AS (SELECT profile_id, one_id FROM ({was}) WHERE valid_to IS NULL),
            now AS (SELECT profile_id, one_id FROM ({now}) WHERE valid_to IS NULL),
            moves AS (
                SELECT was.one_id AS from_one_id, now.one_id AS to_one_id, count(*) AS profiles
                FROM was JOIN now USING (profile_id) WHERE was.one_id <> now.one_id GROUP BY ALL
            ),
            events AS (
                SELECT from_one_id, to_one_id FROM ({events}) WHERE happened_on = {literal(business_date)}
            )
            SELECT coalesce(sum(profiles), 0)::BIGINT FROM moves ANTI JOIN events USING (from_one_id, to_one_id)
            """
        )
    return count
