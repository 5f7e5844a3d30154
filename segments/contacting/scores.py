"""The score of a candidate: one number that is ordered by priority, then expected value, then a salted hash."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

# A double has 53 bits: 7 for a priority of at most 100, the rest for the value's share of the night's highest and the hash.
VALUE_BITS = 24
HASH_BITS = 22


def value_scale(highest: float) -> float:
    """Give a power of two above the highest expected value of a night."""
    return float(2.0 ** np.frexp(highest)[1]) if highest > 0 else 1.0


def base_score(priority: int, values: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Give priority and expected value as one number: the value, from 0 to below ``scale``, is the part below 1.

    Values that differ by less than ``scale`` / 2**24 count as equal; a negative or unknown one counts as 0.
    """
    shares = np.nan_to_num(np.maximum(values, 0.0), nan=0.0, posinf=0.0) / scale
    return priority + np.floor(shares * 2.0**VALUE_BITS) / 2.0**VALUE_BITS


def tie_part(code: str, one_ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give each person's salted hash for a segment, as the part of a score below every value.

    The mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood 2014), which takes nanoseconds where a SHA-256
    takes microseconds; the salt is the first 64 bits of the SHA-256 of ``contact:<code>``.
    """
    salt = np.uint64(int.from_bytes(sha256(f"contact:{code}".encode()).digest()[:8], "big"))
    mixed = one_ids.astype(np.uint64) ^ salt
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(64 - HASH_BITS)).astype(np.float64) * 2.0 ** -(VALUE_BITS + HASH_BITS)


def without_tie(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give scores without the part of their hash."""
    return np.floor(scores * 2.0**VALUE_BITS) / 2.0**VALUE_BITS
