"""What only people can show: groups too small, segments that are the same people, conditions that leave nobody, odd lists."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from itertools import count

import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, D, bank_lake, catalogue_of, rows_of, spec, surroundings

from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.settings.settings import load_settings
from segments.choosing.evaluation import evaluate
from segments.explaining.publication_warnings import detectable_change, publication_warnings

ALL_OF_THEM = "where: {tag: balance, gte: 1}"


@pytest.fixture
def warnings_of(make_workspace):
    numbers = count()

    def find(segments, lists=None, rows=None, change=None):
        """``rows`` are other people's tags, ``change`` changes the lake after the night and before it is published."""
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
        lake = bank_lake(settings, rows)
        evaluate(lake, D, surroundings(settings), engine="duckdb")
        if change is not None:
            change(lake)
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


SPLIT = "\nsplit: {experiment: e, layer: l, arms: {A: 50, B: 50}}"


def test_groups_that_are_too_small_are_named_with_what_they_would_show(warnings_of):
    ((code, line, kind, message),) = warnings_of({"x": ALL_OF_THEM + SPLIT})
    assert (code, line, kind) == ("x", 10, "W01")
    assert "too small to measure: on 2026-11-18 " in message and "would have to rise by" in message


def with_groups(first, second):
    """What writes other numbers of people into the run of a night."""

    def change(lake):
        rows = lake.read_arrow("segments.runs").to_pylist()
        for row in rows:
            counts = {**json.loads(row["counts"]), "variants": {"A": first, "B": second}}
            row["counts"] = json.dumps(counts)
        lake.replace_partition("segments.runs", rows_of("segments.runs", rows), as_of=D)

    return change


@pytest.mark.parametrize(
    ("first", "second", "is_told"),
    [
        # 5 % to 10 %: (1.96 + 0.8416)² · (0.05 · 0.95 + 0.1 · 0.9) / 0.05² = 431.7 people in each.
        (431, 431, True),
        (432, 432, False),
        (431, 432, True),
        (450, 400, True),
        (451, 400, False),
    ],
)
def test_groups_are_large_enough_where_a_response_of_five_percent_that_doubles_would_be_seen(
    warnings_of, first, second, is_told
):
    found = warnings_of({"x": ALL_OF_THEM + SPLIT}, change=with_groups(first, second))
    assert [kind for _, _, kind, _ in found] == (["W01"] if is_told else [])


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


@pytest.mark.parametrize(("shared", "is_told"), [(90, False), (91, True)])
def test_more_than_nine_in_ten_people_of_another_segment_are_told(warnings_of, shared, is_told):
    def change(lake):
        people = {"few": range(100), "many": range(100 - shared, 300)}
        members = [
            {"code": code, "as_of": D, "run_id": code, "one_id": n, "holdout": "NONE", "entered_on": D}
            for code in people
            for n in people[code]
        ]
        lake.replace_partition("segments.members", rows_of("segments.members", members), as_of=D)

    found = warnings_of({"few": ALL_OF_THEM, "many": ALL_OF_THEM}, change=change)
    text = "91% of its members of 2026-11-18 are in 'many' as well"
    assert found == ([("few", 2, "W02", text)] if is_told else [])


def crowd(people, *, holding=0):
    """The tags of so many people, of whom the first ``holding`` have a balance of 500, the others of 50."""
    return [
        {"one_id": n, "tier": "T1", "balance": Decimal(500 if n <= holding else 50), "days_left": n, "interests": [],
         "is_active": True, "opened_on": None, "grade": None}
        for n in range(1, people + 1)
    ]  # fmt: skip


NARROW = "base: {tag: tier, eq: T1}\nwhere:\n  all:\n    - {tag: is_active, eq: true}\n    - "


@pytest.mark.parametrize(
    ("condition", "people", "holding", "left"),
    [
        ("{tag: balance, gte: 500}", 100, 5, None),
        ("{tag: balance, gte: 500}", 100, 4, 4),
        ("{tag: balance, gte: 500}", 101, 5, 5),
        ("{tag: days_left, top_n: 5}", 100, 0, None),
        ("{tag: days_left, top_n: 4}", 100, 0, 4),
        ("{tag: days_left, top_percent: 5}", 100, 0, None),
        ("{tag: days_left, top_n: 4, within: all}", 100, 0, 4),
        # 5 of these 100 have a bucket below 850 of 10,000 under the salt of the segment, and 4 one below 800.
        ("{sample: {percent: 8.5}}", 100, 0, None),
        ("{sample: {percent: 8}}", 100, 0, 4),
    ],
)
def test_a_condition_that_leaves_less_than_five_in_a_hundred_of_those_before_it_is_told(
    warnings_of, condition, people, holding, left
):
    text = f"the condition leaves {left} of the {people} people before it (2026-11-18)"
    found = warnings_of({"x": NARROW + condition}, rows=crowd(people, holding=holding))
    assert found == ([] if left is None else [("x", 13, "W03", text)])


@pytest.mark.parametrize(("members", "is_told"), [(5, False), (4, True)])
def test_another_segment_leaves_its_members_of_the_night(warnings_of, members, is_told):
    def change(lake):
        rows = lake.read_arrow("segments.members").to_pylist()
        (one,) = [row for row in rows if (row["code"], row["one_id"]) == ("other", 1)]
        rows = [row for row in rows if row["code"] != "other"]
        rows += [{**one, "one_id": n} for n in range(1, members + 1)]
        lake.replace_partition("segments.members", rows_of("segments.members", rows), as_of=D)

    segments = {"x": NARROW + "{segment: other}", "other": ALL_OF_THEM}
    found = [one for one in warnings_of(segments, rows=crowd(100), change=change) if one[2] == "W03"]
    text = f"the condition leaves {members} of the 100 people before it (2026-11-18)"
    assert found == ([("x", 13, "W03", text)] if is_told else [])


def test_nothing_is_said_of_a_condition_on_a_segment_that_the_night_did_not_evaluate(warnings_of):
    def change(lake):
        for table in ("segments.runs", "segments.members"):
            rows = [row for row in lake.read_arrow(table).to_pylist() if row["code"] != "other"]
            lake.replace_partition(table, rows_of(table, rows), as_of=D)

    ranked = "base: {segment: other}\nwhere: {tag: days_left, top_n: 1}"
    segments = {"x": NARROW + "{segment: other}", "ranked": ranked, "other": ALL_OF_THEM}
    found = warnings_of(segments, rows=crowd(100), change=change)
    assert [one for one in found if one[2] == "W03"] == []


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
