"""Tags that nobody uses: days since the last use, what is proposed, and the counts of statements. No Spark, no night."""

from __future__ import annotations

import datetime as dt
import json
from types import SimpleNamespace

import pytest

from jobs.report.catalogue.idle_tags import _segment_uses, idle_tags, proposal_of
from jobs.report.catalogue.queries import count_query, last_queries, names_in_statement
from lakehouse.settings.settings import load_settings
from tests.tags.catalogue.test_definitions import VISITS, D, publish_definitions
from vocabulary.registry import load_registry

TODAY = dt.date(2026, 11, 27)
QUESTION = SimpleNamespace(tables=("tags.customer_tags",))


@pytest.mark.parametrize(
    ("days", "status", "proposal"),
    [
        (None, "online", None),
        (0, "online", None),
        (89, "online", None),
        (90, "online", "ask the owner"),
        (119, "online", "ask the owner"),
        (120, "online", "deprecate"),
        (179, "online", "deprecate"),
        (180, "online", "take offline"),
        (150, "deprecated", None),
        (95, "deprecated", "ask the owner"),
        (400, "deprecated", "take offline"),
    ],
)
def test_what_is_proposed_by_days(days, status, proposal):
    assert proposal_of(days, status) == proposal


def test_days_count_from_the_first_night_or_the_last_statement_and_what_is_used_is_not_listed(make_workspace):
    import tags
    from tags.definitions import definitions_after

    folder = make_workspace(
        {"tags/visits.yml": VISITS, "cdp.yml": "generate_secrets: true\ncount_queries: true\n"}
    )
    registry = load_registry(folder, shipped=tags.REGISTRY)
    first_night = D - dt.timedelta(days=130)
    settings = publish_definitions(folder, definitions_after([], registry, first_night))
    idle = {tag.entry.code: tag for tag in idle_tags(settings)}
    # visit_count is read by is_frequent: something depends on it.
    assert "visit_count" not in idle
    assert (idle["is_frequent"].idle_days, idle["is_frequent"].proposal) == (130, "deprecate")
    counts = folder / "audit" / "tag_queries"
    counts.mkdir(parents=True)
    (counts / f"{D - dt.timedelta(days=95)}.json").write_text('{"is_frequent": 2}')
    (counts / f"{D - dt.timedelta(days=1)}.json").write_text("{damaged")
    (counts / "notes.json").write_text('{"is_frequent": 2}')
    one = next(tag for tag in idle_tags(settings) if tag.entry.code == "is_frequent")
    assert (one.last_used_on, one.idle_days, one.proposal) == (D - dt.timedelta(days=95), 95, "ask the owner")


def test_before_the_first_night_nothing_is_proposed(make_workspace):
    settings = load_settings(make_workspace())
    assert {(tag.idle_days, tag.proposal, tag.cost) for tag in idle_tags(settings)} == {(None, None, None)}


def test_a_segment_of_the_past_counts_for_every_tag_that_its_text_names():
    rows = [
        ("where: {tag: is_frequent, eq: true}", TODAY),
        ("where: {tag: is_frequent_buyer}", TODAY + dt.timedelta(1)),
    ]
    published = SimpleNamespace(exists=lambda table: True, rows=lambda sql: rows)
    assert _segment_uses(published, {"is_frequent", "visit_count"}) == {"is_frequent": TODAY}


# ---------------------------------------------------------------------------- counts of statements


@pytest.fixture
def counting(make_workspace):
    """Settings of a workspace that counts statements."""
    return load_settings(make_workspace({"cdp.yml": "count_queries: true\ntime_zone: Asia/Shanghai\n"}))


def counts_of(settings):
    files = list((settings.workspace / "audit" / "tag_queries").glob("*"))
    return [json.loads(file.read_text()) for file in files]


def test_nothing_is_counted_unless_the_workspace_says_so(make_workspace):
    settings = load_settings(make_workspace())
    count_query(settings, "select age from tags.customer_tags", QUESTION)
    assert not (settings.workspace / "audit").exists()


def test_a_statement_counts_once_for_each_tag_that_it_names_and_leaves_nothing_else(counting):
    statement = "select Age, t.age, count(*) from tags.customer_tags t where gender = 'F' and home_branch = '13800138000' -- city_tier"
    for _ in range(2):
        count_query(counting, statement, QUESTION)
    assert counts_of(counting) == [{"age": 2, "gender": 2, "home_branch": 2}]
    file = next((counting.workspace / "audit" / "tag_queries").iterdir())
    assert "13800138000" not in file.read_text() and file.stat().st_mode & 0o077 == 0
    assert set(last_queries(counting)) == {"age", "gender", "home_branch"}


def test_other_tables_and_names_that_are_no_tags_are_not_counts_of(counting):
    count_query(counting, "select age from trusted.customers", SimpleNamespace(tables=("trusted.customers",)))
    count_query(counting, "select * from tags.customer_tags", QUESTION)
    count_query(counting, 'select "13800138000" from tags.customer_tags', QUESTION)
    assert counts_of(counting) == []


def test_a_text_is_no_name():
    assert names_in_statement("select a, 'b', upper(c) as d from t where e in (select f from u)") == {
        "a",
        "c",
        "e",
        "f",
    }
    assert names_in_statement("select from where") == set()


def test_a_count_that_cannot_be_written_or_read_keeps_no_answer_back(counting, tmp_path):
    folder = counting.workspace / "audit" / "tag_queries"
    count_query(counting, "select age from tags.customer_tags", QUESTION)
    file = next(folder.iterdir())
    for damage in ("[1]", '{"age": "x"}', "\x00"):
        file.write_text(damage)
        count_query(counting, "select age from tags.customer_tags", QUESTION)
        assert counts_of(counting)[0]["age"] == 1
    victim = tmp_path / "victim"
    victim.write_text("mine")
    file.unlink()
    file.symlink_to(victim)
    count_query(counting, "select age from tags.customer_tags", QUESTION)
    assert victim.read_text() == "mine"
