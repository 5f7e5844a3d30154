"""Buckets: a person's fixed place between 0 and 9999 under a salt, the same in Python, Spark SQL and DuckDB.

One salt per purpose. With a shared salt a 5 % rollout would lie wholly inside a 10 % hold-out.
"""

from __future__ import annotations

from hashlib import sha256

from lakehouse.query.words import literal

BUCKETS = 10_000


def share(percent: float) -> int:
    """Give how many of the 10,000 buckets a percentage is."""
    return round(percent * BUCKETS / 100)


def bucket(salt: str, one_id: int) -> int:
    """Give the bucket (0…9999) of a OneID under ``salt``: 60 bits of SHA-256 over ``salt|one_id``."""
    return int(sha256(f"{salt}|{one_id}".encode()).hexdigest()[:15], 16) % BUCKETS


def salted_bucket_sql(salt: str, one_id: str) -> str:
    """Give the same as Spark SQL; salt and OneID are expressions."""
    text = f"concat({salt}, '|', cast({one_id} as string))"
    return f"cast(conv(substr(sha2({text}, 256), 1, 15), 16, 10) as bigint) % {BUCKETS}"


def bucket_duckdb_sql(salt: str, one_id: str = "one_id") -> str:
    """Give the same as a DuckDB expression over the column ``one_id``."""
    text = f"concat({literal(salt)}, '|', cast({one_id} as varchar))"
    return f"(cast(concat('0x', substr(sha256({text}), 1, 15)) as bigint) % {BUCKETS})"
