"""What records say about people, as codes: names, birth dates, genders, kinds. Only legal ones may contradict."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.graph import ABSENT, UNDATED
from identity.names import comparable_names
from identity.rules import Rules

# Fewer records than this say nothing about how common a name is.
_OFTEN = 20
# Days systems write when they know none.
_NO_BIRTH_DATES = [date(1900, 1, 1), date(1970, 1, 1), date(1899, 12, 31), date(1, 1, 1), date(9999, 12, 31)]


@dataclass(frozen=True)
class Facts:
    """One entry per profile, in the order of the rows it was asked for."""

    legal_names: dict[str, np.ndarray]
    birth_dates: np.ndarray
    genders: np.ndarray
    kinds: np.ndarray


def born_before(business_date: date, age: int) -> int:
    """Give the last birth date (days since 1970) of people who are ``age`` years old on the day."""
    day = 28 if (business_date.month, business_date.day) == (2, 29) else business_date.day
    return (date(business_date.year - age, business_date.month, day) - date(1970, 1, 1)).days


def look_up(
    firsts: pa.ChunkedArray,
    seconds: pa.ChunkedArray,
    known_firsts: pa.ChunkedArray,
    known_seconds: pa.ChunkedArray,
    answers: pa.Array | pa.ChunkedArray,
) -> np.ndarray:
    """Give the answer of the known pair equal to each pair, ABSENT where there is none."""
    found = np.full(len(firsts), ABSENT, dtype=np.int64)
    told = answers.to_numpy()
    for first in pc.unique(firsts).to_pylist():
        mine = np.flatnonzero(pc.equal(firsts, first).to_numpy(zero_copy_only=False))
        theirs = np.flatnonzero(pc.equal(known_firsts, first).to_numpy(zero_copy_only=False))
        if len(theirs):
            at = pc.index_in(seconds.take(pa.array(mine)), value_set=known_seconds.take(pa.array(theirs)))
            at = pc.fill_null(at, -1).to_numpy()
            found[mine[at >= 0]] = told[theirs[at[at >= 0]]]
    return found


def facts_of_profiles(
    customers: pa.Table, profile_rows: pa.Table, rules: Rules, *, documented: np.ndarray
) -> Facts:
    """Give facts of profiles; ``documented`` marks those whose record carries an identity document."""
    size = profile_rows.num_rows
    births, genders = np.full(size, UNDATED, dtype=np.int32), np.full(size, ABSENT, dtype=np.int8)
    kinds = np.full(size, None, dtype=object)
    legal = {key: np.full(size, ABSENT, dtype=np.int64) for key in ("han", "latin", "surname")}
    if not customers.num_rows:
        return Facts(legal, births, genders, kinds)
    # Several feeds of one source may describe one profile: the first row in the order of all columns speaks.
    columns = ["source", "source_key", "kind", "full_name", "birth_date", "gender"]
    rows = customers.select(columns).sort_by([(c, "ascending") for c in columns])
    at = look_up(
        rows["source"],
        rows["source_key"],
        profile_rows["source"],
        profile_rows["source_key"],
        pa.array(np.arange(size)),
    )
    backwards = np.argsort(at, kind="stable")[::-1]
    at = at[backwards]
    source_ok = pc.is_in(profile_rows["source"], value_set=pa.array(rules.names.legal_sources, pa.string()))
    sure = documented | source_ok.to_numpy(zero_copy_only=False)
    encoded = pc.dictionary_encode(rows["full_name"].combine_chunks())
    indices = pc.fill_null(encoded.indices, ABSENT).to_numpy(zero_copy_only=False).astype(np.int64)[backwards]
    names = comparable_names(encoded.dictionary, rules.names)
    counts = (sure[at] | np.r_[names.looks_legal, False][indices]) & ~_overused(
        rows["source"], indices, backwards, rules
    )
    for key, keys in (("han", names.han), ("latin", names.latin), ("surname", names.surnames)):
        codes = np.r_[_codes(keys), ABSENT][indices]
        legal[key][at] = np.where(counts, codes, ABSENT)
    day = rows["birth_date"].cast(pa.date32())
    day = pc.if_else(
        pc.is_in(day, value_set=pa.array(_NO_BIRTH_DATES, pa.date32())), pa.scalar(None, pa.date32()), day
    )
    births[at] = pc.fill_null(day.cast(pa.int32()), int(UNDATED)).to_numpy()[backwards]
    gender = pc.fill_null(pc.index_in(rows["gender"], value_set=pa.array(["F", "M"])), ABSENT)
    genders[at] = gender.to_numpy()[backwards]
    births[~sure], genders[~sure] = UNDATED, ABSENT
    kinds[at] = np.array(rows["kind"].to_pylist(), dtype=object)[backwards]
    return Facts(legal, births, genders, kinds)


def _overused(sources: pa.ChunkedArray, names: np.ndarray, order: np.ndarray, rules: Rules) -> np.ndarray:
    """Tell which rows carry a name too many records of their source carry; no people share one so often."""
    if rules.names.max_share is None or not len(names):
        return np.zeros(len(names), dtype=bool)
    encoded = pc.dictionary_encode(sources.combine_chunks())
    source = encoded.indices.to_numpy()[order].astype(np.int64)
    _, place, counts = np.unique(
        source * (names.max() + 2) + names + 1, return_inverse=True, return_counts=True
    )
    of_source = np.bincount(source)[source]
    often = counts[place.reshape(-1)]
    return (often >= _OFTEN) & (often > rules.names.max_share * of_source)


def _codes(keys: pa.StringArray) -> np.ndarray:
    """Give each key's place among the sorted keys, ABSENT for null."""
    known = pc.unique(keys.drop_null())
    known = known.take(pc.sort_indices(known))
    return (
        pc.fill_null(pc.index_in(keys, value_set=known), ABSENT)
        .to_numpy(zero_copy_only=False)
        .astype(np.int64)
    )
