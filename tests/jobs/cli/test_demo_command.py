"""``cdp demo`` for a folder that is no workspace says how to make the bank there."""

from __future__ import annotations

from jobs.cli import run


def test_a_folder_that_is_not_there_is_told_how_to_become_the_bank(tmp_path, capsys):
    folder = tmp_path / "a bank"
    assert run(["demo", "--workspace", str(folder)]) == 2
    sentence = f"the workspace folder {folder} does not exist; make one with the simulated bank by `cdp init --example bank '{folder}'`"
    assert sentence in capsys.readouterr().err
    assert not folder.exists()
