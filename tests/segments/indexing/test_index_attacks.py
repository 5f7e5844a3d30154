"""What a careless or hostile hand does to the index of people: each ends in one sentence, and no preview says anything else."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from index_bank import index, show
from segment_bank import D

from jobs.cli import run
from lakehouse.ledger.ledger import publish as make_visible
from lakehouse.query.published import newest_publication
from segments import delete_old_indexes
from segments.indexing import making
from segments.indexing.files import IndexWriter, index_folder

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def command(bank, capsys):
    """A function that runs ``cdp segments index`` and gives exit code and the one sentence it says on stderr."""

    def function(*words):
        capsys.readouterr()
        code = run(["segments", "index", *words, "--workspace", str(bank.settings.workspace)])
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) <= 1, lines
        return code, "".join(lines)

    return function


@pytest.fixture
def root(bank):
    """The folder of all indexes, which the index of a bank without one does not have."""
    return bank.settings.lake / "_preview"


def place_of(bank):
    return index_folder(bank.settings, newest_publication(bank.settings))


@pytest.mark.slow
def test_one_index_is_made_at_a_time_and_nobody_deletes_one_that_is_being_made(bank, command, root):
    expected = show(bank, "rich")
    with IndexWriter(bank.settings, newest_publication(bank.settings)) as writer:
        (writer.folder / "00000.bits").write_bytes(b"people")
        for words in ((), ("--drop",)):
            code, sentence = command(*words)
            assert (
                code == 4 and "another writer holds the index of people: segments index, process" in sentence
            )
        assert delete_old_indexes(bank.settings) == 0, "a night leaves it, and does not fail by it"
        assert (writer.folder / "00000.bits").read_bytes() == b"people"
        assert show(bank, "rich") == expected, "half an index is none"
    assert not writer.folder.exists()
    assert command() == (0, "") and place_of(bank).is_dir()
    assert show(bank, "rich") == expected


def test_what_a_killed_one_left_is_deleted_by_whoever_comes_next(bank, command, root):
    for following in (command, lambda: command("--drop"), lambda: delete_old_indexes(bank.settings)):
        left = root / ".unfinished-killed"
        left.mkdir(parents=True)
        (left / "00000.bits").write_bytes(b"people")
        following()
        assert not left.exists()


@pytest.mark.slow
def test_a_process_that_is_killed_midway_changes_no_answer_and_holds_off_nobody(bank, command, root):
    expected = show(bank, "rich")
    script = (
        "import os, signal, sys\n"
        "from segments.indexing.files import IndexWriter\n"
        "from jobs.cli import run\n"
        "add = IndexWriter.add\n"
        "def die(self, name, column):\n"
        "    add(self, name, column)\n"
        "    if len(self.entries) == 5:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "IndexWriter.add = die\n"
        "run(sys.argv[1:])\n"
    )
    words = ["segments", "index", "--workspace", str(bank.settings.workspace)]
    killed = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=ROOT, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    (left,) = root.glob(".unfinished-*")
    assert len(list(left.glob("*.bits"))) == 5
    assert show(bank, "rich") == expected
    assert command() == (0, "")
    assert not left.exists() and show(bank, "rich") == expected


@pytest.mark.slow
def test_an_index_that_a_night_overtakes_is_not_left_behind(bank, command, root, monkeypatch):
    index(bank)
    groups = making._Maker._add_groups

    def overtaken(maker):
        groups(maker)
        make_visible(bank, D, "second", {})

    with monkeypatch.context() as patch:
        patch.setattr(making._Maker, "_add_groups", overtaken)
        code, sentence = command()
    assert code == 1 and "a night was published while the index of 2026-11-18 was made" in sentence
    assert not list(root.glob("[!.]*")) and not list(root.glob(".unfinished-*"))
    expected = show(bank, "rich")
    assert command() == (0, "") and show(bank, "rich") == expected


@pytest.mark.slow
def test_the_index_of_another_lake_is_said_and_answers_nothing(bank, command, tmp_path):
    expected = show(bank, "rich")
    index(bank)
    other = tmp_path / "other"
    shutil.copytree(place_of(bank), other)
    make_visible(bank, D, "another lake", {})
    shutil.copytree(other, place_of(bank))
    figures = show(bank, "rich")
    (note,) = figures.notes
    assert "is not of this publication" in note
    figures.notes.clear()
    assert (figures.counts, figures.funnel) == (expected.counts, expected.funnel)
    assert command() == (0, "") and show(bank, "rich").notes == []


@pytest.mark.parametrize(
    ("where", "leads_to"),
    [("all indexes", "a folder"), ("all indexes", "nowhere"), ("the index", "a folder")],
)
def test_nothing_is_read_written_or_deleted_through_a_link(bank, command, root, tmp_path, where, leads_to):
    expected = show(bank, "rich")
    index(bank)
    link = root if where == "all indexes" else place_of(bank)
    foreign = tmp_path / "foreign"
    link.rename(foreign)
    (foreign / "precious").write_text("precious")
    link.symlink_to(foreign if leads_to == "a folder" else tmp_path / "nowhere")
    files = {path: path.read_bytes() for path in foreign.rglob("*") if path.is_file()}

    figures = show(bank, "rich")
    (note,) = figures.notes
    assert f"{link}: a link stands where the index belongs" in note
    figures.notes.clear()
    assert figures == expected
    if where == "all indexes":
        for words in ((), ("--drop",)):
            code, sentence = command(*words)
            assert code == 1 and "move away what stands here" in sentence
        assert delete_old_indexes(bank.settings) == 0
    else:
        assert command() == (0, "")
        assert not link.is_symlink() and show(bank, "rich") == expected
    assert {path: path.read_bytes() for path in foreign.rglob("*") if path.is_file()} == files
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("what", ["INDEX.json", "00001.bits", "00001.values"])
def test_a_pipe_in_the_place_of_a_file_holds_up_nobody(bank, what):
    expected = show(bank, "rich")
    folder = index(bank)
    for file in folder.glob(f"*{Path(what).suffix}"):
        file.unlink()
        os.mkfifo(file)
    figures = show(bank, "rich")
    (note,) = figures.notes
    assert note.startswith("the index of people is not used: ")
    figures.notes.clear()
    assert figures == expected


def test_a_disk_that_may_not_be_written_is_one_sentence_and_no_night_fails_by_it(
    bank, command, root, monkeypatch, capsys
):
    def refuse(*_, prefix="", dir=None, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir))

    expected = show(bank, "rich")
    index(bank)
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    code, sentence = command()
    assert code == 1 and f"the disk refused to go on at {root}: Read-only file system" in sentence
    assert show(bank, "rich") == expected, "what is there goes on answering"
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    code, sentence = command("--drop")
    assert code == 1 and sentence.startswith(f"cdp: {place_of(bank)}: the index cannot be deleted")
    make_visible(bank, D, "second", {})
    assert delete_old_indexes(bank.settings) == 0
    assert f"old indexes of people are not deleted: {root} cannot be written to" in capsys.readouterr().err
