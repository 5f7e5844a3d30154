"""Holds what the night says of everybody against the independent evaluator: every online tag, value and reason, to the last person.

The evaluator is every online tag in plain Python, written from its definition; it shares no line with the compiler.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.tags.golden.evaluator import basic, behaviour, entities, habits, marketing, retail, risk, value
from tests.tags.golden.evaluator.world import ANSWERS, PUBLISHED, TABLES, World
from vocabulary.entities import PERSON, TAG_ENTITIES
from vocabulary.registry import Entry

MODULES = (basic, behaviour, entities, habits, marketing, retail, risk, value)


def unanswered(entries: Iterable[Entry]) -> list[str]:
    """Give the online tags that the evaluator does not know."""
    return [entry.code for entry in entries if entry.code not in ANSWERS]


def tables_of(lake: Any) -> dict[str, list[dict[str, Any]]]:
    """Give the rows of every table that the evaluator reads."""
    return {table: lake.read_arrow(table).to_pylist() for table in (*TABLES, PUBLISHED)}


def policy_of(workspace: Path) -> dict[str, Any]:
    """Give what a workspace's consent.yml says, nothing where there is none."""
    file = workspace / "consent.yml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) or {} if file.is_file() else {}


def differences(
    night: Iterable[Mapping[str, Any]],
    tables: Mapping[str, list[dict[str, Any]]],
    entries: Iterable[Entry],
    day: dt.date,
    policy: Mapping[str, Any] | None = None,
    nights: Iterable[dt.date] = (),
) -> list[str]:
    """Give a sentence for every answer of a night about a person, and every reason of a null, that the evaluator gives otherwise.

    ``entries`` of other entities are left out (``entity_differences``). ``nights`` are those that were built: a value that an earlier one had may have expired since.
    """
    entries = [entry for entry in entries if entry.about == PERSON]
    rows = {row["one_id"]: row for row in night}
    people = {person.one_id: person for person in World(tables, day, policy, nights=nights).people()}
    faults = [f"{one_id} has a row and is not known" for one_id in rows.keys() - people.keys()]
    faults += [f"{one_id} is known and has no row" for one_id in people.keys() - rows.keys()]
    for one_id in sorted(rows.keys() & people.keys()):
        row, person = rows[one_id], people[one_id]
        recorded = {exception["tag"]: exception["reason"] for exception in row["null_exceptions"] or ()}
        for entry in entries:
            said, expected = row[entry.code], person[entry.code]
            if said != expected or isinstance(said, bool) != isinstance(expected, bool):
                faults.append(f"{entry.code} of {one_id} on {day} is {said}, by its definition {expected}")
            elif said is None and recorded.get(entry.code, entry.default_reason) != person.reason(entry.code):
                reason = recorded.get(entry.code, entry.default_reason)
                faults.append(
                    f"{entry.code} of {one_id} on {day} is null ({reason}), by its definition ({person.reason(entry.code)})"
                )
    return faults


def entity_differences(
    rows_of: Mapping[str, Iterable[Mapping[str, Any]]],
    tables: Mapping[str, list[dict[str, Any]]],
    entries: Iterable[Entry],
    day: dt.date,
    policy: Mapping[str, Any] | None = None,
) -> list[str]:
    """Give the same of products, branches and employees: ``rows_of`` are the wide rows by entity."""
    world, faults = World(tables, day, policy), []
    entries = list(entries)
    for code, night in rows_of.items():
        rows = {tuple(row[name] for name in TAG_ENTITIES[code].key): row for row in night}
        things = {thing.key: thing for thing in entities.things(world, code)}
        faults += [f"{key} has a row and is not known" for key in rows.keys() - things.keys()]
        faults += [f"{key} is known and has no row" for key in things.keys() - rows.keys()]
        for key in sorted(rows.keys() & things.keys()):
            for entry in (entry for entry in entries if entry.entity == code):
                said, expected = rows[key][entry.code], things[key][entry.code]
                if said != expected:
                    faults.append(
                        f"{entry.code} of {'/'.join(key)} on {day} is {said}, by its definition {expected}"
                    )
    return faults
