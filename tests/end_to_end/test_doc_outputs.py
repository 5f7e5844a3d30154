"""Every output that a page shows is what the command prints."""

from __future__ import annotations

import difflib
import os
import runpy
import shutil
from pathlib import Path

import pytest

from jobs.cli import run
from jobs.workspace.make import make_workspace as make
from tests.doc_outputs import KEYS, PAGES, ROOT, agrees, blocks_of, files_of

BLOCKS = [block for page in PAGES for block in blocks_of(page.read_text(encoding="utf-8"), str(page.name))]
# Workspaces that need a night are made by slow tests.
SLOW = ("bank", "telecom")


def of_workspace(*names):
    return [
        pytest.param(block, id=f"{block[0].page}:{block[0].line}")
        for block in BLOCKS
        if block[0].workspace in names
    ]


def changed_workspace(folder, file, text):
    """Write a file of a workspace beside another one, which has the same settings but for such files."""
    other = (folder.parent / file.relative_to(folder / "..").parts[0]).resolve()
    if not other.exists():
        shutil.copytree(folder, other, ignore=shutil.ignore_patterns("secrets", "inbox", "schema"))
    place = file.parent.resolve() / file.name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def in_workspace(tmp_path_factory):
    """A function that makes a workspace of the pages once, with the keys of the pages, and moves into it."""
    folders = {}
    here, environment = Path.cwd(), dict(os.environ)
    os.environ.update(KEYS)
    os.environ.pop("CDP_WORKSPACE", None)

    def enter(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("pages") / name
            if name == "telecom":
                made = ROOT / "examples" / name
                shutil.copytree(made, folders[name])
                runpy.run_path(str(made / "make_subscribers.py"))["write_file"](
                    folders[name], 1000, "2026-11-01"
                )
            else:
                make(folders[name], name)
            files = [item for page in PAGES for item in files_of(page.read_text(encoding="utf-8")).items()]
            # What is beside a workspace has its settings, so those are complete first.
            for file, text in sorted(files, key=lambda item: item[0].startswith("../")):
                if file.startswith("../"):
                    changed_workspace(folders[name], folders[name] / file, text)
                elif not (folders[name] / file).exists():
                    (folders[name] / file).write_text(text, encoding="utf-8")
            if name == "bank":
                demo = ["demo", "--people", "1000", "--nights", "2", "--history-months", "1"]
                assert run([*demo, "--workspace", str(folders[name])]) == 0
        os.chdir(folders[name])

    yield enter
    os.chdir(here)
    os.environ.clear()
    os.environ.update(environment)


def check(block, in_workspace, capsys):
    in_workspace(block[0].workspace)
    for output in block:
        capsys.readouterr()
        run(output.words)
        printed = capsys.readouterr()
        lines = (printed.out or printed.err).splitlines()
        assert agrees(output.lines, lines), "\n".join(
            difflib.unified_diff(output.lines, lines, f"{output.page}:{output.line}", "printed", lineterm="")
        )


@pytest.mark.parametrize("block", of_workspace("minimal"))
def test_an_output_without_a_night_is_what_is_printed(block, in_workspace, capsys):
    check(block, in_workspace, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("block", of_workspace(*SLOW))
def test_an_output_of_a_night_is_what_is_printed(block, in_workspace, capsys):
    check(block, in_workspace, capsys)


def test_every_shown_output_says_in_which_workspace_it_was_printed():
    assert len(of_workspace("minimal")) >= 3 and len(of_workspace(*SLOW)) >= 9
    outputs = [output for block in BLOCKS for output in block]
    assert [f"{o.page}:{o.line}" for o in outputs if o.workspace not in ("minimal", *SLOW)] == []
    # No command that a page shows stands outside the blocks that are looked at.
    shown = sum(page.read_text(encoding="utf-8").count("\n$ cdp ") for page in PAGES)
    assert shown == len(outputs)


SHOWN = ("code  name", "----  ----", "…", "vip   VIP …", "(2 tags)")


@pytest.mark.parametrize(
    ("printed", "is_same"),
    [
        (["code  name", "----  ----", "age   Age", "vip   VIP customer", "(2 tags)"], True),
        (["code  name", "----  ----", "vip   VIP customer", "(2 tags)"], True),
        (["code  name", "----  ----", "vip   VIP customer", "(3 tags)"], False),
        (["code  names", "----  ----", "vip   VIP customer", "(2 tags)"], False),
        (["code  name", "----  ----", "vip   VIP customer", "(2 tags)", "more"], False),
    ],
)
def test_an_output_that_drifted_is_seen(printed, is_same):
    assert agrees(SHOWN, printed) == is_same
