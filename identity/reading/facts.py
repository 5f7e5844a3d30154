"""What records say about people, as codes: names, birth dates, genders, kinds. Only legal ones may contradict."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.reading.graph import ABSENT, UNDATED
from identity.rules.names import comparable_names
from identity.rules.rules import Rules
from vocabulary.policy import EARLIEST_BIRTH_DATE, NO_BIRTH_DATES

# Fewer records than this say nothing about how common a name is.
LEAST_COMMON = 20


@dataclass(frozen=True)
class Facts:
    """One entry per profile, in the order of the rows it was asked for."""

    legal_names: dict[str, np.ndarray]
    birth_dates: np.ndarray
    genders: np.ndarray
    kinds: np.ndarray


def come_of_age(birth_dates: np.ndarray, business_date: date, age: int) -> np.ndarray:
    """Give the day (since 1970) on which people become ``age`` years old; UNDATED where that is past or unknown.

    Who was born on 29 February comes of age on 1 March of a year without one.
    """
    born = np.where(birth_dates == UNDATED, 0, birth_dates).astype("datetime64[D]")
    month = born.astype("datetime64[M]")
    days = (
        (month + np.timedelta64(12 * age, "M")).astype("datetime64[D]")
        + (born - month.astype("datetime64[D]"))
    ).astype(np.int64)
    young = (birth_dates != UNDATED) & (days > days_of(business_date))
    return np.where(young, days, UNDATED).astype(np.int32)


def is_impossible(birth_dates: np.ndarray, business_date: date) -> np.ndarray:
    """Tell which birth dates nobody who lives can have: years are mistyped, and such a date says nothing about age."""
    is_dated = birth_dates != UNDATED
    return np.asarray(
        is_dated & ((birth_dates > days_of(business_date)) | (birth_dates < days_of(EARLIEST_BIRTH_DATE)))
    )


def days_of(day: date) -> int:
    """Give a date as days since 1970."""
    return (day - date(1970, 1, 1)).days


def common_names(customers: pa.Table, rules: Rules) -> pa.Table:
    """Give (source, full_name) of names that too many records of a source carry to be somebody's.

    It is the one thing identity knows about all records together, so nights that look at a few of them are given it.
    """
    counts = customers.group_by(["source", "full_name"]).aggregate([([], "count_all")])
    return common_among(counts.rename_columns({"count_all": "n"}), rules)


def common_among(counts: pa.Table, rules: Rules, sizes: pa.Table | None = None) -> pa.Table:
    """Give the names that are nobody's among (source, full_name, n), ``n`` records of the source with that name.

    ``sizes`` (source, n) are the records of each source; without them ``counts`` has all names.
    """
    if rules.names.max_share is None or not counts.num_rows:
        return counts.select(["source", "full_name"]).slice(0, 0)
    if sizes is None:
        sizes = counts.group_by(["source"]).aggregate([("n", "sum")]).rename_columns({"n_sum": "n"})
    size = sizes["n"].take(pc.index_in(counts["source"], value_set=sizes["source"]))
    often = pc.and_(
        pc.greater_equal(counts["n"], LEAST_COMMON),
        pc.greater(
            counts["n"].cast(pa.float64()), pc.multiply(size.cast(pa.float64()), rules.names.max_share)
        ),
    )
    return counts.filter(pc.and_(often, pc.is_valid(counts["full_name"]))).select(["source", "full_name"])


def look_up(
    firsts: pa.ChunkedArray,
    seconds: pa.ChunkedArray,
    known_firsts: pa.ChunkedArray,
    known_seconds: pa.ChunkedArray,
    answers: pa.Array | pa.ChunkedArray,
) -> np.ndarray:
    """Give the answer of the known pair equal to each pair, ABSENT where there is none."""
    result = np.full(len(firsts), ABSENT, dtype=np.int64)
    values = answers.to_numpy()
    for first in pc.unique(firsts).to_pylist():
        mine = np.flatnonzero(pc.equal(firsts, first).to_numpy(zero_copy_only=False))
        theirs = np.flatnonzero(pc.equal(known_firsts, first).to_numpy(zero_copy_only=False))
        if len(theirs):
            at = pc.index_in(seconds.take(pa.array(mine)), value_set=known_seconds.take(pa.array(theirs)))
            at = pc.fill_null(at, -1).to_numpy()
            result[mine[at >= 0]] = values[theirs[at[at >= 0]]]
    return result


def facts_of_profiles(
    customers: pa.Table, profile_rows: pa.Table, rules: Rules, *, documented: np.ndarray, common: pa.Table
) -> Facts:
    """Give facts of profiles; ``documented`` marks those whose record carries an identity document.

    ``common`` are names that are nobody's (``common_names``).
    """
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
    counts = (sure[at] | np.r_[names.looks_legal, False][indices]) & ~_is_common(rows, common)[backwards]
    for key, keys in (("han", names.han), ("latin", names.latin), ("surname", names.surnames)):
        codes = np.r_[_codes(keys), ABSENT][indices]
        legal[key][at] = np.where(counts, codes, ABSENT)
    day = rows["birth_date"].cast(pa.date32())
    day = pc.if_else(
        pc.is_in(day, value_set=pa.array(list(NO_BIRTH_DATES), pa.date32())),
        pa.scalar(None, pa.date32()),
        day,
    )
    births[at] = pc.fill_null(day.cast(pa.int32()), int(UNDATED)).to_numpy()[backwards]
    gender = pc.fill_null(pc.index_in(rows["gender"], value_set=pa.array(["F", "M"])), ABSENT)
    genders[at] = gender.to_numpy()[backwards]
    births[~sure], genders[~sure] = UNDATED, ABSENT
    kinds[at] = np.array(rows["kind"].to_pylist(), dtype=object)[backwards]
    return Facts(legal, births, genders, kinds)


def _is_common(rows: pa.Table, common: pa.Table) -> np.ndarray:
    """Tell which rows carry a name that is nobody's in their source."""
    if not common.num_rows:
        return np.zeros(rows.num_rows, dtype=bool)
    places = look_up(
        rows["source"],
        rows["full_name"],
        common["source"],
        common["full_name"],
        pa.array(np.arange(common.num_rows)),
    )
    return places != ABSENT


def _codes(keys: pa.StringArray) -> np.ndarray:
    """Give each key's place among the sorted keys, ABSENT for null."""
    distinct_keys = pc.unique(keys.drop_null())
    distinct_keys = distinct_keys.take(pc.sort_indices(distinct_keys))
    return (
        pc.fill_null(pc.index_in(keys, value_set=distinct_keys), ABSENT)
        .to_numpy(zero_copy_only=False)
        .astype(np.int64)
    )
