"""What a Spark SQL expression of a feed reads, found without Spark, and where it may fail to read a value."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

# Functions whose answer depends on when or where they run: the same input must give the same rows.
UNREPEATABLE = {
    "current_date", "current_timestamp", "now", "localtimestamp", "curdate", "current_time", "unix_timestamp", "rand",
    "random", "randn", "uuid", "shuffle", "monotonically_increasing_id", "input_file_name", "spark_partition_id",
}  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """A parsed expression: the delivered columns it reads and its ``try_…`` calls as (text, columns)."""

    text: str
    columns: tuple[str, ...]
    tries: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether it reads nothing of the row."""
        return not self.columns


class ExpressionInvalid(ValueError):
    """An expression that cannot be parsed or must not be used; the message completes a sentence."""


@cache
def _sqlglot() -> Any:
    import logging

    import sqlglot

    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    return sqlglot


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> Expression:
    """Give what ``text`` (Spark SQL) reads; ``ExpressionInvalid`` when it is no single repeatable expression."""
    sqlglot = _sqlglot()
    exp = sqlglot.exp
    try:
        trees = sqlglot.parse(text, dialect="spark")
    except sqlglot.errors.SqlglotError as wrong:
        details = getattr(wrong, "errors", None) or [{"description": "cannot be read", "col": None}]
        description = str(details[0].get("description") or "cannot be read").split(" for <")[0].rstrip(".")
        at = details[0].get("col")
        raise ExpressionInvalid(
            f"is not Spark SQL ({description}{f', at character {at}' if at else ''})"
        ) from None
    if len(trees) != 1 or trees[0] is None:
        raise ExpressionInvalid("must be one expression")
    tree = trees[0]
    if isinstance(tree, (exp.Alias, exp.Aliases)):
        raise ExpressionInvalid("has words after its end; is an operator or a quote missing?")
    if isinstance(tree, (exp.Query, exp.Command)) or tree.find(exp.Query):
        raise ExpressionInvalid("must be an expression over one row, without a query inside")
    for function in tree.find_all(exp.Func):
        name = (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
        if name in UNREPEATABLE:
            raise ExpressionInvalid(f"uses {name}(), whose answer changes from run to run")
        if isinstance(function, exp.AggFunc) and not isinstance(function, (exp.First, exp.Last)):
            raise ExpressionInvalid(f"uses {name}(), which needs more than one row")
    if tree.find(exp.Window):
        raise ExpressionInvalid("uses a window, which needs more than one row")
    return Expression(text, _columns_in(tree), _tries_in(text))


def unknown_column(expression: Expression, names: Collection[str]) -> str | None:
    """Give the first column the expression reads that is not known (Spark does not mind the case of letters)."""
    lowered = {name.lower() for name in names}
    return next((name for name in expression.columns if name.lower() not in lowered), None)


def _columns_in(tree: Any) -> tuple[str, ...]:
    exp = _sqlglot().exp
    columns: dict[str, None] = {}
    for column in tree.find_all(exp.Column):
        name = ".".join(part.name for part in column.parts)
        if not _is_lambda_parameter(column, column.parts[0].name):
            columns[name] = None
    return tuple(columns)


def _is_lambda_parameter(column: Any, name: str) -> bool:
    exp = _sqlglot().exp
    scope = column.find_ancestor(exp.Lambda)
    while scope is not None:
        if any(parameter.name == name for parameter in scope.expressions):
            return True
        scope = scope.find_ancestor(exp.Lambda)
    return False


def _tries_in(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Give the outermost ``try_…(…)`` calls verbatim, each with the columns it reads.

    They are cut from the text by the positions of tokens: a generated text might differ from what the feed says.
    """
    sqlglot = _sqlglot()
    tokens = sqlglot.tokenize(text, dialect="spark")
    tries: list[tuple[str, tuple[str, ...]]] = []
    at = 0
    while at < len(tokens) - 1:
        token = tokens[at]
        opens = tokens[at + 1].token_type.name == "L_PAREN"
        if not (token.text.lower().startswith("try_") and opens and token.token_type.name != "IDENTIFIER"):
            at += 1
            continue
        depth, end = 0, at + 1
        while end < len(tokens):
            kind = tokens[end].token_type.name
            depth += (kind == "L_PAREN") - (kind == "R_PAREN")
            if depth == 0:
                break
            end += 1
        call = text[token.start : tokens[min(end, len(tokens) - 1)].end + 1]
        tries.append((call, _columns_in(sqlglot.parse_one(call, dialect="spark"))))
        at = end + 1
    return tuple(tries)
