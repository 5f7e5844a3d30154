"""Nights of a site that has expectations of its own: one that does not hold stops the night, and the report shows those that were judged."""

from __future__ import annotations

from datetime import date

import pytest

from jobs.cli import run
from jobs.workspace.make import make_workspace
from lakehouse.query.published import newest_publication
from lakehouse.settings.settings import load_settings
from lakehouse.tables.lake import open_lake

MONDAY = date(2026, 1, 5)
NOT_MET = "expect_column_values_to_be_between(birth_date)"
CUSTOMERS = """\
expectations:
  - type: expect_column_values_to_be_between
    kwargs: {column: birth_date, min_value: 1980-01-01}
    why: the shop is for people born since 1980
    severity: stop
"""
PEOPLE = """\
expectations:
  - type: expect_column_values_to_be_between
    kwargs: {column: age, max_value: 40}
    why: the shop is for the young
    severity: stop
"""


@pytest.fixture
def shop(tmp_path):
    """The minimal workspace: six members, of whom three were born before 1980 and are older than 40, the eldest 59."""
    folder = tmp_path / "shop"
    make_workspace(folder, "minimal")
    (folder / "expectations").mkdir(exist_ok=True)
    return folder


def night(folder, capsys):
    """Run the night as a user does; give its exit code and what it says."""
    capsys.readouterr()
    code = run(["nightly", "--workspace", str(folder), "--date", str(MONDAY)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def judgements(folder):
    rows = open_lake(load_settings(folder)).read_arrow("quality.gate_results").to_pylist()
    return {
        (row["gate"], row["measure"]): row["is_passed"]
        for row in rows
        if row["gate"].endswith("_expectations")
    }


@pytest.mark.slow
def test_an_expectation_stops_the_night_until_it_holds_or_only_warns(shop, capsys):
    settings = load_settings(shop)
    customers, people = (
        shop / "expectations" / f"{table}.yml" for table in ("trusted.customers", "tags.customer_tags")
    )
    customers.write_text(CUSTOMERS, encoding="utf-8")
    code, words = night(shop, capsys)
    assert code == 3, words
    assert f"trusted.customers: {NOT_MET} is 0.5, must be at most 0" in words
    assert (
        "the shop is for people born since 1980; 3 of 6 rows; expectations/trusted.customers.yml:2" in words
    )
    assert newest_publication(settings) is None and not list(settings.reports.glob("*.html"))
    assert not list(settings.published.rglob("*.parquet"))
    assert judgements(shop) == {("trusted_expectations", NOT_MET): False}, (
        "a refused night keeps what was judged"
    )

    # Each database is judged at its own gate: the tags that the night wrote, too.
    customers.write_text(CUSTOMERS.replace("severity: stop", "severity: warn"), encoding="utf-8")
    people.write_text(PEOPLE, encoding="utf-8")
    code, words = night(shop, capsys)
    assert code == 3, words
    assert "tags.customer_tags: expect_column_values_to_be_between(age) is 0.5, must be at most 0" in words
    assert newest_publication(settings) is None

    people.write_text(PEOPLE.replace("max_value: 40", "max_value: 59"), encoding="utf-8")
    code, words = night(shop, capsys)
    assert code == 0, words
    report = (settings.reports / f"{MONDAY}.html").read_text(encoding="utf-8")
    cells = '<td>trusted.customers</td><td>{}</td><td class="bad">not met</td><td>the shop is for people born since 1980; 3 of 6 rows'
    assert cells.format(NOT_MET) in report
    assert (
        "<td>tags.customer_tags</td><td>expect_column_values_to_be_between(age)</td><td>met</td><td>the shop is for the young"
        in report
    )
    assert {name: is_passed for (_, name), is_passed in judgements(shop).items()} == {
        NOT_MET: False,
        "expect_column_values_to_be_between(age)": True,
    }
