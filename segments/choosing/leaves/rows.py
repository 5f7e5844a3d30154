"""The SQL of leaves over rows: one conditional aggregation per table for all that is asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from lakehouse.contracts.reading import contract
from lakehouse.query.words import spark_identifier, spark_literal
from segments.choosing.leaves.sql import LeafSql, Part, tests_sql, text_sql
from segments.language.leaves.dates import DateLeaf, RowDate
from segments.language.leaves.rows import PROPERTY, RECEIPTS, Match, RowLeaf, RowMeasure
from segments.language.operators import Test
from vocabulary.attributes import ATTRIBUTES, ENTITIES, Attribute, attribute_rows_sql, property_sql
from vocabulary.contact_rules import RulePlace, lake_place
from vocabulary.lookups import Lookup, LookupColumn, lookup_joins_sql, path_alias
from vocabulary.relations import PeopleRows, people_rows, rows_of_day_sql

DELIVERIES = "segments.deliveries"
ROWS = "r"


@dataclass
class _Scan:
    """What is read of one table: aggregates by name, and from which day on; no day where one leaf has no window.

    ``paths`` are the look-ups that its rows are joined by, and ``attributes`` what is asked of them, both by the alias of the rows.
    """

    table: str
    way: tuple[Lookup, ...]
    columns: list[str] = field(default_factory=list)
    aggregates: dict[str, str] = field(default_factory=dict)
    answers: dict[str, LeafSql] = field(default_factory=dict)
    first_days: list[date | None] = field(default_factory=list)
    attributes: dict[str, dict[str, Attribute]] = field(default_factory=dict)
    paths: dict[str, tuple[Lookup, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the part."""
        return part_name(self.table, self.way)

    def value(self, column: str, attribute: Attribute | None, end: LookupColumn | None) -> str:
        """Give a column of the rows or of what they look up, or an attribute that is read as one."""
        alias = ROWS
        if end is not None:
            alias, column, attribute = path_alias(end.path, ROWS), end.column.name, end.attribute
            self.paths[alias] = end.path
        if attribute is None:
            return f"{alias}.{spark_identifier(column)}"
        if attribute.is_property:
            return f"({property_sql(attribute, alias)})"
        self.attributes.setdefault(alias, {})[attribute.code] = attribute
        return f"{_attribute_rows(alias)}.{spark_identifier(attribute.code)}"

    def match_sql(self, match: Match, today: str) -> str:
        """Give whether a row matches; null where that is unknown."""
        if match.column.startswith(PROPERTY) and match.attribute is None:
            value = _property_sql(match)
        else:
            value = self.value(match.column, match.attribute, match.end)
        condition = tests_sql(match.tests, value, today)
        return f"coalesce({condition}, false)" if match.is_definite else condition

    def attribute_joins(self, place: RulePlace) -> str:
        """Give the joins of rows to their attributes, if any is asked."""
        joins = []
        for alias, attributes in sorted(self.attributes.items()):
            rows = attribute_rows_sql(
                [attributes[code] for code in sorted(attributes)],
                rows=f"{place.table(ATTRIBUTES)} v",
                alias="v",
                condition=rows_of_day_sql(ATTRIBUTES, "v", place),
            )
            key, own = ENTITIES[next(iter(attributes.values())).entity][1], _attribute_rows(alias)
            joins.append(
                f"\n  LEFT JOIN ({rows}) {own} ON {own}.source = {alias}.source AND {own}.entity_key = {alias}.{key}"
            )
        return "".join(joins)

    def rows(self, place: RulePlace) -> PeopleRows:
        """Give the rows with their people and what they look up."""
        if self.table == RECEIPTS:
            return _receipts()
        paths = [*self.paths.values(), self.way]
        joins = lookup_joins_sql(paths, place, ROWS)
        owner = (self.way[-1].to, path_alias(self.way, ROWS)) if self.way else None
        rows = people_rows(self.table, place, joins=joins, owner=owner)
        tables = {*rows.tables, *(step.to for path in paths for step in path)}
        return replace(rows, tables=tuple(sorted(tables)))


def _attribute_rows(alias: str) -> str:
    """Give the alias of the attributes of rows."""
    return f"attributes_of_{alias}"


def row_leaf_sql(
    rows: Mapping[str, RowLeaf], dates: Mapping[str, DateLeaf], business_date: date
) -> Iterator[Part]:
    """Give the part of every table that leaves over rows, or dates of rows, ask about."""
    scans: dict[str, _Scan] = {}

    def scan_of(of: RowLeaf | RowDate) -> _Scan:
        return scans.setdefault(part_name(of.table, of.way), _Scan(of.table, of.way))

    for column, leaf in sorted(rows.items()):
        _add_measure(scan_of(leaf), column, leaf, business_date)
    for column, date_leaf in sorted(dates.items()):
        if isinstance(date_leaf.of, RowDate):
            _add_date(scan_of(date_leaf.of), column, date_leaf.of, business_date)
    for _, scan in sorted(scans.items()):
        yield _part(scan, business_date)


def part_name(table: str, way: tuple[Lookup, ...] = ()) -> str:
    """Give the name of the part over a table, whose rows are those of the person at the end of the way."""
    return "__".join(["rows_" + table.split(".")[1], *(step.code for step in way)])


def _part(scan: _Scan, business_date: date) -> Part:
    place = lake_place(business_date)
    source = scan.rows(place)
    conditions = [source.condition] if source.condition else []
    days = [day for day in scan.first_days if day is not None]
    if days and len(days) == len(scan.first_days):
        conditions.append(f"r.{contract(scan.table).event_date} >= {spark_literal(min(days))}")
    aggregates = ",\n    ".join(f"{sql} AS {name}" for name, sql in scan.aggregates.items())
    where = f"\n  WHERE {' AND '.join(conditions)}" if conditions else ""
    return Part(
        scan.name,
        f"SELECT {source.one_id} AS one_id,\n    {aggregates}\n  FROM {source.source}{scan.attribute_joins(place)}{where}\n  GROUP BY {source.one_id}",
        scan.answers,
        tuple(scan.columns),
        (*source.tables, *((ATTRIBUTES,) if scan.attributes else ())),
        source.needs_owners,
    )


def _receipts() -> PeopleRows:
    """Give the answers to contacts with the segment of the run they answer."""
    source = (
        "(SELECT a.one_id, a.status, a.channel, a.event_on, v.code AS segment FROM answers a"
        f" LEFT JOIN {DELIVERIES} v ON v.destination = a.destination AND v.run_id = a.run_id) r"
    )
    return PeopleRows(source, "r.one_id", "", (RECEIPTS, DELIVERIES), False)


def _add_measure(scan: _Scan, column: str, leaf: RowLeaf, business_date: date) -> None:
    today = spark_literal(business_date)
    first = business_date - timedelta(days=leaf.within_days - 1) if leaf.within_days else None
    scan.columns.append(column)
    scan.first_days.append(first)
    window = [f"r.{contract(leaf.table).event_date} >= {spark_literal(first)}"] if first else []
    matches = [scan.match_sql(match, today) for match in leaf.matches]
    is_match = _conjunction([*window, *matches])
    # Null of a match is unknown: such a row may count.
    possible = _conjunction([*window, *(f"coalesce({match}, true)" for match in matches)])
    measure = leaf.measure
    of = scan.value(measure.of, measure.attribute, measure.end) if measure.of else ""
    parts = measure_sql(
        f"{scan.name}.{column}",
        measure,
        (is_match, possible if leaf.has_uncertain_rows or of else is_match),
        of,
        today,
    )
    scan.aggregates |= {f"{column}_{end}": sql for end, sql in parts.aggregates.items()}
    scan.answers[column] = parts.answer


def _add_date(scan: _Scan, column: str, of: RowDate, business_date: date) -> None:
    """Add the first, last or next date of the rows that have one, and what it is where rows that may match do."""
    today = spark_literal(business_date)
    day = scan.value(of.column, of.attribute, of.end)
    reach = f"{day} >= {today}" if of.pick == "next" else f"{day} IS NOT NULL"
    matches = [scan.match_sql(match, today) for match in of.matches]
    is_match = _conjunction([reach, *matches])
    possible = _conjunction([reach, *(f"coalesce({match}, true)" for match in matches)])
    aggregate = "max" if of.pick == "last" else "min"
    scan.columns.append(column)
    scan.first_days.append(None)
    scan.aggregates[f"{column}_day"] = f"{aggregate}(CASE WHEN {is_match} THEN {day} END)"
    scan.aggregates[f"{column}_perhaps"] = f"{aggregate}(CASE WHEN {possible} THEN {day} END)"


@dataclass(frozen=True)
class MeasureSql:
    """Aggregates by the end of their name, and the answer over them."""

    aggregates: dict[str, str]
    answer: LeafSql


def measure_sql(name: str, measure: RowMeasure, matches: tuple[str, str], of: str, today: str) -> MeasureSql:
    """Give a measure over what matches: ``matches`` are the conditions of matching and of matching perhaps, which may be the same.

    The answer reads the aggregates as ``<name>_<end>``; ``of`` is the value that is measured. What rows may match, or match without a
    value, leave the result between two ends, and the answer is unknown where it is not the same for all that lies between.
    """
    is_match, possible = matches
    if measure.name == "count":
        aggregates = {"least": f"count(CASE WHEN {is_match} THEN 1 END)"}
        least = most = f"coalesce({name}_least, 0)"
        if possible != is_match:
            aggregates["most"] = f"count(CASE WHEN {possible} THEN 1 END)"
            most = f"coalesce({name}_most, 0)"
        return MeasureSql(aggregates, _answer_between(measure.tests, least, most, today))
    aggregates = {"open": f"count(CASE WHEN {possible} AND {of} IS NULL THEN 1 END)"}
    is_open = f"coalesce({name}_open, 0) > 0"
    sure, perhaps = f"CASE WHEN {is_match} THEN {of} END", f"CASE WHEN {possible} THEN {of} END"
    if measure.name == "sum":
        for end, sign in (("least", "<"), ("most", ">")):
            counts = f"({is_match}) OR ({possible}) AND {of} {sign} 0"
            aggregates[end] = f"sum(CASE WHEN {counts} THEN {of} END)"
        least, most = (
            f"CASE WHEN NOT {is_open} THEN coalesce({name}_{end}, 0) END" for end in ("least", "most")
        )
        return MeasureSql(aggregates, _answer_between(measure.tests, least, most, today))
    # The extreme of what matches for sure is one end; what may match moves the other. Nothing for sure may be nothing at all.
    aggregates |= {"sure": f"{measure.name}({sure})", "perhaps": f"{measure.name}({perhaps})"}
    surely, end = f"{name}_sure", f"CASE WHEN NOT {is_open} THEN {name}_perhaps END"
    least, most = (surely, end) if measure.name == "max" else (end, surely)
    between = _answer_between(measure.tests, least, most, today)
    answer, evidence = (
        f"CASE WHEN {surely} IS NOT NULL THEN {text} END" for text in (between.answer, between.evidence)
    )
    return MeasureSql(aggregates, LeafSql(answer, evidence))


def _answer_between(tests: tuple[Test, ...], least: str, most: str, today: str) -> LeafSql:
    """Give the answer of tests of what lies between two ends, of which one that is null bounds nothing, and the ends as text."""
    if least == most:
        return LeafSql(tests_sql(tests, least, today), text_sql(least))
    answer = _conjunction([_between_sql(test, least, most, today) for test in tests])
    evidence = (
        f"CASE WHEN {least} = {most} THEN {text_sql(least)}"
        f" WHEN {most} IS NULL THEN concat({text_sql(least)}, ' or more')"
        f" WHEN {least} IS NULL THEN concat({text_sql(most)}, ' or less')"
        f" ELSE concat({text_sql(least)}, ' to ', {text_sql(most)}) END"
    )
    return LeafSql(f"({answer})", evidence)


def _conjunction(conditions: list[str]) -> str:
    return " AND ".join(conditions) or "true"


def _property_sql(match: Match) -> str:
    """Give a property of an event's JSON, as the type it is compared as; what is not of it is null."""
    text = f"get_json_object(r.properties, '$.{match.column.removeprefix(PROPERTY)}')"
    kinds = {"number": "decimal(38,6)", "boolean": "boolean"}
    if match.value_type in kinds:
        return f"try_cast({text} AS {kinds[match.value_type]})"
    return f"cast({text} AS string)"


def _between_sql(test: Test, least: str, most: str, today: str) -> str:
    """Give a test of what lies between two ends: true or false where all between them agree, else null."""
    if test.operator == "days_ago":
        least, most = f"datediff({today}, {most})", f"datediff({today}, {least})"
    elif test.operator == "days_ahead":
        least, most = f"datediff({least}, {today})", f"datediff({most}, {today})"
    else:
        return _comparison_between_sql(test.operator, test.operand, least, most)
    return _conjunction(
        [_comparison_between_sql(sign, bound, least, most) for sign, bound in sorted(test.operand.items())]
    )


def _comparison_between_sql(sign: str, operand: Any, least: str, most: str) -> str:
    if sign == "between":
        low, high = (spark_literal(bound) for bound in operand)
        is_true, is_false = f"{least} >= {low} AND {most} <= {high}", f"{most} < {low} OR {least} > {high}"
    elif sign in ("eq", "ne"):
        bound = spark_literal(operand)
        is_true, is_false = (
            f"{least} = {bound} AND {most} = {bound}",
            f"{most} < {bound} OR {least} > {bound}",
        )
        if sign == "ne":
            is_true, is_false = is_false, is_true
    else:
        word = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[sign]
        sure, possible = (least, most) if sign in ("gt", "gte") else (most, least)
        bound = spark_literal(operand)
        is_true, is_false = f"{sure} {word} {bound}", f"NOT {possible} {word} {bound}"
    return f"CASE WHEN {is_true} THEN true WHEN {is_false} THEN false END"
