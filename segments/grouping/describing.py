"""What a set of micro-segments looks like on a publication: how large they are, in what they differ, how good they are. No JVM.

Where the newest night computed them by the same declaration, these are shown; else they are computed here, numbered as a night would
number them. Writes nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.errors import UsageError
from lakehouse.query.published import Published, open_publication
from lakehouse.query.words import literal
from lakehouse.settings.written_files import PICTURE
from segments.choosing.compile import TAG_TABLE, LeafTable, Leaves
from segments.choosing.leaf_tables import leaves_by_duckdb
from segments.explaining.profile import TagDistance, distances_by_label, may_be_shown
from segments.grouping.declaration import MicroSet, findings_of, micro_set_of, site_of
from segments.grouping.fits import FITS, Fit, NothingToFit, assigned_rows, compute_fit, fit_of
from segments.grouping.night import labels_before
from segments.grouping.people import MicroPeople, find_people
from segments.grouping.scaling import UNIT
from segments.language.checks.findings import Surroundings, refuse_findings
from segments.language.leaves.micro_segments import TABLE
from segments.language.lists import StaticList

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from lakehouse.query.desk import Relation
    from lakehouse.settings.settings import Settings

# The values of fewer people are nobody's business.
FEWEST_PEOPLE = 10
# From so many standard deviations on a cell of the picture is dark.
_DARK = 1.4


@dataclass(frozen=True)
class MicroSegment:
    """One micro-segment; without tags where it has fewer than ten people."""

    label: int
    name: str | None
    people: int
    ratio: float
    """Its share of the people who are in one."""
    tags: list[TagDistance]
    """The tags in which it differs most from all, beyond chance, first those that differ most."""
    deviations: dict[str, float]
    """By tag of the set, where its centre is: standard deviations from the mean, after the transform."""


@dataclass(frozen=True)
class MicroProfile:
    """A set of micro-segments on one publication."""

    code: str
    name: str
    business_date: date
    is_published: bool
    """Whether a night computed them; else they were computed from the publication now."""
    computed_on: date
    frozen: str
    base_count: int
    refused_count: int
    unvalued_count: int
    people: int
    seed: int
    silhouette: Decimal | None
    stability: Decimal
    moved_ratio: Decimal | None
    constant_tags: list[str]
    """Tags of the set in which nobody differs, which were left out."""
    differing_people: int
    """People whose micro-segment, computed again, is not the one that was published; 0 where all is sound."""
    micro_segments: list[MicroSegment]

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return asdict(self)


def describe(
    settings: Settings,
    surroundings: Surroundings,
    name: str,
    business_date: date | None = None,
    *,
    most: int = 5,
) -> MicroProfile:
    """Give the profile of a set by its code, or of a file anywhere; of each micro-segment the ``most`` tags that differ most.

    A faulty declaration raises ``SettingsInvalid``; one without enough different people ``UsageError``.
    """
    one = micro_set_of(settings.workspace, name)
    refuse_findings(findings_of(one, site_of(settings, surroundings)))
    with open_publication(settings, business_date) as published:
        day = published.publication.business_date

        def make_leaves(table: LeafTable, lists: dict[str, StaticList]) -> Leaves:
            return leaves_by_duckdb(published, published, table, lists, day)

        people = find_people(published, published, [one], day, make_leaves)[one.code]
        history = _published_fits(published, one.code)
        current = next((fit for fit in history if fit.valid_to is None), None)
        fit = current if current is not None and current.definition_hash == one.definition_hash else None
        is_published = fit is not None
        if fit is None:
            before = (
                labels_before(published, published, one.code, day + timedelta(days=1)) if history else None
            )
            try:
                fit = compute_fit(one, people, day, history, before)
            except NothingToFit as reason:
                raise UsageError(f"micro-segments {one.code}: {reason}") from None
        rows = assigned_rows(fit, people, day)
        labels, differing_people = published.take("labels", rows), 0
        if is_published:
            labels, differing_people = _published_labels(published, one.code, day, labels)
        return _profile(
            published, surroundings, one, people, fit, labels, is_published, differing_people, most
        )


def _published_fits(published: Published, code: str) -> list[Fit]:
    table = published.define("fits", contracted_sql(published, published, FITS))
    rows: pa.Table = published.arrow(
        f"SELECT * FROM {table} WHERE code = {literal(code)} ORDER BY valid_from"
    )
    return [fit_of(row) for row in rows.to_pylist()]


def _published_labels(
    published: Published, code: str, day: date, labels_by_centres: Relation
) -> tuple[Relation, int]:
    """Give who is published in which micro-segment, and how many people are in another one by the centres."""
    table = published.define("micro-segments", contracted_sql(published, published, TABLE))
    labels = published.keep(
        "published labels",
        f"SELECT one_id, label FROM {table} WHERE code = {literal(code)} AND as_of = {literal(day)}",
    )
    count = published.value(
        f"SELECT count(*) FROM {labels} p FULL JOIN {labels_by_centres} c USING (one_id) WHERE p.label IS DISTINCT FROM c.label"
    )
    return labels, int(count)


def _profile(
    published: Published,
    surroundings: Surroundings,
    one: MicroSet,
    people: MicroPeople,
    fit: Fit,
    labels: Relation,
    is_published: bool,
    differing_people: int,
    most: int,
) -> MicroProfile:
    groups = published.keep("groups", f"SELECT one_id, label, true AS is_base FROM {labels}")
    sizes: dict[int, int] = dict(
        published.rows(f"SELECT label, count(*) FROM {groups} GROUP BY label ORDER BY label")
    )
    present = {field.name for field in published.delta(TAG_TABLE).schema().fields}
    distances: dict[int, list[TagDistance]] = {label: [] for label in sizes}
    for code, fact in sorted(surroundings.tags.items()):
        if code in present and may_be_shown(fact, one.segment):
            for label, distance in distances_by_label(published, fact, groups, sizes).items():
                distances[label].append(distance)
    language = published.settings.language
    everybody = sum(sizes.values())
    return MicroProfile(
        code=one.code,
        name=getattr(one.spec.name, language),
        business_date=published.publication.business_date,
        is_published=is_published,
        computed_on=fit.valid_from,
        frozen=one.spec.frozen,
        base_count=people.base_count,
        refused_count=people.refused_count,
        unvalued_count=people.unvalued_count,
        people=everybody,
        seed=fit.seed,
        silhouette=fit.silhouette,
        stability=fit.stability,
        moved_ratio=fit.moved_ratio,
        constant_tags=[tag for tag in one.codes if tag not in fit.codes],
        differing_people=differing_people,
        micro_segments=[
            _micro_segment(one, fit, centre.label, sizes.get(centre.label, 0), everybody, distances, most, language)
            for centre in fit.centres
        ],
    )  # fmt: skip


def _micro_segment(
    one: MicroSet,
    fit: Fit,
    label: int,
    people: int,
    everybody: int,
    distances: dict[int, list[TagDistance]],
    most: int,
    language: str,
) -> MicroSegment:
    tags: list[TagDistance] = []
    deviations: dict[str, float] = {}
    if people >= FEWEST_PEOPLE:
        differing = [distance for distance in distances[label] if distance.distance > distance.chance]
        tags = sorted(differing, key=lambda d: (d.chance - d.distance, d.tag))[:most]
        centre = next(centre for centre in fit.centres if centre.label == label)
        deviations = {tag: at / UNIT for tag, at in zip(fit.codes, centre.coordinates, strict=True)}
    return MicroSegment(label, one.name_of(label, language), people, people / everybody, tags, deviations)


def draw_micro_segments(profile: MicroProfile, file: Path) -> None:
    """Draw where the centres of the micro-segments are, a row each and a column per tag of the set (SVG).

    Micro-segments of fewer than ten people are left out.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = [one for one in profile.micro_segments if one.deviations]
    tags = list(rows[0].deviations) if rows else []
    table = np.array([[one.deviations[tag] for tag in tags] for one in rows]).reshape(len(rows), len(tags))
    with (
        mpl.rc_context({"svg.hashsalt": "micro-segments", "svg.fonttype": "none", "font.size": 8}),
        warnings.catch_warnings(),
    ):
        # Words stay text in the file: that matplotlib has no Chinese font costs nothing.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        figure = Figure(figsize=(2 + 0.9 * len(tags), 1.6 + 0.4 * len(rows)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.imshow(table, cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto")
        axes.set_xticks(range(len(tags)), tags, rotation=45, ha="right")
        titles = [f"{one.label} {one.name or ''}".strip() + f" ({one.ratio:.0%})" for one in rows]
        axes.set_yticks(range(len(rows)), titles)
        for at, one in enumerate(rows):
            for column, tag in enumerate(tags):
                deviation = one.deviations[tag]
                ink = "white" if abs(deviation) > _DARK else "black"
                axes.text(column, at, f"{deviation:+.1f}", ha="center", va="center", color=ink)
        axes.set_title(profile.code)
        figure.savefig(file, format="svg", metadata=PICTURE)
