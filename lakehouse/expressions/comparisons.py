"""Comparisons of a text with what is no text: engines turn one into the other in ways of their own, or stop at a value they cannot turn."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from lakehouse.expressions.expression import syntax_tree


def mixed_comparison(text: str, type_of: Callable[[str], str | None]) -> str | None:
    """Give the first comparison of an expression in which a computed or delivered text meets a number, boolean or day; None without one.

    ``type_of`` gives the SQL type of a column, None of one whose type nobody knows: what is not known is not judged. A text that
    stands in the expression itself is read when the expression is checked, and is none of these.
    """
    names = _columns_of_comparisons(text)
    return None if names is None else _mixed(text, tuple((name, type_of(name)) for name in names))


@lru_cache(maxsize=4096)
def _columns_of_comparisons(text: str) -> tuple[str, ...] | None:
    """Give the columns of an expression, each once; None where it compares nothing."""
    from sqlglot import exp

    nodes = list(syntax_tree(text).walk())
    if not any(_sides(node) for node in nodes):
        return None
    return tuple(dict.fromkeys(_name(node) for node in nodes if isinstance(node, exp.Column)))


@lru_cache(maxsize=4096)
def _mixed(text: str, types: tuple[tuple[str, str | None], ...]) -> str | None:
    """Give the first mixed comparison; a workspace's tags are compiled again and again in one process, with the same texts."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.annotate_types import annotate_types

    type_of = dict(types)

    def typed(node: Any) -> Any:
        if not isinstance(node, exp.Column):
            return node
        kind = type_of[_name(node)]
        return node if kind is None else exp.cast(node.copy(), kind, dialect="spark")

    tree = syntax_tree(text).transform(typed)
    try:
        tree = annotate_types(tree, dialect="spark")
    except SqlglotError:
        return None
    for node in tree.walk():
        sides = _sides(node)
        groups = {group for side in sides if (group := _group(side)) is not None}
        has_text = any(_group(side) == "text" and not isinstance(side, exp.Literal) for side in sides)
        if has_text and len(groups) > 1:
            return str(node.transform(_without_types).sql("spark"))
    return None


def _name(column: Any) -> str:
    return ".".join(part.name for part in column.parts)


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
