"""Texts that Spark takes for its clock: where a day or an instant is meant, 'today' is the machine's.

Spark puts the day of the machine in place of such a text before a night begins (``convertSpecialDate``, ``convertSpecialTimestamp``),
wherever it is read as a day or an instant, also by a comparison or a column's type. So no literal may be one, and no text may be
made of texts alone, since that is computed before a row is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from lakehouse.expressions.tokens import ExpressionInvalid, Token, text_value
from lakehouse.expressions.words import word_set

_CLOCK = re.compile(
    r"\s*(now|today|tomorrow|yesterday|epoch)(?![A-Za-z])\s*([A-Za-z0-9+:/_-]*)\s*", re.IGNORECASE
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?")
# Functions whose texts may have any letters of what they are given.
_OF_LETTERS = word_set(
    "array_join btrim concat concat_ws get_json_object initcap left lower lpad ltrim overlay regexp_extract",
    "regexp_replace replace reverse right rpad rtrim split split_part substr substring substring_index translate trim upper",
)
# Functions whose texts have letters of their pattern only where it quotes them.
_BY_PATTERN = word_set("date_format from_unixtime")
_INSTEAD = "the business date is the only clock"
_WRITE = "it is computed before a row is read, so write the text itself"


def is_clock(text: str) -> bool:
    """Tell whether Spark may take a text for its clock: one of five words, alone or with a time zone."""
    return _CLOCK.fullmatch(text) is not None


def refuse_clocks(tokens: tuple[Token, ...], columns: Collection[str]) -> None:
    """Raise ``ExpressionInvalid`` for a text that is a clock, that may become one before a row is read, or that is no day where one is named."""
    names = {name.lower() for name in columns} | _lambda_parameters(tokens)
    for before, token in pairwise([None, *tokens]):
        assert token is not None
        if token.kind != "text":
            continue
        value = text_value(token.text)
        if is_clock(value):
            raise ExpressionInvalid(
                f"has the text {token.text}, which Spark reads as the clock of the machine; {_INSTEAD}"
            )
        if before is not None and before.kind == "text":
            raise ExpressionInvalid("has two texts side by side; is a sign missing between them?")
        if before is not None and before.text.lower() in ("date", "timestamp"):
            _refuse_no_day(before.text.lower(), value)
    for word, span in _text_calls(tokens):
        if _reads(span, names):
            continue
        if word in _BY_PATTERN and not any(t.kind == "text" and "'" in text_value(t.text) for t in span):
            continue
        raise ExpressionInvalid(f"makes a text of texts alone by {word}(); {_WRITE}")


def refuse_joined_constants(tree: Any) -> None:
    """Raise ``ExpressionInvalid`` where ``||`` joins what reads nothing of the row."""
    from sqlglot import exp

    for node in tree.find_all(exp.DPipe):
        if node.find(exp.Column) is None and not _is_in_bucket(node):
            raise ExpressionInvalid(f"makes a text of texts alone by ||; {_WRITE}")


def _is_in_bucket(node: Any) -> bool:
    from sqlglot import exp

    call = node.find_ancestor(exp.Anonymous)
    return call is not None and str(call.this) == "bucket"


def _refuse_no_day(word: str, value: str) -> None:
    pattern, example = (
        (_DAY, "date '2026-12-31'") if word == "date" else (_INSTANT, "timestamp '2026-12-31 23:59:59'")
    )
    try:
        if pattern.fullmatch(value):
            (date if word == "date" else datetime).fromisoformat(value)
            return
    except ValueError:
        pass
    raise ExpressionInvalid(f"has '{value}' as a {word}, which is none; write one like {example}")


def _text_calls(tokens: tuple[Token, ...]) -> Iterator[tuple[str, tuple[Token, ...]]]:
    """Give the calls that make texts, each with the tokens of its arguments; what stands in a ``bucket`` only chooses one."""
    salt_ends = -1
    for at in range(len(tokens) - 1):
        token, word = tokens[at], tokens[at].text.lower()
        if token.kind != "word" or tokens[at + 1].text != "(" or at < salt_ends:
            continue
        span = _inside(tokens, at + 1)
        if word == "bucket":
            salt_ends = at + len(span)
        elif word in _OF_LETTERS | _BY_PATTERN:
            yield word, span


def _inside(tokens: tuple[Token, ...], opening: int) -> tuple[Token, ...]:
    """Give the tokens from an opening parenthesis to the one that closes it."""
    depth = 0
    for end in range(opening, len(tokens)):
        depth += (tokens[end].text in ("(", "[")) - (tokens[end].text in (")", "]"))
        if depth == 0:
            return tokens[opening : end + 1]
    return tokens[opening:]


def _reads(span: tuple[Token, ...], names: Collection[str]) -> bool:
    """Tell whether tokens hold a column of the row, or what a lambda is given of one."""
    for token, after in pairwise([*span, None]):
        assert token is not None
        is_called = after is not None and after.text == "("
        name = token.text[1:-1].replace("``", "`").lower() if token.kind == "quoted" else token.text.lower()
        if token.kind in ("word", "quoted") and not is_called and name in names:
            return True
    return False


def _lambda_parameters(tokens: tuple[Token, ...]) -> set[str]:
    """Give the names that lambdas of a text give to what they are called with: one word before ``->``, or some in parentheses."""
    names: set[str] = set()
    for at, token in enumerate(tokens):
        if token.text == "->":
            names |= _before_arrow(tokens, at)
    return names


def _before_arrow(tokens: tuple[Token, ...], arrow: int) -> set[str]:
    if arrow and tokens[arrow - 1].text != ")":
        return {tokens[arrow - 1].text.lower()}
    names = set()
    for token in reversed(tokens[: max(arrow - 1, 0)]):
        if token.text == "(":
            break
        if token.kind == "word":
            names.add(token.text.lower())
    return names
