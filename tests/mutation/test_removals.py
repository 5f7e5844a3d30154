"""Every mechanism of the security page is taken out once; its test must fail."""

from __future__ import annotations

import shutil
from importlib.util import cache_from_source
from pathlib import Path
from subprocess import TimeoutExpired

import pytest

from tests.mutation.removals import ROOT, Removal, attacks, copied_tree, forked_tests, outcome, removals

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
    # pytest compiles these by time and size, which a change may leave as they are.
    assert [one.name for one in removals() if Path(one.module).name.startswith(("test_", "conftest"))] == []
    missing = []
    for one in removals():
        file, *names = one.test.split("::")
        text = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""
        missing += [one.test for name in names if f"def {name.split('[')[0]}(" not in text]
    assert missing == []


@pytest.fixture(scope="module")
def tests(tmp_path_factory):
    """What runs tests in a copy of the tree, whose files are changed."""
    forked = forked_tests(copied_tree(tmp_path_factory.mktemp("tree")))
    yield forked
    forked.close()


def cases():
    """Give each removal as a case; in some groups, so that test processes share them."""
    for at, removal in enumerate(removals()):
        group = pytest.mark.xdist_group(f"removals {at % GROUPS}")
        yield pytest.param(removal, id=removal.name, marks=group)


@pytest.mark.slow
@pytest.mark.parametrize("removal", list(cases()))
def test_a_mechanism_that_is_taken_out_is_missed(removal, tests, tmp_path):
    code, words = outcome(removal, tests, tmp_path / "files")
    if code == 0 and " skipped" in words and " passed" not in words:
        pytest.skip(f"its test needs what is not here: {words[-200:]}")
    assert (code, words.startswith("error: ")) == (1, False), words


RULE_TESTS = """\
import time

import pytest

from rule import ANSWER


@pytest.fixture
def broken():
    assert ANSWER == 2


def test_rule():
    assert ANSWER == 1


def test_nothing():
    pass


def test_around(broken):
    pass


def test_for_ever():
    time.sleep(60)
"""


@pytest.fixture
def small_tree(tmp_path):
    """What runs tests in a tree of one rule."""
    tree = tmp_path / "tree"
    server = tree / "tests" / "mutation" / "forked_tests.py"
    server.parent.mkdir(parents=True)
    shutil.copy2(ROOT / "tests" / "mutation" / "forked_tests.py", server)
    (tree / "rule.py").write_text("ANSWER = 1\n")
    (tree / "test_rule.py").write_text(RULE_TESTS)
    (tree / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "-q -p no:cacheprovider"\n')
    forked = forked_tests(tree)
    yield forked
    forked.close()


@pytest.mark.slow
def test_what_no_test_sees_ends_with_0_and_an_error_around_a_test_is_called_one(small_tree, tmp_path):
    def ends(after, test):
        code, words = outcome(
            Removal("", "rule.py", "= 1", after, f"test_rule.py::{test}"), small_tree, tmp_path / "files"
        )
        return code, words.startswith("error: ")

    assert ends("= 2", "test_rule") == (1, False)
    assert ends("= +1", "test_rule") == (0, False)
    assert ends("= 2", "test_nothing") == (0, False)
    assert ends("= 3", "test_around") == (1, True)
    assert ends("= 2", "test_around") == (0, False)
    assert ends("= 2", "test_rule") == (1, False)
    assert ends("= 2", "test_that_is_not_there")[0] == 4
    assert (small_tree.tree / "rule.py").read_text() == "ANSWER = 1\n"


@pytest.mark.slow
def test_a_compiled_module_is_held_against_its_text_and_not_against_time_and_size(small_tree, tmp_path):
    compiled = Path(cache_from_source(str(small_tree.tree / "rule.py")))
    assert compiled.read_bytes()[4] == 0b11
    outcome(Removal("", "rule.py", "= 1", "= 2", "test_rule.py::test_rule"), small_tree, tmp_path / "files")
    assert compiled.read_bytes()[4] == 0b11


@pytest.mark.slow
def test_tests_that_take_too_long_are_ended_and_others_run_after_them(small_tree, tmp_path):
    with pytest.raises(TimeoutExpired):
        small_tree.run(["-n", "0", "test_rule.py::test_for_ever"], tmp_path / "files", 5)
    assert small_tree.run(["-n", "0", "test_rule.py::test_rule"], tmp_path / "files", 60)[0] == 0
