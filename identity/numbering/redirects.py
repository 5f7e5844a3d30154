"""Where a merged number leads."""

from __future__ import annotations


def final_redirects(events: list[tuple[str, int, int]], living: set[int]) -> dict[int, int]:
    """Give old id → current id from lineage (event, from, to) in the order it happened, transitively closed.

    Only merges redirect; an id that came back, or lives again, redirects no more.
    """
    direct: dict[int, int] = {}
    for event, old, new in events:
        if event == "MERGE":
            direct[old] = new
        elif event == "RESURRECT":
            direct.pop(new, None)
    for one_id in living:
        direct.pop(one_id, None)
    final: dict[int, int] = {}
    for old in direct:
        visits, current = {old}, direct[old]
        while current in direct and current not in visits:
            visits.add(current)
            current = direct[current]
        final[old] = current
    return final
