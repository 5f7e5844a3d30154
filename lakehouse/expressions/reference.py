"""The reference page of the language, made from its words."""

from __future__ import annotations

from lakehouse.expressions.words import (
    DEEPEST,
    FUNCTIONS_BY_SUBJECT,
    INSTEAD,
    KEYWORDS,
    LONGEST_PAD,
    LONGEST_TEXT,
    MOST_TOKENS,
    TYPES,
)


def reference_page() -> str:
    """Give the page that lists every word of the language."""
    rows = [(subject, words) for subject, words in FUNCTIONS_BY_SUBJECT.items()]
    rows += [("keywords", KEYWORDS), ("types of `cast`", TYPES)]
    table = [f"| {subject} | {' '.join(f'`{word}`' for word in sorted(words))} |" for subject, words in rows]
    instead = [f"| `{word}` | {hint} |" for word, hint in sorted(INSTEAD.items())]
    return "\n".join(
        [
            "# Expressions",
            "",
            "Made by `make docs`. Feeds, tags and conditions on sources write SQL in one closed language: the words below in the",
            "meaning of Spark SQL, over the columns of one row. Anything else is refused at check, with file, line and the nearest word.",
            "",
            "| subject | words |",
            "| --- | --- |",
            *table,
            "",
            "Signs: `= == <> != < <= > >= <=> + - * / % || -> [ ] ( ) ,`. A text stands in single quotes, a delivered name with dots or",
            "letters beyond ASCII in backticks, `:name` is a parameter of a tag. There are no comments. The texts `now`, `today`, `tomorrow`,",
            "`yesterday` and `epoch`, alone or with a time zone, are refused, since Spark reads them as its clock where a day is meant; so is a text",
            "made of texts alone. To compare with such a word write `rlike '^now$'`.",
            "",
            f"Limits: {LONGEST_TEXT} characters, {MOST_TOKENS} words and signs, {DEEPEST} levels of parentheses; `lpad` and `rpad` to a",
            f"plain number up to {LONGEST_PAD}.",
            "",
            "| not a word, though expected | why |",
            "| --- | --- |",
            *instead,
            "",
        ]
    )
