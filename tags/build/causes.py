"""Why a dbt node failed, in one sentence that holds no value of a table.

Spark's messages about names and types (SQLSTATE 42…) are quoted. Those about data repeat the data: of them the name of the
error is quoted, which Spark's documentation explains, and the words that are the same whatever the value is.
"""

from __future__ import annotations

import re

from lakehouse.errors import hide_values

LONGEST = 300
_HEADER = re.compile(r"(\w+ )?Error( in .*)?$")
_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)*)\]\s*(.*)")
_SQLSTATE = re.compile(r"\s*SQLSTATE: (\w{5}).*")
_JAVA = re.compile(r"(?:Caused by: |: )?((?:[a-z_]\w*\.)+[A-Z][\w$]*(?:Exception|Error))(?:: (.*))?$")
# What invalidated DuckDB's database stands behind what every statement after it says.
_ORIGINAL = re.compile(r'Original error: "?(.*?)"?$')
_ABOUT_DBT = ("Compilation Error", "Parsing Error", "Dependency Error")


def cause_of(message: str | None) -> str:
    """Give the cause that a node's message names: the innermost error of Spark, else of Java, else dbt's own words."""
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    # Spark repeats a failed statement after the error: what stands there is no cause.
    end = next((at for at, line in enumerate(lines) if line.startswith("== ")), len(lines))
    conditions = [
        (match, at) for at, line in enumerate(lines[:end]) if (match := _CONDITION.search(line)) is not None
    ]
    if conditions:
        match, at = conditions[-1]
        return _spark_cause(match[1], match[2], " ".join(lines[at:end]))
    errors = [match for line in lines[:end] if (match := _JAVA.match(line)) is not None]
    if errors:
        name, words = errors[-1][1].rpartition(".")[2], errors[-1][2] or ""
        return _short(f"{name}: {hide_values(words)}" if words else name)
    originals = [match for line in lines if (match := _ORIGINAL.match(line)) is not None]
    if originals:
        return _short(f"an error inside DuckDB: {hide_values(originals[0][1])}")
    sentences = [line for line in lines if not _HEADER.match(line)]
    first = sentences[0] if sentences else lines[0]
    return _short(first if lines[0].startswith(_ABOUT_DBT) else hide_values(first))


def _spark_cause(condition: str, words: str, whole: str) -> str:
    state = _SQLSTATE.search(whole)
    sentence = _SQLSTATE.sub("", words).strip()
    if state is None or state[1].startswith("42"):
        return _short(f"{condition}: {sentence}" if sentence else condition)
    if condition.startswith("USER_RAISED_EXCEPTION"):
        return f"{condition}: a check of the model itself; its words are in the log"
    return _short(f"{condition}: {hide_values(sentence)}" if sentence else condition)


def _short(sentence: str) -> str:
    return sentence[:LONGEST].rstrip(". ")
