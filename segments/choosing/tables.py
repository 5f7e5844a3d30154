"""The rows of ``segments.*`` that a night writes: one write a table for all segments, without a JVM."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.reading import contract
from segments.choosing.decide import Decision

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from lakehouse.tables.lake import Lake

PLACES_OF_MEMBERS = ("TREATED", "GLOBAL", "LOCAL", "CONTAMINATED")
_CONSENT_REASONS = ("OPT_OUT", "NO_CONSENT", "COMPLAINT")


def earlier_members(lake: Lake, business_date: date) -> pa.Table:
    """Give the memberships of each segment on its last business date before this one (code, one_id, …)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = ["code", "as_of", "one_id", "variant", "holdout", "channel", "entered_on"]
    runs = lake.read_arrow("segments.runs", columns=["code", "as_of"]).to_pylist()
    latest: dict[str, date] = {}
    for run in runs:
        if run["as_of"] < business_date:
            latest[run["code"]] = max(run["as_of"], latest.get(run["code"], run["as_of"]))
    parts = []
    for day in sorted(set(latest.values())):
        rows = lake.read_arrow("segments.members", columns=wanted, filters=[("as_of", "=", day)])
        codes = pa.array([code for code, last in latest.items() if last == day])
        parts.append(rows.filter(pc.is_in(rows["code"], value_set=codes)))
    schema = pa.schema([contract("segments.members").arrow_schema().field(name) for name in wanted])
    return pa.concat_tables([part.cast(schema) for part in parts]) if parts else schema.empty_table()


def member_rows(
    connection: duckdb.DuckDBPyConnection, decisions: Iterable[Decision], business_date: date
) -> tuple[pa.Table, pa.Table]:
    """Give the rows of ``segments.members`` and of ``segments.changes``.

    The connection holds ``earlier_members`` and ``redirects``, and ``placed_<code>`` of every decision.
    """
    import pyarrow as pa

    members, changes = [], []
    for decision in decisions:
        code = decision.segment.code
        named = f"'{code}' AS code, DATE '{business_date}' AS as_of, '{decision.run_id}' AS run_id"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE current_members AS SELECT {named}, p.one_id, p.variant,\n"
            "  CASE WHEN p.place IN ('GLOBAL', 'LOCAL') THEN p.place ELSE 'NONE' END AS holdout, p.channel,\n"
            f"  coalesce(e.entered_on, DATE '{business_date}') AS entered_on\n"
            f"FROM placed_{code} p LEFT JOIN earlier_members e ON e.code = '{code}' AND e.one_id = p.one_id\n"
            f"WHERE p.place IN ('TREATED', 'GLOBAL', 'LOCAL', 'CONTAMINATED')"
        )
        members.append(connection.sql("FROM current_members ORDER BY one_id").to_arrow_table())
        changes.append(connection.sql(_changes_sql(code, named)).to_arrow_table())
    nothing = {name: contract(name).arrow_schema() for name in ("segments.members", "segments.changes")}
    return (
        _together(members, nothing["segments.members"], pa),
        _together(changes, nothing["segments.changes"], pa),
    )


def _changes_sql(code: str, named: str) -> str:
    sent = "holdout = 'NONE' AND coalesce(variant, '') <> 'CONTAMINATED'"
    consent = ", ".join(f"'{reason}'" for reason in _CONSENT_REASONS)
    return (
        f"WITH now AS (SELECT * FROM current_members WHERE {sent}),\n"
        f"before AS (SELECT * FROM earlier_members WHERE code = '{code}' AND {sent})\n"
        f"SELECT {named}, coalesce(n.one_id, b.one_id) AS one_id,\n"
        "  CASE WHEN b.one_id IS NULL THEN 'ENTER' WHEN n.one_id IS NULL THEN 'EXIT' ELSE 'UPDATE' END AS op,\n"
        "  CASE WHEN b.one_id IS NULL THEN\n"
        "      CASE WHEN n.one_id IN (SELECT to_one_id FROM redirects JOIN before x ON x.one_id = from_one_id)\n"
        "        THEN 'merge' ELSE 'rule' END\n"
        "    WHEN n.one_id IS NOT NULL THEN CASE WHEN n.variant IS DISTINCT FROM b.variant THEN 'variant' ELSE 'channel' END\n"
        "    WHEN b.one_id IN (SELECT from_one_id FROM redirects) THEN 'merge'\n"
        f"    WHEN p.reason IN ({consent}) THEN 'consent'\n"
        "    WHEN p.reason IS NOT NULL THEN 'suppression'\n"
        "    WHEN p.place = 'NOT_IN_ROLLOUT' THEN 'rollout'\n"
        "    WHEN p.place IN ('GLOBAL', 'LOCAL') THEN 'holdout'\n"
        "    WHEN p.place = 'CONTAMINATED' THEN 'merge' ELSE 'rule' END AS cause\n"
        "FROM now n FULL JOIN before b ON b.one_id = n.one_id\n"
        f"LEFT JOIN placed_{code} p ON p.one_id = b.one_id\n"
        "WHERE n.one_id IS NULL OR b.one_id IS NULL OR n.variant IS DISTINCT FROM b.variant\n"
        "  OR n.channel IS DISTINCT FROM b.channel\nORDER BY one_id"
    )


def suppression_rows(
    connection: duckdb.DuckDBPyConnection, decisions: Iterable[Decision], business_date: date
) -> pa.Table:
    """Give the rows of ``segments.suppressions``."""
    import pyarrow as pa

    parts = []
    for decision in decisions:
        channels = ",".join(decision.segment.spec.contact.channels)
        parts.append(
            connection.sql(
                f"SELECT '{decision.segment.code}' AS code, DATE '{business_date}' AS as_of, "
                f"'{decision.run_id}' AS run_id, one_id, reason,\n"
                f"  CASE WHEN reason IN ('NO_CONSENT', 'UNREACHABLE') THEN '{channels}' END AS detail\n"
                f"FROM placed_{decision.segment.code} WHERE place = 'SUPPRESSED' ORDER BY one_id"
            ).to_arrow_table()
        )
    return _together(parts, contract("segments.suppressions").arrow_schema(), pa)


def assignment_rows(decisions: Iterable[Decision], business_date: date) -> pa.Table:
    """Give the arms met this night; two segments that share a salt met the same arm, which is given once."""
    import duckdb
    import pyarrow as pa

    connection = duckdb.connect()
    tables = [decision.assignments for decision in decisions]
    rows = (
        pa.concat_tables(tables) if tables else contract("segments.assignments").arrow_schema().empty_table()
    )
    connection.register("met", rows)
    return connection.sql(
        f"SELECT salt, one_id, min(bucket) AS bucket, min(arm) AS arm, DATE '{business_date}' AS assigned_on, "
        "min(source) AS source FROM met GROUP BY salt, one_id ORDER BY salt, one_id"
    ).to_arrow_table()


def definition_rows(decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    """Give the rows of ``segments.definitions``."""
    return [
        {
            "code": decision.segment.code,
            "version": decision.segment.version,
            "definition_hash": decision.segment.definition_hash,
            "yaml": decision.segment.text,
            "status": "active",
        }
        for decision in decisions
    ]


def run_rows(lake: Lake, decisions: Iterable[Decision], business_date: date) -> list[dict[str, Any]]:
    """Give the rows of ``segments.runs``; ``seq`` goes on from the business dates before."""
    known = lake.read_arrow("segments.runs", columns=["code", "seq", "as_of"]).to_pylist()
    earlier = [row for row in known if row["as_of"] < business_date]
    return [
        {
            "run_id": decision.run_id,
            "code": decision.segment.code,
            "version": decision.segment.version,
            "definition_hash": decision.segment.definition_hash,
            "as_of": business_date,
            "seq": 1
            + max((row["seq"] for row in earlier if row["code"] == decision.segment.code), default=0),
            "inputs": decision.inputs,
            "tag_versions": [{"tag": t, "version": v} for t, v in sorted(decision.tag_versions.items())],
            "params": "{}",
            "counts": json.dumps(decision.counts, sort_keys=True),
            "status": "evaluated",
        }
        for decision in decisions
    ]


def extend_rows(lake: Lake, table: str, rows: list[dict[str, Any]]) -> None:
    """Add the rows whose key a small table does not hold yet."""
    key = contract(table).key
    known = {tuple(row[k] for k in key) for row in lake.read_arrow(table, columns=list(key)).to_pylist()}
    lake.append_rows(table, [row for row in rows if tuple(row[k] for k in key) not in known])


def _together(parts: list[pa.Table], schema: pa.Schema, pa: Any) -> pa.Table:
    return (
        pa.concat_tables([part.select(schema.names).cast(schema) for part in parts])
        if parts
        else schema.empty_table()
    )
