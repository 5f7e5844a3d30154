"""Rules of suppression, policy and assignment at their edges: what one changed sign would turn round."""

from __future__ import annotations

from datetime import date
from functools import cache
from types import SimpleNamespace

import duckdb
import pytest
from pydantic import ValidationError

from segments.choosing.assignment import WHITELISTED, control_sql, rollout_salt, rollout_sql
from segments.choosing.suppression import REASONS, reason_sql
from segments.language.conditions import All, ListLeaf, Not, TagLeaf, leaves
from segments.language.operators import Test, comparison_fault, operand_fault
from segments.language.spec import Rollout
from vocabulary.buckets import bucket
from vocabulary.contact_rules import _allowed_without_decision, _namespaces_sql, lake_place
from vocabulary.policy import ChannelRule, Policy, PurposeRule

A, B = ListLeaf("a", "1"), ListLeaf("b", "1")
CONTRACT = PurposeRule(consent="not_required", why="the account's contract")


@cache
def people_of_buckets(salt):
    """Somebody for every bucket of a salt."""
    return {bucket(salt, one_id): one_id for one_id in range(1, 200_000)}


@pytest.mark.parametrize(("years", "is_lawful"), [(13, False), (14, True), (30, True), (31, False)])
def test_the_least_age_lies_between_14_and_30(years, is_lawful):
    if is_lawful:
        assert Policy(minimum_age=years).minimum_age == years
    else:
        with pytest.raises(ValidationError):
            Policy(minimum_age=years)


def test_without_a_decision_only_what_needs_no_consent_is_allowed():
    policy = Policy(purposes={"service": CONTRACT})
    assert _allowed_without_decision(policy, "service") == "true"
    assert _allowed_without_decision(policy, "marketing") == "false"
    assert _allowed_without_decision(Policy(), "service") == "false"


def reasons(purpose, offer_risk=None):
    contact = SimpleNamespace(channels=["SMS"])
    segment = SimpleNamespace(
        spec=SimpleNamespace(purpose=purpose, contact=contact, entity="customer"), days_of_use=2
    )
    sql = reason_sql(segment, offer_risk=offer_risk)
    return [reason for reason in REASONS if f"THEN '{reason}'" in sql]


def test_every_reason_is_asked_for_marketing_and_all_but_an_unknown_age_for_service():
    offer_only = "UNSUITABLE"
    assert reasons("marketing", "R2") == list(REASONS)
    assert reasons("marketing") == [reason for reason in REASONS if reason != offer_only]
    assert reasons("service") == [reason for reason in REASONS if reason not in (offer_only, "AGE_UNKNOWN")]


def test_any_of_the_namespaces_is_an_address_and_a_pattern_holds_for_all():
    rule = ChannelRule(addresses=["phone", "app_user_id@*"], matches="^1")
    assert _namespaces_sql(rule, lake_place(date(2026, 11, 20))) == (
        "(o.namespace = 'phone' OR startswith(o.namespace, 'app_user_id@')) AND trim(o.value) RLIKE '^1'"
    )


def test_the_control_group_ends_before_its_last_bucket():
    """5 percent are the buckets 0 to 499; an arm of an earlier night stays."""
    arm = control_sql("GCG-2026H2", Policy(), "arms")
    people = people_of_buckets("GCG-2026H2")
    arms = {0: "CONTROL", 499: "CONTROL", 500: "TREATED", 9999: "TREATED"}
    rows = ", ".join(f"({people[place]})" for place in arms)
    sticky = people[7]
    answers = dict(
        duckdb.connect()
        .execute(
            f"WITH arms(salt, one_id, arm, arms) AS (VALUES ('GCG-2026H2', {sticky}, 'TREATED', 1), ('other', {people[0]}, 'TREATED', 1)) "
            f"SELECT c.one_id, {arm.arm} FROM (VALUES {rows}, ({sticky})) c(one_id) {arm.join}"
        )
        .fetchall()
    )
    assert answers == {**{people[place]: name for place, name in arms.items()}, sticky: "TREATED"}


ROLLOUTS = [
    # Buckets inside, and whether a whitelisted person of the last bucket is.
    ({"percent": 5}, [0, 499], False),
    ({"percent": 100}, [0, 499, 500, 9999], True),
    ({"stage": "full", "percent": 5}, [0, 499, 500, 9999], True),
    ({"stage": "full", "percent": 5, "whitelist": "pilots@1"}, [0, 499, 500, 9999], True),
    ({"stage": "small", "percent": 5}, [0, 499], False),
    ({"stage": "small", "percent": 100}, [0, 499, 500, 9999], True),
    ({"stage": "small", "percent": 5, "whitelist": "pilots@1"}, [0, 499], True),
    ({"stage": "whitelist", "percent": 100, "whitelist": "pilots@1"}, [], True),
]


@pytest.mark.parametrize(("asked", "inside", "is_pilot_inside"), ROLLOUTS)
def test_a_roll_out_takes_in_its_share_the_whitelist_of_its_stage_or_everybody(
    asked, inside, is_pilot_inside
):
    segment = SimpleNamespace(code="x", spec=SimpleNamespace(rollout=Rollout(**asked)))
    people = people_of_buckets(rollout_salt(segment))
    rows = [(people[place], False) for place in (0, 499, 500, 9999)] + [(people[9998], True)]
    answers = (
        duckdb.connect()
        .execute(
            f"SELECT one_id FROM (VALUES {', '.join(map(str, rows))}) c(one_id, {WHITELISTED}) WHERE {rollout_sql(segment)}"
        )
        .fetchall()
    )
    expected = {people[place] for place in inside} | ({people[9998]} if is_pilot_inside else set())
    assert {one_id for (one_id,) in answers} == expected


def test_a_leaf_is_denied_under_an_odd_number_of_negations():
    assert list(leaves(All((A, Not(B))))) == [(A, False), (B, True)]
    assert list(leaves(Not(Not(A)))) == [(A, False)]


def test_a_wish_for_a_version_is_part_of_the_question():
    tests = (Test("eq", "T1"),)
    assert TagLeaf("tier", tests).normal() == {"tag": "tier", "eq": "T1"}
    assert TagLeaf("tier", tests, "2.1").normal() == {"tag": "tier", "eq": "T1", "version": "2.1"}
    assert TagLeaf("tier", tests, "2.1").column != TagLeaf("tier", tests).column


def test_bounds_are_two():
    assert comparison_fault("days_ago", {"between": [1, 2]}) is None
    assert operand_fault("between", [1, 9]) is None
    for operand in ([1], [1, 2, 3], 7, ["a"]):
        assert "takes two" in comparison_fault("days_ago", {"between": operand})
    for operand in ([1], [1, 2, 3], "ab"):
        assert operand_fault("between", operand).startswith("'between' takes two values")
