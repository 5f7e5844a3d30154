"""A bank of drawn people for micro-segments: two tags of numbers, and whom a night puts where."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import numpy as np
from segment_bank import bank_lake, rows_of, surroundings, write_tags

from lakehouse.settings.settings import load_settings
from segments.grouping.night import assign_people

D = dt.date(2026, 11, 18)
# Where the middle of each of five groups is: days left and balance.
MIDDLES = [(100, 1_000), (900, 1_000), (100, 90_000), (900, 90_000), (500, 45_000)]
MICRO = """\
spec: micro_segment/v1
code: {code}
name: {{zh: 价值客群, en: Value groups}}
owner: {{business: retail, tech: data}}
tags: [{tags}]
accepts: {{level: C2, why: a test, approver: privacy}}
groups: {groups}
{body}
"""
TWO_TAGS = "{tag: days_left}, {tag: balance}"


def micro(code="value_groups", groups=5, tags=TWO_TAGS, body="clip: 0"):
    """The text of a declaration."""
    return MICRO.format(code=code, groups=groups, tags=tags, body=body)


def person(one_id, days_left, balance, tier="T3"):
    """One row of tags."""
    return {
        "one_id": one_id,
        "tier": tier,
        "balance": None if balance is None else Decimal(balance),
        "days_left": days_left,
        "interests": [],
        "is_active": True,
        "opened_on": None,
        "grade": None,
    }


def drawn_people(count=500, seed=7, middles=MIDDLES, first=100):
    """People around the middles, and the group that each is of, by OneID."""
    rng = np.random.default_rng(seed)
    people, truth = [], {}
    for one_id in range(first, first + count):
        at = int(rng.integers(len(middles)))
        days, balance = (
            int(rng.normal(middle, spread)) for middle, spread in zip(middles[at], (25, 900), strict=True)
        )
        people.append(person(one_id, max(days, 0), max(balance, 0)))
        truth[one_id] = at
    return people, truth


def micro_lake(make_workspace, files, people, name="workspace"):
    """A lake with these people, all of them customers, in a workspace with these files."""
    lake = bank_lake(load_settings(make_workspace(files, name)))
    take_people(lake, people)
    return lake


def take_people(lake, people, day=D):
    """Write the tags of people as of a day, and know as customers whom the lake does not know."""
    write_tags(lake, people, day)
    present = set(lake.read_arrow("identity.one_ids", columns=["one_id"])["one_id"].to_pylist())
    new = [{"one_id": row["one_id"], "kind": "customer"} for row in people if row["one_id"] not in present]
    if new:
        lake.append("identity.one_ids", rows_of("identity.one_ids", new))
        lake.append(
            "identity.memberships",
            rows_of("identity.memberships", [
                {"one_id": row["one_id"], "source_key": f"c{row['one_id']}", "profile_id": row["one_id"]} for row in new]),
        )  # fmt: skip


def assign(lake, day=D, **options):
    """Run the step of a night and give the number of everybody, by OneID."""
    assign_people(lake, day, surroundings(lake.settings), **options)
    return labels_on(lake, day)


def labels_on(lake, day=D, code="value_groups"):
    rows = lake.read_arrow("segments.micro_segments").to_pylist()
    return {row["one_id"]: row["label"] for row in rows if (row["code"], row["as_of"]) == (code, day)}


def fits_of(lake):
    return lake.read_arrow("segments.micro_fits").to_pylist()


def text_of(table):
    """Rows of a table in one text, to be compared."""
    return json.dumps(table.to_pylist(), default=str)
