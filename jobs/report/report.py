"""The static HTML report of a night: one file, pictures inside, nothing loaded from anywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape

from lakehouse.contracts.contracted import contracted_sql
from lakehouse.query.published import Published, open_publication
from lakehouse.settings.settings import Settings
from lakehouse.texts import DEFAULT, reason_text, text

TEMPLATES = Path(__file__).resolve().parent / "templates"
COLOURS = {"ink": "#22303c", "accent": "#2f6f8f", "quiet": "#b8c7d1", "warn": "#c2553a"}
# Tags that the picture of drift shows, those whose distributions are drawn, and the bins of each.
MOST_DRIFT = 20
MOST_DISTRIBUTIONS = 6
MOST_BINS = 14
PSI_LOOK, PSI_STOP = 0.1, 0.25
NUMBER_TYPES = ("int", "decimal", "ratio", "date")


@dataclass(frozen=True)
class ReportFacts:
    """What the report shows beside the night's summary, as rows of published tables (counts and shares only).

    ``refusals``: one row per feed, file and reason. ``refused_files``: one row per file refused as a whole. ``gates``: one row per bound. ``tag_names``: the catalogue's row
    by tag code. ``cluster_sizes``: one row per number of profiles of a person, 12 standing for 12 and more.
    ``left_out``: one row per segment and reason of suppression. ``drift``: one row per tag, what its values are like now and were
    on the night before. ``expectations``: one row per expectation of the site.
    """

    refusals: list[dict[str, Any]]
    gates: list[dict[str, Any]]
    tag_names: dict[str, dict[str, Any]]
    cluster_sizes: list[dict[str, Any]]
    refused_files: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    expectations: list[dict[str, Any]] = field(default_factory=list)


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
        drift=_drift(published, business_date),
        expectations=_expectations(published, business_date),
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
        "colours": COLOURS,
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
        "off": _tags_off(facts.tag_names),
        "late": [
            row
            for row in facts.drift
            if row["value_on"] and row["value_on"] < business_date and row["late_days"]
        ],
        "expectations": facts.expectations,
        "distributions": _distributions(facts.drift, facts.tag_names, language),
        "pictures": {
            "feeds": _feed_bars(feeds),
            "clusters": _cluster_bars(facts.cluster_sizes),
            "coverage": _coverage_bars(summary["tags"], facts.tag_names, language),
            "drift": _drift_bars(facts.drift, facts.tag_names, language),
            "segments": _segment_bars(summary["segments"]),
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
    return published.records(statement, list(parameters))


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


def _drift(published: Published, business_date: date) -> list[dict[str, Any]]:
    """Give of each tag its figures of this night and its distribution of the night before."""
    table = contracted_sql(published, published, "quality.tag_quality")
    return _rows(
        published,
        f"SELECT now.tag, now.psi, now.changed_ratio, now.late_days, now.value_on, now.source_on, now.quantiles, now.bins, "
        f"was.bins AS bins_before, was.as_of AS before FROM ({table}) now LEFT JOIN ({table}) was ON was.tag = now.tag AND "
        f"was.as_of = (SELECT max(as_of) FROM ({table}) WHERE as_of < ?) WHERE now.as_of = ? ORDER BY now.psi DESC NULLS LAST, 1",
        business_date,
        business_date,
    )


def _expectations(published: Published, business_date: date) -> list[dict[str, Any]]:
    """Give the site's expectations that were judged this night, those that do not hold first."""
    return _rows(
        published,
        "SELECT table_name, measure, is_passed, severity, why FROM quality.gate_results "
        "WHERE business_date = ? AND gate LIKE '%\\_expectations' ESCAPE '\\' ORDER BY is_passed, table_name, measure",
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


@dataclass(frozen=True)
class Bar:
    """One bar of a picture: its colour, its length as a share of the longest that fits, the figure beside it."""

    colour: str
    share: float
    figure: str


Bars = list[tuple[str, list[Bar]]]
"""A picture of bars: what each row is called, and its bars."""


def _count_bars(rows: dict[str, dict[str, int]], colours: dict[str, str], *, is_log: bool = False) -> Bars:
    """Give a row of bars for each name, one for each of its counts that has a colour."""

    def length(count: int) -> float:
        return math.log1p(count) if is_log else count

    longest = max((length(counts[key]) for counts in rows.values() for key in colours), default=0) or 1
    return [
        (
            name,
            [
                Bar(colour, length(counts[key]) / longest, f"{counts[key]:,}")
                for key, colour in colours.items()
            ],
        )
        for name, counts in rows.items()
    ]


def _feed_bars(feeds: dict[str, dict[str, int]]) -> Bars:
    """Rows accepted, duplicate and refused per feed; the scale is logarithmic, since a feed has 5 or 500,000 rows."""
    rows = dict(sorted(feeds.items(), key=lambda item: -item[1]["delivered"]))
    return _count_bars(rows, {"accepted": "accent", "duplicates": "quiet", "refused": "warn"}, is_log=True)


def _cluster_bars(rows: list[dict[str, Any]]) -> Bars:
    """How many OneIDs hold 1, 2, 3 … profiles."""
    counts = {
        "12+" if row["size"] == 12 else str(row["size"]): {"people": row["one_id_count"]} for row in rows
    }
    return _count_bars(counts, {"people": "accent"})


def _coverage_bars(
    tags: dict[str, dict[str, float]], catalogue: dict[str, dict[str, Any]], language: str
) -> Bars:
    """Share of eligible people with a value, per tag; of a tag that applies to nobody there is none."""
    shares = {code: tag["coverage"] for code, tag in tags.items() if tag["coverage"] is not None}
    names = {code: f"{code} {catalogue.get(code, {}).get(f'name_{language}') or ''}" for code in shares}
    codes = sorted(shares, key=lambda code: (-shares[code], code))
    return [(names[code].strip(), [Bar("accent", shares[code], f"{shares[code]:.1%}")]) for code in codes]


def _drift_bars(rows: list[dict[str, Any]], catalogue: dict[str, dict[str, Any]], language: str) -> Bars:
    """Give the stability index of the tags that moved most; a bar is full where a night would stop."""
    rows_of_picture = [row for row in rows if row["psi"] is not None][:MOST_DRIFT]
    return [
        (
            _tag_name(row["tag"], catalogue, language),
            [
                Bar(
                    "warn" if row["psi"] > PSI_LOOK else "accent",
                    min(1.0, row["psi"] / PSI_STOP),
                    f"{row['psi']:.3f}",
                )
            ],
        )
        for row in rows_of_picture
    ]


def _distributions(
    rows: list[dict[str, Any]], catalogue: dict[str, dict[str, Any]], language: str
) -> list[tuple[str, Bars]]:
    """Give a picture for each tag that is to be looked at: the share of its people in each bin, now and the night before."""
    rows_of_picture = [
        row
        for row in rows
        if (row["psi"] or 0) > PSI_LOOK
        and row["bins"]
        and row["bins_before"]
        # What may only exclude is never shown.
        and {"marketing", "service"} & set(catalogue.get(row["tag"], {}).get("purposes") or ())
    ]
    return [
        (_tag_name(row["tag"], catalogue, language), _bin_bars(row, catalogue.get(row["tag"], {})))
        for row in rows_of_picture[:MOST_DISTRIBUTIONS]
    ]


def _bin_bars(row: dict[str, Any], tag: dict[str, Any]) -> Bars:
    now, before = (_shares(row[name]) for name in ("bins", "bins_before"))
    names = sorted({*now, *before}, key=lambda name: (-max(now.get(name, 0), before.get(name, 0)), name))
    names = names[:MOST_BINS]
    kind = str(tag.get("value_type") or "")
    if kind in NUMBER_TYPES:
        names = sorted(names, key=lambda name: (name == "other", 0 if name == "other" else int(name)))
    longest = max((share for each in (now, before) for share in each.values()), default=1.0)
    return [
        (
            _bin_name(name, kind),
            [
                Bar(colour, shares.get(name, 0.0) / longest, f"{shares.get(name, 0.0):.1%}")
                for shares, colour in ((before, "quiet"), (now, "accent"))
            ],
        )
        for name in names
    ]


def _shares(bins: list[dict[str, Any]]) -> dict[str, float]:
    people = sum(one["people"] for one in bins) or 1
    return {one["bin"]: one["people"] / people for one in bins}


def _bin_name(name: str, kind: str) -> str:
    """Give what a bin is called; of a number the value it begins with, as ``tags.quality.measures`` cuts it."""
    if kind not in NUMBER_TYPES or name == "other":
        return name
    least = 2 ** (abs(int(name)) / 8) - 1
    least = least / 100 if kind == "ratio" else least
    return f"{'-' if name.startswith('-') else ''}{least:,.4g} …"


def _tags_off(catalogue: dict[str, dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Give the reasons for which tags are off, each with the codes, the one with most first."""
    reasons: dict[str, list[str]] = {}
    for code, row in catalogue.items():
        if row.get("off_because"):
            reasons.setdefault(str(row["off_because"]), []).append(code)
    return sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))


def _tag_name(code: str, catalogue: dict[str, dict[str, Any]], language: str) -> str:
    return f"{code} {catalogue.get(code, {}).get(f'name_{language}') or ''}".strip()


def _segment_bars(segments: dict[str, dict[str, int]]) -> Bars:
    """From candidates to published, per segment."""
    rows = {
        name: numbers | {"eligible": numbers["candidates"] - numbers["suppressed"]}
        for name, numbers in sorted(segments.items())
    }
    return _count_bars(rows, {"candidates": "quiet", "eligible": "accent", "published": "ink"})
