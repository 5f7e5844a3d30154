"""Leaves over rows: how many rows of a table a person has, what they sum to, and the least and greatest of them.

``detail`` asks trusted tables, ``event`` events with amounts and properties, ``receipt`` the answers to contacts. A row whose
asked columns are null may or may not count, so the number of rows lies between two numbers: the answer is unknown where the
two differ. ``product.category`` is a column of what a row looks up, ``via`` the look-up whose row belongs to the person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from lakehouse.contracts.contract import Column
from lakehouse.contracts.reading import contract, contract_names
from lakehouse.settings.yaml_files import did_you_mean, line_of, plain
from segments.language.complaints import Complaints
from segments.language.conditions import Leaf
from segments.language.operators import (
    COMPARISONS,
    OPERATORS,
    Test,
    comparison_fault,
    normal_tests,
    operand_fault,
    type_fault,
)
from vocabulary.attributes import Attribute
from vocabulary.lookups import Lookup, LookupColumn, LookupInvalid
from vocabulary.relations import (
    BALANCES,
    DETAIL_TABLES,
    NO_DETAIL,
    ValueKind,
    kind_of_type,
    names_person,
    value_kind,
)
from vocabulary.tag_facts import ValueType

EVENTS, RECEIPTS = "trusted.events", "trusted.receipts"
MEASURES = ("count", "sum", "min", "max", "any")
PROPERTY = "properties."
_PROPERTY_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_EVENT_EQUALITIES = ("channel", "app_id", "item_class", "is_success")
EVENT_KEYS = ("name", "match", "properties", *MEASURES, "within_days", *_EVENT_EQUALITIES)


@dataclass(frozen=True)
class Match:
    """What is asked of one column of a row, of an ``attribute`` that is read as one, or of what the row looks up (``end``).

    Null is unknown, or no match where it ``is_definite``.
    """

    column: str
    tests: tuple[Test, ...]
    is_definite: bool = False
    attribute: Attribute | None = field(default=None, compare=False, repr=False)
    end: LookupColumn | None = field(default=None, compare=False, repr=False)

    @property
    def value_type(self) -> ValueType:
        """The type of an undeclared property of an event, by what it is compared with: JSON states none."""
        operands = [value for test in self.tests for value in test.operands()]
        if operands and all(isinstance(value, bool) for value in operands):
            return "boolean"
        is_number = operands and all(isinstance(value, (int, float, Decimal)) for value in operands)
        return "number" if is_number else "category"


@dataclass(frozen=True)
class RowMeasure:
    """What is measured over the rows, and the tests of the result."""

    name: str
    tests: tuple[Test, ...]
    of: str | None = None
    attribute: Attribute | None = field(default=None, compare=False, repr=False)
    end: LookupColumn | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class RowLeaf(Leaf):
    """A measure over a person's rows of one table. No row counts 0 and sums to 0, and has no least or greatest.

    Rows that name no person are those of whom the row at the end of the ``way`` names.
    """

    word: str
    table: str
    matches: tuple[Match, ...]
    measure: RowMeasure
    within_days: int | None = None
    way: tuple[Lookup, ...] = ()

    def normal(self) -> dict[str, Any]:
        """Give table, conditions, measure and window."""
        body: dict[str, Any] = {"from": self.table, "match": {}} | normal_way(self.way)
        for match in self.matches:
            body["match"][match.column] = normal_tests(match.tests) | (
                {"definite": True} if match.is_definite else {}
            )
        of = {"of": self.measure.of} if self.measure.of else {}
        body[self.measure.name] = of | normal_tests(self.measure.tests)
        return {self.word: body | ({"within_days": self.within_days} if self.within_days else {})}

    @property
    def has_uncertain_rows(self) -> bool:
        """Whether a row may or may not count, because a column that is asked can be null."""
        return any(not m.is_definite and _may_be_null(self.table, m) for m in self.matches)

    @property
    def can_be_unknown(self) -> bool:
        """Whether the answer can be unknown."""
        if self.has_uncertain_rows or self.measure.name in ("min", "max"):
            return True
        return self.measure.of is not None and not _is_required(self.table, self.measure.of)


def normal_way(way: tuple[Lookup, ...]) -> dict[str, str]:
    """Give ``via`` as it is written, nothing where the rows name their person."""
    return {"via": ".".join(step.code for step in way)} if way else {}


def _may_be_null(table: str, match: Match) -> bool:
    return any(t.operator != "is_null" for t in match.tests) and not _is_required(table, match.column)


def _is_required(table: str, column: str) -> bool:
    columns = contract(table).columns
    return column in columns and columns[column].required


# ---------------------------------------------------------------------------------------------- reading


def read_detail(tree: Any, line: int | None, file: Complaints) -> RowLeaf:
    """Read ``{detail: {from, via, match, count | sum | min | max | any, within_days}}``."""
    file.only(tree, ("detail", "include_unknown"))
    body = file.mapping(tree, "detail", "{from, match, count, within_days}", line)
    file.only(body, ("from", "via", "match", *MEASURES, "within_days"))
    name = str(body.get("from", "")).removeprefix("trusted.")
    table = f"trusted.{name}"
    if name in NO_DETAIL or table not in contract_names("trusted"):
        reason = f": {NO_DETAIL[name]}" if name in NO_DETAIL else did_you_mean(name, sorted(DETAIL_TABLES))
        raise file.fault(f"E01 'detail.from' knows no rows '{name}'{reason}", line_of(body, "from"))
    way = _way_to_a_person(table, body, file)
    attributes = file.readable_attributes.of_table(table)
    days = file.days(body, "within_days", "detail") if "within_days" in body else None
    if days is not None and (contract(table).event_date is None or table == BALANCES):
        what = "the last known balance counts" if table == BALANCES else "they say what holds today"
        raise file.fault(
            f"E03 the rows of {name} have no window ({what}); drop within_days", line_of(body, "within_days")
        )
    leaf = RowLeaf(
        "detail",
        table,
        _matches(body.get("match"), body, "match", file, attributes, table),
        read_measure(body, "detail", file, attributes, table),
        days,
        way,
        line=line,
        include_unknown=file.include_unknown(tree),
    )
    return without_faults(leaf, body, file)


def _way_to_a_person(table: str, body: Any, file: Complaints) -> tuple[Lookup, ...]:
    """Give the look-ups from rows that name no person to one that does; none where they do themselves."""
    name = table.split(".")[1]
    is_personal = names_person(table)
    via = body.get("via")
    if via is None and is_personal:
        return ()
    if is_personal:
        text = f"E03 the rows of {name} name their person themselves; take out 'via'"
        raise file.fault(text, line_of(body, "via"))
    if via is None:
        ways = file.lookups.ways_to_a_person(table)
        hint = f"write via: {ways[0]}" if ways else _asked_from_elsewhere(table, file)
        raise file.fault(f"E01 the rows of {name} name no person; {hint}", line_of(body, "from"))
    try:
        way = file.lookups.steps(table, str(via))
    except LookupInvalid as wrong:
        raise file.fault(f"E01 {wrong}", line_of(body, "via")) from None
    if not names_person(way[-1].to):
        text = f"E01 the look-up '{via}' leads to {way[-1].to}, whose rows name no person"
        raise file.fault(text, line_of(body, "via"))
    return way


def _asked_from_elsewhere(table: str, file: Complaints) -> str:
    """Say how a table is asked whose rows lead nowhere: by a look-up from rows that name a person."""
    for name, other in sorted(DETAIL_TABLES.items()):
        for code, step in sorted(file.lookups.of_table(other).items()):
            if step.to == table:
                column = next(iter(contract(table).business_columns))
                return f"ask rows that look them up, like {{from: {name}, match: {{{code}.{column}: …}}}}"
    return "declare a look-up to one that does in lookups.yml and name it by via"


def read_event_rows(tree: Any, line: int | None, file: Complaints) -> RowLeaf:
    """Read an ``event`` with amounts or properties: ``{name, match, properties, sum, …, within_days}``."""
    file.only(tree, ("event", "include_unknown"))
    body = tree["event"]
    file.only(body, EVENT_KEYS)
    equalities = tuple(
        Match(key, (Test("eq", plain(body[key])),), is_definite=True)
        for key in _EVENT_EQUALITIES
        if key in body
    )
    attributes = file.readable_attributes.of_table(EVENTS)
    properties = []
    for match in _matches(body.get("properties"), body, "properties", file, attributes):
        if not _PROPERTY_NAME.match(match.column):
            raise file.fault(
                f"'{match.column}' is no name of a property; letters, digits and _ may stand in it",
                line_of(body, "properties"),
            )
        properties.append(Match(PROPERTY + match.column, match.tests, attribute=match.attribute))
    names = Match("event_name", (Test("in", sorted(event_names(body, file))),))
    leaf = RowLeaf(
        "event",
        EVENTS,
        (
            names,
            *equalities,
            *_matches(body.get("match"), body, "match", file, attributes, EVENTS),
            *properties,
        ),
        read_measure(body, "event", file, attributes, EVENTS),
        file.days(body, "within_days", "event"),
        line=line,
        include_unknown=file.include_unknown(tree),
    )
    return without_faults(leaf, body, file)


def read_receipt(tree: Any, line: int | None, file: Complaints) -> RowLeaf:
    """Read ``{receipt: {status, of, channel, count, within_days}}``: answers to contacts, of any segment or those named."""
    file.only(tree, ("receipt", "include_unknown"))
    body = file.mapping(tree, "receipt", "{status, of, within_days, count}", line)
    file.only(body, ("status", "of", "channel", "count", "within_days"))
    if "include_unknown" in tree:
        raise file.fault("a number of receipts is never unknown; drop include_unknown", line)
    if "status" not in body:
        raise file.fault("'receipt' needs the status that is asked for, like status: [OPENED, CLICKED]", line)
    matches = [
        Match(column, (Test("in", sorted(_texts(body, key, file))),), is_definite=True)
        for key, column in (("status", "status"), ("of", "segment"), ("channel", "channel"))
        if key in body
    ]
    days = file.days(body, "within_days", "receipt") if "within_days" in body else None
    leaf = RowLeaf("receipt", RECEIPTS, tuple(matches), read_measure(body, "receipt", file), days, line=line)
    return without_faults(leaf, body, file)


def event_names(body: Any, file: Complaints) -> tuple[str, ...]:
    """Give the names an event leaf asks for."""
    if "name" not in body:
        raise file.fault("an event needs its 'name'", line_of(body))
    return _texts(body, "name", file)


def _texts(body: Any, key: str, file: Complaints) -> tuple[str, ...]:
    values = plain(body[key])
    values = values if isinstance(values, list) else [values]
    if not values or not all(isinstance(value, str) for value in values):
        raise file.fault(f"'{key}' takes a name or a list of names", line_of(body, key))
    return tuple(values)


def _matches(
    tree: Any,
    body: Any,
    key: str,
    file: Complaints,
    attributes: Mapping[str, Attribute] | None = None,
    table: str | None = None,
) -> tuple[Match, ...]:
    """Read columns with what is asked of them; those that the rows of a ``table`` look up among them."""
    if tree is None:
        return ()
    if not isinstance(tree, dict):
        raise file.fault(
            f"'{key}' takes columns with their values, like {{status: open}}", line_of(body, key)
        )
    return tuple(
        Match(
            str(column),
            _tests(plain(tree[column]), str(column), line_of(tree, column), file),
            attribute=(attributes or {}).get(str(column)),
            end=file.lookup_column(table, str(column), line_of(tree, column)) if table else None,
        )
        for column in tree
    )


def _tests(tree: Any, name: str, line: int | None, file: Complaints) -> tuple[Test, ...]:
    """Read a value, a list of values, or operators with their operands."""
    if tree is None:
        raise file.fault(f"'{name}' is asked nothing; write is_null: true to ask for no value", line)
    if not isinstance(tree, dict):
        tree = {"in" if isinstance(tree, list) else "eq": tree}
    tests = []
    for operator, operand in tree.items():
        if operator not in OPERATORS or operator == "changed_since":
            words = [word for word in OPERATORS if word != "changed_since"]
            raise file.fault(f"'{name}' knows no '{operator}'{did_you_mean(str(operator), words)}", line)
        if fault := operand_fault(operator, operand):
            raise file.fault(f"E03 {name}: {fault}", line)
        tests.append(Test(operator, operand))
    if not tests:
        raise file.fault(f"'{name}' is asked nothing; add one of {', '.join(OPERATORS)}", line)
    return tuple(tests)


def read_measure(
    body: Any,
    word: str,
    file: Complaints,
    attributes: Mapping[str, Attribute] | None = None,
    table: str | None = None,
) -> RowMeasure:
    """Read what is measured, of rows of a table or of people, and the tests of the result; at least one where nothing is said."""
    names = [name for name in MEASURES if name in body]
    if len(names) > 1:
        raise file.fault(
            f"'{names[0]}' and '{names[1]}' in one condition; join two with all", line_of(body, names[1])
        )
    name = names[0] if names else "count"
    tree, line = plain(body.get(name, {"gte": 1})), line_of(body, name)
    if name == "any":
        if not isinstance(tree, bool):
            raise file.fault(f"'{word}.any' takes true or false", line)
        return RowMeasure("count", (Test("gte", 1),) if tree else (Test("eq", 0),))
    if name == "count":
        if fault := comparison_fault("count", tree):
            raise file.fault(f"E03 {fault}", line)
        return RowMeasure("count", tuple(Test(sign, bound) for sign, bound in sorted(tree.items())))
    if not isinstance(tree, dict) or not isinstance(tree.get("of"), str):
        raise file.fault(
            f"'{word}.{name}' takes a column and a comparison, like {{of: amount, gte: 1000}}", line
        )
    of = tree.pop("of")
    tests = _tests(tree, f"{word}.{name}", line, file)
    end = file.lookup_column(table, of, line) if table else None
    return RowMeasure(name, tests, of, attribute=(attributes or {}).get(of), end=end)


# ---------------------------------------------------------------------------------------------- checking


def without_faults(leaf: RowLeaf, body: Any, file: Complaints) -> RowLeaf:
    """Give the leaf if its columns are there and can be asked so; else the first fault with its line."""
    for match in leaf.matches:
        where = body.get("match") if isinstance(body.get("match"), dict) else body
        for code, message in _match_faults(leaf.table, match, file):
            raise file.fault(f"{code} {message}", line_of(where, match.column.removeprefix(PROPERTY)))
    for code, message in _measure_faults(leaf, file):
        raise file.fault(f"{code} {message}", line_of(body, leaf.measure.name))
    kept_days = contract(leaf.table).retention_days
    if leaf.within_days and kept_days is not None and leaf.within_days > kept_days:
        raise file.fault(
            f"E09 {leaf.table.split('.')[1]} are kept {kept_days} days, not {leaf.within_days}",
            line_of(body, "within_days"),
        )
    return leaf


def _match_faults(table: str, match: Match, file: Complaints) -> Iterator[tuple[str, str]]:
    kind: ValueType | None
    if match.column.startswith(PROPERTY) and match.attribute is None:
        kind = match.value_type
    else:
        yield from _column_faults(table, match, file)
        kind = _kind(table, match)
    if kind is None:
        return
    for test in match.tests:
        if fault := type_fault(test.operator, kind, test.operand):
            yield "E03", f"{match.column}: {fault}"
        for value in test.operands():
            yield from _value_faults(table, match, value)


def _value_faults(table: str, match: Match, value: Any) -> Iterator[tuple[str, str]]:
    column = match.column
    about = _column(table, match)
    if about is not None and about.allowed and str(value) not in about.allowed:
        yield "E02", f"{column} has no value '{value}'{did_you_mean(str(value), list(about.allowed))}"


def _column(table: str, of: Match | RowMeasure) -> Column | None:
    """Give the column that is asked, None where there is none."""
    if of.attribute is not None:
        return of.attribute.column
    if of.end is not None:
        return of.end.column
    return contract(table).business_columns.get(_name(of))


def _kind(table: str, of: Match | RowMeasure) -> ValueKind | None:
    column = _column(table, of)
    return None if column is None else kind_of_type(column.type)


def _name(of: Match | RowMeasure) -> str:
    return of.column if isinstance(of, Match) else str(of.of)


def _column_faults(table: str, of: Match | RowMeasure, file: Complaints) -> Iterator[tuple[str, str]]:
    if of.attribute is not None or (of.end is not None and of.end.attribute is not None):
        return
    name, column = _name(of), _column(table, of)
    if column is None:
        columns = contract(table).business_columns
        askable = [c for c in columns if value_kind(table, c) and not columns[c].masked]
        askable += file.attributes.of_table(table)
        yield "E01", f"{table.split('.')[1]} has no column '{name}'{did_you_mean(name, askable)}"
    elif column.masked or column.level == "C3":
        yield "E08", f"the column {name} names or reaches a person; a rule does not ask for it"
    elif kind_of_type(column.type) is None:
        yield "E03", f"the column {name} is an instant or a list; ask its day or another column"


def _measure_faults(leaf: RowLeaf, file: Complaints) -> Iterator[tuple[str, str]]:
    measure = leaf.measure
    if measure.of is None:
        return
    yield from _column_faults(leaf.table, measure, file)
    kind = _kind(leaf.table, measure)
    if measure.name == "sum" and kind != "number":
        yield "E03", f"'sum' adds numbers, and {measure.of} is a {kind}"
    if kind not in ("number", "date"):
        yield "E03", f"'{measure.name}' works on numbers and dates, and {measure.of} is a {kind}"
        return
    for test in measure.tests:
        if test.operator not in (*COMPARISONS, "days_ago", "days_ahead"):
            yield "E03", f"'{measure.name}' is compared by {', '.join(COMPARISONS)}, not by '{test.operator}'"
        elif fault := type_fault(test.operator, kind, test.operand):
            yield "E03", f"{measure.name} of {measure.of}: {fault}"
