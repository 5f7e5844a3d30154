"""Faults: files that are unusable as a whole."""

from __future__ import annotations

import json

from click.testing import CliRunner
from delivery_files import files, rows

from jobs.cli.simulate import command


def test_faults_make_four_files_of_the_last_night_unusable_and_nothing_else(tmp_path):
    results = {}
    for name, options in (("sound", []), ("spoilt", ["--faults"])):
        outcome = CliRunner().invoke(
            command,
            [
                "--people",
                "300",
                "--nights",
                "2",
                "--history-months",
                "1",
                "--out",
                str(tmp_path / name),
                *options,
            ],
        )
        assert outcome.exit_code == 0, outcome.output
        results[name] = (json.loads(outcome.output), files(tmp_path / name / "inbox"))
    assert results["spoilt"][0]["faults"] == 4
    sound_files, spoilt_files = results["sound"][1], results["spoilt"][1]
    assert sound_files.keys() == spoilt_files.keys()
    changed_files = {name for name in sound_files if sound_files[name] != spoilt_files[name]}
    faults = {
        f"{r['feed']}/{r['business_date']}/{r['file']}" for r in rows(tmp_path / "spoilt/truth/faults.csv")
    }
    assert changed_files == faults
    assert all("2026-11-19" in name for name in changed_files)
