"""Guards by themselves: what a fact is, and when a value and a name together identify."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from identity.joining.constraints import Constraints, find_violators
from identity.joining.guards import _corroborated, _end_old_links, fact_codes
from identity.joining.limits import Limit
from identity.reading.graph import ABSENT, UNDATED
from identity.rules.rules import HolderLimit


class Profiles(SimpleNamespace):
    def __len__(self):
        return 3


def people(**facts):
    """A graph of three profiles that says no more than a fact needs."""
    base = {
        "legal_names": {"latin": np.array([0, ABSENT, ABSENT]), "han": np.array([ABSENT, 1, 1])},
        "birth_dates": np.array([-3, UNDATED, 5]),
        "genders": np.array([0, 1, ABSENT]),
    }
    return SimpleNamespace(profiles=Profiles(**(base | facts)))


def test_a_fact_is_a_code_per_profile_and_absent_where_nothing_is_said():
    def codes(fact):
        return [(label, values.tolist()) for label, values in fact_codes(people(), fact)]

    assert codes("full_name") == [
        ("full_name (han)", [ABSENT, 1, 1]),
        ("full_name (latin)", [0, ABSENT, ABSENT]),
    ]
    assert codes("birth_date") == [("birth_date", [999_997, ABSENT, 1_000_005])]
    assert codes("gender") == [("gender", [0, 1, ABSENT])]


def corroborated(identifiers):
    graph = people()
    graph.links = SimpleNamespace(profiles=np.array([0, 1, 2]), identifiers=np.array(identifiers))
    contested = dict.fromkeys(identifiers, "held by more than 1: national_id")
    return _corroborated(graph, np.arange(3), np.arange(3), contested, first=7)


def test_a_value_and_a_name_identify_together_and_neither_does_alone():
    assert corroborated([4, 4, 4]) == [(1, 7), (2, 7)]  # one value, and the second and third have one name
    assert corroborated([3, 4, 5]) == []  # no value is shared, whatever number value and name make
    assert corroborated([5, 4, 5]) == []  # the value is shared by two names


def ended(days, verified, when_exceeded="newest"):
    """What becomes of a value that two people hold, one statement each, where one person may."""
    graph = people(genders=np.array([0, 1, ABSENT]))
    graph.links = SimpleNamespace(
        profiles=np.array([0, 1]), identifiers=np.array([4, 4]), observed=np.array(days), verified=np.array(verified)
    )  # fmt: skip
    rule = SimpleNamespace(at_most=[HolderLimit(people=1, each="gender")], when_exceeded=when_exceeded)
    links = np.arange(2)
    return _end_old_links(
        graph, None, rule, links, np.arange(3), links[:0], {4: "held by more than 1: gender"}
    )


def test_a_statement_of_another_person_ends_when_it_is_older_and_not_on_the_same_day():
    assert ended([9, 10], [True, True]) == ([(0, 10)], [])
    assert ended([10, 10], [False, True]) == ([], [4])
    assert ended([11, 10], [False, True]) == ([], [4])
    assert ended([11, 10], [False, True], "last") == ([(0, 10)], [])
    assert ended([10, 10], [True, True]) == ([], [4])


def test_two_people_become_one_while_together_they_have_no_more_than_a_limit_or_than_one_had():
    limit = Limit(2, "unique", "national_id")
    assert [limit.forbids(*counts) for counts in ((1, 1, 2), (2, 1, 3), (3, 1, 3), (3, 1, 4))] == [
        False,
        True,
        False,
        True,
    ]
    assert limit.is_above(np.array([1, 2, 3])).tolist() == [False, False, True]


def test_identifiers_that_one_person_may_have_once_are_counted_by_their_own_place():
    """Profiles 0 and 2 are one component and 1 another; the first has two values of a namespace, the second one."""
    graph = people()
    graph.links = SimpleNamespace(identifiers=np.array([0, 1, 2]), profiles=np.array([0, 1, 2]))
    graph.identifiers = SimpleNamespace(namespaces=np.array([0, 0, 0]))
    graph.decisions = SimpleNamespace(cannot_a=np.array([], dtype=int), cannot_b=np.array([], dtype=int))
    labels = np.array([10, 12, 10, 12, 10, 10])
    constraints = Constraints({0: Limit(1, "unique", "national_id")}, [], [])
    usable = np.ones(3, dtype=bool)
    violators = find_violators(graph, constraints, labels=labels, usable=usable, with_facts=False)
    assert violators.tolist() == [10]
