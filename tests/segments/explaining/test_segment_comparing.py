"""A segment beside another version of it, beside other audiences and beside its base; drawn by hand, without Spark."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
import segment_bank
from click.testing import CliRunner
from segment_bank import (
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    bank_lake,
    fill,
    publish,
    read_tags,
    spec,
    surroundings,
    tag_contracts,
)

from jobs.cli.segments import group
from lakehouse.errors import SettingsInvalid, UsageError
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.query.published import open_publication
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake
from segments.explaining.indexed import index_newest
from segments.explaining.preview import preview
from segments.explaining.profile import distances_by_label, profile
from segments.explaining.versions import compare_versions
from vocabulary.buckets import bucket

RICH = spec(
    "rich",
    "unknown: exclude\nbase: {tag: is_active, eq: true}\nwhere: {tag: tier, in: [T1, T3]}",
    columns="variant, channel, tier",
)
T2 = spec("second", "where: {tag: tier, in: [T2, T3]}")


@pytest.fixture
def bank(make_night):
    """The bank after a night of two segments; version 1.1.0 of one is in the workspace and not published yet."""
    lake = make_night(
        {"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML, "segments/rich.yml": RICH, "segments/second.yml": T2}
    )  # fmt: skip
    wider = RICH.replace("[T1, T3]", "[T2, T3]").replace("version: 1.0.0", "version: 1.1.0")
    (lake.settings.workspace / "segments" / "rich.yml").write_text(wider.replace("[SMS, PUSH]", "[PUSH]"))
    return lake


def compare(lake, first, second, **options):
    return compare_versions(lake.settings, surroundings(lake.settings), "rich", first, second, **options)


def show_profile(lake, name="rich"):
    return profile(lake.settings, surroundings(lake.settings), name)


def call(lake, *arguments):
    command = [*arguments, "--workspace", str(lake.settings.workspace)]
    return CliRunner().invoke(group, command, standalone_mode=False)


def test_who_enters_and_who_leaves_has_its_cause(bank):
    # 1.0.0 reaches 1, 3 and 10; 1.1.0 drops T1 (3), and by PUSH alone only 10 has an address.
    change = compare(bank, "1.0.0", "1.1.0")
    assert (change.staying, change.entering, change.leaving) == (1, 0, 2)
    assert (change.other_arm, change.other_channel, change.is_same_definition) == (0, 0, False)
    assert [(c["op"], c["cause"], c["people"]) for c in change.causes] == [
        ("EXIT", "UNREACHABLE", 1),
        ("EXIT", "rule", 1),
    ]
    assert {(p["op"], p["one_id"], p["cause"]) for p in change.people} == {
        ("EXIT", 1, "UNREACHABLE"),
        ("EXIT", 3, "rule"),
    }
    assert (change.first_counts["published"], change.second_counts["published"]) == (3, 1)
    back = compare(bank, "1.1.0", "1.0.0")
    assert [(c["op"], c["cause"]) for c in back.causes] == [("ENTER", "UNREACHABLE"), ("ENTER", "rule")]
    assert (back.entering, back.leaving) == (2, 0)


def test_rollout_control_and_arms_are_causes_too(bank):
    file = bank.settings.workspace / "segments" / "rich.yml"
    groups = "rollout: {percent: 50}\nholdout: {local_percent: 50}\ncontact"
    file.write_text(RICH.replace("version: 1.0.0", "version: 2.0.0").replace("contact", groups))
    change = compare(bank, "1.0.0", "2.0.0")
    expected = {}
    for one_id in (1, 3, 10):
        if bucket("rollout:rich", one_id) >= 5000:
            expected[one_id] = "rollout"
        elif bucket("holdout:rich", one_id) < 5000:
            expected[one_id] = "control"
    assert {p["one_id"]: p["cause"] for p in change.people} == expected and expected

    split = "split: {experiment: e, layer: l, arms: {A: 50, B: 50}}\ncontact"
    file.write_text(RICH.replace("version: 1.0.0", "version: 3.0.0").replace("contact", split))
    change = compare(bank, "1.0.0", "3.0.0")
    assert (change.staying, change.other_arm, change.people) == (3, 3, [])


def test_a_version_that_is_nowhere_or_cannot_be_decided_any_more_is_said(bank):
    with pytest.raises(UsageError, match=r"segment rich has no version '1\.0'; there are 1\.0\.0, 1\.1\.0$"):
        compare(bank, "1.0", "1.1.0")
    with pytest.raises(UsageError, match="there is no segment 'rihc'; did you mean 'rich'"):
        compare_versions(bank.settings, surroundings(bank.settings), "rihc", "1.0.0", "1.1.0")
    tags = bank.settings.workspace / "tags" / "test.yml"
    tags.write_text(TAGS_YML.replace("code: is_active", "code: is_awake"))
    with pytest.raises(SettingsInvalid, match=r"rich@1\.0\.0:\d+: E01 there is no tag 'is_active'"):
        compare(bank, "1.0.0", "1.0.0")


def test_a_segment_that_left_the_workspace_can_still_be_compared(bank):
    (bank.settings.workspace / "segments" / "rich.yml").unlink()
    change = compare(bank, "1.0.0", "1.0.0")
    assert (change.is_same_definition, change.staying, change.people) == (True, 3, [])


def test_the_matrix_of_audiences_counts_who_is_in_both(bank):
    sent = {}
    for row in bank.read_arrow("segments.members").to_pylist():
        sent.setdefault(row["code"], set()).add(row["one_id"])
    assert sent == {"rich": {1, 3, 10}, "second": {1, 10}}
    matrix = call(bank, "overlap").stdout.splitlines()
    assert [line.split() for line in matrix] == [
        ["segment", "rich", "second"], ["-------", "----", "------"], ["rich", "3", "2"], ["second", "2", "2"],
    ]  # fmt: skip
    rows = [json.loads(line) for line in call(bank, "overlap", "--format", "json").stdout.splitlines()]
    assert rows[0] == {"segment": "rich", "other": "second", "people": 3, "other_people": 2, "shared": 2}


def test_a_profile_orders_tags_by_distance_from_the_base_beyond_chance(bank):
    # Base of 1.1.0: active customers (1, 3, 5 to 11); members: 10 alone.
    answer = show_profile(bank)
    assert (answer.base_people, answer.people) == (9, 1)
    found = {tag.tag: tag for tag in answer.tags}
    # grade may only exclude and is never shown; opened_on and the others are for marketing
    assert set(found) == {"balance", "days_left", "interests", "is_active", "opened_on", "tier"}
    tier = found["tier"]
    assert [(c.value, round(c.base, 4), c.segment) for c in tier.classes] == [
        ("T1", 0.1111, 0.0),
        ("T2", 0.2222, 0.0),
        ("T3", 0.6667, 1.0),
    ]
    assert tier.distance == pytest.approx(1 / 3)
    chance = (
        sum(math.sqrt(2 / math.pi * q * (1 - q) / 1 * (9 - 1) / (9 - 1)) for q in (1 / 9, 2 / 9, 6 / 9)) / 2
    )
    assert tier.chance == pytest.approx(chance)
    p, q = [0.5 / 2.5, 0.5 / 2.5, 1.5 / 2.5], [1.5 / 10.5, 2.5 / 10.5, 6.5 / 10.5]
    assert tier.stability == pytest.approx(sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True)))
    assert (tier.standardised, tier.strongest.value) == (None, "T3")
    # null is a class: 3 has no days left
    days = found["days_left"]
    assert [(c.value, round(c.base * 9)) for c in days.classes][-1] == (None, 1)
    members, base = [4], [3, 5, 7, 1, 2, 0, 4, 6]
    mean = sum(base) / 8
    spread = math.sqrt((sum((x - mean) ** 2 for x in base) / 8 + 0) / 2)
    assert days.standardised == pytest.approx((members[0] - mean) / spread)
    # a set is as distant as its most distant member: FUND in 1, 7, 10 and 11 of 9
    assert found["interests"].distance == pytest.approx(5 / 9)
    assert found["is_active"].distance == 0 and answer.tags[-1].distance <= answer.tags[-1].chance
    gains = [tag.distance - tag.chance for tag in answer.tags]
    assert gains == sorted(gains, reverse=True)


def test_a_large_number_is_cut_at_the_deciles_of_the_base(make_workspace):
    folder = make_workspace(
        {
            "tags/test.yml": TAGS_YML,
            "destinations.yml": DESTINATIONS_YML,
            "segments/x.yml": spec("x", "where: {tag: balance, gte: 300}"),
        }
    )
    rows = [{**row, "balance": Decimal(row["one_id"] * 50)} for row in read_tags()]
    lake = bank_lake(load_settings(folder), rows)
    publish(lake, D)
    make_visible(lake, D, "first", {})
    answer = show_profile(lake, "x")
    balance = next(tag for tag in answer.tags if tag.tag == "balance")
    # 11 customers with 50 … 550: ten parts; the least value, somebody's own, is in no name
    names = [c.value for c in balance.classes]
    assert names[:2] == ["below 100", "100 to below 150"] and len(names) == 10 and "550" not in str(names)
    assert sum(c.base for c in balance.classes) == pytest.approx(1) and sum(
        c.segment for c in balance.classes
    ) == pytest.approx(1)


def test_a_segment_with_a_rank_has_a_profile(bank, tmp_path):
    # Of the active customers, all but 2 and 4, the two with most money are 1 and 5.
    file = tmp_path / "top.yml"
    file.write_text(
        spec("top", "base: {tag: is_active, eq: true}\nwhere: {tag: balance, top_n: 2, within: base}")
    )
    answer = show_profile(bank, str(file))
    assert (answer.base_people, answer.people) == (9, 1)  # 5 is kept out
    balance = next(tag for tag in answer.tags if tag.tag == "balance")
    assert [(c.value, c.segment) for c in balance.classes if c.segment] == [("900", 1.0)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["is_base", "label", "number"])
def test_a_tag_may_be_called_as_a_column_of_the_statements_of_profiles(make_workspace, monkeypatch, name):
    columns = {
        name if column == "days_left" else column: kind for column, kind in segment_bank.COLUMNS.items()
    }
    monkeypatch.setattr(segment_bank, "COLUMNS", columns)
    rows = [{(name if k == "days_left" else k): v for k, v in row.items()} for row in read_tags()]
    files = {"cdp.yml": "generate_secrets: true\n", "tags/test.yml": TAGS_YML.replace("days_left", name)}
    files |= {"destinations.yml": DESTINATIONS_YML}
    files |= {"segments/x.yml": spec("x", f"where: {{tag: {name}, lte: 3}}")}
    lake = open_lake(load_settings(make_workspace(files)), contracts=tag_contracts())
    fill(lake, rows)
    publish(lake, D)
    make_visible(lake, D, "first", {})
    tag = next(tag for tag in show_profile(lake, "x").tags if tag.tag == name)
    assert [(c.value, c.segment) for c in tag.classes if c.segment] == [("3", 1.0)]
    around = surroundings(lake.settings)
    with open_publication(lake.settings) as published:
        groups = published.keep(
            "groups", "SELECT one_id, 1 + one_id % 2 AS label, true AS is_base FROM tags.customer_tags"
        )
        of_label = distances_by_label(published, around.tags[name], groups, {1: 6, 2: 6})
    assert [(c.value, round(c.segment * 6)) for c in of_label[2].classes if c.value in ("3", "10")] == [
        ("3", 1),
        ("10", 0),
    ]
    by_tables = preview(lake.settings, around, "x")
    assert index_newest(lake.settings, around)[1] == []
    assert preview(lake.settings, around, "x") == by_tables


def test_a_segment_without_people_has_no_profile(bank, tmp_path):
    file = tmp_path / "empty.yml"
    file.write_text(spec("empty", "where: {tag: balance, gt: 999999}"))
    with pytest.raises(
        UsageError, match="segment empty has 0 people and its base 11: there is nothing to compare"
    ):
        show_profile(bank, str(file))


@pytest.mark.slow
def test_the_commands_print_record_and_draw(bank, tmp_path):
    lines = call(bank, "diff", "rich", "--from", "1.0.0", "--to", "1.1.0").stdout.splitlines()
    assert lines[0] == "rich: version 1.1.0 beside 1.0.0, as of 2026-11-18"
    assert "1 stay (0 in another arm, 0 by another channel), 0 enter, 2 leave" in lines
    assert any(line.split()[:2] == ["EXIT", "UNREACHABLE"] for line in lines)
    (entry,) = map(json.loads, (bank.settings.workspace / "audit" / "lookups.jsonl").read_text().splitlines())
    assert (entry["command"], sorted(entry["one_ids"])) == ("segments diff", [1, 3])
    document = json.loads(
        call(
            bank, "diff", "rich", "--from", "1.0.0", "--to", "1.1.0", "--people", "0", "--format", "json"
        ).stdout
    )
    assert (document["leaving"], document["people"]) == (2, [])

    picture = tmp_path / "profile.svg"
    settings = bank.settings.workspace / "cdp.yml"
    settings.write_text(settings.read_text() + "language: zh\n")
    answer = call(bank, "profile", "rich", "--tags", "2", "--picture", str(picture))
    assert len(answer.stdout.splitlines()) == 6 and "1 名成员，对照基础人群（base）的 9 人" in answer.stdout
    assert "基础人群" in picture.read_text(encoding="utf-8")
    wrong = call(bank, "profile", "rich", "--picture", str(tmp_path / "absent" / "x.svg"))
    assert isinstance(wrong.exception, UsageError) and "the picture cannot be written" in str(wrong.exception)
    assert call(bank, "profile", "rich", "--picture", str(picture)).exception is None, (
        "an older picture is replaced"
    )
    wrong = call(bank, "profile", "rich", "--picture", str(bank.settings.workspace / "cdp.yml"))
    assert isinstance(wrong.exception, UsageError) and "a picture is called NAME.svg" in str(wrong.exception)


TEMPLATE = """\
spec: segment_template/v1
overrides: [name]
name: {zh: 富裕, en: Rich}
owner: {business: retail, tech: data}
entity: customer
kind: dynamic
purpose: marketing
unknown: exclude
parameters: {least: {default: 150, min: 0, max: 1000}}
where: {all: [{tag: tier, in: [T2, T3]}, {tag: balance, gte: $least}]}
contact: {channels: [SMS, PUSH]}
publish: {destinations: [engine], columns: [variant, channel]}
"""
BRANCH = "spec: segment/v1\ncode: rich\nversion: 1.0.0\nextends: rich@1\nbase: {tag: is_active, eq: true}\n"


def test_a_version_keeps_the_template_it_had(make_workspace):
    folder = make_workspace(
        {"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML, "segments/rich.yml": BRANCH, "templates/rich@1.yml": TEMPLATE}
    )  # fmt: skip
    lake = bank_lake(load_settings(folder))
    publish(lake, D)
    make_visible(lake, D, "first", {})
    # The template is gone, another one is extended, and its parameter has another name and a value of today.
    (folder / "templates" / "rich@1.yml").rename(folder / "templates" / "rich@2.yml")
    text = (
        TEMPLATE.replace("least", "floor").replace("[T2, T3]", "[T3]").replace("default: 150", "default: 100")
    )
    (folder / "templates" / "rich@2.yml").write_text(text)
    (folder / "segments" / "rich.yml").write_text(
        BRANCH.replace("1.0.0", "2.0.0").replace("rich@1", "rich@2")
    )
    (folder / "segment_parameters.yml").write_text("rich: {floor: 500}\n")
    change = compare(lake, "1.0.0", "2.0.0")
    assert (change.first_counts["published"], change.second_counts["published"]) == (2, 1)
    assert [(p["op"], p["one_id"], p["cause"]) for p in change.people] == [("EXIT", 10, "rule")]
    # A template whose file was edited does not change a version that was evaluated.
    (folder / "templates" / "rich@1.yml").write_text(TEMPLATE.replace("[T2, T3]", "[T1]"))
    assert compare(lake, "1.0.0", "1.0.0").first_counts["published"] == 2


def test_contact_policy_is_a_cause_and_each_version_competes(bank):
    folder = bank.settings.workspace
    (folder / "contact_policy.yml").write_text("caps: [{scope: global, max: 1, days: 7}]\n")
    contact = "contact: {channels: [SMS, PUSH]"
    (folder / "segments" / "rich.yml").write_text(
        RICH.replace(contact, f"{contact}, priority: 60").replace("version: 1.0.0", "version: 1.1.0")
    )
    (folder / "segments" / "second.yml").write_text(
        T2.replace(contact, f"{contact}, priority: 55").replace("version: 1.0.0", "version: 1.1.0")
    )
    change = compare(bank, "1.0.0", "1.1.0")
    # Both publish 3; second takes 1 and 10 from the version of priority 50.
    assert [(p["op"], p["one_id"], p["cause"]) for p in sorted(change.people, key=lambda p: p["one_id"])] == [
        ("ENTER", 1, "LOST_ARBITRATION"),
        ("ENTER", 10, "LOST_ARBITRATION"),
    ]
    assert (change.staying, change.leaving, change.notes) == (1, 0, [])
    lines = call(bank, "diff", "rich", "--from", "1.0.0", "--to", "1.1.0", "--people", "0").stdout
    assert "LOST_ARBITRATION (another contact took the place)" in lines
