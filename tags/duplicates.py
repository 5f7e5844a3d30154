"""Tags that say the same: by what they ask, and by what they answer about people.

Which columns answer alike is found by a sketch of each (the least hashes of person and answer, so that the shares of two sketches
estimate how much two columns have in common: Bar-Yossef et al., Counting Distinct Elements in a Data Stream, 2002), made in one
pass. Only pairs whose sketches are near are counted, person by person: of 1,000 tags that are few of 500,000 pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

from lakehouse.query.words import identifier, literal
from tags.compile.normal_form import question_of
from vocabulary.registry import Entry, Registry

if TYPE_CHECKING:
    from lakehouse.query.published import Published

WIDE = "tags.customer_tags"
LEAST_SHARE = 0.99
# A sketch has so many hashes: of columns that are equal on 99 %, two share fewer than NEAR of them once in 10^12 times.
SKETCH = 256
NEAR = 0.85
# So many columns are read at a time: their sketches are aggregates of one statement.
COLUMNS = 100
Thing = TypeVar("Thing")
_NUMBERS = ("int", "decimal", "ratio")


@dataclass(frozen=True)
class TagPair:
    """Two tags that say the same.

    ``reason`` is ``question``, where both ask the same, or ``answers``. ``equal_ratio`` is the share of people with the same answer
    among those about whom at least one of the two says something; the counts are people with a value. They are None for a pair of
    which one is not computed.
    """

    first: str
    second: str
    reason: str
    equal_ratio: float | None = None
    first_count: int | None = None
    second_count: int | None = None


def duplicate_tags(registry: Registry, published: Published | None) -> list[TagPair]:
    """Give the pairs of registered tags that ask the same, then those of published ones that answer the same of over 99 % of people.

    Nothing is said by a null, a no, a zero, an empty set and the default of a tag: two flags that few people have are not equal
    because most have neither.
    """
    asking = _equal_questions(registry.entries.values())
    answers = {} if published is None else {
        (pair.first, pair.second): pair for pair in _equal_answers(registry, published)
    }  # fmt: skip
    pairs = [
        replace(answers.pop((first, second), TagPair(first, second, "question")), reason="question")
        for first, second in asking
    ]
    return [*pairs, *sorted(answers.values(), key=lambda pair: (pair.first, pair.second))]


def _equal_questions(entries: Iterable[Entry]) -> list[tuple[str, str]]:
    codes: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        if entry.compute is not None and entry.status != "offline":
            codes[question_of(entry)].append(entry.code)
    return sorted(pair for group in codes.values() for pair in combinations(sorted(group), 2))


def _equal_answers(registry: Registry, published: Published) -> Iterator[TagPair]:
    """Give the pairs of columns of the wide table that are equal."""
    columns = {field.name for field in published.delta(WIDE).schema().fields}
    entries = [entry for entry in registry.online() if entry.code in columns]
    rows = published.view(WIDE)
    sketches: dict[str, frozenset[int]] = {}
    for part in _parts(entries):
        sql = ", ".join(
            f"min(CASE WHEN {_says(e)} THEN hash(one_id, {_comparable(e)}) END, {SKETCH})" for e in part
        )
        for entry, hashes in zip(part, published.rows(f"SELECT {sql} FROM {rows}")[0], strict=True):
            if hashes:
                sketches[entry.code] = frozenset(hashes)
    by_code = {entry.code: entry for entry in entries}
    pairs = [(by_code[first], by_code[second]) for first, second in _near(sketches)]
    for part_of_pairs in _parts(pairs):
        yield from _count(published, rows, part_of_pairs)


def _parts(things: Sequence[Thing]) -> Iterator[Sequence[Thing]]:
    return (things[start : start + COLUMNS] for start in range(0, len(things), COLUMNS))


def _near(sketches: dict[str, frozenset[int]]) -> list[tuple[str, str]]:
    """Give the pairs of which a sketch shares most of the least hashes of both."""
    import numpy as np
    from scipy.sparse import csr_matrix, triu

    codes = sorted(sketches)
    places: dict[int, int] = {}
    rows = [
        (at, places.setdefault(one, len(places))) for at, code in enumerate(codes) for one in sketches[code]
    ]
    if not rows:
        return []
    ones = np.ones(len(rows), dtype=np.int32)
    of_hashes = csr_matrix((ones, tuple(zip(*rows, strict=True))), shape=(len(codes), len(places)))
    shared = triu(of_hashes @ of_hashes.T, k=1).tocoo()
    pairs = []
    for row, column, count in zip(shared.row, shared.col, shared.data, strict=True):
        first, second = codes[row], codes[column]
        if count < NEAR * max(len(sketches[first]), len(sketches[second])):
            continue
        least = sorted(sketches[first] | sketches[second])[:SKETCH]
        both = sum(number in sketches[first] and number in sketches[second] for number in least)
        if both >= NEAR * len(least):
            pairs.append((first, second))
    return sorted(pairs)


def _count(published: Published, rows: str, pairs: Sequence[tuple[Entry, Entry]]) -> Iterator[TagPair]:
    """Count pairs person by person and give those that are equal."""
    sql = []
    for first, second in pairs:
        are_equal = f"{_comparable(first)} = {_comparable(second)}"
        sql += [
            f"count(CASE WHEN {_says(first)} OR {_says(second)} THEN 1 END)",
            f"count(CASE WHEN ({_says(first)} OR {_says(second)}) AND {are_equal} THEN 1 END)",
            f"count({identifier(first.code)})",
            f"count({identifier(second.code)})",
        ]
    counts = iter(published.rows(f"SELECT {', '.join(sql)} FROM {rows}")[0])
    for first, second in pairs:
        saying, equal, first_count, second_count = (next(counts) for _ in range(4))
        if equal > LEAST_SHARE * saying:
            yield TagPair(first.code, second.code, "answers", equal / saying, first_count, second_count)


def _comparable(entry: Entry) -> str:
    """Give SQL of a value that equals that of another tag where both are of one kind, whatever their numbers' types."""
    column = identifier(entry.code)
    if entry.value.cardinality == "set":
        return f"array_to_string(list_sort({column}), chr(31))"
    return f"{column}::DOUBLE::VARCHAR" if entry.value.type in _NUMBERS else f"{column}::VARCHAR"


def _says(entry: Entry) -> str:
    """Give SQL that is true where a value says something."""
    column = identifier(entry.code)
    if entry.value.cardinality == "set":
        return f"len({column}) > 0"
    nothing: list[object] = [entry.default] if entry.null_rule == "Z" and entry.default is not None else []
    if entry.value.type == "boolean":
        nothing.append(False)
    elif entry.value.type in _NUMBERS:
        nothing.append(0)
    values = ", ".join(dict.fromkeys(map(literal, nothing)))
    return f"({column} IS NOT NULL AND {column} NOT IN ({values}))" if values else f"{column} IS NOT NULL"
