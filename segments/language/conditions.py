"""The tree of a rule: leaves joined by all, any and not, answered in Kleene's three-valued logic.

A leaf answers true, false or unknown. ``include_unknown`` overrides the unknown of one leaf;
what an unknown answer of the whole rule means is said once, at the root.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from segments.language.operators import Test, normal_tests

ANY_VERSION = "*"


@dataclass(frozen=True)
class Leaf:
    """What all leaves share: the line they stand on and what their unknown means."""

    line: int | None = field(default=None, compare=False, kw_only=True)
    include_unknown: bool | None = field(default=None, kw_only=True)

    def normal(self) -> dict[str, Any]:
        """Give the leaf in its normal form, without line and ``include_unknown``."""
        raise NotImplementedError

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags whose values decide the answer."""
        return ()

    @property
    def can_be_unknown(self) -> bool:
        """Whether the answer can be unknown for another reason than that a tag is null."""
        return False

    @property
    def column(self) -> str:
        """The leaf's column in the leaf table: equal questions of different segments share one."""
        return "leaf_" + sha256(_canonical(self.normal()).encode()).hexdigest()[:10]


class EntityLeaf(Leaf):
    """A question about a company or a household, answered by its people."""

    @property
    def inside(self) -> Node | None:
        """The condition that is asked of each of its people, None where all of them count."""
        raise NotImplementedError

    @property
    def turns_inside(self) -> bool:
        """Whether one more person who meets the condition can turn yes to no."""
        raise NotImplementedError


@dataclass(frozen=True)
class TagLeaf(Leaf):
    """A question about the value of one tag."""

    tag: str
    tests: tuple[Test, ...]
    version: str = ANY_VERSION

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag that is asked about."""
        return (self.tag,)

    def normal(self) -> dict[str, Any]:
        """Give tag and tests."""
        return {
            "tag": self.tag,
            **normal_tests(self.tests),
            **({"version": self.version} if self.version != ANY_VERSION else {}),
        }


@dataclass(frozen=True)
class EventLeaf(Leaf):
    """How often a person did something in the days up to the business date; absence counts 0, never unknown."""

    names: tuple[str, ...]
    count: dict[str, Any]
    within_days: int
    filters: tuple[tuple[str, Any], ...] = ()

    def normal(self) -> dict[str, Any]:
        """Give names, count, window and filters."""
        return {
            "event": {
                "name": sorted(self.names),
                "count": dict(sorted(self.count.items())),
                "within_days": self.within_days,
                **dict(self.filters),
            }
        }


@dataclass(frozen=True)
class ListLeaf(Leaf):
    """Membership of a static list file of the workspace, ``lists/<name>@<version>.csv``."""

    name: str
    version: str

    @property
    def reference(self) -> str:
        """The list as specs write it."""
        return f"{self.name}@{self.version}"

    def normal(self) -> dict[str, Any]:
        """Give the reference."""
        return {"list": self.reference}


@dataclass(frozen=True)
class SegmentLeaf(Leaf):
    """Materialised membership of another segment for the same business date, control groups included."""

    segment: str
    version: str = ANY_VERSION

    def normal(self) -> dict[str, Any]:
        """Give code and wanted version."""
        return {"segment": self.segment, "version": self.version}


@dataclass(frozen=True)
class All:
    """True when every part is true."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Any_:
    """True when at least one part is true."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Not:
    """True when the part is false; the unknown stays unknown."""

    part: Node
    line: int | None = field(default=None, compare=False, kw_only=True)


Node = Leaf | All | Any_ | Not
Answer = bool | None


def kleene_all(answers: Iterator[Answer] | list[Answer]) -> Answer:
    """Give Kleene's conjunction: one false decides, else one unknown makes it unknown."""
    every = list(answers)
    if any(a is False for a in every):
        return False
    return None if any(a is None for a in every) else True


def kleene_any(answers: Iterator[Answer] | list[Answer]) -> Answer:
    """Give Kleene's disjunction: one true decides, else one unknown makes it unknown."""
    every = list(answers)
    if any(a is True for a in every):
        return True
    return None if any(a is None for a in every) else False


def kleene_not(value: Answer) -> Answer:
    """Give Kleene's negation."""
    return None if value is None else not value


def decide(node: Node, answer_of: Callable[[Leaf], Answer]) -> Answer:
    """Give the answer of a tree, its leaves answered by ``answer_of``."""
    if isinstance(node, All):
        return kleene_all([decide(part, answer_of) for part in node.parts])
    if isinstance(node, Any_):
        return kleene_any([decide(part, answer_of) for part in node.parts])
    if isinstance(node, Not):
        return kleene_not(decide(node.part, answer_of))
    result = answer_of(node)
    return node.include_unknown if result is None else result


def logic_sql(node: Node, column_of: Callable[[Leaf], str]) -> str:
    """Give the tree as SQL over leaf columns; AND, OR, NOT of SQL are Kleene's, in Spark and in DuckDB."""
    if isinstance(node, (All, Any_)):
        if not node.parts:
            return "true" if isinstance(node, All) else "false"
        sign = " AND " if isinstance(node, All) else " OR "
        return "(" + sign.join(logic_sql(part, column_of) for part in node.parts) + ")"
    if isinstance(node, Not):
        return f"(NOT {logic_sql(node.part, column_of)})"
    column = column_of(node)
    if node.include_unknown is None:
        return column
    return f"coalesce({column}, {'true' if node.include_unknown else 'false'})"


def possible_sql(node: Node, column_of: Callable[[Leaf], str], *, denied: bool = False) -> str:
    """Give SQL that is true wherever the tree is true or unknown, and false elsewhere; ``denied``, where it is true and no more."""
    if isinstance(node, (All, Any_)):
        if not node.parts:
            return "true" if isinstance(node, All) else "false"
        sign = " AND " if isinstance(node, All) else " OR "
        return "(" + sign.join(possible_sql(part, column_of, denied=denied) for part in node.parts) + ")"
    if isinstance(node, Not):
        return f"(NOT {possible_sql(node.part, column_of, denied=not denied)})"
    unknown = (not denied) if node.include_unknown is None else node.include_unknown
    return f"coalesce({column_of(node)}, {'true' if unknown else 'false'})"


def conjuncts(node: Node | None) -> Iterator[Node]:
    """Give the conditions that must all hold, in the order of the file; None has none."""
    if isinstance(node, All):
        for part in node.parts:
            yield from conjuncts(part)
    elif node is not None:
        yield node


def leaves(node: Node, *, denied: bool = False) -> Iterator[tuple[Leaf, bool]]:
    """Give every leaf with whether it stands under an odd number of negations."""
    if isinstance(node, (All, Any_)):
        for part in node.parts:
            yield from leaves(part, denied=denied)
    elif isinstance(node, Not):
        yield from leaves(node.part, denied=not denied)
    else:
        yield node, denied


def person_leaves(node: Node, *, denied: bool = False) -> Iterator[tuple[Leaf, bool]]:
    """Give every leaf that is about single people, as ``leaves`` does: of a leaf about an entity those inside it."""
    for leaf, is_denied in leaves(node, denied=denied):
        if isinstance(leaf, EntityLeaf):
            if leaf.inside is not None:
                yield from person_leaves(leaf.inside, denied=is_denied or leaf.turns_inside)
        else:
            yield leaf, is_denied


def normal(node: Node) -> Any:
    """Give the tree in normal form: the order of parts and of list members does not count."""
    if isinstance(node, (All, Any_)):
        word = "all" if isinstance(node, All) else "any"
        return {word: sorted((normal(part) for part in node.parts), key=_canonical)}
    if isinstance(node, Not):
        return {"not": normal(node.part)}
    body = node.normal()
    return body if node.include_unknown is None else {**body, "include_unknown": node.include_unknown}


def definition_hash(tree: Any) -> str:
    """Give the hash of a normal form (32 hexadecimal digits)."""
    return sha256(_canonical(tree).encode()).hexdigest()[:32]


def _canonical(tree: Any) -> str:
    return json.dumps(tree, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
