"""Whether DuckDB can compute what a workspace's tags say: asked of it over a row of nulls and one of plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from lakehouse.expressions.duckdb import function_statements
from lakehouse.expressions.expression import parse_expression
from lakehouse.expressions.patterns import Untranslatable
from lakehouse.expressions.tokens import short_text
from lakehouse.query.desk import open_scratch
from lakehouse.query.words import duck_type, identifier
from tags.build.causes import cause_of
from tags.build.dialect import duckdb_model
from tags.compile.checks.origins import type_of
from tags.compile.entry_texts import texts_of

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk
    from lakehouse.settings.settings import Settings
    from tags.compile.compilation import Compilation
    from tags.compile.entry_texts import Keys
    from vocabulary.registry import Entry

_DAY = "{{ business_date() }}"


def require_computable(settings: Settings, compilation: Compilation) -> None:
    """Raise ``SettingsInvalid`` with the line of the first expression that DuckDB refuses for the types it meets.

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
                types = _types(compilation, entry, text, over_rows)
                cause = None if types is None else _refusal(desk, compilation, entry, text, keys, types)
                if cause is not None:
                    raise compilation.registry.fault(
                        entry.code, f"'{short_text(text)}' cannot be computed: {cause}", *keys
                    )


def _types(compilation: Compilation, entry: Entry, text: str, over_rows: bool) -> dict[str, str] | None:
    """Give the types of what an expression reads, in words of DuckDB; None where not every one is plain."""
    entries, relation = compilation.registry.entries, None
    if over_rows:
        scans = [scan for plan in compilation.plans for scan in plan.scans if entry in scan.entries]
        relation = scans[0].relation if scans else None
    types = {}
    for name in parse_expression(text).columns:
        if over_rows:
            kind = None if relation is None else type_of(relation, name, compilation.lineage)
        else:
            kind = entries[name].value.spark_type if name in entries else None
        if kind is None or kind.startswith(("map", "struct")):
            return None
        types[name] = duck_type(kind)
    return types


def _refusal(
    desk: Desk, compilation: Compilation, entry: Entry, text: str, keys: Keys, types: dict[str, str]
) -> str | None:
    """Give why DuckDB refuses an expression; None where it does not, or where only dbt knows all of its text."""
    try:
        sql = duckdb_model(f"select {compilation.writer_of(entry).text(entry, text, *keys)} as v")
    except Untranslatable:
        return None
    sql = sql.replace(_DAY, "DATE '2000-01-01'").strip()
    if "{{" in sql:
        return None
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in types.items()) or "1"
    values = ", ".join(f"CAST({_value(kind)} AS {kind})" for kind in types.values()) or "1"
    try:
        desk.rows(f"{sql} FROM (SELECT {nulls} UNION ALL SELECT {values})")
    except duckdb.Error as wrong:
        return cause_of(str(wrong))
    return None


def _value(kind: str) -> str:
    """Give a plain value of a type: in tags no value of the right type stops anything."""
    if kind.endswith("[]"):
        return f"[{_value(kind.removesuffix('[]'))}]"
    return {"VARCHAR": "'a'", "DATE": "'2000-01-01'", "TIMESTAMPTZ": "'2000-01-01'"}.get(kind, "1")
