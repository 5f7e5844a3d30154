"""What readers have seen of a night already: the map that its newest publication shows, before the night is run again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

PUBLICATIONS = "ops.publications"
CORRECTIONS = "identity.corrections"
LINEAGE = "identity.lineage_events"
MEMBERSHIPS = "identity.memberships"
_NIGHTS = "identity.nights"


@dataclass(frozen=True)
class PublishedNight:
    """The night as it was published last.

    ``memberships`` are the rows of the published map that begin or end on the night. ``corrections`` and ``lineage`` are
    what readers see of earlier corrections of the night.
    """

    seq: int
    memberships: pa.Table
    rules_version: str
    decisions: str
    corrections: pa.Table
    lineage: pa.Table


def published_night(lake: Lake, business_date: date) -> PublishedNight | None:
    """Give what was published of the night; None where nothing was."""
    if not lake.exists(PUBLICATIONS):
        return None
    entries = lake.read_arrow(PUBLICATIONS, columns=["seq", "business_date", "tables"])
    of_night = entries.filter(pc.equal(entries["business_date"], _day(business_date)))
    if not of_night.num_rows:
        return None
    seq, tables = _newest(of_night)
    if MEMBERSHIPS not in tables or _NIGHTS not in tables:
        return None
    _, newest_tables = _newest(entries)
    memberships = lake.read_arrow(MEMBERSHIPS, version=tables[MEMBERSHIPS])
    is_of_night = pc.or_kleene(
        pc.equal(memberships["valid_from"], _day(business_date)),
        pc.fill_null(pc.equal(memberships["valid_to"], _day(business_date)), fill_value=False),
    )
    nights = lake.read_arrow(_NIGHTS, version=tables[_NIGHTS])
    night = nights.filter(pc.equal(nights["_arrived_on"], _day(business_date))).to_pylist()
    if not night:
        return None
    return PublishedNight(
        seq,
        memberships.filter(is_of_night),
        night[0]["rules_version"],
        night[0]["decisions"],
        _corrections(lake, newest_tables, CORRECTIONS, "publication_seq", business_date),
        _corrections(lake, newest_tables, LINEAGE, "corrects", business_date),
    )


def _newest(publications: pa.Table) -> tuple[int, dict[str, int]]:
    row = max(publications.to_pylist(), key=lambda entry: entry["seq"])
    return row["seq"], {entry["table"]: entry["version"] for entry in row["tables"]}


def _corrections(
    lake: Lake, versions: dict[str, int], table: str, column: str, business_date: date
) -> pa.Table:
    """Give the rows of a table that correct earlier publications of the night, as the newest publication shows them."""
    if table not in versions:
        return lake.read_arrow(table).slice(0, 0)
    rows = lake.read_arrow(table, version=versions[table])
    if column not in rows.column_names:
        return lake.read_arrow(table).slice(0, 0)
    return rows.filter(pc.and_(pc.is_valid(rows[column]), pc.equal(rows["happened_on"], _day(business_date))))


def _day(day: date) -> pa.Scalar:
    return pa.scalar(day, pa.date32())
