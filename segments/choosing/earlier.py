"""What the nights before decided: last memberships, merged and split OneIDs and the arms people have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.contracts.reading import contract
from lakehouse.query.words import literals
from segments.choosing.assignment import earlier_arms

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.query.desk import Desk, Relation
    from lakehouse.query.reader import TableReader

_MEMBER = ["code", "as_of", "one_id", "variant", "holdout", "channel", "entered_on"]


@dataclass(frozen=True)
class EarlierNights:
    """Relations of a desk, all of business dates before the one that is decided."""

    members: Relation
    """code, as_of, one_id, variant, holdout, channel, entered_on, is_dropped: each segment's members on its last date.

    ``is_dropped`` tells that contact policy left the person out of the audience.
    """
    redirects: Relation
    """from_one_id, to_one_id of every merged person."""
    arms: Relation
    """salt, one_id, arm, arms: what people were assigned, by today's OneIDs; ``arms`` counts the different ones."""


def read_earlier_nights(reader: TableReader, desk: Desk, business_date: date) -> EarlierNights:
    """Read what the nights before ``business_date`` decided; nothing of the date itself or later counts."""
    rows = earlier_members(reader, business_date)
    members = desk.lend("earlier_rows", rows)
    days = rows["as_of"].unique().to_pylist()
    losses = desk.define("earlier_losses", contracted_sql(reader, desk, "segments.contact_losses"))
    among = f"WHERE as_of IN ({literals(days)})" if days else "WHERE false"
    members = desk.keep(
        "earlier_members",
        f"SELECT m.*, l.one_id IS NOT NULL AS is_dropped FROM {members} m\n"
        f"LEFT JOIN (SELECT code, as_of, one_id FROM {losses} {among}) l USING (code, as_of, one_id)",
    )
    columns = ["from_one_id", "to_one_id"]
    redirects = desk.lend("redirects", reader.read_arrow("identity.redirects", columns=columns))
    columns = ["salt", "one_id", "arm", "assigned_on"]
    assignments = desk.lend("assignments", reader.read_arrow("segments.assignments", columns=columns))
    inheritances = desk.define("inheritances", contracted_sql(reader, desk, "identity.inheritances"))
    arms = earlier_arms(desk, assignments, redirects, inheritances, business_date)
    return EarlierNights(members, redirects, arms)


def earlier_members(reader: TableReader, business_date: date) -> pa.Table:
    """Give the memberships of each segment on its last business date before this one (code, one_id, …)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    runs = reader.read_arrow("segments.runs", columns=["code", "as_of"]).to_pylist()
    latest: dict[str, date] = {}
    for run in runs:
        if run["as_of"] < business_date:
            latest[run["code"]] = max(run["as_of"], latest.get(run["code"], run["as_of"]))
    parts = []
    for day in sorted(set(latest.values())):
        rows = reader.read_arrow("segments.members", columns=_MEMBER, filters=[("as_of", "=", day)])
        codes = pa.array([code for code, last in latest.items() if last == day])
        parts.append(rows.filter(pc.is_in(rows["code"], value_set=codes)))
    schema = pa.schema([contract("segments.members").arrow_schema().field(name) for name in _MEMBER])
    return pa.concat_tables([part.cast(schema) for part in parts]) if parts else schema.empty_table()
