"""What only Spark can compute is refused at check, with file and line, where the settings or the machine have no Spark."""

from __future__ import annotations

import pytest

from jobs.cli import run
from jobs.workspace.check import check_workspace
from lakehouse.errors import SettingsInvalid
from lakehouse.session import session
from lakehouse.settings.settings import load_settings
from tests.published_lake import FEED

EXTRACT = FEED.replace("format: {type: csv}\n", "").replace(
    'files: {path: "members/{date}/members.csv"}', "extract: {delta: {path: /warehouse/members}}"
)
TAG = """
family: basic
tags:
  - code: name_code
    name: {zh: 名, en: Name}
    definition: {zh: 名, en: Name}
    kind: fact
    value: {type: string}
    null_rule: U
    level: C2
    purposes: [service]
    inputs: [trusted.customers.kind, trusted.customers.registered_on]
    compute:
      latest: {from: trusted.customers, of: soundex(kind), order_by: [registered_on]}
    owner: {business: data, tech: data}
    version: 1.0.0
    status: online
"""


@pytest.fixture
def no_java(monkeypatch):
    monkeypatch.setattr(session, "java_version", lambda: None)


def feed_with(text):
    return FEED.replace("full_name: name", f'full_name: "{text}"')


def line_of(file, text):
    return next(at for at, line in enumerate(file.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize("engine", ["auto", "duckdb"])
def test_an_expression_of_a_feed_is_refused_where_no_spark_is(make_workspace, no_java, capsys, engine):
    folder = make_workspace(
        {"cdp.yml": f"engine: {engine}\n", "feeds/members.yml": feed_with("soundex(name)")}
    )
    file = folder / "feeds" / "members.yml"
    with pytest.raises(SettingsInvalid, match=r"soundex\(\)") as refusal:
        check_workspace(load_settings(folder))
    assert (refusal.value.file, refusal.value.line) == (str(file), line_of(file, "soundex"))
    assert ("Java was not found" in str(refusal.value)) == (engine == "auto")
    sample = folder / "members.csv"
    sample.write_text("no,name,mobile\n1,Ann,13800138000\n")
    assert run(["feeds", "check", "members", "--file", str(sample), "--workspace", str(folder)]) == 2
    assert "soundex()" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["auto", "duckdb"])
def test_a_table_of_another_system_is_refused_where_no_java_is(make_workspace, no_java, engine):
    folder = make_workspace({"cdp.yml": f"engine: {engine}\n", "feeds/members.yml": EXTRACT})
    with pytest.raises(SettingsInvalid, match=r"which only Spark does; Java was not found") as refusal:
        check_workspace(load_settings(folder))
    assert refusal.value.line == line_of(folder / "feeds" / "members.yml", "extract")


@pytest.mark.parametrize("engine", ["auto", "duckdb"])
def test_an_expression_of_a_tag_is_refused_with_its_line_where_no_spark_is(
    make_workspace, no_java, capsys, engine
):
    folder = make_workspace({"cdp.yml": f"engine: {engine}\n", "tags/basic.yml": TAG})
    with pytest.raises(SettingsInvalid, match=r"soundex\(\)") as refusal:
        check_workspace(load_settings(folder), needs_feeds=False)
    file = folder / "tags" / "basic.yml"
    assert (refusal.value.file, refusal.value.line) == (str(file), line_of(file, "soundex"))


def test_with_java_the_engine_auto_gives_it_to_spark(make_workspace, monkeypatch):
    monkeypatch.setattr(session, "java_version", lambda: 17)
    files = {
        "cdp.yml": "generate_secrets: true\n",
        "feeds/members.yml": feed_with("soundex(name)"),
        "tags/basic.yml": TAG,
    }
    assert check_workspace(load_settings(make_workspace(files)))
