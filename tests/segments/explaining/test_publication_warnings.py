"""What only people can show: groups too small, segments that are the same people, conditions that leave nobody, odd lists."""

from __future__ import annotations

import dataclasses
from itertools import count

import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, D, bank_lake, catalogue_of, spec, surroundings

from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.settings.settings import load_settings
from segments.choosing.evaluation import evaluate
from segments.explaining import publication_warnings as warnings
from segments.explaining.publication_warnings import detectable_change, publication_warnings

ALL_OF_THEM = "where: {tag: balance, gte: 1}"


@pytest.fixture
def warnings_of(make_workspace):
    numbers = count()

    def find(segments, lists=None):
        texts = {f"segments/{code}.yml": spec(code, body) for code, body in segments.items()}
        files = {f"lists/{name}.csv": text for name, text in (lists or {}).items()}
        folder = make_workspace(
            {"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML, **texts, **files},
            name=f"bank {next(numbers)}",
        )
        settings = load_settings(folder)
        assert publication_warnings(settings, catalogue_of(settings)) == [], (
            "nothing is known before the first night"
        )
        lake = bank_lake(settings)
        evaluate(lake, D, surroundings(settings), engine="duckdb")
        make_visible(lake, D, "fingerprint", {})
        found = publication_warnings(settings, catalogue_of(settings))
        assert all(finding.is_warning for finding in found)
        return [(f.file.stem, f.line, f.code, f.message) for f in found]

    return find


@pytest.mark.parametrize(
    ("first", "second", "change"),
    [(10_000, 10_000, 0.0088), (435, 435, 0.05), (1_000, 100, 0.1026), (0, 10_000, 1.0)],
)
def test_the_change_that_groups_would_show_is_that_of_the_tables(first, second, change):
    assert detectable_change(first, second) == pytest.approx(change, abs=0.002)
    assert detectable_change(second, first) > 0


def test_groups_that_are_too_small_are_named_with_what_they_would_show(warnings_of, monkeypatch):
    split = "\nsplit: {experiment: e, layer: l, arms: {A: 50, B: 50}}"
    ((code, line, kind, message),) = warnings_of({"x": ALL_OF_THEM + split})
    assert (code, line, kind) == ("x", 10, "W01")
    assert "too small to measure: on 2026-11-18 " in message and "would have to rise by" in message
    monkeypatch.setattr(warnings, "RESPONSE", 0.99)
    assert warnings_of({"x": ALL_OF_THEM + split}) == []


def test_a_segment_without_groups_is_not_to_be_measured(warnings_of):
    assert warnings_of({"x": ALL_OF_THEM}) == []


def test_a_segment_whose_people_are_in_another_is_told_unless_it_is_made_of_it(warnings_of):
    segments = {
        "all": ALL_OF_THEM,
        "part": "where: {tag: balance, gte: 900}",
        "own": "where: {segment: part}",
    }
    found = [(code, kind, message) for code, _, kind, message in warnings_of(segments)]
    assert ("part", "W02", "100% of its members of 2026-11-18 are in 'all' as well") in found
    assert not any(code == "own" and "'part'" in message for code, _, message in found)
    assert not any(code == "all" for code, *_ in found), "one of its two is in no other"


@pytest.mark.parametrize(("left", "is_told"), [(0.1, False), (0.11, True)])
def test_a_condition_that_leaves_few_of_those_before_it_is_told(warnings_of, monkeypatch, left, is_told):
    body = "base: {tag: balance, gte: 1}\nwhere:\n  all:\n    - {tag: tier, in: [T2, T3]}\n    - {tag: balance, gte: 900}"
    monkeypatch.setattr(warnings, "LEFT", left)
    expected = [("x", 13, "W03", "the condition leaves 1 of the 10 people before it (2026-11-18)")]
    assert warnings_of({"x": body}) == (expected if is_told else [])


def test_a_list_with_people_nobody_knows_or_twice_is_told_without_saying_who(warnings_of):
    lists = {
        "ids@1": "one_id,expires_on\n1,\n1,2027-01-01\n777777,\n",
        "keys@1": "source,source_key\ncore,c3\ncore,nobody\ncore,c3\n",
    }
    found = warnings_of({"x": "where: {any: [{list: ids@1}, {list: keys@1}]}"}, lists)
    assert [(kind, message.split(",")[0].split(" of ")[0]) for _, _, kind, message in found] == [
        ("W04", "list 'ids@1' names 1 people nobody knows and 1 people again"),
        ("W04", "list 'keys@1' names 1 people nobody knows and 1 people again"),
    ]
    assert not any("777777" in str(part) or "nobody'" in str(part) for part in found)


def test_a_faulty_segment_is_not_measured(warnings_of, make_workspace):
    assert warnings_of({"x": ALL_OF_THEM}) == []
    settings = load_settings(make_workspace({"segments/x.yml": spec("x", "where: {tag: teir, eq: T1}")}))
    catalogue = catalogue_of(settings)
    assert publication_warnings(settings, dataclasses.replace(catalogue)) == []
