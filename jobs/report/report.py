"""The static HTML report of a night: one file, pictures inside, nothing loaded from anywhere."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.query.published import Published, open_publication
from lakehouse.settings.settings import Settings
from lakehouse.texts import DEFAULT, reason_text, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEMPLATES = Path(__file__).resolve().parent / "templates"
FONT_SIZE = 9
LETTER_WIDTH = 0.075
"""Inches of a letter of that size, on the average of code names."""
INK, ACCENT, QUIET, WARN = "#22303c", "#2f6f8f", "#b8c7d1", "#c2553a"


@dataclass(frozen=True)
class ReportFacts:
    """What the report shows beside the night's summary, as rows of published tables (counts and shares only).

    ``refusals``: one row per feed, file and reason. ``refused_files``: one row per file refused as a whole. ``gates``: one row per bound. ``tag_names``: the catalogue's row
    by tag code. ``cluster_sizes``: one row per number of profiles of a person, 12 standing for 12 and more.
    ``left_out``: one row per segment and reason of suppression.
    """

    refusals: list[dict[str, Any]]
    gates: list[dict[str, Any]]
    tag_names: dict[str, dict[str, Any]]
    cluster_sizes: list[dict[str, Any]]
    refused_files: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)


def write_report(path: Path, settings: Settings, business_date: date, summary: dict[str, Any]) -> None:
    """Write the report of a published night; the file is there as a whole or not at all."""
    facts = read_facts(open_publication(settings), business_date)
    html = render_report(settings.workspace.name, business_date, summary, facts, language=settings.language)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".unfinished")
    draft.write_text(html, encoding="utf-8")
    draft.rename(path)


def read_facts(published: Published, business_date: date) -> ReportFacts:
    """Read from a publication what the report shows of it."""
    return ReportFacts(
        refusals=_refusals(published, business_date),
        refused_files=_refused_files(published, business_date),
        gates=_gates(published, business_date),
        tag_names=_tag_names(published),
        cluster_sizes=_cluster_sizes(published),
        left_out=_left_out(published, business_date),
    )


def render_report(
    workspace: str,
    business_date: date,
    summary: dict[str, Any],
    facts: ReportFacts,
    *,
    language: str = DEFAULT,
) -> str:
    """Give the report's HTML from the summary and the facts; no name, no identifier, no single person is in it."""
    feeds = summary["feeds"]
    context = {
        "language": language,
        "t": partial(text, language=language),
        "meaning": partial(reason_text, language=language),
        "colours": {"ink": INK, "accent": ACCENT, "quiet": QUIET, "warn": WARN},
        "business_date": business_date,
        "workspace": workspace,
        "summary": summary,
        "totals": {
            key: sum(feed.get(key, 0) for feed in feeds.values())
            for key in ("delivered", "accepted", "refused", "duplicates")
        },
        "refusals": facts.refusals,
        "refused_files": facts.refused_files,
        "gates": facts.gates,
        "left_out": facts.left_out,
        "tag_names": facts.tag_names,
        "pictures": {
            "feeds": _feeds_picture(feeds),
            "clusters": _clusters_picture(facts.cluster_sizes),
            "coverage": _coverage_picture(summary["tags"]),
            "segments": _segments_picture(summary["segments"]),
        },
    }
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html", "html.j2")),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(context)


def _rows(published: Published, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    result = published.sql(statement, list(parameters))
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _refusals(published: Published, business_date: date) -> list[dict[str, Any]]:
    """Give refused rows per feed, file and reason of this night."""
    return _rows(
        published,
        "SELECT feed, path AS file, reason, count(*) AS row_count FROM "
        "(SELECT feed, path, unnest(reasons) AS reason FROM quality.refused_rows WHERE arrived_on = ?) "
        "GROUP BY ALL ORDER BY row_count DESC, feed, file, reason LIMIT 30",
        business_date,
    )


def _refused_files(published: Published, business_date: date) -> list[dict[str, Any]]:
    """Give the files of this night that could not be used."""
    return _rows(
        published,
        "SELECT feed, path AS file, reason FROM landing.files WHERE arrived_on = ? AND status = 'refused' "
        "ORDER BY feed, file",
        business_date,
    )


def _left_out(published: Published, business_date: date) -> list[dict[str, Any]]:
    """Give the people left out per segment and reason of this night, by suppression or by contact policy."""
    tables = ("segments.suppressions", "segments.contact_losses")
    every = " UNION ALL ".join(
        f"SELECT code, reason, as_of FROM ({contracted_sql(published, published, table)})" for table in tables
    )
    return _rows(
        published,
        f"SELECT code, reason, count(*) AS people FROM ({every}) WHERE as_of = ? GROUP BY ALL ORDER BY ALL",
        business_date,
    )


def _gates(published: Published, business_date: date) -> list[dict[str, Any]]:
    """Give the bounds of this night, broken ones first."""
    return _rows(
        published,
        "SELECT gate, table_name, measure, value, low, high, severity, is_passed, why FROM quality.gate_results "
        "WHERE business_date = ? ORDER BY is_passed, severity, gate, table_name, measure",
        business_date,
    )


def _tag_names(published: Published) -> dict[str, dict[str, Any]]:
    rows = _rows(published, "SELECT * FROM tags.catalogue ORDER BY 1")
    return {row["code"]: row for row in rows if "code" in row}


def _cluster_sizes(published: Published) -> list[dict[str, Any]]:
    return _rows(
        published,
        "SELECT least(profile_count, 12) AS size, count(*) AS one_id_count FROM (SELECT one_id, count(*) AS profile_count "
        "FROM identity.memberships WHERE valid_to IS NULL GROUP BY one_id) GROUP BY ALL ORDER BY 1",
    )


def _picture(width: float, height: float, labels: Iterable[str] = ()) -> tuple[Figure, Axes]:
    """Give an empty picture of so many inches with room for the labels of bars at its left.

    The room is reckoned from the lengths of the labels: to fit it to what is drawn, a picture would be drawn twice.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "report"
    matplotlib.rcParams["font.size"] = FONT_SIZE
    matplotlib.rcParams["text.parse_math"] = False
    figure = Figure(figsize=(width, height))
    room = 0.35 + max((len(label) for label in labels), default=3) * LETTER_WIDTH
    axes = figure.subplots(
        gridspec_kw={
            "left": min(room / width, 0.7), "right": 1 - 0.2 / width, "top": 1 - 0.15 / height,
            "bottom": 0.3 / height,
        }
    )  # fmt: skip
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK)
    return figure, axes


def _svg(figure: Figure) -> Markup:
    """Give a picture as SVG; matplotlib draws text as shapes and escapes what it keeps as text.

    Words of a language stand below a picture and not in it: the fonts of matplotlib have no Chinese.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    picture = io.StringIO()
    FigureCanvasSVG(figure).print_svg(picture, metadata={"Date": None})
    return Markup(picture.getvalue()[picture.getvalue().index("<svg") :])


def _feeds_picture(feeds: dict[str, dict[str, int]]) -> Markup:
    """Rows accepted, duplicate and refused per feed; the scale is logarithmic, since a feed has 5 or 500,000 rows."""
    names = sorted(feeds, key=lambda name: feeds[name]["delivered"])
    figure, axes = _picture(7.5, 0.26 * len(names) + 0.9, names)
    height = 0.26
    for offset, (key, colour) in enumerate((("accepted", ACCENT), ("duplicates", QUIET), ("refused", WARN))):
        places = [at + (1 - offset) * height for at in range(len(names))]
        axes.barh(places, [feeds[name][key] for name in names], height=height, color=colour)
    axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_yticks(range(len(names)), names)
    return _svg(figure)


def _clusters_picture(rows: list[dict[str, Any]]) -> Markup:
    """How many OneIDs hold 1, 2, 3 … profiles."""
    figure, axes = _picture(7.5, 2.6)
    labels = ["12+" if row["size"] == 12 else str(row["size"]) for row in rows]
    bars = axes.bar(labels, [row["one_id_count"] for row in rows], color=ACCENT)
    axes.bar_label(bars, fmt="{:,.0f}", color=INK, fontsize=8)
    return _svg(figure)


def _coverage_picture(tags: dict[str, dict[str, float]]) -> Markup:
    """Share of people with a value, per tag."""
    names = sorted(tags, key=lambda code: (tags[code]["coverage"] or 0, code))
    figure, axes = _picture(7.5, 0.2 * len(names) + 0.8, names)
    axes.barh(names, [tags[code]["coverage"] or 0 for code in names], color=ACCENT)
    axes.margins(y=0.01)
    axes.set_xlim(0, 1)
    return _svg(figure)


def _segments_picture(segments: dict[str, dict[str, int]]) -> Markup:
    """From candidates to published, per segment."""
    names = sorted(segments, reverse=True)
    figure, axes = _picture(7.5, 0.62 * len(names) + 0.9, names)
    axes.margins(x=0.1)
    height = 0.26
    stages = (("candidates", QUIET), ("eligible", ACCENT), ("published", INK))
    for offset, (stage, colour) in enumerate(stages):
        counts = []
        for name in names:
            numbers = segments[name]
            counts.append(
                numbers["candidates"] - numbers["suppressed"] if stage == "eligible" else numbers[stage]
            )
        places = [at + (1 - offset) * height for at in range(len(names))]
        bars = axes.barh(places, counts, height=height, color=colour)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=3, color=INK)
    axes.set_yticks(range(len(names)), names)
    return _svg(figure)
