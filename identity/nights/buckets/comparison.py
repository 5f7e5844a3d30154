"""A night in buckets against the one before: what reached people, the events of their numbers, and who moved.

It is what ``identity.nights.stability`` says of arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from identity.nights.stability import CAUSES, Moves, cause_of_reach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from identity.nights.buckets.numbers import Numbers
    from identity.nights.corrections import Corrections
    from identity.nights.night import IdentityNight
    from identity.nights.plan import NightPlan
    from lakehouse.engine import Engine, Rows

_NONE = len(CAUSES)
_PROFILE_CAUSES = pa.schema({"node_id": pa.int64(), "cause": pa.int64()})


def reached_profiles(engine: Engine, plan: NightPlan) -> Rows:
    """Give ``node_id, cause``: the profiles that something reaches, with the place of the cause in ``CAUSES``."""
    if plan.causes is None:
        return engine.take("causes", _PROFILE_CAUSES.empty_table())
    causes = [cause_of_reach(cause) for cause in plan.causes["cause"].to_pylist()]
    places = pa.array([_NONE if cause is None else CAUSES.index(cause) for cause in causes], pa.int64())
    rows = pa.table([plan.causes["node_id"], places], schema=_PROFILE_CAUSES)
    return engine.take("causes", rows.filter(pc.less(rows["cause"], _NONE)))


def causes_of_numbers(
    engine: Engine,
    plan: NightPlan,
    decided_rows: Mapping[str, Rows],
    numbers: Numbers,
    reached_rows: Rows,
) -> Rows:
    """Give ``one_id, cause``: of the numbers of tonight's people, now and before, the first cause that reached a member's component."""
    maps = engine.define(
        "numbers_of_profiles",
        f"""
        SELECT p.profile_id, n.one_id FROM {decided_rows["profiles"]} p JOIN {numbers.people} n ON n.anchor = p.person
        UNION ALL
        SELECT p.profile_id, b.one_id FROM {decided_rows["profiles"]} p JOIN {numbers.before} b ON b.profile_id = p.profile_id
        """,
    )
    if plan.causes is not None and plan.is_for_rules:
        return engine.keep("causes_of_numbers", f"SELECT DISTINCT one_id, 0 AS cause FROM {maps}")
    components = f"SELECT node_id, raw_component_id FROM {decided_rows['components']} WHERE is_profile"
    return engine.keep(
        "causes_of_numbers",
        f"""
        SELECT m.one_id, min(k.cause) AS cause
        FROM {maps} m JOIN ({components}) c ON c.node_id = m.profile_id
        JOIN (
          SELECT c.raw_component_id, min(r.cause) AS cause FROM {reached_rows} r JOIN ({components}) c ON c.node_id = r.node_id
          GROUP BY c.raw_component_id) k ON k.raw_component_id = c.raw_component_id
        GROUP BY m.one_id
        """,
    )


def _first_cause(one: str, other: str) -> str:
    """Give SQL for the first of two causes, links where neither is known."""
    words = " ".join(f"WHEN {place} THEN '{cause}'" for place, cause in enumerate(CAUSES))
    return f"CASE least(coalesce({one}, {_NONE}), coalesce({other}, {_NONE})) {words} ELSE 'links' END"


def lineage_of_night(
    engine: Engine, night: IdentityNight, numbers: Numbers, causes: Rows, corrections: Corrections | None
) -> str:
    """Give SQL for the night's events (columns of ``identity.lineage_events``); those that correct a publication follow."""
    sql = f"""
    SELECT $day AS happened_on, e.event, e.from_one_id, e.to_one_id, e.profile_count,
           {_first_cause("a.cause", "b.cause")} AS cause, '{night.rules.version}' AS rules_version,
           CAST(NULL AS BIGINT) AS corrects
    FROM {numbers.events} e LEFT JOIN {causes} a ON a.one_id = e.to_one_id LEFT JOIN {causes} b ON b.one_id = e.from_one_id
    """
    if corrections is None:
        return sql
    names = "happened_on, event, from_one_id, to_one_id, profile_count, cause, rules_version, corrects"
    return f"{sql} UNION ALL SELECT {names} FROM {engine.take('corrected_events', corrections.events)}"


def moves_of_night(
    engine: Engine, plan: NightPlan, profiles: Rows, numbers: Numbers, causes: Rows, reached_rows: Rows
) -> Moves:
    """Count the profiles whose OneID is another one than on the night before."""
    if not engine.records(f"SELECT count(*) AS n FROM {numbers.before}")[0]["n"]:
        return Moves()
    moved_rows = engine.keep(
        "moved_profiles",
        f"""
        SELECT p.profile_id, b.one_id AS old_one_id, n.one_id AS new_one_id
        FROM {profiles} p JOIN {numbers.people} n ON n.anchor = p.person
        JOIN {numbers.before} b ON b.profile_id = p.profile_id WHERE b.one_id <> n.one_id
        """,
    )
    counts = engine.records(
        f"""
        SELECT cause, count(*) AS n FROM (
          SELECT {_first_cause("a.cause", "b.cause")} AS cause FROM {moved_rows} m
          LEFT JOIN {causes} a ON a.one_id = m.new_one_id LEFT JOIN {causes} b ON b.one_id = m.old_one_id) AS r
        GROUP BY cause
        """
    )
    quietly = untouched = 0
    if plan.causes is not None and plan.profile_ids is not None and not plan.is_for_rules:
        loud = f"SELECT DISTINCT one_id AS old_one_id FROM {numbers.before} b JOIN {reached_rows} r ON r.node_id = b.profile_id"
        profiles_in_reach = engine.take("touched_profiles", pa.table({"profile_id": plan.profile_ids}))
        quietly, untouched = (
            engine.records(f"SELECT count(*) AS n FROM {moved_rows} m ANTI JOIN ({rows}) r USING ({key})")[0][
                "n"
            ]
            for rows, key in (
                (loud, "old_one_id"),
                (f"SELECT DISTINCT profile_id FROM {profiles_in_reach}", "profile_id"),
            )
        )
    growth = engine.records(
        f"""
        SELECT coalesce(max(p.profiles - coalesce(b.n, 0)), 0) AS n FROM {numbers.people} p
        LEFT JOIN (SELECT one_id, count(*) AS n FROM {numbers.before} GROUP BY one_id) b ON b.one_id = p.one_id
        """
    )
    return Moves(
        by_cause={row["cause"]: row["n"] for row in counts},
        quietly=quietly,
        untouched=untouched,
        largest_growth=max(0, growth[0]["n"]),
    )
