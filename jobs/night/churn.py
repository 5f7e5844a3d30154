"""The gate that compares a night with what is published: people, audiences and rows that move more than they should."""

from __future__ import annotations

from datetime import date

from lakehouse.contracts.contract import Bound
from lakehouse.gates.gates import Measure, check_measures, with_threshold
from lakehouse.gates.row_counts import lost_rows, publication_before
from lakehouse.query.desk import open_newest
from lakehouse.query.published import publications
from lakehouse.tables.lake import Lake

GATE = "churn"
# An audience is judged once so many of its nights are known, and where so many people came or left.
KNOWN_NIGHTS = 3
PEOPLE = 1_000
# What is always within the bound, and how many times the highest share of the nights before.
USUAL_RATIO = 0.2
TIMES = 3


def check_churn(lake: Lake, business_date: date) -> None:
    """Judge a night that is complete and not yet published; a breach raises ``GateStopped``."""
    measures = audience_measures(lake, business_date)
    before = publication_before(publications(lake.settings), business_date)
    if before is not None:
        measures += [*lost_rows(lake, before), *move_measures(lake, business_date, before.tables)]
    check_measures(lake, GATE, measures, business_date)


def check_audiences(lake: Lake, business_date: date) -> None:
    """Judge the audiences alone, as on a clone, which has no earlier versions; a breach raises ``GateStopped``."""
    check_measures(lake, GATE, audience_measures(lake, business_date), business_date)


def move_measures(lake: Lake, business_date: date, versions: dict[str, int]) -> list[Measure]:
    """Give the measure of profiles whose OneID differs from the published one without an event that says why."""
    from identity.measuring.moves import TABLE, unexplained_moves

    if TABLE not in versions:
        return []
    why = "a OneID that changes has an event in identity.lineage_events with its cause"
    bound = Bound("unexplained_moves", "profiles with another OneID and no event", why, max=0)
    bound = with_threshold(bound, lake.settings, f"{TABLE}.{bound.name}")
    return [Measure(TABLE, bound, unexplained_moves(lake.settings, business_date, versions[TABLE]))]


def audience_measures(lake: Lake, business_date: date) -> list[Measure]:
    """Give the shares of people who entered and left each audience, each bound by the audience's own history."""
    from segments.explaining.churn import audience_churn

    with open_newest(lake.settings) as desk:
        audiences = audience_churn(desk, business_date)
    measures = []
    for one in audiences:
        pairs = (
            ("entering_ratio", one.entering, one.entering_ratio, one.entering_before, "entered"),
            ("leaving_ratio", one.leaving, one.leaving_ratio, one.leaving_before, "left"),
        )
        for name, people, ratio, highest, verb in pairs:
            if one.nights < KNOWN_NIGHTS or people < PEOPLE:
                continue
            limit = min(max(USUAL_RATIO, TIMES * highest), 1.0)
            why = f"{people} people {verb}; at most {highest:.1%} did on the {one.nights} nights before"
            bound = Bound(f"{one.code}.{name}", f"share of people who {verb}", why, max=limit)
            keys = (f"segments.changes.{one.code}.{name}", f"segments.changes.{name}")
            measures.append(Measure("segments.changes", with_threshold(bound, lake.settings, *keys), ratio))
    return measures
