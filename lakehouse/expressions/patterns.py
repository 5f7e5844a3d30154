"""Java's regular expressions and formats of times, which Spark SQL takes, as those of DuckDB.

Both are read here as texts. What the two engines read in two ways is refused.
"""

from __future__ import annotations

import re
import warnings

from lakehouse.expressions.tokens import ExpressionInvalid

_SAFE_ESCAPES = frozenset("dw.-/()[]+*?$^|{}\\,:#@ ")
# Java's end of a line, which may be there.
LINE_BREAK = r"(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?"
_END = LINE_BREAK + r"\z"
# RE2 repeats up to a thousand times.
_REPEAT = re.compile(r"\{(?:\d{1,3}|1000)(?:,(?:\d{1,3}|1000)?)?\}")
_ANY = r"[^\n\r\x{85}\x{2028}\x{2029}]"
# Parts of a format: what matches them, and what ``strftime`` calls them.
_TIMES = {"yyyy": (r"\d{4}", "%Y"), "MM": (r"\d\d", "%m"), "dd": (r"\d\d", "%d"), "HH": (r"\d\d", "%H"), "mm": (r"\d\d", "%M"), "ss": (r"\d\d", "%S")}  # fmt: skip


class Untranslatable(ExpressionInvalid):
    """A text that has no meaning in DuckDB; the message completes a sentence."""


class PatternInvalid(Untranslatable):
    """A regular expression that no engine can read, or a group that it does not have."""


def re2_pattern(pattern: str, *, is_test: bool) -> str:
    """Give a regular expression of Java's as one of RE2's that matches the same; refuse what the two read in two ways.

    ``is_test`` says that only whether it matches is asked: a ``$`` may then stand before a last line break.
    """
    parts, at, in_class = [], 0, False
    while at < len(pattern):
        sign = pattern[at]
        if sign == "\\":
            if pattern[at + 1 : at + 2] not in _SAFE_ESCAPES or at + 1 == len(pattern):
                raise Untranslatable(
                    f"has \\{pattern[at + 1 : at + 2]} in a pattern, which the engine duckdb does not have"
                )
            parts.append(pattern[at : at + 2])
            at += 2
            continue
        if not in_class and sign == "{" and not _REPEAT.match(pattern, at):
            if not re.match(r"\{\d+(,\d*)?\}", pattern[at:]):
                raise PatternInvalid("has { in a pattern that says no number of times")
            raise Untranslatable(
                "repeats more than a thousand times in a pattern, which the engine duckdb does not have"
            )
        if not in_class and sign == "[" and re.match(r"\[\^?\]", pattern[at:]):
            raise Untranslatable(
                "has ] at the start of a class of a pattern, which the engine duckdb does not have"
            )
        if in_class:
            if sign in "[&":
                raise Untranslatable(
                    f"has {sign} in a class of a pattern, which the engine duckdb does not have"
                )
            in_class = sign != "]"
        elif sign == "[":
            in_class = True
        elif (sign == "(" and pattern[at + 1 : at + 2] == "?") or (
            sign == "+" and at and pattern[at - 1] in "+*?}"
        ):
            raise Untranslatable(
                "has a group or a quantifier of Java's in a pattern, which the engine duckdb does not have"
            )
        elif sign == "$" and not is_test:
            raise Untranslatable(
                "has $ in a pattern whose match is taken, which the engine duckdb does not have"
            )
        parts.append({"$": _END, ".": _ANY}.get(sign, sign) if not in_class else sign)
        at += 1
    _readable(pattern)
    return "".join(parts)


def re2_replacement(text: str, groups: int) -> str:
    """Give a replacement of Java's as one of RE2's: ``$1`` is a group there, and a backslash takes the next sign as it is."""
    parts, at = [], 0
    while at < len(text):
        sign, after = text[at], text[at + 1 : at + 2]
        if sign == "\\" and after:
            parts.append("\\\\" if after == "\\" else after)
            at += 2
        elif sign == "$" and after.isascii() and after.isdigit() and not text[at + 2 : at + 3].isdigit():
            require_group(after, groups)
            parts.append(f"\\{after}")
            at += 2
        elif sign in "\\$":
            raise Untranslatable(
                f"has a {sign} in a replacement that names no group, which the engine duckdb does not have"
            )
        else:
            parts.append(sign)
            at += 1
    return "".join(parts)


def refuse_empty_matches(pattern: str) -> None:
    """Refuse a pattern that matches nothing at all: right behind a match Java takes that, too, and RE2 does not."""
    if re.fullmatch(_readable(pattern), "") is not None:
        raise Untranslatable(
            "has a pattern that matches an empty text, which the engine duckdb does not have"
        )


def group_count(pattern: str) -> int:
    """Give how many groups a pattern that both engines know has."""
    return re.compile(_readable(pattern)).groups


def require_group(number: str, groups: int) -> None:
    """Raise ``PatternInvalid`` where a pattern of so many groups has none of this number."""
    if number.isdigit() and int(number) > groups:
        raise PatternInvalid(f"takes group {number} of a pattern that has {groups}")


def _readable(pattern: str) -> str:
    """Give a pattern that both engines know as one of Python's; ``Untranslatable`` of one that no engine can read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of signs that may one day mean sets
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        raise PatternInvalid("has a pattern that cannot be read") from None
    return pattern


def java_format(form: str) -> tuple[str, str]:
    """Give the regular expression and the ``strftime`` format of a Java format of whole, padded numbers."""
    # sqlglot has turned it already where it knows the function.
    for name, (_, sign) in _TIMES.items():
        form = form.replace(f"{sign}strict", name).replace(sign, name)
    parts = re.findall(r"yyyy|MM|dd|HH|mm|ss|[-/.: ]|.", form)
    if not parts or not all(p in _TIMES or p in "-/.: " for p in parts):
        raise Untranslatable(f"has the format '{form}', which the engine duckdb does not have")
    return (
        "".join(_TIMES[p][0] if p in _TIMES else re.escape(p) for p in parts),
        "".join(_TIMES[p][1] if p in _TIMES else p for p in parts),
    )
