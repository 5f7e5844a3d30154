"""What a line of JSON is made of, told from one line the careful way can read: for those who read many like it at once."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
# Keys beyond these signs are left to the careful way: they would have to be escaped in three languages.
_KEY = re.compile(r"[\w.\-]+")
WHOLE = r"(?:-?[1-9][0-9]{0,17}|0)"  # longer ones have no exact place in 64 bits
NUMBER = r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)|-?[1-9][0-9]*|0)"
TRUTH = "(?:true|false)"
# Far longer numbers Python's reader refuses.
LONGEST = 1000


@dataclass(frozen=True)
class Shape:
    """The members of an object in their order, objects before their own: path and kind.

    A kind is ``text`` (or null), ``whole``, ``number``, ``truth`` or ``object``. ``values`` is the path of each wanted column,
    None for one that lines of the shape do not carry; ``extras`` are the keys nobody asked for.
    """

    members: tuple[tuple[Path, str], ...]
    values: tuple[Path | None, ...]
    extras: tuple[str, ...]
    seen: tuple[str, ...]

    @property
    def kinds(self) -> dict[Path, str]:
        """The kinds by path."""
        return dict(self.members)


def shape_of(line: str, columns: Sequence[str]) -> Shape | None:
    """Give the shape of a line, or None where lines like it must be read one by one.

    That is: no object, a key twice or with unusual signs, a list, an object that is a wanted value or nobody's, and a
    number with a point that nobody asked for (the rest is written as JSON, where 1.10 becomes 1.1).
    """
    try:
        pairs = json.loads(line, object_pairs_hook=_Pairs, parse_float=_Float)
    except (ValueError, RecursionError):
        return None
    members: list[tuple[Path, str]] = []
    if not isinstance(pairs, _Pairs) or not _take(pairs, (), members):
        return None
    kinds = dict(members)
    top = {path[0] for path, _ in members}
    roots = {name.split(".")[0] for name in columns} | set(columns)
    values: list[Path | None] = []
    for name in columns:
        path = (name,) if name in top else tuple(name.split("."))
        if kinds.get(path) == "object":
            return None
        values.append(path if path in kinds else None)
    extras = tuple(key for key, _ in pairs if key not in roots)
    if any(kinds[key,] in ("object", "number") for key in extras):
        return None
    seen = tuple(name for name, path in zip(columns, values, strict=True) if path is not None)
    return Shape(tuple(members), tuple(values), extras, seen)


class _Pairs(list[tuple[str, Any]]):
    """The members of an object as they stand."""


class _Float(float):
    """A number written with a point or an exponent."""


def _take(pairs: _Pairs, at: Path, members: list[tuple[Path, str]]) -> bool:
    """Note the members of an object; False where it holds what no shape may."""
    keys = [key for key, _ in pairs]
    if not keys or len(set(keys)) < len(keys) or not all(_KEY.fullmatch(key) for key in keys):
        return False
    for key, value in pairs:
        kind = "object" if isinstance(value, _Pairs) else _kind(value)
        if kind is None:
            return False
        members.append(((*at, key), kind))
        if isinstance(value, _Pairs) and not _take(value, (*at, key), members):
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
