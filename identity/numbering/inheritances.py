"""Which numbers a part that was split off goes on with: what the whole was given before counts for it too."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Share:
    """How long a part had another number in common with it."""

    parted_on: date
    """The last night that split them."""
    shared_until: date
    """The first business date on which what the other number is given does not concern the part."""


def shares_of_parts(events: list[tuple[str, int, int, date]]) -> dict[tuple[int, int], Share]:
    """Give what each number that was split off shares with others, by (number, other one), from lineage in the order it happened.

    Of a night the splits stand first, since they part the people of the night before. The whole is the number itself, those
    that were merged into it, and what these share themselves; a number that came back is no part of it any more.
    """
    direct: dict[int, int] = {}
    members: dict[int, set[int]] = defaultdict(set)
    shares: dict[int, dict[int, Share]] = defaultdict(dict)

    def leave(one_id: int) -> None:
        if one_id in direct:
            members[direct.pop(one_id)].discard(one_id)

    for event, old, new, day in events:
        if event == "SPLIT":
            until: dict[int, date] = {}
            for one_id in _whole(old, members):
                until[one_id] = day
                for other, share in shares[one_id].items() if one_id in shares else ():
                    until[other] = max(share.shared_until, until.get(other, share.shared_until))
            until.pop(new, None)
            for other, last in until.items():
                earlier = shares[new].get(other)
                shares[new][other] = Share(day, max(last, earlier.shared_until) if earlier else last)
        elif event == "MERGE":
            leave(old)
            direct[old] = new
            members[new].add(old)
        elif event == "RESURRECT":
            leave(new)
    return {(one_id, other): share for one_id, others in shares.items() for other, share in others.items()}


def _whole(one_id: int, members: dict[int, set[int]]) -> set[int]:
    """Give a number and all that were merged into it, and into these."""
    whole, waiting = set(), [one_id]
    while waiting:
        current = waiting.pop()
        if current not in whole:
            whole.add(current)
            waiting.extend(members.get(current, ()))
    return whole
