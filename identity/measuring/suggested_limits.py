"""Suggested limits: how many records carry one value, per namespace, and where the tail begins. Nothing is set."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from identity.rules.rules import Rules
from lakehouse.settings.written_files import PICTURE

if TYPE_CHECKING:
    from lakehouse.query.published import Published

# So many of a namespace's values lie at or below the suggested limit: people share a value two or three times,
# switchboards and agents do hundreds of times, and there are few of them.
_COVERED = 0.999


@dataclass(frozen=True)
class SuggestedLimits:
    """One namespace: values in use, how many records carry one, the limits in force and the suggested ones.

    ``by_source`` counts records of one source (``fan_out``), ``by_all`` those of all sources (``carriers``); each is a
    histogram from number of records to number of values. ``above_*`` are values beyond the suggestion.
    """

    namespace: str
    values: int
    people_most: int
    fan_out: int | None
    fan_out_suggested: int
    above_fan_out: int
    carriers: int | None
    carriers_suggested: int
    above_carriers: int
    by_source: dict[int, int]
    by_all: dict[int, int]

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values, for JSON."""
        return asdict(self)


COLUMNS = tuple(field.name for field in fields(SuggestedLimits))


def suggest_limits(published: Published, rules: Rules) -> list[SuggestedLimits]:
    """Give a suggestion per namespace that joins, from the open links of a publication; blocked values are left out."""
    rows = published.sql(
        """
        WITH carried AS (
          SELECT l.namespace, l.identifier_id, l.source, l.profile_id, m.one_id FROM identity.links l
          JOIN identity.memberships m ON m.profile_id = l.profile_id AND m.valid_to IS NULL
          LEFT JOIN identity.node_states s ON s.node_id = l.identifier_id AND s.valid_to IS NULL AND s.state = 'blocked'
          WHERE l.valid_to IS NULL AND s.node_id IS NULL
        ), by_source AS (
          SELECT namespace, identifier_id, source, count(*) AS n FROM carried GROUP BY ALL
        ), most AS (
          SELECT namespace, identifier_id, max(n) AS of_source, sum(n) AS of_all FROM by_source GROUP BY ALL
        ), people AS (
          SELECT identifier_id, count(DISTINCT one_id) AS people FROM carried GROUP BY identifier_id
        )
        SELECT namespace, of_source::BIGINT, of_all::BIGINT, count(*) AS n, max(people) AS people
        FROM most JOIN people USING (identifier_id) GROUP BY namespace, of_source, of_all ORDER BY ALL
        """
    ).fetchall()
    limits = []
    for namespace in sorted({row[0] for row in rows}):
        rule = rules.rule(namespace)
        if rule is None or rule.tier is None:
            continue
        mine = [row for row in rows if row[0] == namespace]
        by_source, by_all = _histogram(mine, 1), _histogram(mine, 2)
        fan_out, carriers = _suggestion(by_source), _suggestion(by_all)
        limits.append(
            SuggestedLimits(
                namespace=namespace,
                values=sum(by_all.values()),
                people_most=max(row[4] for row in mine),
                fan_out=rule.fan_out,
                fan_out_suggested=fan_out,
                above_fan_out=sum(n for records, n in by_source.items() if records > fan_out),
                carriers=rule.carriers,
                carriers_suggested=carriers,
                above_carriers=sum(n for records, n in by_all.items() if records > carriers),
                by_source=by_source,
                by_all=by_all,
            )
        )
    return limits


def _histogram(rows: list[tuple[Any, ...]], place: int) -> dict[int, int]:
    counts: dict[int, int] = {}
    for row in rows:
        counts[int(row[place])] = counts.get(int(row[place]), 0) + int(row[3])
    return dict(sorted(counts.items()))


def _suggestion(histogram: dict[int, int]) -> int:
    """Give the smallest number of records that covers nearly all values, at least 2."""
    records = np.array(list(histogram), dtype=np.int64)
    covered = np.cumsum(np.array(list(histogram.values()), dtype=np.float64))
    at = int(np.searchsorted(covered, _COVERED * covered[-1]))
    return max(2, int(records[min(at, len(records) - 1)]))


def describe_limits(limits: list[SuggestedLimits]) -> list[str]:
    """Give the lines a terminal shows."""
    head = (
        "namespace",
        "values",
        "most records",
        "most people",
        "fan_out",
        "suggested",
        "above",
        "carriers",
        "suggested",
        "above",
    )
    body = [
        (c.namespace, c.values, max(c.by_all), c.people_most, _or_dash(c.fan_out), c.fan_out_suggested, c.above_fan_out,
         _or_dash(c.carriers), c.carriers_suggested, c.above_carriers)
        for c in limits
    ]  # fmt: skip
    rows = [tuple(str(cell) for cell in row) for row in (head, *body)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    return [
        "  ".join(cell.ljust(w) if not place else cell.rjust(w) for place, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]  # fmt: skip


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)


def draw_limits(limits: list[SuggestedLimits], file: Path) -> None:
    """Draw per namespace how many values so many records carry, with the limit in force and the suggested one (SVG)."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    columns = min(3, max(1, len(limits)))
    lines = max(1, -(-len(limits) // columns))
    with mpl.rc_context({"svg.hashsalt": "caps", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(3.4 * columns, 2.4 * lines), layout="constrained")
        FigureCanvasSVG(figure)
        for place, limit in enumerate(limits):
            axes = figure.add_subplot(lines, columns, place + 1)
            axes.bar(list(limit.by_all), list(limit.by_all.values()), width=0.8, color="#4c78a8")
            axes.set_yscale("symlog")
            axes.set_title(limit.namespace)
            axes.axvline(
                limit.carriers_suggested + 0.5, color="#f58518", label=f"suggested {limit.carriers_suggested}"
            )
            if limit.carriers is not None:
                axes.axvline(
                    limit.carriers + 0.5, color="#e45756", linestyle="--", label=f"in force {limit.carriers}"
                )
            axes.set_xlim(0.5, max(max(limit.by_all), limit.carriers_suggested) + 1.5)
            axes.legend(frameon=False)
            axes.set_xlabel("records that carry one value")
            axes.set_ylabel("values")
        figure.savefig(file, format="svg", metadata=PICTURE)
