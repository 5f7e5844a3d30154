"""The picture of a tag: how its values are distributed on the newest publication, and how well it was filled night by night (SVG)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.query.words import identifier, literal
from lakehouse.settings.written_files import PICTURE
from lakehouse.texts import text

if TYPE_CHECKING:
    from lakehouse.query.published import Published
    from lakehouse.settings.settings import Settings
    from vocabulary.registry import Entry

QUALITY = "quality.tag_quality"
MOST_BARS = 12
# A bar of fewer people would tell of single ones.
LEAST_PEOPLE = 10
NIGHTS = 400
# Those of the quantiles of quality.tag_quality.
SHARES = ("1 %", "5 %", "25 %", "50 %", "75 %", "95 %", "99 %")
_ACCENT, _QUIET = "#4c78a8", "#bab0ac"


@dataclass(frozen=True)
class TagPicture:
    """What is drawn: people by value or range of values, and by business date the share of people with a value.

    ``quantiles`` of a number are as ``quality.tag_quality`` has them, by share; None where it has none.
    """

    code: str
    business_date: date
    bars: tuple[tuple[str, int], ...]
    trend: tuple[tuple[date, float], ...]
    quantiles: dict[str, float] | None = None


def read_picture(settings: Settings, entry: Entry) -> TagPicture:
    """Read it from the newest publication.

    Values of fewer than ten people are one bar. ``UsageError`` where the tag was not computed, or may only exclude and is never shown.
    """
    from lakehouse.errors import UsageError
    from lakehouse.query.published import open_publication
    from vocabulary.tag_facts import tag_facts

    if tag_facts(entry.model_dump(by_alias=True)).is_restricted:
        raise UsageError(
            f"the tag '{entry.code}' may only exclude and is never shown, so there is no picture of it"
        )
    with open_publication(settings) as published:
        day = published.publication.business_date
        columns = (
            {field.name for field in published.delta(entry.about.current).schema().fields}
            if published.exists(entry.about.current)
            else set()
        )
        if entry.code not in columns:
            raise UsageError(
                f"the tag '{entry.code}' was not computed on {day}, so there is no picture of it"
            )
        trend, quantiles = [], None
        if published.exists(QUALITY):
            is_number = entry.value.type in ("int", "decimal", "ratio")
            of_day = published.rows(
                f"SELECT quantiles FROM {QUALITY} WHERE tag = ? AND as_of = {literal(day)} AND quantiles IS NOT NULL",
                [entry.code],
            )
            quantiles = dict(zip(SHARES, of_day[0][0], strict=True)) if of_day and is_number else None
            trend = published.rows(
                f"SELECT as_of, coverage_ratio::DOUBLE FROM {QUALITY} WHERE tag = ? AND coverage_ratio IS NOT NULL "
                f"AND as_of > {literal(day)} - INTERVAL {NIGHTS} DAY ORDER BY as_of",
                [entry.code],
            )
        return TagPicture(entry.code, day, tuple(_bars(published, entry)), tuple(trend), quantiles)


def _bars(published: Published, entry: Entry) -> list[tuple[str, int]]:
    """Give people by value, the most frequent first, or by range of values in their order; those without one are last."""
    column, wide = identifier(entry.code), entry.about.current
    if entry.value.cardinality == "set":
        values = f"SELECT unnest(CASE WHEN len({column}) > 0 THEN {column} ELSE [NULL] END) AS v FROM {wide}"
    else:
        values = f"SELECT {column} AS v FROM {wide}"
    is_ordered = entry.value.cardinality == "single" and entry.value.type in (
        "int",
        "decimal",
        "ratio",
        "date",
    )
    ((distinct,),) = published.rows(f"SELECT count(DISTINCT v) FROM ({values})")
    if is_ordered and distinct > MOST_BARS:
        rows = published.rows(
            f"SELECT min(v)::VARCHAR, max(v)::VARCHAR, count(*) FROM "
            f"(SELECT v, ntile(10) OVER (ORDER BY v) AS part FROM ({values}) WHERE v IS NOT NULL) GROUP BY part ORDER BY part"
        )
        bars = [(low if low == high else f"{low} … {high}", people) for low, high, people in rows]
        if any(people < LEAST_PEOPLE for _, people in bars):
            bars = [(text("picture.any"), sum(people for _, people in bars))]
    else:
        order = "v" if is_ordered else "people DESC, v"
        rows = published.rows(
            f"SELECT v::VARCHAR, count(*) AS people FROM ({values}) WHERE v IS NOT NULL GROUP BY v ORDER BY {order}"
        )
        bars = [(value, people) for value, people in rows if people >= LEAST_PEOPLE][:MOST_BARS]
        others = sum(people for _, people in rows) - sum(people for _, people in bars)
        bars += [(text("picture.other"), others)] if others else []
    ((nulls,),) = published.rows(f"SELECT count(*) FROM ({values}) WHERE v IS NULL")
    return [*bars, (text("profile.no_value"), nulls)]


def draw_picture(picture: TagPicture, file: Path) -> None:
    """Draw it as SVG; the same picture gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with (
        mpl.rc_context({"svg.hashsalt": "tag", "svg.fonttype": "none", "font.size": 8}),
        warnings.catch_warnings(),
    ):
        # Words stay text in the file and are drawn by whoever shows it: that matplotlib has no Chinese font costs nothing.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        figure = Figure(figsize=(9, 1.2 + 0.28 * max(8, len(picture.bars))), layout="constrained")
        FigureCanvasSVG(figure)
        bars, trend = figure.subplots(1, 2)
        names = [name for name, _ in picture.bars]
        places = range(len(names))
        colours = [_ACCENT] * (len(names) - 1) + [_QUIET]
        drawing = bars.barh(list(places), [people for _, people in picture.bars], color=colours)
        bars.bar_label(drawing, labels=[f"{people:,}" for _, people in picture.bars], padding=2)
        bars.set_yticks(list(places), [name.replace("$", r"\$") for name in names])
        bars.invert_yaxis()
        bars.margins(x=0.15)
        bars.set_title(text("picture.people", code=picture.code, day=picture.business_date))
        trend.plot([day for day, _ in picture.trend], [100 * share for _, share in picture.trend], marker=".", color=_ACCENT)  # fmt: skip
        trend.set_xticks([day for day, _ in picture.trend][:: max(1, len(picture.trend) // 6)])
        trend.tick_params(axis="x", labelrotation=30)
        trend.set_ylim(0, 105)
        trend.set_title(text("picture.trend"))
        figure.savefig(file, format="svg", metadata=PICTURE)
