"""The SQL of sequences: the events they name once, then one join from each step to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from lakehouse.query.words import spark_literal, spark_literals
from segments.choosing.leaves.sql import LeafSql
from segments.language.leaves.sequences import STEP_FILTERS, EventStep, SequenceLeaf

_EVENTS = "sequence_events"
_SECOND = 1_000_000


@dataclass(frozen=True)
class SequenceSql:
    """Parts that others read, the parts of one row per OneID, and the answers."""

    helpers: dict[str, str]
    parts: dict[str, str]
    answers: dict[str, LeafSql]


def sequence_leaf_sql(leaves: Mapping[str, SequenceLeaf], business_date: date) -> SequenceSql:
    """Give the SQL of all sequences of a night."""
    today = spark_literal(business_date)
    longest = max(leaf.within_days for leaf in leaves.values())
    names = sorted({name for leaf in leaves.values() for name in leaf.names})
    columns = ", ".join(f"e.{column}" for column in STEP_FILTERS)
    helpers = {
        _EVENTS: (
            f"SELECT p.one_id, e.event_name, e.occurred_on, unix_micros(e.occurred_at) AS at, {columns}\n"
            "  FROM trusted.events e JOIN persons p ON p.source = e.source AND p.source_key = e.source_key\n"
            f"  WHERE e._arrived_on <= {today} AND e.occurred_on BETWEEN {_first_day(business_date, longest)} AND {today}\n"
            f"    AND e.event_name IN ({spark_literals(names)})"
        )
    }
    parts: dict[str, str] = {}
    answers: dict[str, LeafSql] = {}
    for column, leaf in sorted(leaves.items()):
        name = f"sequence_{column}"
        helpers |= _steps(name, leaf, business_date)
        parts[name] = _outcome(f"{name}_{len(leaf.steps)}", leaf, business_date)
        answers[column] = LeafSql(
            f"CASE WHEN {name}.is_done THEN true WHEN {name}.is_open THEN NULL ELSE false END",
            f"CASE WHEN {name}.is_done THEN 'happened' WHEN {name}.is_open THEN 'happened, what follows is open'"
            f" WHEN {name}.one_id IS NOT NULL THEN 'happened, but was followed' ELSE 'did not happen' END",
        )
    return SequenceSql(helpers, parts, answers)


def _steps(name: str, leaf: SequenceLeaf, business_date: date) -> dict[str, str]:
    """Give a part for each step: one row per start and, of the last step, each instant it happened.

    Of the steps between only the earliest instant counts: whatever is reached from a later one is reached from it too.
    """
    first = _first_day(business_date, leaf.within_days)
    steps = {
        f"{name}_1": (
            f"SELECT DISTINCT e.one_id, e.at AS started_at, e.at FROM {_EVENTS} e\n"
            f"  WHERE {_is_step(leaf.steps[0])} AND e.occurred_on >= {first}"
        )
    }
    for number, step in enumerate(leaf.steps[1:], start=2):
        is_last = number == len(leaf.steps)
        steps[f"{name}_{number}"] = (
            f"SELECT {'DISTINCT s.one_id, s.started_at, e.at' if is_last else 's.one_id, s.started_at, min(e.at) AS at'}\n"
            f"  FROM {name}_{number - 1} s JOIN {_EVENTS} e ON e.one_id = s.one_id AND e.at > s.at"
            f" AND e.at <= s.started_at + {leaf.within * _SECOND}\n"
            f"  WHERE {_is_step(step)}" + ("" if is_last else "\n  GROUP BY s.one_id, s.started_at")
        )
    return steps


def _outcome(last: str, leaf: SequenceLeaf, business_date: date) -> str:
    if leaf.then_not is None:
        return f"SELECT one_id, true AS is_done, false AS is_open FROM {last} GROUP BY one_id"
    period = leaf.then_for * _SECOND
    # Midnight that ends the business date, in the time zone of the site, which is the session's.
    end = f"unix_micros(cast(date_add({spark_literal(business_date)}, 1) AS timestamp))"
    return (
        "SELECT one_id, bool_or(NOT is_followed AND is_over) AS is_done, bool_or(NOT is_followed AND NOT is_over) AS is_open\n"
        f"  FROM (SELECT s.one_id, s.at, s.at + {period} < {end} AS is_over, count(e.at) > 0 AS is_followed\n"
        f"    FROM (SELECT DISTINCT one_id, at FROM {last}) s LEFT JOIN {_EVENTS} e ON e.one_id = s.one_id\n"
        f"      AND e.at > s.at AND e.at <= s.at + {period} AND {_is_step(leaf.then_not)}\n"
        "    GROUP BY s.one_id, s.at)\n  GROUP BY one_id"
    )


def _is_step(step: EventStep) -> str:
    conditions = [f"e.event_name IN ({spark_literals(sorted(step.names))})"]
    conditions += [f"coalesce(e.{key} = {spark_literal(value)}, false)" for key, value in step.filters]
    return " AND ".join(conditions)


def _first_day(business_date: date, days: int) -> str:
    return spark_literal(business_date - timedelta(days=days - 1))
