"""Whether DuckDB can compute what a workspace's tags say about other tags: asked of it over a row of nulls and one of plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from lakehouse.expressions.duckdb import function_statements
from lakehouse.expressions.expression import parse_expression
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.expressions.tokens import short_text
from lakehouse.query.desk import open_scratch
from lakehouse.query.words import identifier
from tags.build.causes import cause_of
from tags.build.dialect import duckdb_model
from tags.compile.entry_texts import texts_of

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk
    from lakehouse.settings.settings import Settings
    from tags.compile.compilation import Compilation
    from tags.compile.entry_texts import Keys
    from vocabulary.registry import Entry

_DAY = "{{ business_date() }}"


def require_computable(settings: Settings, compilation: Compilation) -> None:
    """Raise ``SettingsInvalid`` with the line of the first expression over tags that DuckDB refuses for the types it meets.

    A night that DuckDB computes would stop at it without naming the line; where the settings name Spark nothing is asked.
    """
    if settings.engine.name == "spark":
        return
    with open_scratch() as desk:
        for statement in function_statements():
            desk.run(statement)
        for entry in compilation.entries:
            if entry.code not in compilation.registry.site:
                continue
            for keys, text, over_rows in texts_of(entry):
                if not over_rows and (cause := _refusal(desk, compilation, entry, text, keys)) is not None:
                    raise compilation.registry.fault(
                        entry.code, f"'{short_text(text)}' cannot be computed: {cause}", *keys
                    )


def _refusal(desk: Desk, compilation: Compilation, entry: Entry, text: str, keys: Keys) -> str | None:
    """Give why DuckDB refuses an expression over tags; None where it does not, or where not every type is known here."""
    entries = compilation.registry.entries
    names = parse_expression(text).columns
    if not all(name in entries for name in names):
        return None
    try:
        sql = duckdb_model(f"select {compilation.writer_of(entry).text(entry, text, *keys)} as v")
    except Untranslatable:
        return None
    sql = sql.replace(_DAY, "DATE '2000-01-01'").strip()
    if "{{" in sql:
        return None
    types = {name: _duck_type(entries[name].value.spark_type) for name in names}
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in types.items()) or "1"
    values = ", ".join(f"CAST({_value(kind)} AS {kind})" for kind in types.values()) or "1"
    try:
        desk.rows(f"{sql} FROM (SELECT {nulls} UNION ALL SELECT {values})")
    except duckdb.Error as wrong:
        return cause_of(str(wrong))
    return None


def _duck_type(kind: str) -> str:
    return kind.removeprefix("array<").removesuffix(">") + "[]" if kind.startswith("array<") else kind


def _value(kind: str) -> str:
    """Give a plain value of a type: in tags no value of the right type stops anything."""
    if kind.endswith("[]"):
        return f"[{_value(kind.removesuffix('[]'))}]"
    return {"string": "'a'", "date": "'2000-01-01'"}.get(kind, "1")
