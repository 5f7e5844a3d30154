"""Names are compared, they never identify: one key per name that can be compared, none for the rest."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_UNTOLD = r"\*|＊|先生$|女士$|小姐$|太太$|^$"


def comparable_names(values: pa.StringArray, placeholders: list[str]) -> pa.StringArray:
    """Give ``han:…`` or ``latin:…`` keys of names; null for masked, polite or placeholder forms.

    A Chinese name loses spaces and the dots of minority names; a Latin one is lower case with its words sorted, so
    that "LI Na" and "Na Li" meet. The two writings are never held against each other: pinyin has many readings.
    """
    text = pc.utf8_trim_whitespace(pc.utf8_normalize(values.cast(pa.string()), form="NFKC"))
    untold = np.asarray(pc.fill_null(pc.match_substring_regex(text, _UNTOLD), True))
    for pattern in placeholders:
        untold |= np.asarray(pc.fill_null(pc.match_substring_regex(text, pattern), True))
    joined = pc.replace_substring_regex(text, r"[\s·•・‧.]", "")
    han = np.asarray(pc.fill_null(pc.match_substring_regex(joined, r"^[\p{Han}]{2,}$"), False))
    spelled = pc.utf8_lower(pc.replace_substring_regex(text, r"[\s\-'’.,_]+", " "))
    latin = np.asarray(pc.fill_null(pc.match_substring_regex(spelled, r"^\p{Latin}[\p{Latin} ]+$"), False))
    words = [
        " ".join(sorted(re.split(r" +", s.strip()))) if yes else ""
        for s, yes in zip(spelled.to_pylist(), latin, strict=True)
    ]
    keys = pc.if_else(
        pa.array(han),
        pc.binary_join_element_wise("han", joined, ":"),
        pc.binary_join_element_wise("latin", pa.array(words, type=pa.string()), ":"),
    )
    return pc.if_else(pa.array((han | latin) & ~untold), keys, pa.scalar(None, pa.string()))
