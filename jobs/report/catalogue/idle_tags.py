"""Tags that nobody uses: since when, what each costs, and what is proposed. Nothing is changed here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakehouse.query.published import Published
    from lakehouse.settings.settings import Settings
    from tags.costs import TagCost
    from vocabulary.registry import Entry

# Days without a use, and what is proposed from then on; the last that is reached counts.
PROPOSALS = ((90, "ask the owner"), (120, "deprecate"), (180, "take offline"))
_WORD = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class IdleTag:
    """A computed tag on which nothing depends.

    ``last_used_on`` is the last business date on which a published segment named it, or the last day on which a counted statement did;
    None is never. ``idle_days`` count from there, or from the first night that is known to have computed it.
    """

    entry: Entry
    last_used_on: date | None
    idle_days: int | None
    proposal: str | None
    cost: TagCost | None


def idle_tags(settings: Settings) -> list[IdleTag]:
    """Give the computed tags that nothing uses, the longest idle first; before the first night nothing is known of their days."""
    from jobs.report.catalogue.queries import last_queries
    from jobs.report.tag_usage import unused_tags
    from lakehouse.query.published import Published, newest_publication
    from tags.costs import newest_costs

    entries = unused_tags(settings)
    publication = newest_publication(settings)
    if publication is None:
        return [IdleTag(entry, None, None, None, None) for entry in entries]
    costs = newest_costs(settings)
    with Published(settings, publication) as published:
        first_days = _first_days(published)
        last_uses = _segment_uses(published, {entry.code for entry in entries})
    for code, day in last_queries(settings).items():
        last_uses[code] = max(day, last_uses.get(code, day))
    tags = []
    for entry in entries:
        last = last_uses.get(entry.code)
        since = last or first_days.get(entry.code)
        days = None if since is None else max(0, (publication.business_date - since).days)
        tags.append(IdleTag(entry, last, days, proposal_of(days, entry.status), costs.get(entry.code)))
    return sorted(tags, key=lambda tag: -(tag.idle_days or 0))


def proposal_of(days: int | None, status: str) -> str | None:
    """Give what is proposed for a tag that is idle for so many days; a deprecated one is not deprecated again."""
    proposals = [word for limit, word in PROPOSALS if days is not None and days >= limit]
    if not proposals or (status == "deprecated" and proposals[-1] == "deprecate"):
        return None
    return proposals[-1]


def _first_days(published: Published) -> dict[str, date]:
    """Give the first business date that is known to have computed each tag."""
    days: dict[str, date] = {}
    for table, code, day in (
        ("quality.tag_quality", "tag", "as_of"),
        ("tags.definitions", "code", "published_on"),
    ):
        if published.exists(table):
            for tag, first in published.rows(f"SELECT {code}, min({day}) FROM {table} GROUP BY 1"):
                days[tag] = min(first, days.get(tag, first))
    return days


def _segment_uses(published: Published, codes: Iterable[str]) -> dict[str, date]:
    """Give the last business date on which a version of a segment that names a tag was evaluated.

    A version counts for every tag whose code is a word of its text: rather a use too many than one too few.
    """
    if not (published.exists("segments.runs") and published.exists("segments.definitions")):
        return {}
    uses: dict[str, date] = {}
    for text, day in published.rows(
        "SELECT d.yaml, max(r.as_of) FROM segments.definitions d JOIN segments.runs r USING (code, version) GROUP BY ALL"
    ):
        for code in set(codes) & set(_WORD.findall(text)):
            uses[code] = max(day, uses.get(code, day))
    return uses
