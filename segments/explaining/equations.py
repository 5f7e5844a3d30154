"""The equations of published audiences: what a run counts, its members and its suppressed people are the same people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lakehouse.contracts.contracted import contracted_sql
from segments.choosing.contact_history import RUN_OF_DELIVERY

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk
    from lakehouse.query.reader import TableReader

_MEMBERS = """
SELECT run_id, count(*) AS members,
  count(*) FILTER (holdout = 'NONE' AND variant IS DISTINCT FROM 'CONTAMINATED') AS in_arms
FROM segments.members GROUP BY run_id
"""
_LOST = "SELECT run_id, count(*) AS lost FROM ({}) GROUP BY run_id"
_CONTACTS = "SELECT run_id, count(*) AS contacts FROM ({}) GROUP BY run_id"
_DELIVERED = "SELECT DISTINCT " + RUN_OF_DELIVERY + " AS run_id, true AS is_delivered FROM ({})"
_SUPPRESSED = "SELECT run_id, count(*) AS suppressed FROM segments.suppressions GROUP BY run_id"


def equation_faults(reader: TableReader, desk: Desk) -> tuple[int, list[str]]:
    """Give the number of runs a reader knows, and one sentence for each equation that does not hold; ``desk`` is over its tables."""
    losses_of_run = _LOST.format(contracted_sql(reader, desk, "segments.contact_losses"))
    contacts_of_run = _CONTACTS.format(contracted_sql(reader, desk, "segments.contacts"))
    delivered_runs = _DELIVERED.format(contracted_sql(reader, desk, "segments.deliveries"))
    runs = desk.rows(
        "SELECT code, as_of, counts, coalesce(members, 0), coalesce(in_arms, 0), coalesce(suppressed, 0), "
        "coalesce(lost, 0), contacts, coalesce(is_delivered, false) "
        f"FROM segments.runs LEFT JOIN ({_MEMBERS}) USING (run_id) LEFT JOIN ({_SUPPRESSED}) USING (run_id) "
        f"LEFT JOIN ({losses_of_run}) USING (run_id) LEFT JOIN ({contacts_of_run}) USING (run_id) "
        f"LEFT JOIN ({delivered_runs}) USING (run_id) "
        "ORDER BY as_of, code"
    )
    faults = []
    for code, as_of, text, members, in_arms, suppressed, losses, contacts, is_delivered in runs:
        counts = json.loads(text)
        drop_count = sum(counts["dropped_by_contact"].values())
        # A dry run is delivered to nobody, and takes part in no contact: it has none of these rows.
        is_dry = not is_delivered and contacts is None and losses == 0
        reasons, arms = sum(counts["suppressed_by_reason"].values()), sum(counts["variants"].values())
        out = sum(counts[n] for n in ("not_in_rollout", "control_global", "holdout_local", "contaminated"))
        pairs = [
            ("candidates", counts["candidates"], "eligible + suppressed", counts["eligible"] + reasons),
            ("eligible", counts["eligible"], "kept out + in arms", out + arms),
            ("published", counts["published"], "in arms - dropped by contact", arms - drop_count),
            ("rows of segments.members", members, "eligible - not in rollout",
             counts["eligible"] - counts["not_in_rollout"]),
            ("members in arms", in_arms, "in arms", arms),
            ("rows of segments.suppressions", suppressed, "suppressed", reasons),
            *([] if is_dry else [("rows of segments.contact_losses", losses, "dropped by contact", drop_count)]),
            # A run that no rule of contact concerns has none of these rows.
            *([("rows of segments.contacts", contacts, "published", counts["published"])] if contacts is not None else []),
        ]  # fmt: skip
        faults += [
            f"segments.runs: {code} of {as_of}: {name} is {value}, but {other_name} is {other}"
            for name, value, other_name, other in pairs
            if value != other
        ]
    return len(runs), faults
