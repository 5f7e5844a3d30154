"""Seeded draws, and numbers, days and money as texts, without a Python loop per person.

Every topic has its own generator. So a new draw in one place changes nothing elsewhere, and a further night changes no earlier
night.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", dtype=np.uint8)
FOUR_DIGITS = (np.arange(10_000)[:, None] // np.array([1000, 100, 10, 1]) % 10 + 48).astype(np.uint8)
HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def generator(seed: int, *topic: str | int) -> np.random.Generator:
    """Give the generator of one topic, e.g. `generator(7, "phones", 0)`; the same seed and topic give the same draws anywhere."""
    digest = hashlib.blake2b("|".join(map(str, topic)).encode(), digest_size=16).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def weighted_choices(draws: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Give indexes 0…len(weights)−1 by weight (any positive sum), one for each uniform draw."""
    edges = np.cumsum(np.asarray(weights, dtype=float))
    return np.searchsorted(edges / edges[-1], draws, side="right").clip(0, len(edges) - 1)


def scatter(numbers: np.ndarray, digits: int, salt: int) -> np.ndarray:
    """Map distinct numbers below 10**digits to distinct numbers below 10**digits, so that consecutive people get unlike numbers.

    An affine map whose factor is odd and no multiple of 5 is a permutation modulo a power of ten.
    """
    modulus = 10**digits
    factor = (618_033 + 20 * (salt % 1000)) | 1
    factor += 2 if factor % 5 == 0 else 0
    return (numbers.astype(np.int64) % modulus * factor + (salt * 7_919 + 31) % modulus) % modulus


def mix(numbers: np.ndarray, salt: int) -> np.ndarray:
    """Give a bijection on 64-bit numbers (splitmix64), for tokens that look random and never collide."""
    with np.errstate(over="ignore"):
        mixed_value = numbers.astype(np.uint64) + np.uint64(salt) * np.uint64(0x9E3779B97F4A7C15)
        mixed_value = (mixed_value ^ (mixed_value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed_value = (mixed_value ^ (mixed_value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed_value ^ (mixed_value >> np.uint64(31))


def strings_of(characters: np.ndarray) -> pa.Array:
    """Give a string array from a matrix of ASCII codes, one row a string."""
    count, width = characters.shape
    offsets = np.arange(count + 1, dtype=np.int64) * width
    data = np.ascontiguousarray(characters, dtype=np.uint8)
    return pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))


def digits_of(numbers: np.ndarray, width: int) -> np.ndarray:
    """Give the decimal digits of non-negative numbers as ASCII codes, zero-padded: a matrix with `width` columns."""
    groups = -(-width // 4)  # four digits at a time from a table: division is slow
    text = np.empty((len(numbers), groups * 4), dtype=np.uint8)
    rest = numbers.astype(np.int64)
    for group in range(groups - 1, -1, -1):
        rest, low = np.divmod(rest, 10_000)
        text[:, group * 4 : group * 4 + 4] = FOUR_DIGITS[low]
    return text[:, groups * 4 - width :]


def numbered_texts(prefix: str, numbers: np.ndarray, width: int) -> pa.Array:
    """Give `prefix` and each number, zero-padded to `width` digits."""
    prefix_codes = np.frombuffer(prefix.encode(), dtype=np.uint8)
    return strings_of(
        np.hstack(
            [np.broadcast_to(prefix_codes, (len(numbers), len(prefix_codes))), digits_of(numbers, width)]
        )
    )


def tokens(
    prefix: str, numbers: np.ndarray, width: int, salt: int, alphabet: np.ndarray = LETTERS
) -> pa.Array:
    """Give `prefix` and `width` characters that look random and differ for different numbers (width ≥ 11, or 16 for hex)."""
    places_per_word, columns, radix = (16, [], 4) if len(alphabet) == 16 else (10, [], 6)
    mask = np.uint64((1 << radix) - 1)
    words = -(-width // places_per_word)
    for word in range(words):
        value = mix(numbers, salt * 31 + word)
        for place in range(min(places_per_word, width - word * places_per_word)):
            columns.append(alphabet[((value >> np.uint64(radix * place)) & mask).astype(np.int64)])
    prefix_codes = np.frombuffer(prefix.encode(), dtype=np.uint8)
    characters = np.stack(columns, axis=1) if columns else np.empty((len(numbers), 0), dtype=np.uint8)
    return strings_of(
        np.hstack([np.broadcast_to(prefix_codes, (len(numbers), len(prefix_codes))), characters])
    )


def amounts(cents: np.ndarray) -> pa.Array:
    """Give whole cents as decimal(18,2)."""
    words = np.empty((len(cents), 2), dtype=np.int64)
    words[:, 0] = cents
    words[:, 1] = cents.astype(np.int64) >> 63
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [None, pa.py_buffer(words)])


def days(numbers: np.ndarray, is_missing: np.ndarray | None = None) -> pa.Array:
    """Give day numbers since 1970-01-01 as dates; `is_missing` marks nulls."""
    return pa.array(numbers.astype(np.int32), mask=is_missing, type=pa.int32()).cast(pa.date32())


def compact_days(numbers: np.ndarray, is_missing: np.ndarray | None = None) -> pa.Array:
    """Give day numbers as text yyyyMMdd."""
    return _day_texts(numbers, is_missing, "")


def slashed_days(numbers: np.ndarray, is_missing: np.ndarray | None = None) -> pa.Array:
    """Give day numbers as text yyyy/MM/dd."""
    return _day_texts(numbers, is_missing, "/")


def _day_texts(numbers: np.ndarray, is_missing: np.ndarray | None, separator: str) -> pa.Array:
    years, months, dates = calendar(numbers)
    separator_codes = np.frombuffer(separator.encode(), dtype=np.uint8)
    separators = np.broadcast_to(separator_codes, (len(numbers), len(separator_codes)))
    text = strings_of(
        np.hstack([digits_of(years, 4), separators, digits_of(months, 2), separators, digits_of(dates, 2)])
    )
    return (
        text
        if is_missing is None
        else pc.if_else(pa.array(~is_missing), text, pa.scalar(None, pa.large_string()))
    )


def calendar(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give year, month and day of month of day numbers."""
    stamps = numbers.astype("datetime64[D]")
    months = stamps.astype("datetime64[M]")
    return (
        months.astype("datetime64[Y]").astype(np.int64) + 1970,
        months.astype(np.int64) % 12 + 1,
        (stamps - months.astype("datetime64[D]")).astype(np.int64) + 1,
    )


def clock_text(seconds: np.ndarray) -> np.ndarray:
    """Give seconds of the day as ASCII codes of HH:mm:ss."""
    colon = np.full((len(seconds), 1), 58, dtype=np.uint8)
    hours, rest = seconds // 3600, seconds % 3600
    return np.hstack([digits_of(hours, 2), colon, digits_of(rest // 60, 2), colon, digits_of(rest % 60, 2)])


def moments(numbers: np.ndarray, seconds: np.ndarray) -> pa.Array:
    """Give local day and second of the day as 2026-11-18T09:12:33+08:00."""
    years, months, dates = calendar(numbers)
    count = len(numbers)
    dash, letter_t = np.full((count, 1), 45, dtype=np.uint8), np.full((count, 1), 84, dtype=np.uint8)
    zone = np.broadcast_to(np.frombuffer(b"+08:00", dtype=np.uint8), (count, 6))
    parts = [
        digits_of(years, 4),
        dash,
        digits_of(months, 2),
        dash,
        digits_of(dates, 2),
        letter_t,
        clock_text(seconds),
        zone,
    ]
    return strings_of(np.hstack(parts))


def join_texts(*parts: pa.Array | str) -> pa.Array:
    """Put strings together row by row; a null part counts as empty."""
    text = [
        pa.scalar(p, pa.large_string()) if isinstance(p, str) else p.cast(pa.large_string()) for p in parts
    ]
    return pc.binary_join_element_wise(
        *text, pa.scalar("", pa.large_string()), null_handling="replace", null_replacement=""
    )


def texts_at(values: Sequence[str | None], indexes: np.ndarray) -> pa.Array:
    """Give the values at the indexes, as strings."""
    return pa.array(values, pa.large_string()).take(pa.array(indexes))


def replace_where(values: pa.Array, mask: np.ndarray, replacement: pa.Array | str | None) -> pa.Array:
    """Give `values` with `replacement` where the mask is true; an array replacement has one entry per true mask."""
    if not mask.any():
        return values
    if isinstance(replacement, pa.Array):
        entries = replacement.cast(values.type)
    else:
        entries = pa.array([replacement] * int(mask.sum()), values.type)
    return pc.replace_with_mask(values, pa.array(mask), entries)
