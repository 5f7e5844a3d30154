"""A computation of micro-segments: how it is made from people, kept in ``segments.micro_fits``, and used to assign people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from segments.grouping.declaration import MicroSet
from segments.grouping.fitting import Centres, TooFewPeople, fit_centres, nearest
from segments.grouping.labels import first_labels, lasting_labels
from segments.grouping.people import MicroPeople
from segments.grouping.quality import adjusted_rand, silhouette
from segments.grouping.scaling import Scale, coordinates, scale_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

FITS = "segments.micro_fits"
_MONTHS = {"month": 1, "quarter": 3}
_RATIO = Decimal("0.000001")


class NothingToFit(Exception):
    """A set has nobody, or too few different people, to be computed from; its sentence says which."""


@dataclass(frozen=True)
class Centre:
    """One micro-segment: its number, people among those fitted, and where it is, in thousandths of a standard deviation."""

    label: int
    fitted_count: int
    coordinates: tuple[int, ...]


@dataclass(frozen=True)
class Labels:
    """The numbers that people had in a set, ordered by OneID."""

    one_ids: NDArray[np.int64]
    labels: NDArray[np.int64]

    def of(self, one_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the number of each of some people, 0 of whom it does not hold."""
        if not len(self.one_ids):
            return np.zeros(len(one_ids), dtype=np.int64)
        at = np.minimum(np.searchsorted(self.one_ids, one_ids), len(self.one_ids) - 1)
        return np.where(self.one_ids[at] == one_ids, self.labels[at], 0)


@dataclass(frozen=True)
class Fit:
    """One computation of a set; ``centres`` are ordered by their numbers."""

    code: str
    valid_from: date
    valid_to: date | None
    period_on: date
    definition_hash: str
    definition: str
    seed: int
    base_count: int
    refused_count: int
    unvalued_count: int
    fitted_count: int
    scales: tuple[Scale, ...]
    centres: tuple[Centre, ...]
    silhouette: Decimal | None
    stability: Decimal
    moved_ratio: Decimal | None = None

    @property
    def codes(self) -> list[str]:
        """The tags that tell people apart, in the order of the coordinates."""
        return [scale.tag for scale in self.scales]

    def labels_of(self, columns: list[NDArray[np.float64]]) -> NDArray[np.int64]:
        """Give the number of each person by values of tags, a column per scale; of equally near ones the smaller."""
        points = np.array([centre.coordinates for centre in self.centres], dtype=np.int64)
        labels = np.array([centre.label for centre in self.centres], dtype=np.int64)
        return labels[nearest(coordinates(columns, self.scales), points)]

    def row(self) -> dict[str, Any]:
        """Give the row of ``segments.micro_fits``."""
        values = dict(vars(self))
        values["scales"] = [vars(scale) for scale in self.scales]
        values["centres"] = [
            {**vars(centre), "coordinates": list(centre.coordinates)} for centre in self.centres
        ]
        return values


def fit_of(row: Mapping[str, Any]) -> Fit:
    """Give the computation that a row of ``segments.micro_fits`` holds."""
    scales = tuple(Scale(**scale) for scale in row["scales"])
    centres = tuple(
        Centre(one["label"], one["fitted_count"], tuple(one["coordinates"])) for one in row["centres"]
    )
    return Fit(**{**row, "scales": scales, "centres": centres})


def period_of(day: date, frozen: str) -> date:
    """Give the first day of the month or quarter of a day."""
    months = _MONTHS[frozen]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def compute_fit(
    one: MicroSet,
    people: MicroPeople,
    business_date: date,
    history: Iterable[Fit] = (),
    before: Labels | None = None,
) -> Fit:
    """Give the micro-segments of a set from the people of a night, numbered as the computations before it.

    ``history`` are all of them, ``before`` are the numbers that people had on the night before. Too few different people raise
    ``NothingToFit``. Tags of which everybody has one value are left out.
    """
    columns = people.sample(one.codes)
    fitted_count = len(columns[0])
    every = [
        scale_of(micro.tag, values, transform=micro.transform, clip=one.spec.clip)
        for micro, values in zip(one.spec.tags, columns, strict=True)
    ]
    telling = [at for at, scale in enumerate(every) if scale is not None and not scale.is_constant]
    if not telling:
        raise NothingToFit(f"{fitted_count} people do not differ in any of its tags")
    scales = tuple(scale for at in telling if (scale := every[at]) is not None)
    points = coordinates([columns[at] for at in telling], scales)
    try:
        result = fit_centres(points, one.spec.groups, one.spec.seed)
        other = fit_centres(points, one.spec.groups, one.spec.seed + 1)
    except TooFewPeople as few:
        raise NothingToFit(
            f"it asks for {one.spec.groups} groups, and {fitted_count} people have {few.different} different places"
        ) from None
    places = nearest(points, result.points)
    fit = Fit(
        one.code, business_date, None, period_of(business_date, one.spec.frozen), one.definition_hash, one.text,
        one.spec.seed, people.base_count, people.refused_count, people.unvalued_count, fitted_count, scales,
        _centres(result, first_labels(one.spec.groups)), silhouette(points, places),
        adjusted_rand(places, nearest(points, other.points)),
    )  # fmt: skip
    earlier = sorted(history, key=lambda one_fit: one_fit.valid_from)
    return _numbered(fit, result, people, earlier, before) if earlier else fit


def _centres(result: Centres, labels: list[int]) -> tuple[Centre, ...]:
    rows = zip(labels, result.sizes.tolist(), result.points.tolist(), strict=True)
    return tuple(sorted((Centre(*row[:2], tuple(row[2])) for row in rows), key=lambda centre: centre.label))


def _numbered(
    fit: Fit, result: Centres, people: MicroPeople, history: list[Fit], before: Labels | None
) -> Fit:
    """Give a computation with the numbers of the one before it, and the share of people whose number changes."""
    overlap: Counter[tuple[int, int]] = Counter()
    if before is not None:
        for one_ids, columns in people.batches(fit.codes):
            # The first numbers are the places of the centres, from 1.
            pairs = np.stack([before.of(one_ids), fit.labels_of(columns) - 1])
            different, counts = np.unique(pairs[:, pairs[0] > 0], axis=1, return_counts=True)
            overlap.update(dict(zip(map(tuple, different.T.tolist()), counts.tolist(), strict=True)))
    last_label = max(centre.label for one in history for centre in one.centres)
    in_use = [centre.label for centre in history[-1].centres]
    labels = lasting_labels(overlap, in_use, len(fit.centres), last_label)
    both = sum(overlap.values())
    stays = sum(count for (label, place), count in overlap.items() if labels[place] == label)
    ratio = (Decimal(both - stays) / Decimal(both)).quantize(_RATIO) if both else None
    return replace(fit, centres=_centres(result, labels), moved_ratio=ratio)


def assigned_rows(fit: Fit, people: MicroPeople, business_date: date) -> pa.Table:
    """Give the rows of ``segments.micro_segments`` of a set: everybody's nearest centre, ordered by OneID."""
    import pyarrow as pa

    parts = [(one_ids, fit.labels_of(columns)) for one_ids, columns in people.batches(fit.codes)]
    one_ids = np.concatenate([part[0] for part in parts]) if parts else np.empty(0, dtype=np.int64)
    labels = np.concatenate([part[1] for part in parts]) if parts else np.empty(0, dtype=np.int64)
    order = np.argsort(one_ids, kind="stable")
    count = len(order)
    return pa.table(
        {
            "code": pa.repeat(pa.scalar(fit.code), count),
            "as_of": pa.repeat(pa.scalar(business_date), count),
            "one_id": pa.array(one_ids[order]),
            "label": pa.array(labels[order].astype(np.int32)),
        }
    )
