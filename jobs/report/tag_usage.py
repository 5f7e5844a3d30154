"""Who uses tags in a workspace: what would feel a change of one, and which online ones nobody uses.

Only what the workspace's files say is known here; queries of BI tools, of ``cdp sql`` and of own dbt models leave no trace.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakehouse.settings.settings import Settings
    from segments.grouping.declaration import MicroSet
    from segments.language.spec import Segment
    from tags.catalogue import TagUsers
    from vocabulary.registry import Entry, Registry

BLIND_SPOTS = "queries of BI tools and of cdp sql, and own dbt models over tags.customer_tags, are not seen"
COLUMN_DOTS = 2
"""How many dots ``database.table.column`` has; a code has none."""
# Uses of a tag that decide which people a segment has; members see no published column.
_OF_MEMBERS = frozenset({"condition", "rank", "people", "offer", "value"})


@dataclass(frozen=True)
class AffectedThing:
    """A tag, segment or destination that a change reaches: how, and through which tags or segments before it."""

    kind: str
    name: str
    how: tuple[str, ...]
    through: tuple[str, ...]


def tag_impact(settings: Settings, name: str) -> list[AffectedThing]:
    """Give all that would feel a change of a tag, by code or name: tags, marts, sets of micro-segments, segments, destinations, nearest first.

    Of a column ``database.table.column`` these are the tags that depend on it, and all that feels a change of them. An unknown tag or
    column and a file that cannot be read raise: half an answer would look like a whole one.
    """
    from segments.grouping.declaration import read_micro_sets
    from segments.language.spec import read_segments
    from tags import REGISTRY
    from vocabulary.registry import load_registry

    if name.count(".") == COLUMN_DOTS:
        registry, tags = _tags_of_column(settings, name)
        codes = {tag.name for tag in tags}
    else:
        registry = load_registry(settings.workspace, shipped=REGISTRY)
        entry = registry.entry_of(name)
        tags = _tags_reached(registry, entry.code)
        codes = {entry.code, *(tag.name for tag in tags)}
    segments = read_segments(settings.workspace)
    sets = _sets_reached(read_micro_sets(settings.workspace), codes)
    affected_segments = _segments_reached(segments, codes, {one.name for one in sets})
    return [
        *tags,
        *_tags_counted(registry, codes),
        *_marts_reached(settings.workspace, codes),
        *sets,
        *affected_segments,
        *_destinations_reached(segments, affected_segments, codes),
    ]


def tag_users(settings: Settings) -> dict[str, list[str]]:
    """Give by tag who uses it: computed tags that read it or are counted over people by it, and segments, sets of micro-segments and marts in whatever way, each with its kind, as ``segment vips``."""
    from segments.choosing.compile import tag_uses
    from segments.grouping.declaration import read_micro_sets
    from segments.language.spec import read_segments
    from tags import REGISTRY
    from tags.compile.entry_texts import population_inputs
    from tags.compile.marts.models import marts_reading
    from vocabulary.registry import load_registry

    users: dict[str, list[str]] = {}
    for entry in load_registry(settings.workspace, shipped=REGISTRY).online():
        for code in dict.fromkeys((*entry.tag_inputs, *population_inputs(entry))):
            if code != entry.code:
                users.setdefault(code, []).append(f"tag {entry.code}")
    for segment in read_segments(settings.workspace):
        for code in tag_uses(segment):
            users.setdefault(code, []).append(f"segment {segment.code}")
    for one in read_micro_sets(settings.workspace):
        for code in one.tags_read:
            users.setdefault(code, []).append(f"micro-segments {one.code}")
    for code, marts in marts_reading(settings.workspace).items():
        users.setdefault(code, []).extend(f"mart {mart}" for mart in marts)
    return users


def catalogue_users(workspace: Path) -> dict[str, TagUsers]:
    """Give by tag the segments that use it and the destinations that are given it as a column, each sorted.

    Segments that cannot be read are not among them: whoever checks and publishes segments says what is wrong with one.
    """
    from segments.choosing.compile import tag_uses
    from segments.language.spec import read_every_segment
    from tags.catalogue import TagUsers

    segments: dict[str, set[str]] = {}
    destinations: dict[str, set[str]] = {}
    for segment in read_every_segment(workspace)[0]:
        for code, uses in tag_uses(segment).items():
            segments.setdefault(code, set()).add(segment.code)
            if "column" in uses:
                destinations.setdefault(code, set()).update(segment.spec.publish.destinations)
    return {
        code: TagUsers(tuple(sorted(codes)), tuple(sorted(destinations.get(code, ()))))
        for code, codes in segments.items()
    }


def unused_tags(settings: Settings) -> list[Entry]:
    """Give the tags that are computed and that no segment, published column, mart or other computed tag reads, in registry order."""
    from tags import REGISTRY
    from vocabulary.registry import load_registry

    users = tag_users(settings)
    online = load_registry(settings.workspace, shipped=REGISTRY).online()
    return [entry for entry in online if entry.code not in users]


def _tags_of_column(settings: Settings, name: str) -> tuple[Registry, list[AffectedThing]]:
    """Give the tags that depend on a column of a table: those made of it first, then those whose rows it decides; both through other tags too."""
    from lakehouse.contracts.reading import contract, contract_names
    from lakehouse.errors import UsageError
    from lakehouse.settings.yaml_files import did_you_mean
    from tags.catalogue import lineage
    from tags.compile.compilation import compile_tags
    from vocabulary.attributes import read_attributes

    table, _, column = name.rpartition(".")
    if table not in contract_names():
        raise UsageError(f"there is no table '{table}'{did_you_mean(table, contract_names('trusted'))}")
    names = [*contract(table).columns, *read_attributes(settings.workspace).of_table(table)]
    if column not in names:
        raise UsageError(f"{table} has no column '{column}'{did_you_mean(column, names)}")
    compilation = compile_tags(settings.workspace, is_checked=False)
    registry = compilation.registry
    columns = lineage(compilation)
    things = []
    for how, codes in (
        ("comes from it", [code for code, one in columns.items() if name in one.values]),
        ("its rows are decided by it", [code for code, one in columns.items() if name in one.deciding]),
    ):
        for code in codes:
            through = sorted(
                other
                for other in registry[code].tag_inputs
                if other in columns and name in (*columns[other].values, *columns[other].deciding)
            )
            things.append(
                AffectedThing("tag", code, (f"{how}, {registry.status_of(registry[code])}",), tuple(through))
            )
    return registry, things


def _tags_reached(registry: Registry, code: str) -> list[AffectedThing]:
    from tags.catalogue import readers

    readers_of = readers(registry)
    order, before = [code], {code}
    for current in order:
        for reader in readers_of.get(current, ()):
            if reader not in before:
                before.add(reader)
                order.append(reader)
    return [
        AffectedThing(
            "tag",
            reader,
            (f"reads it, {registry[reader].status}",),
            tuple(sorted(set(registry[reader].tag_inputs) & before)),
        )
        for reader in order[1:]
    ]


def _tags_counted(registry: Registry, codes: Collection[str]) -> list[AffectedThing]:
    """Give the tags that keep their values and whose coverage is counted over people by one of these tags."""
    from tags.compile.entry_texts import population_inputs

    inputs = {entry.code: set(codes) & set(population_inputs(entry)) for entry in registry.entries.values()}
    return [
        AffectedThing(
            "tag", code, (f"is counted over people by it, {registry[code].status}",), tuple(sorted(names))
        )
        for code, names in inputs.items()
        if names and code not in codes
    ]


def _marts_reached(workspace: Path, codes: Collection[str]) -> list[AffectedThing]:
    """Give the marts of the workspace that read one of the tags."""
    from tags.compile.marts.models import marts_reading

    through: dict[str, set[str]] = {}
    for code, marts in marts_reading(workspace).items():
        for mart in marts if code in codes else ():
            through.setdefault(mart, set()).add(code)
    return [
        AffectedThing("mart", mart, ("reads it",), tuple(sorted(tags)))
        for mart, tags in sorted(through.items())
    ]


def _sets_reached(sets: Iterable[MicroSet], codes: Collection[str]) -> list[AffectedThing]:
    """Give the sets of micro-segments that compare people by one of the tags, or choose them by it."""
    affected_sets = []
    for one in sets:
        uses = {"compared by": set(one.codes) & set(codes)}
        uses["base"] = {tag for leaf, _ in one.base_leaves for tag in leaf.tags} & set(codes)
        hows = tuple(how for how, tags in uses.items() if tags)
        if hows:
            through = tuple(sorted(set().union(*uses.values())))
            affected_sets.append(AffectedThing("micro-segments", one.code, hows, through))
    return affected_sets


def _segments_reached(
    segments: Iterable[Segment], codes: Iterable[str], sets: Collection[str]
) -> list[AffectedThing]:
    """Give the segments that read one of the tags or sets, then those that ask for members of a segment whose members may change."""
    from segments.choosing.compile import tag_uses
    from segments.language.leaves.micro_segments import MicroLeaf
    from segments.language.segment_leaves import all_leaves, nested_segments

    by_code = {segment.code: segment for segment in segments}
    uses_of = {
        code: {tag: uses for tag, uses in tag_uses(segment).items() if tag in set(codes)}
        for code, segment in by_code.items()
    }
    parents = {code: nested_segments(segment) for code, segment in by_code.items()}
    sets_of = {
        code: {leaf.set_code for leaf in all_leaves(segment) if isinstance(leaf, MicroLeaf)} & set(sets)
        for code, segment in by_code.items()
    }
    order = [code for code, uses in uses_of.items() if uses or sets_of[code]]
    moving = [c for c in order if sets_of[c] or any(uses & _OF_MEMBERS for uses in uses_of[c].values())]
    for current in moving:
        for code in by_code:
            if current in parents[code] and code not in moving:
                moving.append(code)
    order += [code for code in moving if code not in order]
    answer = []
    for code in order:
        asked_segments = sorted(parents[code] & set(moving))
        hows = sorted(set().union(*uses_of[code].values()))
        hows += ["micro-segments"] if sets_of[code] else []
        hows += ["members of segment"] if asked_segments else []
        through = (*sorted(uses_of[code]), *sorted(sets_of[code]), *asked_segments)
        answer.append(AffectedThing("segment", code, tuple(hows), through))
    return answer


def _destinations_reached(
    segments: Iterable[Segment], affected_segments: Iterable[AffectedThing], codes: Iterable[str]
) -> list[AffectedThing]:
    """Give the destinations of the segments: whether people may come and go there, and which columns may differ."""
    by_code: Mapping[str, Segment] = {segment.code: segment for segment in segments}
    hows: dict[str, set[str]] = {}
    through: dict[str, set[str]] = {}
    for thing in affected_segments:
        publish = by_code[thing.name].spec.publish
        columns = {f"column {column}" for column in publish.columns if column in set(codes)}
        people = {"people"} if set(thing.how) - {"column"} else set()
        for destination in publish.destinations:
            hows.setdefault(destination, set()).update(columns | people)
            through.setdefault(destination, set()).add(thing.name)
    return [
        AffectedThing(
            "destination", name, tuple(sorted(hows[name], reverse=True)), tuple(sorted(through[name]))
        )
        for name in sorted(hows)
    ]
