"""What a line of JSON is made of, as one line shows it that the careful way can read: the start of every cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ingestion.feeds.limits import MOST_DIGITS

Path = tuple[str, ...]
WHOLE = r"(?:-?[1-9][0-9]{0,17}|0)"  # longer ones have no exact place in 64 bits
NUMBER = r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)|-?[1-9][0-9]*|0)"
TRUTH = "(?:true|false)"
LONGEST = MOST_DIGITS


@dataclass(frozen=True)
class Shape:
    """The members of an object in their order, objects before their own: path and kind.

    A kind is ``text`` (or null), ``whole``, ``number``, ``truth`` or ``object``. ``values`` is the path of the value of each
    column of the feed, None for a column that lines of the shape do not carry; ``extras`` are the keys of no column.
    """

    members: tuple[tuple[Path, str], ...]
    values: tuple[Path | None, ...]
    extras: tuple[str, ...]
    columns: tuple[str, ...]

    def children(self, parent: Path) -> list[tuple[Path, str]]:
        """Give the members of one object."""
        return [(path, kind) for path, kind in self.members if path[:-1] == parent]


def shape_of(line: str, columns: Sequence[str]) -> Shape | None:
    """Give the shape of a line, or None where lines like it must be read one by one.

    These are: what is no object; a key that stands twice; a list.
    """
    try:
        pairs = json.loads(line, object_pairs_hook=_Pairs, parse_float=_Float)
    except (ValueError, RecursionError):
        return None
    members: list[tuple[Path, str]] = []
    if not isinstance(pairs, _Pairs) or not pairs or not _take(pairs, (), members):
        return None
    kinds = dict(members)
    top = {path[0] for path, _ in members}
    roots = {name.split(".")[0] for name in columns} | set(columns)
    extras = tuple(key for key, _ in pairs if key not in roots)
    values: list[Path | None] = []
    for name in columns:
        path = (name,) if name in top else tuple(name.split("."))
        values.append(path if path in kinds else None)
    present = tuple(name for name, path in zip(columns, values, strict=True) if path is not None)
    return Shape(tuple(members), tuple(values), extras, present)


class _Pairs(list[tuple[str, Any]]):
    """The members of an object as they stand."""


class _Float(float):
    """A number written with a point or an exponent."""


def _take(pairs: _Pairs, parent: Path, members: list[tuple[Path, str]]) -> bool:
    """Add the members of an object to a list; False where it holds what no shape may hold."""
    if len({key for key, _ in pairs}) < len(pairs):
        return False
    for key, value in pairs:
        kind = "object" if isinstance(value, _Pairs) else _kind(value)
        if kind is None:
            return False
        members.append(((*parent, key), kind))
        if isinstance(value, _Pairs) and not _take(value, (*parent, key), members):
            return False
    return True


def _kind(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int):
        return "whole" if abs(value) < 10**18 else "number"
    return "number" if isinstance(value, _Float) else None
