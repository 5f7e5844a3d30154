"""The case book: what a practitioner expects of typical records, one line why each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from identity_records import grouped

from identity.joining.decide import refused_links
from identity.rules.rules import read_rules
from lakehouse.settings.yaml_files import load_yaml, plain

BOOK = Path(__file__).parents[2] / "cases" / "identity"
CASES = [(file.stem, case) for file in sorted(BOOK.glob("*.yml")) for case in plain(load_yaml(file))]


@pytest.mark.parametrize(("page", "case"), CASES, ids=[f"{page}: {case['case']}" for page, case in CASES])
def test_records_are_grouped_as_the_case_book_says(page, case, tmp_path):
    rules_file = tmp_path / "identity.yml"
    if "rules" in case:
        rules_file.write_text(case["rules"], encoding="utf-8")
    people, seen, grouping = grouped(case["records"], read_rules(rules_file))
    expected = {frozenset(person) for person in case["people"]}
    assert people == expected, case["why"]
    if "refused" in case:
        rows = refused_links(seen, grouping).to_pylist()
        assert {f"{r['namespace']}: {r['rule']}" for r in rows} == set(case["refused"])


@pytest.mark.parametrize(("page", "case"), CASES, ids=[f"{page}: {case['case']}" for page, case in CASES])
def test_the_order_of_records_never_matters(page, case, tmp_path):
    rules_file = tmp_path / "identity.yml"
    if "rules" in case:
        rules_file.write_text(case["rules"], encoding="utf-8")
    records = [case["records"][i] for i in np.random.default_rng(7).permutation(len(case["records"]))]
    assert grouped(records, read_rules(rules_file))[0] == {frozenset(person) for person in case["people"]}
