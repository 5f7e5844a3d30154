"""What people read in their own language: every text in both, and who obeys ``language`` of a workspace."""

from __future__ import annotations

import ast
import re
import string
from datetime import date
from pathlib import Path

import pytest

from jobs import cli
from jobs.report.report import ReportFacts, render_report
from lakehouse import errors
from lakehouse.query.reading import StatementFailed
from lakehouse.texts import LANGUAGES, catalogue, reason_text, speak, text
from segments.choosing.suppression import REASONS as SUPPRESSIONS
from tags.sample.model_relations import NotPublished
from tests.jobs.report.test_report import FACTS, SUMMARY

ROOT = Path(__file__).resolve().parents[3]
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def places(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_text_is_there_in_both_languages_with_the_same_places():
    assert len(catalogue()) > 100
    for key, entry in catalogue().items():
        assert set(entry) == set(LANGUAGES) and all(entry.values()), key
        assert places(entry["en"]) == places(entry["zh"]), key
        assert not CHINESE.search(entry["en"]), key


def test_a_chinese_text_is_chinese():
    same = {key for key, entry in catalogue().items() if not CHINESE.search(entry["zh"])}
    assert same == {"report.one_ids", "tag.sql"}


def test_every_key_that_code_names_is_in_the_catalogue_and_every_key_is_named():
    template = (ROOT / "jobs/report/templates/report.html.j2").read_text(encoding="utf-8")
    words = set(re.findall(r'"([\w.]+)"', template))
    for folder in ("jobs", "segments", "tags", "vocabulary", "lakehouse"):
        for file in (ROOT / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            words |= {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    words |= {word for text_of_code in words for word in re.findall(r"'(\w+)'", text_of_code)}  # of SQL
    keys = {
        word
        for word in words
        if re.fullmatch(
            r"(hint|outcome|coverage|report|tag|preview|index|diff|profile|micro|customer|explain|earnings|tags_diff|picture|mart)\.[a-zA-Z]\w*",
            word,
        )
    }
    assert len(keys) > 50 and keys - set(catalogue()) == set()
    # The other keys are put together of a place and a word.
    others = {key for key in catalogue() if not key.startswith(("reason.", "null_rule.", "hint."))} - keys
    assert {key for key in others if key.partition(".")[2] not in words} == set()


def test_every_reason_and_every_kind_of_error_has_its_text():
    kinds = [kind.__name__ for kind in errors.CdpError.__subclasses__()]
    assert [kind for kind in kinds if f"hint.{kind}" not in catalogue()] == []
    refusals = set()
    for file in (ROOT / "ingestion").rglob("*.py"):
        refusals |= set().union(
            *re.findall(
                r"['\"](unreadable|missing|not_allowed|more_decimals|same_key|columns|cut|open_quote|undecodable|too_long|too_deep)(?=: |:\{|:')"
                r"|['\"](not_json|not_a_json_object|duplicate_key|long_number|nul|unknown_run|unknown_recipient)['\"]",
                file.read_text(encoding="utf-8"),
            )
        )
    refusals.discard("")
    assert len(refusals) > 14
    codes = [*SUPPRESSIONS, *refusals, "unknown", "not_applicable", "late", "expired"]
    assert [code for code in codes if f"reason.{code}" not in catalogue()] == []


@pytest.mark.parametrize(
    ("code", "english", "chinese"),
    [
        ("OPT_OUT", "refused to be contacted", "本人拒绝营销触达"),
        ("missing:phone", "a required value is absent: phone", "缺少必填值: phone"),
        ("columns: 4 instead of 10", "another number of columns: 4 instead of 10", "列数不符: 4 instead of 10"),
        ("a_rule_of_the_site", "a_rule_of_the_site", "a_rule_of_the_site"),
    ],
)  # fmt: skip
def test_a_code_has_a_meaning_and_keeps_its_detail(code, english, chinese):
    assert (reason_text(code, "en"), reason_text(code, "zh")) == (english, chinese)


def test_a_chinese_report_has_no_english_word_of_its_own():
    facts = ReportFacts(
        [{"feed": "会员", "file": "a.csv", "reason": "missing:phone", "row_count": 3}],
        FACTS.gates,
        FACTS.tag_names,
        FACTS.cluster_sizes,
        left_out=[{"code": "young", "reason": "OPT_OUT", "people": 10}],
    )
    html = render_report("店", date(2026, 1, 5), SUMMARY | {"warnings": ["文件迟到"]}, facts, language="zh")
    assert '<html lang="zh-CN">' in html
    body = re.sub(r"<(style|svg).*?</\1>", "", html[html.index("<body>") :], flags=re.S)
    seen = set(re.findall(r"[A-Za-z]{3,}", re.sub(r"<[^>]*>", " ", body)))
    codes = {
        "members",
        "orders",
        "csv",
        "missing",
        "phone",
        "quality",
        "refused_rows",
        "age",
        "vip",
        "Age",
        "young",
        "OPT",
        "OUT",
    }
    assert seen - codes <= {"OneID", "rows", "refused", "landing", "files", "name", "ingest", "resolve"}
    for word in (
        "交付行数",
        "缺少必填值: phone",
        "本人拒绝营销触达",
        "文件迟到",
        "共判定 1 条界限",
        "最大：7 个档案",
    ):
        assert word in html, word


def test_an_english_report_is_english():
    html = render_report("shop", date(2026, 1, 5), SUMMARY, ReportFacts([], [], {}, []))
    assert not CHINESE.search(html.replace(text("report.name", "zh"), ""))


def run(arguments, capsys):
    code = cli.run(arguments)
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "cdp: there is no family 'valu'; did you mean 'value'?\n"),
        (
            "zh",
            "cdp: there is no family 'valu'；是不是想写“value”？ （提示：在命令后加 --help 可查看它接受的参数）\n",
        ),
    ],
)
def test_hints_of_errors_are_in_the_language_of_the_workspace(make_workspace, capsys, language, sentence):
    folder = make_workspace({"cdp.yml": f"language: {language}\n"})
    code, _, err = run(["tags", "list", "--family", "valu", "--workspace", str(folder)], capsys)
    assert (code, err) == (2, sentence)


@pytest.mark.parametrize(
    "wrong",
    [
        StatementFailed("no such column", columns_read=()),
        NotPublished("the model is not published"),
        errors.PersonNotShown("nobody is called so", identifier="one_id", refusal="nobody"),
    ],
    ids=lambda wrong: type(wrong).__name__,
)
def test_a_kind_of_error_without_a_text_of_its_own_has_that_of_its_kind(monkeypatch, capsys, wrong):
    def fail(*_, **__):
        speak("zh")
        raise wrong

    monkeypatch.setattr(cli.cdp, "main", fail)
    code, _, err = run(["sql"], capsys)
    hint = text(f"hint.{type(wrong).__mro__[1].__name__}", "zh")
    assert (code, err) == (2, f"cdp: {wrong} （提示：{hint}）\n")


def test_a_fault_of_the_settings_is_told_in_their_language(make_workspace, capsys):
    folder = make_workspace({"cdp.yml": "language: zh\ncurency: CNY\n"})
    code, _, err = run(["tags", "list", "--workspace", str(folder)], capsys)
    assert code == 2 and "是不是想写“currency”？" in err


def test_a_command_does_not_keep_the_language_of_the_one_before(make_workspace, capsys):
    folder = make_workspace({"cdp.yml": "language: zh\n"})
    run(["tags", "list", "--family", "valu", "--workspace", str(folder)], capsys)
    assert "did you mean" in run(["tagz"], capsys)[2]


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "en",
            ["name        AUM tier · 资产层级", "nulls       NA (null means not applicable)", "comes from"],
        ),
        ("zh", ["名称        资产层级 · AUM tier", "空值        NA (空值表示不适用)", "来源字段"]),
    ],
)
def test_a_tag_is_shown_in_the_language_of_the_workspace(make_workspace, capsys, language, lines):
    folder = make_workspace({"cdp.yml": f"language: {language}\n"})
    code, out, _ = run(["tags", "show", "aum_tier", "--workspace", str(folder)], capsys)
    assert code == 0 and [line for line in lines if line not in out.splitlines()] == []
    assert (text("coverage.unpublished", language)) in out
