"""How far what tags read has come: which tables are late, and which are delivered and stand still."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from lakehouse.contracts.reading import contract, contract_names
from lakehouse.query.words import identifier, literal

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk
    from vocabulary.registry import Entry, Registry

# How far back deliveries and events are looked at, and how many deliveries tell how often a feed delivers.
DAYS = 60
DAYS_OF_SELDOM = 365
# Fewer active days do not say what is usual: of less than two gaps there is no longest but one.
LEAST_DAYS = 4
GAPS = 20
LEAST_DELIVERIES = 4
# A table is late where the feeds that bring so much of its rows are.
MOST_ROWS = 0.5
# A table that has fewer rows in these days has days without any for no reason.
LEAST_ROWS = 1_000
# A day counts as one on which things happened from this share of a usual day's rows on.
LEAST_OF_DAY = 0.1


@dataclass(frozen=True)
class Lateness:
    """A feed or a table that is late: how many days, and the day up to which it has delivered."""

    days: int
    delivered_on: dt.date


@dataclass(frozen=True)
class Sources:
    """The tables that tags read: how far each is delivered, which are late, and since when those stand that are not."""

    delivered_on: Mapping[str, dt.date]
    late_feeds: Mapping[str, Lateness]
    late_tables: Mapping[str, Lateness]
    frozen_days: Mapping[str, int]

    def of_tag(self, tables: Iterable[str]) -> tuple[dt.date | None, Lateness | None]:
        """Give of some tables the day of the one that is furthest behind, and the lateness of the latest."""
        tables = set(tables)
        days = [self.delivered_on[table] for table in tables if table in self.delivered_on]
        late = [self.late_tables[table] for table in tables if table in self.late_tables]
        return min(days, default=None), max(late, key=lambda one: one.days, default=None)


def tables_read(registry: Registry, entry: Entry) -> frozenset[str]:
    """Give the trusted tables whose columns a tag reads, by itself and through other tags."""
    tables: set[str] = set()
    codes, waiting = {entry.code}, [entry]
    while waiting:
        one = waiting.pop()
        tables |= {".".join(column.split(".")[:2]) for column in one.column_inputs}
        others = [code for code in one.tag_inputs if code not in codes and code in registry.entries]
        codes.update(others)
        waiting += [registry.entries[code] for code in others]
    return frozenset(tables & set(contract_names("trusted")))


def read_sources(
    desk: Desk, tables: Iterable[str], business_date: dt.date, allowances: Mapping[str, int]
) -> Sources:
    """Give the state of tables on a business date, from the ledger of files and the tables themselves.

    ``allowances`` as in ``read_lateness``.
    """
    names = set(tables)
    by_ledger = read_lateness(desk, names, business_date, allowances)
    frozen = {}
    for table in sorted(by_ledger.delivered_on.keys() - by_ledger.late_tables.keys()):
        if (still := _days_still(desk, table, business_date)) is not None:
            frozen[table] = still
    return replace(by_ledger, frozen_days=frozen)


def read_lateness(
    desk: Desk, tables: Iterable[str], business_date: dt.date, allowances: Mapping[str, int]
) -> Sources:
    """Give how far tables are delivered on a business date and which are late, from the ledger of files alone.

    ``allowances`` are the days that a feed may be late by its own statement. A feed without one is expected as often as its
    deliveries so far came; before the fourth nobody knows that, and it is not late.
    """
    days: dict[str, list[dt.date]] = {}
    for feed, day in desk.rows(
        "SELECT feed, business_date FROM landing.files WHERE status IN ('loaded', 'repeated', 'corrected')"
        f" AND business_date <= {literal(business_date)} AND arrived_on <= {literal(business_date)}"
        " GROUP BY ALL ORDER BY ALL"
    ):
        days.setdefault(feed, []).append(day)
    late_feeds = {}
    for feed, deliveries in days.items():
        late_days = (business_date - deliveries[-1]).days - _usual_days(deliveries, allowances.get(feed))
        if late_days > 0:
            late_feeds[feed] = Lateness(late_days, deliveries[-1])
    rows_by_table: dict[str, dict[str, float]] = {}
    for table, feed, count in desk.rows(
        "SELECT table_name, feed, avg(accepted) FROM (SELECT *, row_number()"
        " OVER (PARTITION BY feed, table_name ORDER BY arrived_on DESC, path) AS age FROM landing.loads"
        f" WHERE arrived_on <= {literal(business_date)}) WHERE age <= {GAPS} GROUP BY ALL HAVING sum(accepted) > 0"
    ):
        rows_by_table.setdefault(table, {})[feed] = count
    names = set(tables)
    delivered_on, late_tables = {}, {}
    for table in sorted(names & set(rows_by_table)):
        weights = {feed: count for feed, count in rows_by_table[table].items() if feed in days}
        late = [feed for feed in weights if feed in late_feeds]
        if sum(weights[feed] for feed in late) >= MOST_ROWS * sum(weights.values()) and late:
            late_tables[table] = Lateness(
                max(late_feeds[feed].days for feed in late),
                min(late_feeds[feed].delivered_on for feed in late),
            )
            delivered_on[table] = late_tables[table].delivered_on
        elif weights:
            delivered_on[table] = max(days[feed][-1] for feed in weights)
    return Sources(delivered_on, late_feeds, late_tables, {})


def _usual_days(deliveries: list[dt.date], allowance: int | None) -> int:
    """Give how many days after its newest delivery a feed is still in time.

    Of the newest gaps between deliveries the longest but one: a single outage is no habit, weekends are.
    """
    if allowance is not None:
        return allowance
    if len(deliveries) < LEAST_DELIVERIES:
        return dt.date.max.toordinal()
    gaps = [(later - earlier).days for earlier, later in pairwise(deliveries)][-GAPS:]
    return sorted(gaps)[-2] - 1


def _days_still(desk: Desk, table: str, business_date: dt.date) -> int | None:
    """Give for how many days nothing new has happened in a table of facts, beyond what is usual there.

    Usual are the longest but one of the gaps between its days, and how far its nights have lain behind so far. What happens
    seldom, like what is booked by the month, is looked at over a year. None for tables that have no day of their own, few rows
    or too few days to say what is usual.
    """
    contract_of_table = contract(table)
    if contract_of_table.shape != "fact" or contract_of_table.event_date is None:
        return None
    day = identifier(contract_of_table.event_date)
    for days in (DAYS, DAYS_OF_SELDOM):
        first = business_date - dt.timedelta(days=days)
        within = f"{day} BETWEEN {literal(first)} AND {literal(business_date)} AND _arrived_on <= {literal(business_date)}"
        counts = desk.rows(f"SELECT {day}, count(*) FROM {table} WHERE {within} GROUP BY ALL ORDER BY ALL")
        least = LEAST_OF_DAY * median([count for _, count in counts] or [0])
        active = [each for each, count in counts if count >= least]
        if len(active) >= LEAST_DAYS:
            break
    if sum(count for _, count in counts) < LEAST_ROWS:
        return None
    gaps = sorted((later - earlier).days for earlier, later in pairwise(active))
    if len(gaps) < 2:
        return None
    lags = [
        (arrived_on - newest).days
        for arrived_on, newest in desk.rows(
            f"SELECT _arrived_on, max({day}) FROM {table} WHERE {within} AND _arrived_on < {literal(business_date)}"
            " GROUP BY ALL ORDER BY 1 DESC LIMIT 14"
        )
    ]
    usual = gaps[-2] - 1 + max(0, int(median(lags)) if lags else 0)
    return max(0, (business_date - active[-1]).days - usual)
