"""The expressions of a registry entry, and the names that they read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from lakehouse.expressions.expression import syntax_tree
from lakehouse.expressions.tokens import ExpressionInvalid
from vocabulary.registry import CutPoints, Entry

if TYPE_CHECKING:
    from sqlglot import exp

Keys = tuple[str | int, ...]
THRESHOLDS = ("at_least", "rows_at_least", "base_at_least")
"""What a measure is held against: a value of the night, so that it reads no row."""


def texts_of(entry: Entry) -> Iterator[tuple[Keys, str, bool]]:
    """Give every expression of an entry with its keys and whether it speaks about rows (else about tags)."""
    compute = entry.compute
    assert compute is not None
    form = compute.aggregate or compute.latest or compute.column
    if form:
        for name in ("of", "where", "per", "of_weight", *THRESHOLDS):
            if text := getattr(form, name, None):
                yield ("compute", compute.kind, name), text, True
        for text in getattr(form, "order_by", None) or []:
            yield ("compute", compute.kind, "order_by"), text, True
    if compute.expression:
        yield ("compute", "expression"), compute.expression, False
    for at, case in enumerate(compute.cases or []):
        for text in (case.when, case.then, case.otherwise):
            if text is not None:
                yield ("compute", "cases", at), text, False
    for at, exception in enumerate(entry.null_when):
        yield ("null_when", at, "when"), exception.when, False


def populations_of(entry: Entry) -> Iterator[tuple[int, CutPoints]]:
    """Give the cut points among the parameters of an entry, each with its place."""
    for at, param in enumerate(entry.params):
        if param.cut_points is not None:
            yield at, param.cut_points


def population_inputs(entry: Entry) -> list[str]:
    """Give the codes of the tags that say whom a tag is counted over; none where its population is no expression."""
    try:
        tree = syntax_tree(entry.population) if entry.population is not None else None
    except ExpressionInvalid:
        return []
    names = names_in(tree) if tree is not None else []
    return [name for name in dict.fromkeys(names) if name not in entry.about.columns]


def names_in(tree: exp.Expression) -> list[str]:
    """Give the names of columns an expression reads, without the variables of lambdas."""
    from sqlglot import exp

    bound = {v.name for node in tree.find_all(exp.Lambda) for v in node.expressions}
    return [column.parts[0].name for column in tree.find_all(exp.Column) if column.parts[0].name not in bound]


def names_over_rows(entry: Entry) -> set[str]:
    """Give the columns of rows that an entry reads; ``ExpressionInvalid`` where a text is no expression."""
    return {name for _, text, is_over_rows in texts_of(entry) if is_over_rows for name in _names_of(text)}


@lru_cache(maxsize=4096)
def _names_of(text: str) -> tuple[str, ...]:
    return tuple(names_in(syntax_tree(text)))
