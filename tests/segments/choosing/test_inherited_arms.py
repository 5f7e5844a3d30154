"""Both parts of a person who was split go on with the control group and the arm that the whole had."""

from __future__ import annotations

import datetime as dt

import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, D, bank_lake, publish, rows_of, spec

from identity.nights.write import steps_of_numbers, write_redirects
from identity.reading.tables import open_desk
from lakehouse.settings.settings import load_settings
from vocabulary.buckets import bucket

GROUP = "GCG-2026H2"
TRIAL = spec(
    "trial",
    f"""
unknown: include
where: {{tag: balance, gte: 100}}
holdout: {{global: {GROUP}}}
split: {{experiment: e1, layer: l1, arms: {{A: 50, B: 50}}}}
""",
)
ARMS = "l1/e1"
# Nobody suppresses these two; 21 to 23 are numbers that nobody has today.
ONE, OTHER = 1, 10


def days_ago(count):
    return D - dt.timedelta(days=count)


@pytest.fixture
def bank(make_workspace):
    """The bank before its night, with nobody but by an earlier night in a control group."""
    folder = make_workspace(
        {
            "cdp.yml": "generate_secrets: true\n",
            "tags/test.yml": TAGS_YML,
            "destinations.yml": DESTINATIONS_YML,
            "segments/trial.yml": TRIAL,
        }
    )
    return bank_lake(load_settings(folder))


def live(lake, *events):
    """Let lineage (event, from, to, days ago) happen and identity write what follows from it."""
    lake.append("identity.lineage_events", rows_of("identity.lineage_events", [
        {"event": event, "from_one_id": old, "to_one_id": new, "happened_on": days_ago(ago), "profile_count": 1,
         "cause": "links", "rules_version": "1"} for event, old, new, ago in events]))  # fmt: skip
    with open_desk(lake, D) as desk:
        write_redirects(lake, steps_of_numbers(desk), {ONE, OTHER})


def give(lake, *arms):
    """Let earlier nights give arms: (salt, one_id, arm, days ago)."""
    lake.append("segments.assignments", rows_of("segments.assignments", [
        {"salt": salt, "one_id": one_id, "bucket": 1, "arm": arm, "assigned_on": days_ago(ago), "source": "bucket"}
        for salt, one_id, arm, ago in arms]))  # fmt: skip


def decided(lake):
    """The hold-out and arm of both on the night."""
    publish(lake, D)
    rows = lake.read_arrow("segments.members", filters=[("as_of", "=", D)]).to_pylist()
    return {row["one_id"]: (row["holdout"], row["variant"]) for row in rows if row["one_id"] in (ONE, OTHER)}


def other_arm(one_id):
    return "B" if bucket("l1", one_id) < 5000 else "A"


def test_who_is_split_off_stays_in_the_control_group(bank):
    assert bucket(GROUP, ONE) >= 500 and bucket(GROUP, OTHER) >= 500, "by the bucket both are contacted"
    give(bank, (GROUP, ONE, "CONTROL", 9))
    live(bank, ("SPLIT", ONE, OTHER, 0))
    assert decided(bank) == {ONE: ("GLOBAL", None), OTHER: ("GLOBAL", None)}
    rows = bank.read_arrow("segments.assignments").to_pylist()
    assert [(r["arm"], r["source"]) for r in rows if (r["salt"], r["one_id"]) == (GROUP, OTHER)] == [
        ("CONTROL", "inherited")
    ]


def test_who_is_split_off_keeps_the_arm_of_the_experiment(bank):
    arm = other_arm(OTHER)
    give(bank, (ARMS, ONE, arm, 9))
    live(bank, ("SPLIT", ONE, OTHER, 0))
    assert decided(bank) == {ONE: ("NONE", arm), OTHER: ("NONE", arm)}


def test_what_the_whole_is_given_after_the_split_does_not_concern_the_part(bank):
    give(bank, (ARMS, ONE, other_arm(OTHER), 4))
    live(bank, ("SPLIT", ONE, OTHER, 4))
    assert decided(bank)[OTHER] != ("NONE", other_arm(OTHER))


@pytest.mark.parametrize(
    ("arm", "variant"),
    [("A", "A"), ("B", "CONTAMINATED")],
    ids=["one arm", "two arms"],
)
def test_a_merge_before_the_split_counts_for_both_parts(bank, arm, variant):
    give(bank, (ARMS, ONE, "A", 9), (ARMS, 21, arm, 8))
    live(bank, ("MERGE", 21, ONE, 6), ("SPLIT", ONE, OTHER, 0))
    assert decided(bank) == {ONE: ("NONE", variant), OTHER: ("NONE", variant)}


def test_a_part_that_is_merged_with_somebody_of_another_arm_is_contaminated(bank):
    """The part itself was never given anything: it was split off and merged between two nights of the segment."""
    give(bank, (ARMS, 21, "A", 9), (ARMS, ONE, "B", 9))
    live(bank, ("SPLIT", 21, 22, 5), ("MERGE", 22, ONE, 3))
    assert decided(bank)[ONE] == ("NONE", "CONTAMINATED")


def test_a_part_of_a_part_of_the_control_group_is_not_contacted(bank):
    give(bank, (GROUP, 21, "CONTROL", 9))
    live(bank, ("SPLIT", 21, 22, 5), ("SPLIT", 22, ONE, 3))
    places = decided(bank)
    assert (places[ONE], places[OTHER][0]) == (("GLOBAL", None), "NONE")


def test_parts_that_are_joined_again_have_the_arm_they_had(bank):
    give(bank, (ARMS, ONE, "A", 9))
    live(bank, ("SPLIT", ONE, 22, 5), ("MERGE", 22, ONE, 3))
    assert decided(bank)[ONE] == ("NONE", "A")


def test_a_number_that_comes_back_keeps_the_arm_it_was_given_itself(bank):
    """A wrong merge that is taken back leaves both as they were."""
    give(bank, (ARMS, ONE, "A", 9), (ARMS, OTHER, "B", 9))
    live(bank, ("MERGE", OTHER, ONE, 6), ("SPLIT", ONE, OTHER, 2), ("RESURRECT", None, OTHER, 2))
    assert decided(bank) == {ONE: ("NONE", "A"), OTHER: ("NONE", "B")}


def test_a_number_that_comes_back_without_an_arm_has_that_of_the_whole(bank):
    give(bank, (GROUP, ONE, "CONTROL", 5))
    live(bank, ("MERGE", OTHER, ONE, 6), ("SPLIT", ONE, OTHER, 2), ("RESURRECT", None, OTHER, 2))
    assert decided(bank) == {ONE: ("GLOBAL", None), OTHER: ("GLOBAL", None)}


def test_a_part_that_a_night_gave_another_arm_than_the_whole_is_contaminated(bank):
    give(bank, (GROUP, ONE, "CONTROL", 9), (GROUP, OTHER, "TREATED", 3))
    live(bank, ("SPLIT", ONE, OTHER, 3))
    assert decided(bank) == {ONE: ("GLOBAL", None), OTHER: ("NONE", "CONTAMINATED")}
