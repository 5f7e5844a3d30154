"""The normal form of what a tag asks: two entries of one normal form are one tag with two names.

It has no layout, no comments, no names of parameters, no order where order does not matter (`and`, `or`, `=`, `+`, `*`, `in`)
and one direction of `<`. What a comparison of trees cannot see, as that two models hold the same, is seen by the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from lakehouse.expressions.expression import syntax_tree
from lakehouse.expressions.tokens import ExpressionInvalid
from vocabulary.registry import Entry

# Keys of ``compute`` whose texts are names; any other text is an expression.
_NAMES = frozenset({"from", "measure", "via", "trend_of", "name", "version", "reason"})
_FREE_ORDER = (exp.EQ, exp.NEQ, exp.NullSafeEQ)
_CHAINS = (exp.And, exp.Or, exp.Add, exp.Mul)
_TURNED: dict[type[exp.Expression], str] = {exp.GT: "LT", exp.GTE: "LTE"}


def question_of(entry: Entry) -> str:
    """Give the normal form of a computed entry: how it is computed, which nulls it has, and the type of its values."""
    assert entry.compute is not None
    series: dict[str, list[tuple[str, str]]] = {}
    for param in entry.params:
        series.setdefault(param.name, []).append((str(param.since), f"{param.value} {param.cut_points}"))
    values = {name: repr(sorted(one)) for name, one in series.items()}
    compute = entry.compute.model_dump(by_alias=True, exclude_defaults=True)
    nulls = [one.model_dump() for one in entry.null_when]
    parts = (normal_tree(compute, values), normal_tree(nulls, values), entry.null_rule, entry.default)
    return repr((*parts, entry.value.spark_type, entry.value.rounded_type, entry.entity))


def normal_tree(tree: Any, values: Mapping[str, str] | None = None, key: str = "") -> Any:
    """Give a part of an entry with every expression in its normal form; ``values`` stand for parameters of their names."""
    if isinstance(tree, dict):
        return {name: normal_tree(one, values, name) for name, one in sorted(tree.items())}
    if isinstance(tree, list):
        return [normal_tree(one, values, key) for one in tree]
    return normal_form(tree, values) if isinstance(tree, str) and key not in _NAMES else tree


def normal_form(expression: str, values: Mapping[str, str] | None = None) -> Any:
    """Give the normal form of an expression; of a text that is none, the text itself."""
    try:
        return _form(syntax_tree(expression), values or {})
    except ExpressionInvalid:
        return expression


def _form(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return tuple(_form(one, values) for one in node)
    if not isinstance(node, exp.Expression):
        return node.casefold() if isinstance(node, str) else node
    if isinstance(node, exp.Paren):
        return _form(node.this, values)
    if isinstance(node, exp.Placeholder):
        return ("parameter", values.get(node.name, node.name))
    if isinstance(node, exp.Literal):
        return ("literal", node.is_string, node.name)
    if isinstance(node, _CHAINS):
        parts = {repr(one): one for one in (_form(one, values) for one in _chain(node))}
        forms = [_form(one, values) for one in _chain(node)]
        # A condition that is said twice is said once; a number that is added twice is not.
        in_order = sorted(parts) if isinstance(node, exp.And | exp.Or) else sorted(map(repr, forms))
        return (type(node).__name__, *in_order) if len(in_order) > 1 else parts[in_order[0]]
    if isinstance(node, _FREE_ORDER):
        return (
            type(node).__name__,
            *sorted(repr(_form(one, values)) for one in (node.this, node.expression)),
        )
    if type(node) in _TURNED:
        return (_TURNED[type(node)], _form(node.expression, values), _form(node.this, values))
    if isinstance(node, exp.LT | exp.LTE):
        return (type(node).__name__, _form(node.this, values), _form(node.expression, values))
    if isinstance(node, exp.In):
        members = sorted({repr(_form(one, values)) for one in node.expressions})
        return ("In", _form(node.this, values), *members)
    arguments = ((name, one) for name, one in sorted(node.args.items()) if one not in (None, [], False))
    return (type(node).__name__, *((name, _form(one, values)) for name, one in arguments))


def _chain(node: exp.Expression) -> list[exp.Expression]:
    """Give the parts of a chain of one operator, brackets or not."""
    parts = []
    for one in (node.this, node.expression):
        inner = one
        while isinstance(inner, exp.Paren):
            inner = inner.this
        parts += _chain(inner) if type(inner) is type(node) else [one]
    return parts
