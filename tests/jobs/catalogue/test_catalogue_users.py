"""``tags.catalogue`` says who uses a tag, and says the same as ``cdp tags show`` and ``cdp tags impact``."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from jobs.report.tag_page import tag_page
from jobs.report.tag_usage import catalogue_users, tag_impact, tag_users
from lakehouse.contracts.reading import contract
from lakehouse.settings.settings import load_settings
from tags.catalogue import CATALOGUE, catalogue_rows
from tags.compile.compilation import compile_tags
from tests.jobs.cli.test_tag_commands import FILES, segment

# One more of a second destination, one that reads a tag in two ways, and a file that is none.
MORE = {
    "tags/own.yml": """\
family: own
tags:
  - {code: age, replaces: age_band, tie_rule: the younger, version: 9.0.0, max_staleness_days: 9}
  - {code: age_band, status: deprecated, deprecated_on: 2026-01-01, population: age is not null, version: 9.0.0, refresh: monthly}
""",
    "segments/shown_too.yml": segment(
        "shown_too", "where: {tag: seen_count, gte: 2}", columns="seen_count, value_count", destination="board, engine"
    ),
}  # fmt: skip


@pytest.fixture
def folder(make_workspace):
    return make_workspace({**FILES, **MORE})


def rows_of(folder):
    rows = catalogue_rows(compile_tags(folder, is_checked=False), catalogue_users(folder))
    # As a night writes them.
    table = pa.Table.from_pylist(rows, schema=contract(CATALOGUE).arrow_schema())
    return {row["code"]: row for row in table.to_pylist()}


def test_the_catalogue_says_who_uses_a_tag(folder):
    rows = rows_of(folder)
    assert (rows["seen_count"]["segments"], rows["seen_count"]["published_to"]) == (
        ["shown", "shown_too"], ["board", "engine"],
    )  # fmt: skip
    # The order of contacts reads it in one segment, and the other shows it.
    assert rows["value_count"]["segments"] == ["shown", "shown_too"]
    assert rows["value_count"]["published_to"] == ["board", "engine"]
    assert (rows["visit_sum"]["segments"], rows["visit_sum"]["published_to"]) == (["frequent"], [])
    assert (rows["lonely_count"]["segments"], rows["lonely_count"]["published_to"]) == ([], [])


def test_the_catalogue_says_how_a_tag_lives(folder):
    rows = rows_of(folder)
    names = ("refresh", "max_staleness_days", "replaces", "deprecated_on", "tie_rule", "population")
    assert [rows["age"][name] for name in names] == ["daily", 9, "age_band", None, "the younger", None]
    assert [rows["age_band"][name] for name in names] == [
        "monthly", 2, None, dt.date(2026, 1, 1), None, "age is not null",
    ]  # fmt: skip
    assert rows["visit_sum"]["refresh"] == "nightly"


def test_catalogue_show_and_impact_say_the_same(folder):
    rows = rows_of(folder)
    settings = load_settings(folder)
    users = tag_users(settings)
    for code in (
        "visit_count",
        "visit_sum",
        "seen_count",
        "value_count",
        "rank_count",
        "lonely_count",
        "age",
    ):
        page, row = tag_page(folder, code).summary, rows[code]
        assert (page["segments"], page["published_to"]) == (row["segments"], row["published_to"])
        assert [f"segment {name}" for name in row["segments"]] == [
            user for user in users.get(code, []) if user.startswith("segment ")
        ]
        columns = [
            thing.name
            for thing in tag_impact(settings, code)
            if thing.kind == "destination" and f"column {code}" in thing.how
        ]
        assert row["published_to"] == columns, code


def test_a_segment_that_cannot_be_read_takes_no_other_from_the_catalogue(folder):
    (folder / "segments" / "broken.yml").write_text("spec: segment/v1\ncode: [seen_count\n")
    assert rows_of(folder)["seen_count"]["segments"] == ["shown", "shown_too"]


def test_where_nobody_was_asked_users_are_unknown_and_not_none(folder):
    row = catalogue_rows(compile_tags(folder, is_checked=False))[0]
    assert (row["segments"], row["published_to"]) == (None, None)


def test_a_tag_by_which_another_is_counted_is_in_use(folder):
    """It may not go offline: the check of the other would end the night."""
    settings = load_settings(folder)
    assert "tag age_band" in tag_users(settings)["age"]
    counted = [one for one in tag_impact(settings, "order_count_365d") if one.name == "first_order_on"]
    assert [(one.kind, one.how, one.through) for one in counted] == [
        ("tag", ("is counted over people by it, online",), ("order_count_365d",))
    ]
    assert "counted over" in "\n".join(tag_page(folder, "age_band").lines())
