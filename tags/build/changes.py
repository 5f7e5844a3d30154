"""What changed in people's tags since the night before (``tags.tag_history``), and the same as events (``tags.tag_events``).

What changed in those of products, branches and employees is in ``tags.entity_tag_history``; it triggers nothing, so it is no event.

Both nights are joined once, by DuckDB, whatever the number of tags. The cause of a change is that of the person first: who
was merged or split has other facts, whatever else changed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakehouse.query.words import identifier, literal, literals
from tags.build.lateness import night_before
from tags.compile.sql_text import CUT_POINTS

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.tables.lake import Lake
    from tags.build.lateness import TagsBefore
    from vocabulary.entities import Entity
    from vocabulary.registry import Entry

HISTORY = "tags.tag_history"
ENTITY_HISTORY = "tags.entity_tag_history"
EVENTS = "tags.tag_events"
RESTRICTED = "risk_only"
# What gives a person other facts: profiles came or went.
IDENTITY_EVENTS = ("MERGE", "SPLIT", "MOVE")


def has_history(entry: Entry) -> bool:
    """Tell whether the changes of a tag are kept: as it says, else those of categories and booleans; never restricted ones."""
    if RESTRICTED in entry.purposes:
        return False
    return entry.value.type in ("string", "boolean") if entry.history is None else entry.history


def tag_changes(
    desk: Desk, rows: Relation, entries: Sequence[Entry], before: TagsBefore | None, business_date: dt.date
) -> pa.Table | None:
    """Give the rows of ``tags.tag_history`` of a night; None where there is no night before, or nothing to compare.

    ``rows`` are the wide rows of the night, and the desk has the newest tables of the lake.
    """
    if before is None:
        return None
    common = _comparable_entries(rows, entries, before)
    if not common:
        return None
    changes = _changes_sql(common)
    redefined = _redefined_tags(desk, common, before, business_date)
    since = f"> {literal(before.as_of)} AND {{}} <= {literal(business_date)}"
    return desk.arrow(
        f"""
        WITH changes AS (
            SELECT now.one_id, unnest(list_filter([{changes}], lambda change: change IS NOT NULL)) AS change
            FROM {rows} now JOIN {before.rows} old USING (one_id)
        ),
        other_people AS (
            SELECT unnest([from_one_id, to_one_id]) AS one_id FROM identity.lineage_events
            WHERE happened_on {since.format("happened_on")} AND corrects IS NULL AND event IN ({literals(IDENTITY_EVENTS)})
        )
        SELECT {literal(business_date)} AS as_of, one_id, change.tag AS tag, change.from_value AS from_value,
               change.to_value AS to_value, {literal(before.as_of)} AS before_on,
               CASE WHEN one_id IN (SELECT one_id FROM other_people WHERE one_id IS NOT NULL) THEN 'identity'
                    WHEN change.tag IN ({literals(["", *redefined])}) THEN 'definition' ELSE 'value' END AS cause
        FROM changes ORDER BY tag, one_id
        """
    )


def entity_changes(
    desk: Desk, entity: Entity, entries: Sequence[Entry], business_date: dt.date
) -> pa.Table | None:
    """Give the rows of ``tags.entity_tag_history`` of a night of one entity; None where there is nothing to compare."""
    rows = desk.define(f"wide rows of {entity.plural}", f"SELECT * FROM {entity.current}")
    before = night_before(desk, business_date, entity)
    common = [] if before is None else _comparable_entries(rows, entries, before)
    if before is None or not common:
        return None
    redefined = _redefined_tags(desk, common, before, business_date)
    source, key = entity.key
    return desk.arrow(
        f"""
        WITH changes AS (
            SELECT now.{source}, now.{key}, unnest(list_filter([{_changes_sql(common)}], lambda change: change IS NOT NULL)) AS change
            FROM {rows} now JOIN {before.rows} old USING ({source}, {key})
        )
        SELECT {literal(business_date)} AS as_of, {literal(entity.code)} AS entity, {source} AS source, {key} AS entity_key,
               change.tag AS tag, change.from_value AS from_value, change.to_value AS to_value, {literal(before.as_of)} AS before_on,
               CASE WHEN change.tag IN ({literals(["", *redefined])}) THEN 'definition' ELSE 'value' END AS cause
        FROM changes ORDER BY tag, source, entity_key
        """
    )


def _comparable_entries(rows: Relation, entries: Sequence[Entry], before: TagsBefore) -> list[Entry]:
    """Give the tags whose changes are kept and that both nights have."""
    return [
        entry
        for entry in entries
        if has_history(entry)
        and entry.code in before.versions
        and {entry.code} <= {*rows.columns} & {*before.rows.columns}
    ]


def _changes_sql(entries: Sequence[Entry]) -> str:
    """Give SQL of one value for each tag: what changed from ``old`` to ``now``, null where nothing did."""
    return ",\n".join(
        f"CASE WHEN {now} IS DISTINCT FROM {old} THEN {{'tag': {literal(entry.code)}, "
        f"'from_value': {_text(entry, old)}, 'to_value': {_text(entry, now)}}} END"
        for entry in entries
        for old, now in [(_comparable(entry, "old"), _comparable(entry, "now"))]
    )


def _comparable(entry: Entry, rows: str) -> str:
    """Give SQL of a value of ``rows`` as it is compared: a set has no order."""
    column = f"{rows}.{identifier(entry.code)}"
    return f"list_sort({column})" if entry.value.cardinality == "set" else column


def _text(entry: Entry, value: str) -> str:
    """Give SQL of a value as text: of a set its JSON list."""
    return f"to_json({value})::VARCHAR" if entry.value.cardinality == "set" else f"{value}::VARCHAR"


def _redefined_tags(
    desk: Desk, entries: Sequence[Entry], before: TagsBefore, business_date: dt.date
) -> list[str]:
    """Give the tags with another version than the night before, or a parameter or cut points that took effect since."""
    rows = desk.rows(
        f"SELECT DISTINCT tag FROM {CUT_POINTS} "
        f"WHERE valid_from > {literal(before.as_of)} AND valid_from <= {literal(business_date)}"
    )
    tags_cut = {tag for (tag,) in rows}
    return [
        entry.code
        for entry in entries
        if entry.version != before.versions[entry.code]
        or entry.code in tags_cut
        or any(before.as_of < param.since <= business_date for param in entry.params)
    ]


def write_changes(lake: Lake, desk: Desk, changes: pa.Table | None, business_date: dt.date) -> int:
    """Write the changes of a night in place of those it had, add events of what differs, and give the number of changes.

    The same night again, with the same changes, adds no event.
    """
    schema = lake.contracts.get(HISTORY).arrow_schema()
    rows = schema.empty_table() if changes is None else changes
    same = "tag, one_id, from_value, to_value, cause"
    answers = desk.lend("changes of the night", rows)
    events = desk.arrow(
        f"""
        WITH standing AS (
            SELECT {same} FROM {EVENTS} WHERE as_of = {literal(business_date)}
            GROUP BY ALL HAVING sum(CASE event WHEN 'CHANGE' THEN 1 ELSE -1 END) > 0
        ),
        next AS (
            SELECT coalesce(max(attempt), 0) + 1 AS attempt FROM {EVENTS} WHERE as_of = {literal(business_date)}
        ),
        differences AS (
            SELECT {same}, 'CHANGE' AS event FROM (SELECT {same} FROM {answers} EXCEPT SELECT {same} FROM standing)
            UNION ALL
            SELECT {same}, 'WITHDRAWAL' FROM (SELECT {same} FROM standing EXCEPT SELECT {same} FROM {answers})
        )
        SELECT {literal(business_date)} AS as_of, attempt::INT AS attempt, one_id, tag, event, from_value, to_value, cause
        FROM differences, next ORDER BY tag, one_id, event
        """
    )
    lake.replace_partition(HISTORY, rows, as_of=business_date)
    if events.num_rows:
        lake.append(EVENTS, events)
    return rows.num_rows
