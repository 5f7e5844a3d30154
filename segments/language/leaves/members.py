"""The leaf over the people of a company or a household: how many meet a condition, and what a tag of theirs sums to.

A person of whom the condition is unknown may or may not count, so the number lies between two numbers, as it does for rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lakehouse.settings.yaml_files import line_of
from segments.language.complaints import Complaints
from segments.language.conditions import EntityLeaf, Node, normal
from segments.language.leaves.rows import MEASURES, RowMeasure, read_measure
from segments.language.operators import normal_tests

_UPWARDS = ("gt", "gte")


@dataclass(frozen=True)
class MembersLeaf(EntityLeaf):
    """A measure over the people of an entity who meet a condition: their number, or sum, least or greatest value of a tag.

    Nobody counts 0 and sums to 0, and has no least or greatest.
    """

    where: Node | None
    measure: RowMeasure

    def normal(self) -> dict[str, Any]:
        """Give condition and measure."""
        of = {"of": self.measure.of} if self.measure.of else {}
        where = {"where": normal(self.where)} if self.where is not None else {}
        return {"members": {**where, self.measure.name: of | normal_tests(self.measure.tests)}}

    @property
    def inside(self) -> Node | None:
        """The condition that is asked of each person."""
        return self.where

    @property
    def turns_inside(self) -> bool:
        """Whether one more person can turn yes to no, as where fewer than so many are asked for."""
        return self.measure.name == "count" and any(t.operator not in _UPWARDS for t in self.measure.tests)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag whose values are measured."""
        return (self.measure.of,) if self.measure.of is not None else ()

    @property
    def can_be_unknown(self) -> bool:
        """Whether the answer can be unknown where every condition and value is known: of nobody there is no least."""
        return self.measure.name in ("min", "max")


def read_members(
    tree: Any, line: int | None, file: Complaints, reader: Callable[[Any, int | None], Node]
) -> MembersLeaf:
    """Read ``{members: {where, count | sum | min | max | any}}``; ``reader`` reads a condition about one person."""
    file.only(tree, ("members", "include_unknown"))
    body = file.mapping(tree, "members", "{where, count}", line)
    file.only(body, ("where", *MEASURES))
    where = reader(body["where"], line_of(body, "where") or line) if body.get("where") is not None else None
    return MembersLeaf(
        where,
        read_measure(body, "members", file),
        line=line,
        include_unknown=file.include_unknown(tree),
    )
