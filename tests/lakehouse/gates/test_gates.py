"""Gates measure by the contract, judge by its bounds or the site's, keep the numbers, and stop. Without Spark."""

from __future__ import annotations

from datetime import date

import pytest

from lakehouse.contracts.contract import Bound
from lakehouse.contracts.reading import build_contract
from lakehouse.errors import GateStopped
from lakehouse.gates.gates import Verdict, bounds_of, check_tables, judge_measures, measure
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import Lake

MON, TUE = date(2026, 11, 16), date(2026, 11, 17)
COLUMNS = {"id": {"type": "string", "required": True}, "amount": {"type": "int"}}


def scratch(shape, key=("id",), bounds=()):
    tree = {
        "table": f"quality.scratch_{shape}", "description": "d", "grain": "g", "shape": shape, "key": list(key),
        "owner": "tests", "columns": COLUMNS, "bounds": list(bounds),
    }  # fmt: skip
    return build_contract(tree)


FACTS = scratch(
    "fact",
    bounds=[
        {"name": "today", "measure": "count(*)", "over": "arrived", "min": 1, "max": 2, "why": "one or two a night"},
        {"name": "sum", "measure": "sum(amount)", "max": 10, "severity": "warn", "why": "small sums"},
        {"name": "below", "measure": "count_if(amount < 0)", "max": 0, "why": "no negative amount"},
    ],
)  # fmt: skip


@pytest.fixture
def lake(make_workspace):
    lake = Lake(load_settings(make_workspace()))
    lake.contracts.add(FACTS, scratch("state"), scratch("derived"), scratch("dictionary"))
    lake.create(
        [
            FACTS.name,
            "quality.scratch_state",
            "quality.scratch_derived",
            "quality.measures",
            "quality.gate_results",
        ]
    )
    return lake


def facts(lake, day, *amounts):
    rows = [{"id": f"{day}{at}", "amount": amount, "_feed": "f", "_file": "f", "_row": at, "_arrived_on": day} for at, amount in enumerate(amounts)]  # fmt: skip
    lake.append_rows(FACTS.name, rows)


def results(lake):
    rows = lake.read_arrow("quality.gate_results").to_pylist()
    return {
        (row["business_date"], row["measure"]): (row["value"], row["low"], row["high"], row["is_passed"])
        for row in rows
    }


def test_a_bound_is_measured_over_all_rows_or_those_of_the_night(lake):
    facts(lake, MON, 1, 2, 3)
    facts(lake, TUE, 4)
    verdicts = check_tables(lake, "g", [FACTS.name], TUE)
    assert {v.bound.name: (v.value, v.is_passed) for v in verdicts} == {
        "today": (1, True),
        "sum": (10, True),
        "below": (0, True),
    }
    with pytest.raises(GateStopped) as stopped:
        check_tables(lake, "ingest", [FACTS.name], MON)
    assert stopped.value.message == (
        "the gate after ingest stopped: quality.scratch_fact: today is 3, must be between 1 and 2 (one or two a night)"
    )
    assert results(lake)[MON, "today"] == (3, 1, 2, False)
    assert results(lake)[TUE, "sum"] == (10, None, 10, True)


def test_nothing_in_a_table_is_no_reason_to_pass(lake):
    with pytest.raises(GateStopped, match=r"today is 0, must be between 1 and 2"):
        check_tables(lake, "g", [FACTS.name], MON)
    assert results(lake)[MON, "below"] == (0, None, 0, True)
    assert results(lake)[MON, "sum"] == (None, None, 10, True)
    least = Bound("least", "m", "there is something", min=0)
    with pytest.raises(GateStopped, match=r"t: least is nothing, must be at least 0 \(there is something\)"):
        judge_measures(lake, "g", {"t": [least]}, {}, MON)


def test_a_warning_does_not_stop_and_two_breaches_are_counted(lake, caplog):
    facts(lake, MON, 5, 6)
    check_tables(lake, "g", [FACTS.name], MON)
    assert "sum is 11, must be at most 10 (small sums)" in caplog.text
    facts(lake, TUE, -1, -2, -3)
    with pytest.raises(GateStopped, match=r"and 1 more, see quality\.gate_results\)$"):
        check_tables(lake, "g", [FACTS.name], TUE)


@pytest.mark.parametrize(("value", "is_passed"), [(0.99, False), (1, True), (2, True), (2.01, False)])
def test_a_bound_holds_up_to_its_ends(lake, value, is_passed):
    bound = Bound("n", "m", "w", min=1, max=2, severity="warn")
    assert [v.is_passed for v in judge_measures(lake, "g", {"t": [bound]}, {("t", "n"): value}, MON)] == [
        is_passed
    ]


def test_a_site_replaces_the_bound_and_keeps_the_measure(make_workspace):
    text = (
        "generate_secrets: true\nthresholds:\n"
        "  quality.scratch_fact.today: {min: 5, why: ours}\n  quality.scratch_fact.below: {max: 3, severity: warn, why: ours}\n"
    )
    settings = load_settings(make_workspace({"cdp.yml": text}))
    today, total, below = bounds_of(FACTS, settings)
    assert (today.measure, today.over, today.min, today.max, today.severity, today.why) == ("count(*)", "arrived", 5, None, "stop", "ours")  # fmt: skip
    assert (below.max, below.severity) == (3, "warn")
    assert total == FACTS.bounds[1]


@pytest.mark.parametrize("shape", ["fact", "log", "state", "derived", "dictionary"])
def test_keys_of_tables_that_name_things_are_unique(shape, make_workspace):
    contract = scratch(shape)
    names = [bound.name for bound in bounds_of(contract, load_settings(make_workspace()))]
    assert ("duplicate_keys" in names) == (shape in ("state", "derived", "dictionary"))


def test_a_key_that_stands_twice_stops(lake):
    lake.append_rows("quality.scratch_derived", [{"id": "a"}, {"id": "b"}, {"id": "a"}])
    with pytest.raises(GateStopped, match="duplicate_keys is 1, must be at most 0"):
        check_tables(lake, "g", ["quality.scratch_derived"], MON)
    row = {"id": "a", "amount": 1, "_file": "f", "_row": 1}
    lake.append_rows(
        "quality.scratch_state",
        [
            {**row, "_feed": "f", "valid_from": MON, "valid_to": TUE},
            {**row, "_feed": "f", "valid_from": TUE},
            {**row, "_feed": "other", "valid_from": TUE},
        ],
    )
    check_tables(lake, "g", ["quality.scratch_state"], TUE)
    lake.append_rows("quality.scratch_state", [{**row, "_feed": "f", "_row": 2, "valid_from": MON}])
    with pytest.raises(GateStopped, match="duplicate_keys is 1, must be at most 0"):
        check_tables(lake, "g", ["quality.scratch_state"], TUE)


def test_a_state_is_measured_by_what_became_valid_in_the_night(lake):
    bound = Bound("news", "count(*)", "w", over="arrived", min=0)
    row = {"amount": 1, "_feed": "f", "_file": "f", "_row": 1}
    lake.append_rows("quality.scratch_state", [{**row, "id": "a", "valid_from": MON}, {**row, "id": "b", "valid_from": TUE}])  # fmt: skip
    lake.append_rows("quality.scratch_derived", [{"id": "a"}, {"id": "b"}])
    bounds = {"quality.scratch_state": [bound], "quality.scratch_derived": [bound]}
    assert measure(lake, bounds, TUE) == {
        ("quality.scratch_state", "news"): 1,
        ("quality.scratch_derived", "news"): 2,
    }


@pytest.mark.parametrize(
    ("low", "high", "value", "words"),
    [
        (1, 2, 3, "is 3, must be between 1 and 2"),
        (1, None, 0.5, "is 0.5, must be at least 1"),
        (None, 2, None, "is nothing, must be at most 2"),
    ],
)
def test_a_verdict_is_one_sentence(low, high, value, words):
    verdict = Verdict("t", Bound("n", "m", "why", min=low, max=high), value, False)
    assert verdict.sentence() == f"t: n {words} (why)"
