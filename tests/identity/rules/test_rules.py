"""identity.yml: what a workspace may change, and how mistakes are answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from identity.rules.rules import read_rules
from lakehouse.errors import SettingsInvalid


@pytest.fixture
def rules_of(tmp_path):
    def read(text):
        (tmp_path / "identity.yml").write_text(text, encoding="utf-8")
        return read_rules(tmp_path / "identity.yml")

    return read


def test_without_a_file_the_shipped_rules_hold(tmp_path):
    rules = read_rules(tmp_path / "identity.yml")
    assert rules.rule("openid@wx1").kind == "account"
    assert rules.rule("national_id").unique == 1
    assert rules.rule("openid") is None


def test_a_workspace_changes_single_keys_and_adds_to_block_lists(rules_of):
    rules = rules_of(
        "namespaces:\n  phone: {fan_out: 9, block: {exact: ['13700000000']}, unblock: ['13800138000']}\n"
    )
    assert rules.rule("phone").fan_out == 9
    assert rules.rule("phone").strength == 60
    assert "13700000000" in rules.rule("phone").block.exact
    assert "13800138000" not in rules.rule("phone").block.exact
    assert "13900139000" in rules.rule("phone").block.exact


def test_one_application_may_differ_from_its_pattern(rules_of):
    rules = rules_of("namespaces:\n  'unionid@other': {unique: 3}\n")
    assert (rules.rule("unionid@other").unique, rules.rule("unionid@wx").unique) == (3, 1)


def test_the_version_tells_rules_apart_and_nothing_else(rules_of):
    shipped = rules_of("{}\n").version
    assert rules_of("# only a comment\nextends: china\n").version == shipped
    assert rules_of("namespaces:\n  phone: {fan_out: 9}\n").version != shipped


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("namespaces:\n  phone:\n    fan_uot: 3\n", 3, "unknown key 'fan_uot'; did you mean 'fan_out'?"),
        (
            "namespaces:\n  phone: {normaliser: china_mobil}\n",
            2,
            "unknown normaliser 'china_mobil'; did you mean 'china_mobile'?",
        ),
        (
            "namespaces:\n  phone:\n    at_most:\n      - {each: nationalid}\n",
            4,
            "unknown namespace 'nationalid'; did you mean 'national_id'?",
        ),
        (
            "namespaces:\n  phone:\n    at_most:\n      - {people: 2}\n",
            4,
            "either 'any: [...]' or 'each: ...'",
        ),
        ("namespaces:\n  phone:\n    at_most:\n      - {any: [device_id]}\n", 4, "only stronger kinds"),
        ("namespaces:\n  phone: {fan_out: -1}\n", 2, "greater than or equal to 1"),
        ("namespaces:\n  phone: {unique: 1000000}\n", 2, "less than or equal to 10000"),
        ("namespaces:\n  loyalty_no: {strength: 70}\n", 2, "needs a kind"),
        ("namespaces:\n  Phone No: {kind: contact}\n", 2, "is no namespace"),
        ("namespaces:\n  phone:\n    block:\n      patterns:\n        - '(1'\n", 5, "no regular expression"),
        ("extends: japan\n", 1, "extends"),
        ("disagree: [shoe_size]\n", 1, "disagree"),
    ],
)
def test_mistakes_are_answered_with_file_line_and_what_is_meant(rules_of, text, line, words):
    with pytest.raises(SettingsInvalid) as told:
        rules_of(text)
    assert f"identity.yml:{line}: " in str(told.value)
    assert words in str(told.value)


def test_documentation_and_schema_say_one_thing_about_corroborate():
    """What it says is held by the cases of the case book about one name and one phone."""
    root = Path(__file__).parents[3]
    texts = (root / "jobs" / "report" / "schema_texts.yml").read_text(encoding="utf-8")
    text = next(line for line in texts.splitlines() if line.startswith("NamespaceChange.corroborate: "))
    said = text.partition(": ")[2].strip('"')
    assert "at_most" in said
    assert f"| `corroborate` | {said} |" in (root / "docs" / "identity.md").read_text(encoding="utf-8")
    schema = json.loads(
        (root / "docs" / "reference" / "schema" / "identity.json").read_text(encoding="utf-8")
    )
    assert said in _descriptions_of(schema, "corroborate")


def _descriptions_of(tree, key):
    if isinstance(tree, list):
        return [text for item in tree for text in _descriptions_of(item, key)]
    if not isinstance(tree, dict):
        return []
    mine = (
        [tree[key]["description"]] if isinstance(tree.get(key), dict) and "description" in tree[key] else []
    )
    return mine + [text for item in tree.values() for text in _descriptions_of(item, key)]
