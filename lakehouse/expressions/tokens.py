"""Tokens of the language, stricter than those of any engine: what two engines might cut in two ways is no token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from lakehouse.expressions.words import KEYWORDS, LONGEST_TEXT, MOST_TOKENS, SIGNS

Kind = Literal["word", "quoted", "text", "number", "parameter", "sign"]

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<number>\d+(?:\.\d+)?(?![\w.]))
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*(?![^\x00-\x7f]))
  | (?P<quoted>`(?:[^`\x00-\x1f]|``)+`)
  | (?P<text>'(?:[^'\\]|\\[^\x00]|'')*'|"(?:[^"\\]|\\[^\x00])*")
  | (?P<parameter>:[a-z_][a-z0-9_]*)
  | (?P<sign>"""
    + "|".join(re.escape(sign) for sign in SIGNS)
    + r")",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL)
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
# Signs that a reader may have meant, with what is said of them.
_REFUSED = (
    ("--", "a comment"),
    ("/*", "a comment or a hint"),
    (";", "a second statement"),
    ("{", "a template"),
    ("}", "a template"),
    ("$", "a session variable"),
    ("@", "a session variable"),
    ("'", "a text that does not end"),
    ('"', "a text that does not end"),
    ("`", "a name that does not end"),
)
_DOTTED = re.compile(r"\w+(?:\.\w+)+")
# dbt would read these inside a text, too.
_TEMPLATES = ("{{", "{%", "{#")


class ExpressionInvalid(ValueError):
    """A text that is no expression of the language; the message completes a sentence."""


@dataclass(frozen=True)
class Token:
    """A part of a text with its place in it."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        """The place behind it."""
        return self.start + len(self.text)


def tokens_of(text: str) -> tuple[Token, ...]:
    """Give the tokens of a text; ``ExpressionInvalid`` at the first sign that the language does not know."""
    if len(text) > LONGEST_TEXT:
        raise ExpressionInvalid(f"has {len(text)} characters, more than {LONGEST_TEXT}")
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        begins_comment = text.startswith(("--", "/*"), at)
        match = None if begins_comment else _TOKEN.match(text, at)
        if match is None:
            raise ExpressionInvalid(f"has {_sign(text, at)} at character {at + 1}")
        kind = match.lastgroup
        assert kind is not None
        if kind != "space":
            tokens.append(Token(kind, match[0], at))  # type: ignore[arg-type]
        if kind == "text" and tokens[-2:-1] and tokens[-2].end == at and _changes_a_text(tokens[-2]):
            raise ExpressionInvalid(f"has '{tokens[-2].text}' before a quote at character {at + 1}")
        if kind in ("text", "quoted") and any(sign in match[0] for sign in _TEMPLATES):
            raise ExpressionInvalid(f"has a template inside the quotes at character {at + 1}")
        at = match.end()
    if not tokens:
        raise ExpressionInvalid("is empty")
    if len(tokens) > MOST_TOKENS:
        raise ExpressionInvalid(f"has {len(tokens)} words and signs, more than {MOST_TOKENS}")
    return tuple(tokens)


def text_value(literal: str) -> str:
    """Give the value of a text literal, quotes and all, as Spark reads it; ``ExpressionInvalid`` for a sign that is none."""

    def value(match: re.Match[str]) -> str:
        sign = match[1]
        if sign[0] in "uU" and len(sign) > 1:
            code = int(sign[1:], 16)
            if code > 0x10FFFF:
                raise ExpressionInvalid(f"has a sign that is none, \\{sign}")
            return chr(code)
        if len(sign) == 3:
            return chr(int(sign, 8))
        return match[0] if sign in "%_" else _ESCAPES.get(sign, sign)

    return _ESCAPE.sub(value, literal[1:-1].replace("''", "'"))


def short_text(text: str) -> str:
    """Give the beginning of a text on one line, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:80]}…"


def _changes_a_text(token: Token) -> bool:
    """Tell whether a word right before a quote makes engines read it in another way, as `r` and `x` do."""
    return token.kind in ("word", "number") and token.text.lower() not in KEYWORDS | {"date", "timestamp"}


def _sign(text: str, at: int) -> str:
    dotted = next((m[0] for m in _DOTTED.finditer(text) if m.start() < at < m.end()), None)
    if text[at] == "." and dotted:
        return f"{dotted}, a name of two parts; write `{dotted}` in backticks if a column has that name,"
    for sign, meaning in _REFUSED:
        if text.startswith(sign, at):
            return f"'{sign}', {meaning}, which the language does not have"
    if text[at].isalpha():
        return "a name that must stand in backticks"
    if text[at].isdigit():
        return "a number in a form that is not plain, such as 12 or 0.5"
    return f"'{text[at]}'" if text[at].isprintable() else "a sign that is not printable"
