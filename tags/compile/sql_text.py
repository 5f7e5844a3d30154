"""Text of Spark SQL for dbt: expressions with their parameters, and words of people that no template may hold."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

from lakehouse.expressions.expression import parse_expression
from lakehouse.expressions.tokens import Token, tokens_of
from lakehouse.query.words import spark_literal
from vocabulary.registry import Param

BUSINESS_DATE = "{{ business_date() }}"
CUT_POINTS = "tags.cut_points"
_CUTS = "array<decimal(24,6)>"
_MACRO_TEXT = r'"((?:[^"\\]|\\.|" ~ business_date\(\) ~ ")*)"'
_BUCKET = re.compile(r"\{\{ bucket\(" + _MACRO_TEXT + ", " + _MACRO_TEXT + r"\) \}\}")
_SOURCE = re.compile(r"\{\{ source\('(\w+)', '(\w+)'\) \}\}")
_TEMPLATE = re.compile(r"\{(?=[{%#])")


def resolve(
    text: str, params: dict[str, list[Param]], missing: Callable[[str], Exception], tag: str = ""
) -> str:
    """Give an expression with ``:name`` replaced by its value on the business date and ``bucket()`` by its macro.

    ``tag`` is the one whose cut points are meant. Only what the language admits is written: ``ExpressionInvalid`` otherwise, whether or not the registry was checked.
    """
    parse_expression(text)
    tokens = tokens_of(text)
    return _sql_of(text, tokens, 0, len(tokens), params, missing, tag)


def _sql_of(
    text: str,
    tokens: tuple[Token, ...],
    begin: int,
    end: int,
    params: dict[str, list[Param]],
    missing: Callable[[str], Exception],
    tag: str,
) -> str:
    parts: list[str] = []
    at = begin
    while at < end:
        token = tokens[at]
        if at > begin and tokens[at - 1].end < token.start:
            parts.append(" ")
        if token.kind == "parameter":
            parts.append(_parameter_sql(token.text[1:], params, missing, tag))
        elif token.kind == "word" and token.text == "bucket" and at + 1 < end and tokens[at + 1].text == "(":
            comma, close = _arguments(tokens, at + 1)
            salt = _sql_of(text, tokens, at + 2, comma, params, missing, tag)
            person = _sql_of(text, tokens, comma + 1, close, params, missing, tag)
            parts.append(f'{{{{ bucket("{_macro_text(salt)}", "{_macro_text(person)}") }}}}')
            at = close
        else:
            parts.append(token.text)
        at += 1
    return "".join(parts)


def _parameter_sql(
    name: str, params: dict[str, list[Param]], missing: Callable[[str], Exception], tag: str
) -> str:
    if name == "business_date":
        return BUSINESS_DATE
    if name not in params:
        raise missing(name)
    return param_sql(params[name], tag)


def _arguments(tokens: tuple[Token, ...], opening: int) -> tuple[int, int]:
    """Give the places of the last comma and of the closing parenthesis of a call."""
    depth, comma = 0, opening
    for at in range(opening, len(tokens)):
        depth += (tokens[at].text == "(") - (tokens[at].text == ")")
        if tokens[at].text == "," and depth == 1:
            comma = at
        if depth == 0:
            return comma, at
    raise AssertionError("an expression of the language closes what it opens")


def _macro_text(sql: str) -> str:
    """Give SQL as it stands between the double quotes of a macro's argument."""
    parts = [part.replace("\\", "\\\\").replace('"', '\\"') for part in sql.split(BUSINESS_DATE)]
    return '" ~ business_date() ~ "'.join(parts)


def param_sql(history: list[Param], tag: str = "") -> str:
    """Give the SQL of a parameter: its value, or a CASE over the days on which its values took effect.

    Before the first of them that one counts, so that a night of the past has a value.
    """
    newest_first = sorted(history, key=lambda param: param.since, reverse=True)
    if len(newest_first) == 1:
        return _value_sql(newest_first[0], tag)
    whens = " ".join(
        f"when {BUSINESS_DATE} >= {spark_literal(p.since)} then {_value_sql(p, tag)}"
        for p in newest_first[:-1]
    )
    return f"case {whens} else {_value_sql(newest_first[-1], tag)} end"


def _value_sql(param: Param, tag: str) -> str:
    """Give the SQL of a value, a list as an array; of cut points what is kept for the business date, else what is declared."""
    if not isinstance(param.value, list):
        return dbt_literal(param.value)
    kind = "array<string>" if isinstance(param.value[0], str) else _CUTS
    default = f"cast(array({', '.join(map(dbt_literal, param.value))}) as {kind})"
    if param.cut_points is None:
        return default
    database, _, table = CUT_POINTS.partition(".")
    row_of_day = (
        f"select max(kept.cuts) from {{{{ source('{database}', '{table}') }}}} kept "
        f"where kept.tag = {dbt_literal(tag)} and kept.parameter = {dbt_literal(param.name)} "
        f"and kept.valid_from <= {BUSINESS_DATE} and (kept.valid_to is null or kept.valid_to > {BUSINESS_DATE})"
    )
    return f"coalesce(({row_of_day}), {default})"


def readable_sql(sql: str, business_date: dt.date | None) -> str:
    """Give SQL of a model as people read it: a day for the macro of the business date (``:business_date`` where none is known), no templates."""
    day = ":business_date" if business_date is None else spark_literal(business_date)
    sql = _BUCKET.sub(lambda call: f"bucket({_macro_sql(call[1])}, {_macro_sql(call[2])})", sql)
    sql = _SOURCE.sub(r"\1.\2", sql)
    return sql.replace(BUSINESS_DATE, day)


def _macro_sql(text: str) -> str:
    """Give back the SQL that ``_macro_text`` wrote."""
    sql = text.replace('" ~ business_date() ~ "', BUSINESS_DATE)
    return re.sub(r"\\(.)", r"\1", sql)


def dbt_literal(value: object) -> str:
    """Give a value as a literal of Spark SQL in which dbt sees no template."""
    return _TEMPLATE.sub(r"\\u007b", spark_literal(value))


def note(text: str) -> str:
    """Give a text of people as one line of a comment or a description in which dbt sees no template."""
    return _TEMPLATE.sub("{ ", " ".join(text.split()))
