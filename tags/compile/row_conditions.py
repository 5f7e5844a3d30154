"""What decides the rows of a select beside its values: filters, keys of joins, groups and orders, as parsed expressions.

A filter says something of whom it keeps: ``where``, ``having``, ``qualify``, and what a join compares besides keys. A key only brings
rows together: two columns that a join sets equal, and what is grouped or told apart by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlglot.expressions.core import Expr


@dataclass(frozen=True)
class RowConditions:
    """The expressions of one select that decide its rows, and the relations (by alias) that its rows come from.

    ``presences`` are those of the filters that ask only whether there is a value.
    """

    filters: tuple[Expr, ...]
    presences: tuple[Expr, ...]
    keys: tuple[Expr, ...]
    relations: tuple[str, ...]


def row_conditions(
    select: Expr, answers: Iterable[Expr], inner: Mapping[str, Expr], *, are_counted: bool
) -> RowConditions:
    """Give what decides the rows of a select for some expressions that it selects; ``inner`` are the selects that it reads from, by alias.

    A left join of which nothing is taken decides nothing, unless rows ``are_counted`` and it may find several of one.
    """
    filters = [
        part
        for clause in ("where", "having", "qualify")
        if select.args.get(clause)
        for part in _parts_of_and(select.args[clause].this)
    ]
    keys = [*_groups(select), *(part for part in filters if _is_key(part))]
    filters = [part for part in filters if not _is_key(part)]
    filters += [lateral.this for lateral in select.args.get("laterals") or []]
    if select.args.get("limit") and select.args.get("order"):
        filters += select.args["order"].expressions
    aliases_read = {alias for part in (*answers, *filters, *keys) for alias in _aliases(part)}
    relations = [_alias(select.args["from_"].this)] if select.args.get("from_") else []
    # From the last join to the first one, since a join may find its rows by what an earlier one brought.
    for join in reversed(select.args.get("joins") or []):
        alias = _alias(join.this)
        parts = _parts_of_and(join.args.get("on"))
        adds_rows = are_counted and not _has_one_row(inner.get(alias), alias, parts)
        if _is_optional(join) and not adds_rows and alias not in aliases_read:
            continue
        relations.append(alias)
        for part in parts:
            (keys if _is_key(part) else filters).append(part)
            aliases_read |= _aliases(part)
    presences = [part for part in filters if _is_presence(part)]
    others = [part for part in filters if not _is_presence(part)]
    return RowConditions(tuple(others), tuple(presences), tuple(keys), tuple(relations))


def counts_rows(answers: Iterable[Expr]) -> bool:
    """Tell whether an expression answers otherwise where a row stands twice."""
    from sqlglot import exp

    unmoved = (
        exp.Max,
        exp.Min,
        exp.ArgMax,
        exp.ArgMin,
        exp.AnyValue,
        exp.LogicalAnd,
        exp.LogicalOr,
        exp.ArrayUniqueAgg,
    )
    functions = (part for answer in answers for part in answer.find_all(exp.AggFunc))
    return any(
        not isinstance(part, unmoved) and not isinstance(part.this, exp.Distinct) for part in functions
    )


def own_columns(part: Expr) -> Iterator[Any]:
    """Give the columns of an expression, without those of selects inside it."""
    from sqlglot import exp

    for node in part.walk(prune=lambda node: isinstance(node, exp.Query)):
        if isinstance(node, exp.Column):
            yield node


def parts_rows(column: Expr) -> bool:
    """Tell whether a column stands where a window says by what it parts rows."""
    from sqlglot import exp

    window = column.find_ancestor(exp.Window, exp.Query)
    if not isinstance(window, exp.Window):
        return False
    return any(column is node for part in window.args.get("partition_by") or [] for node in part.walk())


def inner_selects(part: Expr) -> Iterator[Any]:
    """Give the outermost selects inside an expression."""
    from sqlglot import exp

    for node in part.walk(prune=lambda node: isinstance(node, exp.Query)):
        if isinstance(node, exp.Query):
            yield node.unnest() if isinstance(node, exp.Subquery) else node


def _is_optional(join: Expr) -> bool:
    return str(join.args.get("side")).upper() == "LEFT" and not join.args.get("kind")


def _has_one_row(select: Expr | None, alias: str, parts: Iterable[Expr]) -> bool:
    """Tell whether a select has one row at most for what a join compares: it is grouped by that, or has distinct rows of it."""
    from sqlglot import exp

    groups = [] if select is None else _groups(select)
    names_compared = {
        column.name
        for part in parts
        if isinstance(part, exp.EQ)
        for column in (part.this, part.expression)
        if isinstance(column, exp.Column) and column.table == alias
    }
    answers = {answer.unalias(): answer.alias_or_name for answer in (select.expressions if select else [])}
    return bool(groups) and all(answers.get(group.unalias()) in names_compared for group in groups)


def _groups(select: Expr) -> list[Expr]:
    group = select.args.get("group")
    told_apart = list(select.expressions) if select.args.get("distinct") else []
    return [*(group.expressions if group else []), *told_apart]


def _parts_of_and(condition: Expr | None) -> list[Expr]:
    from sqlglot import exp

    if condition is None:
        return []
    parts = condition.flatten() if isinstance(condition, exp.And) else [condition]
    return [part.unnest() for part in parts]


def _is_key(part: Expr) -> bool:
    """Tell whether a condition asks only whether something of one relation is the same as something of another."""
    from sqlglot import exp

    if not isinstance(part, exp.EQ | exp.NEQ | exp.NullSafeEQ):
        return False
    sides = [_aliases(part.this), _aliases(part.expression)]
    return all(sides) and not sides[0] & sides[1]


def _is_presence(part: Expr) -> bool:
    """Tell whether a filter asks only whether a column has a value, or a text that is not empty."""
    from sqlglot import exp

    test = part.this.unnest() if isinstance(part, exp.Not) else part
    if isinstance(test, exp.Is) and isinstance(test.expression, exp.Null):
        side = test.this
    elif isinstance(test, exp.NEQ) and test.expression == exp.Literal.string(""):
        side = test.this.this if isinstance(test.this, exp.Trim) else test.this
    else:
        return False
    return isinstance(side, exp.Column | exp.Coalesce)


def _aliases(part: Expr) -> set[str]:
    from sqlglot import exp

    return {column.table for column in part.find_all(exp.Column)}


def _alias(relation: Expr) -> str:
    return str(relation.alias_or_name)
