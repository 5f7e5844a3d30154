r"""JSON lines many at a time: lines of a shape that was met before are recognised and read in columns.

A *template* is made from one line the careful way has read: its keys in their order, and what kind of value stands
behind each. A regular expression then recognises lines that differ in values alone: texts without escapes, plain numbers,
true, false, null. Nothing about such a line is left to the taste of a parser (no key twice, no escape, no number that
could be written in two ways), so DuckDB's JSON functions may take the texts out, and numbers are taken to the letter. Any
other line is read by ``json_lines`` one by one; a test holds both ways to the same records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

# Keys beyond these signs are left to the careful way: they would have to be escaped in three languages.
_KEY = re.compile(r"[\w.\-]+")
_BLANK = r"[ \t]*"
_WHOLE = r"(?:-?[1-9][0-9]*|0)"
_NUMBER = r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)|-?[1-9][0-9]*|0)"
_KINDS = {
    "text": r'(?:"[^"\\\x00-\x1f]*"|null)',
    "whole": f"(?:{_WHOLE}|null)",
    "number": f"(?:{_NUMBER}|null)",
    "truth": "(?:true|false|null)",
}
# Longer integers have no exact place in 64 bits; far longer numbers Python's reader refuses.
_LONGEST = {"whole": 18, "number": 1000}


@dataclass(frozen=True)
class Template:
    """A shape of lines: the expression that recognises one, a condition beside it, and the SQL of what it gives.

    ``values`` are the wanted columns and last the rest as one JSON object; ``extras`` names the keys of that rest and
    ``seen`` the wanted columns the lines carry.
    """

    recognised: str
    condition: str
    values: tuple[str, ...]
    extras: tuple[str, ...]
    seen: tuple[str, ...]


def make_template(line: str, columns: Sequence[str]) -> Template | None:
    """Give the template of a line, or None where lines like it must be read one by one."""
    try:
        pairs = json.loads(line, object_pairs_hook=_Pairs, parse_float=_Float)
    except (ValueError, RecursionError):
        return None
    leaves: dict[tuple[str, ...], str] = {}
    inner: set[tuple[str, ...]] = set()
    written = _written(pairs, (), leaves, inner) if isinstance(pairs, _Pairs) else None
    if written is None:
        return None
    names = [path[-1] for path in (*leaves, *inner)]
    if any(kind == "number" and names.count(path[-1]) > 1 for path, kind in leaves.items()):
        return None  # a number is found by its key alone
    top = {path[0] for path in (*leaves, *inner)}
    roots = {name.split(".")[0] for name in columns} | set(columns)
    values: list[str] = []
    seen = []
    for name in columns:
        path = (name,) if name in top else tuple(name.split("."))
        if path in inner:
            return None
        if path not in leaves:
            values.append("CAST(NULL AS VARCHAR)")
            continue
        seen.append(name)
        values.append(_value(path, leaves[path]))
    extras = [pairs_key for pairs_key, _ in pairs if pairs_key not in roots]
    rest = []
    for key in extras:
        if (key,) in inner or leaves[key,] == "number":
            return None
        found = f"json_extract_string(line, {_path((key,))})"
        shown = f"'\"' || {found} || '\"'" if leaves[key,] == "text" else found
        rest.append(f"'\"{key}\": ' || coalesce({shown}, 'null')")
    beyond = " || ', ' || ".join(rest)
    values.append(f"'{{' || {beyond} || '}}'" if rest else "CAST(NULL AS VARCHAR)")
    recognised = f"{_BLANK}{written}{_BLANK}\\r?\\n?"
    lengths = [
        f"coalesce(length({_value(path, kind)}) <= {_LONGEST[kind]}, true)"
        for path, kind in leaves.items()
        if kind in _LONGEST
    ]
    condition = " AND ".join(lengths) or "true"
    return Template(recognised, condition, tuple(values), tuple(extras), tuple(seen))


class _Pairs(list[tuple[str, Any]]):
    """The members of an object as they stand."""


class _Float(float):
    """A number written with a point or an exponent."""


def _written(
    pairs: _Pairs, at: tuple[str, ...], leaves: dict[tuple[str, ...], str], inner: set[tuple[str, ...]]
) -> str | None:
    """Give the expression of an object and note its leaves; None where it holds what no template may."""
    keys = [key for key, _ in pairs]
    if not keys or len(set(keys)) < len(keys) or not all(_KEY.fullmatch(key) for key in keys):
        return None
    parts = []
    for key, value in pairs:
        path = (*at, key)
        if isinstance(value, _Pairs):
            inner.add(path)
            written = _written(value, path, leaves, inner)
            if written is None:
                return None
        else:
            kind = _kind(value)
            if kind is None:
                return None
            leaves[path] = kind
            written = _KINDS[kind]
        parts.append(f'"{re.escape(key)}"{_BLANK}:{_BLANK}{written}')
    comma = f"{_BLANK},{_BLANK}"
    return rf"\{{{_BLANK}{comma.join(parts)}{_BLANK}\}}"


def _kind(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int):
        return "whole" if abs(value) < 10**18 else "number"
    return "number" if isinstance(value, _Float) else None


def _path(path: tuple[str, ...]) -> str:
    return "'$" + "".join(f'."{key}"' for key in path) + "'"


def _value(path: tuple[str, ...], kind: str) -> str:
    if kind == "number":
        return f"""nullif(regexp_extract(line, '"{re.escape(path[-1])}"[ \\t]*:[ \\t]*({_NUMBER})', 1), '')"""
    return f"nullif(json_extract_string(line, {_path(path)}), '')"


class LineReader:
    """Reads lines by the templates met so far, and learns new ones up to a limit."""

    # Beyond so many shapes of lines in one file, trying each costs more than reading one by one.
    MOST = 12

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._templates: list[Template] = []
        self._connection = duckdb.connect(config={"threads": 1})

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    def read(self, lines: pa.Table) -> Iterator[tuple[Template, pa.Table]]:
        """Give, per template, the lines it recognises: ``place``, ``v0``, ``v1``…; ``lines`` has ``place`` and ``line``.

        A line is given once, by the first template that recognises it.
        """
        tried = 0
        left = lines
        while left.num_rows:
            if tried == len(self._templates) and not self._learn(left):
                return
            template = self._templates[tried]
            tried += 1
            found = self._recognised(template, left)
            if found.num_rows:
                yield template, found
                left = left.filter(
                    pc.invert(pc.is_in(left["place"], value_set=found["place"].combine_chunks()))
                )

    def _recognised(self, template: Template, lines: pa.Table) -> pa.Table:
        self._connection.register("lines", lines)
        values = ", ".join(f"{sql} AS v{n}" for n, sql in enumerate(template.values))
        # What does not have the shape may be no JSON at all, and is gone before its values are asked for.
        query = (
            f"SELECT place, {values} FROM (FROM lines WHERE CASE WHEN regexp_full_match(line, $1) "
            f"THEN {template.condition} ELSE false END)"
        )
        return self._connection.sql(query, params=[template.recognised]).to_arrow_table()

    def _learn(self, lines: pa.Table) -> bool:
        """Make a template of a line that none recognised, if one can be made of a few of them."""
        if len(self._templates) >= self.MOST:
            return False
        for at in sorted({0, lines.num_rows // 2, lines.num_rows - 1}):
            made = make_template(lines["line"][at].as_py(), self._columns)
            if made is not None and made not in self._templates:
                self._templates.append(made)
                return True
        return False
