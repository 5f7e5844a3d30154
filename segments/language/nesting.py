"""Segments that name segments: in which order they are decided, and which go in a circle."""

from __future__ import annotations

from lakehouse.errors import SettingsInvalid
from segments.language.segment_leaves import nested_segments
from segments.language.spec import Segment


def levels_of(segments: list[Segment]) -> list[list[Segment]]:
    """Give the segments by dependency level: those of a level name only segments of earlier ones."""
    remaining = {segment.code: segment for segment in segments}
    levels: list[list[Segment]] = []
    while remaining:
        ready = [s for s in remaining.values() if not nested_segments(s) & set(remaining)]
        if not ready:
            cyclic = min(remaining)
            raise SettingsInvalid(f"E04 the segments {', '.join(sorted(remaining))} name each other in a circle",
                                  file=remaining[cyclic].file, line=1)  # fmt: skip
        levels.append(sorted(ready, key=lambda s: s.code))
        for segment in ready:
            del remaining[segment.code]
    return levels


def shortest_circle(start: str, by_code: dict[str, Segment]) -> list[str]:
    """Give the shortest way from ``start`` back to itself, empty when there is none (breadth first)."""
    paths, visited_codes = [[start]], {start}
    while paths:
        longer: list[list[str]] = []
        for path in paths:
            for following in sorted(nested_segments(by_code[path[-1]])):
                if following == start:
                    return path
                if following in by_code and following not in visited_codes:
                    visited_codes.add(following)
                    longer.append([*path, following])
        paths = longer
    return []
