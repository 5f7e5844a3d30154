"""Spark SQL expressions in DuckDB's words, for the part of the language where both mean the same to the letter.

What a feed says is Spark SQL. Reading some thousand rows, or some million plain ones, through Spark costs many times
what it costs in this process, and most feeds say little: a column, a literal, a date, a decimal, a ``case``. Such an
expression is translated together with *guards*: conditions on the delivered texts under which both engines are known to
agree (a date of exactly four, two and two digits that exists; a decimal of plain digits that fits). A record that meets
all guards is computed here; any other, and every expression with a word not listed here, is left to Spark. So nothing
is decided by a likeness of the engines that no test has seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from lakehouse.expressions.patterns import Untranslatable
from lakehouse.query.words import literal

STRING, BOOL, INT, LONG, DATE, INSTANT, NULL = (
    "string",
    "boolean",
    "int",
    "bigint",
    "date",
    "timestamp",
    "null",
)

# Years from 1000 to 2999: no engine sees another calendar there.
_DATE_PARTS = {"yyyy": (r"[12]\d{3}", "%Y"), "MM": (r"\d\d", "%m"), "dd": (r"\d\d", "%d")}
_ISO_DATE = r"[12]\d{3}-\d\d-\d\d"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
# -00:00 is an offset to DuckDB and none to Java; offsets beyond 13 hours are left to Spark.
_OFFSET = r"(Z|\+(0\d|1[0-3]):[0-5]\d|-(0[1-9]|1[0-3]):[0-5]\d)"
_INSTANTS = {
    "yyyy-MM-dd'T'HH:mm:ssXXX": f"{_ISO_DATE}T{_CLOCK}{_OFFSET}",
    "yyyy-MM-dd HH:mm:ssXXX": f"{_ISO_DATE} {_CLOCK}{_OFFSET}",
}
# Texts that are no number and no date to either engine: without any digit, with a letter where a year or day begins.
_NO_NUMBER = r"[A-Za-z\p{Han}.+\-]*"
_NO_DATE = r"^($|\d{0,3}[A-Za-z\p{Han}])"


@dataclass(frozen=True)
class Meaning:
    """An expression in DuckDB's SQL and its kind: a name above, or ``decimal(p,s)``."""

    sql: str
    kind: str


@dataclass
class Translator:
    """Translates the expressions of one feed; ``names`` gives DuckDB's name and kind of every column, in lower case.

    ``guards`` collects the conditions (never null) a record must meet for all that was translated so far.
    """

    names: dict[str, tuple[str, str]]
    guards: dict[str, None] = field(default_factory=dict)

    def meaning(self, text: str) -> Meaning:
        """Give what ``text`` means; ``Untranslatable`` when it is not known here."""
        if "\\" in text:
            raise Untranslatable("escapes in literals")
        return self._of(_parse(text))

    def cast(self, value: Meaning, kind: str) -> str:
        """Give the SQL of ``try_cast(given as kind)`` where both engines agree on it."""
        if value.kind in (kind, NULL):
            return value.sql
        source = decimal_parts(value.kind)
        target = decimal_parts(kind)
        if target and source and source[1] <= target[1] and source[0] - source[1] <= target[0] - target[1]:
            return f"CAST({value.sql} AS {kind})"
        if value.kind == INT and kind == LONG:
            return f"CAST({value.sql} AS BIGINT)"
        if value.kind == INT and re.fullmatch(r"\d{1,9}", value.sql):
            if target and target[0] - target[1] >= 9:
                return f"CAST({value.sql} AS {kind})"
            if kind == STRING and str(int(value.sql)) == value.sql:
                return f"'{value.sql}'"
        if value.kind == BOOL and value.sql in ("true", "false") and kind == STRING:
            return f"'{value.sql}'"
        if value.kind == STRING:
            return self._from_text(value.sql, kind)
        return self._from_other(value, kind)

    def _from_other(self, value: Meaning, kind: str) -> str:
        raise Untranslatable(f"{value.kind} as {kind}")

    def _from_text(self, sql: str, kind: str) -> str:
        target = decimal_parts(kind)
        cast = f"TRY_CAST({sql} AS {kind})"
        if target:
            whole, fraction = target[0] - target[1], target[1]
            if whole < 1:
                raise Untranslatable(kind)
            digits = rf"-?\d{{1,{whole}}}" + (rf"(\.\d{{1,{fraction}}})?" if fraction else "")
            self._guard_number(sql, cast, digits)
        elif kind == INT:
            self._guard_number(sql, cast, r"-?\d{1,9}")
        elif kind == LONG:
            self._guard_number(sql, cast, r"-?\d{1,18}")
        elif kind == BOOL:
            cast = f"({sql} = 'true')"
            self._guard(sql, f"{sql} IN ('true', 'false')")
        elif kind == DATE:
            self._guard_date(sql, cast, _ISO_DATE)
        else:
            raise Untranslatable(kind)
        return cast

    def _guard_number(self, sql: str, cast: str, digits: str) -> None:
        no_number = f"{cast} IS NULL AND regexp_full_match({sql}, '{_NO_NUMBER}')"
        self._guard(sql, f"regexp_full_match({sql}, '{digits}')", no_number)

    def _guard_date(self, sql: str, cast: str, pattern: str, *, sign: str = "") -> None:
        """Let pass what has the shape of a date, and what is surely none; ``sign`` stands in every one."""
        no_date = f"regexp_matches({sql}, '{_NO_DATE}')"
        if sign:
            no_date = f"({no_date} OR NOT contains({sql}, '{sign}'))"
        # A date of that shape which does not exist is none to both.
        conditions = [f"regexp_full_match({sql}, '{pattern}')", f"{cast} IS NULL AND {no_date}"]
        if pattern == _ISO_DATE:
            # Written again it is the same: that is seen in a fifth of the time, as days return.
            conditions.insert(
                0, f"CAST({cast} AS VARCHAR) = {sql} AND strlen({sql}) = 10 AND {sql} >= '1' AND {sql} < '3'"
            )
        self._guard(sql, *conditions)

    def _letters(self, word: str, text: str) -> str:
        self._guard(text, f"strlen({text}) = length({text})")  # beyond ASCII the engines' tables differ
        return f"{word}({text})"

    def _must_be_read(self, value: str, cast: str) -> str:
        """Give the cast of a value; what a plain cast cannot read is an error, and Spark is the one to say so."""
        self._guard(value, f"({cast}) IS NOT NULL")
        return cast

    def _instant_by(self, text: str, form: str) -> str:
        if form not in _INSTANTS:
            raise Untranslatable("a format without an offset")
        cast = f"TRY_CAST({text} AS TIMESTAMPTZ)"
        self._guard_date(text, cast, _INSTANTS[form], sign="-")
        return cast

    def _date_by(self, text: str, form: str) -> str:
        if form == "yyyy-MM-dd":
            cast = f"TRY_CAST({text} AS DATE)"
            self._guard_date(text, cast, _ISO_DATE, sign="-")
            return cast
        pattern, strptime_format = _date_format(form)
        cast = f"CAST(try_strptime({text}, '{strptime_format}') AS DATE)"
        self._guard_date(text, cast, pattern, sign=re.sub("yyyy|MM|dd", "", form)[:1])
        return cast

    def _guard(self, sql: str, *conditions: str) -> None:
        """Let pass null and what meets one of the conditions; the later ones are computed for the rest only."""
        cases = " ".join(f"WHEN {condition} THEN true" for condition in conditions)
        self.guards[f"(CASE WHEN ({sql}) IS NULL THEN true {cases} ELSE false END)"] = None

    def _rule(self, name: str) -> tuple[Callable[[Any, Any], Meaning], set[str]] | None:
        return _RULES.get(name)

    def _of(self, node: Any) -> Meaning:
        entry = self._rule(type(node).__name__)
        if entry is None:
            is_function = hasattr(node, "sql_name")
            raise Untranslatable(
                f"{node.sql_name().lower()}()" if is_function else type(node).__name__.lower()
            )
        rule, arguments = entry
        for name, value in node.args.items():
            if value not in (None, [], False) and name not in arguments:
                raise Untranslatable(f"{type(node).__name__} with {name}")
        return rule(self, node)

    def _text(self, node: Any) -> str:
        meaning = self._of(node)
        if meaning.kind not in (STRING, NULL):
            raise Untranslatable(f"{meaning.kind} where text is read")
        return meaning.sql

    def _truth(self, node: Any) -> str:
        meaning = self._of(node)
        if meaning.kind not in (BOOL, NULL):
            raise Untranslatable(f"{meaning.kind} where a condition is read")
        return meaning.sql


@lru_cache(maxsize=4096)
def _parse(text: str) -> Any:
    import sqlglot

    return sqlglot.parse_one(text, dialect="spark")


def decimal_parts(kind: str) -> tuple[int, int] | None:
    """Give precision and scale of ``decimal(p,s)``; None of another kind."""
    match = re.fullmatch(r"decimal\((\d+),(\d+)\)", kind)
    return (int(match[1]), int(match[2])) if match else None


def same_kind(meanings: Sequence[Meaning]) -> str:
    """Give the one kind of some values, null of nulls; ``Untranslatable`` of several kinds."""
    kinds = {one.kind for one in meanings} - {NULL}
    if kinds == {INT, LONG}:
        return LONG
    if len(kinds) > 1:
        raise Untranslatable(f"{' and '.join(sorted(kinds))} in one place")
    return kinds.pop() if kinds else NULL


def is_number(kind: str) -> bool:
    """Tell whether a kind is a whole number or a decimal."""
    return kind in (INT, LONG) or decimal_parts(kind) is not None


def _column(at: Translator, node: Any) -> Meaning:
    if len(node.parts) != 1 or node.name.lower() not in at.names:
        raise Untranslatable("a name with parts")
    return Meaning(*at.names[node.name.lower()])


def _literal(at: Translator, node: Any) -> Meaning:
    text = str(node.this)
    if node.is_string:
        return Meaning(literal(text), STRING)
    if re.fullmatch(r"\d{1,9}", text):
        return Meaning(text, INT)
    match = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", text)
    if not match:
        raise Untranslatable("a number in another form")
    whole = match[1].lstrip("0")
    return Meaning(
        f"CAST('{text}' AS DECIMAL(18,{len(match[2])}))",
        f"decimal({max(len(whole) + len(match[2]), 1)},{len(match[2])})",
    )


def _comparison(sign: str) -> Callable[[Translator, Any], Meaning]:
    def rule(at: Translator, node: Any) -> Meaning:
        sides = [at._of(node.this), at._of(node.expression)]
        kinds = {side.kind for side in sides} - {NULL}
        if len(kinds) > 1 and not all(is_number(kind) for kind in kinds):
            raise Untranslatable("sides of two kinds")
        return Meaning(f"({sides[0].sql} {sign} {sides[1].sql})", BOOL)

    return rule


def _connective(word: str) -> Callable[[Translator, Any], Meaning]:
    def rule(at: Translator, node: Any) -> Meaning:
        return Meaning(f"({at._truth(node.this)} {word} {at._truth(node.expression)})", BOOL)

    return rule


def _is_null(at: Translator, node: Any) -> Meaning:
    if type(node.expression).__name__ != "Null":
        raise Untranslatable("is true")
    return Meaning(f"({at._of(node.this).sql} IS NULL)", BOOL)


def _in(at: Translator, node: Any) -> Meaning:
    meanings = [at._of(node.this), *(at._of(one) for one in node.expressions)]
    if not node.expressions:
        raise Untranslatable("in, of no list")
    if not all(is_number(one.kind) for one in meanings):
        same_kind(meanings)
    return Meaning(f"({meanings[0].sql} IN ({', '.join(one.sql for one in meanings[1:])}))", BOOL)


def _like(at: Translator, node: Any) -> Meaning:
    pattern = node.expression
    # One sign of Java's is not always one of DuckDB's, so only "begins with", "ends with" and "holds".
    if type(pattern).__name__ != "Literal" or not pattern.is_string or "_" in str(pattern.this):
        raise Untranslatable("like")
    return Meaning(f"({at._text(node.this)} LIKE {_literal(at, pattern).sql})", BOOL)


def _case(at: Translator, node: Any) -> Meaning:
    subject = node.args.get("this")
    parts, results = [], []
    for branch in node.args["ifs"]:
        if subject is not None:
            sides = [at._of(subject), at._of(branch.this)]
            same_kind(sides)
            condition = f"{sides[0].sql} = {sides[1].sql}"
        else:
            condition = at._truth(branch.this)
        results.append(at._of(branch.args["true"]))
        parts.append(f"WHEN {condition} THEN {results[-1].sql}")
    default = node.args.get("default")
    if default is not None:
        results.append(at._of(default))
        parts.append(f"ELSE {results[-1].sql}")
    return Meaning(f"(CASE {' '.join(parts)} END)", same_kind(results))


def _if(at: Translator, node: Any) -> Meaning:
    other = node.args.get("false")
    results = [at._of(node.args["true"]), at._of(other) if other is not None else Meaning("NULL", NULL)]
    condition = at._truth(node.this)
    return Meaning(
        f"(CASE WHEN {condition} THEN {results[0].sql} ELSE {results[1].sql} END)", same_kind(results)
    )


def _coalesce(at: Translator, node: Any) -> Meaning:
    meanings = [at._of(node.this), *(at._of(one) for one in node.expressions)]
    return Meaning(f"coalesce({', '.join(one.sql for one in meanings)})", same_kind(meanings))


def _nullif(at: Translator, node: Any) -> Meaning:
    meanings = [at._of(node.this), at._of(node.expression)]
    if not all(is_number(one.kind) for one in meanings):
        same_kind(meanings)
    return Meaning(f"nullif({meanings[0].sql}, {meanings[1].sql})", meanings[0].kind)


def _trim(at: Translator, node: Any) -> Meaning:
    return Meaning(f"trim({at._text(node.this)}, ' ')", STRING)


def _case_function(word: str) -> Callable[[Translator, Any], Meaning]:
    def rule(at: Translator, node: Any) -> Meaning:
        return Meaning(at._letters(word, at._text(node.this)), STRING)

    return rule


def _substring(at: Translator, node: Any) -> Meaning:
    numbers = [node.args.get("start"), node.args.get("length")]
    places = [str(n.this) for n in numbers if n is not None and type(n).__name__ == "Literal"]
    if not places or len(places) != sum(n is not None for n in numbers) or places[0] == "0":
        raise Untranslatable("substring by computed places")
    if not all(re.fullmatch(r"\d{1,6}", number) for number in places):
        raise Untranslatable("substring by other numbers")
    return Meaning(f"substring({at._text(node.this)}, {', '.join(places)})", STRING)


def _concat(at: Translator, node: Any) -> Meaning:
    return Meaning(f"({' || '.join(at._text(one) for one in node.expressions)})", STRING)


def _pipes(at: Translator, node: Any) -> Meaning:
    return Meaning(f"({at._text(node.this)} || {at._text(node.expression)})", STRING)


def _cast(at: Translator, node: Any) -> Meaning:
    kind = node.args["to"].sql(dialect="spark").lower().replace(" ", "")
    kind = {"decimal": "decimal(10,0)", "integer": INT}.get(kind, kind)
    value = at._of(node.this)
    cast = at.cast(value, kind)
    return Meaning(cast if node.args.get("safe") else at._must_be_read(value.sql, cast), kind)


def literal_day(at: Translator, node: Any) -> Meaning:
    """Say ``date'2026-11-18'``; other literals of that form are left to Spark."""
    text, kind = node.this, node.args["to"].sql(dialect="spark").lower()
    if type(text).__name__ != "Literal" or kind != DATE or not re.fullmatch(_ISO_DATE, str(text.this)):
        raise Untranslatable("a literal of another kind")
    try:
        date.fromisoformat(str(text.this))
    except ValueError:
        raise Untranslatable("a day that does not exist") from None
    return Meaning(f"DATE '{text.this}'", DATE)


def _abs(at: Translator, node: Any) -> Meaning:
    value = at._of(node.this)
    if decimal_parts(value.kind) is None:
        raise Untranslatable("abs of another thing than a decimal")
    return Meaning(f"abs({value.sql})", value.kind)


def call_by_pattern(at: Translator, node: Any) -> Meaning:
    """Read a day or an instant by a pattern; what cannot be read is null."""
    name, arguments = str(node.this).lower(), node.expressions
    if name not in ("try_to_date", "try_to_timestamp") or len(arguments) != 2:
        raise Untranslatable(name)
    text, form = at._text(arguments[0]), arguments[1]
    if type(form).__name__ != "Literal" or not form.is_string:
        raise Untranslatable("a computed format")
    reading, kind = (at._instant_by, INSTANT) if name == "try_to_timestamp" else (at._date_by, DATE)
    return Meaning(reading(text, str(form.this)), kind)


def _date_format(form: str) -> tuple[str, str]:
    """Give the regular expression and the ``strptime`` format of a Java format of year, month and day alone."""
    parts = re.findall(r"yyyy|MM|dd|[-/. ]|.", form)
    if sorted(part for part in parts if part in _DATE_PARTS) != ["MM", "dd", "yyyy"]:
        raise Untranslatable("a date of other parts")
    if not all(part in _DATE_PARTS or part in "-/. " for part in parts):
        raise Untranslatable("a date with other signs")
    pattern = "".join(_DATE_PARTS[p][0] if p in _DATE_PARTS else re.escape(p) for p in parts)
    return pattern, "".join(_DATE_PARTS[p][1] if p in _DATE_PARTS else p for p in parts)


# Per kind of node of the parsed expression: how it is said, and the parts it may have.
_RULES: dict[str, tuple[Callable[[Translator, Any], Meaning], set[str]]] = {
    "Column": (_column, {"this"}),
    "Literal": (_literal, {"this", "is_string"}),
    "Null": (lambda at, node: Meaning("NULL", NULL), set()),
    "Boolean": (lambda at, node: Meaning("true" if node.this else "false", BOOL), {"this"}),
    "Paren": (lambda at, node: at._of(node.this), {"this"}),
    "EQ": (_comparison("="), {"this", "expression"}),
    "NEQ": (_comparison("<>"), {"this", "expression"}),
    "LT": (_comparison("<"), {"this", "expression"}),
    "LTE": (_comparison("<="), {"this", "expression"}),
    "GT": (_comparison(">"), {"this", "expression"}),
    "GTE": (_comparison(">="), {"this", "expression"}),
    "NullSafeEQ": (_comparison("IS NOT DISTINCT FROM"), {"this", "expression"}),
    "And": (_connective("AND"), {"this", "expression"}),
    "Or": (_connective("OR"), {"this", "expression"}),
    "Not": (lambda at, node: Meaning(f"(NOT {at._truth(node.this)})", BOOL), {"this"}),
    "Is": (_is_null, {"this", "expression"}),
    "In": (_in, {"this", "expressions"}),
    "Like": (_like, {"this", "expression"}),
    "Case": (_case, {"this", "ifs", "default"}),
    "If": (_if, {"this", "true", "false"}),
    "Coalesce": (_coalesce, {"this", "expressions"}),
    "Nullif": (_nullif, {"this", "expression"}),
    "Trim": (_trim, {"this"}),
    "Lower": (_case_function("lower"), {"this"}),
    "Upper": (_case_function("upper"), {"this"}),
    "Substring": (_substring, {"this", "start", "length"}),
    "Concat": (_concat, {"expressions", "safe"}),
    "DPipe": (_pipes, {"this", "expression", "safe"}),
    "Cast": (literal_day, {"this", "to"}),
    "TryCast": (_cast, {"this", "to", "safe"}),
    "Abs": (_abs, {"this"}),
    "Anonymous": (call_by_pattern, {"this", "expressions"}),
}
