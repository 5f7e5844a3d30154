"""The leaf for what no other says: one expression over the tags of one person, in the closed language, with known types.

Of the language (``lakehouse.expressions``) it takes the words that Spark and DuckDB answer alike for every value: what
divides, casts or cuts texts is not among them. A comparison with null is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from lakehouse.expressions.expression import parse_expression, syntax_tree
from lakehouse.expressions.tokens import ExpressionInvalid
from lakehouse.query.words import spark_literal
from lakehouse.settings.yaml_files import line_of
from segments.language.complaints import Complaints
from segments.language.conditions import Leaf
from vocabulary.tag_facts import TagFacts, ValueType

BUSINESS_DATE = ":business_date"


@dataclass(frozen=True)
class ExpressionLeaf(Leaf):
    """A condition written as an expression; the columns are tags."""

    text: str

    def normal(self) -> dict[str, Any]:
        """Give the text."""
        return {"expr": self.text}

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags it reads."""
        return parse_expression(self.text).columns

    def sql(self, business_date: date, alias: str) -> str:
        """Give it as Spark SQL over the tags of ``alias``."""
        import sqlglot
        from sqlglot import exp

        tree = syntax_tree(self.text).copy()
        for column in list(tree.find_all(exp.Column)):
            column.replace(exp.column(exp.to_identifier(column.name, quoted=True), table=alias))
        for parameter in list(tree.find_all(exp.Placeholder)):
            parameter.replace(sqlglot.parse_one(spark_literal(business_date), read="spark"))
        return str(tree.sql(dialect="spark"))


def read_expression(tree: Any, line: int | None, file: Complaints) -> ExpressionLeaf:
    """Read ``{expr: text}``."""
    file.only(tree, ("expr", "include_unknown"))
    text, place = tree["expr"], line_of(tree, "expr")
    if not isinstance(text, str):
        raise file.fault(
            "'expr' takes an expression over tags, like aum_eod > 2 * aum_avg_month_to_date", place
        )
    try:
        expression = parse_expression(text.strip())
    except ExpressionInvalid as wrong:
        raise file.fault(f"E03 the expression {wrong}", place) from None
    if not expression.columns:
        raise file.fault("E14 the expression reads no tag, so it says the same of everybody", place)
    if set(expression.parameters) - {BUSINESS_DATE[1:]}:
        raise file.fault(f"the only parameter of an expression is {BUSINESS_DATE}", place)
    return ExpressionLeaf(text.strip(), line=line, include_unknown=file.include_unknown(tree))


def type_faults(leaf: ExpressionLeaf, facts: Mapping[str, TagFacts]) -> str | None:
    """Say why the types of an expression do not fit together; None where they do, or where a tag is not known."""
    if any(tag not in facts for tag in leaf.tags):
        return None
    try:
        kind = _Types(facts).of(syntax_tree(leaf.text))
    except _Unfit as unfit:
        return str(unfit)
    return None if kind == "boolean" else f"an expression is a condition, and this one is a {kind}"


class _Unfit(Exception):
    """Types that do not fit."""


class _Types:
    """Gives the type of every node, or says what does not fit."""

    def __init__(self, facts: Mapping[str, TagFacts]) -> None:
        self.facts = facts
        self._functions: dict[str, tuple[tuple[ValueType, ...], ValueType]] = {
            "Abs": (("number",), "number"),
            "Floor": (("number",), "number"),
            "Ceil": (("number",), "number"),
            "Year": (("date",), "number"),
            "Month": (("date",), "number"),
            "Day": (("date",), "number"),
            "DayOfMonth": (("date",), "number"),
            "LastDay": (("date",), "date"),
            "DateDiff": (("date", "date"), "number"),
            "ArraySize": (("set",), "number"),
            "ArrayContains": (("set", "category"), "boolean"),
        }

    def of(self, node: Any) -> ValueType | None:
        """Give the type of a node, None for null."""
        kinds: dict[str, Callable[[Any], ValueType | None]] = {
            "Paren": lambda n: self.of(n.this),
            "TsOrDsToDate": lambda n: self.of(n.this),
            "Column": lambda n: self.facts[n.name].value_type,
            "Literal": self._literal,
            "Boolean": lambda n: "boolean",
            "Null": lambda n: None,
            "Placeholder": lambda n: "date",
            "Cast": self._cast,
            "And": self._logic,
            "Or": self._logic,
            "Not": lambda n: self._all([n.this], "boolean", "NOT"),
            "Is": self._is,
            "In": self._in,
            "Between": lambda n: self._comparison([n.this, n.args["low"], n.args["high"]], is_ordered=True),
            "Neg": lambda n: self._all([n.this], "number", "-"),
            "Add": self._sum,
            "Sub": self._sum,
            "Mul": self._product,
            "Coalesce": lambda n: self._same([n.this, *n.expressions], "coalesce"),
            "If": lambda n: self._case([n], n.args.get("false")),
            "Case": lambda n: self._case(n.args["ifs"], n.args.get("default")) if not n.this else self._refuse(n),
            "TsOrDsAdd": self._day_shift,
            "AddMonths": lambda n: self._shift([n.this, n.expression]),
        }  # fmt: skip
        name = type(node).__name__
        if name in ("EQ", "NEQ", "NullSafeEQ", "NullSafeNEQ"):
            return self._comparison([node.this, node.expression], is_ordered=False)
        if name in ("GT", "GTE", "LT", "LTE"):
            return self._comparison([node.this, node.expression], is_ordered=True)
        if name in self._functions:
            return self._function(node, *self._functions[name])
        if name not in kinds:
            return self._refuse(node)
        return kinds[name](node)

    def _refuse(self, node: Any) -> ValueType:
        word = node.sql(dialect="spark").split("(")[0][:40] if hasattr(node, "sql") else type(node).__name__
        raise _Unfit(
            f"'{word}' is not for segments: two engines would not answer it alike; make it a tag instead"
        )

    def _literal(self, node: Any) -> ValueType:
        if node.is_string:
            return "category"
        if not str(node.this).replace(".", "", 1).isdigit():
            raise _Unfit(f"'{node.this}' is no plain number")
        return "number"

    def _cast(self, node: Any) -> ValueType:
        is_day = node.to.sql(dialect="spark") == "DATE" and getattr(node.this, "is_string", False)
        if not is_day:
            return self._refuse(node)
        try:
            date.fromisoformat(str(node.this.this))
        except ValueError:
            raise _Unfit(f"'{node.this.this}' is no day; write one like date '2026-12-31'") from None
        return "date"

    def _all(self, nodes: list[Any], kind: ValueType, word: str) -> ValueType:
        for node in nodes:
            own = self.of(node)
            if own not in (kind, None):
                raise _Unfit(f"{word} takes a {kind}, and '{node.sql(dialect='spark')}' is a {own}")
        return kind

    def _logic(self, node: Any) -> ValueType:
        return self._all([node.this, node.expression], "boolean", type(node).__name__.upper())

    def _same(self, nodes: list[Any], word: str) -> ValueType | None:
        kinds = {kind for kind in map(self.of, nodes) if kind is not None}
        if len(kinds) > 1:
            raise _Unfit(f"{word} meets a {' and a '.join(sorted(kinds))}")
        return next(iter(kinds), None)

    def _comparison(self, nodes: list[Any], *, is_ordered: bool) -> ValueType:
        kind = self._same(nodes, "a comparison")
        if kind == "set" or (is_ordered and kind in ("category", "boolean")):
            raise _Unfit(f"a {kind} is not compared {'by order' if is_ordered else 'whole'}")
        return "boolean"

    def _is(self, node: Any) -> ValueType:
        self.of(node.this)
        name = type(node.expression).__name__
        return "boolean" if name in ("Null", "Boolean") else self._refuse(node)

    def _in(self, node: Any) -> ValueType:
        if node.args.get("query") or not node.expressions:
            return self._refuse(node)
        return self._comparison([node.this, *node.expressions], is_ordered=False)

    def _sum(self, node: Any) -> ValueType:
        return self._all([node.this, node.expression], "number", "+ and -")

    def _product(self, node: Any) -> ValueType:
        self._all([node.this, node.expression], "number", "*")
        if not any(type(side).__name__ == "Literal" for side in (node.this, node.expression)):
            raise _Unfit("* takes one number as written; a product of two tags is a tag")
        return "number"

    def _case(self, branches: list[Any], default: Any) -> ValueType | None:
        self._all([branch.this for branch in branches], "boolean", "CASE WHEN")
        values = [branch.args["true"] for branch in branches]
        return self._same([*values, *([default] if default is not None else [])], "CASE")

    def _day_shift(self, node: Any) -> ValueType:
        if str(node.args.get("unit") or "DAY").upper() != "DAY":
            return self._refuse(node)
        return self._shift([node.this, node.expression])

    def _shift(self, sides: list[Any]) -> ValueType:
        self._all(sides[:1], "date", "moving a day")
        return self._all(sides[1:], "number", "moving a day") and "date"

    def _function(self, node: Any, parameters: tuple[ValueType, ...], result: ValueType) -> ValueType:
        sides = [side for side in (node.args.get("this"), node.args.get("expression")) if side is not None]
        unit = node.args.get("unit")
        if len(sides) != len(parameters) or (unit is not None and str(unit).upper() != "DAY"):
            return self._refuse(node)
        for side, kind in zip(sides, parameters, strict=True):
            self._all([side], kind, type(node).__name__.lower())
        return result
