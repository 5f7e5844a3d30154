"""The Spark SQL that turns a delivered column of a known shape into a trusted column, or nothing where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ingestion.onboarding.shapes import DAYS, INSTANTS, WITH_POINT_ZERO, ColumnShape
from ingestion.onboarding.suggestions import synonyms
from lakehouse.contracts.contract import Column
from lakehouse.expressions.expression import parse_expression
from lakehouse.expressions.tokens import ExpressionInvalid
from lakehouse.query.words import spark_identifier, spark_literal

TODO = "TODO"


@dataclass(frozen=True)
class Mapped:
    """An expression for one trusted column, how sure it is, and what a person should know about it."""

    column: str
    expression: str
    note: str = ""
    source_name: str | None = None

    @property
    def waits(self) -> bool:
        """Whether a person must write the expression."""
        return self.expression.startswith(TODO)


@cache
def quoted(name: str) -> str:
    """Give a delivered column as an expression: bare where Spark reads it so, else in backticks."""
    try:
        # A word like `date` or `at` parses as a column in places and as a function in others.
        is_word = name.isidentifier() and name.isascii() and name.lower() not in _WORDS
        if is_word and parse_expression(name).columns == (name,):
            return name
    except ExpressionInvalid:
        return spark_identifier(name)
    return spark_identifier(name)


_WORDS = {
    "date", "time", "timestamp", "at", "order", "group", "user", "index", "key", "value", "type", "interval", "case",
    "end", "table", "column", "from", "to", "on", "in", "is", "not", "and", "or", "null", "true", "false", "current",
}  # fmt: skip


def expression_for(
    shape: ColumnShape, table: str, column: Column, *, utc: bool, legend: Mapping[str, str] | None = None
) -> Mapped | None:
    """Give how a delivered column fills a trusted one; None when its values do not fit the type.

    ``legend`` says what codes mean to their source, in people's words.
    """
    expression = _fitting(shape, table, column, utc=utc, legend=legend or {})
    return None if expression is None else Mapped(column.name, expression[0], expression[1], shape.name)


def _fitting(
    shape: ColumnShape, table: str, column: Column, *, utc: bool, legend: Mapping[str, str]
) -> tuple[str, str] | None:
    name, kind = quoted(shape.name), column.type
    if shape.type == "empty":
        return None
    if column.allowed:
        return _by_codes(shape, table, column, legend)
    if kind == "date":
        return day_expression(shape, utc=utc)
    if kind == "timestamp":
        return instant_expression(shape, utc=utc)
    if kind.startswith("decimal"):
        return _number(shape, kind) if shape.type in ("integer", "decimal") else None
    if kind in ("int", "bigint"):
        return _number(shape, kind) if shape.type == "integer" else None
    if kind == "boolean":
        return _boolean(shape)
    return _text(shape, name, column.name)


def _text(shape: ColumnShape, name: str, column: str) -> tuple[str, str] | None:
    is_key = column.endswith(("_id", "_key"))
    # Names with blanks number nobody, but may name an app or a campaign.
    if is_key and (
        (shape.has_words and not shape.codes) or shape.type in ("date", "timestamp", "decimal", "boolean")
    ):
        return None
    if column == "full_name" and (shape.type != "text" or shape.identifier or shape.hash_method):
        return None
    if shape.notation == WITH_POINT_ZERO:
        return f"regexp_replace({name}, '[.]0$', '')", "the source writes whole numbers with .0 behind"
    return name, ""


def _number(shape: ColumnShape, kind: str) -> tuple[str, str]:
    name = quoted(shape.name)
    if shape.has_thousands:
        return f"try_cast(regexp_replace({name}, '[,，¥￥$€]', '') as {kind})", "thousands are separated"
    if shape.notation == WITH_POINT_ZERO and not kind.startswith("decimal"):
        return f"try_cast(regexp_replace({name}, '[.]0$', '') as {kind})", ""
    return f"try_cast({name} as {kind})", ""


def _boolean(shape: ColumnShape) -> tuple[str, str] | None:
    if shape.type != "boolean" and set(shape.codes) - {"0", "1"}:
        return None
    if shape.type != "boolean" and not shape.codes:
        return None
    name = quoted(shape.name)
    return (
        f"case when lower({name}) in ('y', 'yes', 'true', 't', '1', '是', '有') then true "
        f"when lower({name}) in ('n', 'no', 'false', 'f', '0', '否', '无') then false end"
    ), ""


def day_expression(shape: ColumnShape, *, utc: bool) -> tuple[str, str] | None:
    """Give a delivered column as a day."""
    name = quoted(shape.name)
    if shape.type == "timestamp":
        expression = instant_expression(shape, utc=utc)
        return None if expression is None else (f"cast({expression[0]} as date)", expression[1])
    if shape.type != "date":
        return None
    if shape.notation == "yymmdd":
        century = f"case when substring({name}, 1, 2) >= '50' then '19' else '20' end"
        return (
            f"try_to_date(concat({century}, {name}), 'yyyyMMdd')",
            "two-digit years: 50 to 99 are read as 19xx, 00 to 49 as 20xx; is that so?",
        )
    pattern = next(spark for notation, _, spark in DAYS if notation == shape.notation)
    ambiguous = shape.notation in ("dd/mm/yyyy", "mm/dd/yyyy")
    return f"try_to_date({name}, '{pattern}')", f"read as {shape.notation}; is that so?" if ambiguous else ""


def instant_expression(shape: ColumnShape, *, utc: bool) -> tuple[str, str] | None:
    """Give a delivered column as an instant; texts without a zone are of the workspace's, or UTC when so stated."""
    name = quoted(shape.name)
    if shape.type == "date":
        expression = day_expression(shape, utc=utc)
        return (
            None
            if expression is None
            else (f"cast({expression[0]} as timestamp)", "only the day is delivered")
        )
    if shape.type != "timestamp":
        return None
    if shape.notation == "iso with zone":
        return f"try_to_timestamp({name})", ""
    if shape.notation.endswith("since 1970"):
        unit = "millis" if shape.notation.startswith("milli") else "seconds"
        return f"timestamp_{unit}(try_cast({name} as bigint))", ""
    zone = "read as UTC" if utc else "read in the workspace's time zone; draft again with --utc if it is UTC"
    pattern = next(spark for notation, _, spark in INSTANTS if notation == shape.notation)
    if pattern is None:
        return f"try_to_timestamp(concat({name}, 'Z'))" if utc else f"try_to_timestamp({name})", zone
    if utc:
        return f"try_to_timestamp(concat({name}, 'Z'), '{pattern}XXX')", zone
    return f"try_to_timestamp({name}, '{pattern}')", zone


def _by_codes(
    shape: ColumnShape, table: str, column: Column, legend: Mapping[str, str]
) -> tuple[str, str] | None:
    """Give delivered codes in the contract's words; codes nobody knows are named in the note.

    What the source's legend says of a code goes before what the code usually means.
    """
    if not shape.codes:
        return None
    name = quoted(shape.name)
    meaning_of = {code: legend.get(code, code).lower() for code in shape.codes}
    if set(shape.codes) <= set(column.allowed) and not legend:
        return name, ""
    words = synonyms()["codes"]
    words_of_column = words.get(f"{table}.{column.name}") or words.get(column.name) or {}
    meaning = {text.lower(): word for word, texts in words_of_column.items() for text in texts}
    meaning |= {word.lower(): word for word in column.allowed}
    translation = {code: meaning[word] for code, word in meaning_of.items() if word in meaning}
    if not translation:
        return None
    cases = " ".join(f"when {spark_literal(code)} then '{word}'" for code, word in translation.items())
    unknown = [
        f"{code}{f' {legend[code]}' if code in legend else ''} ({times})"
        for code, times in shape.codes.items()
        if code not in translation
    ]
    note = f"codes left without a meaning (records): {', '.join(unknown)}" if unknown else ""
    return f"case {name} {cases} end", note
