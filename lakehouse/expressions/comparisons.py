"""Comparisons of a text with what is no text: engines turn one into the other in ways of their own, or stop at a value they cannot turn."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any

from lakehouse.expressions.expression import syntax_tree


def mixed_comparison(text: str, type_of: Callable[[str], str | None]) -> str | None:
    """Give the first comparison of an expression in which a computed or delivered text meets a number, boolean or day; None without one.

    ``type_of`` gives the SQL type of a column, None of one whose type nobody knows: what is not known is not judged. A text that
    stands in the expression itself is none of these: ``unfit_comparison`` reads it.
    """
    from sqlglot import exp

    for node, sides in _comparisons(text, type_of):
        groups = {group for side in sides if (group := _group(side)) is not None}
        has_text = any(_group(side) == "text" and not isinstance(side, exp.Literal) for side in sides)
        if has_text and len(groups) > 1:
            return str(node.transform(_without_types).sql("spark"))
    return None


def unfit_comparison(text: str, type_of: Callable[[str], str | None]) -> tuple[str, str] | None:
    """Give the first comparison whose sides can never be compared, and why; None without one.

    A text of the expression that meets a number, day or boolean has to say one, and a day meets no number: where it does, one
    engine answers null and the other stops.
    """
    from sqlglot import exp

    for node, sides in _comparisons(text, type_of):
        literals = [side for side in sides if isinstance(side, exp.Literal) and side.is_string]
        groups = {group for side in sides if side not in literals and (group := _group(side)) in _SAYS}
        why = next(
            (
                f"a {group} with a text that says none"
                for group in sorted(groups)
                for side in literals
                if not _SAYS[group](side.name.strip())
            ),
            None,
        )
        if why is None and groups >= {"day", "number"} and any(_is_plain_day(side) for side in sides):
            why = "a day with a number"
        if why is not None:
            return str(node.transform(_without_types).sql("spark")), why
    return None


def _comparisons(text: str, type_of: Callable[[str], str | None]) -> tuple[tuple[Any, list[Any]], ...]:
    """Give every comparison of an expression whose types can be told, with its sides."""
    names = _columns_of_comparisons(text)
    return () if names is None else _typed_comparisons(text, tuple((name, type_of(name)) for name in names))


@lru_cache(maxsize=4096)
def _columns_of_comparisons(text: str) -> tuple[str, ...] | None:
    """Give the columns of an expression, each once; None where it compares nothing."""
    from sqlglot import exp

    nodes = list(syntax_tree(text).walk())
    if not any(_sides(node) for node in nodes):
        return None
    return tuple(dict.fromkeys(_name(node) for node in nodes if isinstance(node, exp.Column)))


@lru_cache(maxsize=4096)
def _typed_comparisons(
    text: str, types: tuple[tuple[str, str | None], ...]
) -> tuple[tuple[Any, list[Any]], ...]:
    """Give the comparisons, kept: a process compiles a workspace's tags again and again, with the same texts."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.annotate_types import annotate_types

    type_of = dict(types)

    def typed(node: Any) -> Any:
        if not isinstance(node, exp.Column):
            return node
        kind = type_of[_name(node)]
        return node if kind is None else exp.cast(node.copy(), kind, dialect="spark")

    try:
        tree = annotate_types(syntax_tree(text).transform(typed), dialect="spark")
    except SqlglotError:
        return ()
    return tuple((node, sides) for node in tree.walk() if (sides := _sides(node)))


def _name(column: Any) -> str:
    return ".".join(part.name for part in column.parts)


def _says_a_day(text: str) -> bool:
    """Tell whether both engines read a text as a day or instant: month and day may have one digit, and none goes without signs."""
    match = _DAY.fullmatch(text)
    if match is None:
        return False
    try:
        date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return False
    return True


def _is_plain_day(node: Any) -> bool:
    """Tell whether a value is a day beyond doubt; what is reckoned with days may be a number of them."""
    from sqlglot import exp

    return _group(node) == "day" and isinstance(node, (exp.Cast, exp.TsOrDsToDate, exp.DateAdd))


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_DAY = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T]\d{1,2}:\d{1,2}(?::\d{1,2}(?:\.\d+)?)?(?:Z|[+-]\d{2}(?::\d{2})?)?)?"
)
_TRUTHS = frozenset(["t", "true", "y", "yes", "1", "f", "false", "n", "no", "0"])
# Whether a text says a value of a group.
_SAYS: dict[str, Callable[[str], bool]] = {
    "number": lambda text: _NUMBER.fullmatch(text) is not None,
    "day": _says_a_day,
    "boolean": lambda text: text.lower() in _TRUTHS,
}


def _sides(node: Any) -> list[Any]:
    """Give what a node compares with one another; nothing where it compares nothing."""
    from sqlglot import exp

    values: list[Any] = []
    if isinstance(node, (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)):
        values = [node.this, node.expression]
    elif isinstance(node, exp.Between):
        values = [node.this, node.args["low"], node.args["high"]]
    elif isinstance(node, exp.In):
        values = [node.this, *node.expressions]
    elif isinstance(node, exp.Case) and node.this is not None:
        values = [node.this, *(branch.this for branch in node.args["ifs"])]
    return [side.unnest() for side in values]


def _group(node: Any) -> str | None:
    """Give what a value is: text, or something that is compared in another way; None where nobody knows."""
    from sqlglot import exp

    kind = node.type.this if node.type is not None else None
    if kind in exp.DataType.TEXT_TYPES:
        return "text"
    if kind in exp.DataType.NUMERIC_TYPES:
        return "number"
    if kind in exp.DataType.TEMPORAL_TYPES:
        return "day"
    return "boolean" if kind == exp.DataType.Type.BOOLEAN else None


def _without_types(node: Any) -> Any:
    """Give a column as it was written, without the type that it was given here."""
    from sqlglot import exp

    is_typed = isinstance(node, exp.Cast) and isinstance(node.this, exp.Column) and not node.args.get("safe")
    return node.this if is_typed else node
