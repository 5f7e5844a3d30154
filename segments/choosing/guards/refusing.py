"""What stops a night for a segment: unknown answers, the size of its audience, its change, tags that moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lakehouse.errors import GateStopped
from segments.choosing.guards.yardsticks import Yardsticks

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk, Relation
    from segments.language.spec import Segment

MOST_NAMED = 3


def gate_refusal(
    desk: Desk,
    segment: Segment,
    counts: Mapping[str, Any],
    candidates: Relation,
    yardsticks: Yardsticks | None = None,
) -> GateStopped | None:
    """Give what stops a night with these counts and candidates of a segment, None where nothing does."""
    comparison = yardsticks or Yardsticks()
    refusals = (
        *_unknown_answers(segment, counts),
        *_size(segment, counts),
        *_change(desk, segment, candidates, comparison),
        *_stability(segment, comparison),
    )
    return refusals[0] if refusals else None


def _unknown_answers(segment: Segment, counts: Mapping[str, Any]) -> Iterator[GateStopped]:
    unknown = counts["unknown"]
    noun = {"company": "companies", "household": "households"}.get(segment.spec.entity, "people")
    if unknown and segment.unknown == "error":
        yield _stop(
            segment,
            f"{unknown} {noun} have an unknown answer and the bound is 0 (unknown: error)",
            "unknown",
        )


def _size(segment: Segment, counts: Mapping[str, Any]) -> Iterator[GateStopped]:
    published, size = counts["published"], segment.spec.guards.size
    for bound, limit, is_outside in (
        ("min", size.min, published < size.min),
        ("max", size.max, size.max is not None and published > size.max),
    ):
        if is_outside:
            sentence = f"the audience has {published} people and guards.size.{bound} is {limit}"
            yield _stop(segment, sentence, "guards", "size", bound)


def _change(
    desk: Desk, segment: Segment, candidates: Relation, yardsticks: Yardsticks
) -> Iterator[GateStopped]:
    """Judge the shares of ``segments.explaining.churn``: who entered of those now, who left of those before."""
    bound, before = segment.spec.guards.change_vs_previous, yardsticks.before
    if bound is None or before is None:
        return
    ((now, earlier, entering, leaving),) = desk.rows(
        "SELECT count(n.one_id), count(b.one_id), count(*) FILTER (WHERE b.one_id IS NULL), count(*) FILTER (WHERE n.one_id IS NULL)\n"
        f"FROM (SELECT one_id FROM {candidates} WHERE place IN ('TREATED', 'DROPPED')) n\n"
        f"FULL JOIN {before.people} b USING (one_id)"
    )
    changes = [
        (entering / max(now, 1), f"{entering} of the {now} people of the audience were not in it"),
        (leaving / max(earlier, 1), f"{leaving} of the {earlier} people left the audience that it had"),
    ]
    ratio, sentence = max(changes, key=lambda change: change[0])
    if ratio > bound.max_ratio:
        yield _stop(
            segment,
            f"{sentence} on {before.as_of} (version {before.version}), a share of {ratio:.3g}, and"
            f" guards.change_vs_previous.max_ratio is {bound.max_ratio:g}",
            "guards",
            "change_vs_previous",
            "max_ratio",
        )


def _stability(segment: Segment, yardsticks: Yardsticks) -> Iterator[GateStopped]:
    bound = segment.spec.guards.tag_psi
    if bound is None:
        return
    movers = sorted((-index, tag) for tag, index in yardsticks.stability.items() if index > bound.max)
    if movers:
        listing = ", ".join(f"{tag} {-index:.3g}" for index, tag in movers[:MOST_NAMED])
        more = f" and {len(movers) - MOST_NAMED} more" if len(movers) > MOST_NAMED else ""
        yield _stop(
            segment,
            f"the values of tags that it reads moved from the nights before, by the stability index: {listing}{more};"
            f" guards.tag_psi.max is {bound.max:g}",
            "guards",
            "tag_psi",
            "max",
        )


def _stop(segment: Segment, sentence: str, *path: str) -> GateStopped:
    return GateStopped(
        f"segment {segment.code}: {sentence}; nothing was published",
        file=segment.file,
        line=segment.line(*path),
    )
