"""``cdp segments micro``: what a marketer reads of micro-segments, published or tried."""

from __future__ import annotations

import csv
import io
import json

import pytest
from click.testing import CliRunner
from micro_bank import D, assign, drawn_people, micro, micro_lake
from segment_bank import DESTINATIONS_YML, TAGS_YML, at, rows_of, spec

from jobs.cli.segments import group
from jobs.report.tag_usage import tag_impact, tag_users
from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.settings.settings import load_settings

NAMES = "clip: 0\nlabels: {1: {zh: 高净值, en: Wealthy}}"


@pytest.fixture
def bank(make_workspace):
    """A published night with a set that nobody has named the groups of yet, one person who refused, and eight who are far away."""
    people, _ = drawn_people(400)
    far, _ = drawn_people(8, middles=[(3000, 500_000)], first=9000)
    files = {"tags/test.yml": TAGS_YML, "micro_segments/value_groups.yml": micro(groups=6, body=NAMES)}
    lake = micro_lake(make_workspace, files, people + far)
    lake.append("trusted.consents", rows_of("trusted.consents", [
        {"source_key": "c100", "purpose": "profiling", "channel": "ALL", "decision": "REFUSE", "decided_at": at("2026-01-01")}]))  # fmt: skip
    return lake


def call(lake, *arguments):
    return CliRunner().invoke(
        group, ["micro", *arguments, "--workspace", str(lake.settings.workspace)], standalone_mode=False
    )


def output(lake, *arguments):
    answer = call(lake, *arguments)
    assert answer.exception is None, answer.exception
    return answer.stdout


def test_what_a_night_computed_is_shown_with_sizes_quality_and_the_tags_that_differ(bank):
    labels = assign(bank)
    make_visible(bank, D, "first", {})
    text = output(bank, "value_groups")
    lines = text.splitlines()
    assert lines[0] == "value_groups (Value groups), as of 2026-11-18: 407 people in 6 micro-segments"
    assert lines[1] == "computed on 2026-11-18 and kept for the quarter"
    assert lines[2].startswith("of 408 people in the base 1 refused profiling and 0 have no value")
    assert "another seed agrees by 1" in lines[3]
    first = sum(label == 1 for label in labels.values())
    assert any(line.split() == ["1", "Wealthy", str(first), f"{first / 407:.1%}"] for line in lines)
    assert "— 6: 8 people, too few to describe" in lines
    assert any(line.startswith("balance ") and "instead of" in line for line in lines)
    document = json.loads(output(bank, "value_groups", "--format", "json"))
    assert document["is_published"] is True and document["differing_people"] == 0
    small = document["micro_segments"][5]
    assert (small["people"], small["tags"], small["deviations"]) == (8, [], {})
    assert "500" not in json.dumps(document["micro_segments"][5])
    rows = list(csv.reader(io.StringIO(output(bank, "value_groups", "--format", "csv"))))
    assert ["micro_segments.0.label", "1"] in rows


def test_the_distance_of_a_tag_is_that_of_a_profile(bank):
    assign(bank)
    make_visible(bank, D, "first", {})
    document = json.loads(output(bank, "value_groups", "--tags", "20", "--format", "json"))
    one = document["micro_segments"][0]
    tag = next(t for t in one["tags"] if t["tag"] == "balance")
    assert sum(c["base"] for c in tag["classes"]) == pytest.approx(1)
    assert tag["distance"] == pytest.approx(sum(abs(c["base"] - c["segment"]) for c in tag["classes"]) / 2)
    assert {"grade", "sketch"} & {t["tag"] for t in one["tags"]} == set()


def test_a_draft_is_tried_with_the_numbers_of_the_published_one_and_writes_nothing(bank, tmp_path):
    assign(bank)
    make_visible(bank, D, "first", {})
    draft = tmp_path / "draft.yml"
    draft.write_text(micro(groups=5, body=NAMES))
    before = bank.version("segments.micro_fits")
    document = json.loads(output(bank, str(draft), "--format", "json"))
    assert document["is_published"] is False and len(document["micro_segments"]) == 5
    assert {one["label"] for one in document["micro_segments"]} <= {1, 2, 3, 4, 5, 6}
    assert "tried now on what is published" in output(bank, str(draft))
    assert bank.version("segments.micro_fits") == before


def test_a_workspace_speaks_its_language_and_draws(bank, tmp_path):
    make_visible(bank, D, "first", {})
    settings = bank.settings.workspace / "cdp.yml"
    settings.write_text(settings.read_text() + "language: zh\n")
    picture = tmp_path / "micro.svg"
    text = output(bank, "value_groups", "--picture", str(picture))
    assert (
        "value_groups（价值客群），业务日期 2026-11-18：407 人，分为 6 个微分群" in text
        and "1 高净值" in text
    )
    drawing = picture.read_text(encoding="utf-8")
    assert "days_left" in drawing and "1 高净值 (" in drawing and "(2%)" not in drawing
    wrong = call(bank, "value_groups", "--picture", str(tmp_path / "absent" / "x.svg"))
    assert isinstance(wrong.exception, UsageError) and "the picture cannot be written" in str(wrong.exception)
    output(bank, "value_groups", "--picture", str(picture))
    wrong = call(bank, "value_groups", "--picture", str(bank.settings.workspace / "cdp.yml"))
    assert isinstance(wrong.exception, UsageError) and "a picture is called NAME.svg" in str(wrong.exception)


def test_faults_are_one_sentence(bank, tmp_path):
    make_visible(bank, D, "first", {})
    answer = call(bank, "value_group")
    assert isinstance(answer.exception, UsageError)
    assert "there is no set of micro-segments 'value_group'; did you mean 'value_groups'?" in str(
        answer.exception
    )
    draft = tmp_path / "draft.yml"
    draft.write_text(micro(tags="{tag: day_left}"))
    answer = call(bank, str(draft))
    assert isinstance(answer.exception, SettingsInvalid) and "did you mean 'days_left'" in str(
        answer.exception
    )
    draft.write_text(micro(tags="{tag: days_left}", body="base: {tag: tier, eq: T1}"))
    answer = call(bank, str(draft))
    assert isinstance(answer.exception, UsageError) and "0 people do not differ in any of its tags" in str(
        answer.exception
    )


def test_check_names_a_faulty_set_with_file_and_line(bank):
    folder = bank.settings.workspace / "micro_segments"
    (folder / "other.yml").write_text(micro(code="others"))
    (folder / "value_groups.yml").write_text(micro(tags="{tag: day_left}, {tag: old_tier}"))
    answer = CliRunner().invoke(
        group,
        ["check", "--format", "json", "--workspace", str(bank.settings.workspace)],
        standalone_mode=False,
    )
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    sentences = [
        (row["file"].rsplit("/")[-1], row["line"], row["code"], row["message"].split(";")[0]) for row in rows
    ]
    assert ("other.yml", 2, "E00", "the code is 'others' and the file is other.yml") in sentences
    assert ("value_groups.yml", 5, "E01", "there is no tag 'day_left'") in sentences
    assert ("value_groups.yml", 5, "W06", "tag 'old_tier' is deprecated since 2026-01-01") in sentences
    assert answer.return_value == 2


def test_a_set_is_a_user_of_its_tags(make_workspace):
    text = spec("alike", "unknown: exclude\nwhere: {micro_segment: {set: value_groups, label: 1}}")
    tags = "{tag: aum_eod}, {tag: points_balance}"
    settings = load_settings(
        make_workspace({
            "destinations.yml": DESTINATIONS_YML, "segments/alike.yml": text,
            "micro_segments/value_groups.yml": micro(tags=tags, body="base: {tag: tenure_days, gte: 90}"),
        })
    )  # fmt: skip
    for code, how in (("points_balance", "compared by"), ("tenure_days", "base")):
        impact = [thing for thing in tag_impact(settings, code) if thing.kind != "tag"]
        assert [(thing.kind, thing.name, thing.how) for thing in impact] == [
            ("micro-segments", "value_groups", (how,)), ("segment", "alike", ("micro-segments",)),
            ("destination", "engine", ("people",)),
        ]  # fmt: skip
        assert "micro-segments value_groups" in tag_users(settings)[code]
