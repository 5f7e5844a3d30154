"""Which trusted column a delivered name probably means: English and Chinese names, abbreviations, near misses."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lakehouse.contracts.reading import contract, contract_names
from vocabulary.attributes import ATTRIBUTES

SYNONYMS = Path(__file__).parent / "synonyms.yml"
# From here on a name is taken for the column; from the lower mark on it is worth showing to a person.
CERTAIN, NEAR = 0.84, 0.6


@dataclass(frozen=True)
class Suggestion:
    """A delivered name, the trusted column (or ``phone`` … for an identifier) it is near to, and how near (0…1)."""

    source_name: str
    meaning: str
    score: float


@cache
def synonyms() -> dict[str, Any]:
    """Give the content of ``synonyms.yml``."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    words: dict[str, Any] = yaml.load(SYNONYMS.read_text(encoding="utf-8"), Loader=loader)
    return words


@cache
def words_of(name: str) -> tuple[str, ...]:
    """Give the words of a name in a common form: ``custNo`` and ``CUST_NO`` are ``customer, id``."""
    last = re.sub(r"([a-z\d])([A-Z])", r"\1 \2", name.rsplit(".", 1)[-1] if "." in name else name)
    parts = re.findall(r"[a-z]+\d*|\d+|[^\W\d_a-z]+", last.lower())
    text_in_words = [synonyms()["words"].get(part, part) for part in parts]
    return tuple(text_in_words)


@cache
def likeness(source_name: str, name: str) -> float:
    """Give how near two names are, 1 for equal ones: by words, by containment (Chinese), by letters."""
    first, second = words_of(source_name), words_of(name)
    if not first or not second:
        return 0.0
    if first == second or "".join(first) == "".join(second):
        return 1.0
    if sorted(first) == sorted(second):
        return 0.97
    if any(ord(sign) > 0x2E80 for sign in source_name + name):
        return _likeness_of_chinese(source_name, name)
    shared = len(set(first) & set(second)) / len(set(first) | set(second))
    letters = difflib.SequenceMatcher(None, "".join(first), "".join(second)).ratio()
    return max(0.9 * shared, 0.95 * letters if letters > 0.8 else 0.0)


def _likeness_of_chinese(source_name: str, name: str) -> float:
    if min(len(source_name), len(name)) >= 2 and (source_name in name or name in source_name):
        # 客户手机号码 contains 手机号码; the longer the shared part, the surer.
        return 0.6 + 0.38 * min(len(source_name), len(name)) / max(len(source_name), len(name))
    return 0.9 * difflib.SequenceMatcher(None, source_name, name).ratio()


def names_of(table: str, column: str) -> tuple[str, ...]:
    """Give the names a trusted column goes by, its own first."""
    names = synonyms()["names"]
    return (column, *names.get(f"{table}.{column}", ()), *names.get(column, ()))


@cache
def score_of(source_name: str, table: str, column: str) -> float:
    """Give how near a delivered name is to a column of a trusted table."""
    return max(likeness(source_name, name) for name in names_of(table, column))


@cache
def identifier_named(source_name: str) -> tuple[str | None, float]:
    """Give the kind of identifier a name speaks of, and how surely. ``mobile_md5`` speaks of a phone."""
    bare = re.sub(r"(?i)[_ ]?(md5|sha256|sha|hash|sm3)$", "", source_name) or source_name
    best = max(
        ((likeness(bare, name), kind) for kind, names in synonyms()["identifiers"].items() for name in names)
    )
    return (best[1], best[0]) if best[0] >= 0.8 else (None, best[0])


def is_secret_name(source_name: str) -> bool:
    """Tell whether a name speaks of a credential, which is of level C3."""
    secrets = synonyms()["secrets"]
    words = set(words_of(source_name))
    return any(likeness(source_name, name) >= 0.97 or name in words for name in secrets) or any(
        name in source_name for name in secrets if not name.isascii()
    )


def is_personal_name(source_name: str) -> bool:
    """Tell whether a name speaks of something personal that no trusted table takes."""
    return any(likeness(source_name, name) >= CERTAIN for name in synonyms()["personal"])


def fillable_tables() -> tuple[str, ...]:
    """Give the trusted tables that feeds fill by their columns; of attributes a site says which there are."""
    names = (name for name in contract_names("trusted") if name != ATTRIBUTES)
    return tuple(name for name in names if contract(name).shape in ("fact", "state"))


def suggestions(
    source_names: Iterable[str], tables: Iterable[str], *, columns_in_use: Iterable[str] = ()
) -> list[Suggestion]:
    """Give, for delivered names nobody reads, the column of ``tables`` each is nearest to; near ones only.

    ``columns_in_use`` are the ``table.column`` that are filled already.
    """
    filled_columns = set(columns_in_use)
    results = []
    for name in source_names:
        kind, surely = identifier_named(name)
        if kind:
            results.append(Suggestion(name, f"an identifier of namespace {kind}", surely))
            continue
        candidates = [
            Suggestion(name, f"{table}.{column}", score_of(name, table, column))
            for table in tables
            for column in contract(table).business_columns
            if column != "source" and f"{table}.{column}" not in filled_columns
        ]
        best = max(candidates, key=lambda s: (s.score, s.meaning), default=None)
        if best is not None and best.score >= NEAR:
            results.append(best)
    return sorted(results, key=lambda s: -s.score)
