"""How the people of a segment differ from its base, tag by tag, from a publication. No JVM.

Each tag divides people into classes: values of a category, yes and no, parts of a number or a day at the deciles of the base; people without
a value are a class of their own. A tag's **distance** is the total variation between the shares of the classes: the share of people who
would have to change class for both groups to look alike, 0 to 1. A tag that holds a set is as distant as the one of its members
whose share differs most.

A small group differs from any base by chance. ``chance`` is the distance that a group of this size, drawn from the base at random,
has on average: half the sum over classes of sqrt(2/pi) times the standard error of the share, without replacement. Tags are ordered by
distance minus chance. Beside it stand the population stability index (with half a person added to each class) and, for numbers and days,
the difference of the means in pooled standard deviations.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lakehouse.errors import UsageError
from lakehouse.query.desk import Relation
from lakehouse.query.published import Published, open_publication
from lakehouse.query.words import identifier, literal
from lakehouse.settings.settings import Settings
from lakehouse.settings.written_files import PICTURE
from lakehouse.texts import text
from segments.choosing.compile import TAG_TABLE
from segments.choosing.decide import SegmentPlaces, answer_columns
from segments.explaining.snapshot import (
    Snapshot,
    catalogue_on,
    named_by,
    read_snapshot,
    refuse_faults,
    segment_of,
    with_draft,
)
from segments.language.checks.findings import Surroundings
from segments.language.conditions import logic_sql
from segments.language.spec import Segment
from vocabulary.tag_facts import TagFacts

if TYPE_CHECKING:
    from pathlib import Path

# A number or a day with more values than this is cut into parts.
PARTS = 10
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class ClassShare:
    """One class of a tag, None for people without a value, and its share in the base and in the segment."""

    value: str | None
    base: float
    segment: float


@dataclass(frozen=True)
class TagDistance:
    """How far a segment is from its base in one tag; see the module. ``standardised`` is None but for numbers and days."""

    tag: str
    distance: float
    chance: float
    stability: float
    standardised: float | None
    classes: list[ClassShare]

    @property
    def strongest(self) -> ClassShare:
        """The class whose share differs most."""
        return max(self.classes, key=lambda c: abs(c.segment - c.base))


@dataclass(frozen=True)
class Profile:
    """A segment beside its base on one publication; ``tags`` are ordered by how much they differ."""

    code: str
    version: str
    business_date: date
    base: str
    base_people: int
    people: int
    tags: list[TagDistance]

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)


def profile(
    settings: Settings, surroundings: Surroundings, name: str, business_date: date | None = None
) -> Profile:
    """Compare the members of a segment, control groups included, with the people of its base.

    Without a ``base`` that is everybody of the segment's entity who has tags; of companies and households the people who belong to one. Only tags are compared that may be used for the segment's
    purpose. A segment or a base without people raises ``UsageError``.
    """
    with open_publication(settings, business_date) as published:
        workspace = catalogue_on(published, surroundings)
        segment = segment_of(workspace, name)
        catalogue = with_draft(workspace, segment)
        scope = named_by([segment], catalogue)
        refuse_faults(catalogue, scope)
        snapshot = read_snapshot(published, catalogue.site, scope)
        places = snapshot.place_all(scope)
        members = {code: one.members for code, one in places.items()}
        groups = _groups(snapshot, places[segment.code], members)
        ((base_people, people),) = published.rows(
            f"SELECT count(*) FILTER (WHERE is_base), count(*) FILTER (WHERE is_member) FROM {groups}"
        )
        if not base_people or not people:
            raise UsageError(
                f"segment {segment.code} has {people} people and its base {base_people}: there is nothing to compare"
            )
        present = {field.name for field in published.delta(TAG_TABLE).schema().fields}
        facts = [
            fact
            for code, fact in sorted(surroundings.tags.items())
            if code in present and may_be_shown(fact, segment)
        ]
        distances = [_distance(published, fact, groups, base_people, people) for fact in facts]
        return Profile(
            code=segment.code,
            version=segment.version,
            business_date=published.publication.business_date,
            base=text("profile.base_of_file" if segment.base is not None else "profile.base_of_everybody"),
            base_people=base_people,
            people=people,
            tags=sorted(distances, key=lambda d: (d.chance - d.distance, d.tag)),
        )


def may_be_shown(fact: TagFacts, segment: Segment) -> bool:
    """Tell whether the distribution of a tag may be shown for the purpose of a segment."""
    return (
        fact.status in ("online", "deprecated")
        and fact.level != "C3"
        and not fact.is_restricted
        and (not fact.purposes or segment.spec.purpose in fact.purposes)
    )


def _groups(snapshot: Snapshot, places: SegmentPlaces, members: dict[str, Relation]) -> Relation:
    """Keep everybody of the base or of the segment: one_id, is_base, is_member."""
    segment = places.segment
    base = logic_sql(segment.base, answer_columns(members)) if segment.base is not None else "true"
    if places.belonging is not None:
        entities = f"SELECT entity_key FROM {places.answers} WHERE {base}"
        is_of_base = f"one_id IN (SELECT one_id FROM {places.belonging} WHERE entity_key IN ({entities}))"
    else:
        is_of_base = f"k.kind = {literal(segment.spec.entity)} AND ({base})"
    return snapshot.published.keep(
        "groups",
        "SELECT * FROM (SELECT one_id, coalesce("
        f"{is_of_base}, false) AS is_base, one_id IN (SELECT one_id FROM {members[segment.code]}) AS is_member\n"
        f"FROM {snapshot.answers} LEFT JOIN (SELECT one_id, kind FROM identity.one_ids) k USING (one_id)) WHERE is_base OR is_member",
    )


def _distance(
    published: Published, fact: TagFacts, groups: Relation, base_people: int, people: int
) -> TagDistance:
    column = f"t.{identifier(fact.code)}"
    rows = f"{TAG_TABLE} t JOIN {groups} g USING (one_id)"
    standardised = None
    if fact.value_type == "set":
        counts = published.rows(
            f"SELECT value, count(*) FILTER (WHERE is_base), count(*) FILTER (WHERE is_member) FROM\n"
            f"(SELECT g.is_base, g.is_member, unnest(CASE WHEN len({column}) > 0 THEN list_distinct({column}) ELSE [NULL] END) AS value\n"
            f"FROM {rows}) GROUP BY value ORDER BY value NULLS LAST"
        )
        shares = [ClassShare(_words(v), b / base_people, s / people) for v, b, s in counts]
        return _measures(fact.code, _most_different_pair(shares), shares, base_people, people, None)
    value, is_part = column, False
    if fact.value_type in ("number", "date"):
        number = f"date_diff('day', {literal(_EPOCH)}, {column})" if fact.value_type == "date" else column
        value, is_part = _parts_sql(published, rows, number)
        standardised = _standardised(published, rows, number)
    counts = published.rows(
        f"SELECT {value} AS value, count(*) FILTER (WHERE g.is_base), count(*) FILTER (WHERE g.is_member)\n"
        f"FROM {rows} GROUP BY 1 ORDER BY 1 NULLS LAST"
    )
    words = _days if fact.value_type == "date" else _short
    names = _class_names([one for one, _, _ in counts], words, is_part=is_part)
    shares = [
        ClassShare(name, b / base_people, s / people) for name, (_, b, s) in zip(names, counts, strict=True)
    ]
    return _measures(fact.code, shares, shares, base_people, people, standardised)


def distances_by_label(
    published: Published, fact: TagFacts, groups: Relation, sizes: Mapping[int, int]
) -> dict[int, TagDistance]:
    """Give how far each of some groups is from all of them together in one tag, by its label.

    ``groups`` has one_id, label and ``is_base``, which is true; ``sizes`` are the people of each label.
    """
    column = f"t.{identifier(fact.code)}"
    rows = f"{TAG_TABLE} t JOIN {groups} g USING (one_id)"
    everybody = sum(sizes.values())
    value, is_part = column, False
    deviations: dict[int, float | None] = {}
    if fact.value_type == "set":
        value = f"unnest(CASE WHEN len({column}) > 0 THEN list_distinct({column}) ELSE [NULL] END)"
    elif fact.value_type in ("number", "date"):
        number = f"date_diff('day', {literal(_EPOCH)}, {column})" if fact.value_type == "date" else column
        value, is_part = _parts_sql(published, rows, number)
        deviations = _deviations(published, rows, number)
    counts: dict[Any, dict[int, int]] = {}
    for label, one, people in published.rows(
        f"SELECT label, value, count(*) FROM (SELECT g.label, {value} AS value FROM {rows})\n"
        "GROUP BY ALL ORDER BY value NULLS LAST, label"
    ):
        counts.setdefault(one, {})[label] = people
    names = _class_names(list(counts), _days if fact.value_type == "date" else _short, is_part=is_part)
    distances = {}
    for label, size in sizes.items():
        shares = [
            ClassShare(name, sum(people.values()) / everybody, people.get(label, 0) / size)
            for name, people in zip(names, counts.values(), strict=True)
        ]
        classes = _most_different_pair(shares) if fact.value_type == "set" else shares
        distances[label] = _measures(fact.code, classes, shares, everybody, size, deviations.get(label))
    return distances


def _class_names(values: list[Any], words: Callable[[Any], str | None], *, is_part: bool) -> list[str | None]:
    """Give the names of classes: of parts of a number from where to where they go, the first and the last without an end.

    The least value is somebody's own.
    """
    names = [words(value) for value in values]
    if not is_part:
        return names
    edges = [name for name in names if name is not None]
    parts = [text("profile.below", high=high) for high in edges[1:2]]
    parts += [text("profile.part", low=low, high=high) for low, high in pairwise(edges[1:])]
    parts += [text("profile.from", low=low) for low in edges[-1:]]
    return [*parts, *([None] if len(names) > len(edges) else [])]


def _short(value: Any) -> str | None:
    """Give a value without decimals that say nothing."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return _words(value)


def _most_different_pair(shares: list[ClassShare]) -> list[ClassShare]:
    """Give the member of a set whose share differs most, and the people without it, as two classes."""
    pairs = [[share, ClassShare("", 1 - share.base, 1 - share.segment)] for share in shares]
    return max(pairs, key=lambda pair: abs(pair[0].segment - pair[0].base), default=[])


def _deviations(published: Published, rows: str, number: str) -> dict[int, float | None]:
    """Give of each label the mean's difference from that of all, in pooled standard deviations."""
    of_label = published.rows(
        f"SELECT g.label, avg({number}::DOUBLE), var_pop({number}::DOUBLE) FROM {rows} GROUP BY GROUPING SETS ((g.label), ())"
    )
    means = {label: (mean, variance) for label, mean, variance in of_label}
    base_mean, base_variance = means.pop(None, (None, None))
    deviations: dict[int, float | None] = {}
    for label, (mean, variance) in means.items():
        spread = math.sqrt((base_variance + variance) / 2) if mean is not None else 0
        deviations[label] = (mean - base_mean) / spread if spread else None
    return deviations


def _parts_sql(published: Published, rows: str, number: str) -> tuple[str, bool]:
    """Give the SQL of a value's class and whether it is a part: a value itself where they are few, else the least of its part.

    The parts are the deciles of the base.
    """
    values = published.rows(
        f"SELECT DISTINCT {number} FROM {rows} WHERE {number} IS NOT NULL LIMIT {PARTS + 1}"
    )
    if len(values) <= PARTS:
        return number, False
    steps = ", ".join(f"{step / PARTS}" for step in range(PARTS))
    (edges,) = published.rows(
        f"SELECT quantile_disc({number}, [{steps}]) FILTER (WHERE g.is_base) FROM {rows}"
    )[0]
    cases = " ".join(
        f"WHEN {number} >= {edge} THEN {edge}"
        for edge in sorted({Decimal(str(e)) for e in edges or ()}, reverse=True)
    )
    least = min(Decimal(str(value)) for (value,) in published.rows(f"SELECT min({number}) FROM {rows}"))
    return f"CASE WHEN {number} IS NULL THEN NULL {cases} ELSE {least} END", True


def _standardised(published: Published, rows: str, number: str) -> float | None:
    ((mean_base, mean, variance_base, variance),) = published.rows(
        f"SELECT {', '.join(f'{f}({number}::DOUBLE) FILTER (WHERE {g})' for f in ('avg', 'var_pop') for g in ('g.is_base', 'g.is_member'))}"
        f" FROM {rows}"
    )
    if mean_base is None or mean is None:
        return None
    spread = math.sqrt((variance_base + variance) / 2)
    return (mean - mean_base) / spread if spread else None


def _measures(
    tag: str,
    classes: list[ClassShare],
    shares: list[ClassShare],
    base_people: int,
    people: int,
    standardised: float | None,
) -> TagDistance:
    distance = sum(abs(c.segment - c.base) for c in classes) / 2
    drawn_share = (base_people - people) / max(base_people - 1, 1) if people < base_people else 0.0
    chance = (
        sum(
            math.sqrt(2 / math.pi * c.base * (1 - c.base) / people * drawn_share)
            for c in classes
            if 0 < c.base < 1
        )
        / 2
    )
    stability = 0.0
    for c in classes:
        p = (c.segment * people + 0.5) / (people + 0.5 * len(classes))
        q = (c.base * base_people + 0.5) / (base_people + 0.5 * len(classes))
        stability += (p - q) * math.log(p / q)
    return TagDistance(tag, distance, chance, stability, standardised, shares)


def _words(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _days(value: Any) -> str | None:
    return None if value is None else str(_EPOCH + timedelta(days=int(value)))


def draw_profile(profile: Profile, file: Path) -> None:
    """Draw the shares of the classes in base and segment, tag by tag (SVG)."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    distances = profile.tags
    columns = min(3, max(1, len(distances)))
    lines = max(1, -(-len(distances) // columns))
    with (
        mpl.rc_context({"svg.hashsalt": "profile", "svg.fonttype": "none", "font.size": 8}),
        warnings.catch_warnings(),
    ):
        # Words stay text in the file and are drawn by whoever shows it: that matplotlib has no Chinese font costs nothing.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        figure = Figure(figsize=(3.6 * columns, 2.6 * lines), layout="constrained")
        FigureCanvasSVG(figure)
        for place, distance in enumerate(distances):
            axes = figure.add_subplot(lines, columns, place + 1)
            names = [text("profile.no_value") if c.value is None else c.value for c in distance.classes]
            at = range(len(names))
            axes.barh(
                [y - 0.2 for y in at],
                [c.base for c in distance.classes],
                height=0.4,
                color="#bab0ac",
                label=text("profile.of_base"),
            )
            axes.barh(
                [y + 0.2 for y in at],
                [c.segment for c in distance.classes],
                height=0.4,
                color="#4c78a8",
                label=text("profile.of_segment"),
            )
            axes.set_yticks(list(at), names)
            axes.invert_yaxis()
            axes.set_title(f"{distance.tag}  {distance.distance:.2f}")
            if not place:
                axes.legend(frameon=False)
        figure.savefig(file, format="svg", metadata=PICTURE)
