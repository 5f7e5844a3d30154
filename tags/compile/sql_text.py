"""Text of Spark SQL: literals, parameters by their day of effect, buckets by their macro."""

from __future__ import annotations

import re
from collections.abc import Callable

from lakehouse.query.words import spark_literal
from vocabulary.registry import Param

BUSINESS_DATE = "{{ business_date() }}"
_PLACEHOLDER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_BUCKET = re.compile(r"\bbucket\(")
_LITERAL = re.compile(r"('(?:[^']|'')*')")


def resolve(text: str, params: dict[str, list[Param]], missing: Callable[[str], Exception]) -> str:
    """Give an expression with ``:name`` replaced by its value on the business date and ``bucket()`` by its macro."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name == "business_date":
            return BUSINESS_DATE
        if name not in params:
            raise missing(name)
        return param_sql(params[name])

    parts = _LITERAL.split(" ".join(text.split()))
    parts[::2] = [_PLACEHOLDER.sub(value, part) for part in parts[::2]]
    return _with_buckets("".join(parts))


def _with_buckets(sql: str) -> str:
    """Give SQL with each ``bucket(salt, person)`` written as a call of the macro, whose text stands in one place."""
    call = _BUCKET.search(sql)
    if call is None:
        return sql
    depth, at, comma = 1, call.end(), call.end()
    while depth:
        depth += (sql[at] == "(") - (sql[at] == ")")
        if sql[at] == "," and depth == 1:
            comma = at
        at += 1
    salt = sql[call.end() : comma].strip().replace(BUSINESS_DATE, '" ~ business_date() ~ "')
    person = sql[comma + 1 : at - 1].strip()
    return f'{sql[: call.start()]}{{{{ bucket("{salt}", "{person}") }}}}{_with_buckets(sql[at:])}'


def param_sql(history: list[Param]) -> str:
    """Give the SQL of a parameter: its value, or a CASE over the days on which its values took effect."""
    newest_first = sorted(history, key=lambda param: param.since, reverse=True)
    if len(newest_first) == 1:
        return spark_literal(newest_first[0].value)
    whens = " ".join(
        f"when {BUSINESS_DATE} >= {spark_literal(p.since)} then {spark_literal(p.value)}"
        for p in newest_first[:-1]
    )
    return f"case {whens} else {spark_literal(newest_first[-1].value)} end"
