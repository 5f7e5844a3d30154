"""Arbitration of a night: caps, habits, segments kept apart, ties and capacities, on drawn questions and against two oracles."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from contact_oracle import closed_by, decide, in_order, in_scope
from contact_problems import FIRST, cap, drawn_problem, history, offer, problem, window
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.contacting import crowd, market, scores
from segments.contacting.arbitration import arbitrate
from segments.contacting.prices import resources_of
from segments.contacting.problem import ApartRule, CapacityRule, ContactWay

A, B, C = FIRST, FIRST + 1, FIRST + 2


def answers(arbitration) -> dict:
    """What became of each candidacy, as the oracle says it."""
    every = {}
    for code, part in arbitration.by_code.items():
        for row in part.contacts.to_pylist():
            every[code, row["one_id"]] = ("contact", row["channel"])
        for row in part.losses.to_pylist():
            assert (code, row["one_id"]) not in every
            every[code, row["one_id"]] = (
                "loss", row["reason"], row["rule"], row["winner"], row["winner_run_id"], row["winner_contact_on"], row["advantage"],
            )  # fmt: skip
    return every


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_arrays_and_plain_python_decide_alike(seed):
    question = drawn_problem(seed)
    assert answers(arbitrate(question)) == decide(question)


def test_the_order_of_rows_and_the_size_of_crowds_change_nothing(monkeypatch):
    question = drawn_problem(7, people=60)
    expected = answers(arbitrate(question))
    monkeypatch.setattr(crowd, "CROWD_PEOPLE", 7)
    shuffled = dataclasses.replace(
        question,
        history=question.history.take(
            pa.array(np.random.default_rng(1).permutation(question.history.num_rows))
        ),
        habits=question.habits.slice(5)
        .combine_chunks()
        .take(pa.array(range(question.habits.num_rows - 6, -1, -1))),
    )
    plain = dataclasses.replace(question, habits=question.habits.slice(5))
    assert answers(arbitrate(shuffled)) == answers(arbitrate(plain))
    assert answers(arbitrate(question)) == expected


def test_a_cap_over_all_channels_lets_the_higher_priority_win_and_names_the_margin():
    caps = [cap("global", 1)]
    arbitration = arbitrate(
        problem(offer("low", [A], priority=10, caps=caps), offer("top", [A], priority=70, caps=caps))
    )
    assert answers(arbitration) == {
        ("top", A): ("contact", "PUSH"),
        ("low", A): ("loss", "LOST_ARBITRATION", "cap:global:1/7d", "top", None, None, "PRIORITY"),
    }
    assert arbitration.by_code["low"].losses["margin"].to_pylist() == [60.0]


def test_a_cap_of_one_channel_sends_the_second_segment_through_another():
    caps = [cap("PUSH", 1, 1)]
    both = problem(offer("a", [A], priority=90, caps=caps), offer("b", [A], caps=caps))
    assert answers(arbitrate(both)) == {("a", A): ("contact", "PUSH"), ("b", A): ("contact", "WECHAT")}


def test_a_cap_of_one_placement_leaves_the_rest_of_its_channel_free():
    banner = ContactWay("INAPP", "banner", window())
    caps = [cap("banner", 1, 1)]
    both = problem(
        offer("a", [A], priority=90, ways=[banner], caps=caps),
        offer("b", [A], ways=[banner], caps=caps),
        offer("c", [A], ways=[ContactWay("INAPP", "popup", window())], caps=caps),
    )
    assert answers(arbitrate(both)) == {
        ("a", A): ("contact", "INAPP"),
        ("b", A): ("loss", "LOST_ARBITRATION", "cap:banner:1/1d", "a", None, None, "PRIORITY"),
        ("c", A): ("contact", "INAPP"),
    }


def test_earlier_contacts_count_in_the_days_of_the_cap_and_not_beyond():
    question = problem(
        offer("a", [A, B, C], ways=["SMS"], caps=[cap("SMS", 1, 7)]),
        past=history((A, "x", 6, "SMS"), (B, "x", 7, "SMS"), (C, "x", 1, "PUSH")),
    )
    assert answers(arbitrate(question)) == {
        ("a", A): (
            "loss",
            "CAPPED",
            "cap:SMS:1/7d",
            "x",
            "x-2026-11-15",
            dt.date(2026, 11, 15),
            "EARLIER_CONTACT",
        ),
        ("a", B): ("contact", "SMS"),
        ("a", C): ("contact", "SMS"),
    }


def test_a_contact_that_an_earlier_night_put_off_counts_before_it_is_made():
    question = problem(offer("a", [A], caps=[cap("global", 1, 1)]), past=history((A, "x", -2, "PUSH")))
    assert answers(arbitrate(question))["a", A][1] == "CAPPED"


def test_who_is_capped_is_told_the_newest_of_the_contacts_that_count():
    """The other channel, another purpose, too long ago and another person's say nothing; of one day the last run does."""
    past = history(
        (A, "old", 5, "SMS"), (A, "b", 2, "SMS"), (A, "c", 2, "SMS"), (A, "push", 1, "PUSH"), (A, "note", 1, "SMS", None, "service"),
        (B, "later", -2, "SMS"), (B, "b", 2, "SMS"), (C, "far", 7, "SMS"), (FIRST + 3, "b", 1, "SMS"),
    )  # fmt: skip
    question = problem(offer("a", [A, B, C], ways=["SMS"], caps=[cap("SMS", 1)]), past=past)
    expected = {
        ("a", A): ("loss", "CAPPED", "cap:SMS:1/7d", "c", "c-2026-11-19", dt.date(2026, 11, 19), "EARLIER_CONTACT"),
        ("a", B): ("loss", "CAPPED", "cap:SMS:1/7d", "later", "later-2026-11-23", dt.date(2026, 11, 23), "EARLIER_CONTACT"),
        ("a", C): ("contact", "SMS"),
    }  # fmt: skip
    assert answers(arbitrate(question)) == expected == decide(question)
    assert arbitrate(question).by_code["a"].losses["margin"].to_pylist() == [None, None]


def test_an_earlier_contact_of_a_segment_of_tonight_is_told_with_its_own_run():
    """The cap would hold two: the earlier contact of ``a`` leaves one place, which tonight's ``a`` takes."""
    question = problem(
        offer("a", [A, B], priority=90, caps=[cap("global", 2)]),
        offer("b", [A, B], caps=[cap("global", 2)]),
        past=history((A, "a", 3, "PUSH"), (B, "a", 3, "PUSH"), (B, "b", 2, "PUSH")),
    )
    assert answers(arbitrate(question)) == {
        ("a", A): ("contact", "PUSH"),
        ("b", A): ("loss", "LOST_ARBITRATION", "cap:global:2/7d", "a", None, None, "PRIORITY"),
        ("a", B): ("loss", "CAPPED", "cap:global:2/7d", "b", "b-2026-11-19", dt.date(2026, 11, 19), "EARLIER_CONTACT"),
        ("b", B): ("loss", "CAPPED", "cap:global:2/7d", "b", "b-2026-11-19", dt.date(2026, 11, 19), "EARLIER_CONTACT"),
    }  # fmt: skip


def test_a_loser_is_told_by_what_the_winner_is_before_it():
    caps = [cap("global", 1)]

    def advantages(*offers, **more):
        parts = arbitrate(problem(*offers, **more)).by_code.values()
        return {row["advantage"] for part in parts for row in part.losses.to_pylist()}

    plain = offer("a", [A], priority=50, value=9.0, caps=caps)
    assert advantages(plain, offer("b", [A], priority=51, caps=caps)) == {"PRIORITY"}, "0.1 above by score"
    assert advantages(plain, offer("b", [A], priority=50, value=1.0, caps=caps)) == {"EXPECTED_VALUE"}
    assert advantages(plain, offer("b", [A], priority=50, value=9.0, caps=caps)) == {"HASH"}
    full = [CapacityRule("SMS", 1)]
    others = offer("a", [A], priority=90, ways=["SMS"]), offer("b", [B], priority=90, ways=["SMS"])
    assert advantages(*others, capacities=full) == {"HASH"}


def test_a_cap_of_zero_closes_its_scope():
    assert answers(arbitrate(problem(offer("a", [A], caps=[cap("PUSH", 0), cap("SMS", 0)])))) == {
        ("a", A): ("contact", "WECHAT")
    }
    assert answers(arbitrate(problem(offer("a", [A], caps=[cap("global", 0, 1)])))) == {
        ("a", A): ("loss", "CAPPED", "cap:global:0/1d", None, None, None, None)
    }


def test_two_destinations_are_two_contacts():
    question = problem(
        offer("a", [A], caps=[cap("global", 1)], contacts=2),
        offer("b", [B], caps=[cap("global", 2)], contacts=2),
    )
    assert answers(arbitrate(question)) == {
        ("a", A): ("loss", "CAPPED", "cap:global:1/7d", None, None, None, None), ("b", B): ("contact", "PUSH"),
    }  # fmt: skip


def test_the_channel_of_habit_comes_first_and_the_others_follow_in_their_order():
    habit = {A: "SMS", B: "CALL", C: "SMS"}
    question = problem(
        offer("a", [A, B, C], picks_habit=True, caps=[cap("SMS", 1)]),
        past=history((C, "x", 1, "SMS")),
        habit=habit,
    )
    assert answers(arbitrate(question)) == {
        ("a", A): ("contact", "SMS"), ("a", B): ("contact", "PUSH"), ("a", C): ("contact", "PUSH"),
    }  # fmt: skip


def test_segments_kept_apart_exclude_each_other_tonight_and_over_the_days():
    rule = ApartRule(frozenset({"a", "b"}), 7)
    question = problem(
        offer("a", [A, B], priority=90),
        offer("b", [A, B, C]),
        past=history((C, "a", 3, "PUSH")),
        apart=[rule],
    )
    decided = answers(arbitrate(question))
    assert decided["b", A] == ("loss", "LOST_ARBITRATION", "never_together:a", "a", None, None, "PRIORITY")
    assert decided["b", C] == (
        "loss",
        "LOST_ARBITRATION",
        "never_together:a",
        "a",
        "a-2026-11-18",
        dt.date(2026, 11, 18),
        "EARLIER_CONTACT",
    )
    assert decided["a", A] == ("contact", "PUSH")


def test_a_tie_of_priorities_is_decided_by_value_and_then_by_a_hash_that_favours_no_segment():
    caps = [cap("global", 1)]
    decided = answers(
        arbitrate(problem(offer("a", [A], value=1.0, caps=caps), offer("b", [A], value=1.5, caps=caps)))
    )
    assert decided["b", A][0] == "contact"
    people = range(FIRST, FIRST + 2000)
    even = arbitrate(problem(*(offer(code, people, caps=caps) for code in "abcd")))
    shares = [part.contacts.num_rows for part in even.by_code.values()]
    assert sum(shares) == 2000 and all(420 < share < 580 for share in shares), shares
    margins = even.by_code["a"].losses["margin"].to_pylist()
    assert set(margins) == {0.0}, "a hash is no margin"


def test_a_person_in_fifty_segments_is_contacted_as_often_as_the_caps_say():
    caps = [cap("global", 2), cap("SMS", 1, 1)]
    offers = [offer(f"s{n:02d}", [A], priority=n, ways=["SMS", "PUSH"], caps=caps) for n in range(50)]
    decided = answers(arbitrate(problem(*offers)))
    assert {key: one for key, one in decided.items() if one[0] == "contact"} == {
        ("s49", A): ("contact", "SMS"), ("s48", A): ("contact", "PUSH"),
    }  # fmt: skip
    # The last place decides: who took the SMS for the first way of the others, who was second for all channels.
    assert {one[1:4] for one in decided.values() if one[0] == "loss"} == {
        ("LOST_ARBITRATION", "cap:global:2/7d", "s48")
    }


def test_nobody_at_all_and_nothing_offered_are_answered():
    assert arbitrate(problem()).by_code == {}
    part = arbitrate(problem(offer("a", []))).by_code["a"]
    assert (part.contacts.num_rows, part.losses.num_rows) == (0, 0)
    assert part.contacts.column_names == [
        "one_id",
        "channel",
        "placement",
        "contact_on",
        "send_from",
        "send_until",
    ]


# -- capacities ------------------------------------------------------------------------------------------------


def used(question, arbitration) -> dict:
    """How much of each capacity the contacts use: by scope, day and group."""
    group_of = {row["one_id"]: row for row in question.groups.to_pylist()}
    weights = {one.code: one.contacts for one in question.offers}
    total: dict = {}
    for code, part in arbitration.by_code.items():
        for row in part.contacts.to_pylist():
            for rule in question.capacities:
                if in_scope(rule.scope, row["channel"], row["placement"]):
                    group = (group_of.get(row["one_id"], {}).get(rule.per) or "") if rule.per else ""
                    key = (rule.scope, rule.per, row["contact_on"], group)
                    total[key] = total.get(key, 0) + weights[code]
    for row in question.history.to_pylist():
        for rule in question.capacities:
            if in_scope(rule.scope, row["channel"], row["placement"]):
                group = (group_of.get(row["one_id"], {}).get(rule.per) or "") if rule.per else ""
                key = (rule.scope, rule.per, row["contact_on"], group)
                if key in total:
                    total[key] += 1
    return total


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_with_capacities_nothing_is_exceeded_and_every_loss_has_a_rule_that_closes_it(seed):
    question = drawn_problem(seed, people=25, capacities=True)
    arbitration = arbitrate(question)
    limits = {(rule.scope, rule.per): rule for rule in question.capacities}
    for (scope, per, _, group), amount in used(question, arbitration).items():
        rule = limits[scope, per]
        assert amount <= rule.each.get(group, rule.max)
    decided = answers(arbitration)
    assert decided.keys() == decide(question).keys()
    assert arbitration.bound is None or arbitration.value <= arbitration.bound + 1e-6
    assert_closed(question, decided)


def assert_closed(question, decided) -> None:
    """Every contact keeps the caps beside all others of its person, and every loss names what closes its first way."""
    offers = {one.code: one for one in question.offers}
    habits = {row["one_id"]: row["channel"] for row in question.habits.to_pylist()}
    order = {key: number for number, key in enumerate(in_order(question))}
    contacts: dict = {}
    for (code, one_id), answer in sorted(decided.items(), key=lambda item: order[item[0]]):
        if answer[0] == "contact":
            way = next(way for way in offers[code].ways if way.channel == answer[1])
            contacts.setdefault(one_id, []).append((offers[code], way))
    for (code, one_id), answer in decided.items():
        past = [row for row in question.history.to_pylist() if row["one_id"] == one_id]
        of_person = contacts.get(one_id, [])
        if answer[0] == "contact":
            way = next(way for way in offers[code].ways if way.channel == answer[1])
            others = [one for one in of_person if one[0].code != code]
            assert_kept_by(offers[code], way, past, others)
            continue
        bits = next(row["ways"] for row in offers[code].rows.to_pylist() if row["one_id"] == one_id)
        usable = [w for n, w in enumerate(offers[code].ways) if bits >> n & 1 and w.window is not None]
        if offers[code].picks_habit:
            usable.sort(key=lambda w: w.channel != habits.get(one_id))
        if not usable:
            assert answer[1:3] == ("QUIET_DROPPED", "quiet")
            continue
        verdict = closed_by(question, one_id, offers[code], usable[0], past, of_person)
        assert answer[1:] == verdict if verdict else answer[2].startswith("capacity:"), (
            code,
            one_id,
            verdict,
        )


def assert_kept_by(one_offer, way, past, others) -> None:
    """A contact keeps the caps of its own segment that every other segment of the person has too."""
    for rule in one_offer.caps:
        if not in_scope(rule.scope, way.channel, way.placement) or not all(rule in o.caps for o, _ in others):
            continue
        days = [way.window.day.toordinal() - row["contact_on"].toordinal() for row in past
                if row["purpose"] in rule.purposes and in_scope(rule.scope, row["channel"], row["placement"])]  # fmt: skip
        total = sum(0 <= day < rule.days for day in days)
        total += one_offer.contacts if one_offer.purpose in rule.purposes else 0
        for other, other_way in others:
            if other.purpose in rule.purposes and in_scope(
                rule.scope, other_way.channel, other_way.placement
            ):
                is_near = 0 <= (way.window.day - other_way.window.day).days < rule.days
                total += other.contacts if is_near else 0
        assert total <= rule.max or one_offer.purpose not in rule.purposes


def linear_bound(question) -> float:
    """The value of the linear relaxation of a question without caps but one contact each, by SciPy."""
    from scipy.optimize import linprog

    scale = scores.value_scale(max(max(one.rows["value"].to_pylist(), default=0) for one in question.offers))
    group_of = {row["one_id"]: row for row in question.groups.to_pylist()}
    columns = []
    for one in question.offers:
        bases = scores.base_score(one.priority, one.rows["value"].to_numpy(), scale)
        for row, score in zip(one.rows.to_pylist(), bases, strict=True):
            columns += [
                (row["one_id"], one.code, way.channel, score)
                for n, way in enumerate(one.ways)
                if row["ways"] >> n & 1
            ]
    rows, limits = {}, {}
    for at, (one_id, code, channel, _) in enumerate(columns):
        keys = [(("person", one_id), 2)]
        keys.append(((code, one_id), 1))
        for rule in question.capacities:
            if rule.scope == channel:
                group = group_of[one_id][rule.per] if rule.per else ""
                keys.append((("capacity", rule.scope, group), rule.each.get(group, rule.max)))
        for key, limit in keys:
            rows.setdefault(key, []).append(at)
            limits[key] = limit
    matrix = np.zeros((len(rows), len(columns)))
    for number, places in enumerate(rows.values()):
        matrix[number, places] = 1
    answer = linprog([-c[3] for c in columns], A_ub=matrix, b_ub=[limits[k] for k in rows], bounds=(0, 1))
    return -answer.fun


def scarce_question(seed):
    """Five segments that want more of 150 people than three channels have room for."""
    rng = np.random.default_rng(seed)
    people = np.arange(FIRST, FIRST + 150)
    offers = []
    for number in range(5):
        ids = people[rng.random(150) < 0.6]
        one = offer(f"s{number}", ids, priority=int(rng.integers(1, 100)), caps=[cap("global", 2)])
        rows = pa.table(
            {
                "one_id": ids,
                "ways": rng.integers(1, 8, len(ids)).astype(np.uint8),
                "value": rng.random(len(ids)),
            }
        )
        offers.append(dataclasses.replace(one, rows=rows))
    capacities = [
        CapacityRule("SMS", int(rng.integers(10, 60))),
        CapacityRule("PUSH", int(rng.integers(3, 15)), "branch", {"b1": 4}),
        CapacityRule("WECHAT", int(rng.integers(1, 6)), "employee"),
    ]
    group = {int(one_id): (f"b{one_id % 6}", f"e{one_id % 25}") for one_id in people}
    return problem(*offers, group=group, capacities=capacities)


@pytest.mark.parametrize("seed", range(12))
def test_prices_come_close_to_the_linear_bound_and_never_above_it(seed):
    question = scarce_question(seed)
    arbitration = arbitrate(question)
    best = linear_bound(question)
    assert arbitration.value <= best + 1e-6 <= arbitration.bound + 1e-3
    assert arbitration.value >= 0.98 * best, (arbitration.value, best)
    assert best >= 0.98 * arbitration.bound, "the bound that a night prints says nothing"
    assert arbitration.gap == pytest.approx(1 - arbitration.value / arbitration.bound)


@pytest.mark.parametrize("seed", range(4))
def test_near_whatever_prices_are_looked_for_first_they_are_the_same(seed):
    facts = crowd.facts_of(scarce_question(seed))
    crowds, resources = [facts.crowd(0, 70), facts.crowd(70, len(facts.one_ids))], resources_of(facts)
    rng = np.random.default_rng(seed)
    for at, resource in enumerate(resources):
        settled = market.Market(facts, crowds, resources)
        settled.settle()
        settled.set_price(at)
        prices, lows = settled.prices[at].copy(), settled.lows[at].copy()
        groups = len(resource.limits)
        drawn = rng.integers(0, market.TOP + 1, groups)
        for guess in (prices, np.zeros(groups, np.int64), np.full(groups, market.TOP), drawn):
            settled.set_price(at, guess)
            assert (settled.prices[at].tolist(), settled.lows[at].tolist()) == (
                prices.tolist(),
                lows.tolist(),
            )
        assert at == 0 or prices.any(), "nothing is scarce"


def test_the_scarce_channel_goes_to_whom_nothing_else_reaches():
    """100 may get an SMS; of 1,000 who want one 900 can be reached otherwise."""
    people = range(FIRST, FIRST + 1000)
    one = offer("a", people, ways=["SMS", "WECHAT"])
    ways = np.where(np.arange(1000) % 10 == 0, 1, 3).astype(np.uint8)
    one = dataclasses.replace(one, rows=one.rows.set_column(1, "ways", pa.array(ways)))
    arbitration = arbitrate(problem(one, capacities=[CapacityRule("SMS", 100)]))
    contacts = arbitration.by_code["a"].contacts
    assert contacts.num_rows == 1000
    assert contacts.filter(pa.compute.equal(contacts["channel"], "SMS")).num_rows == 100
    assert arbitration.gap == pytest.approx(0, abs=1e-9)


def test_who_loses_a_capacity_is_told_to_whom_and_by_how_much():
    question = problem(
        offer("a", [A], priority=90, ways=["SMS"]), offer("b", [B], priority=40, ways=["SMS"]),
        capacities=[CapacityRule("SMS", 1)],
    )  # fmt: skip
    arbitration = arbitrate(question)
    assert answers(arbitration) == {
        ("a", A): ("contact", "SMS"),
        ("b", B): ("loss", "LOST_ARBITRATION", "capacity:SMS", "a", None, None, "PRIORITY"),
    }
    assert arbitration.by_code["b"].losses["margin"].to_pylist() == [50.0]


@pytest.mark.parametrize(("most", "contacts"), [(0, 0), (1, 1), (10**9, 3)])
def test_capacities_of_nothing_and_of_more_than_everybody(most, contacts):
    people = {A: ("b", "e"), B: ("b", "e"), C: (None, None)}
    one = offer("a", people, ways=["CALL"])
    arbitration = arbitrate(problem(one, group=people, capacities=[CapacityRule("CALL", most)]))
    assert arbitration.by_code["a"].contacts.num_rows == contacts
    assert arbitration.by_code["a"].losses.num_rows == 3 - contacts
    assert arbitration.gap == pytest.approx(0, abs=1e-4)


def test_each_employee_has_their_own_capacity_and_people_without_one_share_one():
    people = {FIRST + n: (None, f"e{n % 3}" if n < 30 else None) for n in range(60)}
    one = offer("a", people, ways=["CALL"])
    rule = CapacityRule("CALL", 4, "employee", {"e2": 1})
    contacts = arbitrate(problem(one, group=people, capacities=[rule])).by_code["a"].contacts
    by_employee: dict = {}
    for one_id in contacts["one_id"].to_pylist():
        by_employee[people[one_id][1]] = by_employee.get(people[one_id][1], 0) + 1
    assert by_employee == {"e0": 4, "e1": 4, "e2": 1, None: 4}


def test_what_an_earlier_night_put_off_to_the_day_uses_its_capacity():
    question = problem(
        offer("a", [A, B], ways=["CALL"]), past=history((C, "x", 0, "CALL"), (A, "x", 1, "CALL")),
        capacities=[CapacityRule("CALL", 2)],
    )  # fmt: skip
    assert arbitrate(question).by_code["a"].contacts.num_rows == 1


def test_a_double_holds_all_of_the_highest_score():
    """Beside the highest priority and the highest value two hashes that differ by one step make two scores."""
    scale = scores.value_scale(7.0)
    whole = scores.base_score(100, np.array([np.nextafter(scale, 0.0)]), scale)[0]
    step = 2.0 ** -(scores.VALUE_BITS + scores.HASH_BITS)
    parts = scores.tie_part("a", np.arange(FIRST, FIRST + 1_000))
    assert (parts / step == np.floor(parts / step)).all() and parts.max() < 2.0**-scores.VALUE_BITS
    assert [(whole + part) - whole for part in (step, *parts)] == [step, *parts]
