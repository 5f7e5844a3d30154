"""Searching tags in two languages: which are the answer, in which order, from the index and without it."""

from __future__ import annotations

import json
import os

import pytest

from lakehouse.errors import SettingsInvalid, UsageError
from tags import search
from tags.search import SearchableTag, search_tags, searchable_tags


def tag(code, name_en, name_zh, *, family="value", status="online", definition="", owner="retail"):
    return SearchableTag(
        code, family, "bank", "fact", status, name_en, name_zh, definition, "", owner, "data"
    )


TAGS = [
    tag("aum_eod", "Assets", "资产规模"),
    tag("aum_tier", "Tier of assets", "资产等级"),
    tag("aum_old", "Assets, old", "旧资产规模", status="offline"),
    tag("fund_share", "Share of funds", "基金占比", definition="Funds by 100 % of AUM."),
    tag("risk_grade", "Grade", "风险等级", family="risk", owner="compliance"),
]


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ("aum_tier", ["aum_tier"]),
        ("AUM", ["aum_eod", "aum_tier", "aum_old", "fund_share"]),
        ("ＡＵＭ＿ＥＯＤ", ["aum_eod"]),
        ("assets", ["aum_eod", "aum_tier", "aum_old"]),
        ("资产等级", ["aum_tier"]),
        ("资产，等级。", ["aum_tier"]),
        ("等级", ["aum_tier", "risk_grade"]),
        ("产模", ["aum_eod", "aum_old"]),
        ("模产", []),
        ("compliance", ["risk_grade"]),
        ("risk", ["risk_grade"]),
        ("assets tier", ["aum_tier"]),
        ("assets compliance", []),
        ("100%", ["fund_share"]),
        ("aum.*", ["aum_eod", "aum_tier", "aum_old", "fund_share"]),
        ("au.{2}od", []),
        ("'; drop table tags; --", []),
        ('"assets"', ["aum_eod", "aum_tier", "aum_old"]),
    ],
)
def test_every_word_must_occur_and_the_closest_tag_comes_first(words, codes):
    assert [answer.code for answer in search_tags(TAGS, words)] == codes


@pytest.mark.parametrize("words", ["", "   ", "，。！", ".*", "_", "'\"", "\x00"])
def test_words_without_a_letter_are_refused(words):
    with pytest.raises(UsageError, match="there is no word to search for"):
        search_tags(TAGS, words)


def test_ten_thousand_letters_are_refused_without_repeating_them():
    with pytest.raises(UsageError, match=r"^search for at most 200 letters, not 10,000$"):
        search_tags(TAGS, "a" * 10_000)


SITE = """\
family: site
tags:
  - code: pet_count
    name: {zh: 宠物数, en: Pets}
    definition: {zh: 宠物的数量, en: How many pets}
    kind: fact
    value: {type: int}
    null_rule: U
    level: C1
    purposes: [marketing]
    inputs: []
    owner: {business: marketing, tech: data}
    version: 1.0.0
    status: draft
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    monkeypatch.setattr(search, "REGISTRY", shipped)
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "site.yml").write_text(SITE, encoding="utf-8")
    return tmp_path


def test_the_index_answers_for_the_texts_it_was_made_of_only(site, monkeypatch):
    index = site / ".cdp" / "tag_search.json"
    (first,) = searchable_tags(site, index)
    assert (first.code, first.name_zh, first.owner_business) == ("pet_count", "宠物数", "marketing")
    assert index.stat().st_mode & 0o077 == 0

    with monkeypatch.context() as context:
        context.setattr(search, "load_registry", lambda *a, **k: pytest.fail("the registry is read again"))
        assert searchable_tags(site, index) == [first]

    (site / "tags" / "site.yml").write_text(SITE.replace("宠物数", "宠物总数"), encoding="utf-8")
    assert searchable_tags(site, index)[0].name_zh == "宠物总数"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": 1}', "[" * 100_000, "STATE"])
def test_a_damaged_index_is_made_anew(site, text):
    index = site / ".cdp" / "tag_search.json"
    tags = searchable_tags(site, index)
    state = json.loads(index.read_text(encoding="utf-8"))["state"]
    damaged = json.dumps({"state": state, "tags": [[1] * 10]}) if text == "STATE" else text
    index.write_text(damaged, encoding="utf-8")
    assert searchable_tags(site, index) == tags
    assert json.loads(index.read_text(encoding="utf-8"))["state"] == state


def test_a_folder_that_takes_no_index_costs_time_only(site):
    (site / ".cdp").write_text("a file", encoding="utf-8")
    assert [entry.code for entry in searchable_tags(site, site / ".cdp" / "tag_search.json")] == ["pet_count"]


def test_a_broken_tag_file_is_named_although_an_index_exists(site):
    index = site / ".cdp" / "tag_search.json"
    searchable_tags(site, index)
    (site / "tags" / "site.yml").write_text(SITE + "    wight: 1\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid, match="unknown key 'wight'"):
        searchable_tags(site, index)


def test_a_workspace_without_tags_has_no_answer(site):
    (site / "tags" / "site.yml").unlink()
    assert searchable_tags(site, site / ".cdp" / "tag_search.json") == []


def test_an_index_that_is_a_pipe_keeps_nobody_waiting(site):
    (site / ".cdp").mkdir()
    os.mkfifo(site / ".cdp" / "tag_search.json")
    assert [entry.code for entry in searchable_tags(site, site / ".cdp" / "tag_search.json")] == ["pet_count"]
