"""Every mechanism of the security page is taken out once; its test must fail."""

from __future__ import annotations

import pytest

from tests.mutation.removals import ROOT, attacks, copied_tree, outcome, removals

GROUPS = 6


def test_every_attack_of_the_page_has_a_mechanism_that_is_taken_out():
    assert [attack for attack in attacks() if attack not in {one.attack for one in removals()}] == []
    assert [one.attack for one in removals() if one.attack not in attacks()] == []


def test_what_is_taken_out_stands_once_and_its_test_exists():
    assert [
        one.name
        for one in removals()
        if (ROOT / one.module).read_text(encoding="utf-8").count(one.before) != 1
    ] == []
    missing = []
    for one in removals():
        file, *names = one.test.split("::")
        text = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""
        missing += [one.test for name in names if f"def {name.split('[')[0]}(" not in text]
    assert missing == []


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the tree, to be changed."""
    return copied_tree(tmp_path_factory.mktemp("tree"))


def cases():
    """Give each removal as a case; in some groups, so that test processes share them."""
    for at, removal in enumerate(removals()):
        group = pytest.mark.xdist_group(f"removals {at % GROUPS}")
        yield pytest.param(removal, id=removal.name, marks=group)


@pytest.mark.slow
@pytest.mark.parametrize("removal", list(cases()))
def test_a_mechanism_that_is_taken_out_is_missed(removal, tree, tmp_path):
    code, words = outcome(removal, tree, tmp_path / "files")
    if code == 0 and " skipped" in words and " passed" not in words:
        pytest.skip(f"its test needs what is not here: {words[-200:]}")
    assert (code, words.startswith("error: ")) == (1, False), words
