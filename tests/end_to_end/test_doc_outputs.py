"""Every output that a page shows is what the command prints."""

from __future__ import annotations

import difflib
import os
import shutil
from pathlib import Path

import pytest

from jobs.cli import run
from jobs.workspace.make import make_workspace as make
from tests.doc_outputs import KEYS, PAGES, agrees, files_of, outputs_of

OUTPUTS = [
    output for page in PAGES for output in outputs_of(page.read_text(encoding="utf-8"), str(page.name))
]
# Workspaces that need a night are made by slow tests.
SLOW = ("bank",)


def of_workspace(*names):
    return [
        pytest.param(output, id=f"{output.page}:{output.line}")
        for output in OUTPUTS
        if output.workspace in names
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


def check(output, in_workspace, capsys):
    in_workspace(output.workspace)
    capsys.readouterr()
    run(output.words)
    printed = capsys.readouterr()
    lines = (printed.out or printed.err).splitlines()
    assert agrees(output.lines, lines), "\n".join(
        difflib.unified_diff(output.lines, lines, output.page, "printed", lineterm="")
    )


@pytest.mark.parametrize("output", of_workspace("minimal"))
def test_an_output_without_a_night_is_what_is_printed(output, in_workspace, capsys):
    check(output, in_workspace, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("output", of_workspace(*SLOW))
def test_an_output_of_the_simulated_bank_is_what_is_printed(output, in_workspace, capsys):
    check(output, in_workspace, capsys)


def test_every_shown_output_says_in_which_workspace_it_was_printed():
    assert len(of_workspace("minimal")) >= 3 and len(of_workspace(*SLOW)) >= 8
    assert [f"{o.page}:{o.line}" for o in OUTPUTS if o.workspace not in ("minimal", *SLOW)] == []


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
