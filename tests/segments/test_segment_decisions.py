"""Who is chosen, who is kept out and in which arm, on a leaf table drawn by hand; no Spark."""

from __future__ import annotations

import pyarrow as pa
import pytest
from segment_bank import DESTINATIONS_YML, TAGS_YML, D, catalogue_of, spec

from lakehouse.errors import GateStopped
from lakehouse.query.desk import open_scratch
from lakehouse.settings.settings import load_settings
from segments.choosing.compile import Leaves, compile_leaf_table, value_column
from segments.choosing.decide import decide_segment, place_segment
from vocabulary.buckets import bucket
from vocabulary.policy import Policy

RULE = (
    "where: {tag: tier, eq: T3}\nholdout: {global: GCG-2026H2, local_percent: 10}\nrollout: {percent: 80}\n"
)
SPLIT = "split: {experiment: e1, layer: l1, range: [0, 5000], arms: {A: 50, B: 50}}"
ARMS = pa.schema([("salt", pa.string()), ("one_id", pa.int64()), ("arm", pa.string()), ("arms", pa.int64())])


@pytest.fixture
def decide(make_workspace):
    """A function that decides one segment over people (one_id → tier or facts): its audience and its candidates."""
    folder = make_workspace({"tags/test.yml": TAGS_YML, "destinations.yml": DESTINATIONS_YML})
    settings = load_settings(folder)

    def run(people, body=RULE + SPLIT, arms=()):
        file = folder / "segments" / "x.yml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(spec("x", body, columns="variant, channel, tier, interests"))
        catalogue = catalogue_of(settings)
        assert catalogue.findings() == []
        segment = catalogue.segments[0]
        compiled = compile_leaf_table([segment], business_date=D, policy=Policy())
        rows = pa.Table.from_pylist([person(n, facts, segment) for n, facts in people.items()])
        earlier = [dict(zip(ARMS.names, row, strict=True)) for row in arms]
        with open_scratch() as desk:
            leaves = Leaves(desk.take("leaf_table", rows), compiled.columns_of)
            places = place_segment(
                desk, segment, policy=Policy(), leaves=leaves.rows,
                arms=desk.take("arms", pa.Table.from_pylist(earlier, schema=ARMS)), members={}, offer_risk=None,
            )  # fmt: skip
            decision = decide_segment(
                desk, places, business_date=D, policy=Policy(), leaves=leaves, members={},
                tags=catalogue.site.tags, list_hashes={},
            )  # fmt: skip
            candidates = desk.arrow(f"SELECT * FROM {decision.candidates} ORDER BY one_id").to_pylist()
        return decision.audience, candidates

    return run


def person(one_id, facts, segment):
    """A row of the leaf table: a sound customer unless ``facts`` says otherwise."""
    tier = facts.pop("tier", "T3") if isinstance(facts, dict) else facts
    changed = facts if isinstance(facts, dict) else {}
    row = {
        "one_id": one_id, "kind": "customer", "is_deceased": False, "is_minor": False, "is_age_unknown": False, "is_restricted": False, "is_staff": False,
        "has_complained": False, "opt_out_marketing": False, "allowed_marketing_sms_2d": True, "allowed_marketing_push_2d": True,
        "usable_sms": True, "usable_push": True, value_column("tier"): tier, value_column("interests"): ["FUND", "GOLD"],
        **changed,
    }  # fmt: skip
    return row | {leaf.column: None if tier is None else tier == "T3" for leaf in [segment.where]}


def crowd(*numbers, tier="T3"):
    return dict.fromkeys(numbers, tier)


def test_the_counts_add_up_and_follow_the_buckets(decide):
    people = crowd(*range(1, 401)) | dict.fromkeys(range(401, 411)) | crowd(*range(411, 421), tier="T1")
    people |= {n: {"is_staff": True} for n in range(421, 426)} | {
        n: {"usable_sms": False, "usable_push": False} for n in range(426, 430)
    }
    audience, _ = decide(people)
    counts = audience.counts
    everyone = range(1, 401)
    out = {n for n in everyone if bucket("rollout:x", n) >= 8000}
    controls = {n for n in everyone if n not in out and bucket("GCG-2026H2", n) < 500}
    local = {n for n in everyone if n not in out | controls and bucket("holdout:x", n) < 1000}
    treated = set(everyone) - out - controls - local
    arms = {
        n: "DEFAULT" if bucket("l1", n) >= 5000 else "A" if bucket("l1", n) < 2500 else "B" for n in treated
    }
    assert counts["candidates"] == 409 and counts["unknown"] == 10
    assert counts["suppressed_by_reason"] == {"STAFF": 5, "UNREACHABLE": 4}
    assert (counts["not_in_rollout"], counts["control_global"], counts["holdout_local"]) == (
        len(out),
        len(controls),
        len(local),
    )
    assert counts["variants"] == {arm: list(arms.values()).count(arm) for arm in ("A", "B", "DEFAULT")}
    assert {r["one_id"]: r["variant"] for r in audience.people.to_pylist()} == arms


def test_reasons_come_in_their_order_and_only_one_is_given(decide):
    facts = [
        "is_deceased",
        "is_minor",
        "is_age_unknown",
        "is_restricted",
        "is_staff",
        "opt_out_marketing",
        "has_complained",
    ]
    nothing = {
        "allowed_marketing_sms_2d": False,
        "allowed_marketing_push_2d": False,
        "usable_sms": False,
        "usable_push": False,
    }
    order = [
        "DECEASED",
        "MINOR",
        "AGE_UNKNOWN",
        "RESTRICTED",
        "STAFF",
        "OPT_OUT",
        "COMPLAINT",
        "NO_CONSENT",
        "UNREACHABLE",
    ]
    people = {n: {**dict.fromkeys(facts[n - 1 :], True), **nothing} for n in range(1, 9)}
    people[9] = {
        "usable_sms": False,
        "allowed_marketing_push_2d": False,
    }  # consent for one, address for the other
    people[10] = {"kind": "prospect", "is_deceased": True}
    _, candidates = decide(people)
    assert [r["reason"] for r in candidates] == [*order, "NOT_ELIGIBLE_KIND"]


def test_an_arm_sticks_and_two_different_ones_contaminate(decide):
    treated = [
        n
        for n in range(1, 99)
        if bucket("rollout:x", n) < 8000 and bucket("GCG-2026H2", n) >= 500 and bucket("holdout:x", n) >= 1000
    ]
    one, two, three = [n for n in treated if bucket("l1", n) < 2500][:3]
    arms = [("l1/e1", one, "B", 1), ("l1/e1", two, "A", 2), ("GCG-2026H2", three, "CONTROL", 1)]
    audience, candidates = decide(crowd(one, two, three), arms=arms)
    assert [(r["place"], r["variant"]) for r in candidates] == [
        ("TREATED", "B"), ("CONTAMINATED", "CONTAMINATED"), ("GLOBAL", None)
    ]  # fmt: skip
    assert audience.counts["contaminated"] == 1


def test_a_guard_names_segment_number_and_bound(decide):
    with pytest.raises(
        GateStopped, match=r"x.yml:10: segment x: the audience has 1 people and guards.size.min is 5"
    ):
        decide(crowd(1), body="where: {tag: tier, eq: T3}\nguards: {size: {min: 5}}")
    with pytest.raises(GateStopped, match=r"x.yml:9: segment x: 1 people have an unknown answer"):
        decide({1: "T3", 2: None}, body="unknown: error\nwhere: {tag: tier, eq: T3}")
    assert (
        decide({1: "T3", 2: None}, body="unknown: include\nwhere: {tag: tier, eq: T3}")[0].counts[
            "candidates"
        ]
        == 2
    )
