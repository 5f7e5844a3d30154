"""Guards that compare: whom an audience lost or gained since its run before, and how far the tags it reads moved."""

from __future__ import annotations

import datetime as dt
import shutil
from decimal import Decimal

import pyarrow as pa
import pytest
from click.testing import CliRunner
from segment_bank import (  # fmt: skip
    DESTINATIONS_YML,
    TAGS_YML,
    D,
    at,
    bank_lake,
    publish,
    read_tags,
    rows_of,
    spec,
    surroundings,
    write_tags,
)

from jobs.cli.segments import group
from lakehouse.contracts.reading import contract
from lakehouse.errors import GateStopped
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.query.desk import open_scratch
from lakehouse.query.hashing import table_hash
from lakehouse.settings.settings import load_settings
from segments.approving.decisions import add_decision
from segments.choosing.guards.refusing import gate_refusal
from segments.choosing.guards.yardsticks import EarlierAudience, Yardsticks, stability_indices
from segments.explaining.preview import preview
from segments.language.spec import read_segment

WRITTEN = ("definitions", "runs", "members", "changes", "suppressions", "assignments", "deliveries")


def rich(guards="change_vs_previous: {max_ratio: 0.3}", version="1.0.0", more=""):
    body = f"unknown: exclude\nwhere: {{tag: balance, gte: 100}}\nguards: {{{guards}}}\n{more}"
    return spec("rich", body, version=version, columns="variant, channel, tier")


class GuardedBank:
    """A lake with one segment; of the bank's people 1, 3, 4 and 10 may be contacted, and 1, 4 and 10 have the balance."""

    def __init__(self, folder):
        self.folder = folder
        self.lake = bank_lake(load_settings(folder))

    def write(self, text):
        (self.folder / "segments" / "rich.yml").write_text(text)

    def night(self, number=0, **balances):
        """Publish the night so many days after the first, with balances of people (``p3=500``); give whom it contacts."""
        rows = [
            {**row, "balance": Decimal(balances.get(f"p{row['one_id']}", row["balance"]))}
            for row in read_tags()
        ]
        write_tags(self.lake, rows, day(number))
        publish(self.lake, day(number))
        return self.audience(number)

    def audience(self, number):
        rows = self.lake.read_arrow("segments.members", filters=[("as_of", "=", day(number))]).to_pylist()
        return {row["one_id"] for row in rows if row["holdout"] == "NONE"}

    def measure(self, number=0, **indices):
        """Add the stability index of tags on a night."""
        schema = contract("quality.tag_quality").arrow_schema()
        zeros = {field.name: 0 for field in schema if field.name.endswith("_count")}
        rows = [{**zeros, "as_of": day(number), "tag": tag, "psi": psi} for tag, psi in indices.items()]
        self.lake.create(["quality.tag_quality"])
        self.lake.append("quality.tag_quality", pa.Table.from_pylist(rows, schema=schema))

    def refusal(self, number, **balances):
        with pytest.raises(GateStopped) as stopped:
            self.night(number, **balances)
        return str(stopped.value).replace(f"{self.folder}/segments/", "")

    def decide(self, action):
        entry = {"decided_at": at("2026-11-20"), "user": "wang", "role": "lead", "action": action}
        add_decision(self.lake.settings, {**entry, "code": "rich"})


def day(number):
    return D + dt.timedelta(days=number)


@pytest.fixture
def bank(make_workspace):
    return GuardedBank(
        make_workspace(
            {
                "cdp.yml": "generate_secrets: true\n",
                "tags/test.yml": TAGS_YML,
                "destinations.yml": DESTINATIONS_YML,
                "segments/rich.yml": rich(),
            }
        )
    )


def test_a_first_run_has_nothing_to_compare_with_and_no_change_is_within_any_bound(bank):
    bank.write(rich("change_vs_previous: {max_ratio: 0}"))
    assert bank.night(0) == {1, 4, 10}
    assert bank.night(1) == {1, 4, 10}


def test_a_rerun_is_held_against_the_night_before_and_not_against_itself(bank):
    bank.write(rich("change_vs_previous: {max_ratio: 0.34}"))
    bank.night(0)
    assert bank.night(1, p3=500) == {1, 3, 4, 10}
    assert bank.night(1, p4=0) == {1, 10}, "a third of those before, and half of the run it replaces"


def test_people_who_leave_stop_the_night_before_anything_is_written(bank):
    bank.night(0)
    tables = {name: table_hash(bank.lake.settings, f"segments.{name}") for name in WRITTEN}
    files = sorted(bank.lake.settings.published.rglob("*"))
    assert bank.refusal(1, p4=0) == (
        "rich.yml:11: segment rich: 1 of the 3 people left the audience that it had on 2026-11-18 (version 1.0.0), a share of 0.333,"
        " and guards.change_vs_previous.max_ratio is 0.3; nothing was published"
    )
    assert {name: table_hash(bank.lake.settings, f"segments.{name}") for name in WRITTEN} == tables
    assert sorted(bank.lake.settings.published.rglob("*")) == files
    assert "left the audience that it had on 2026-11-18" in bank.refusal(2, p4=0), (
        "nor is the stopped night compared with"
    )
    bank.write(rich("change_vs_previous: {max_ratio: 0.34}", version="1.1.0"))
    assert bank.night(2, p4=0) == {1, 10}


def test_people_who_enter_are_a_share_of_those_now(bank):
    bank.write(rich("change_vs_previous: {max_ratio: 0.2}"))
    bank.night(0)
    assert (
        "1 of the 4 people of the audience were not in it on 2026-11-18 (version 1.0.0), a share of 0.25"
        in bank.refusal(1, p3=500)
    )
    bank.write(rich("change_vs_previous: {max_ratio: 0.25}", version="1.1.0"))
    assert bank.night(1, p3=500) == {1, 3, 4, 10}, "the bound itself is within"


def test_an_audience_from_nobody_to_somebody_is_new_as_a_whole(bank):
    bank.write(rich("change_vs_previous: {max_ratio: 0.99}"))
    nobody = {f"p{number}": 0 for number in range(1, 13)}
    assert bank.night(0, **nobody) == set()
    assert bank.night(1, **nobody) == set()
    assert "3 of the 3 people of the audience were not in it" in bank.refusal(2)


def test_a_merge_is_no_change_of_the_audience(bank):
    bank.write(rich("change_vs_previous: {max_ratio: 0}"))
    bank.night(0)
    bank.lake.append(
        "identity.redirects", rows_of("identity.redirects", [{"from_one_id": 4, "to_one_id": 3}])
    )
    assert bank.night(1, p4=0, p3=500) == {1, 3, 10}


@pytest.mark.parametrize(("version", "more", "is_compared"), [
    ("1.1.0", "", True), ("1.0.1", "", True), ("2.0.0", "", False),
    ("1.1.0", "rollout: {stage: small, percent: 100}\n", False), ("1.1.0", "rollout: {stage: full, percent: 100}\n", True),
])  # fmt: skip
def test_another_meaning_or_stage_has_nothing_to_compare_with(bank, version, more, is_compared):
    bank.night(0)
    narrower = rich(version=version, more=more).replace("gte: 100", "gte: 250")
    bank.write(narrower)
    if is_compared:
        assert "1 of the 3 people left" in bank.refusal(1)
    else:
        assert bank.night(1) == {1, 10}
        assert bank.night(2) == {1, 10}


@pytest.mark.slow
def test_a_recalled_audience_is_left_aside_and_the_one_before_it_counts(bank):
    bank.night(0)
    bank.write(rich("change_vs_previous: {max_ratio: 1}", version="1.1.0"))
    assert bank.night(1, p1=0, p4=0) == {10}
    bank.decide("recall")
    bank.night(2)
    bank.decide("release")
    bank.write(rich("change_vs_previous: {max_ratio: 0}", version="1.2.0"))
    assert bank.night(3) == {1, 4, 10}, "as on the first night"
    assert "left the audience that it had on 2026-11-21" in bank.refusal(4, p4=0)


def test_who_withdrew_from_an_audience_that_stands_has_not_recalled_it(bank):
    bank.night(0)
    bank.decide("pause")
    refusal = {"source_key": "c1", "purpose": "marketing", "channel": "ALL", "decision": "REFUSE"}
    refusal |= {"decided_at": at("2026-11-19"), "valid_from": day(1)}
    bank.lake.append("trusted.consents", rows_of("trusted.consents", [refusal]))
    bank.night(1)
    bank.decide("resume")
    assert "1 of the 3 people left the audience that it had on 2026-11-18" in bank.refusal(2)


def test_a_control_group_is_no_part_of_the_audience_that_is_compared_with(bank):
    bank.write(rich("change_vs_previous: {max_ratio: 0}", more="holdout: {local_percent: 50}\n"))
    first = bank.night(0)
    assert first and first < {1, 4, 10}
    assert bank.night(1) == first


def test_members_that_are_not_kept_any_more_are_no_yardstick(bank):
    bank.night(0)
    empty = bank.lake.read_arrow("segments.members").slice(0, 0)
    bank.lake.replace_partition("segments.members", empty, as_of=D)
    assert bank.night(1, p4=0) == {1, 10}


def test_who_pauses_by_contact_policy_stays_and_who_is_in_a_control_group_does_not(bank):
    segment = read_segment(bank.folder / "segments" / "rich.yml")
    counts = {"unknown": 0, "published": 2}
    with open_scratch() as desk:
        before = desk.take("before", pa.table({"one_id": [1, 2, 3]}))
        yardsticks = Yardsticks(EarlierAudience(D, "1.0.0", before))
        for places, is_refused in (
            (["TREATED", "DROPPED", "TREATED"], False), (["TREATED", "GLOBAL", "TREATED"], True),
            (["TREATED", "SUPPRESSED", "DROPPED"], True), (["DROPPED", "DROPPED", "DROPPED"], False),
            (["TREATED", "CONTAMINATED", "TREATED"], True),
        ):  # fmt: skip
            candidates = desk.take("candidates", pa.table({"one_id": [1, 2, 3], "place": places}))
            refusal = gate_refusal(desk, segment, counts, candidates, yardsticks)
            assert (refusal is not None) == is_refused, places


def test_a_tag_that_moved_stops_the_night_of_the_segments_that_read_it(bank):
    bank.write(rich("tag_psi: {max: 0.25}"))
    bank.night(0)
    bank.measure(1, balance=0.25, tier=None, days_left=3.0)
    assert bank.night(1) == {1, 4, 10}, "at the bound, not measured, not read"
    bank.measure(2, balance=0.4121, tier=0.3, days_left=3.0)
    assert bank.refusal(2) == (
        "rich.yml:11: segment rich: the values of tags that it reads moved from the nights before, by the stability index: "
        "balance 0.412, tier 0.3; guards.tag_psi.max is 0.25; nothing was published"
    )
    bank.write(rich("tag_psi: {max: 0.5}", version="1.1.0"))
    assert bank.night(2) == {1, 4, 10}
    bank.measure(3, balance=0.1)
    bank.write(rich("tag_psi: {max: 0.25}", version="1.2.0"))
    assert bank.night(3) == {1, 4, 10}, "each night by its own figures"


def test_a_lake_from_before_the_stability_index_has_none(bank):
    assert stability_indices(bank.lake, D) == {}
    bank.write(rich("tag_psi: {max: 0.01}"))
    assert bank.night(0) == {1, 4, 10}


@pytest.mark.slow
def test_a_preview_tells_what_guards_would_stop(bank):
    settings = bank.lake.settings

    def refusal_of(text):
        bank.write(text)
        return preview(settings, surroundings(settings), "rich").refusal

    bank.measure(0, balance=0.4)
    bank.night(0)
    make_visible(bank.lake, D, "first", {})
    assert refusal_of(rich()) is None
    narrower = rich(version="1.1.0").replace("gte: 100", "gte: 250")
    assert refusal_of(narrower).startswith(
        f"{bank.folder}/segments/rich.yml:11: segment rich: 1 of the 3 people left the audience that it had on 2026-11-18"
    )
    command = ["preview", "rich", "--people", "0", "--workspace", str(bank.folder)]
    shown = CliRunner().invoke(group, command, standalone_mode=False)
    assert shown.return_value == 3 and "1 of the 3 people left" in shown.stdout
    assert "balance 0.4; guards.tag_psi.max is 0.3" in refusal_of(
        rich("tag_psi: {max: 0.3}", version="1.1.0")
    )
    shutil.rmtree(bank.lake.path("quality.tag_quality"))
    make_visible(bank.lake, D, "older", {})
    assert refusal_of(rich("tag_psi: {max: 0.3}", version="1.1.0")) is None


def test_guards_that_a_file_does_not_have_are_no_part_of_its_definition(bank):
    bank.write(rich("size: {min: 1}"))
    one = read_segment(bank.folder / "segments" / "rich.yml")
    assert one.definition["guards"] == {"size": {"min": 1, "max": None}}
    bank.write(rich("size: {min: 1}, tag_psi: {max: 0.2}"))
    assert read_segment(bank.folder / "segments" / "rich.yml").definition_hash != one.definition_hash
