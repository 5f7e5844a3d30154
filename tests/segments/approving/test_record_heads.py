"""Decisions that are taken away from the end of their record, or with all of it, are missed by whoever reads it next."""

from __future__ import annotations

import json

import pytest
from approval_bank import Bank, files_of
from segment_bank import D

from jobs.cli import run
from lakehouse.errors import SettingsInvalid, StepFailed
from segments import require_decisions
from segments.approving.heads import head_file

GONE = "recorded decisions is not there any more; restore the file from a backup"


@pytest.fixture
def bank(make_workspace, monkeypatch):
    """A bank in which compliance holds a segment, after two approvals."""
    bank = Bank(make_workspace(files_of()), monkeypatch)
    bank.approve_all()
    assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "wording") == 0
    return bank


def record(bank):
    return bank.folder / "audit" / "segments.jsonl"


def without_last(file):
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))


LOSSES = {
    "the file": lambda file: file.unlink(),
    "its folder": lambda file: file.parent.rename(file.parent.with_name("away")),
    "all lines": lambda file: file.write_text(""),
    "the last line": without_last,
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_hold_that_is_taken_out_of_the_record_is_missed(bank, capfd, loss):
    LOSSES[loss](record(bank))
    with pytest.raises(StepFailed, match=GONE):
        bank.standing(D)
    with pytest.raises(StepFailed, match=GONE):
        require_decisions(bank.settings, None)
    capfd.readouterr()
    for words in (
        ("approvals", "rich"),
        ("check",),
        ("release", "rich", "--role", "compliance"),
    ):
        assert bank.cdp("zhao", *words) == 1, words
        err = capfd.readouterr().err
        assert GONE in err and "cdp segments begin-anew" in err and "Traceback" not in err
    assert bank.log() == [] or loss == "the last line", "nothing is added to what lost something"


def test_doctor_and_fsck_say_that_decisions_are_gone(bank, capfd):
    record(bank).unlink()
    for command in (["doctor"], ["fsck"]):
        capfd.readouterr()
        assert run([*command, "--workspace", str(bank.folder)]) != 0
        assert GONE in "".join(capfd.readouterr())


@pytest.mark.parametrize("words", ["", "{}", "[]", '{"count": 0, "signature": "", "seal": ""}', "\xff"])
def test_a_head_that_nobody_here_sealed_is_refused(bank, words):
    head_file(bank.settings).write_text(words, encoding="latin-1")
    with pytest.raises(StepFailed, match="is not sealed by this workspace's decisions_key"):
        bank.standing(D)


def test_a_head_that_is_no_file_is_refused(bank):
    head_file(bank.settings).unlink()
    head_file(bank.settings).symlink_to("nowhere")
    with pytest.raises(SettingsInvalid, match="does not exist"):
        bank.standing(D)


def test_a_head_says_nothing_of_a_lower_count_than_it_was_sealed_for(bank):
    tree = json.loads(head_file(bank.settings).read_text())
    without_last(record(bank))
    head_file(bank.settings).write_text(
        json.dumps(tree | {"count": 2, "signature": bank.log()[-1]["signature"]})
    )
    with pytest.raises(StepFailed, match="is not sealed"):
        bank.standing(D)


def test_a_crash_between_record_and_head_locks_nobody_out(bank):
    before = head_file(bank.settings).read_text()
    assert bank.cdp("wang", "pause", "rich", "--role", "lead") == 0
    head_file(bank.settings).write_text(before)
    assert bank.standing(D).barrier.kind == "hold"
    require_decisions(bank.settings, None)
    assert json.loads(head_file(bank.settings).read_text())["count"] == 4, "a night moves it on"
    head_file(bank.settings).unlink()  # a workspace whose decisions are older than heads
    require_decisions(bank.settings, None)
    assert json.loads(head_file(bank.settings).read_text())["count"] == 4
    assert bank.cdp("wang", "resume", "rich", "--role", "lead") == 0
    without_last(record(bank))
    with pytest.raises(StepFailed, match=GONE):
        bank.standing(D)


def test_what_the_disk_does_not_take_is_not_decided(bank, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    before = record(bank).read_bytes()
    with monkeypatch.context() as full:
        full.setattr("segments.approving.decisions.write_head", refuse)
        assert bank.cdp("wang", "pause", "rich", "--role", "lead") == 1
    assert record(bank).read_bytes() == before
    assert bank.cdp("wang", "pause", "rich", "--role", "lead") == 0


def test_a_record_that_is_lost_for_good_begins_anew_and_says_so(bank, capfd):
    words = ("begin-anew", "--role", "compliance", "--reason", "the backup burnt")
    assert bank.cdp("zhao", *words) == 2, "a whole record goes on"
    assert "is whole; nothing was recorded" in capfd.readouterr().err
    without_last(record(bank))
    assert bank.cdp("wang", "begin-anew", "--role", "lead", "--reason", "x") == 2, "a role that may not hold"
    assert bank.cdp("zhao", *words) == 0
    assert "decide every hold, pause, recall and approval again" in capfd.readouterr().out
    (first,) = bank.log()
    assert (first["action"], first["user"], first["note"], first["seq"]) == (
        "begin",
        "zhao",
        "the backup burnt",
        1,
    )
    assert len(list(record(bank).parent.glob("segments.*.jsonl"))) == 1, "the older one is kept"
    assert bank.standing(D).barrier.kind == "E15", "approvals are gone with it"
    assert bank.cdp("zhao", "hold", "rich", "--role", "compliance", "--reason", "wording") == 0
    record(bank).write_text("")
    with pytest.raises(StepFailed, match=GONE):
        require_decisions(bank.settings, None)
