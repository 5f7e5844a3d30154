"""The declarations that the documentation and the demo bank show are sound over the shipped tags, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tags
from lakehouse.settings.settings import load_settings
from segments.grouping.declaration import findings_of, parse_micro_set, site_of
from segments.language.checks.findings import Surroundings
from vocabulary.tag_facts import read_tag_facts

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "micro-segments.md"
BANK = ROOT / "examples" / "bank" / "micro_segments" / "value_groups.yml"
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def texts():
    page = re.search(r"```yaml\n(spec: .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    return {"page": page, "bank": BANK.read_text(encoding="utf-8")}


@pytest.mark.parametrize("name", ["page", "bank"])
def test_a_declaration_can_be_used_as_it_stands(make_workspace, name):
    settings = load_settings(make_workspace())
    one = parse_micro_set(texts()[name], settings.workspace / "micro_segments" / "value_groups.yml")
    facts = read_tag_facts(settings.workspace, shipped=tags.REGISTRY)
    assert list(findings_of(one, site_of(settings, Surroundings(facts, {})))) == []
    assert one.code == "value_groups"
    for name_of_people in (one.spec.name, *one.spec.labels.values()):
        assert CHINESE.search(name_of_people.zh) and not CHINESE.search(name_of_people.en)


def test_names_texts_and_the_period_do_not_change_the_definition(make_workspace):
    file = make_workspace() / "micro_segments" / "value_groups.yml"
    text = texts()["page"]
    first = parse_micro_set(text, file)
    for other in (
        text.replace("Value groups}", "Groups}"),
        text.replace("quarter  ", "month  "),
        text.replace("Investors", "Rich"),
    ):
        assert other != text and parse_micro_set(other, file).definition_hash == first.definition_hash
    for other in (text.replace("groups: 5", "groups: 6"), text.replace("20260101", "1"), text.replace("gte: 90", "gte: 91"),
                  text.replace("clip: 0.01", "clip: 0.02"), text.replace(", nulls: median", "")):  # fmt: skip
        assert other != text and parse_micro_set(other, file).definition_hash != first.definition_hash
