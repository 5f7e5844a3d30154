"""Kinds of people: what each profile makes of its person, for the profiles whose persons may change their kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.joining.decide import ComponentOutcome
from identity.nights.night import IdentityNight
from identity.nights.plan import NightPlan
from identity.numbering.mint import Assignment
from identity.reading.observe import Observed, observe
from identity.reading.records import records_on_day
from lakehouse.query.desk import Desk

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

KINDS = ("anonymous", "prospect", "customer")
# Who carries one of these, up to the app or account, has told who it is.
SPEAKING_NAMESPACES = ("national_id", "passport", "phone", "email", "customer_no")


@dataclass(frozen=True)
class ProfileKinds:
    """Per profile that may change its person's kind: the OneID, and what the profile makes of it (``kind_ranks``)."""

    one_ids: np.ndarray
    ranks: np.ndarray


def kinds_of_profiles(
    lake: Lake,
    desk: Desk,
    night: IdentityNight,
    plan: NightPlan,
    outcome: ComponentOutcome,
    assignment: Assignment,
) -> ProfileKinds:
    """Give the kinds of the profiles that are decided; of everybody where the dictionary has another night's kinds.

    ``desk`` sees the map of tonight.
    """
    if plan.is_full or plan.has_kinds_before:
        return ProfileKinds(assignment.one_ids, kind_ranks(outcome.observed))
    records = records_on_day(desk)
    observed = observe(
        customers=records.customers,
        observations=records.observations,
        nodes=lake.read_arrow("identity.nodes"),
        rules=night.rules,
        key=night.key,
        business_date=night.business_date,
    )
    rows = desk.arrow(
        "SELECT profile_id, one_id FROM identity.memberships WHERE valid_to IS NULL ORDER BY profile_id"
    )
    places = np.searchsorted(rows["profile_id"].to_numpy(), observed.graph.profiles.node_ids)
    return ProfileKinds(rows["one_id"].to_numpy()[places], kind_ranks(observed))


def kind_ranks(observed: Observed) -> np.ndarray:
    """Give each profile's kind as a rank: 2 customer, 1 prospect, 0 anonymous.

    A profile without a row in customers is a prospect when it carries a document or a contact, else anonymous.
    """
    graph = observed.graph
    ranks = np.select([observed.kinds == kind for kind in KINDS], range(len(KINDS)), default=0)
    is_unknown = pc.is_null(pa.array(observed.kinds)).to_numpy(zero_copy_only=False)
    speaks = np.array([n.split("@")[0] in SPEAKING_NAMESPACES for n in graph.namespaces])
    if len(speaks) and is_unknown.any():
        by = graph.links.profiles[speaks[graph.identifiers.namespaces[graph.links.identifiers]]]
        has_contact = np.zeros(len(ranks), dtype=bool)
        has_contact[by] = True
        ranks[is_unknown & has_contact] = 1
    return ranks
