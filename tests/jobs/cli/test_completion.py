"""What a shell completes: commands, and the tags, segments and feeds of the workspace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.workspace.make import make_workspace as make

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def shop(tmp_path):
    make(tmp_path / "shop", "minimal")
    return tmp_path / "shop"


def completed(words, cwd, **variables):
    """Give what bash would offer after ``words``, the last of them begun."""
    environment = {name: value for name, value in os.environ.items() if name != "CDP_WORKSPACE"}
    environment |= {
        "_CDP_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1),
        "PYTHONPATH": str(ROOT), **variables,
    }  # fmt: skip
    script = "import sys; sys.argv = ['cdp']; from jobs.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["cdp", "tab"], ["tables"]),
        (["cdp", "segments", "exp"], ["explain"]),
        (["cdp", "tags", "show", "aum_ti"], ["aum_tier"]),
        (["cdp", "segments", "explain", "mem"], ["members_below_40"]),
        (["cdp", "segments", "sql", "mem"], ["members_below_40"]),
        (["cdp", "feeds", "check", "m"], ["members"]),
        (["cdp", "feeds", "check", "x"], []),
        (["cdp", "feeds", "list", "--format", "c"], ["csv"]),
    ],
)
def test_a_word_is_completed_in_a_workspace(shop, words, offered):
    assert completed(words, shop) == offered


def test_a_workspace_that_is_named_is_asked(shop, tmp_path):
    words = ["cdp", "segments", "explain", "--workspace", "shop", "mem"]
    assert completed(words, tmp_path) == ["members_below_40"]
    assert completed(["cdp", "feeds", "check", "mem"], tmp_path, CDP_WORKSPACE=str(shop)) == ["members"]


def test_without_a_workspace_or_with_a_broken_one_nothing_is_offered_and_nothing_said(shop, tmp_path):
    assert completed(["cdp", "segments", "explain", "mem"], tmp_path) == []
    (shop / "segments" / "members_below_40.yml").write_text("spec: [", encoding="utf-8")
    assert completed(["cdp", "segments", "explain", "mem"], shop) == []
