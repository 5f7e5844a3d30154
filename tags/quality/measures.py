"""Measures every tag's column: filled, null and why, outside its domain, what its values are like, how many changed.

Reads Parquet by column in a few passes, no JVM.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from lakehouse.expressions.expression import syntax_tree
from lakehouse.query.words import identifier, literal, literals
from tags.compile.plan import ScanPlan
from tags.quality.populations import population_conditions, rows_for_populations
from vocabulary.registry import Entry
from vocabulary.reserved_names import EXCEPTIONS, SOURCES, UNEXPLAINED

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk, Relation

# Of so many tags, or of so many values in all, one statement keeps what it counts in memory.
MOST_TAGS = 32
MOST_VALUES = 20_000_000
QUANTILES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
# Of fewer people a quantile is the value of one of them.
LEAST_FOR_QUANTILES = 100
LEAST_OF_BIN = 10
MOST_CATEGORIES = 1_000
OTHER = "other"
REASONS = ("unknown", "not_applicable", "late", "expired")


def measure_tags(
    desk: Desk, wide: Relation, plan: ScanPlan, business_date: dt.date, before: Relation | None = None
) -> list[dict[str, Any]]:
    """Give the rows of ``quality.tag_quality`` for the rows of one wide table, without what their history adds.

    What is said of people here is said of the products, branches or employees of another entity's wide table.

    A value is filled where something says it: a default counts only for people of whom what the tag reads has rows.
    Eligible is everybody, or the population that the tag states, but those of whom ``null_exceptions`` says that the tag does
    not apply; coverage and its two counts are of eligible people, all other figures of everybody. A null counts under the
    reason that ``null_exceptions`` records, as unexplained where the wide model calls it so, else under the reason of
    the tag's null rule, and as unexplained where that has none. ``before`` are the rows of the night before: of the people
    of both, those count as changed whose value is another.
    """
    people = desk.value(f"SELECT count(*) FROM {wide}")
    exceptions: dict[tuple[str, str], int] = {
        (code, reason): count
        for code, reason, count in desk.rows(
            f"SELECT e.tag, e.reason, count(*) FROM (SELECT unnest(null_exceptions) AS e FROM {wide}) GROUP BY 1, 2"
        )
    }
    unexplained_nulls: dict[str, int] = dict(
        desk.rows(f"SELECT code, count(*) FROM (SELECT unnest({UNEXPLAINED}) AS code FROM {wide}) GROUP BY 1")
    )
    conditions = _answer_conditions(plan)
    size = max(1, min(MOST_TAGS, MOST_VALUES // max(people, 1)))
    shapes = _shapes(desk, wide, plan.entries, conditions, business_date, size)
    populations = _populations(desk, wide, plan, conditions, business_date, size)
    changes = _changes(desk, wide, before, plan, size) if before is not None else {}
    bins = _bins(desk, wide, plan.entries, shapes, business_date, size)
    rows = []
    for entry in plan.entries:
        shape = shapes[entry.code]
        counts = {reason: exceptions.get((entry.code, reason), 0) for reason in REASONS}
        eligible, answers = populations.get(entry.code) or (people - counts["not_applicable"], shape.filled)
        others = people - shape.present - sum(counts.values())
        unexplained = unexplained_nulls.get(entry.code, 0)
        if entry.default_reason:
            counts[entry.default_reason] += others - unexplained
        else:
            unexplained += others
        people_of_both, changes_of_tag = changes.get(entry.code, (None, None))
        rows.append(
            {
                "as_of": business_date,
                "tag": entry.code,
                "version": entry.version,
                "people_count": people,
                "eligible_count": eligible,
                "filled_count": answers,
                "coverage_ratio": _ratio(answers, eligible),
                **{f"{reason}_count": counts[reason] for reason in REASONS},
                "unexplained_count": unexplained,
                "outside_domain_count": shape.outside,
                "distinct_count": shape.distinct,
                "value_count": shape.present,
                "total": shape.total,
                "quantiles": shape.quantiles,
                "bins": bins.get(entry.code),
                "compared_count": people_of_both,
                "changed_count": changes_of_tag,
                "changed_ratio": _ratio(changes_of_tag, people_of_both) if people_of_both else None,
            }
        )
    return rows


@dataclass(frozen=True)
class _Shape:
    """What the values of one tag are like."""

    present: int
    filled: int
    outside: int
    distinct: int
    total: Decimal | None
    quantiles: list[float] | None


def _shapes(
    desk: Desk,
    wide: Relation,
    entries: Sequence[Entry],
    conditions: Mapping[str, str],
    business_date: dt.date,
    size: int,
) -> dict[str, _Shape]:
    shapes: dict[str, _Shape] = {}
    for chunk in _chunks(entries, size):
        columns: list[str] = []
        for entry in chunk:
            column, number = identifier(entry.code), _number(entry, business_date)
            columns += [
                f"count({column})",
                f"count(CASE WHEN {conditions[entry.code]} THEN 1 END)",
                f"count(CASE WHEN {_outside(entry)} THEN 1 END)",
                f"count(DISTINCT {column})",
                f"sum({number})::DECIMAL(38, 6)" if number and entry.value.type != "date" else "NULL",
                f"quantile_disc({number}, {QUANTILES})::DOUBLE[]" if number else "NULL",
            ]
        values = desk.rows(f"SELECT {', '.join(columns)} FROM {wide}")[0]
        for entry, each in zip(chunk, _chunks(values, 6), strict=True):
            present, answers, outside, distinct, total, quantiles = each
            is_shown = quantiles is not None and present >= LEAST_FOR_QUANTILES
            shapes[entry.code] = _Shape(
                present, answers, outside, distinct, total, list(quantiles) if is_shown else None
            )
    return shapes


def _populations(
    desk: Desk,
    wide: Relation,
    plan: ScanPlan,
    answers: Mapping[str, str],
    business_date: dt.date,
    size: int,
) -> dict[str, tuple[int, int]]:
    """Give by tag that states a population how many people are in it and eligible, and how many of them have an answer."""
    conditions = population_conditions(plan, business_date)
    if not conditions:
        return {}
    rows = rows_for_populations(desk, wide, plan)
    populations: dict[str, tuple[int, int]] = {}
    for chunk in _chunks(list(conditions), size):
        columns: list[str] = []
        for code in chunk:
            exception = f"{{'tag': {literal(code)}, 'reason': 'not_applicable'}}"
            eligible = (
                f"({conditions[code]}) AND NOT coalesce(list_contains({EXCEPTIONS}, {exception}), false)"
            )
            columns += [
                f"count(CASE WHEN {eligible} THEN 1 END)",
                f"count(CASE WHEN {eligible} AND {answers[code]} THEN 1 END)",
            ]
        counts = desk.rows(f"SELECT {', '.join(columns)} FROM {rows}")[0]
        populations |= {
            code: (each[0], each[1]) for code, each in zip(chunk, _chunks(counts, 2), strict=True)
        }
    return populations


def _changes(
    desk: Desk, wide: Relation, before: Relation, plan: ScanPlan, size: int
) -> dict[str, tuple[int, int]]:
    """Give by tag how many people both nights know, and how many of them have another value."""
    changes: dict[str, tuple[int, int]] = {}
    entries, key = plan.entries, ", ".join(plan.entity.key)
    kinds, kinds_before = _kinds(desk, wide), _kinds(desk, before)
    entries_before = [entry for entry in entries if kinds[entry.code] == kinds_before.get(entry.code)]
    for chunk in _chunks(entries_before, size):
        names = [identifier(entry.code) for entry in chunk]
        differences = (f"count(CASE WHEN now.{n} IS DISTINCT FROM was.{n} THEN 1 END)" for n in names)
        people, *counts = desk.rows(
            f"SELECT count(*), {', '.join(differences)} FROM (SELECT {key}, {', '.join(names)} FROM {wide}) now"
            f" JOIN (SELECT {key}, {', '.join(names)} FROM {before}) was USING ({key})"
        )[0]
        changes |= {entry.code: (people, count) for entry, count in zip(chunk, counts, strict=True)}
    return changes


def _kinds(desk: Desk, relation: Relation) -> dict[str, str]:
    return {name: kind for name, kind, *_ in desk.rows(f"DESCRIBE SELECT * FROM {relation}")}


def _bins(
    desk: Desk,
    wide: Relation,
    entries: Sequence[Entry],
    shapes: Mapping[str, _Shape],
    business_date: dt.date,
    size: int,
) -> dict[str, list[dict[str, Any]]]:
    """Give by tag how many people have each value, or of numbers each range of values, the most frequent first.

    A number of people below ``LEAST_OF_BIN`` is not told of its value: it counts among those of the bin ``other``.
    """
    bins: dict[str, list[dict[str, Any]]] = {}
    binned = [
        entry
        for entry in entries
        if _number(entry, business_date) or shapes[entry.code].distinct <= MOST_CATEGORIES
    ]
    for chunk in _chunks(binned, size):
        columns = ", ".join(f"histogram({_bin(entry, business_date)})" for entry in chunk)
        for entry, counts in zip(chunk, desk.rows(f"SELECT {columns} FROM {wide}")[0], strict=True):
            frequent = {text: n for text, n in (counts or {}).items() if n >= LEAST_OF_BIN}
            others = sum((counts or {}).values()) - sum(frequent.values())
            order = sorted(frequent, key=lambda text: (-frequent[text], text))
            bins[entry.code] = [{"bin": text, "people": frequent[text]} for text in order]
            bins[entry.code] += [{"bin": OTHER, "people": others}] if others else []
    return bins


def _number(entry: Entry, business_date: dt.date) -> str | None:
    """DuckDB SQL of a value as a number, a date as days from the business date; None where it is none."""
    if entry.value.cardinality == "set" or entry.value.type in ("string", "boolean"):
        return None
    column = identifier(entry.code)
    return f"({column} - {literal(business_date)})" if entry.value.type == "date" else column


def _bin(entry: Entry, business_date: dt.date) -> str:
    """DuckDB SQL of the bin of a value: of a number eight to each doubling, of a ratio to each of its percentages."""
    number = _number(entry, business_date)
    if number is None:
        column = identifier(entry.code)
        return f"array_to_string({column}, '+')" if entry.value.cardinality == "set" else f"{column}::VARCHAR"
    scale = 100 if entry.value.type == "ratio" else 1
    return f"(sign({number}) * floor(8 * log2(1 + abs({number}::DOUBLE) * {scale})))::INTEGER::VARCHAR"


def _chunks(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for at in range(0, len(values), size):
        yield values[at : at + size]


def _ratio(part: int | None, whole: int | None) -> Decimal | None:
    if not whole or part is None:
        return None
    return (Decimal(part) / Decimal(whole)).quantize(Decimal("0.000001"))


def _answer_conditions(plan: ScanPlan) -> dict[str, str]:
    """Give by tag the DuckDB SQL that is true of people whose value something says.

    A null rule with a default turns absence into a value. Such a value is said by a row of what the tag reads, or, of a rule,
    by one of the tags that it reads.
    """
    scans = {entry.code: scan.relation.noun for scan in plan.scans for entry in scan.entries}
    conditions: dict[str, str] = {}
    for entry in (entry for layer in plan.layers for entry in layer):
        column = f"{identifier(entry.code)} IS NOT NULL"
        if entry.default_reason:
            conditions[entry.code] = column
        elif entry.code in scans:
            conditions[entry.code] = f"({column} AND list_contains({SOURCES}, {literal(scans[entry.code])}))"
        elif _reads_person(entry):
            conditions[entry.code] = column
        else:
            # What is off says nothing of anybody.
            conditions_of_inputs = [conditions[code] for code in entry.tag_inputs if code in conditions]
            inputs = " OR ".join(conditions_of_inputs) or ("false" if entry.tag_inputs else "true")
            conditions[entry.code] = f"({column} AND ({inputs}))"
    return conditions


def _reads_person(entry: Entry) -> bool:
    """Tell whether a rule reads the row's own columns, as a bucket of a person does: everybody has an answer."""
    assert entry.compute is not None
    text = entry.compute.expression
    return text is not None and any(
        column.name in entry.about.columns for column in syntax_tree(text).find_all(exp.Column)
    )


def _outside(entry: Entry) -> str:
    """DuckDB SQL that is true for a value the registry does not allow."""
    column = identifier(entry.code)
    value = entry.value
    faults = []
    if value.domain:
        domain = literals(value.domain)
        inside = (
            f"list_has_all([{domain}], {column})" if value.cardinality == "set" else f"{column} IN ({domain})"
        )
        faults.append(f"NOT ({inside})")
    if value.min is not None:
        faults.append(f"{column} < {value.min}")
    if value.max is not None:
        faults.append(f"{column} > {value.max}")
    return f"{column} IS NOT NULL AND ({' OR '.join(faults)})" if faults else "false"
