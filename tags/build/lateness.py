"""Tags that keep the values of the night before: of a late source for some days, after which they have none, and monthly ones.

A tag with ``refresh: monthly`` shows the values of the first night of a month until the next; what a night computes of it
meanwhile counts only for people who are new. Each other tag goes by its own ``max_staleness_days``, and the others of the night are as of its date. Also the last value of a
tag that holds values for a while (null rule H) is over here: its null says so.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lakehouse.query.words import identifier, literal, literals
from tags.quality.history import quality_rows
from tags.quality.sources import Lateness, Sources, tables_read
from vocabulary.entities import PERSON
from vocabulary.reserved_names import UNEXPLAINED

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk, Relation
    from vocabulary.entities import Entity
    from vocabulary.registry import Entry, Registry

log = logging.getLogger("cdp.tags")

MOST_SHOWN = 5


@dataclass(frozen=True)
class TagsBefore:
    """The rows of the newest night before, its date, and of each tag the version and the day of which its values tell.

    ``lost_codes`` are tags that a late source had left without any value.
    """

    rows: Relation
    as_of: dt.date
    versions: Mapping[str, str]
    value_days: Mapping[str, dt.date]
    lost_codes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class LateTag:
    """A tag that does not show what a night computes: held with the values of a day, or null after the day of its last values.

    ``monthly`` are those that show the values of the first night of the month; nothing about them is late.
    """

    code: str
    action: Literal["held", "null", "monthly"]
    late: Lateness | None
    value_on: dt.date


def night_before(desk: Desk, business_date: dt.date, entity: Entity = PERSON) -> TagsBefore | None:
    """Give the newest night of an entity's tags before a business date; None before the second night."""
    daily = entity.daily
    as_of = desk.value(f"SELECT max(as_of) FROM {daily} WHERE as_of < {literal(business_date)}")
    if as_of is None:
        return None
    rows = desk.define(
        f"the night before of {entity.plural}", f"SELECT * FROM {daily} WHERE as_of = {literal(as_of)}"
    )
    of_tags = desk.rows(
        "SELECT tag, version, value_on, coalesce(late_count, 0) = people_count AND people_count > 0"
        f" FROM {quality_rows(desk)} WHERE as_of = {literal(as_of)}"
    )
    return TagsBefore(
        rows,
        as_of,
        {tag: version for tag, version, *_ in of_tags if version is not None},
        {tag: value_on or as_of for tag, _, value_on, _ in of_tags},
        frozenset(tag for tag, *_, is_lost in of_tags if is_lost),
    )


def late_tags(
    registry: Registry,
    entries: Sequence[Entry],
    sources: Sources,
    before: TagsBefore | None,
    business_date: dt.date,
) -> list[LateTag]:
    """Give the tags that keep the values of the night before, or have none: those of a late source, and monthly ones meanwhile.

    Of late ones, not among them are tags that are never null, and those that may only exclude: an exclusion does not end because nothing
    was delivered. Within ``max_staleness_days``, a tag whose values of before are older than that, or are none (two sources may be late
    in turn), is computed from what there is: none of its sources is later.
    """
    late = []
    monthly_codes = _carried_until_next_month(entries, before, business_date)
    for entry in entries:
        if before is not None and entry.code in monthly_codes:
            late.append(LateTag(entry.code, "monthly", None, before.value_days[entry.code]))
            continue
        _, lateness = sources.of_tag(tables_read(registry, entry))
        if (
            lateness is None
            or entry.null_rule == "NEVER"
            or not {"marketing", "service"} & set(entry.purposes)
        ):
            continue
        is_known = before is not None and before.versions.get(entry.code) == entry.version
        if lateness.days > entry.max_staleness_days:
            value_on = (
                before.value_days[entry.code] if before is not None and is_known else lateness.delivered_on
            )
            late.append(
                LateTag(entry.code, "null", lateness, min(value_on, business_date - dt.timedelta(days=1)))
            )
        elif (
            before is not None
            and is_known
            and (business_date - before.value_days[entry.code]).days <= entry.max_staleness_days
        ):
            late.append(LateTag(entry.code, "held", lateness, before.value_days[entry.code]))
    return late


def _carried_until_next_month(
    entries: Sequence[Entry], before: TagsBefore | None, business_date: dt.date
) -> frozenset[str]:
    """Give the monthly tags that have values of this month already; those that read one another are computed on one night."""
    inputs = {entry.code: set(entry.tag_inputs) for entry in entries if entry.refresh == "monthly"}
    if before is None:
        return frozenset()
    codes = {
        entry.code
        for entry in entries
        if entry.code in inputs
        and before.versions.get(entry.code) == entry.version
        and entry.code not in before.lost_codes
        and before.value_days[entry.code].replace(day=1) == business_date.replace(day=1)
    }
    while True:
        due = inputs.keys() - codes
        bound = {one for one in codes if inputs[one] & due or any(one in inputs[other] for other in due)}
        if not bound:
            return frozenset(codes)
        codes -= bound


def carry_values(
    desk: Desk,
    folder: Path,
    wide: Relation,
    entries: Sequence[Entry],
    late: Sequence[LateTag],
    before: TagsBefore | None,
    entity: Entity = PERSON,
) -> bool:
    """Write the files of the wide rows anew with values that are held, and nulls that are late or expired; tell whether it did.

    Somebody whom the night before did not know has no value to hold: null, because of a late source. A monthly tag is
    computed for them.
    """
    codes = {one.code for one in late}
    monthly_codes = [one.code for one in late if one.action == "monthly"]
    held_codes = [one.code for one in late if one.action == "held"]
    expired = [
        entry.code
        for entry in entries
        if before is not None and entry.null_rule.startswith("H(") and entry.code in before.rows.columns
        and entry.code not in codes and before.versions.get(entry.code) == entry.version
    ]  # fmt: skip
    expired = [
        code for code in expired if before is not None and _ends(desk, wide, before.rows, code, entity)
    ]
    if not late and not expired:
        return False
    was = before.rows if before is not None else f"(SELECT * FROM {wide} LIMIT 0)"
    values = [
        f"CASE WHEN {_was_known(entity)} THEN was.{name} END AS {name}"
        for name in map(identifier, held_codes)
    ]
    values += [
        f"CASE WHEN {_was_known(entity)} THEN was.{name} ELSE now.{name} END AS {name}"
        for name in map(identifier, monthly_codes)
    ]
    values += [
        f"CAST(NULL AS {kind}) AS {identifier(name)}"
        for name, kind, *_ in desk.rows(f"DESCRIBE SELECT * FROM {wide}")
        if name in codes and name not in (*held_codes, *monthly_codes)
    ]
    other_codes = sorted({*codes, *expired})
    reasons = [
        f"list_filter(now.null_exceptions, lambda x: x.tag NOT IN ({literals(other_codes)}))",
        *(_held_reasons(held_codes, entity) if held_codes else ()),
        *(_held_reasons(monthly_codes, entity, has_new_values=True) if monthly_codes else ()),
        *(_reason(one.code, "late", "true") for one in late if one.action == "null"),
        *(_reason(code, "expired", _has_ended(code)) for code in expired),
        *(
            f"CASE WHEN now.{identifier(code)} IS NULL AND NOT ({_has_ended(code)})"
            f" THEN list_filter(now.null_exceptions, lambda x: x.tag = {literal(code)}) ELSE [] END"
            for code in expired
        ),
    ]
    values.append(f"list_sort(flatten([{', '.join(reasons)}])) AS null_exceptions")
    if codes:
        reasons_left = f"list_filter(now.{UNEXPLAINED}, lambda x: x NOT IN ({literals(sorted(codes))}))"
        values.append(f"{reasons_left} AS {UNEXPLAINED}")
    part = folder.with_name(f"{folder.name}.held")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    same = " AND ".join(f"was.{name} = now.{name}" for name in entity.key)
    desk.run(
        f"COPY (SELECT now.* REPLACE ({', '.join(values)}) FROM {wide} now LEFT JOIN {was} was ON {same})"
        f" TO {literal(part / 'part-0.parquet')} (FORMAT parquet, COMPRESSION zstd)"
    )
    shutil.rmtree(folder)
    part.rename(folder)
    return True


def _was_known(entity: Entity) -> str:
    """DuckDB SQL that is true of whom the night before knows."""
    return f"was.{entity.key[-1]} IS NOT NULL"


def _ends(desk: Desk, wide: Relation, was: Relation, code: str, entity: Entity) -> bool:
    key = ", ".join(entity.key)
    sql = f"SELECT count(*) FROM {wide} now JOIN {was} was USING ({key}) WHERE now.{identifier(code)} IS NULL"
    return bool(desk.value(f"{sql} AND ({_has_ended(code)})"))


def _has_ended(code: str) -> str:
    """DuckDB SQL that is true of a person whose value was held the night before, or had ended then."""
    was_expired = f"list_contains(was.null_exceptions, {{'tag': {literal(code)}, 'reason': 'expired'}})"
    return f"was.{identifier(code)} IS NOT NULL OR coalesce({was_expired}, false)"


def _held_reasons(codes: Sequence[str], entity: Entity, *, has_new_values: bool = False) -> list[str]:
    """DuckDB SQL of the reasons of held nulls, and of those of whom nothing could be held, or what was computed."""
    late = ", ".join(f"{{'tag': {literal(code)}, 'reason': 'late'}}" for code in sorted(codes))
    own = f"lambda x: x.tag IN ({literals(sorted(codes))})"
    strangers = f"list_filter(now.null_exceptions, {own})" if has_new_values else f"[{late}]"
    return [
        f"CASE WHEN NOT ({_was_known(entity)}) THEN {strangers} ELSE list_filter(was.null_exceptions, {own}) END"
    ]


def _reason(code: str, reason: str, condition: str) -> str:
    entry = f"[{{'tag': {literal(code)}, 'reason': {literal(reason)}}}]"
    column = f"now.{identifier(code)} IS NULL AND " if reason == "expired" else ""
    return f"CASE WHEN {column}({condition}) THEN {entry} ELSE [] END"


def tell_late(late: Sequence[LateTag], sources: Sources, tables: Mapping[str, Collection[str]]) -> None:
    """Log what a late source does to the tags of a night, one line for all that have it in common."""
    groups: dict[tuple[str, Lateness, dt.date], list[str]] = {}
    monthly_codes = [one.code for one in late if one.action == "monthly"]
    if monthly_codes:
        log.info("%d monthly tags keep their values of this month", len(monthly_codes))
    for one in late:
        if one.late is not None:
            groups.setdefault((one.action, one.late, one.value_on), []).append(one.code)
    for (action, lateness, value_on), codes in sorted(groups.items(), key=lambda item: item[1]):
        tables_late = {
            table for code in codes for table in tables[code] if sources.late_tables.get(table) == lateness
        }
        what = f"keep the values of {value_on}" if action == "held" else "are null for it (late)"
        log.warning(
            "%s %s late by %d days, delivered up to %s: %d tags %s: %s%s",
            ", ".join(sorted(tables_late)), "is" if len(tables_late) == 1 else "are", lateness.days, lateness.delivered_on,
            len(codes), what, ", ".join(sorted(codes)[:MOST_SHOWN]),
            f" and {len(codes) - MOST_SHOWN} more" if len(codes) > MOST_SHOWN else "",
        )  # fmt: skip


def add_sources(
    rows: Sequence[dict[str, Any]],
    sources: Sources,
    late: Sequence[LateTag],
    tables: Mapping[str, Collection[str]],
    business_date: dt.date,
) -> None:
    """Add to the rows of ``quality.tag_quality`` how far what a tag reads is delivered, and of which day its values tell."""
    by_code = {one.code: one for one in late}
    for row in rows:
        source_on, lateness = sources.of_tag(tables[row["tag"]])
        one = by_code.get(row["tag"])
        row["source_on"] = source_on
        row["late_days"] = lateness.days if lateness else 0
        row["value_on"] = one.value_on if one else business_date
