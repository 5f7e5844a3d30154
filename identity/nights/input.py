"""The raw components a night decides, read from the tables: all of them, or those something reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from identity.joining.decide import NO_CARRIERS, RawComponents
from identity.nights.night import IdentityNight
from identity.nights.plan import NightPlan, Reach
from identity.reading.facts import common_names
from identity.reading.observe import NODE_SCHEMA
from identity.reading.records import records_on_day
from identity.reading.tables import OWN_BEFORE
from lakehouse.query.desk import Desk

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake


def read_components(lake: Lake, desk: Desk, night: IdentityNight, plan: NightPlan) -> RawComponents:
    """Read what the night decides, as one value that knows nothing of where it is from."""
    reach = plan.reach
    records = records_on_day(desk, None if reach is None else reach.profiles)
    if reach is None:
        nodes, outside = lake.read_arrow("identity.nodes"), NO_CARRIERS
        common = common_names(records.customers, night.rules)
    else:
        nodes, outside = _nodes(desk, reach), desk.arrow(f"SELECT identifier_id, n FROM {reach.outside}")
        common = desk.arrow(f"SELECT source, full_name FROM {reach.common_names}")
    return RawComponents(
        customers=records.customers,
        observations=records.observations,
        nodes=nodes,
        highest=desk.value("SELECT coalesce(max(node_id), 0) FROM identity.nodes"),
        decisions=night.decisions,
        common_names=common,
        outside=outside,
        hashes=plan.hashes,
    )


def _nodes(desk: Desk, reach: Reach) -> pa.Table:
    """Give the part of the dictionary that the records of these profiles may name."""
    return desk.arrow(
        f"""
        SELECT {", ".join(NODE_SCHEMA.names)} FROM identity.nodes
        WHERE node_id IN (
          SELECT node_id FROM {reach.profiles} UNION SELECT node_id FROM {reach.identifiers} UNION
          SELECT identifier_id FROM identity.links
          WHERE {OWN_BEFORE} AND profile_id IN (SELECT node_id FROM {reach.profiles}))
        """
    ).cast(NODE_SCHEMA)
