"""Whether what a tag computes is of the type that it declares, and whether its conditions are conditions.

Only what is plain is refused. The type of a model's column is not written down: it is followed to the contracted columns
that it comes from, and where that is lost the column may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Literal

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types

from lakehouse.expressions.comparisons import mixed_comparison, unfit_comparison
from lakehouse.expressions.expression import syntax_tree
from lakehouse.expressions.tokens import short_text
from tags.compile.checks.origins import type_of
from tags.compile.entry_texts import Keys
from tags.compile.lineage import Lineage
from tags.compile.relations import TagSource
from vocabulary.registry import Entry, Registry

Kind = Literal["number", "text", "yes or no", "day", "instant", "list"]
# What each declared type may be computed from, and what to write to get there.
_ALLOWED: dict[str, tuple[Kind, ...]] = {
    "string": ("text",),
    "int": ("number",),
    "decimal": ("number",),
    "ratio": ("number",),
    "boolean": ("yes or no",),
    "date": ("day", "instant"),
}
_WORDS: dict[Kind, str] = {
    "number": "a number",
    "text": "a text",
    "yes or no": "a yes or no",
    "day": "a day",
    "instant": "an instant",
    "list": "a list",
}
_TYPES: dict[Kind, str] = {
    "number": "int, decimal or ratio", "text": "string", "yes or no": "boolean", "day": "date", "instant": "date",
}  # fmt: skip
_COUNTS = ("count", "count_distinct")
_OF_ROWS = ("first", "last", "min", "max", "mode", "set")
_KINDS: dict[str, Kind] = {
    "string": "text", "boolean": "yes or no", "date": "day", "timestamp": "instant", "int": "number", "bigint": "number",
    "smallint": "number", "tinyint": "number", "double": "number", "float": "number", "decimal": "number", "ratio": "number", "array": "list",
}  # fmt: skip
# What a column of each kind is read as, where the parser's own types are asked.
_SQL: dict[Kind, str] = {
    "number": "decimal(24,6)", "text": "string", "yes or no": "boolean", "day": "date", "instant": "timestamp",
}  # fmt: skip
KindOfName = Callable[[str], Kind | None]


def check_types(registry: Registry, entry: Entry, relation: TagSource | None, lineage: Lineage) -> None:
    """Refuse a measure or an expression whose answer is plainly of another type, and a condition that is none."""
    of_rows = _kinds_of_rows(registry, relation, lineage)
    of_tags = _kinds_of_tags(registry, entry)
    for keys, text, over_rows in _conditions(entry):
        kinds = _kinds(syntax_tree(text), entry, of_rows if over_rows else of_tags)
        _require_yes_or_no(registry, entry, text, kinds, keys)
    for keys, text, over_rows in (*_conditions(entry), *_answers(entry), *_measured_texts(entry)):
        _refuse_mixed_comparison(registry, entry, text, of_rows if over_rows else of_tags, keys)
    _check_measure(registry, entry)
    defaults: list[object] = [*entry.default] if isinstance(entry.default, list) else [entry.default]
    for value in defaults:
        kind_of_default = _kind_of_value(value)
        if kind_of_default is not None and kind_of_default not in _ALLOWED[entry.value.type]:
            raise registry.fault(
                entry.code,
                f"the default '{value}' is {_WORDS[kind_of_default]}, and the value is declared as {entry.value.type}; write {_article(entry.value.type)}",
                "default",
            )
    is_set = entry.value.cardinality == "set" and not _is_measured(entry, "set")
    for keys, text, over_rows in _answers(entry):
        for kind in _kinds(syntax_tree(text), entry, of_rows if over_rows else of_tags):
            if is_set and kind != "list":
                raise registry.fault(
                    entry.code,
                    f"'{short_text(text)}' is {_WORDS[kind]}, and the value is a set; write a list, such as array(x), or leave out 'cardinality'",
                    *keys,
                )
            if not is_set and kind == "list":
                raise registry.fault(
                    entry.code,
                    f"'{short_text(text)}' is a list, and the value is single; write `cardinality: set`",
                    *keys,
                )
            if not is_set and kind not in _ALLOWED[entry.value.type]:
                raise _other_type(registry, entry, f"'{short_text(text)}' is {_WORDS[kind]}", kind, keys)


def require_condition(registry: Registry, entry: Entry, tree: exp.Expression, text: str, keys: Keys) -> None:
    """Refuse an expression over tags that is plainly no yes or no."""
    _require_yes_or_no(registry, entry, text, _kinds(tree, entry, _kinds_of_tags(registry, entry)), keys)


def _require_yes_or_no(registry: Registry, entry: Entry, text: str, kinds: list[Kind], keys: Keys) -> None:
    for kind in kinds:
        if kind != "yes or no":
            raise registry.fault(
                entry.code,
                f"'{short_text(text)}' is {_WORDS[kind]} and no condition; compare it with something",
                *keys,
            )


def _refuse_mixed_comparison(
    registry: Registry, entry: Entry, text: str, kind_of: KindOfName, keys: Keys
) -> None:
    """Refuse a text that is compared with a number, a day or a yes or no: one engine reads it, the other stops at what it cannot read."""

    def sql_type(name: str) -> str | None:
        kind = kind_of(name)
        return None if kind is None else _SQL.get(kind)

    if (comparison := mixed_comparison(text, sql_type)) is not None:
        raise registry.fault(
            entry.code,
            f"'{short_text(comparison)}' compares a text with what is none; compare it with a text, or try_cast it first",
            *keys,
        )
    if (unfit := unfit_comparison(text, sql_type)) is not None:
        raise registry.fault(entry.code, f"'{short_text(unfit[0])}' compares {unfit[1]}", *keys)


def _check_measure(registry: Registry, entry: Entry) -> None:
    """Refuse a type that a measure cannot give, whatever it measures."""
    form = entry.compute.aggregate if entry.compute else None
    if form is None:
        return
    value, keys = entry.value, ("value",)
    if (form.measure == "set") != (value.cardinality == "set"):
        what = (
            "measure 'set' gives a set; write `cardinality: set`"
            if form.measure == "set"
            else f"measure '{form.measure}' gives one value and no set; take 'cardinality' out, or write `measure: set`"
        )
        raise registry.fault(entry.code, what, *keys)
    kind: Kind | None = (
        "yes or no"
        if form.at_least or form.measure == "any"
        else None
        if form.measure in _OF_ROWS
        else "number"
    )
    if kind is not None and kind not in _ALLOWED[value.type]:
        way = " with 'at_least'" if form.at_least else ""
        raise _other_type(registry, entry, f"measure '{form.measure}'{way} gives {_WORDS[kind]}", kind, keys)
    if form.measure in _COUNTS and not form.at_least and value.type != "int":
        raise registry.fault(
            entry.code, f"measure '{form.measure}' gives a whole number; write `type: int`", *keys
        )


def _other_type(registry: Registry, entry: Entry, what: str, kind: Kind, keys: Keys) -> Exception:
    own = entry.value.type
    return registry.fault(
        entry.code,
        f"{what}, and the value is declared as {own}; write `type: {_TYPES[kind]}`, or make {_article(own)} of it",
        *keys,
    )


def _article(name: str) -> str:
    return f"{'an' if name == 'int' else 'a'} {name}"


def _conditions(entry: Entry) -> Iterator[tuple[Keys, str, bool]]:
    """Give the texts that have to be a yes or no, each with its keys and whether it speaks about rows."""
    compute = entry.compute
    assert compute is not None
    form = compute.aggregate or compute.latest
    if form and form.where:
        yield ("compute", compute.kind, "where"), form.where, True
    if compute.aggregate and compute.aggregate.measure == "any" and compute.aggregate.of:
        yield ("compute", "aggregate", "of"), compute.aggregate.of, True
    for at, case in enumerate(compute.cases or []):
        if case.when is not None:
            yield ("compute", "cases", at), case.when, False
    for at, exception in enumerate(entry.null_when):
        yield ("null_when", at, "when"), exception.when, False
    for at, param in enumerate(entry.params):
        if param.cut_points is not None and param.cut_points.population:
            yield ("params", at, "cut_points", "population"), param.cut_points.population, False


def _answers(entry: Entry) -> Iterator[tuple[Keys, str, bool]]:
    """Give the texts whose value is that of the tag, each with its keys and whether it speaks about rows."""
    compute = entry.compute
    assert compute is not None
    form = compute.aggregate
    if form is not None:
        if form.measure in _OF_ROWS and form.of and not form.at_least:
            yield ("compute", "aggregate", "of"), form.of, True
        return
    reading = compute.latest or compute.column
    if reading is not None:
        yield ("compute", compute.kind, "of"), reading.of, True
    if compute.expression:
        yield ("compute", "expression"), compute.expression, False
    for at, case in enumerate(compute.cases or []):
        yield ("compute", "cases", at), str(case.then if case.otherwise is None else case.otherwise), False


def _measured_texts(entry: Entry) -> Iterator[tuple[Keys, str, bool]]:
    """Give what an aggregate measures where it is no answer of the tag itself."""
    form = entry.compute.aggregate if entry.compute else None
    if form is not None and form.of and (form.measure not in _OF_ROWS or form.at_least):
        yield ("compute", "aggregate", "of"), form.of, True


def _is_measured(entry: Entry, measure: str) -> bool:
    form = entry.compute.aggregate if entry.compute else None
    return form is not None and form.measure == measure


def _kinds_of_rows(registry: Registry, relation: TagSource | None, lineage: Lineage) -> KindOfName:
    def kind(name: str) -> Kind | None:
        if relation is None:
            return None
        if relation.bridge is not None:
            return _kind_of_tag(registry, name)
        return _KINDS.get((type_of(relation, name, lineage) or "").split("(")[0].split("<")[0])

    return kind


def _kinds_of_tags(registry: Registry, entry: Entry) -> KindOfName:
    return lambda name: _kind_of_tag(registry, name)


def _kind_of_tag(registry: Registry, name: str) -> Kind | None:
    if name not in registry.entries:
        return None
    value = registry[name].value
    return "list" if value.cardinality == "set" else _KINDS[value.type]


def _kinds(tree: exp.Expression | None, entry: Entry, kind_of: KindOfName) -> list[Kind]:
    """Give the kinds that the answer of an expression plainly has, of a choice those of its branches."""
    if tree is None:
        return []
    if isinstance(tree, exp.Paren):
        return _kinds(tree.this, entry, kind_of)
    if isinstance(tree, exp.Case):
        branches = [branch.args["true"] for branch in tree.args["ifs"]]
        return [k for b in (*branches, tree.args.get("default")) for k in _kinds(b, entry, kind_of)]
    if isinstance(tree, exp.If):
        return [k for b in (tree.args["true"], tree.args.get("false")) for k in _kinds(b, entry, kind_of)]
    if isinstance(tree, exp.Coalesce):
        return [k for b in (tree.this, *tree.expressions) for k in _kinds(b, entry, kind_of)]
    kind = _kind(tree, entry, kind_of)
    return [] if kind is None else [kind]


def _kind(tree: exp.Expression, entry: Entry, kind_of: KindOfName) -> Kind | None:
    if isinstance(tree, exp.Column):
        return kind_of(".".join(part.name for part in tree.parts))
    if isinstance(tree, exp.Placeholder):
        return _kind_of_param(entry, tree.name)
    if isinstance(tree, exp.Predicate | exp.Connector | exp.Not | exp.Boolean):
        return "yes or no"
    if isinstance(tree, exp.Literal):
        return "text" if tree.is_string else "number"

    def null_of_type(node: exp.Expression) -> exp.Expression:
        if not isinstance(node, exp.Column | exp.Placeholder):
            return node
        kind = _kind(node, entry, kind_of)
        return node if kind is None or kind == "list" else exp.cast(exp.null(), _SQL[kind], dialect="spark")

    try:
        kind = annotate_types(tree.copy().transform(null_of_type), dialect="spark").type
    except SqlglotError:
        return None
    if kind is None:
        return None
    if kind.this in exp.DataType.NUMERIC_TYPES:
        return "number"
    if kind.this in exp.DataType.TEXT_TYPES:
        return "text"
    of_type: dict[object, Kind] = {
        exp.DataType.Type.BOOLEAN: "yes or no", exp.DataType.Type.DATE: "day", exp.DataType.Type.ARRAY: "list",
        exp.DataType.Type.TIMESTAMP: "instant", exp.DataType.Type.TIMESTAMPTZ: "instant", exp.DataType.Type.TIMESTAMPLTZ: "instant",
    }  # fmt: skip
    return of_type.get(kind.this)


def _kind_of_param(entry: Entry, name: str) -> Kind | None:
    if name == "business_date":
        return "day"
    return _kind_of_value(next((param.value for param in entry.params if param.name == name), None))


def _kind_of_value(value: object) -> Kind | None:
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, int | Decimal):
        return "number"
    if isinstance(value, str):
        return "text"
    return None if value is None else "list" if isinstance(value, list) else "day"
