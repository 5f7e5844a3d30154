"""What tags were used for: the segments whose published runs read each, whom these reached, and what came of it by receipts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lakehouse.query.words import literal, literals
from vocabulary.contact_rules import NOT_A_TOUCH

if TYPE_CHECKING:
    from lakehouse.query.published import Published
    from lakehouse.settings.settings import Settings

RESPONSES = ("OPENED", "CLICKED", "REPLIED", "CONVERTED")
CONVERSIONS = ("CONVERTED", "WON")
_NEEDED = ("segments.runs", "segments.deliveries")


@dataclass(frozen=True)
class TagEarnings:
    """What the runs that used a tag came to, of one segment or of all (``segment`` is None).

    ``published`` are the rows handed to destinations, run by run, ``people`` the different people among them. ``sends`` are contacts
    that receipts tell of, ``responses`` and ``conversions`` those among them that were answered. A run stands at each of its tags
    with all of its numbers: they do not add up over tags.
    """

    tag: str
    segment: str | None
    runs: int
    first_on: date
    last_on: date
    published: int
    people: int
    sends: int
    responses: int
    conversions: int


def tag_earnings(settings: Settings, name: str | None = None) -> list[TagEarnings]:
    """Give what tags were used for up to the newest publication: of one, by code or name, by segment, else of each in all.

    The most widely published stands first. Without a publication, or before the first delivery, there is nothing.
    """
    from lakehouse.query.published import Published, newest_publication
    from tags import REGISTRY
    from vocabulary.registry import load_registry

    code = None if name is None else load_registry(settings.workspace, shipped=REGISTRY).entry_of(name).code
    publication = newest_publication(settings)
    if publication is None or any(table not in publication.tables for table in _NEEDED):
        return []
    with Published(settings, publication) as published:
        rows = [one for one in _earnings(published) if (one.segment is None) == (code is None)]
    rows = [one for one in rows if code in (None, one.tag)]
    return sorted(rows, key=lambda one: (-one.published, one.tag, one.segment or ""))


def _earnings(published: Published) -> Iterator[TagEarnings]:
    """Give the earnings of every tag, by segment and in all."""
    from segments.choosing.contact_history import RUN_OF_DELIVERY

    day = literal(published.publication.business_date)
    runs = f"""
        WITH used AS (
            SELECT DISTINCT run_id, code, as_of, unnest(tag_versions).tag AS tag FROM segments.runs
        ), launches AS (
            SELECT u.tag, u.code, u.as_of, u.run_id, d.run_id AS delivered_as, d.destination, d.accepted
            FROM used u
            JOIN (SELECT *, {RUN_OF_DELIVERY} AS run FROM segments.deliveries) d ON d.run = u.run_id AND d.code = u.code
        )"""
    by_tag = "GROUP BY GROUPING SETS ((tag, code), (tag))"
    people: dict[tuple[str, str | None], int] = {}
    if published.exists("segments.members"):
        without_losses = (
            "AND NOT EXISTS (FROM segments.contact_losses o WHERE o.code = m.code AND o.as_of = m.as_of AND o.one_id = m.one_id)"
            if published.exists("segments.contact_losses")
            else ""
        )
        rows = published.rows(
            f"""{runs}
            SELECT tag, code, count(DISTINCT one_id) FROM (
                SELECT l.tag, l.code, m.one_id FROM (SELECT DISTINCT tag, code, run_id FROM launches) l
                JOIN segments.members m ON m.run_id = l.run_id AND m.code = l.code
                WHERE m.holdout = 'NONE' AND m.variant IS DISTINCT FROM 'CONTAMINATED' {without_losses}
            ) {by_tag}"""
        )
        people = {(tag, segment): count for tag, segment, count in rows}
    receipts = (
        "SELECT * FROM trusted.receipts"
        if published.exists("trusted.receipts")
        else "SELECT '' AS source, '' AS run_id, '' AS destination, '' AS recipient_key, '' AS channel, '' AS status, NULL::DATE AS event_on WHERE false"
    )
    for tag, segment, *numbers in published.rows(
        f"""{runs}, contacts AS (
            SELECT run_id, destination, bool_or(status NOT IN ({literals(NOT_A_TOUCH)})) AS is_sent,
                bool_or(status IN ({literals(RESPONSES)})) AS is_answered, bool_or(status IN ({literals(CONVERSIONS)})) AS is_converted
            FROM ({receipts}) WHERE event_on <= {day}
            GROUP BY source, run_id, destination, recipient_key, channel
        ), answers AS (
            SELECT run_id, destination, count(*) FILTER (is_sent) AS sends, count(*) FILTER (is_answered) AS responses,
                count(*) FILTER (is_converted) AS conversions
            FROM contacts GROUP BY ALL
        )
        SELECT l.tag, l.code, count(DISTINCT l.run_id), min(l.as_of), max(l.as_of), sum(l.accepted)::BIGINT,
            coalesce(sum(a.sends), 0)::BIGINT, coalesce(sum(a.responses), 0)::BIGINT, coalesce(sum(a.conversions), 0)::BIGINT
        FROM launches l LEFT JOIN answers a ON a.run_id = l.delivered_as AND a.destination = l.destination {by_tag}"""
    ):
        count, first_on, last_on, rows_published, *of_receipts = numbers
        yield TagEarnings(
            tag,
            segment,
            count,
            first_on,
            last_on,
            rows_published,
            people.get((tag, segment), 0),
            *of_receipts,
        )
