"""No tag is online without golden cases of every kind that applies to it.

The cases are those of ``tests/tags/golden/books``. A module of tests that draws a bank of its own (``test_golden*.py``) says what it holds by
``GOLDEN``: by tag the kinds of its cases.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from pathlib import Path

import pytest

from tags.compile.compilation import compile_tags
from tests.tags.golden.cases import KINDS
from tests.tags.golden.test_golden_online import BOOKS, CASES
from vocabulary.registry import Entry

# Kinds that a tag cannot have, each with the reason.
EXEMPT = {
    ("is_global_control", "default"): "everybody has a bucket, so nothing is ever absent",
    ("is_open_to_first_loan", "default"): "whoever has no record is open, so nobody has the value of absence",
}


def required_kinds(entry: Entry) -> set[str]:
    """Give the kinds of cases that a tag needs: a default where absence has a value, a null where there can be one."""
    kinds = {"positive", "negative", "boundary"}
    if entry.default_reason is None:
        kinds.add("default")
    if entry.default_reason is not None or entry.null_when:
        kinds.add("null")
    return {kind for kind in kinds if (entry.code, kind) not in EXEMPT}


def kinds_of_cases() -> dict[str, set[str]]:
    """Give by tag the kinds of its cases in the books and in the modules that say so."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for case in CASES:
        kinds[case.tag].add(case.kind)
    for file in sorted(Path(__file__).parent.glob("test_golden*.py")):
        module = importlib.import_module(f"tests.tags.golden.{file.stem}")
        for code, own in getattr(module, "GOLDEN", {}).items():
            assert set(own) <= set(KINDS), f"{file.name}: {own} of {code} are no kinds of cases"
            kinds[code] |= set(own)
    return kinds


def missing_cases(entries: list[Entry], kinds: dict[str, set[str]]) -> list[str]:
    """Give a sentence for every online tag that lacks a kind of case."""
    sentences = []
    for entry in entries:
        if missing := sorted(required_kinds(entry) - kinds.get(entry.code, set())):
            sentences.append(
                f"{entry.code} has no golden case of the kind {', '.join(missing)}: add them to a book of tests/tags/golden/books"
            )
    return sentences


def test_every_online_tag_has_golden_cases_of_every_kind():
    missing = missing_cases(compile_tags(None).registry.online(), kinds_of_cases())
    assert not missing, "\n".join(missing)


def test_a_new_online_tag_is_missed(make_workspace):
    tag = """
        family: site
        tags:
          - code: site_orders
            name: {zh: 测试, en: Test}
            definition: {zh: 测试, en: Test}
            kind: fact
            value: {type: int}
            null_rule: Z
            level: C2
            purposes: [service]
            inputs: [trusted.orders.ordered_on]
            compute: {aggregate: {from: trusted.orders, measure: count, window_days: 40}}
            owner: data
            version: 1.0.0
            status: online
    """
    registry = compile_tags(make_workspace({"tags/site.yml": tag})).registry
    assert missing_cases(registry.online(), kinds_of_cases()) == [
        "site_orders has no golden case of the kind boundary, default, negative, positive: add them to a book of tests/tags/golden/books"
    ]


def test_every_case_is_about_an_online_tag_and_no_exemption_is_idle():
    online = {entry.code: entry for entry in compile_tags(None).registry.online()}
    assert {case.tag for case in CASES} <= set(online)
    kinds = kinds_of_cases()
    assert [key for key in EXEMPT if key[1] in kinds[key[0]] or not EXEMPT[key]] == []


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: Path(book.__file__).stem)
def test_every_case_says_why(book):
    assert [f"{case.person}.{case.tag}" for case in book.CASES if not case.why or not case.answer] == []
