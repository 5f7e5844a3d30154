"""Tags of a past night computed again from what was known then, and written into its snapshot: a month end of a small bank."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from jobs.cli import run
from jobs.night.nightly import run_night
from lakehouse.query.published import open_publication
from lakehouse.settings.settings import load_settings

ROOT = Path(__file__).resolve().parents[3]
BANK = ROOT / "examples" / "bank"
MONTH_END, NEXT = date(2026, 11, 30), date(2026, 12, 1)
SNAPSHOT = f"SELECT * FROM tags.customer_tags_daily WHERE as_of = DATE '{MONTH_END}' ORDER BY one_id"


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """A bank of 300 people whose night of a month end and the one after are published."""
    from simulator.simulation import simulate
    from simulator.world.bank import BankPlan

    folder = tmp_path_factory.mktemp("bank")
    ignored = shutil.ignore_patterns("lake", "inbox", "truth", "reports", "published", "secrets", ".cdp")
    shutil.copytree(BANK, folder, dirs_exist_ok=True, ignore=ignored)
    simulate(BankPlan(people=300, nights=2, seed=11, history_months=2, first=MONTH_END), folder)
    settings = load_settings(folder)
    for day in (MONTH_END, NEXT):
        assert run_night(settings, day).exit_code == 0
    return settings


def cdp(settings, capsys, *words):
    """Run a command over the bank; give its exit code and what it prints as JSON, None where that is no row."""
    code = run(["tags", *words, "--workspace", str(settings.workspace), "--format", "json"])
    printed = capsys.readouterr().out.strip()
    return code, json.loads(printed) if printed else None


@pytest.mark.slow
def test_a_past_night_is_what_it_was_and_a_backfill_changes_no_value_that_it_had(bank, capsys):
    assert cdp(bank, capsys, "check", "--as-of", str(MONTH_END)) == (0, None), "no tag differs"
    with open_publication(bank) as published:
        before = published.rows(SNAPSHOT)
    for _ in range(2):
        code, _ = cdp(bank, capsys, "backfill", "age,aum_tier", "--months", "1", "--identity", "as-of")
        assert code == 0
    with open_publication(bank) as published:
        assert published.rows(SNAPSHOT) == before
        rows = published.rows("SELECT as_of, tag, identity, known_on FROM tags.backfills ORDER BY tag")
    assert rows == [(MONTH_END, tag, "as-of", NEXT) for tag in ("age", "aum_tier")]


@pytest.mark.slow
def test_what_cannot_be_computed_is_one_sentence_and_changes_nothing(bank, capsys):
    with open_publication(bank) as published:
        seq = published.publication.seq
    for words in (
        ("backfill", "age", "--months", "2"),
        ("backfill", "age", "--months", "0"),
        ("backfill", "agee", "--months", "1"),
        ("backfill", "p_churn_90d", "--months", "1"),
        ("check", "--as-of", "2026-10-31"),
    ):
        assert run(["tags", *words, "--workspace", str(bank.workspace)]) == 2, words
        assert "Traceback" not in capsys.readouterr().err
    with open_publication(bank) as published:
        assert published.publication.seq == seq


KILLED_MIDWAY = """\
import os, signal, sys
from jobs.cli import run
from lakehouse.tables.lake import Lake
replace = Lake.replace_partition
def die(lake, table, rows, **keys):
    replace(lake, table, rows, **keys)
    if table == "tags.backfills":
        os.kill(os.getpid(), signal.SIGKILL)
Lake.replace_partition = die
run(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_backfill_that_is_killed_midway_is_not_seen_and_the_next_one_is_as_if_it_had_never_been(
    bank, tmp_path, capsys
):
    """Killed after the snapshot and the first of two tags are written, and before anything is published."""
    whole, killed = (
        load_settings(shutil.copytree(bank.workspace, tmp_path / name)) for name in ("whole", "killed")
    )
    words = ["backfill", "age,aum_tier", "--months", "1", "--identity", "today"]

    def tables(settings):
        names = ("tags.customer_tags", "tags.customer_tags_daily", "tags.backfills", "tags.tag_history")
        with open_publication(settings) as published:
            return {name: published.rows(f"SELECT * FROM {name} ORDER BY ALL") if name in published.publication.tables else []
                    for name in names}  # fmt: skip

    before = tables(killed)
    command = [sys.executable, "-c", KILLED_MIDWAY, "tags", *words, "--workspace", str(killed.workspace)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert tables(killed) == before, "a reader sees what is published"
    for settings in (whole, killed):
        assert cdp(settings, capsys, *words)[0] == 0
    assert tables(killed) == tables(whole)
    assert len(tables(whole)["tags.backfills"]) == 2
    assert run(["fsck", "--workspace", str(killed.workspace)]) == 0, capsys.readouterr()
