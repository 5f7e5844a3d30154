"""Rules that decide about people are changed one place at a time; some test must see each change."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.mutation.mutants import ROOT, RULES, Mutant, mutants_of, survivors

JUDGED = Path(__file__).parent / "judged.yml"
SEED = "2026-11"
# The sample that was judged; a larger one is judged first.
SAMPLE = 40


def judged() -> dict[str, str]:
    """Why nobody could see a change, by its name."""
    entries = yaml.safe_load(JUDGED.read_text(encoding="utf-8")) or []
    return {f"{e['module']}: {e['before']} => {e['after']}": e["why"] for e in entries}


@pytest.fixture(scope="module")
def every_mutant() -> list[Mutant]:
    return [mutant for module in RULES for mutant in mutants_of(module)]


@pytest.mark.slow
def test_a_judged_mutant_exists_and_says_why(every_mutant):
    names = {mutant.name for mutant in every_mutant}
    assert [name for name, why in judged().items() if name not in names or len(why) < 20] == []


@pytest.mark.slow
def test_every_rule_module_and_its_tests_exist(every_mutant):
    assert {mutant.module for mutant in every_mutant} == set(RULES)
    assert [test for tests in RULES.values() for test in tests if not (ROOT / test).is_file()] == []
    assert len(every_mutant) > 500


@pytest.mark.slow
def test_a_mutant_changes_one_place_of_python_or_of_sql(every_mutant):
    names = {mutant.name for mutant in every_mutant}
    assert {
        "vocabulary/buckets.py: BUCKETS = 10_000 => BUCKETS = 10001",
        'lakehouse/states/rule.py: return f"CASE WHEN NOT {self.stays} THEN {self.day} END" => return f"CASE WHEN {self.stays} THEN {self.day} END"',
        "identity/joining/limits.py: return counts > self.most => return counts >= self.most",
    } <= names
    assert [mutant.name for mutant in every_mutant if mutant.before == mutant.after] == []
    for mutant in every_mutant[::25]:
        compile(mutant.text, mutant.module, "exec")


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_no_change_of_a_rule_survives_unless_it_was_judged(every_mutant):
    sample = sorted(every_mutant, key=lambda mutant: mutant.place(SEED))[:SAMPLE]
    unseen = survivors(sample)
    assert [mutant.name for mutant in unseen if mutant.name not in judged()] == []
