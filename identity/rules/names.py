"""Names are compared, they never identify: one key per name that can be compared, none for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_UNTOLD = r"[*＊]|先生$|女士$|小姐$|太太$|^$"


class NameLists(Protocol):
    """What the rules say about names."""

    surnames: str
    compound_surnames: tuple[str, ...]
    placeholders: tuple[str, ...]


@dataclass(frozen=True)
class ComparableNames:
    """What can be compared of each name: keys by writing, surname, and whether it looks like one on a document.

    Null where a name has none. The two writings are never held against each other: pinyin has many readings. A masked name (``李**``) still
    tells its surname.
    """

    han: pa.StringArray
    latin: pa.StringArray
    surnames: pa.StringArray
    looks_legal: np.ndarray


def comparable_names(values: pa.StringArray, lists: NameLists) -> ComparableNames:
    """Give what can be compared of names.

    A Chinese name loses spaces and the dots of minority names; a Latin one is lower case with its words sorted, so
    that "LI Na" and "Na Li" meet. Polite forms (``王先生``) and placeholders are no names.
    """
    text = pc.utf8_trim_whitespace(pc.utf8_normalize(values.cast(pa.string()), form="NFKC"))
    untold = _matches(text, _UNTOLD)
    placeholder = pc.is_null(text).to_numpy(zero_copy_only=False)
    for pattern in lists.placeholders:
        placeholder |= _matches(text, pattern)
    compact = pc.replace_substring_regex(text, r"[\s·•・‧.]", "")
    han = _matches(compact, r"^\p{Han}{2,}$") & ~untold & ~placeholder
    spelled = pc.utf8_lower(pc.replace_substring_regex(text, r"[\s\-'’.,_]+", " "))
    latin = _matches(spelled, r"^\p{Latin}[\p{Latin} ]+$") & ~untold & ~placeholder
    words = [
        " ".join(sorted(s.split())) if yes else None
        for s, yes in zip(spelled.to_pylist(), latin, strict=True)
    ]

    compound = "|".join(lists.compound_surnames) or "$^"
    single = f"[{lists.surnames}]" if lists.surnames else "$^"
    is_full_name = _matches(compact, f"^(?:(?:{compound})\\p{{Han}}{{1,2}}|{single}\\p{{Han}}{{1,2}})$") & han
    masked = _matches(compact, f"^(?:{compound}|{single})[*]{{1,3}}$")
    surname = pc.replace_substring_regex(compact, f"^({compound}|{single}).*$", r"\1")
    legal_latin = latin & _matches(spelled, r"^\p{Latin}{2,} \p{Latin}{2,}(?: \p{Latin}{2,})?\s*$")
    return ComparableNames(
        han=_where(han, compact),
        latin=pa.array(words, type=pa.string()),
        surnames=_where((is_full_name | masked) & ~placeholder, surname),
        looks_legal=is_full_name | legal_latin | masked,
    )


def _matches(text: pa.StringArray, pattern: str) -> np.ndarray:
    return pc.fill_null(pc.match_substring_regex(text, pattern), False).to_numpy(zero_copy_only=False)


def _where(mask: np.ndarray, text: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pa.array(mask), text, pa.scalar(None, pa.string()))
