"""The conditions that the documentation shows can be written as they stand, over the shipped tags, and compile."""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from pathlib import Path

import pytest
import sqlglot
from segment_bank import spec

import tags
from jobs.cli import run
from jobs.workspace.make import make_workspace as make
from lakehouse.settings.settings import load_settings
from segments.choosing.compile import segment_sql
from segments.language.catalogue import read_catalogue
from segments.language.checks.findings import Surroundings
from vocabulary.policy import Policy
from vocabulary.tag_facts import read_tag_facts

DOCS = Path(__file__).parents[3] / "docs" / "segments.md"
CALENDAR = "day\n2026-11-18\n2026-11-19\n2026-11-20\n2026-11-23\n"


def examples() -> list[str]:
    """Each condition of the page, with the lines that belong to it."""
    block = re.search(
        r"### Every condition\n\n```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL
    )[1]
    return [part for part in re.split(r"^(?=- )", block, flags=re.MULTILINE) if part]


def test_the_first_rule_of_the_page_is_sound_in_the_demo_bank_as_it_stands(tmp_path, capsys):
    block = re.search(r"## A rule\n.*?```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[1]
    code = re.search(r"^code: (\w+)", block, re.MULTILINE)[1]
    make(tmp_path / "bank", "bank")
    (tmp_path / "bank" / "segments" / f"{code}.yml").write_text(block, encoding="utf-8")
    assert run(["segments", "check", code, "--workspace", str(tmp_path / "bank")]) == 0
    assert capsys.readouterr().out == "1 segments checked, 0 with faults\n"
    assert run(["segments", "check", "--workspace", str(tmp_path / "bank")]) == 0


def test_the_page_shows_a_condition_of_every_kind():
    words = {re.match(r"- \{?(\w+):", example)[1] for example in examples()}
    assert words == {
        "tag", "event", "detail", "absence", "sequence", "receipt", "date", "sample", "expr", "list", "segment", "not",
        "micro_segment",
    }  # fmt: skip


@pytest.mark.parametrize("example", examples())
def test_an_example_can_be_written_as_it_stands(make_workspace, example):
    body = "unknown: exclude\nbase: {tag: aum_tier, in: [T2, T3]}\nwhere:\n  all:\n" + textwrap.indent(
        example, "    "
    )
    folder = make_workspace(
        {
            "segments/x.yml": spec("x", body),
            "segments/another_segment.yml": spec("another_segment", "where: {list: branch_special@1}", kind="static"),
            "segments/wealth_first_purchase.yml": spec("wealth_first_purchase", "where: {list: branch_special@1}", kind="static"),
            "lists/branch_special@1.csv": "one_id\n1\n",
            "calendars/exchange@2026.csv": CALENDAR,
            "micro_segments/value_groups.yml": "# the set is looked for by its file\n",
        }
    )  # fmt: skip
    settings = load_settings(folder)
    facts = read_tag_facts(settings.workspace, shipped=tags.REGISTRY)
    catalogue = read_catalogue(settings, Surroundings(facts, {"engine": "C2"}), known_hashes={})
    assert catalogue.findings() == []
    sql = segment_sql(catalogue.segment("x"), business_date=dt.date(2026, 11, 18), policy=Policy())
    assert all(statement is not None for statement in sqlglot.parse(sql, read="spark"))
