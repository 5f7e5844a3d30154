"""What is known of earlier contacts: whom we sent to and what receipts tell of it, habits, branches and employees.

A contact is one message of a run to a person by one destination on one channel. Where receipts tell of it they count, by their
day and channel; where they say that it was never made it does not count; where they say nothing it counts as sent.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.query.words import literal, literals
from segments.choosing.leaf_tables import duckdb_sql
from vocabulary.audience import RUN_DIGITS
from vocabulary.contact_rules import (
    NEVER_MADE,
    NOT_A_TOUCH,
    habits_sql,
    lake_place,
    receipts_sql,
    shared_past_sql,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.query.reader import TableReader

_RECEIPT_TABLES = (
    *("trusted.receipts", "segments.recipients", "segments.deliveries"),
    *("identity.redirects", "identity.inheritances"),
)
# How long a night may put a contact off, in days: a contact may lie so much later than its business date.
MOST_DEFERRED_DAYS = 32
# Runs are delivered under their own name, with more behind it on worklists and where they are handed over again.
RUN_OF_DELIVERY = f"left(split_part(run_id, '-', 1), {RUN_DIGITS})"


def contact_history(reader: TableReader, desk: Desk, business_date: date, days: int) -> pa.Table:
    """Give the contacts of earlier nights that lie in the ``days`` days before the next one, or after it.

    One row per contact and person concerned: one_id (today's), code, run_id, contact_on, channel, placement, purpose. Who was
    split off after a contact counts it too. What the night of the business date itself sent does not count, so that a rerun
    decides the same.
    """
    first = business_date + timedelta(days=1 - days)
    tables = {
        name: desk.define(name, contracted_sql(reader, desk, name))
        for name in (
            "segments.members",
            "segments.contacts",
            "segments.contact_losses",
            "segments.deliveries",
            "identity.redirects",
            "identity.inheritances",
        )
    }
    receipts = duckdb_sql(reader, desk, receipts_sql(lake_place(business_date)), _RECEIPT_TABLES, {})
    sends = shared_past_sql(
        "FROM own_sends",
        ("code", "run_id", "destination", "purpose", "contact_on", "channel", "placement"),
        str(tables["identity.redirects"]),
        str(tables["identity.inheritances"]),
        literal(business_date),
    )
    return desk.arrow(
        f"""
        WITH runs AS (
            SELECT DISTINCT {RUN_OF_DELIVERY} AS run_id, destination, code, coalesce(purpose, 'marketing') AS purpose
            FROM {tables["segments.deliveries"]} WHERE as_of < {literal(business_date)}
        ), answers AS (
            SELECT r.one_id, {RUN_OF_DELIVERY} AS run_id, r.run_id AS delivered_as, r.destination, r.channel, r.purpose,
                min(r.event_on) FILTER (r.status NOT IN ({literals(NOT_A_TOUCH)})) AS touched_on,
                bool_or(r.status IN ({literals(NEVER_MADE)})) AS is_over
            FROM ({receipts}) r GROUP BY ALL
        ), own_sends AS (
            SELECT m.one_id, m.as_of AS given_on, m.code, m.run_id, r.destination, r.purpose,
                coalesce(c.contact_on, m.as_of + 1) AS contact_on, coalesce(c.channel, m.channel) AS channel, c.placement
            FROM {tables["segments.members"]} m JOIN runs r ON r.run_id = m.run_id AND r.code = m.code
            LEFT JOIN {tables["segments.contacts"]} c ON c.code = m.code AND c.as_of = m.as_of AND c.one_id = m.one_id
            WHERE m.as_of < {literal(business_date)} AND m.as_of >= {literal(first - timedelta(days=MOST_DEFERRED_DAYS))}
                AND m.holdout = 'NONE' AND m.variant IS DISTINCT FROM 'CONTAMINATED'
                AND NOT EXISTS (FROM {tables["segments.contact_losses"]} l
                    WHERE l.code = m.code AND l.as_of = m.as_of AND l.one_id = m.one_id)
        ), sends AS ({sends})
        SELECT a.one_id, r.code, a.run_id, a.touched_on AS contact_on, a.channel,
            any_value(s.placement) FILTER (s.channel = a.channel) AS placement, a.purpose
        FROM answers a JOIN runs r ON r.run_id = a.run_id AND r.destination = a.destination
        LEFT JOIN sends s ON s.one_id = a.one_id AND s.run_id = a.run_id AND s.destination = a.destination
        WHERE a.touched_on >= {literal(first)}
        GROUP BY a.one_id, r.code, a.run_id, a.delivered_as, a.destination, a.touched_on, a.channel, a.purpose
        UNION ALL
        SELECT s.one_id, s.code, s.run_id, s.contact_on, s.channel, s.placement, s.purpose FROM sends s
        WHERE s.contact_on >= {literal(first)} AND NOT EXISTS (FROM answers a WHERE a.one_id = s.one_id
            AND a.run_id = s.run_id AND a.destination = s.destination AND (a.touched_on IS NOT NULL OR a.is_over))
        """
    )


def channel_habits(reader: TableReader, desk: Desk, business_date: date) -> pa.Table:
    """Give the channel each person answers to (one_id, channel); see ``vocabulary.contact_rules.habits_sql``."""
    return desk.arrow(duckdb_sql(reader, desk, habits_sql(lake_place(business_date)), _RECEIPT_TABLES, {}))


def branches_and_employees(
    reader: TableReader, desk: Desk, business_date: date, people: Relation
) -> pa.Table:
    """Give the branch and employee of these people (one_id), each as ``source/key``: one_id, branch, employee.

    The employee is the manager, else the remote-bank seat, who is not known to be inactive; the branch is the employee's, else the
    one of the person's own record. Of several the first by name counts.
    """
    tables = {
        name: desk.define(name, contracted_sql(reader, desk, name))
        for name in (
            "identity.memberships",
            "trusted.relationships",
            "trusted.employees",
            "trusted.customers",
        )
    }
    today = literal(business_date)

    def holds(alias: str) -> str:
        return f"{alias}.valid_from <= {today} AND ({alias}.valid_to IS NULL OR {alias}.valid_to > {today})"

    return desk.arrow(
        f"""
        WITH absent AS (
            SELECT DISTINCT source, employee_id FROM {tables["trusted.employees"]} e WHERE {holds("e")} AND e.status = 'inactive'
        ), persons AS (
            SELECT one_id, source, source_key FROM {tables["identity.memberships"]}
            WHERE valid_to IS NULL AND one_id IN (SELECT one_id FROM {people})
        ), managers AS (
            SELECT p.one_id, min({{'rank': if(r.role = 'manager', 0, 1), 'source': r.to_source, 'key': r.to_key}}) AS employee
            FROM {tables["trusted.relationships"]} r
            JOIN persons p ON p.source = r.from_source AND p.source_key = r.from_key
            ANTI JOIN absent a ON a.source = r.to_source AND a.employee_id = r.to_key
            WHERE r.relationship_type = 'person_manager' AND r.role IN ('manager', 'remote_seat') AND {holds("r")}
                AND (r.started_on IS NULL OR r.started_on <= {today}) AND (r.ended_on IS NULL OR r.ended_on > {today})
            GROUP BY p.one_id
        ), homes AS (
            SELECT p.one_id, min(c.source || '/' || c.branch_id) AS branch
            FROM {tables["trusted.customers"]} c JOIN persons p ON p.source = c.source AND p.source_key = c.source_key
            WHERE {holds("c")} GROUP BY p.one_id
        ), desks AS (
            SELECT source, employee_id, min(source || '/' || branch_id) AS branch
            FROM {tables["trusted.employees"]} e WHERE {holds("e")} GROUP BY source, employee_id
        )
        SELECT coalesce(m.one_id, h.one_id) AS one_id, coalesce(d.branch, h.branch) AS branch,
            m.employee.source || '/' || m.employee.key AS employee
        FROM managers m FULL JOIN homes h ON h.one_id = m.one_id
        LEFT JOIN desks d ON d.source = m.employee.source AND d.employee_id = m.employee.key
        """
    )
