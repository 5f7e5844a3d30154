"""Conditions that are never or always true are found from the text of a rule alone, and no other condition is."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_bank import TAGS_YML, spec

from segments.language.checks import possible_answers
from segments.language.checks.possible_answers import dead_conditions
from segments.language.conditions import All, Any_, ListLeaf, Not, TagLeaf, decide, kleene_all
from segments.language.operators import Test, answer
from segments.language.spec import read_segment
from vocabulary.tag_facts import TagFacts, read_tag_facts

FACTS = {
    "age": TagFacts("age", "number", minimum=Decimal(0), is_whole=True, is_nullable=True),
    "city": TagFacts("city", "category", domain=("A", "B", "C"), is_nullable=True),
}


@pytest.fixture
def dead_of(tmp_path):
    folder = tmp_path / "tags"
    folder.mkdir()
    (folder / "test.yml").write_text(TAGS_YML)
    facts = read_tag_facts(tmp_path, shipped=tmp_path / "none")

    def find(body):
        file = tmp_path / "x.yml"
        file.write_text(spec("x", body))
        segment = read_segment(file)
        parts = [
            n for n in (segment.base, segment.where, *segment.include, *segment.exclude) if n is not None
        ]
        return [(dead.line, dead.is_always_true) for dead in dead_conditions(parts, segment.rule, facts)]

    return find


NEVER = [
    "where: {tag: balance, gte: 50, lt: 40}",
    "where: {all: [{tag: balance, gte: 50}, {tag: balance, lt: 40}]}",
    "where: {event: {name: a, count: {between: [3, 4], lt: 3}, within_days: 7}}",
    "where: {all: [{tag: days_left, gt: 3}, {tag: days_left, lt: 4}]}",
    "where: {all: [{tag: tier, eq: T1}, {not: {tag: tier, in: [T1, T2]}}]}",
    "where: {all: [{tag: tier, in: [T1, T2]}, {tag: tier, is_null: true}]}",
    "where: {all: [{tag: opened_on, gt: 2026-11-10}, {tag: opened_on, lt: 2026-11-11}]}",
    "where: {tag: opened_on, days_ago: {gte: 9, lt: 3}}",
    "where: {all: [{tag: interests, contains_all: [FUND, GOLD]}, {not: {tag: interests, contains_any: [GOLD]}}]}",
    "where: {event: {name: a, count: {gte: 3, lt: 2}, within_days: 7}}",
    "where: {all: [{event: {name: a, within_days: 7}}, {event: {name: a, count: {eq: 0}, within_days: 7}}]}",
    "where: {all: [{list: l@1}, {not: {list: l@1}}]}",
    "base: {tag: tier, in: [T2, T3]}\nwhere: {list: l@1}\nexclude: [{tag: tier, ne: T1}]",
    "where: {all: [{any: [{tag: tier, eq: T1}, {tag: balance, lt: 5}]}, {tag: tier, eq: T2}, {tag: balance, gt: 6}]}",
]
NEVER += [
    "where: {date: {of: opened_on, every: year, days_ahead: {gte: 400}}}",
    "where: {date: {of: opened_on, every: year, days_ahead: {lt: 0}}}",
    "where: {date: {of: days_left, every: month, days_ahead: {gt: 31}}}",
    "where: {date: {of: matures_on, from: holdings, pick: next, days_ahead: {lt: 0}}}",
    "where: {all: [{date: {of: opened_on, days_ahead: {lte: 3}}}, {date: {of: opened_on, days_ahead: {gte: 5}}}]}",
]
ALWAYS = [
    "where: {any: [{tag: tier, eq: T1}, {not: {tag: tier, eq: T1}}]}",
    "where: {any: [{tag: balance, gte: 5}, {tag: balance, lt: 6}]}",
    "where: {tag: balance, gte: 0}",
    "where: {any: [{tag: tier, in: [T1, T2]}, {tag: tier, eq: T3}]}",
    "where: {any: [{tag: is_active, eq: true}, {tag: is_active, eq: false}]}",
    "where: {event: {name: a, count: {gte: 0}, within_days: 7}}",
    "where: {any: [{list: l@1}, {not: {segment: s}}, {segment: s}]}",
    "where: {any: [{tag: interests, contains_any: [FUND]}, {not: {tag: interests, contains_all: [FUND, GOLD]}}]}",
]
SOUND = [
    "where: {date: {of: opened_on, every: year, days_ahead: {gte: 365}}}",
    "where: {date: {of: opened_on, every: year, days_ahead: {lte: 366}}}",
    "where: {date: {of: days_left, every: month, days_ahead: {eq: 30}}}",
    "where: {date: {of: opened_on, days_ahead: {gte: 400}}}",
    "where: {date: {of: opened_on, days_ahead: {lt: 0}}}",
    "where: {date: {of: matures_on, from: holdings, pick: last, days_ahead: {lt: 0}}}",
    "where: {date: {of: matures_on, from: holdings, pick: next, days_ahead: {gte: 0}}}",
    "where: {all: [{date: {of: opened_on, days_ahead: {lte: 3}}}, {date: {of: opened_on, every: year, days_ahead: {gte: 5}}}]}",
    "where: {all: [{tag: days_left, gt: 3}, {tag: days_left, lt: 5}]}",
    "where: {all: [{tag: balance, gt: 3}, {tag: balance, lt: 4}]}",
    "where: {tag: tier, is_null: false}",
    "where: {tag: opened_on, lt: 0001-01-02}",
    "where: {event: {name: a, count: {between: [3, 4], lt: 4}, within_days: 7}}",
    "where: {all: [{tag: interests, contains_any: [FUND]}, {not: {tag: interests, contains_all: [FUND, GOLD]}}]}",
    "where: {all: [{event: {name: a, within_days: 7}}, {event: {name: a, count: {lt: 2}, within_days: 7}}]}",
    "where: {all: [{event: {name: a, within_days: 7}}, {event: {name: a, count: {eq: 0}, within_days: 3}}]}",
    "where: {any: [{tag: tier, eq: T1}, {tag: tier, is_null: true}]}",
    "where: {tag: opened_on, gte: 2026-11-10, days_ago: {lt: 3}}",
    "base: {tag: tier, in: [T2, T3]}\nwhere: {list: l@1}\nexclude: [{tag: tier, eq: T3}]",
    "where: {all: [{tag: balance, changed_since: 7}, {not: {tag: balance, changed_since: 1}}]}",
    "where: {tag: days_left, between: [0, 3650]}",
    "where: {all: [{tag: days_left, gte: 0}, {tag: tier, in: [T1, T2, T3]}]}",
    "where: {any: [{tag: unknown_tag, eq: 3}, {list: l@1}]}",
]


@pytest.mark.parametrize("body", NEVER)
def test_what_is_true_of_nobody_is_found(dead_of, body):
    assert [is_always_true for _, is_always_true in dead_of(body)] == [False]


@pytest.mark.parametrize("body", ALWAYS)
def test_what_is_true_of_everybody_is_found(dead_of, body):
    assert [is_always_true for _, is_always_true in dead_of(body)] == [True]


@pytest.mark.parametrize("body", SOUND)
def test_what_some_meet_and_some_do_not_is_left_alone(dead_of, body):
    assert dead_of(body) == []


@pytest.mark.parametrize("sign", ["eq", "ne", "gt", "gte", "lt", "lte"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_tag_without_ends_has_values_on_both_sides_of_every_bound(sign, is_whole):
    leaf = TagLeaf("free", (Test(sign, 3),))
    facts = {"free": TagFacts("free", "number", is_whole=is_whole)}
    assert dead_conditions([leaf], leaf, facts) == []


def test_the_innermost_condition_is_blamed_on_its_line(dead_of):
    body = "where:\n  all:\n    - {list: l@1}\n    - any:\n        - {tag: balance, gte: 9, lt: 8}\n        - {tag: tier, eq: T1}"
    assert dead_of(body) == [(13, False)]


def test_a_rule_of_very_many_combinations_is_not_judged(dead_of, monkeypatch):
    monkeypatch.setattr(possible_answers, "MOST_STEPS", 3)
    assert dead_of(NEVER[-1]) == []


LEAVES = st.one_of(
    st.builds(
        lambda sign, bound, u: TagLeaf("age", (Test(sign, bound),), include_unknown=u),
        st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
        st.integers(0, 4),
        st.sampled_from([None, True, False]),
    ),
    st.builds(lambda places: TagLeaf("city", (Test("in", sorted(places)),)), st.sets(st.sampled_from("ABC"), min_size=1)),
    st.builds(lambda tag, flag: TagLeaf(tag, (Test("is_null", flag),)), st.sampled_from(["age", "city"]), st.booleans()),
    st.builds(lambda name: ListLeaf(name, "1"), st.sampled_from("ab")),
)  # fmt: skip
RULES = st.recursive(
    LEAVES,
    lambda part: st.one_of(
        st.builds(Not, part),
        st.builds(lambda parts: All(tuple(parts)), st.lists(part, min_size=1, max_size=3)),
        st.builds(lambda parts: Any_(tuple(parts)), st.lists(part, min_size=1, max_size=3)),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(RULES)
def test_it_agrees_with_asking_every_person_there_can_be(rule):
    """Every age up to beyond the bounds, every city, both lists: nobody else exists for such a rule."""
    answers = set()
    for age, city, *lists in itertools.product(
        [None, *range(7)], [None, *"ABC"], [True, False], [True, False]
    ):

        def answer_of(leaf, values={"age": age, "city": city}, lists=lists):  # noqa: B006 (read only)
            if isinstance(leaf, ListLeaf):
                return lists["ab".index(leaf.name)]
            day = dt.date(2026, 1, 1)
            return kleene_all([answer(t, values[leaf.tag], business_date=day) for t in leaf.tests])

        answers.add(decide(rule, answer_of))
    dead = [d for d in dead_conditions([rule], rule, FACTS) if d.node == rule]
    if dead:
        assert (not dead[0].is_always_true and True not in answers) or (
            dead[0].is_always_true and False not in answers
        )
    elif True not in answers or answers == {True}:
        assert dead_conditions([rule], rule, FACTS), "a part of it is to blame"
