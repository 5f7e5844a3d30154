"""Expressions of a feed in DuckDB's words with functions that read any text as Spark does (``text_values``).

It says more than ``translation`` and needs no guards, but reads values one by one in Python; so it is for the records
that the quick translation is not sure of, and for feeds with an expression that the quick one does not know. Where a
plain cast fails in Spark it fails here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
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
    call_by_pattern,
    decimal_parts,
    is_number,
    literal_day,
    same_kind,
)
from lakehouse.expressions.duckdb import duckdb_node, function_statements, spark_tree
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.expressions.tokens import tokens_of
from lakehouse.query.words import literal

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk

LIST = "array<string>"
OF_RANGE = "an element is taken that a list does not have"
CANNOT_READ = "a plain cast cannot read a delivered value"
CANNOT_DIVIDE = "a number is divided by zero"


@dataclass
class ExactTranslator(Translator):
    """Translates the expressions of one feed for the functions of ``text_values``; ``zone`` is the workspace's."""

    zone: str = "UTC"

    def meaning(self, text: str) -> Meaning:
        """Give what ``text`` means; ``Untranslatable`` when only Spark can say."""
        return self._of(_parse(text))

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
            return _by_kinds(*_KINDS[name]), {*_KINDS[name][0], *_PARTS_BESIDE.get(name, ())}
        return _RULES.get(name) or super()._rule(name)


# sqlglot turns the patterns of these into those of strftime; under another name it leaves them as they are.
_WITH_PATTERN = ("to_date", "to_timestamp")


@lru_cache(maxsize=4096)
def _parse(text: str) -> Any:
    parts, at = [], 0
    for token in tokens_of(text):
        parts.append(text[at : token.start])
        is_one = token.kind == "word" and token.text.lower() in _WITH_PATTERN
        parts.append(f"plain_{token.text.lower()}" if is_one else token.text)
        at = token.end
    return spark_tree("".join(parts))


# Functions that are said by ``lakehouse.expressions.duckdb``: the kinds of their arguments by part, and of what they give.
_KINDS: dict[str, tuple[dict[str, str], str]] = {
    "AddMonths": ({"this": DATE, "expression": INT}, DATE),
    "ArrayCompact": ({"this": LIST}, LIST),
    "ArrayContains": ({"this": LIST, "expression": STRING}, BOOL),
    "ArrayDistinct": ({"this": LIST}, LIST),
    "ArrayMax": ({"this": LIST}, STRING),
    "ArrayMin": ({"this": LIST}, STRING),
    "ArrayPosition": ({"this": LIST, "expression": STRING}, LONG),
    "ArrayRemove": ({"this": LIST, "expression": STRING}, LIST),
    "ArraySort": ({"this": LIST}, LIST),
    "ArrayToString": ({"this": LIST, "expression": STRING}, STRING),
    "Ascii": ({"this": STRING}, INT),
    "BitLength": ({"this": STRING}, INT),
    "Contains": ({"this": STRING, "expression": STRING}, BOOL),
    "DateDiff": ({"this": DATE, "expression": DATE}, INT),
    "DateTrunc": ({"this": DATE}, DATE),
    "Day": ({"this": DATE}, INT),
    "DayOfMonth": ({"this": DATE}, INT),
    "DayOfWeek": ({"this": DATE}, INT),
    "DayOfYear": ({"this": DATE}, INT),
    "EndsWith": ({"this": STRING, "expression": STRING}, BOOL),
    "LastDay": ({"this": DATE}, DATE),
    "Left": ({"this": STRING, "expression": INT}, STRING),
    "MD5": ({"this": STRING}, STRING),
    "Month": ({"this": DATE}, INT),
    "NextDay": ({"this": DATE}, DATE),
    "Overlay": ({"this": STRING, "expression": STRING}, STRING),
    "Quarter": ({"this": DATE}, INT),
    "RegexpCount": ({"this": STRING}, INT),
    "RegexpExtract": ({"this": STRING, "expression": STRING, "group": INT}, STRING),
    "RegexpLike": ({"this": STRING, "expression": STRING}, BOOL),
    "RegexpReplace": ({"this": STRING, "expression": STRING, "replacement": STRING}, STRING),
    "RegexpSplit": ({"this": STRING}, LIST),
    "Reverse": ({"this": STRING}, STRING),
    "Right": ({"this": STRING, "expression": INT}, STRING),
    "SHA": ({"this": STRING}, STRING),
    "SHA2": ({"this": STRING}, STRING),
    "UnixMillis": ({"this": INSTANT}, LONG),
    "UnixMicros": ({"this": INSTANT}, LONG),
    "UnixSeconds": ({"this": INSTANT}, LONG),
    "SplitPart": ({"this": STRING, "delimiter": STRING}, STRING),
    "StartsWith": ({"this": STRING, "expression": STRING}, BOOL),
    "StrPosition": ({"this": STRING, "substr": STRING}, INT),
    "SubstringIndex": ({"this": STRING, "delimiter": STRING, "count": INT}, STRING),
    "Translate": ({"this": STRING, "from_": STRING, "to": STRING}, STRING),
    "TsOrDsAdd": ({"this": DATE, "expression": INT}, DATE),
    "WeekOfYear": ({"this": DATE}, INT),
    "Year": ({"this": DATE}, INT),
}
# The same of functions that sqlglot has no class for: the kinds of their arguments in order.
_KINDS_BY_NAME: dict[str, tuple[tuple[str, ...], str]] = {
    "arrays_overlap": ((LIST, LIST), BOOL),
    "array_union": ((LIST, LIST), LIST),
    "btrim": ((STRING,), STRING),
    "find_in_set": ((STRING, STRING), INT),
    "octet_length": ((STRING,), INT),
    "weekday": ((DATE,), INT),
}
# Parts that are no values of a record: units, numbers and what sqlglot says of its own.
_PARTS_BESIDE: dict[str, tuple[str, ...]] = {
    "ArrayRemove": ("null_propagation",),
    "ArraySort": ("asc", "nulls_first"),
    "DateTrunc": ("unit",),
    "NextDay": ("expression",),
    "Overlay": ("from_", "for_"),
    "RegexpCount": ("expression",),
    "RegexpExtract": ("null_if_pos_overflow",),
    "RegexpReplace": ("null_if_pos_overflow",),
    "RegexpSplit": ("expression",),
    "SHA2": ("length",),
    "SplitPart": ("part_index",),
    "SubstringIndex": ("null_if_pos_overflow",),
    "TsOrDsAdd": ("unit",),
}


def _by_kinds(kinds: dict[str, str], kind: str) -> Callable[[ExactTranslator, Any], Meaning]:
    def rule(at: ExactTranslator, node: Any) -> Meaning:
        from sqlglot import exp

        call = node.copy()
        for part, kind_read in kinds.items():
            argument = node.args.get(part)
            if argument is not None and not isinstance(argument, exp.Literal):
                call.set(part, exp.Var(this=_argument(at, argument, kind_read)))
        return Meaning(f"CAST({duckdb_node(call)} AS {_SQL_KINDS[kind]})", kind)

    return rule


def _argument(at: ExactTranslator, node: Any, kind: str) -> str:
    """Give the SQL of an argument that is read as ``kind``; a day is also what a call says is one."""
    if type(node).__name__ == "TsOrDsToDate" and node.args.get("format") is None:
        node = node.this
    meaning = at._of(node)
    if meaning.kind not in (kind, NULL):
        raise Untranslatable(f"{meaning.kind} where {kind} is read")
    return f"CAST({meaning.sql} AS {_SQL_KINDS[kind]})"


_SQL_KINDS = {
    STRING: "VARCHAR",
    DATE: "DATE",
    INT: "INTEGER",
    LONG: "BIGINT",
    BOOL: "BOOLEAN",
    LIST: "VARCHAR[]",
    INSTANT: "TIMESTAMPTZ",
}


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
    lambda function, kind: lambda a, b, c, d: _answers(function, kind, a, b, c, d),
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
        kinds = [_SQL_KINDS.get(side.kind, side.kind) for side in sides]
        if sign == "*" and kind not in (INT, LONG):
            # DuckDB multiplies up to 18 digits in 18 digits.
            kinds = [f"DECIMAL({_MOST_DIGITS},{_digits(side)[1]})" for side in sides]
        a, b = (f"CAST({side.sql} AS {name})" for side, name in zip(sides, kinds, strict=True))
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
    if type(this).__name__ in ("Cast", "TryCast"):
        this = this.this  # sqlglot casts what is an instant already
    value = at._of(this)
    if value.kind != INSTANT or not zone.is_string or zone.name not in available_timezones():
        raise Untranslatable("to_utc_timestamp of another thing than an instant and a zone")
    return Meaning(_instant(f"utc_of(epoch_us({value.sql}), {literal(zone.name)})"), INSTANT)


def _call(at: ExactTranslator, node: Any) -> Meaning:
    """Say a function that sqlglot has no class for."""
    from sqlglot import exp

    name, arguments = str(node.this).lower(), node.expressions
    if name in _KINDS_BY_NAME:
        kinds, kind = _KINDS_BY_NAME[name]
        if len(arguments) != len(kinds):
            raise Untranslatable(f"{name} of {len(arguments)} arguments")
        values = [exp.Var(this=_argument(at, *pair)) for pair in zip(arguments, kinds, strict=True)]
        call = exp.Anonymous(this=name, expressions=values)
        return Meaning(f"CAST({duckdb_node(call)} AS {_SQL_KINDS[kind]})", kind)
    if name in _CALLS:
        return _CALLS[name](at, arguments)
    return call_by_pattern(at, node)


def _plain_date(at: ExactTranslator, arguments: list[Any]) -> Meaning:
    """Read a day, by a pattern or without; what cannot be read fails."""
    value = at._of(arguments[0])
    if value.kind == DATE and len(arguments) == 1:
        return value
    text = at._text(arguments[0])
    day = at._date_by(text, _pattern(arguments)) if len(arguments) > 1 else at._from_text(text, DATE)
    return Meaning(at._must_be_read(text, day), DATE)


def _plain_instant(at: ExactTranslator, arguments: list[Any]) -> Meaning:
    """Read an instant by a pattern; what cannot be read fails."""
    text = at._text(arguments[0])
    return Meaning(at._must_be_read(text, at._instant_by(text, _pattern(arguments))), INSTANT)


def _pattern(arguments: list[Any]) -> str:
    if len(arguments) != 2 or not getattr(arguments[1], "is_string", False):
        raise Untranslatable("a computed format")
    return str(arguments[1].this)


def _instant_of_number(factor: int) -> Callable[[ExactTranslator, list[Any]], Meaning]:
    def rule(at: ExactTranslator, arguments: list[Any]) -> Meaning:
        value = at._of(arguments[0])
        if value.kind not in (INT, LONG, NULL) or len(arguments) != 1:
            raise Untranslatable("an instant of another thing than a whole number")
        return Meaning(_instant(f"CAST({value.sql} AS BIGINT) * {factor}"), INSTANT)

    return rule


def _pmod(at: ExactTranslator, arguments: list[Any]) -> Meaning:
    from sqlglot import exp

    rest = _arithmetic("%")(at, exp.Mod(this=arguments[0], expression=arguments[1]))
    other = at._of(arguments[1]).sql
    return Meaning(
        f"(CASE WHEN {rest.sql} < 0 THEN ({rest.sql} + {other}) % {other} ELSE {rest.sql} END)", rest.kind
    )


def _null_test(sign: str) -> Callable[[ExactTranslator, list[Any]], Meaning]:
    return lambda at, arguments: Meaning(f"({at._of(arguments[0]).sql} {sign})", BOOL)


def _element_or_null(at: ExactTranslator, arguments: list[Any]) -> Meaning:
    """Say ``get(list, place)``, counted from 0; null where there is none."""
    values, place = _argument(at, arguments[0], LIST), _argument(at, arguments[1], INT)
    return Meaning(f"(CASE WHEN {place} >= 0 THEN ({values})[{place} + 1] END)", STRING)


def _bracket(at: ExactTranslator, node: Any) -> Meaning:
    """Say ``list[0]``, ``element_at(list, 1)`` and its try: the first two fail where there is no such element."""
    values = _argument(at, node.this, LIST)
    place = node.expressions[0]
    negative = type(place).__name__ == "Neg"
    number = place.this if negative else place
    is_from_one = bool(node.args.get("offset"))
    if not re.fullmatch(r"\d{1,6}", str(number.this)) or (is_from_one and int(number.this) == 0):
        raise Untranslatable("an element at a computed place")
    at_place = -int(number.this) if negative else int(number.this) + (0 if is_from_one else 1)
    if negative and not is_from_one:
        raise Untranslatable("an element before the first")
    element = f"({values})[{at_place}]"
    if not node.args.get("safe"):
        element = f"(CASE WHEN len({values}) < {abs(at_place)} THEN error('{OF_RANGE}') ELSE {element} END)"
    return Meaning(element, STRING)


def _trimmed(at: ExactTranslator, node: Any) -> Meaning:
    sides = {"LEADING": "ltrim", "TRAILING": "rtrim"}
    signs = node.expression
    if signs is not None and not signs.is_string:
        raise Untranslatable("trim of computed signs")
    word = sides.get(str(node.args.get("position") or ""), "trim")
    return Meaning(
        f"{word}({at._text(node.this)}, {literal(signs.name if signs is not None else ' ')})", STRING
    )


def _nvl2(at: ExactTranslator, node: Any) -> Meaning:
    results = [at._of(node.args["true"]), at._of(node.args["false"])]
    value = at._of(node.this).sql
    return Meaning(
        f"(CASE WHEN ({value}) IS NOT NULL THEN {results[0].sql} ELSE {results[1].sql} END)",
        same_kind(results),
    )


def _of_all(word: str) -> Callable[[ExactTranslator, Any], Meaning]:
    def rule(at: ExactTranslator, node: Any) -> Meaning:
        meanings = [at._of(node.this), *(at._of(one) for one in node.expressions)]
        kind = same_kind(meanings)
        if kind == BOOL:
            raise Untranslatable(f"{word} of truths")
        return Meaning(f"{word}({', '.join(one.sql for one in meanings)})", kind)

    return rule


def _text_of_values(at: ExactTranslator, node: Any) -> Meaning:
    """Join texts with a sign; nulls are left out."""
    sign, *values = node.expressions
    texts = ", ".join(at._text(value) for value in values)
    return Meaning(f"spark_array_join(CAST([{texts}] AS VARCHAR[]), {at._text(sign)})", STRING)


def _count(at: ExactTranslator, node: Any) -> Meaning:
    """Count the values of a list; with ANSI that of none is null."""
    return Meaning(f"CAST(len({_argument(at, node, LIST)}) AS INTEGER)", INT)


def _like_any_letters(at: ExactTranslator, node: Any) -> Meaning:
    pattern = node.expression
    if not getattr(pattern, "is_string", False) or re.search(r"[_\\]", str(pattern.this)):
        raise Untranslatable("ilike")
    text = at._letters("lower", at._text(node.this))
    return Meaning(f"({text} LIKE {literal(text_values.lower(str(pattern.this)))})", BOOL)


def _array(at: ExactTranslator, node: Any) -> Meaning:
    return Meaning(f"CAST([{', '.join(at._text(one) for one in node.expressions)}] AS VARCHAR[])", LIST)


def _plain_cast(at: ExactTranslator, node: Any) -> Meaning:
    """Say a literal day, and ``date(value)``, which fails where a text says none."""
    if type(node.this).__name__ == "Literal":
        return literal_day(at, node)
    value, kind = at._of(node.this), node.args["to"].sql(dialect="spark").lower()
    if kind != DATE or value.kind not in (STRING, DATE, NULL):
        raise Untranslatable("a cast of another form")
    return Meaning(at._must_be_read(value.sql, at.cast(value, DATE)), DATE)


def _is(at: ExactTranslator, node: Any) -> Meaning:
    other = type(node.expression).__name__
    if other == "Boolean":
        word = "true" if node.expression.this else "false"
        return Meaning(f"({at._truth(node.this)} IS NOT DISTINCT FROM {word})", BOOL)
    if other != "Null":
        raise Untranslatable("is, of another thing than null and truths")
    return Meaning(f"({at._of(node.this).sql} IS NULL)", BOOL)


def _whole(word: str) -> Callable[[ExactTranslator, Any], Meaning]:
    """Round to a whole number, as a decimal of as many digits as that has."""

    def rule(at: ExactTranslator, node: Any) -> Meaning:
        value = at._of(node.this)
        parts = decimal_parts(value.kind)
        if value.kind in (INT, LONG):
            return Meaning(f"CAST({value.sql} AS BIGINT)", LONG)
        if parts is None or node.args.get("decimals") is not None:
            raise Untranslatable(f"{word} of another thing than a number")
        kind = f"decimal({min(parts[0] - parts[1] + 1, _MOST_DIGITS)},0)"
        return Meaning(f"CAST({word}({value.sql}) AS {kind})", kind)

    return rule


def _divided(at: ExactTranslator, node: Any) -> Meaning:
    """Divide where one side is a decimal: HALF_UP to the digits that Spark gives a quotient; by zero it fails."""
    sides = [at._of(node.this), at._of(node.expression)]
    if not any(decimal_parts(side.kind) for side in sides) or not all(is_number(side.kind) for side in sides):
        raise Untranslatable("a quotient of other things than decimals")
    (p1, s1), (p2, s2) = map(_digits, sides)
    scale = max(_LEAST_SCALE, s1 + p2 + 1)
    precision = p1 - s1 + s2 + scale
    if precision > _MOST_DIGITS:
        scale = max(_MOST_DIGITS - (precision - scale), min(scale, _LEAST_SCALE))
        precision = _MOST_DIGITS
    kind = f"decimal({precision},{scale})"
    a, b = (f"CAST({side.sql} AS VARCHAR)" for side in sides)
    quotient = f"CAST(quotient({a}, {b}, {precision}, {scale}) AS {kind})"
    if type(node).__name__ == "SafeDivide":
        return Meaning(quotient, kind)
    zero = f"({sides[1].sql}) = 0 AND ({sides[0].sql}) IS NOT NULL"
    far = f"({sides[0].sql}) IS NOT NULL AND ({sides[1].sql}) IS NOT NULL AND {quotient} IS NULL"
    return Meaning(
        f"(CASE WHEN {zero} THEN error('{CANNOT_DIVIDE}') WHEN {far} THEN error('{CANNOT_READ}') ELSE {quotient} END)",
        kind,
    )


_LEAST_SCALE = 6


def _part_of_clock(word: str) -> Callable[[ExactTranslator, Any], Meaning]:
    def rule(at: ExactTranslator, node: Any) -> Meaning:
        value = at._of(node.this)
        if value.kind != INSTANT:
            raise Untranslatable(f"the {word} of another thing than an instant")
        return Meaning(f"CAST({word}({_clock_in(value.sql, at.zone)}) AS INTEGER)", INT)

    return rule


def _clock_in(instant: str, zone: str) -> str:
    return f"make_timestamp(clock_of(epoch_us({instant}), {literal(zone)}))"


def _in_zone(at: ExactTranslator, node: Any) -> Meaning:
    """Say ``from_utc_timestamp``: the instant at which UTC shows what the zone shows."""
    this, zone = node.this, node.args.get("zone")
    if type(this).__name__ in ("Cast", "TryCast"):
        this = this.this  # sqlglot casts what is an instant already
    value = at._of(this)
    if value.kind != INSTANT or not zone.is_string or zone.name not in available_timezones():
        raise Untranslatable("from_utc_timestamp of another thing than an instant and a zone")
    return Meaning(_instant(f"clock_of(epoch_us({value.sql}), {literal(zone.name)})"), INSTANT)


def _attempt(sign: str) -> Callable[[ExactTranslator, Any], Meaning]:
    def rule(at: ExactTranslator, node: Any) -> Meaning:
        value = _arithmetic(sign)(at, node)
        return Meaning(f"TRY({value.sql})", value.kind)

    return rule


_CALLS: dict[str, Callable[[ExactTranslator, list[Any]], Meaning]] = {
    "cardinality": lambda at, arguments: _count(at, arguments[0]),
    "get": _element_or_null,
    "isnotnull": _null_test("IS NOT NULL"),
    "isnull": _null_test("IS NULL"),
    "plain_to_date": _plain_date,
    "plain_to_timestamp": _plain_instant,
    "pmod": _pmod,
    "timestamp_micros": _instant_of_number(1),
    "timestamp_millis": _instant_of_number(1_000),
    "timestamp_seconds": _instant_of_number(1_000_000),
}


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
    "Anonymous": (_call, {"this", "expressions"}),
    "Array": (_array, {"expressions"}),
    "Cast": (_plain_cast, {"this", "to"}),
    "ArraySize": (lambda at, node: _count(at, node.this), {"this"}),
    "AtTimeZone": (_in_zone, {"this", "zone"}),
    "Bracket": (_bracket, {"this", "expressions", "offset", "safe"}),
    "Ceil": (_whole("ceil"), {"this"}),
    "ConcatWs": (_text_of_values, {"expressions", "safe", "coalesce", "flatten"}),
    "Div": (_divided, {"this", "expression", "safe"}),
    "Floor": (_whole("floor"), {"this"}),
    "Greatest": (_of_all("greatest"), {"this", "expressions", "ignore_nulls"}),
    "Hour": (_part_of_clock("hour"), {"this"}),
    "ILike": (_like_any_letters, {"this", "expression"}),
    "Is": (_is, {"this", "expression"}),
    "Least": (_of_all("least"), {"this", "expressions", "ignore_nulls"}),
    "Minute": (_part_of_clock("minute"), {"this"}),
    "Nvl2": (_nvl2, {"this", "true", "false"}),
    "SafeAdd": (_attempt("+"), {"this", "expression"}),
    "SafeDivide": (_divided, {"this", "expression"}),
    "SafeMultiply": (_attempt("*"), {"this", "expression"}),
    "SafeSubtract": (_attempt("-"), {"this", "expression"}),
    "Second": (_part_of_clock("second"), {"this"}),
    "Trim": (_trimmed, {"this", "position", "expression"}),
}
