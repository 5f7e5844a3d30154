"""Tags as of a past day, from what was knowable on it: values for its snapshot, and whether they equal what its night stored.

Facts count by the night they arrived in, states and parameters by the days they were valid; the map of OneIDs is today's, or that
of the day. A value of null rule H that had ended is null with the reason ``expired``, as on a night. Nothing else is carried: a past
day is computed from what had arrived on it, where its night held values of a late source, or those of a month.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lakehouse.contracts.reading import contract
from lakehouse.errors import UsageError
from lakehouse.query.desk import open_newest
from lakehouse.query.files import parquet_sql
from lakehouse.query.words import identifier, literal, literals
from tags.build.computation import run_dbt
from tags.build.engine import engine_for
from tags.build.lateness import TagsBefore, carry_values, night_before
from tags.build.project import source_tables, write_project
from tags.quality.history import quality_rows
from tags.quality.sources import tables_read
from vocabulary.entities import PERSON, Entity

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.tables.lake import Lake
    from tags.compile.compilation import Compilation
    from tags.compile.plan import ScanPlan
    from vocabulary.registry import Entry

BACKFILLS = "tags.backfills"
PAST = "past/dbt"
Map = Literal["today", "as-of"]


@dataclass(frozen=True)
class Recomputed:
    """How a tag of a past day, computed again, differs from its snapshot.

    ``people`` are those of either side but those who were erased since. ``differing`` have another value or another reason of
    its null, or stand on one side only: ``missing`` in the snapshot only, ``extra`` only in what was computed again.
    """

    tag: str
    people: int
    differing: int
    missing: int = 0
    extra: int = 0


def entries_of(compilation: Compilation, names: Sequence[str]) -> list[Entry]:
    """Give the computed tags of codes or names, each once; one that is not computed raises ``UsageError``."""
    online = {entry.code for entry in compilation.entries}
    entries: dict[str, Entry] = {}
    for name in names:
        entry = compilation.registry.entry_of(name)
        if entry.code not in online:
            raise UsageError(
                f"the tag '{entry.code}' is {entry.status} and not computed, so it has no past values"
            )
        entries[entry.code] = entry
    return list(entries.values())


def month_ends(nights: Collection[dt.date], months: int, most: int) -> list[dt.date]:
    """Give the last night of each of the complete months before the newest night, oldest first; ``UsageError`` where one has none."""
    if not 1 <= months <= most:
        raise UsageError(
            f"--months {months} is not between 1 and {most}, the month-ends that cdp.yml keeps (retention.tag_month_ends)"
        )
    if not nights:
        raise UsageError("no night was published yet, so there is no past to compute")
    last_nights = {_month(day): day for day in sorted(nights)}
    newest = _month(max(nights))
    missing = [month for month in range(newest - months, newest) if month not in last_nights]
    if missing:
        year, month = divmod(missing[-1], 12)
        count = newest - missing[-1] - 1
        hint = (
            f"say --months {count} at most"
            if count
            else "it can begin when a month has ended since the first"
        )
        raise UsageError(
            f"no night of {year}-{month + 1:02d} was published (the first was {min(nights)}), so what was known then is not known; {hint}"
        )
    return [last_nights[month] for month in range(newest - months, newest)]


def _month(day: dt.date) -> int:
    return day.year * 12 + day.month - 1


def require_facts(compilation: Compilation, entries: Sequence[Entry], day: dt.date, newest: dt.date) -> None:
    """Raise ``UsageError`` for a day whose facts are kept no longer."""
    for entry in entries:
        for table in sorted(tables_read(compilation.registry, entry)):
            kept_days = contract(table).retention_days
            if kept_days is not None and day < newest - dt.timedelta(days=kept_days):
                raise UsageError(
                    f"'{entry.code}' cannot be computed as of {day}: {table} keeps its rows {kept_days} days, until {newest} those since "
                    f"{newest - dt.timedelta(days=kept_days)}"
                )


def compute_past(lake: Lake, compilation: Compilation, day: dt.date, identity: Map) -> None:
    """Let dbt compute every tag as of a day into ``tags_work``."""
    project = lake.settings.generated / PAST
    write_project(compilation, project, lake.settings)
    sources = source_tables(compilation)
    run_dbt(lake, project, day, sources, engine_for(lake, compilation, sources), identity=identity)
    end_values(lake, compilation, day)


def end_values(lake: Lake, compilation: Compilation, day: dt.date) -> None:
    """Let the rows that ``compute_past`` left say which values of null rule H had ended by then, by the snapshot before that is kept."""
    with open_newest(lake.settings) as desk:
        for plan in compilation.plans:
            before = _before(lake, desk, plan.entity, day)
            if before is not None:
                rows, folder = past_rows(lake, desk, plan.entity), Path(lake.path(plan.entity.work))
                carry_values(desk, folder, rows, plan.entries, [], before, plan.entity)


def _before(lake: Lake, desk: Desk, entity: Entity, day: dt.date) -> TagsBefore | None:
    """Give the newest snapshot before a day that is kept, with the versions of its values; None where none is."""
    before = night_before(desk, day, entity) if lake.exists(entity.daily) else None
    if before is None or not lake.exists(BACKFILLS):
        return before
    backfills = desk.rows(f"SELECT tag, version FROM {BACKFILLS} WHERE as_of = {literal(before.as_of)}")
    return replace(before, versions={**before.versions, **dict(backfills)})


def past_rows(lake: Lake, desk: Desk, entity: Entity = PERSON) -> Relation:
    """Give the wide rows of an entity that ``compute_past`` left."""
    files = sorted(Path(lake.path(entity.work)).glob("*.parquet"))
    return desk.define(f"past {entity.plural}", parquet_sql(files))


def snapshot_with(
    lake: Lake, desk: Desk, past: Relation, codes: Sequence[str], day: dt.date, entity: Entity = PERSON
) -> pa.Table:
    """Give the snapshot of a day with the values of ``codes`` from ``past``; whatever else it holds stays.

    A person, or another entity, that the snapshot did not know has these values only.
    """
    wide = lake.contracts.get(entity.daily)
    empty = desk.lend("no rows", wide.arrow_schema().empty_table())
    snapshot = desk.define(
        "stored",
        f"SELECT * FROM {empty} UNION ALL BY NAME SELECT * FROM {entity.daily} WHERE as_of = {literal(day)}",
    )
    key = ", ".join(entity.key)
    own = {
        **{name: name for name in entity.key},
        **{name: f"coalesce(stored.{name}, past.{name})" for name in entity.about},
        "as_of": literal(day),
        "null_exceptions": f"""list_sort(list_concat(
            list_filter(coalesce(stored.null_exceptions, []), lambda e: e.tag NOT IN ({literals(codes)})),
            list_filter(coalesce(past.null_exceptions, []), lambda e: e.tag IN ({literals(codes)}))))""",
    }
    owners = {name: "past" if name in codes else "stored" for name in wide.columns}
    columns = ", ".join(
        f"{own.get(name) or f'{owners[name]}.{identifier(name)}'} AS {identifier(name)}"
        for name in wide.columns
    )
    return desk.arrow(
        f"SELECT {columns} FROM {snapshot} stored FULL JOIN {past} past USING ({key}) ORDER BY {key}"
    )


def backfill_tags(
    lake: Lake,
    compilation: Compilation,
    entries: Sequence[Entry],
    days: Sequence[dt.date],
    identity: Map,
    newest: dt.date,
) -> dict[dt.date, int]:
    """Write the values of tags into the snapshots of past days, and which version they are of; give the people by day."""
    import pyarrow as pa

    by_entity: dict[Entity, list[Entry]] = {}
    for entry in entries:
        by_entity.setdefault(entry.about, []).append(entry)
    lake.create([BACKFILLS])
    people: dict[dt.date, int] = {}
    for day in days:
        require_facts(compilation, entries, day, newest)
    for day in days:
        compute_past(lake, compilation, day, identity)
        for entity, of_entity in by_entity.items():
            codes = [entry.code for entry in of_entity]
            with open_newest(lake.settings) as desk:
                past = past_rows(lake, desk, entity)
                rows = snapshot_with(lake, desk, past, codes, day, entity)
                counts = desk.rows(
                    f"SELECT count(*), {', '.join(f'count({identifier(code)})' for code in codes)} FROM {past}"
                )[0]
            people[day] = people.get(day, 0) + counts[0]
            lake.replace_partition(entity.daily, rows, as_of=day)
            for entry, count in zip(of_entity, counts[1:], strict=True):
                row = {"as_of": day, "tag": entry.code, "version": entry.version, "identity": identity, "known_on": newest,
                       "people_count": counts[0], "filled_count": count}  # fmt: skip
                table = pa.Table.from_pylist([row], schema=lake.contracts.get(BACKFILLS).arrow_schema())
                lake.replace_partition(BACKFILLS, table, as_of=day, tag=entry.code)
    return people


def recompute(lake: Lake, compilation: Compilation, day: dt.date) -> list[Recomputed]:
    """Compute every tag as of a past day by the map of that day, and compare it with what its night stored.

    Left out are tags of another version, those whose values were held then or computed by today's OneIDs since, and people who
    were erased since. A day whose snapshot is not kept, or of which no tag is left, raises ``UsageError``.
    """
    with open_newest(lake.settings) as desk:
        if not desk.value(f"SELECT count(*) FROM {PERSON.daily} WHERE as_of = {literal(day)}"):
            raise UsageError(
                f"the snapshot of {day} is kept no longer (retention in cdp.yml), so there is nothing to compare with"
            )
        versions = _versions(lake, desk, day)
    compute_past(lake, compilation, day, "as-of")
    with open_newest(lake.settings) as desk:
        outcomes = [
            one
            for plan in compilation.plans
            if lake.exists(plan.entity.daily)
            for one in _recomputed(lake, desk, plan, versions, day)
        ]
    if not outcomes:
        raise UsageError(
            f"no tag of {day} is still of the version of its snapshot, so there is nothing to compare with"
        )
    return outcomes


def _versions(lake: Lake, desk: Desk, day: dt.date) -> dict[str, str]:
    """Give by tag the version by which the snapshot of a day was computed by the OneIDs of that day, and from that day."""
    versions = dict(
        desk.rows(
            f"SELECT tag, version FROM {quality_rows(desk)}"
            f" WHERE as_of = {literal(day)} AND version IS NOT NULL AND coalesce(value_on, as_of) = as_of"
        )
    )
    if lake.exists(BACKFILLS):
        for tag, version, identity in desk.rows(
            f"SELECT tag, version, identity FROM {BACKFILLS} WHERE as_of = {literal(day)}"
        ):
            versions.pop(tag, None)
            if identity == "as-of":
                versions[tag] = version
    return versions


def _recomputed(
    lake: Lake, desk: Desk, plan: ScanPlan, versions: Mapping[str, str], day: dt.date
) -> list[Recomputed]:
    """Compare the tags of one entity with what the night of a day stored."""
    entity = plan.entity
    snapshot = desk.define(
        f"stored {entity.plural}", f"SELECT * FROM {entity.daily} WHERE as_of = {literal(day)}"
    )
    entries = [
        entry
        for entry in plan.entries
        if versions.get(entry.code) == entry.version and entry.code in snapshot.columns
    ]
    past = past_rows(lake, desk, entity)
    return compare_rows(
        desk, past, snapshot, entries, entity, has_night_before=_is_night_before_kept(desk, entity, day)
    )


def compare_rows(
    desk: Desk,
    past: Relation,
    snapshot: Relation,
    entries: Sequence[Entry],
    entity: Entity = PERSON,
    *,
    has_night_before: bool = True,
) -> list[Recomputed]:
    """Compare wide rows that were computed again with those of a snapshot: who has a row, values, and the reasons of nulls.

    Without the night before nobody knows whether a value of null rule H had ended, so reasons of such tags are not compared.
    """
    if not entries:
        return []
    pairs = f"""
        SELECT past, stored, past.{entity.key[-1]} IS NULL AS is_missing, stored.{entity.key[-1]} IS NULL AS is_extra,
            coalesce(past.null_exceptions, []) AS now, coalesce(stored.null_exceptions, []) AS was,
            list_transform(list_concat(
                list_filter(now, lambda e: NOT list_contains(was, e)), list_filter(was, lambda e: NOT list_contains(now, e))
            ), lambda e: e.tag) AS tags_of_other_reasons
        FROM {snapshot} stored FULL JOIN {past} past USING ({", ".join(entity.key)})
        WHERE {_is_not_erased(entity)}"""
    counts = ", ".join(
        f"count_if({_differs(entry, has_reasons=has_night_before or not entry.null_rule.startswith('H('))})"
        for entry in entries
    )
    people, missing, extra, *differing = desk.rows(
        f"SELECT count(*), count_if(is_missing), count_if(is_extra), {counts} FROM ({pairs})"
    )[0]
    return [
        Recomputed(entry.code, people, count, missing, extra)
        for entry, count in zip(entries, differing, strict=True)
    ]


def _differs(entry: Entry, *, has_reasons: bool) -> str:
    """DuckDB SQL that is true of who has another answer of a tag, or stands on one side only."""
    name = identifier(entry.code)
    reasons = f" OR list_contains(tags_of_other_reasons, {literal(entry.code)})" if has_reasons else ""
    return f"is_missing OR is_extra OR past.{name} IS DISTINCT FROM stored.{name}{reasons}"


def _is_night_before_kept(desk: Desk, entity: Entity, day: dt.date) -> bool:
    """Tell whether the night before a day is kept, by which that day knew that a value of null rule H had ended."""
    snapshot_day, night = (
        desk.value(f"SELECT max(as_of) FROM {table} WHERE as_of < {literal(day)}")
        for table in (entity.daily, quality_rows(desk))
    )
    return bool(snapshot_day == night)


def _is_not_erased(entity: Entity) -> str:
    """DuckDB SQL that is true of whoever is not erased: of an erased person the number stays, and no profile of any day."""
    if entity != PERSON:
        return "true"
    return (
        "coalesce(past.one_id, stored.one_id) NOT IN"
        " (SELECT one_id FROM identity.one_ids ANTI JOIN identity.memberships USING (one_id))"
    )
