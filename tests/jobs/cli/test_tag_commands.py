"""``cdp tags search``, ``show``, ``impact`` and ``unused``, as they are typed: answers, and one sentence for each wrong call."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from jobs.cli import run

DESTINATIONS = """\
destinations:
  engine: {description: the marketing engine, ceiling: C2}
  board: {description: a dashboard, ceiling: C2}
"""


def entry(code, name_en, name_zh, *, reads=(), status="online", kind="fact"):
    if reads:
        compute = f"expression: {' + '.join(reads)}"
        inputs = ", ".join(f'"tag:{code}"' for code in reads)
    else:
        compute = "aggregate: {from: trusted.transactions, measure: count, window_days: 30}"
        inputs = "trusted.transactions.transacted_on"
    return f"""\
  - code: {code}
    name: {{zh: {name_zh}, en: {name_en}}}
    definition: {{zh: 定义, en: A number of visits}}
    kind: {kind}
    value: {{type: int, min: 0}}
    null_rule: U
    level: C1
    purposes: [marketing]
    inputs: [{inputs}]
    compute: {{{compute}}}
    owner: {{business: branches, tech: data}}
    version: 1.0.0
    status: {status}
"""


TAGS = "family: visits\ntags:\n" + "".join(
    [
        entry("visit_count", "Visits", "到访次数"),
        entry("visit_sum", "Visits in all", "到访合计", reads=["visit_count"], kind="rule"),
        entry(
            "visit_draft",
            "Visits planned",
            "到访计划",
            reads=["visit_sum", "early_count"],
            kind="rule",
            status="draft",
        ),
        entry("lonely_count", "Lonely visits", "独自到访", reads=["visit_sum"], kind="rule"),
        entry("early_count", "Visits so early", "提前到访"),
        entry("value_count", "Value of a visit", "到访价值"),
        entry("rank_count", "Rank of visits", "到访排名"),
        entry("seen_count", "Visits seen", "展示次数"),
        entry("twin_a", "Twins", "双胞胎"),
        entry("twin_b", "Twins", "双胞胎"),
    ]
)


def segment(code, body, *, columns="", contact="channels: [SMS]", destination="engine"):
    return f"""\
spec: segment/v1
code: {code}
version: 1.0.0
name: {{zh: 测试, en: Test}}
owner: {{business: retail, tech: data}}
entity: customer
kind: dynamic
purpose: marketing
{body}
contact: {{{contact}}}
publish: {{destinations: [{destination}], columns: [{columns}]}}
"""


FILES = {
    "tags/visits.yml": TAGS,
    "destinations.yml": DESTINATIONS,
    "segments/frequent.yml": segment("frequent", "where: {tag: visit_sum, gte: 5}"),
    "segments/others.yml": segment("others", "where: {segment: frequent}", destination="board"),
    "segments/shown.yml": segment(
        "shown", "where: {list: vips@1}", columns="seen_count", contact="channels: [SMS], expected_value: value_count"
    ),
    "segments/best.yml": segment("best", "where: {tag: rank_count, top_n: 10, within: all}", destination="board"),
    "segments/of_shown.yml": segment("of_shown", "where: {segment: shown}", destination="board"),
}  # fmt: skip


@pytest.fixture
def ask(make_workspace, monkeypatch, capsys):
    """A function that runs ``cdp tags`` in a workspace with tags of visits; gives exit code, rows and messages."""
    folder = make_workspace(FILES)
    monkeypatch.setenv("CDP_WORKSPACE", str(folder))

    def call(*arguments):
        code = run(["tags", *arguments, "--format", "json"])
        printed = capsys.readouterr()
        return code, [json.loads(line) for line in printed.out.splitlines()], printed.err

    call.folder = folder
    return call


def codes(rows):
    return [row["code"] for row in rows]


def test_search_answers_in_both_languages_and_shows_owner_and_family(ask):
    code, rows, _ = ask("search", "到访次数")
    assert code == 0 and rows[0] == {
        "code": "visit_count", "pack": "", "family": "visits", "status": "online", "owner": "branches",
        "name_en": "Visits", "name_zh": "到访次数",
    }  # fmt: skip
    assert codes(ask("search", "visits", "all")[1]) == ["visit_sum"]
    assert (ask.folder / ".cdp" / "tag_search.json").is_file()
    assert ask("search", "nobody_asks_this") == (0, [], "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([""], "there is no word to search for"),
        (["，", "。"], "there is no word to search for"),
        (["x" * 10_000], "search for at most 200 letters, not 10,000"),
    ],
)
def test_a_search_for_nothing_or_too_much_is_one_sentence(ask, words, sentence):
    code, rows, messages = ask("search", *words)
    assert (code, rows) == (2, []) and sentence in messages and messages.count("\n") == 1
    assert len(messages) < 200


def test_show_takes_a_code_or_a_name(ask):
    for name in ("visit_count", "到访次数", "visits", " Visits ", "ＶＩＳＩＴ＿ＣＯＵＮＴ"):
        code, rows, messages = ask("show", name)
        assert (code, codes(rows)) == (0, ["visit_count"]), (name, messages)


@pytest.mark.parametrize("command", ["show", "impact"])
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("visit_cuont", "there is no tag 'visit_cuont'; did you mean 'visit_count'?"),
        ("到访次教", "there is no tag '到访次教'; did you mean '到访次数'?"),
        ("双胞胎", "several tags are called '双胞胎'; say which by its code: twin_a, twin_b"),
        ("x" * 10_000, "a tag's code or name has at most 200 letters, not 10,000"),
        ("'; drop table x; --", "there is no tag ''; drop table x; --'"),
        ("", "there is no tag ''"),
    ],
    ids=["code", "chinese", "twins", "long", "sql", "empty"],
)
def test_a_tag_that_is_not_there_is_one_sentence(ask, command, name, sentence):
    code, rows, messages = ask(command, name)
    assert (code, rows) == (2, []) and sentence in messages and messages.count("\n") == 1


def test_impact_follows_tags_segments_and_destinations(ask):
    code, rows, messages = ask("impact", "到访次数")
    assert code == 0, messages
    assert [tuple(row.values()) for row in rows] == [
        ("tag", "visit_sum", "reads it, online", "visit_count"),
        ("tag", "lonely_count", "reads it, online", "visit_sum"),
        ("tag", "visit_draft", "reads it, draft", "visit_sum"),
        ("segment", "frequent", "condition", "visit_sum"),
        ("segment", "others", "members of segment", "frequent"),
        ("destination", "board", "people", "others"),
        ("destination", "engine", "people", "frequent"),
    ]
    assert "queries of BI tools" in messages


@pytest.mark.parametrize(
    ("tag", "lines"),
    [
        ("seen_count", [("segment", "shown", "column", "seen_count"), ("destination", "engine", "column seen_count", "shown")]),
        ("rank_count", [("segment", "best", "rank", "rank_count"), ("destination", "board", "people", "best")]),
        (
            "value_count",
            [
                ("segment", "shown", "value", "value_count"), ("segment", "of_shown", "members of segment", "shown"),
                ("destination", "board", "people", "of_shown"), ("destination", "engine", "people", "shown"),
            ],
        ),
        ("twin_a", []),
    ],
)  # fmt: skip
def test_impact_says_how_a_segment_uses_a_tag(ask, tag, lines):
    _, rows, messages = ask("impact", tag)
    assert [tuple(row.values()) for row in rows] == lines, messages


def test_unused_tags_are_those_that_neither_segments_nor_computed_tags_read(ask):
    code, rows, messages = ask("unused")
    site = [tag for tag in codes(rows) if tag in TAGS]
    assert (code, site) == (0, ["lonely_count", "early_count", "twin_a", "twin_b"]), messages
    assert "queries of BI tools" in messages


@pytest.mark.parametrize("command", [("impact", "visit_count"), ("unused",)])
def test_a_segment_that_cannot_be_read_leaves_no_half_answer(ask, command):
    (ask.folder / "segments" / "broken.yml").write_text("spec: segment/v1\ncode: [", encoding="utf-8")
    code, rows, messages = ask(*command)
    assert (code, rows) == (2, []) and "broken.yml:" in messages


@pytest.mark.parametrize(
    "command", [("search", "visits"), ("show", "visits"), ("impact", "visits"), ("unused",)]
)
def test_a_broken_tag_file_is_named_with_its_line(ask, command):
    assert ask("search", "visits")[0] == 0
    (ask.folder / "tags" / "visits.yml").write_text(TAGS + "    wight: 1\n", encoding="utf-8")
    code, rows, messages = ask(*command)
    assert (code, rows) == (2, []) and "visits.yml:" in messages and "unknown key 'wight'" in messages


def test_outside_a_workspace_the_shipped_tags_are_searched(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CDP_WORKSPACE", raising=False)
    assert run(["tags", "search", "aum_tier", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["code"] == "aum_tier"
    assert list(tmp_path.iterdir()) == []
    assert run(["tags", "unused"]) == 2


def test_a_script_counts_helpers_apart_from_the_tags_that_are_online(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CDP_WORKSPACE", raising=False)

    def statuses(*words):
        assert run(["tags", "list", *words, "--format", "json"]) == 0
        return Counter(json.loads(line)["status"] for line in capsys.readouterr().out.splitlines())

    assert statuses() == {"online": 108, "draft": 4, "helper": 37}
    assert statuses("--status", "helper") == {"helper": 37} == statuses("--family", "measure")
    assert statuses("--status", "online") == {"online": 108}
    assert run(["tags", "list", "--status", "helpers"]) == 2
    assert "there is no status 'helpers'; did you mean 'helper'?" in capsys.readouterr().err


def test_the_words_that_pages_search_for_name_tags(ask):
    page = (Path(__file__).parents[3] / "docs" / "tags.md").read_text(encoding="utf-8")
    examples = re.findall(r"^cdp tags search (.+?)(?:  +#.*)?$", page, re.MULTILINE)
    words = [part.removeprefix("cdp tags search ").split() for one in examples for part in one.split(" | ")]
    assert len(words) == 2
    for one in [*words, ["资产"]]:
        assert codes(ask("search", *one)[1]), one
    assert "cdp tags search 资产" in ask("search", "，")[2]


def test_impact_of_a_column_follows_the_tags_that_depend_on_it(ask):
    code, rows, messages = ask("impact", "trusted.transactions.transacted_on")
    assert code == 0, messages
    lines = [tuple(row.values()) for row in rows]
    assert ("tag", "visit_count", "comes from it, online", "") in lines
    assert ("tag", "visit_sum", "comes from it, online", "visit_count") in lines
    assert {("segment", "frequent"), ("destination", "board")} <= {line[:2] for line in lines}
    _, rows, _ = ask("impact", "trusted.relationships.from_key")
    assert ("tag", "visit_count", "its rows are decided by it, online", "") in [
        tuple(r.values()) for r in rows
    ]
    for column, sentence in (
        ("trusted.transactions.transacted", "trusted.transactions has no column 'transacted'"),
        ("trusted.transaction.transacted_on", "there is no table 'trusted.transaction'"),
    ):
        code, rows, messages = ask("impact", column)
        assert (code, rows) == (2, []) and sentence in messages and messages.count("\n") == 1


def test_show_tells_what_a_value_comes_from_and_what_decides_its_rows(ask, capsys):
    _, rows, _ = ask("show", "visit_count")
    assert rows[0]["comes_from"] == ["trusted.transactions.transacted_on"]
    assert {"trusted.transactions.account_id", "trusted.relationships.from_key"} <= set(rows[0]["decided_by"])
    assert run(["tags", "show", "visit_count"]) == 0
    page = capsys.readouterr().out
    assert "comes from\n    trusted.transactions.transacted_on\ndecided by (which rows count" in page
