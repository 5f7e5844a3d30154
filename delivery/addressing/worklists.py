"""Worklists: the people of an audience, each with the key by which employees know them, and whose work they are."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from delivery.addressing.directories import source_keys_sql
from delivery.destinations import Destination
from delivery.disclosures import WorklistSettings, approval_entry
from lakehouse.query.desk import open_alone
from lakehouse.query.hashing import frame_hash, text_hash
from vocabulary.audience import WORKLIST_COLUMNS, Audience, Worklist

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.tables.lake import Lake

log = logging.getLogger("cdp.segments")
CONTENT = "worklist"
NO_KEY, NO_DESK = "NO_KEY", "NO_DESK"


def worklist_audiences(
    lake: Lake, audiences: Iterable[Audience], destinations: Mapping[str, Destination]
) -> tuple[Audience, ...]:
    """Give the audiences with one of its own for each destination that is a worklist.

    It has a row for each person whom a desk looks after and whose key is known, of the others the number alone, under
    ``NO_DESK`` and ``NO_KEY`` of ``dropped_by_contact``. An audience that stands and loses people has its rows already.
    """
    every = []
    for audience in audiences:
        names = [name for name in audience.destinations if destinations[name].worklist is not None]
        if audience.worklist is None or not names:
            every.append(audience)
            continue
        others = tuple(name for name in audience.destinations if name not in names)
        if others:
            every.append(
                replace(
                    audience, destinations=others, dry_destinations=audience.dry_destinations & set(others)
                )
            )
        every += [_worklist(lake, audience, name, destinations[name].worklist) for name in names]
    return tuple(every)


def _worklist(lake: Lake, audience: Audience, name: str, settings: WorklistSettings | None) -> Audience:
    worklist = audience.worklist
    if settings is None or worklist is None:
        raise AssertionError(f"{name} is no worklist")
    language = settings.language or lake.settings.language
    rows, losses = _rows(lake, audience.people, worklist, settings, language)
    for reason, number in losses.items():
        log.warning("the worklist %s of segment %s lacks %d people: %s", name, audience.code, number, reason)
    published = rows.num_rows
    counts: dict[str, Any] = {
        **audience.counts,
        "dropped_by_contact": {**audience.counts["dropped_by_contact"], **losses},
        "published": published,
        "consent": dict.fromkeys(audience.counts["consent"], published),
    }
    digest = text_hash("worklist", name, frame_hash(rows))[:8]
    return replace(
        audience,
        destinations=(name,),
        dry_destinations=audience.dry_destinations & {name},
        run_id=f"{audience.run_id}w{digest}",
        counts=counts,
        people=rows,
        levels={**audience.levels, **_levels(settings)},
        content=CONTENT,
        disclosure=approval_entry(settings),
    )


def _levels(settings: WorklistSettings) -> dict[str, str]:
    return {**dict.fromkeys(WORKLIST_COLUMNS, "C1"), "source_key": settings.level, "employee": "C2"}


def _rows(
    lake: Lake, people: pa.Table, worklist: Worklist, settings: WorklistSettings, language: str
) -> tuple[pa.Table, dict[str, int]]:
    """Give the rows, with the columns of a worklist before those that are published, and how many people have none, by reason."""
    import pyarrow as pa

    with open_alone(lake.settings.time_zone, folders=[lake.settings.lake]) as desk:
        published = desk.lend("published", people)
        routes = desk.lend("routes", worklist.routes)
        persons = desk.keep("persons", f"SELECT one_id AS published_as, one_id FROM {published}")
        every = desk.keep(
            "every",
            "SELECT p.*, k.source, k.source_key, r.branch, r.employee, r.position AS place,\n"
            f"  CASE WHEN k.source_key IS NULL THEN '{NO_KEY}' WHEN r.branch IS NULL AND r.employee IS NULL THEN '{NO_DESK}' END AS loss\n"
            f"FROM {published} p LEFT JOIN ({source_keys_sql(lake, desk, persons, settings.sources)}) k USING (one_id)\n"
            f"LEFT JOIN {routes} r USING (one_id)",
        )
        losses = dict(
            desk.rows(f"SELECT loss, count(*) FROM {every} WHERE loss IS NOT NULL GROUP BY 1 ORDER BY 1")
        )
        rows = desk.arrow(
            "SELECT * EXCLUDE (loss, place), CAST(row_number() OVER (PARTITION BY coalesce('e' || employee, 'b' || branch)\n"
            f"  ORDER BY place, one_id) AS INTEGER) AS position\nFROM {every} WHERE loss IS NULL ORDER BY one_id"
        )
    number = rows.num_rows
    points = pa.scalar(list(worklist.talking_points[language]), pa.list_(pa.string()))
    texts = {
        "priority": pa.array([worklist.priority] * number, pa.int32()),
        "reason": pa.array([worklist.reasons[language]] * number, pa.string()),
        "talking_points": pa.array([points] * number, pa.list_(pa.string())),
    }
    names = [name for name in people.column_names if name != "one_id"]
    columns = {
        name: texts[name] if name in texts else rows[name] for name in ("one_id", *WORKLIST_COLUMNS, *names)
    }
    return pa.table(columns), losses
