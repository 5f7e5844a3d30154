"""Rows that tables lost since the last publication of an earlier night: nothing a night does takes rows away.

Facts, states, dictionaries and logs only grow from one night to the next, whatever is rerun. A derived table is made anew
each night and may be smaller; one that loses most of its rows lost what it is made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from lakehouse.contracts.contract import Bound
from lakehouse.gates.gates import Measure, with_threshold
from lakehouse.query.published import Publication

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

LOST = "rows_lost_ratio"
# A derived table is judged from so many lost rows on: small ones shrink by half for good reasons.
DERIVED_ROWS = 1_000
DERIVED_RATIO = 0.5


def publication_before(entries: Sequence[Publication], business_date: date) -> Publication | None:
    """Give the last publication of an earlier business date; None before the second night."""
    earlier = [entry for entry in entries if entry.business_date < business_date]
    return max(earlier, key=lambda entry: entry.seq, default=None)


def lost_rows(lake: Lake, before: Publication) -> list[Measure]:
    """Give one measure for each table that has fewer rows than a publication named, with its bound."""
    measures = []
    for name, content in sorted((before.contents or {}).items()):
        if name not in lake.contracts.names() or not lake.exists(name):
            continue
        lost_count = content.rows - lake.row_count(name)
        is_derived = lake.contracts.get(name).shape == "derived"
        if lost_count <= 0 or (is_derived and lost_count < DERIVED_ROWS):
            continue
        why = (
            f"{lost_count} of {content.rows} rows that {before.business_date} published are gone; "
            + ("what it is made from is not whole" if is_derived else "nothing a night does takes rows away")
        )  # fmt: skip
        bound = Bound(LOST, "1 - rows / rows published before", why, max=DERIVED_RATIO if is_derived else 0)
        bound = with_threshold(bound, lake.settings, f"{name}.{LOST}")
        measures.append(Measure(name, bound, lost_count / content.rows))
    return measures
