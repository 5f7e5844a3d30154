"""Whose tags a plan moves: per tag how many people, from which value to which, and a few of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from lakehouse.query.words import identifier
from vocabulary.buckets import bucket_duckdb_sql
from vocabulary.entities import PERSON, TAG_ENTITIES, Entity

if TYPE_CHECKING:
    from jobs.planning.both_lakes import BothLakes
    from vocabulary.tag_facts import TagFacts

# Ways from one value to another, the most frequent ones.
_MOST_WAYS = 100
_QUARTERS = "[0.25, 0.5, 0.75]"
_ORDERED = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "DATE")


@dataclass(frozen=True)
class TagMove:
    """One tag before and after: people who have it (a boolean tag counts who is), and those whose value is another.

    Of a tag of a product, branch or employee it is these that are counted.

    ``values`` counts people by value, those that differ; a tag whose values nobody needs to see is counted under ``""``.
    ``ways`` are ``(before, after, people)``. ``quarters`` are the three quartiles of numbers and days, before and after.
    """

    tag: str
    before: int
    after: int
    moved: int
    values: dict[str, tuple[int, int]] = field(default_factory=dict)
    ways: list[tuple[str | None, str | None, int]] = field(default_factory=list)
    quarters: tuple[list[str], list[str]] | None = None
    people: list[dict[str, Any]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)


def are_values_shown(facts: TagFacts | None) -> bool:
    """Tell whether single values of a tag may be shown: those of a list that anybody may read, or of level C1."""
    if facts is None or facts.is_restricted:
        return False
    return facts.value_type == "boolean" or bool(facts.domain) or facts.level == "C1"


def tag_moves(both: BothLakes, facts: Mapping[str, TagFacts], *, people: int) -> list[TagMove]:
    """Compare every tag of the published wide tables and of the clone's, row by row; those that are alike are left out.

    Of each so many ``people`` are given at most; a product, branch or employee by its source and key. A row that is missing on one side
    has no value there.
    """
    moves: list[TagMove] = []
    for entity in TAG_ENTITIES.values():
        # Of a publication from before an entity had tags, nothing can be compared.
        if entity == PERSON or (both.published.exists(entity.current) and both.clone.exists(entity.current)):
            moves += _moves_of(both, entity, facts, people=people if _is_named_freely(entity) else 0)
    return moves


def _moves_of(
    both: BothLakes, entity: Entity, facts: Mapping[str, TagFacts], *, people: int
) -> list[TagMove]:
    desk = both.desk
    before_sql, after_sql = both.pair_as_is(entity.current)
    kinds = [
        {name: kind for name, kind, *_ in desk.rows(f"DESCRIBE SELECT * FROM {sql}") if name in facts}
        for sql in (before_sql, after_sql)
    ]
    tags = sorted({*kinds[0], *kinds[1]})
    if not tags:
        return []
    columns = []
    for tag in tags:
        was, becomes = (
            f"{side}.{identifier(tag)}" if tag in kinds[at] else "NULL" for at, side in enumerate("ba")
        )
        if tag in kinds[0] and tag in kinds[1] and kinds[0][tag] != kinds[1][tag]:
            was, becomes = f"{was}::VARCHAR", f"{becomes}::VARCHAR"
        columns += [f"{was} AS {identifier(f'was {tag}')}", f"{becomes} AS {identifier(f'becomes {tag}')}"]
    pairs = desk.define(
        "tag_pairs",
        f"SELECT {_key_sql(entity)} AS one_id, {', '.join(columns)}\n"
        f"FROM {before_sql} b FULL JOIN {after_sql} a ON {' AND '.join(f'a.{name} = b.{name}' for name in entity.key)}",
    )
    counts = []
    for tag in tags:
        was, becomes = _pair_of(tag)
        is_boolean = {kinds[0].get(tag, "BOOLEAN"), kinds[1].get(tag, "BOOLEAN")} == {"BOOLEAN"}
        counts += [
            f"count(*) FILTER (WHERE {side})" if is_boolean else f"count({side})" for side in (was, becomes)
        ]
        counts.append(f"count(*) FILTER (WHERE {was} IS DISTINCT FROM {becomes})")
    numbers = desk.rows(f"SELECT {', '.join(counts)} FROM {pairs}")[0]
    moves = []
    for at, tag in enumerate(tags):
        before, after, moved_people = numbers[3 * at : 3 * at + 3]
        if moved_people or (tag in kinds[0]) != (tag in kinds[1]):
            kind = kinds[1].get(tag) or kinds[0][tag]
            details = _details(both, str(pairs), tag, kind, facts.get(tag), people)
            if entity != PERSON and "people" in details:
                details["people"] = [{"key": row.pop("one_id"), **row} for row in details["people"]]
            move = TagMove(tag, before, after, moved_people, **details)
            moves.append(
                move
                if move.values
                else TagMove(
                    tag,
                    before,
                    after,
                    moved_people,
                    {"": (before, after)},
                    **{name: value for name, value in details.items() if name != "values"},
                )
            )
    return moves


def _is_named_freely(entity: Entity) -> bool:
    """Tell whether examples may name rows of an entity: an employee's number is personal."""
    return not entity.is_personal


def _key_sql(entity: Entity) -> str:
    """Give SQL of what names a row among ``b`` and ``a``: the OneID, else source and key as one text."""
    names = [f"coalesce(b.{name}, a.{name})" for name in entity.key]
    return names[0] if entity == PERSON else f"concat_ws('/', {', '.join(names)})"


def _pair_of(tag: str) -> tuple[str, str]:
    return identifier(f"was {tag}"), identifier(f"becomes {tag}")


def _details(
    both: BothLakes, pairs: str, tag: str, kind: str, facts: TagFacts | None, people: int
) -> dict[str, Any]:
    """Give what is told of one tag that moves, each part where it may be shown."""
    desk, (was, becomes) = both.desk, _pair_of(tag)
    moving = f"FROM {pairs} WHERE {was} IS DISTINCT FROM {becomes}"
    is_shown = are_values_shown(facts)
    details: dict[str, Any] = {}
    if kind == "VARCHAR" and is_shown:
        rows = desk.rows(
            f"SELECT value, sum(b)::BIGINT, sum(a)::BIGINT FROM (\n"
            f"  SELECT {was} AS value, count(*) AS b, 0 AS a FROM {pairs} GROUP BY ALL\n"
            f"  UNION ALL SELECT {becomes}, 0, count(*) FROM {pairs} GROUP BY ALL)\n"
            "WHERE value IS NOT NULL GROUP BY value HAVING sum(b) <> sum(a) ORDER BY value"
        )
        details["values"] = {str(value): (b, a) for value, b, a in rows}
    if kind in ("VARCHAR", "BOOLEAN") and is_shown:
        details["ways"] = desk.rows(
            f"SELECT {was}::VARCHAR AS w, {becomes}::VARCHAR AS n, count(*) AS p {moving} GROUP BY ALL\n"
            f"ORDER BY p DESC, w NULLS FIRST, n NULLS FIRST LIMIT {_MOST_WAYS}"
        )
    if kind.startswith(_ORDERED) and not (facts and facts.is_restricted):
        before, after = desk.rows(
            f"SELECT quantile_disc({was}, {_QUARTERS}), quantile_disc({becomes}, {_QUARTERS}) FROM {pairs}"
        )[0]
        details["quarters"] = ([str(value) for value in before or ()], [str(value) for value in after or ()])
    if people:
        values = f"{was}::VARCHAR, {becomes}::VARCHAR" if is_shown else "NULL, NULL"
        order = f"{bucket_duckdb_sql(f'preview:{tag}')}, one_id"
        details["people"] = [
            {"one_id": one_id, **({"before": b, "after": a} if is_shown else {})}
            for one_id, b, a in desk.rows(f"SELECT one_id, {values} {moving} ORDER BY {order} LIMIT {people}")
        ]
    return details
