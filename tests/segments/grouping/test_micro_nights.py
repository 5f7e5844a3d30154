"""What a night makes of sets of micro-segments: whom it groups, how numbers last, and that it says the same twice."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import numpy as np
import pytest
from micro_bank import (
    D,
    assign,
    drawn_people,
    fits_of,
    labels_on,
    micro,
    micro_lake,
    person,
    take_people,
    text_of,
)
from segment_bank import TAGS_YML, at, rows_of, surroundings

from lakehouse.errors import SettingsInvalid
from segments.grouping.night import assign_people
from segments.grouping.quality import adjusted_rand

FILES = {"tags/test.yml": TAGS_YML, "micro_segments/value_groups.yml": micro()}
NEXT_QUARTER = dt.date(2027, 1, 4)


@pytest.fixture
def bank(make_workspace):
    people, truth = drawn_people()
    return micro_lake(make_workspace, FILES, people), people, truth


def agreement(labels, others):
    both = sorted(set(labels) & set(others))
    return float(adjusted_rand(np.array([labels[n] for n in both]), np.array([others[n] for n in both])))


def test_five_groups_that_are_apart_are_recovered_and_numbered_by_size(bank):
    lake, _, truth = bank
    labels = assign(lake)
    assert len(labels) == 500 and agreement(labels, truth) == 1
    sizes = Counter(labels.values())
    assert list(sizes.values()) and [sizes[n] for n in range(1, 6)] == sorted(sizes.values(), reverse=True)
    (fit,) = fits_of(lake)
    assert (fit["base_count"], fit["refused_count"], fit["unvalued_count"], fit["fitted_count"]) == (
        500,
        0,
        0,
        500,
    )
    assert fit["stability"] == 1 and fit["silhouette"] > 0.8 and fit["moved_ratio"] is None


def test_a_night_twice_gives_identical_tables(bank):
    lake, _, _ = bank
    assign(lake)
    tables = [text_of(lake.read_arrow(f"segments.{name}")) for name in ("micro_fits", "micro_segments")]
    assign(lake)
    assert [
        text_of(lake.read_arrow(f"segments.{name}")) for name in ("micro_fits", "micro_segments")
    ] == tables


def test_the_order_of_rows_does_not_count(bank, make_workspace):
    lake, people, _ = bank
    other = micro_lake(make_workspace, FILES, people[::-1], "other")
    assert assign(lake) == assign(other)
    assert text_of(lake.read_arrow("segments.micro_fits")) == text_of(other.read_arrow("segments.micro_fits"))


def test_numbers_last_over_quarters_when_people_come_and_go(bank):
    lake, people, truth = bank
    before = assign(lake)
    more, more_truth = drawn_people(25, seed=9, first=5000)
    take_people(lake, people[30:] + more, NEXT_QUARTER)
    after = assign(lake, NEXT_QUARTER)
    assert all(after[n] == before[n] for n in set(before) & set(after))
    assert agreement(after, truth | more_truth) == 1
    first, second = fits_of(lake)
    assert (first["valid_to"], second["valid_from"], second["moved_ratio"]) == (NEXT_QUARTER, NEXT_QUARTER, 0)


def test_within_a_quarter_centres_are_frozen_and_people_move_between_them(bank):
    lake, people, _ = bank
    before = assign(lake)
    day = D + dt.timedelta(days=1)
    one, other = people[0], next(p for p in people if before[p["one_id"]] != before[people[0]["one_id"]])
    take_people(
        lake, [{**one, "days_left": other["days_left"], "balance": other["balance"]}, *people[1:]], day
    )
    after = assign(lake, day)
    assert len(fits_of(lake)) == 1
    assert after[one["one_id"]] == before[other["one_id"]]
    assert {n for n in after if after[n] != before[n]} == {one["one_id"]}


def test_a_group_that_splits_leaves_its_number_to_the_larger_part_and_the_other_gets_a_new_one(
    make_workspace,
):
    left, _ = drawn_people(200, middles=[(100, 1000)])
    right, _ = drawn_people(100, middles=[(900, 90_000)], first=2000)
    files = {"tags/test.yml": TAGS_YML, "micro_segments/value_groups.yml": micro(groups=2)}
    lake = micro_lake(make_workspace, files, left + right)
    before = assign(lake)
    assert {before[p["one_id"]] for p in left} == {1} and {before[p["one_id"]] for p in right} == {2}
    lake.settings.workspace.joinpath("micro_segments/value_groups.yml").write_text(micro(groups=3))
    gone, rest = left[:70], left[70:]
    take_people(lake, [{**p, "balance": p["balance"] + 45_000} for p in gone] + rest + right, NEXT_QUARTER)
    after = assign(lake, NEXT_QUARTER)
    assert {after[p["one_id"]] for p in rest} == {1} and {after[p["one_id"]] for p in right} == {2}
    assert {after[p["one_id"]] for p in gone} == {3}
    assert float(fits_of(lake)[-1]["moved_ratio"]) == pytest.approx(70 / 300, abs=1e-6)
    # Back to two groups the number 3 is gone, and the next new group is not called 3 again.
    lake.settings.workspace.joinpath("micro_segments/value_groups.yml").write_text(micro(groups=2))
    day = dt.date(2027, 4, 1)
    take_people(lake, left + right, day)
    assert set(assign(lake, day).values()) == {1, 2}
    lake.settings.workspace.joinpath("micro_segments/value_groups.yml").write_text(micro(groups=3))
    day = dt.date(2027, 4, 2)
    take_people(lake, [{**p, "balance": p["balance"] + 45_000} for p in gone] + rest + right, day)
    assert set(assign(lake, day).values()) == {1, 2, 4}


def test_a_rerun_takes_back_what_the_night_said_before(bank):
    lake, people, _ = bank
    assign(lake)
    take_people(lake, people, NEXT_QUARTER)
    assign(lake, NEXT_QUARTER)
    fits, labels = fits_of(lake), labels_on(lake, NEXT_QUARTER)
    assert assign(lake, NEXT_QUARTER) == labels and fits_of(lake) == fits
    take_people(lake, people[:400], NEXT_QUARTER)
    assign(lake, NEXT_QUARTER)
    assert [fit["fitted_count"] for fit in fits_of(lake)] == [500, 400]


def test_who_refused_profiling_is_neither_compared_nor_assigned(bank):
    lake, people, _ = bank
    decisions = [(100, "REFUSE", "2026-01-01"), (101, "REFUSE", "2026-01-01"), (101, "GRANT", "2026-02-01")]
    lake.append("trusted.consents", rows_of("trusted.consents", [
        {"source_key": f"c{n}", "purpose": "profiling", "channel": "ALL", "decision": decision, "decided_at": at(day)}
        for n, decision, day in decisions]))  # fmt: skip
    labels = assign(lake)
    assert 100 not in labels and 101 in labels and len(labels) == 499
    (fit,) = fits_of(lake)
    assert (fit["base_count"], fit["refused_count"], fit["fitted_count"]) == (500, 1, 499)
    # Who refuses within the quarter leaves on the next night, though the centres stay.
    lake.append("trusted.consents", rows_of("trusted.consents", [
        {"source_key": "c102", "purpose": "profiling", "channel": "ALL", "decision": "REFUSE", "decided_at": at("2026-11-19")}]))  # fmt: skip
    day = D + dt.timedelta(days=1)
    take_people(lake, people, day)
    assert 102 not in assign(lake, day) and len(fits_of(lake)) == 1


def test_a_missing_value_leaves_out_or_counts_as_the_median_as_the_file_says(make_workspace):
    people, _ = drawn_people(100)
    people += [person(900, None, 1000), person(901, None, 90_000)]
    files = {"tags/test.yml": TAGS_YML, "micro_segments/value_groups.yml": micro()}
    lake = micro_lake(make_workspace, files, people)
    labels = assign(lake)
    assert 900 not in labels and fits_of(lake)[0]["unvalued_count"] == 2
    median = micro(tags="{tag: days_left, nulls: median}, {tag: balance}")
    lake = micro_lake(make_workspace, {**files, "micro_segments/value_groups.yml": median}, people, "other")
    labels = assign(lake)
    assert {900, 901} <= set(labels) and fits_of(lake)[0]["unvalued_count"] == 0
    middle = sorted(p["days_left"] for p in people if p["days_left"] is not None)[49]
    assert fits_of(lake)[0]["scales"][0]["middle"] == middle


def test_a_tag_of_which_everybody_has_one_value_is_left_out_with_a_sentence(make_workspace, caplog):
    people, _ = drawn_people(100, middles=[(7, 1000), (7, 90_000)])
    files = {"tags/test.yml": TAGS_YML, "micro_segments/value_groups.yml": micro(groups=2)}
    lake = micro_lake(make_workspace, files, [{**p, "days_left": 7} for p in people])
    assert set(assign(lake).values()) == {1, 2}
    assert [scale["tag"] for scale in fits_of(lake)[0]["scales"]] == ["balance"]
    assert "everybody is alike in days_left, which is left out" in caplog.text


def test_more_groups_than_different_people_leave_nobody_with_a_warning(make_workspace, caplog):
    files = {"tags/test.yml": TAGS_YML, "micro_segments/value_groups.yml": micro(groups=5)}
    lake = micro_lake(make_workspace, files, [person(n, 1 + n % 3, 100 * (n % 3)) for n in range(100, 120)])
    assert assign(lake) == {}
    assert "it asks for 5 groups, and 20 people have 3 different places; nobody is in one" in caplog.text


def test_the_earlier_centres_count_where_a_new_quarter_has_nobody(bank, caplog):
    lake, people, _ = bank
    assign(lake)
    take_people(lake, people[:3], NEXT_QUARTER)
    assert set(assign(lake, NEXT_QUARTER)) == {100, 101, 102}
    assert len(fits_of(lake)) == 1 and "the earlier ones count" in caplog.text


def test_one_outlier_of_a_million_millions_moves_no_centre(make_workspace):
    people, truth = drawn_people(500)
    clip = micro(body="clip: 0.01")
    files = {"tags/test.yml": TAGS_YML, "micro_segments/value_groups.yml": clip}
    lake = micro_lake(make_workspace, files, [*people, person(900, 900, 10**12)])
    labels = assign(lake)
    assert agreement({n: labels[n] for n in truth}, truth) == 1
    rich = next(n for n, group in truth.items() if group == 3)
    assert labels[900] == labels[rich]


def test_only_the_base_and_the_kind_of_people_is_grouped(make_workspace):
    people, _ = drawn_people(200)
    people = [{**p, "tier": "T1" if p["one_id"] % 2 else "T2"} for p in people]
    people[1]["tier"] = None
    files = {"tags/test.yml": TAGS_YML,
             "micro_segments/value_groups.yml": micro(body="clip: 0\nbase: {tag: tier, in: [T1, T3]}")}  # fmt: skip
    lake = micro_lake(make_workspace, files, [*people, person(12, 100, 1000)])  # 12 is a prospect
    assert set(assign(lake)) == {p["one_id"] for p in people if p["tier"] == "T1"}


def test_a_set_that_leaves_the_workspace_ends(bank):
    lake, people, _ = bank
    assign(lake)
    (lake.settings.workspace / "micro_segments/value_groups.yml").unlink()
    day = D + dt.timedelta(days=1)
    take_people(lake, people, day)
    assert assign(lake, day) == {}
    assert fits_of(lake)[0]["valid_to"] == day


def test_what_the_fit_holds_assigns_everybody_again(bank):
    lake, people, _ = bank
    labels = assign(lake)
    (fit,) = fits_of(lake)
    for row in people[:50]:
        distances = {}
        for centre in fit["centres"]:
            distances[centre["label"]] = sum(
                (round(float((min(max(row[scale["tag"]], scale["low"]), scale["high"]) - scale["mean"]) / scale["spread"]) * 1000) - at) ** 2
                for scale, at in zip(fit["scales"], centre["coordinates"], strict=True)
            )  # fmt: skip
        assert labels[row["one_id"]] == min(distances, key=lambda label: (distances[label], label))


@pytest.mark.slow
def test_spark_and_duckdb_give_the_same(bank, make_workspace, spark):
    lake, people, _ = bank
    other = micro_lake(make_workspace, FILES, people, "other")
    other._spark = spark
    assert assign(lake) == assign(other, engine="spark")
    assert text_of(lake.read_arrow("segments.micro_fits")) == text_of(other.read_arrow("segments.micro_fits"))


@pytest.mark.parametrize(
    ("tags", "body", "line", "sentence"),
    [
        ("{tag: day_left}", "", 5, "E01 there is no tag 'day_left'; did you mean 'days_left'?"),
        ("{tag: tier}", "", 5, "E03 a set of micro-segments works on numbers, and tag 'tier' is a category"),
        ("{tag: grade}", "", 5, "E06 tag 'grade' may only exclude"),
        ("{tag: sketch}", "", 5, "E05 tag 'sketch' is draft, not online"),
        ("{tag: days_left}, {tag: days_left}", "", 5, "'days_left' is named twice"),
        ("{tag: days_left}", "base: {tag: tierr, in: [T1]}", 8, "E01 there is no tag 'tierr'"),
        ("{tag: days_left}", "base: {segment: rich}", 8, "E03 the base of micro-segments asks for tags"),
        ("{tag: days_left}", "cip: 0.1", 8, "unknown key 'cip'; did you mean 'clip'?"),
    ],
)  # fmt: skip
def test_a_faulty_declaration_is_refused_with_file_and_line(make_workspace, tags, body, line, sentence):
    files = {"tags/test.yml": TAGS_YML, "micro_segments/value_groups.yml": micro(tags=tags, body=body)}
    lake = micro_lake(make_workspace, files, [])
    with pytest.raises(SettingsInvalid) as refusal:
        assign_people(lake, D, surroundings(lake.settings))
    assert sentence in str(refusal.value) and refusal.value.line == line


def test_a_tag_of_level_c2_needs_somebody_who_answers_for_it(make_workspace):
    text = "\n".join(line for line in micro().splitlines() if not line.startswith("accepts"))
    lake = micro_lake(
        make_workspace, {"tags/test.yml": TAGS_YML, "micro_segments/value_groups.yml": text}, []
    )
    with pytest.raises(
        SettingsInvalid, match=r"E07 tag .balance. is C2.* accepts: \{level: C2, why: …, approver: …\}"
    ):
        assign_people(lake, D, surroundings(lake.settings))
