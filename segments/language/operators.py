"""Operators of a tag leaf by value type: what they accept, what they answer, and their Spark SQL.

Answers are three-valued: True, False or None (unknown). Every operator but ``is_null`` answers None
when the tag's value is null. ``answer`` is the reference the compiled SQL is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Literal

from lakehouse.query.words import spark_literal, spark_literals
from vocabulary.tag_facts import ValueType

Operand = Literal["one", "many", "range", "flag", "days", "comparison"]

_ALL: tuple[ValueType, ...] = ("boolean", "number", "category", "date", "set")


@dataclass(frozen=True)
class Operator:
    """One operator: the value types it may meet, its operand, and whether it denies (``ne``, ``not_in``)."""

    name: str
    types: tuple[ValueType, ...]
    operand: Operand
    denies: bool = False


OPERATORS: dict[str, Operator] = {
    o.name: o
    for o in (
        Operator("eq", ("boolean", "number", "category", "date"), "one"),
        Operator("ne", ("boolean", "number", "category", "date"), "one", denies=True),
        Operator("in", ("number", "category"), "many"),
        Operator("not_in", ("number", "category"), "many", denies=True),
        Operator("gt", ("number", "date"), "one"),
        Operator("gte", ("number", "date"), "one"),
        Operator("lt", ("number", "date"), "one"),
        Operator("lte", ("number", "date"), "one"),
        Operator("between", ("number", "date"), "range"),
        Operator("contains_any", ("set",), "many"),
        Operator("contains_all", ("set",), "many"),
        Operator("is_null", _ALL, "flag"),
        Operator("days_ago", ("date",), "comparison"),
        Operator("days_ahead", ("date",), "comparison"),
        Operator("changed_since", _ALL, "days"),
    )
}
COMPARISONS = ("eq", "ne", "gt", "gte", "lt", "lte", "between")
_SIGN = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda v, x: v == x,
    "ne": lambda v, x: v != x,
    "gt": lambda v, x: v > x,
    "gte": lambda v, x: v >= x,
    "lt": lambda v, x: v < x,
    "lte": lambda v, x: v <= x,
}


@dataclass(frozen=True)
class Test:
    """One operator with its operand, as a leaf states it; several tests of a leaf must all hold."""

    operator: str
    operand: Any

    __test__ = False  # no test case, whatever pytest makes of the name

    def operands(self) -> list[Any]:
        """Give the single values of the operand, each to be checked against the tag's domain."""
        kind = OPERATORS[self.operator].operand
        if kind in ("many", "range"):
            return list(self.operand)
        return [self.operand] if kind == "one" else []


def normal_tests(tests: Iterable[Test]) -> dict[str, Any]:
    """Give tests in their normal form: members of a list are a set, so their order does not count."""
    return {
        t.operator: sorted(t.operand, key=str)
        if isinstance(t.operand, list) and t.operator != "between"
        else t.operand
        for t in tests
    }


# Beyond so many digits engines do not agree what a number is.
MOST_DIGITS = 30
MOST_WHOLE = 1_000_000_000


def number_fault(value: Any) -> str | None:
    """Say why a number cannot be compared with; None where it can, and for what is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    if not isfinite(value):
        return f"{value} is no number"
    return f"a number has at most {MOST_DIGITS} digits" if abs(value) >= 10**MOST_DIGITS else None


def operand_fault(operator: str, operand: Any) -> str | None:
    """Say what is wrong with the shape of an operand, whatever the tag; None when nothing is."""
    kind = OPERATORS[operator].operand
    if (kind == "one" and isinstance(operand, (list, dict))) or operand is None:
        return f"'{operator}' takes one value"
    if kind == "many" and not (isinstance(operand, list) and operand):
        return f"'{operator}' takes a list of at least one value, like {operator}: [A, B]"
    for value in operand if isinstance(operand, list) else [operand]:
        if fault := number_fault(value):
            return f"'{operator}': {fault}"
        if isinstance(value, datetime):
            return f"'{operator}' compares days, like 2026-12-31, and no time of a day"
    if kind == "range":
        if not (isinstance(operand, list) and len(operand) == 2):
            return f"'{operator}' takes two values, like {operator}: [1, 9], both included"
        if any(isinstance(value, (list, dict)) for value in operand):
            return f"'{operator}' takes two values, and no lists"
        low, high = map(_comparable, operand)
        if type(low) is not type(high):
            return f"'{operator}' takes two values of one kind"
        if low > high:
            return f"'{operator}' has its bounds the wrong way round"
    if kind == "flag" and not isinstance(operand, bool):
        return f"'{operator}' takes true or false"
    if kind == "days" and not (is_whole(operand) and operand >= 1):
        return f"'{operator}' takes a number of days of at least 1"
    if kind == "comparison":
        return comparison_fault(operator, operand)
    return None


def comparison_fault(name: str, operand: Any) -> str | None:
    """Say what is wrong with a comparison of a whole number, like ``{gte: 2}``; None when nothing is."""
    if not isinstance(operand, dict) or not operand:
        return f"'{name}' takes a comparison, like {name}: {{gte: 2}}"
    for sign, bound in operand.items():
        if sign not in COMPARISONS:
            return f"'{name}' knows {', '.join(COMPARISONS)}, not '{sign}'"
        values = bound if sign == "between" and isinstance(bound, list) and len(bound) == 2 else [bound]
        if not all(is_whole(value) for value in values) or (sign == "between" and len(values) != 2):
            return f"'{name}.{sign}' takes {'two whole numbers' if sign == 'between' else 'a whole number'}"
        if any(abs(value) > MOST_WHOLE for value in values):
            return f"'{name}.{sign}' takes whole numbers up to {MOST_WHOLE:,}"
    return None


def type_fault(operator: str, value_type: ValueType, operand: Any) -> str | None:
    """Say why an operator or its operand does not fit a tag of ``value_type``; None when it fits."""
    rule = OPERATORS[operator]
    if value_type not in rule.types:
        return f"'{operator}' works on {' and '.join(rule.types)}, not on a {value_type}"
    for value in Test(operator, operand).operands():
        if not _fits(value, value_type):
            return f"{value!r} is not a {'member of a set' if value_type == 'set' else value_type}"
    return None


def _fits(value: Any, value_type: ValueType) -> bool:
    if value_type == "boolean":
        return isinstance(value, bool)
    if value_type == "number":
        return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    if value_type == "date":
        return isinstance(value, date)
    return isinstance(value, str)


def answer(
    test: Test, value: Any, *, business_date: date, before: Any = None, has_before: bool = False
) -> bool | None:
    """Give the three-valued answer of one test on one value.

    ``before`` is the value of the day ``changed_since`` asks about and ``has_before`` says whether that day
    was kept for this person; without it the answer is unknown.
    """
    name, operand = test.operator, test.operand
    if name == "is_null":
        return (value is None) == operand
    if name == "changed_since":
        return None if not has_before else _comparable(value) != _comparable(before)
    if value is None:
        return None
    if name == "days_ago":
        return compare_number((business_date - value).days, operand)
    if name == "days_ahead":
        return compare_number((value - business_date).days, operand)
    if name in ("contains_any", "contains_all"):
        common = set(value) & set(operand)
        return bool(common) if name == "contains_any" else common == set(operand)
    own = _comparable(value)
    if name in ("in", "not_in"):
        return (own in [_comparable(x) for x in operand]) == (name == "in")
    if name == "between":
        return _comparable(operand[0]) <= own <= _comparable(operand[1])
    return _COMPARE[name](own, _comparable(operand))


def compare_number(number: int, comparison: dict[str, Any]) -> bool:
    """Give whether ``number`` meets every part of a comparison like ``{gte: 2, lt: 9}``."""
    return all(
        bound[0] <= number <= bound[1] if sign == "between" else _COMPARE[sign](number, bound)
        for sign, bound in comparison.items()
    )


def test_sql(test: Test, column: str, *, business_date: str, before: str = "") -> str:
    """Give one test as a Spark SQL condition over ``column``; null is the unknown.

    ``business_date`` is a Spark SQL date; ``before`` names the struct column ``{value}`` of the earlier day,
    null where that day was not kept.
    """
    name, operand = test.operator, test.operand
    if name == "is_null":
        return f"{column} IS {'' if operand else 'NOT '}NULL"
    if name == "changed_since":
        return f"CASE WHEN {before} IS NOT NULL THEN NOT ({column} <=> {before}.value) END"
    if name == "days_ago":
        return comparison_sql(f"datediff({business_date}, {column})", operand)
    if name == "days_ahead":
        return comparison_sql(f"datediff({column}, {business_date})", operand)
    if name == "contains_any":
        return f"arrays_overlap({column}, {_array(operand)})"
    if name == "contains_all":
        return f"size(array_except({_array(operand)}, {column})) = 0"
    if name in ("in", "not_in"):
        return f"{column} {'IN' if name == 'in' else 'NOT IN'} ({spark_literals(operand)})"
    if name == "between":
        return f"{column} BETWEEN {spark_literal(operand[0])} AND {spark_literal(operand[1])}"
    return f"{column} {_SIGN[name]} {spark_literal(operand)}"


def comparison_sql(number: str, comparison: dict[str, Any]) -> str:
    """Give a comparison of a whole number as SQL."""
    parts = [
        f"{number} BETWEEN {bound[0]} AND {bound[1]}"
        if sign == "between"
        else f"{number} {_SIGN[sign]} {bound}"
        for sign, bound in sorted(comparison.items())
    ]
    return " AND ".join(parts)


def _array(values: list[Any]) -> str:
    return f"array({spark_literals(values)})"


def _comparable(value: Any) -> Any:
    """Floats meet decimals by their shortest text, as the SQL literal writes them."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, int):
        return Decimal(value)
    return sorted(value) if isinstance(value, (list, set)) else value


def is_whole(value: Any) -> bool:
    """Tell whether a value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)
