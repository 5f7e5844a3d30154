"""What a rule can answer at all, whoever it is asked of: conditions that are never or always true, before any data is read.

Every test is asked of all values that it could tell apart (its own bounds, those between and beside them, null), and
conditions on the same value are asked together. What is left out (a day and its distance from today, say) only lets more be
possible: what is reported is certain, and a rule of more combinations than ``MOST_STEPS`` is not judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import chain, combinations, pairwise
from typing import Any

from segments.language.conditions import (
    All,
    Answer,
    Any_,
    EventLeaf,
    Leaf,
    ListLeaf,
    Node,
    Not,
    SegmentLeaf,
    TagLeaf,
    kleene_all,
    kleene_any,
    kleene_not,
    leaves,
)
from segments.language.leaves.dates import DateLeaf, RowDate
from segments.language.leaves.members import MembersLeaf
from segments.language.leaves.people import SampleLeaf
from segments.language.leaves.rows import RowLeaf, RowMeasure
from segments.language.operators import OPERATORS, Test, answer, compare_number
from vocabulary.tag_facts import TagFacts

MOST_STEPS = 20_000
_MOST_MEMBERS = 8
_ANY_DAY = date(2000, 1, 1)
Variable = tuple[str, ...]
Case = Any


@dataclass(frozen=True)
class Dead:
    """A condition that answers the same for everybody: never true, or never false."""

    node: Node
    is_always_true: bool
    line: int | None


@dataclass(frozen=True)
class _Atom:
    """One test of a leaf: the value it is about, and its answer for each value."""

    variable: Variable
    answer: Callable[[Case], Answer]


class _TooManySteps(Exception):
    """The rule has more combinations than are tried."""


def dead_conditions(parts: Iterable[Node], rule: Node, facts: Mapping[str, TagFacts]) -> list[Dead]:
    """Give the innermost conditions of the parts that are never or always true, or else the whole rule if it is."""
    dead: list[Dead] = []
    try:
        possible = _PossibleAnswers(rule, facts)
        for part in parts:
            possible.collect(part, dead)
        if not dead:
            possible.judge(rule, dead)
    except _TooManySteps:
        pass
    return dead


def keeps_in_the_best(leaf: TagLeaf, fact: TagFacts) -> bool:
    """Tell whether a condition of ``exclude`` about a tag that may only exclude leaves those whom it says nothing bad about.

    Else the people who remain would be those whom the tag is about. Of a category the domain stands from the best value to the worst, of a
    boolean false is the better one, and of numbers and dates the lower; who is unknown is kept out only together with the worst.
    """
    if fact.value_type == "boolean" or (fact.value_type == "category" and fact.domain):
        values: tuple[Any, ...] = (None, *((False, True) if fact.value_type == "boolean" else fact.domain))
        if any(test.operator == "changed_since" for test in leaf.tests):
            return False
        verdicts = []
        for value in values:
            verdict = kleene_all([answer(test, value, business_date=_ANY_DAY) for test in leaf.tests])
            verdicts.append(leaf.include_unknown is True if verdict is None else verdict)
        unknown, best, worst = verdicts[0], verdicts[1], verdicts[-1]
        return (all(verdicts[1:]) or not best) and (worst or not unknown)
    upward = {"gt", "gte", "contains_any", "contains_all"} | (
        {"eq", "in"} if fact.value_type == "category" else set()
    )
    return all(
        test.operator in upward or (test.operator == "is_null" and not test.operand) for test in leaf.tests
    )


class _PossibleAnswers:
    """Asks the nodes of one rule which answers they can give."""

    def __init__(self, rule: Node, facts: Mapping[str, TagFacts]) -> None:
        self._steps = 0
        self._atoms: dict[str, list[_Atom]] = {}
        values: dict[Variable, _Values] = {}
        for leaf, _ in leaves(rule):
            self._atoms[leaf.column] = list(_atoms(leaf, facts, values))
        tests: dict[Variable, list[_Atom]] = {}
        for atom in chain(*self._atoms.values()):
            tests.setdefault(atom.variable, []).append(atom)
        self._cases = {variable: _distinct(v.cases(), tests[variable]) for variable, v in values.items()}

    def collect(self, node: Node, dead: list[Dead]) -> None:
        """Add the dead conditions of a tree, the parts of a condition before the condition itself."""
        before = len(dead)
        for part in _parts(node):
            self.collect(part, dead)
        if len(dead) == before:
            self.judge(node, dead)

    def judge(self, node: Node, dead: list[Dead]) -> None:
        """Add the node if it is dead."""
        line = next((leaf.line for leaf, _ in leaves(node)), None)
        if not self._can(node, True, {}):
            dead.append(Dead(node, False, line))
        elif not self._can(node, False, {}) and self._says_nothing(node):
            dead.append(Dead(node, True, line))

    def _says_nothing(self, node: Node) -> bool:
        """Tell whether a node that is never false says nothing either by being unknown.

        A range that spans all values of a tag asks whether the value is known, and is often written so. Parts that can be
        false and together never are (``x or not x``) are meant otherwise.
        """
        if not self._can(node, None, {}):
            return True
        return any(False in self._answers(leaf, {}) for leaf, _ in leaves(node))

    def _can(self, node: Node, wish: Answer, choice: dict[Variable, Case]) -> bool:
        """Tell whether some values let the node answer as wished, when some of them are chosen already.

        Where no value is asked about twice, the parts answer independently and what they can answer together is exact.
        """
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise _TooManySteps
        if wish not in self._answers(node, choice):
            return False
        variable = self._shared(node, choice)
        if variable is None:
            return True
        return any(self._can(node, wish, {**choice, variable: case}) for case in self._cases[variable])

    def _shared(self, node: Node, choice: Mapping[Variable, Case]) -> Variable | None:
        times: dict[Variable, int] = {}
        for leaf, _ in leaves(node):
            for variable in {atom.variable for atom in self._atoms[leaf.column]} - set(choice):
                times[variable] = times.get(variable, 0) + 1
        # A leaf with several tests of one value is one question already.
        shared = [variable for variable, number in times.items() if number > 1]
        return max(shared, key=lambda variable: (times[variable], variable), default=None)

    def _answers(self, node: Node, choice: Mapping[Variable, Case]) -> frozenset[Answer]:
        if isinstance(node, Not):
            return frozenset(kleene_not(a) for a in self._answers(node.part, choice))
        if isinstance(node, (All, Any_)):
            join = kleene_all if isinstance(node, All) else kleene_any
            together: frozenset[Answer] = frozenset({join([])})
            for part in node.parts:
                every = self._answers(part, choice)
                together = frozenset(join([one, other]) for one in together for other in every)
            return together
        together = frozenset({True})
        by_variable: dict[Variable, list[_Atom]] = {}
        for atom in self._atoms[node.column]:
            by_variable.setdefault(atom.variable, []).append(atom)
        for variable, atoms in by_variable.items():
            cases = [choice[variable]] if variable in choice else self._cases[variable]
            every = frozenset(kleene_all([atom.answer(case) for atom in atoms]) for case in cases)
            together = frozenset(kleene_all([one, other]) for one in together for other in every)
        if node.include_unknown is None:
            return together
        return frozenset(node.include_unknown if a is None else a for a in together)


def _parts(node: Node) -> tuple[Node, ...]:
    if isinstance(node, (All, Any_)):
        return node.parts
    return (node.part,) if isinstance(node, Not) else ()


def _distinct(cases: list[Case], atoms: list[_Atom]) -> list[Case]:
    """Give one of all values that every test answers alike."""
    by_answers: dict[tuple[Answer, ...], Case] = {}
    for case in cases:
        by_answers.setdefault(tuple(atom.answer(case) for atom in atoms), case)
    return list(by_answers.values())


@dataclass
class _Values:
    """What is asked of one value: its kind, the constants of all tests, and whether it may be unknown."""

    kind: str
    has_null: bool
    constants: list[Any]
    fact: TagFacts | None = None

    def cases(self) -> list[Case]:
        """Give values that stand for all the tests could tell apart."""
        nothing = [None] if self.has_null else []
        return [*_CASES[self.kind](self.constants, self.fact), *nothing]


def _atoms(leaf: Leaf, facts: Mapping[str, TagFacts], values: dict[Variable, _Values]) -> Iterator[_Atom]:
    """Give the tests of a leaf, and add to ``values`` what each asks about."""
    fact = facts.get(leaf.tag) if isinstance(leaf, TagLeaf) else None
    if isinstance(leaf, TagLeaf) and fact is not None:
        for test in leaf.tests:
            yield _tag_atom(leaf, test, fact, values)
    elif isinstance(leaf, EventLeaf):
        tree = leaf.normal()["event"]
        variable = ("count", str({key: tree[key] for key in sorted(tree) if key != "count"}))
        _ask(values, variable, _Values("count", False, _bounds(leaf.count)))
        yield _Atom(variable, lambda case: compare_number(case, leaf.count))
    elif isinstance(leaf, RowLeaf | MembersLeaf) and leaf.measure.name == "count":
        tree = dataclasses.replace(leaf, measure=RowMeasure("count", ())).normal()
        bounds = [number for t in leaf.measure.tests for number in _bounds({t.operator: t.operand})]
        can_be_unknown = leaf.where is not None if isinstance(leaf, MembersLeaf) else leaf.can_be_unknown
        _ask(values, ("rows", str(tree)), _Values("count", can_be_unknown, bounds))
        for test in leaf.measure.tests:
            yield _Atom(("rows", str(tree)), _comparison(test))
    elif isinstance(leaf, DateLeaf):
        yield _date_atom(leaf, facts, values)
    else:
        has_null = not isinstance(leaf, (ListLeaf, SegmentLeaf, SampleLeaf))
        _ask(values, ("leaf", leaf.column), _Values("boolean", has_null, []))
        yield _Atom(("leaf", leaf.column), lambda case: case)


def _comparison(test: Test) -> Callable[[Case], Answer]:
    return lambda case: None if case is None else compare_number(case, {test.operator: test.operand})


def _tag_atom(leaf: TagLeaf, test: Test, fact: TagFacts, values: dict[Variable, _Values]) -> _Atom:
    if test.operator == "changed_since":
        variable: Variable = ("changed", leaf.tag, str(test.operand))
        _ask(values, variable, _Values("boolean", True, []))
        return _Atom(variable, lambda case: case)
    if OPERATORS[test.operator].operand == "comparison":
        variable = ("days", leaf.tag, test.operator)
        _ask(values, variable, _Values("days", fact.is_nullable, _bounds(test.operand)))
        return _Atom(variable, lambda case: None if case is None else compare_number(case, test.operand))
    variable = ("tag", leaf.tag)
    _ask(values, variable, _Values(fact.value_type, fact.is_nullable, test.operands(), fact))
    return _Atom(variable, lambda case: answer(test, case, business_date=_ANY_DAY))


def _date_atom(leaf: DateLeaf, facts: Mapping[str, TagFacts], values: dict[Variable, _Values]) -> _Atom:
    tree = {key: value for key, value in leaf.normal()["date"].items() if key != "days_ahead"}
    wished = dict(leaf.days_ahead)
    fact = facts.get(leaf.of) if isinstance(leaf.of, str) else None
    is_ahead = leaf.every is not None or (isinstance(leaf.of, RowDate) and leaf.of.pick == "next")
    kind = _DISTANCES[leaf.every] if is_ahead else "days"
    has_null = leaf.can_be_unknown or fact is None or fact.is_nullable
    _ask(values, ("date", str(tree)), _Values(kind, has_null, _bounds(wished)))
    return _Atom(("date", str(tree)), lambda case: None if case is None else compare_number(case, wished))


def _ask(values: dict[Variable, _Values], variable: Variable, question: _Values) -> None:
    if variable in values:
        values[variable].constants.extend(question.constants)
    else:
        values[variable] = question


def _bounds(comparison: Mapping[str, Any]) -> list[int]:
    return [
        number for bound in comparison.values() for number in (bound if isinstance(bound, list) else [bound])
    ]


def _near(bounds: Iterable[int]) -> list[int]:
    return sorted({number for bound in bounds for number in (bound - 1, bound, bound + 1)})


def _days(constants: list[date], _: TagFacts | None) -> list[date]:
    numbers = _near(day.toordinal() for day in constants or [_ANY_DAY])
    return [date.fromordinal(number) for number in numbers if 0 < number <= date.max.toordinal()]


def _numbers(constants: list[Any], fact: TagFacts | None) -> list[Decimal]:
    """Give the constants, what lies between and beside them, and the ends of the tag's values."""
    assert fact is not None
    ends = [bound for bound in (fact.minimum, fact.maximum) if bound is not None]
    points = sorted({Decimal(str(value)) for value in constants} | set(ends)) or [Decimal(0)]
    if fact.is_whole:
        near = {number.to_integral_value() + step for number in points for step in (-1, 0, 1)}
        candidates = sorted(near)
    else:
        between = [(one + other) / 2 for one, other in pairwise(points)]
        candidates = [points[0] - 1, *points, *between, points[-1] + 1]
    return [
        number
        for number in candidates
        if (fact.minimum is None or number >= fact.minimum)
        and (fact.maximum is None or number <= fact.maximum)
    ]


def _categories(constants: list[Any], fact: TagFacts | None) -> list[Any]:
    domain = fact.domain if fact is not None else ()
    return list(dict.fromkeys([*domain, *constants, *([] if domain else ["\0"])]))


def _subsets(constants: list[Any], _: TagFacts | None) -> list[list[Any]]:
    """Give every set of the members that are asked about, as far as they are few."""
    members = sorted(set(constants))
    if len(members) > _MOST_MEMBERS:
        raise _TooManySteps
    return [list(subset) for size in range(len(members) + 1) for subset in combinations(members, size)]


# How far ahead the day lies at most that comes next, in days or in fewer days of a calendar.
_MOST_DAYS: dict[str | None, int | None] = {"month": 31, "year": 366, None: None}
_DISTANCES = {every: f"days ahead in a {every}" if every else "days ahead" for every in _MOST_DAYS}


def _ahead(most: int | None) -> Callable[[list[Any], TagFacts | None], list[Case]]:
    ends = [0] if most is None else [0, most]
    return lambda constants, fact: [
        n for n in _near([*ends, *constants]) if n >= 0 and (most is None or n <= most)
    ]


_CASES: dict[str, Callable[[list[Any], TagFacts | None], list[Case]]] = {
    "boolean": lambda constants, fact: [True, False],
    "category": _categories,
    "set": _subsets,
    "date": _days,
    "number": _numbers,
    "days": lambda constants, fact: list(_near(constants)),
    "count": lambda constants, fact: [number for number in _near([0, *constants]) if number >= 0],
    **{kind: _ahead(_MOST_DAYS[every]) for every, kind in _DISTANCES.items()},
}
