"""A dbt model of Spark SQL as one of DuckDB: its SQL in the other words, its calls of Jinja where they stood.

Calls such as ``{{ ref('x') }}`` or ``{{ business_date() }}`` stand for a table or a value, so each is a name while the
SQL around it is translated. A model that asks ``target`` speaks for both engines by itself and stays as it is, and so
does one that is nothing but calls: macros of the product are written in words that both engines have.
"""

from __future__ import annotations

import re
from functools import lru_cache

from lakehouse.errors import SettingsInvalid
from lakehouse.expressions.duckdb import duckdb_query
from lakehouse.expressions.patterns import Untranslatable

_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_CONFIG = re.compile(r"\{\{-?\s*config\(.*?\)\s*-?\}\}", re.DOTALL)
_TARGET = re.compile(r"\btarget\s*\.")
_OF_SPARK = re.compile(r"\{\{-?\s*sent_to_every_task\(")
_BUCKET = re.compile(r"\{\{-?\s*bucket\((.*)\)\s*-?\}\}", re.DOTALL)
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'')
_DAY = "{{ business_date() }}"
_COMMENT = re.compile(r"--[^\n]*")


@lru_cache(maxsize=1024)
def duckdb_model(text: str) -> str:
    """Give a model's text for the target of DuckDB; ``Untranslatable`` completes a sentence about the model."""
    if _TARGET.search(text):
        return text
    heads = _CONFIG.findall(text)
    body = _CONFIG.sub("", text)
    if not _COMMENT.sub("", _JINJA.sub("", body)).strip():
        return text
    calls: list[str] = []
    body = duckdb_query(_JINJA.sub(lambda match: _name_for(match[0], calls), body))
    for at, call in enumerate(calls):
        body = re.sub(rf"\bjinja_{at}_\b", lambda _, call=call: call, body)  # type: ignore[misc]
    return "\n".join([*heads, body]) + "\n"


def _name_for(call: str, calls: list[str]) -> str:
    if call.startswith("{#") or _OF_SPARK.match(call):
        return ""
    if call.startswith("{%"):
        raise Untranslatable(
            "has a block of Jinja, which the engine duckdb cannot be given; ask `target.type` in it, and write both"
        )
    if bucket := _BUCKET.match(call):
        # Its arguments are SQL in texts of Jinja, with the business date between them.
        arguments = _TEXT.findall(re.sub(r"\"\s*~\s*business_date\(\)\s*~\s*\"", lambda _: _DAY, bucket[1]))
        if len(arguments) != 2:
            raise Untranslatable("calls bucket() with other things than two texts of SQL")
        salt, person = (re.sub(r"\\(.)", r"\1", double or single) for double, single in arguments)
        return _JINJA.sub(lambda match: _name_for(match[0], calls), f"bucket({salt}, {person})")
    calls.append(call)
    return f"jinja_{len(calls) - 1}_"


def duckdb_model_of(file: str, text: str) -> str:
    """Give a model of a file for DuckDB; what cannot be said there raises ``SettingsInvalid`` with the file."""
    try:
        return duckdb_model(text)
    except Untranslatable as wrong:
        raise SettingsInvalid(f"the model {wrong}; `engine: spark` computes it", file=file) from None
