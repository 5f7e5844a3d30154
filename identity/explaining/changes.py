"""The correction feed: which records belong to another OneID than they did, for systems that keep OneIDs by them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from identity.reading.published_night import CORRECTIONS

if TYPE_CHECKING:
    from lakehouse.query.published import Published

COLUMNS = ("changed_on", "source", "source_key", "old_one_id", "new_one_id", "event", "cause")


def changes_since(published: Published, since: date) -> list[tuple[Any, ...]]:
    """Give one row (``COLUMNS``) per record and night, from ``since`` on, whose OneID became another one, in order.

    ``new_one_id`` is null where the record left (its source states it no more; ``event`` is RETIRE where it was the
    person's last, else LEAVE). Records that are new are no corrections. The other events and causes are those of
    ``identity.lineage_events``. A published night that was run again also has the rows from what it had published.
    """
    corrections, of_nights = "", ""
    if CORRECTIONS in published.publication.tables:
        corrections = f"""
        UNION ALL
        SELECT happened_on, source, source_key, old_one_id, new_one_id, event, cause, publication_seq
        FROM {CORRECTIONS} WHERE happened_on >= $since
        """
        of_nights = "AND e.corrects IS NULL"
    published.let(since=since)
    return published.rows(
        f"""
        SELECT * EXCLUDE (corrects) FROM (
        SELECT was.valid_to AS changed_on, was.source, was.source_key, was.one_id AS old_one_id,
               now.one_id AS new_one_id, coalesce(e.event, 'LEAVE') AS event, coalesce(e.cause, 'links') AS cause,
               0 AS corrects
        FROM identity.memberships was
        LEFT JOIN identity.memberships now ON now.profile_id = was.profile_id AND now.valid_from = was.valid_to
        LEFT JOIN identity.lineage_events e ON e.happened_on = was.valid_to AND e.from_one_id = was.one_id
          AND e.to_one_id IS NOT DISTINCT FROM now.one_id {of_nights}
        WHERE was.valid_to >= $since AND now.one_id IS DISTINCT FROM was.one_id
        {corrections}
        ) ORDER BY changed_on, source, source_key, corrects
        """
    )
