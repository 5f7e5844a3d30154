"""What earlier nights say of a tag: the nights it is held against, and how far it moved on nights like this one.

A tag's history are the published nights of the same version. It is held against the median of its newest nights of the
month, on the first night of a month against those of the month before: many tags begin anew with a month.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import median
from typing import TYPE_CHECKING, Any

from lakehouse.contracts.reading import contract
from lakehouse.query.words import literal
from tags.quality.measures import OTHER

if TYPE_CHECKING:
    from lakehouse.query.desk import Desk, Relation
    from vocabulary.registry import Entry

QUALITY = "quality.tag_quality"
# Nights whose median is the baseline, and nights among which the highest figures are looked for.
BASELINE_NIGHTS = 7
KNOWN_NIGHTS = 31
# What lies longer back is no baseline.
BASELINE_DAYS = 62
# A bin of a number holds at least this share of the baseline, one of a category this.
NUMBER_SHARE = 0.1
CATEGORY_SHARE = 0.02

_NIGHTS = """
SELECT *, row_number() OVER (PARTITION BY tag, version, date_trunc('month', as_of) ORDER BY as_of) = 1 AS is_turn,
    row_number() OVER (PARTITION BY tag, version ORDER BY as_of DESC) AS age,
    date_trunc('month', as_of) = date_trunc('month', {day}) AS is_of_month
FROM {rows} WHERE as_of < {day} AND version IS NOT NULL
"""


@dataclass(frozen=True)
class TagHistory:
    """What the nights before say of one tag; counts are medians over the ``baseline`` nights, in people, ``coverage`` that of the shares."""

    nights: int
    baseline: int
    is_turn: bool
    filled: float
    coverage: float | None
    present: float
    mean: float | None
    quantiles: tuple[float, ...] | None
    shares: Mapping[str, float] | None
    psi_before: float | None
    changed_before: float | None


def quality_rows(desk: Desk) -> Relation:
    """Give the rows of ``quality.tag_quality`` with all its columns: those that older nights did not write are null."""
    empty = desk.lend("columns of tag quality", contract(QUALITY).arrow_schema().empty_table())
    return desk.define("tag quality", f"SELECT * FROM {QUALITY} UNION ALL BY NAME SELECT * FROM {empty}")


def read_history(desk: Desk, business_date: dt.date) -> dict[tuple[str, str], TagHistory]:
    """Give the history of each tag by code and version, from the newest ``quality.tag_quality``."""
    rows = quality_rows(desk)
    nights = desk.define("nights of tags", _NIGHTS.format(rows=rows, day=literal(business_date)))
    highest = {
        (row["tag"], row["version"]): row
        for row in desk.records(
            f"""
            SELECT tag, version, count(*) AS nights, bool_or(is_of_month) AS is_of_month,
                max(CASE WHEN NOT is_turn AND age <= {KNOWN_NIGHTS} THEN psi END) AS psi,
                max(CASE WHEN NOT is_turn AND age <= {KNOWN_NIGHTS} THEN changed_ratio END)::DOUBLE AS changed,
                max(CASE WHEN is_turn THEN psi END) AS psi_of_turns,
                max(CASE WHEN is_turn THEN changed_ratio END)::DOUBLE AS changed_of_turns
            FROM {nights} GROUP BY tag, version
            """
        )
    }
    first = business_date - dt.timedelta(days=BASELINE_DAYS)
    baselines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in desk.records(
        f"""
        WITH nights AS (
            SELECT *, date_trunc('month', as_of) = date_trunc('month', {literal(business_date)}) AS is_of_month
            FROM {rows}
            WHERE as_of >= {literal(first)} AND as_of < {literal(business_date)} AND version IS NOT NULL
        ), ranks AS (
            SELECT *, row_number() OVER (PARTITION BY tag, version ORDER BY is_of_month DESC, as_of DESC) AS rank,
                bool_or(is_of_month) OVER (PARTITION BY tag, version) AS has_month
            FROM nights
        )
        SELECT tag, version, filled_count, coverage_ratio::DOUBLE AS coverage, value_count, total::DOUBLE AS total, quantiles, bins FROM ranks
        WHERE rank <= {BASELINE_NIGHTS} AND (is_of_month OR NOT has_month)
        """
    ):
        baselines.setdefault((row["tag"], row["version"]), []).append(row)
    return {key: _history(highest[key], nights_of_tag) for key, nights_of_tag in baselines.items()}


def _history(figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> TagHistory:
    is_turn = not figures["is_of_month"]
    means = [
        row["total"] / row["value_count"] for row in rows if row["total"] is not None and row["value_count"]
    ]
    quantiles = [row["quantiles"] for row in rows if row["quantiles"]]
    coverages = [row["coverage"] for row in rows if row["coverage"] is not None]
    return TagHistory(
        nights=figures["nights"],
        baseline=len(rows),
        is_turn=is_turn,
        filled=median(row["filled_count"] for row in rows),
        coverage=median(coverages) if coverages else None,
        present=median(row["value_count"] or 0 for row in rows),
        mean=median(means) if means else None,
        quantiles=tuple(median(each) for each in zip(*quantiles, strict=True)) if quantiles else None,
        shares=_median_shares([row["bins"] for row in rows if row["bins"]]),
        psi_before=figures["psi_of_turns" if is_turn else "psi"],
        changed_before=figures["changed_of_turns" if is_turn else "changed"],
    )


def _median_shares(nights: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, float] | None:
    """Give the median share of each bin over nights, all of them together 1."""
    shares: list[dict[str, float]] = []
    for bins in nights:
        people = sum(one["people"] for one in bins)
        shares.append({one["bin"]: one["people"] / people for one in bins} if people else {})
    names = {name for each in shares for name in each}
    middle = {name: median(each.get(name, 0.0) for each in shares) for name in names}
    whole = sum(middle.values())
    return {name: share / whole for name, share in middle.items()} if whole else None


def stability_index(
    entry: Entry, bins: Sequence[Mapping[str, Any]], shares: Mapping[str, float], people_before: float
) -> float:
    """Give the population stability index of a distribution against baseline shares: Σ (p − q) ln(p / q).

    Neighbouring bins of a number are taken together up to a tenth of the baseline, rare categories as one, so that single
    people do not decide. Half a person stands in an empty bin.
    """
    counts = {one["bin"]: one["people"] for one in bins}
    groups = _number_groups(shares, counts) if _is_number(entry) else _category_groups(shares, counts)
    people = sum(counts.values())
    index = 0.0
    for names in groups:
        now = (sum(counts.get(name, 0) for name in names) + 0.5) / (people + 0.5 * len(groups))
        before = (sum(shares.get(name, 0.0) for name in names) * people_before + 0.5) / (
            people_before + 0.5 * len(groups)
        )
        index += (now - before) * log(now / before)
    return index


def _is_number(entry: Entry) -> bool:
    return entry.value.cardinality == "single" and entry.value.type not in ("string", "boolean")


def _number_groups(shares: Mapping[str, float], counts: Mapping[str, int]) -> list[list[str]]:
    groups: list[list[str]] = []
    share = NUMBER_SHARE
    for name in sorted({*shares, *counts} - {OTHER}, key=int):
        if share >= NUMBER_SHARE:
            groups.append([])
            share = 0.0
        groups[-1].append(name)
        share += shares.get(name, 0.0)
    return [*groups, [OTHER]]


def _category_groups(shares: Mapping[str, float], counts: Mapping[str, int]) -> list[list[str]]:
    frequent = sorted(name for name, share in shares.items() if share >= CATEGORY_SHARE and name != OTHER)
    return [*([name] for name in frequent), sorted({*shares, *counts} - set(frequent))]
