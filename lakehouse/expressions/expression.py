"""An expression of the language: admitted word by word, parsed once, with what it reads.

Two gates stand one behind the other. The tokens decide which words and signs may be written; the tree that sqlglot makes
of them decides which kinds of nodes may come of it. A text passes when both admit it, so neither a word that a parser
reads in its own way nor a construct of plain words runs unseen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

from lakehouse.expressions.clocks import refuse_clocks, refuse_joined_constants
from lakehouse.expressions.duckdb import refuse_wrong_patterns
from lakehouse.expressions.tokens import ExpressionInvalid, Token, tokens_of
from lakehouse.expressions.words import (
    DEEPEST,
    FUNCTIONS,
    INSTEAD,
    KEYWORDS,
    LENGTHENING,
    LONGEST_PAD,
    PATTERN_WORDS,
    RESERVED,
    TYPES,
    WANTING,
    word_set,
)

# Kinds of nodes besides functions: names of sqlglot's classes.
_NODES = word_set(
    "Column Identifier Literal Null Boolean Paren Placeholder Parameter EQ NEQ LT LTE GT GTE NullSafeEQ",
    "NullSafeNEQ And Or Not Is In Between Like ILike RegexpLike Escape Add Sub Mul Div Mod Neg DPipe Case",
    "If Cast TryCast DataType DataTypeParam Bracket Lambda Var Distinct Array FromTimeZone AtTimeZone",
    "JSONPath JSONPathRoot JSONPathKey JSONPathSubscript",
)
_SIZED_TYPES = ("decimal", "numeric")
_BEFORE_PARENTHESIS = KEYWORDS | set(_SIZED_TYPES)
_NO_SIDE = frozenset({")", "]", ","})


# What the parser raises besides its own errors where a call lacks what it looks for.
_PARSER_FAULTS = (ValueError, TypeError, AttributeError, LookupError, AssertionError, RecursionError)


@dataclass(frozen=True)
class Expression:
    """What a text reads: columns, ``:parameters``, and its ``try_…`` calls as (text, columns).

    ``results`` are the texts it gives where it gives one that it names. ``decimal_casts`` are texts that are read as a decimal, with its number of decimals; ``is_computed`` says that it reckons.
    """

    text: str
    columns: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    tries: tuple[tuple[str, tuple[str, ...]], ...] = ()
    results: tuple[str, ...] = ()
    decimal_casts: tuple[tuple[str, int], ...] = ()
    is_computed: bool = False

    @property
    def is_constant(self) -> bool:
        """Whether it reads nothing of the row."""
        return not self.columns


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> Expression:
    """Give what ``text`` reads; ``ExpressionInvalid`` when it is no expression of the language over one row."""
    tokens = tokens_of(text)
    _refuse_words(tokens)
    tree = _tree(text)
    _refuse_nodes(tree)
    _refuse_unread_words(tokens, tree)
    columns = _columns_in(tree)
    refuse_clocks(tokens, columns)
    refuse_joined_constants(tree)
    if any(token.text.lower() in PATTERN_WORDS for token in tokens):
        refuse_wrong_patterns(text)
    return Expression(
        text,
        columns,
        _parameters_in(tokens),
        _tries_in(text, tokens),
        tuple(dict.fromkeys(_results_in(tree))),
        tuple(_decimal_casts(text, tokens)),
        _is_computed(tree),
    )


def syntax_tree(text: str) -> Any:
    """Give sqlglot's tree of an expression of the language."""
    parse_expression(text)
    return _tree(text)


def unknown_column(expression: Expression, names: Collection[str]) -> str | None:
    """Give the first column the expression reads that is not known (Spark does not mind the case of letters)."""
    lowered = _lowered(tuple(names))
    return next((name for name in expression.columns if name.lower() not in lowered), None)


@lru_cache(maxsize=16)
def _lowered(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _refuse_words(tokens: tuple[Token, ...]) -> None:
    depth = 0
    for token, after in pairwise([*tokens, None]):
        assert token is not None
        is_called = after is not None and after.text == "("
        depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
        if depth > DEEPEST:
            raise ExpressionInvalid(f"is nested deeper than {DEEPEST}")
        if is_called and token.kind == "quoted":
            raise ExpressionInvalid(f"calls {token.text}, a name in backticks")
        if is_called and token.kind == "word" and token.text.lower() not in FUNCTIONS | _BEFORE_PARENTHESIS:
            raise ExpressionInvalid(_refusal(token.text.lower()))
    _refuse_names_given(tokens)
    _refuse_loose_ends(tokens)
    _refuse_long_pads(tokens)
    _refuse_odd_buckets(tokens)


def _refuse_names_given(tokens: tuple[Token, ...]) -> None:
    """Let ``as`` stand in casts alone; elsewhere it gives a name, which one parser may drop and another keep."""
    callers: list[str] = []
    for at, token in enumerate(tokens):
        before = tokens[at - 1] if at else None
        word_before = before.text.lower() if before is not None and before.kind == "word" else ""
        if token.text == "(":
            if word_before in _SIZED_TYPES and (at < 2 or tokens[at - 2].text.lower() != "as"):
                raise ExpressionInvalid(_refusal(word_before))
            callers.append(word_before)
        elif token.text == ")" and callers:
            callers.pop()
        elif (
            token.kind == "word"
            and token.text.lower() == "as"
            and callers[-1:] not in (["cast"], ["try_cast"])
        ):
            raise ExpressionInvalid("gives a name by 'as', which an expression does not have")


def _refuse_loose_ends(tokens: tuple[Token, ...]) -> None:
    """Let no keyword stand where its right side is missing: one parser may drop it and another take it for a name."""
    for token, after in pairwise([*tokens, None]):
        assert token is not None
        word = token.text.lower()
        if token.kind != "word" or word not in WANTING:
            continue
        words = WANTING[word]
        has_side = after is not None and after.text not in _NO_SIDE
        if not has_side or (words and after is not None and after.text.lower() not in words):
            raise ExpressionInvalid(f"has '{word}' with nothing behind it that it can be said of")


def _refuse_odd_buckets(tokens: tuple[Token, ...]) -> None:
    """Let the bucket of this product have its two arguments, which Spark cannot count."""
    for at, token in enumerate(tokens[:-1]):
        if token.kind == "word" and token.text.lower() == "bucket" and tokens[at + 1].text == "(":
            arguments = _arguments(tokens, at + 1)
            if token.text != "bucket" or len(arguments) != 2 or not all(arguments):
                raise ExpressionInvalid("uses bucket() otherwise than as bucket(salt, person)")


def _refusal(name: str) -> str:
    instead = INSTEAD.get(name)
    hint = f": {instead}" if instead else _nearest(name, FUNCTIONS)
    return f"uses {name}(), which the language does not have{hint}"


def _nearest(name: str, words: Collection[str]) -> str:
    """Give the nearest word of a list that is too long to be shown, always one."""
    nearest = get_close_matches(name, sorted(words), 1, cutoff=0.0)[0]
    return f"; the nearest word it has is {nearest}"


def _refuse_long_pads(tokens: tuple[Token, ...]) -> None:
    """Let a text be padded to a plain number of characters only."""
    for at, token in enumerate(tokens):
        if token.text.lower() not in LENGTHENING or token.kind != "word" or tokens[at + 1 : at + 2] == ():
            continue
        parts = _arguments(tokens, at + 1)
        length = parts[1] if len(parts) > 1 else ()
        plain = len(length) == 1 and length[0].kind == "number" and length[0].text.isdigit()
        if not plain or int(length[0].text) > LONGEST_PAD:
            raise ExpressionInvalid(
                f"uses {token.text}() with another length than a number up to {LONGEST_PAD}"
            )


def _arguments(tokens: tuple[Token, ...], opening: int) -> list[tuple[Token, ...]]:
    """Give the tokens of every argument of a call whose parenthesis opens at ``opening``."""
    depth = 0
    parts: list[tuple[Token, ...]] = []
    part: list[Token] = []
    for token in tokens[opening:]:
        depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
        if depth == 0:
            break
        if token.text == "," and depth == 1:
            parts.append(tuple(part))
            part = []
        elif not (token.text == "(" and depth == 1 and not part and not parts):
            part.append(token)
    return [*parts, tuple(part)]


@cache
def _sqlglot() -> Any:
    import logging

    import sqlglot

    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    return sqlglot


@lru_cache(maxsize=4096)
def _tree(text: str) -> Any:
    sqlglot = _sqlglot()
    try:
        trees = sqlglot.parse(text, dialect="spark")
    except sqlglot.errors.SqlglotError as wrong:
        details = getattr(wrong, "errors", None) or [{"description": "cannot be read", "col": None}]
        description = str(details[0].get("description") or "cannot be read").split(" for <")[0].rstrip(".")
        at = details[0].get("col")
        raise ExpressionInvalid(
            f"is not Spark SQL ({description}{f', at character {at}' if at else ''})"
        ) from None
    except _PARSER_FAULTS as wrong:
        raise ExpressionInvalid(f"cannot be read ({type(wrong).__name__} of the parser)") from None
    if len(trees) != 1 or trees[0] is None:
        raise ExpressionInvalid("must be one expression")
    return trees[0]


def _refuse_nodes(tree: Any) -> None:
    exp = _sqlglot().exp
    if isinstance(tree, (exp.Alias, exp.Aliases)):
        raise ExpressionInvalid("has words after its end; is an operator or a quote missing?")
    for node in tree.walk():
        if isinstance(node, (exp.Query, exp.Subquery, exp.Table, exp.Command)):
            raise ExpressionInvalid("must be an expression over one row, without a query inside")
        if isinstance(node, exp.Window):
            raise ExpressionInvalid("uses a window, which needs more than one row")
        if isinstance(node, exp.AggFunc):
            raise ExpressionInvalid(f"uses {node.sql_name().lower()}(), which needs more than one row")
        if isinstance(node, exp.DataType):
            _refuse_type(node)
        elif not isinstance(node, exp.Func) and type(node).__name__ not in _NODES:
            raise ExpressionInvalid(f"has a {type(node).__name__}, which the language does not have")


def _refuse_type(node: Any) -> None:
    word = node.sql(dialect="spark").lower().split("(")[0].split("<")[0]
    if word not in TYPES:
        hint = f": {INSTEAD[word]}" if word in INSTEAD else _nearest(word, TYPES)
        raise ExpressionInvalid(f"uses the type {word}, which the language does not have{hint}")


def _refuse_unread_words(tokens: tuple[Token, ...], tree: Any) -> None:
    """Refuse a word that is no keyword and that the tree does not hold as a name: a function without parentheses, a unit."""
    exp = _sqlglot().exp
    names = {node.name.lower() for node in tree.find_all(exp.Identifier)}
    for token, after in pairwise([*tokens, None]):
        assert token is not None
        word = token.text.lower()
        if token.kind != "word" or (after is not None and after.text == "("):
            continue
        begins_literal = word in ("date", "timestamp") and after is not None and after.kind == "text"
        is_name = word in names and word not in RESERVED
        if word in KEYWORDS or is_name or word in TYPES or begins_literal or _is_unit(word, tree):
            continue
        raise ExpressionInvalid(_refusal(word).replace("()", ""))
    parameters = sum(token.kind == "parameter" for token in tokens)
    if parameters != sum(1 for _ in tree.find_all(exp.Placeholder)):
        raise ExpressionInvalid("has a ':' that begins no parameter")


def _is_unit(word: str, tree: Any) -> bool:
    """Tell whether a word is the unit of a call such as ``dateadd(day, 1, d)``."""
    exp = _sqlglot().exp
    return any(node.name.lower() == word for node in tree.find_all(exp.Var))


def _parameters_in(tokens: tuple[Token, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token.text[1:] for token in tokens if token.kind == "parameter"))


def _columns_in(tree: Any) -> tuple[str, ...]:
    exp = _sqlglot().exp
    columns: dict[str, None] = {}
    for column in tree.find_all(exp.Column):
        if not _is_lambda_parameter(column, column.parts[0].name):
            columns[".".join(part.name for part in column.parts)] = None
    return tuple(columns)


def _is_lambda_parameter(column: Any, name: str) -> bool:
    exp = _sqlglot().exp
    scope = column.find_ancestor(exp.Lambda)
    while scope is not None:
        if any(parameter.name == name for parameter in scope.expressions):
            return True
        scope = scope.find_ancestor(exp.Lambda)
    return False


def _tries_in(text: str, tokens: tuple[Token, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Give the outermost ``try_…(…)`` calls verbatim, each with the columns it reads."""
    return tuple((call, _columns_in(_tree(call))) for call in _try_calls(text, tokens))


def _results_in(tree: Any) -> Iterator[str]:
    """Give the texts that an expression gives as they stand in it: by itself, or as a branch."""
    exp = _sqlglot().exp
    if isinstance(tree, exp.Literal) and tree.is_string:
        yield str(tree.this)
        return
    branches = [tree.args.get("this")] if isinstance(tree, exp.Paren) else []
    if isinstance(tree, exp.Case):
        branches = [*(branch.args.get("true") for branch in tree.args["ifs"]), tree.args.get("default")]
    elif isinstance(tree, exp.If):
        branches = [tree.args.get("true"), tree.args.get("false")]
    elif isinstance(tree, exp.Coalesce):
        branches = [tree.this, *tree.expressions]
    for branch in branches:
        if branch is not None:
            yield from _results_in(branch)


def _is_computed(tree: Any) -> bool:
    """Tell whether a value is reckoned rather than read: what is reckoned is rounded as its author says."""
    exp = _sqlglot().exp
    kinds = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Round, exp.Ceil, exp.Floor, exp.Pow)
    return tree.find(*kinds) is not None


def _decimal_casts(text: str, tokens: tuple[Token, ...]) -> Iterator[tuple[str, int]]:
    """Give, of every cast of a text to a decimal, what is cast and the number of decimals."""
    for at, token in enumerate(tokens[:-1]):
        if token.text.lower() not in ("cast", "try_cast") or tokens[at + 1].text != "(":
            continue
        inner = [part for argument in _arguments(tokens, at + 1) for part in argument]
        words = [part.text.lower() for part in inner]
        if "as" not in words:
            continue
        place = len(words) - 1 - words[::-1].index("as")
        kind = "".join(words[place + 1 :])
        match = re.fullmatch(r"(?:decimal|numeric)(?:\(\d+(?:,(\d+))?\))?", kind)
        argument = text[inner[0].start : inner[place - 1].end] if match and place else ""
        tree = _tree(argument) if argument else None
        if match is None or tree is None or _is_computed(tree) or _is_cast(tree):
            continue
        yield argument, int(match[1] or 0)


def _is_cast(tree: Any) -> bool:
    exp = _sqlglot().exp
    return tree.find(exp.Cast, exp.TryCast) is not None


def _try_calls(text: str, tokens: tuple[Token, ...]) -> Iterator[str]:
    at = 0
    while at < len(tokens) - 1:
        token = tokens[at]
        if not (
            token.kind == "word" and token.text.lower().startswith("try_") and tokens[at + 1].text == "("
        ):
            at += 1
            continue
        depth, end = 0, at + 1
        while end < len(tokens):
            depth += (tokens[end].text == "(") - (tokens[end].text == ")")
            if depth == 0:
                break
            end += 1
        yield text[token.start : tokens[min(end, len(tokens) - 1)].end]
        at = end + 1
