"""Limits: how many things of one kind one owner may have, and which owners have more.

Every limit of the rules is a ``Limit`` and is applied in this folder: records per value (``carriers``), people per value
and source (``fan_out``), holders per value (``at_most``), values per person (``unique``, ``never_merge``, ``disagree``),
profiles per person (``largest_person``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from identity.components.arrays import above, distinct_pairs
from identity.rules.rules import Rules

# The rule a refusal names, and its reason.
Key = tuple[str, str]


@dataclass(frozen=True)
class Limit:
    """At most ``most`` distinct things per owner; ``rule`` and ``reason`` are what a refusal says."""

    most: int
    rule: str
    reason: str

    @property
    def key(self) -> Key:
        """Give rule and reason."""
        return self.rule, self.reason

    def owners_above(self, owners: np.ndarray, things: np.ndarray | None = None) -> np.ndarray:
        """Give the owners that have too many things, sorted; without ``things`` every entry is one of its own."""
        if things is not None:
            owners, _ = distinct_pairs(owners, things)
        return above(owners, self.most)

    def is_above(self, counts: np.ndarray) -> np.ndarray:
        """Tell which counts of things are too many."""
        return counts > self.most

    def forbids(self, one: int, other: int, together: int) -> bool:
        """Tell whether two owners of so many things must not become one; what one of them has already is no reason."""
        return together > max(self.most, one, other)


def carriers_limit(rules: Rules, namespace: str) -> Limit | None:
    """Give the limit of records, of all sources, per value of a namespace."""
    most = getattr(rules.rule(namespace), "carriers", None)
    return None if most is None else Limit(most, "shared", f"on more than {most} records")


def carrier_limits(rules: Rules, namespaces: Iterable[str]) -> dict[str, int]:
    """Give the number of records per value by namespace, for those that have such a limit."""
    limits = {name: carriers_limit(rules, name) for name in namespaces}
    return {name: limit.most for name, limit in limits.items() if limit is not None}


def fan_out_limit(most: int) -> Limit:
    """Give the limit of people per value and source."""
    return Limit(most, "shared", f"fan_out above {most}")


def holders_limit(most: int, label: str) -> Limit:
    """Give the limit of holders per value; ``label`` says who counts as one."""
    return Limit(most, "shared", f"held by more than {most}: {label}")


def size_limit(rules: Rules) -> Limit:
    """Give the limit of profiles per person above which weak joins are cut."""
    most = rules.largest_person.cut_above
    return Limit(most, "too_large", f"person above {most} profiles")
