"""How well tags are filled: every figure can fall, and a gap without a reason stops the night. Without Spark."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from lakehouse.errors import GateStopped
from lakehouse.query.desk import open_scratch
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake
from tags.build.computation import CURRENT, QUALITY, _judge
from tags.compile.compilation import compile_tags
from tags.quality import measure_tags

D = dt.date(2026, 3, 31)
PEOPLE = 4
PLAN = compile_tags(None).plan
SCANS = {entry.code: scan.relation.noun for scan in PLAN.scans for entry in scan.entries}

# Values with which a person is in the population of every tag that states one.
IN_POPULATIONS = {
    "account_types_held": ["savings"], "active_credit_card_count": 1, "is_app_registered": True, "is_payroll": True,
    "order_count_365d": 1, "wealth_balance": Decimal(1),
}  # fmt: skip


def figures(people: list[dict]) -> dict[str, dict]:
    """The quality of a wide table in which people have these values, and each other tag what absence of all data gives."""
    with open_scratch() as desk:
        wide = desk.lend("wide", wide_rows(people))
        return {row["tag"]: row for row in measure_tags(desk, wide, PLAN, D)}


def wide_rows(people: list[dict]) -> pa.Table:
    """The wide table of these people."""
    schema = pa.schema(
        [
            ("one_id", pa.int64()),
            *((entry.code, _arrow(entry)) for entry in PLAN.entries),
            ("null_exceptions", pa.list_(pa.struct([("tag", pa.string()), ("reason", pa.string())]))),
            ("read_sources", pa.list_(pa.string())),
            ("unexplained_nulls", pa.list_(pa.string())),
        ]
    )
    empty = {entry.code: _absent(entry) for entry in PLAN.entries}
    lists = {"null_exceptions": [], "read_sources": [], "unexplained_nulls": []}
    rows = [{"one_id": at, **empty, **lists, **person} for at, person in enumerate(people)]
    return pa.Table.from_pylist(rows, schema=schema)


def _arrow(entry):
    kinds = {
        "int": pa.int32(), "decimal": pa.decimal128(18, 2), "ratio": pa.decimal128(18, 6), "boolean": pa.bool_(), "date": pa.date32(),
    }  # fmt: skip
    kind = kinds.get(entry.value.type, pa.string())
    return pa.list_(kind) if entry.value.cardinality == "set" else kind


def _absent(entry):
    """What the wide model gives a person of whom nothing is known."""
    if entry.default_reason:
        return None
    if entry.value.cardinality == "set":
        return entry.default or []
    if entry.default is not None:
        return entry.default
    zero = {"int": 0, "decimal": Decimal(0), "ratio": Decimal(0), "boolean": False}
    return zero.get(entry.value.type, (entry.value.domain or [None])[0])


def test_where_nothing_was_delivered_nothing_is_covered():
    """The figure of every tag falls when its sources stop; where its population is gone with them there is none."""
    rows = figures([{}] * PEOPLE)
    assert {tag for tag, row in rows.items() if row["coverage_ratio"]} == set()
    stated = {entry.code for entry in PLAN.entries if entry.population is not None}
    assert {row["eligible_count"] for tag, row in rows.items() if tag not in stated} == {PEOPLE}
    assert {(row["eligible_count"], row["coverage_ratio"]) for tag, row in rows.items() if tag in stated} == {
        (0, None)
    }


def test_the_coverage_of_every_tag_rises_with_the_people_that_its_sources_know():
    """For each tag there is one person who is known by all that the tag reads, and by nothing else."""
    entries = {entry.code: entry for entry in PLAN.entries}
    people = []
    for entry in PLAN.entries:
        needed, waiting = set(), [entry.code]
        while waiting:
            code = waiting.pop()
            needed.add(code)
            if code not in SCANS:
                waiting += [other for other in entries[code].tag_inputs if other in entries]
        sources = sorted({SCANS[code] for code in needed if code in SCANS})
        people.append(
            {**IN_POPULATIONS, **{code: _some(entries[code]) for code in needed}, "read_sources": sources}
        )
    rows = figures([*people, IN_POPULATIONS])
    assert {tag for tag, row in rows.items() if not 0 < row["coverage_ratio"] < 1} == set()


def _some(entry):
    value = {"int": 1, "decimal": Decimal(1), "ratio": Decimal(1), "boolean": True, "date": D}.get(
        entry.value.type, (entry.value.domain or ["x"])[0]
    )
    return [value] if entry.value.cardinality == "set" else value


def test_nulls_are_counted_by_reason_and_those_without_one_apart():
    exception = [{"tag": "is_mau", "reason": "not_applicable"}]
    people = [
        {"is_mau": None, "null_exceptions": exception},
        {"is_mau": True, "read_sources": ["events"]},
        {"unexplained_nulls": ["age", "tenure_days"], "demand_balance": None},
        {"age": 30, "is_staff": None, "city_tier": "T9"},
    ]
    rows = figures(people)
    assert (rows["is_mau"]["eligible_count"], rows["is_mau"]["filled_count"]) == (3, 1)
    assert rows["is_mau"]["not_applicable_count"] == 1
    assert (rows["age"]["unknown_count"], rows["age"]["unexplained_count"]) == (2, 1)
    assert (rows["tenure_days"]["not_applicable_count"], rows["tenure_days"]["unexplained_count"]) == (3, 1)
    assert rows["demand_balance"]["unexplained_count"] == 1  # a null of rule Z
    assert rows["is_staff"]["unexplained_count"] == 1  # a null that the rule does not know
    assert rows["city_tier"]["outside_domain_count"] == 1


@pytest.mark.parametrize("figure", ["unexplained_count", "outside_domain_count"])
def test_a_gap_or_a_strange_value_of_one_tag_stops_the_night(figure, lake):
    rows = [{"tag": entry.code, "unexplained_count": 0, "outside_domain_count": 0} for entry in PLAN.entries]
    _judge(lake, rows, {}, {"int_people": 0}, D)
    rows[-1][figure] = 1
    with pytest.raises(GateStopped, match=rf"is 1, must be at most 0 .*: {rows[-1]['tag']}\]"):
        _judge(lake, rows, {}, {}, D)


def test_a_model_whose_key_is_broken_stops_the_night(lake):
    with pytest.raises(GateStopped, match=r"broken_keys is 2, must be at most 0 .*\[keys: int_people\]"):
        _judge(lake, [], {}, {"int_people": 2, "int_other": 0}, D)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A lake without a JVM; gates need no more than the tables of quality."""
    workspace = tmp_path_factory.mktemp("quality")
    (workspace / "cdp.yml").write_text("generate_secrets: true\n")
    lake = Lake(load_settings(workspace))
    lake.create([QUALITY, "quality.measures", "quality.gate_results"])
    assert CURRENT.startswith("tags.")
    return lake
