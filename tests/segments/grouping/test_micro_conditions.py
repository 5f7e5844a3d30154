"""Micro-segments as a condition: whom a segment chooses by them, what is unknown, and what a person is told."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner
from micro_bank import D, assign, drawn_people, micro, micro_lake
from segment_bank import DESTINATIONS_YML, TAGS_YML, at, catalogue_of, rows_of, spec, surroundings

import segments
from jobs.cli.segments import group
from lakehouse.errors import SettingsInvalid
from lakehouse.ledger.ledger import publish as make_visible
from segments.choosing.evaluation import evaluate
from segments.explaining.indexed import index_newest
from segments.explaining.preview import preview

FILES = {
    "tags/test.yml": TAGS_YML,
    "destinations.yml": DESTINATIONS_YML,
    "micro_segments/value_groups.yml": micro(),
    "segments/alike.yml": spec(
        "alike",
        "unknown: exclude\nwhere: {all: [{micro_segment: {set: value_groups, label: [1, 3]}}, {tag: balance, gte: 1}]}",
    ),
    "segments/others.yml": spec(
        "others", "unknown: exclude\nwhere: {not: {micro_segment: {set: value_groups, label: 1}}}"
    ),
}


@pytest.fixture
def bank(make_workspace):
    people, _ = drawn_people(200)
    lake = micro_lake(make_workspace, FILES, people)
    lake.append("trusted.consents", rows_of("trusted.consents", [
        {"source_key": "c100", "purpose": "profiling", "channel": "ALL", "decision": "REFUSE", "decided_at": at("2026-01-01")}]))  # fmt: skip
    return lake


def candidates(lake):
    rows = lake.read_arrow("segments.runs").to_pylist()
    return {row["code"]: json.loads(row["counts"])["candidates"] for row in rows}


def test_a_night_groups_people_first_and_then_chooses_by_it(bank):
    segments.evaluate(bank, D, surroundings(bank.settings))
    labels = assign(bank)
    assert len(labels) == 199
    # Who refused is in no micro-segment, and it is unknown whether in the first: neither segment chooses them.
    assert candidates(bank) == {
        "alike": sum(labels.get(p["one_id"]) in (1, 3) and p["balance"] >= 1 for p in drawn_people(200)[0]),
        "others": sum(label != 1 for label in labels.values()),
    }


@pytest.mark.slow
def test_both_engines_choose_the_same(bank, spark):
    assign(bank)
    bank._spark = spark
    runs = []
    for engine in ("duckdb", "spark"):
        evaluate(bank, D, surroundings(bank.settings), engine=engine)
        runs.append(bank.read_arrow("segments.runs").to_pylist())
    assert runs[0] == runs[1]
    assert "segments.micro_segments" in {entry["table"] for entry in runs[0][0]["inputs"]}


@pytest.mark.slow
def test_a_preview_with_and_without_an_index_is_what_the_night_chose(bank):
    segments.evaluate(bank, D, surroundings(bank.settings))
    make_visible(bank, D, "first", {})
    around = surroundings(bank.settings)
    numbers = candidates(bank)
    for _ in range(2):
        for code in ("alike", "others"):
            assert preview(bank.settings, around, code).counts["candidates"] == numbers[code]
        index_newest(bank.settings, around)


def test_a_person_is_told_their_micro_segment(bank):
    segments.evaluate(bank, D, surroundings(bank.settings))
    make_visible(bank, D, "first", {})
    labels = assign(bank)
    for one_id in (101, 102, 103):
        command = ["explain", "alike", "--one-id", str(one_id), "--workspace", str(bank.settings.workspace)]
        lines = CliRunner().invoke(group, command, standalone_mode=False).stdout.splitlines()
        (line,) = [line for line in lines if "micro_segment" in line]
        assert line.split()[0] == ("true" if labels[one_id] in (1, 3) else "false")
        assert line.endswith(f"[{labels[one_id]}]")


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("{micro_segment: {set: value_group, label: 1}}", "E01 there is no set of micro-segments 'value_group'; did you mean 'value_groups'?"),
        ("{not: {micro_segment: {set: value_groups, label: 1}}}", "E13 the condition can be unknown and is negated here"),
        ("{micro_segment: {set: value_groups, label: 0}}", "'micro_segment.label' takes a number from 1, or a list of them"),
        ("{micro_segment: {set: value_groups, label: []}}", "'micro_segment.label' takes a number from 1, or a list of them"),
        ("{micro_segment: {set: value_groups, labels: 1}}", "unknown key 'labels'; did you mean 'label'?"),
        ("{micro_segment: value_groups}", "'micro_segment' takes {set: value_groups, label: 3}"),
    ],
)  # fmt: skip
def test_a_faulty_condition_is_refused_with_its_line(make_workspace, where, sentence):
    files = {**FILES, "segments/alike.yml": spec("alike", f"where: {where}")}
    del files["segments/others.yml"]
    lake = micro_lake(make_workspace, files, [])
    (fault,) = catalogue_of(lake.settings).findings()
    assert sentence in str(fault) and fault.line == 9


def test_a_base_of_micro_segments_does_not_rest_on_micro_segments(make_workspace):
    body = "base: {micro_segment: {set: value_groups, label: 1}}"
    lake = micro_lake(make_workspace, {**FILES, "micro_segments/value_groups.yml": micro(body=body)}, [])
    with pytest.raises(SettingsInvalid, match="E03 the base of micro-segments asks for tags"):
        segments.check_specs(lake.settings, surroundings(lake.settings))


def test_a_publication_from_before_there_were_micro_segments_answers_unknown(make_workspace):
    lake = micro_lake(
        make_workspace, {**FILES, "segments/others.yml": FILES["segments/others.yml"]}, drawn_people(5)[0]
    )
    for name in ("micro_segments", "micro_fits"):
        shutil.rmtree(lake.path(f"segments.{name}"))
    make_visible(lake, D, "first", {})
    assert preview(lake.settings, surroundings(lake.settings), "others").counts["candidates"] == 0
