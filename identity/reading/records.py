"""The records identity reads: rows of customers and of identifier observations, and the columns that count."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from identity.reading.tables import OPEN
from lakehouse.query.desk import Desk, Relation

COLUMNS = {
    "trusted.customers": ("source", "source_key", "kind", "full_name", "gender", "birth_date"),
    "trusted.identifier_observations": (
        "source",
        "source_key",
        "namespace",
        "value",
        "role",
        "verified",
        "observed_on",
        "hash_method",
    ),
}


@dataclass(frozen=True)
class PersonRecords:
    """Delivered rows of some profiles, all of each: ``COLUMNS`` of customers and of identifier observations."""

    customers: pa.Table
    observations: pa.Table


def records_on_day(desk: Desk, keys: Relation | None = None) -> PersonRecords:
    """Give the records that are open on the day, of all profiles or of those in ``keys`` (``source, source_key``)."""
    within = "" if keys is None else f"AND (source, source_key) IN (SELECT source, source_key FROM {keys})"
    customers, observations = (
        desk.arrow(f"SELECT {', '.join(columns)} FROM {table} WHERE {OPEN} {within}")
        for table, columns in COLUMNS.items()
    )
    return PersonRecords(customers, observations)
