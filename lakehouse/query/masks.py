"""How readers see columns that they do not see as they are, as SQL of DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lakehouse.query.words import duck_type, identifier, literal, literals

MARK = "masked:"
WITHHELD = "RESTRICTED"
"""What stands for every text that is withheld, whatever it is; of another type nothing is left."""


@dataclass(frozen=True)
class Mask:
    """How readers see a column: a pseudonym of its text, or nothing where it ``is_withheld``; with ``tags`` in the rows of these tags alone.

    A tag that may only exclude is withheld: a pseudonym of a few grades would say by its frequency which is which.
    """

    is_withheld: bool = False
    tags: frozenset[str] = frozenset()


# Gives how readers see the columns of a table, by its name, that they do not see as they are.
Masks = Callable[[str, Iterable[str]], Mapping[str, Mask]]


def masked_sql(sql: str, types: Mapping[str, Any], masks: Mapping[str, Mask], key: str) -> str:
    """Give SQL that reads the rows of ``sql``, whose columns are of ``types``, as readers see them; pseudonyms of texts are by ``key``.

    Of what is no text and masked nothing is left.
    """
    if not masks:
        return sql
    replacements = ", ".join(
        f"{_masked(identifier(name), kind, masks[name], key)} AS {identifier(name)}"
        for name, kind in types.items()
        if name in masks
    )
    return f"SELECT * REPLACE ({replacements}) FROM ({sql})"


def _masked(column: str, kind: Any, mask: Mask, key: str) -> str:
    if kind != "string":
        text_sql = f"CAST(NULL AS {duck_type(kind)})"
    else:
        text_sql = literal(WITHHELD) if mask.is_withheld else _pseudonym(column, key)
    if mask.tags:
        return f"CASE WHEN tag IN ({literals(sorted(mask.tags))}) THEN {text_sql} ELSE {column} END"
    return text_sql


def _pseudonym(column: str, key: str) -> str:
    # A null stays one: || with null is null. The key stands on both sides, so that nothing can be appended to it.
    return f"({literal(MARK)} || left(sha256({literal(key)} || {column} || {literal(key)}), 16))"
