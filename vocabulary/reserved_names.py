"""Names that no tag and no attribute may have: they stand as columns beside those of the tables, or as words in every statement."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from lakehouse.contracts.reading import contract
from lakehouse.expressions.words import FUNCTIONS, SQL_WORDS
from vocabulary.entities import TAG_ENTITIES

LONGEST_NAME = 63
# What the wide models have beside keys and tags: no reader sees but the first and the last.
EXCEPTIONS, SOURCES, LOST, UNEXPLAINED, AS_OF = (
    "null_exceptions",
    "read_sources",
    "lost_answers",
    "unexplained_nulls",
    "as_of",
)
# Of tables, the long ones in which values are kept by tag.
_HISTORY = ("tags.tag_history", "tags.tag_events", "tags.entity_tag_history")


@cache
def columns_beside_tags() -> Mapping[str, str]:
    """Give the columns that stand beside those of tags, each with what has it."""
    columns = {name: table for table in _HISTORY for name in contract(table).columns}
    columns |= dict.fromkeys((EXCEPTIONS, SOURCES, LOST, UNEXPLAINED, AS_OF), "the tables of tags")
    columns |= {name: entity.current for entity in TAG_ENTITIES.values() for name in entity.columns}
    return MappingProxyType(columns)


def fault_of_name(name: str) -> str | None:
    """Say why no column of a tag or an attribute can have a name, with what to do; None where one can."""
    if len(name) > LONGEST_NAME:
        return f"'{name[:20]}…' has {len(name)} letters; write at most {LONGEST_NAME}"
    if name in SQL_WORDS or name in FUNCTIONS:
        return f"'{name}' is a word of the language of expressions or of SQL; choose another code"
    if (owner := columns_beside_tags().get(name)) is not None:
        return f"'{name}' is a column of {owner}; choose another code"
    if "__" in name:
        return f"'{name}' has two underscores side by side, as columns that the compiler makes up; write one"
    return None
