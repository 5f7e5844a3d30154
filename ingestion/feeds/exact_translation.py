"""Expressions of a feed in DuckDB's words with functions that read any text as Spark does (``text_values``).

It says more than ``translation`` and needs no guards, but reads values one by one in Python; so it is for the records
that the quick translation is not sure of, and for feeds with an expression that the quick one does not know. Where a
plain cast fails in Spark it fails here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from ingestion.feeds import text_values
from ingestion.feeds.translation import (
    BOOL,
    DATE,
    INSTANT,
    INT,
    LONG,
    NULL,
    STRING,
    Meaning,
    Translator,
    decimal_parts,
    is_number,
)
from lakehouse.expressions.duckdb import Untranslatable, duckdb_node, function_statements
from lakehouse.query.words import literal

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk

CANNOT_READ = "a plain cast cannot read a delivered value"
CANNOT_DIVIDE = "a number is divided by zero"


@dataclass
class ExactTranslator(Translator):
    """Translates the expressions of one feed for the functions of ``text_values``; ``zone`` is the workspace's."""

    zone: str = "UTC"

    def _from_text(self, sql: str, kind: str) -> str:
        if parts := decimal_parts(kind):
            return f"CAST(read_decimal({sql}, {parts[0]}, {parts[1]}) AS {kind})"
        if kind in (INT, LONG):
            return f"CAST(read_whole({sql}, {32 if kind == INT else 64}) AS {kind})"
        if kind == BOOL:
            return f"read_truth({sql})"
        if kind == DATE:
            return _day(f"read_day({sql})")
        # Spark takes a time without a day for one of today.
        raise Untranslatable(f"a text as {kind}")

    def _from_other(self, value: Meaning, kind: str) -> str:
        source, target = decimal_parts(value.kind), decimal_parts(kind)
        if target and (source or value.kind in (INT, LONG)):
            return f"TRY_CAST({value.sql} AS {kind})"
        if value.kind in (INT, LONG) and kind in (INT, LONG):
            return f"TRY_CAST({value.sql} AS {kind})"
        if source and kind in (INT, LONG):
            return f"TRY_CAST(trunc({value.sql}) AS {kind})"
        if kind == STRING and value.kind == DATE:
            return f"say_day(CAST({value.sql} - DATE '1970-01-01' AS INTEGER))"
        if kind == STRING and (source or value.kind in (INT, LONG, BOOL)):
            return f"CAST({value.sql} AS VARCHAR)"
        return super()._from_other(value, kind)

    def _letters(self, word: str, text: str) -> str:
        return f"full_{word}({text})"

    def _must_be_read(self, value: str, cast: str) -> str:
        return f"(CASE WHEN ({value}) IS NOT NULL AND ({cast}) IS NULL THEN error('{CANNOT_READ}') ELSE {cast} END)"

    def _date_by(self, text: str, form: str) -> str:
        return _day(f"read_day_by({text}, {literal(_readable_form(form))})")

    def _instant_by(self, text: str, form: str) -> str:
        return _instant(f"read_instant_by({text}, {literal(_readable_form(form))}, {literal(self.zone)})")

    def _rule(self, name: str) -> tuple[Callable[[Any, Any], Meaning], set[str]] | None:
        if name in _KINDS:
            return _by_kinds(*_KINDS[name]), {*_KINDS[name][0], "null_if_pos_overflow"}
        return _RULES.get(name) or super()._rule(name)


# Functions that are said by ``lakehouse.expressions.duckdb``: the kinds of their arguments by part, and of what they give.
_KINDS: dict[str, tuple[dict[str, str], str]] = {
    "AddMonths": ({"this": DATE, "expression": INT}, DATE),
    "Contains": ({"this": STRING, "expression": STRING}, BOOL),
    "DateDiff": ({"this": DATE, "expression": DATE}, INT),
    "Day": ({"this": DATE}, INT),
    "DayOfMonth": ({"this": DATE}, INT),
    "EndsWith": ({"this": STRING, "expression": STRING}, BOOL),
    "LastDay": ({"this": DATE}, DATE),
    "Left": ({"this": STRING, "expression": INT}, STRING),
    "MD5": ({"this": STRING}, STRING),
    "Month": ({"this": DATE}, INT),
    "Quarter": ({"this": DATE}, INT),
    "RegexpExtract": ({"this": STRING, "expression": STRING, "group": INT}, STRING),
    "RegexpLike": ({"this": STRING, "expression": STRING}, BOOL),
    "RegexpReplace": ({"this": STRING, "expression": STRING, "replacement": STRING}, STRING),
    "Reverse": ({"this": STRING}, STRING),
    "Right": ({"this": STRING, "expression": INT}, STRING),
    "StartsWith": ({"this": STRING, "expression": STRING}, BOOL),
    "SubstringIndex": ({"this": STRING, "delimiter": STRING, "count": INT}, STRING),
    "Translate": ({"this": STRING, "from_": STRING, "to": STRING}, STRING),
    "Year": ({"this": DATE}, INT),
}


def _by_kinds(kinds: dict[str, str], kind: str) -> Callable[[ExactTranslator, Any], Meaning]:
    def rule(at: ExactTranslator, node: Any) -> Meaning:
        from sqlglot import exp

        call = node.copy()
        for part, kind_read in kinds.items():
            argument = node.args.get(part)
            if argument is None or isinstance(argument, exp.Literal):
                continue
            meaning = at._of(argument)
            if meaning.kind not in (kind_read, NULL):
                raise Untranslatable(f"{meaning.kind} where {kind_read} is read")
            call.set(part, exp.Var(this=f"CAST({meaning.sql} AS {_SQL_KINDS[kind_read]})"))
        return Meaning(f"CAST({duckdb_node(call)} AS {_SQL_KINDS[kind]})", kind)

    return rule


_SQL_KINDS = {STRING: "VARCHAR", DATE: "DATE", INT: "INTEGER", BOOL: "BOOLEAN"}


def make_known(desk: Desk) -> None:
    """Make the functions of ``text_values``, and those of the language, known to a desk."""
    for statement in function_statements():
        desk.run(statement)
    for name, (function, kinds, kind) in text_values.FUNCTIONS.items():
        desk.add_function(name, _OF_COLUMNS[len(kinds) - 1](function, kind), kinds, kind)


def _answers(function: Callable[..., object], kind: str, *columns: Any) -> Any:
    import pyarrow as pa

    answer_of: dict[tuple[Any, ...], object] = {}
    results = []
    for row in zip(*(column.to_pylist() for column in columns), strict=True):
        if row not in answer_of:
            answer_of[row] = None if None in row else function(*row)
        results.append(answer_of[row])
    kinds = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "BOOLEAN": pa.bool_(), "VARCHAR": pa.string()}
    return pa.array(results, kinds[kind])


# DuckDB counts the parameters of a function by their names.
_OF_COLUMNS: tuple[Callable[[Callable[..., object], str], Callable[..., Any]], ...] = (
    lambda function, kind: lambda a: _answers(function, kind, a),
    lambda function, kind: lambda a, b: _answers(function, kind, a, b),
    lambda function, kind: lambda a, b, c: _answers(function, kind, a, b, c),
)


def _day(days: str) -> str:
    return f"(DATE '1970-01-01' + {days})"


def _instant(micros: str) -> str:
    return f"(TIMESTAMPTZ '1970-01-01 00:00:00+00' + to_microseconds({micros}))"


def _readable_form(form: str) -> str:
    try:
        text_values.pattern_of(form)
    except text_values.UnknownPattern:
        raise Untranslatable(f"the pattern '{form}' of dates") from None
    return form


def _compare(sign: str) -> Callable[[ExactTranslator, Any], Meaning]:
    """Compare as Spark with ANSI does: a text beside a number or a day is read as one, or fails."""

    def rule(at: ExactTranslator, node: Any) -> Meaning:
        sides = [at._of(node.this), at._of(node.expression)]
        for this, other in ((0, 1), (1, 0)):
            kind = sides[other].kind
            kind_read = LONG if kind in (INT, LONG) else kind if kind in (DATE, BOOL) else None
            if sides[this].kind == STRING and kind_read:
                value = sides[this].sql
                sides[this] = Meaning(at._must_be_read(value, at._from_text(value, kind_read)), kind_read)
        kinds = {side.kind for side in sides} - {NULL}
        if len(kinds) > 1 and not all(is_number(kind) for kind in kinds):
            raise Untranslatable("sides of two kinds")
        return Meaning(f"({sides[0].sql} {sign} {sides[1].sql})", BOOL)

    return rule


def _between(at: ExactTranslator, node: Any) -> Meaning:
    sides = [at._of(node.this), at._of(node.args["low"]), at._of(node.args["high"])]
    kinds = {side.kind for side in sides} - {NULL}
    if len(kinds) > 1 and not all(is_number(kind) for kind in kinds):
        raise Untranslatable("sides of several kinds")
    return Meaning(f"({sides[0].sql} BETWEEN {sides[1].sql} AND {sides[2].sql})", BOOL)


def _pad(at: ExactTranslator, node: Any) -> Meaning:
    filling, length = node.args.get("fill_pattern"), node.expression
    if type(length).__name__ != "Literal" or not re.fullmatch(r"\d{1,4}", str(length.this)):
        raise Untranslatable("padding to a computed length")
    if filling is not None and (type(filling).__name__ != "Literal" or not str(filling.this)):
        raise Untranslatable("padding with a computed text")
    word = "lpad" if node.args.get("is_left") else "rpad"
    value = at._of(node.this)
    text = value.sql if value.kind in (STRING, NULL) else at.cast(value, STRING)
    return Meaning(f"{word}({text}, {length.this}, {literal(str(filling.this) if filling else ' ')})", STRING)


def _length(at: ExactTranslator, node: Any) -> Meaning:
    return Meaning(f"CAST(length({at._text(node.this)}) AS INTEGER)", INT)


def _replace(at: ExactTranslator, node: Any) -> Meaning:
    replacement = node.args.get("replacement")
    sought = node.expression
    if type(sought).__name__ != "Literal" or not str(sought.this):
        raise Untranslatable("replacing a computed text")
    parts = [
        at._text(node.this),
        at._text(sought),
        at._text(replacement) if replacement is not None else "''",
    ]
    return Meaning(f"replace({', '.join(parts)})", STRING)


_MOST_DIGITS = 38


def _digits(value: Meaning) -> tuple[int, int]:
    """Give precision and scale of a number beside decimals."""
    if value.kind == INT and re.fullmatch(r"\d{1,9}", value.sql):
        return len(str(int(value.sql))), 0
    return decimal_parts(value.kind) or ((10, 0) if value.kind == INT else (20, 0))


def _arithmetic(sign: str) -> Callable[[ExactTranslator, Any], Meaning]:
    """Compute with whole numbers and decimals; what does not fit fails, as in Spark with ANSI."""

    def rule(at: ExactTranslator, node: Any) -> Meaning:
        sides = [at._of(node.this), at._of(node.expression)]
        if not all(is_number(side.kind) for side in sides):
            raise Untranslatable(f"{sign} of other things than numbers")
        if all(side.kind in (INT, LONG) for side in sides):
            kind = LONG if any(side.kind == LONG for side in sides) else INT
        else:
            (p1, s1), (p2, s2) = map(_digits, sides)
            scale = s1 + s2 if sign == "*" else max(s1, s2)
            digits = {"*": p1 + p2 + 1, "%": min(p1 - s1, p2 - s2) + scale}
            precision = digits.get(sign, max(p1 - s1, p2 - s2) + scale + 1)
            if precision > _MOST_DIGITS:
                raise Untranslatable(f"{sign} of decimals of so many digits")
            kind = f"decimal({precision},{scale})"
        a, b = (f"CAST({side.sql} AS {_SQL_KINDS.get(side.kind, side.kind)})" for side in sides)
        result = f"CAST({a} {sign} {b} AS {kind})"
        if sign == "%":
            result = f"(CASE WHEN {b} = 0 THEN error('{CANNOT_DIVIDE}') ELSE {result} END)"
        return Meaning(result, kind)

    return rule


def _negative(at: ExactTranslator, node: Any) -> Meaning:
    value = at._of(node.this)
    if not is_number(value.kind):
        raise Untranslatable("the negative of another thing than a number")
    return Meaning(f"(-{value.sql})", value.kind)


def _rounded(at: ExactTranslator, node: Any) -> Meaning:
    value, decimals = at._of(node.this), node.args.get("decimals")
    parts, places = decimal_parts(value.kind), 0
    if decimals is not None:
        if not re.fullmatch(r"\d{1,2}", str(decimals.this)):
            raise Untranslatable("round to a computed place")
        places = int(decimals.this)
    if parts is None:
        raise Untranslatable("round of another thing than a decimal")
    if places >= parts[1]:
        return value
    kind = f"decimal({min(parts[0] - parts[1] + 1 + places, _MOST_DIGITS)},{places})"
    return Meaning(f"CAST({value.sql} AS {kind})", kind)


def _utc(at: ExactTranslator, node: Any) -> Meaning:
    this, zone = node.this, node.args.get("zone")
    if type(this).__name__ == "Cast" and type(this.this).__name__ == "Anonymous":
        this = this.this  # sqlglot casts what is an instant already
    value = at._of(this)
    if value.kind != INSTANT or not zone.is_string or zone.name not in available_timezones():
        raise Untranslatable("to_utc_timestamp of another thing than an instant and a zone")
    return Meaning(_instant(f"utc_of(epoch_us({value.sql}), {literal(zone.name)})"), INSTANT)


def _date_function(at: ExactTranslator, node: Any) -> Meaning:
    """Read a day by a pattern; what it cannot read fails."""
    form = node.args.get("format")
    value = at._of(node.this)
    if value.kind == DATE and form is None:
        return value
    text = at._text(node.this)
    if form is None:
        return Meaning(at._must_be_read(text, at._from_text(text, DATE)), DATE)
    # sqlglot has turned the pattern into that of strftime.
    raise Untranslatable("to_date with a pattern; try_to_date refuses records one by one")


_RULES: dict[str, tuple[Callable[[Any, Any], Meaning], set[str]]] = {
    "EQ": (_compare("="), {"this", "expression"}),
    "NEQ": (_compare("<>"), {"this", "expression"}),
    "LT": (_compare("<"), {"this", "expression"}),
    "LTE": (_compare("<="), {"this", "expression"}),
    "GT": (_compare(">"), {"this", "expression"}),
    "GTE": (_compare(">="), {"this", "expression"}),
    "Add": (_arithmetic("+"), {"this", "expression"}),
    "Sub": (_arithmetic("-"), {"this", "expression"}),
    "Mul": (_arithmetic("*"), {"this", "expression"}),
    "Mod": (_arithmetic("%"), {"this", "expression"}),
    "Neg": (_negative, {"this"}),
    "Round": (_rounded, {"this", "decimals"}),
    "FromTimeZone": (_utc, {"this", "zone"}),
    "Between": (_between, {"this", "low", "high"}),
    "Pad": (_pad, {"this", "expression", "fill_pattern", "is_left"}),
    "Length": (_length, {"this"}),
    "Replace": (_replace, {"this", "expression", "replacement"}),
    "TsOrDsToDate": (_date_function, {"this", "format", "safe"}),
}
