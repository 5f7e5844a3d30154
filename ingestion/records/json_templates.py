r"""JSON lines many at a time: lines of a shape that was met before are recognised and read in columns.

A *template* is made from one line the careful way has read: its keys in their order, and what kind of value stands
behind each. A regular expression then recognises lines that differ in values alone: texts without escapes, plain numbers,
true, false, null. Nothing about such a line is left to the taste of a parser (no key twice, no escape, no number that
could be written in two ways), so DuckDB's JSON functions may take the texts out, and numbers are taken to the letter. Any
other line is read by ``json_lines`` one by one; a test holds both ways to the same records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from ingestion.records.json_shapes import LONGEST, NUMBER, TRUTH, WHOLE, Path, Shape

_BLANK = r"[ \t]*"
_KINDS = {
    "text": r'(?:"[^"\\\x00-\x1f]*"|null)',
    "whole": f"(?:{WHOLE}|null)",
    "number": f"(?:{NUMBER}|null)",
    "truth": f"(?:{TRUTH}|null)",
}


@dataclass(frozen=True)
class Template:
    """Recognises lines of a shape: an expression, a condition beside it, and the SQL of the wanted values, the rest last."""

    shape: Shape
    recognised: str
    condition: str
    values: tuple[str, ...]


def make_template(shape: Shape) -> Template | None:
    """Give the template of a shape, or None where lines like it must be read one by one."""
    names = [path[-1] for path, _ in shape.members]
    numbers = [path for path, kind in shape.members if kind == "number"]
    if any(names.count(path[-1]) > 1 for path in numbers):
        return None  # a number is found by its key alone
    kinds = shape.kinds
    values = ["CAST(NULL AS VARCHAR)" if path is None else _value(path, kinds[path]) for path in shape.values]
    rest = []
    for key in shape.extras:
        found = f"json_extract_string(line, {_path((key,))})"
        shown = f"'\"' || {found} || '\"'" if kinds[key,] == "text" else found
        rest.append(f"'\"{key}\": ' || coalesce({shown}, 'null')")
    beyond = " || ', ' || ".join(rest)
    values.append(f"'{{' || {beyond} || '}}'" if rest else "CAST(NULL AS VARCHAR)")
    lengths = [f"coalesce(length({_value(path, 'number')}) <= {LONGEST}, true)" for path in numbers]
    recognised = f"{_BLANK}{_written(shape, ())}{_BLANK}\\r?\\n?"
    return Template(shape, recognised, " AND ".join(lengths) or "true", tuple(values))


def _written(shape: Shape, at: Path) -> str:
    """Give the expression of an object."""
    parts = []
    for path, kind in shape.members:
        if path[:-1] == at:
            value = _written(shape, path) if kind == "object" else _KINDS[kind]
            parts.append(f'"{re.escape(path[-1])}"{_BLANK}:{_BLANK}{value}')
    comma = f"{_BLANK},{_BLANK}"
    return rf"\{{{_BLANK}{comma.join(parts)}{_BLANK}\}}"


def _path(path: Path) -> str:
    return "'$" + "".join(f'."{key}"' for key in path) + "'"


def _value(path: Path, kind: str) -> str:
    if kind == "number":
        return f"""nullif(regexp_extract(line, '"{re.escape(path[-1])}"[ \\t]*:[ \\t]*({NUMBER})', 1), '')"""
    return f"nullif(json_extract_string(line, {_path(path)}), '')"


def read_template(
    template: Template, lines: pa.Table, connection: duckdb.DuckDBPyConnection
) -> tuple[pa.ChunkedArray, list[pa.ChunkedArray]]:
    """Give the places of the lines a template recognises, and their values; ``lines`` has ``place`` and ``line``."""
    connection.register("lines", lines)
    values = ", ".join(f"{sql} AS v{n}" for n, sql in enumerate(template.values))
    # What does not have the shape may be no JSON at all, and is gone before its values are asked for.
    query = (
        f"SELECT place, {values} FROM (FROM lines WHERE CASE WHEN regexp_full_match(line, $1) "
        f"THEN {template.condition} ELSE false END)"
    )
    found = connection.sql(query, params=[template.recognised]).to_arrow_table()
    return found["place"], found.drop_columns(["place"]).columns
