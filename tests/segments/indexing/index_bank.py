"""The segments of the bank that is indexed, and what tests of the index do with it."""

from __future__ import annotations

from segment_bank import spec, surroundings

from segments.explaining.indexed import index_newest
from segments.explaining.preview import preview

RICH = spec(
    "rich",
    """
unknown: include
base: {tag: tier, in: [T2, T3]}
where: {all: [{tag: balance, gte: 150}, {any: [{tag: is_active, eq: true}, {tag: days_left, lt: 20}]}]}
include: [{list: friends@1}]
exclude: [{tag: grade, eq: M, include_unknown: false}]
holdout: {global: GCG-2026H2, local_percent: 30}
""",
    columns="variant, channel, tier, balance",
)
LOOKERS = spec(
    "lookers",
    """
unknown: exclude
base: {tag: tier, in: [T1, T2, T3]}
where:
  any:
    - {event: {name: wealth_view, count: {gte: 2}, within_days: 7}}
    - {all: [{segment: rich, version: ">=1 <2"}, {not: {tag: interests, contains_any: [FUND]}}]}
    - {all: [{tag: balance, top_n: 5, within: base}, {sample: {percent: 60, salt: looks}}]}
    - {tag: balance, changed_since: 1}
""",
)
DRAFT = RICH.replace("gte: 150", "gte: 600").replace("version: 1.0.0", "version: 1.1.0")


def show(lake, name):
    return preview(lake.settings, surroundings(lake.settings), name, people=100)


def index(lake):
    size, faulty = index_newest(lake.settings, surroundings(lake.settings))
    assert (size.people, faulty) == (12, [])
    (folder,) = (lake.settings.lake / "_preview").glob("[!.]*")
    return folder
