"""The restore drill of docs/operations.md, as a person would paste it: back up, lose, restore, verify, next night."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from lakehouse.query.published import publications
from lakehouse.settings.settings import load_settings
from simulator.simulation import simulate
from simulator.world.bank import BankPlan

ROOT = Path(__file__).resolve().parents[2]
BANK = ROOT / "examples" / "bank"
FIRST, NEXT = date(2026, 11, 18), date(2026, 11, 19)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_restore_drill_of_the_docs_ends_well(tmp_path):
    workspace, backups, programs = (tmp_path / name for name in ("bank", "backups", "bin"))
    ignored = shutil.ignore_patterns("lake", "inbox", "truth", "reports", "published", "secrets", ".cdp")
    shutil.copytree(BANK, workspace, ignore=ignored)
    simulate(BankPlan(people=300, nights=2, seed=11, history_months=1, first=FIRST), workspace)
    backups.mkdir()
    programs.mkdir()
    cdp = programs / "cdp"
    cdp.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m jobs.cli "$@"\n')
    cdp.chmod(0o755)
    environment = os.environ | {
        "W": str(workspace), "B": str(backups), "D": str(NEXT), "PYTHONPATH": str(ROOT),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip

    def bash(script):
        return subprocess.run(["bash", "-c", script], env=environment, cwd=tmp_path, check=False, capture_output=True, text=True)  # fmt: skip

    night = bash(f'cdp nightly --workspace "$W" --date {FIRST}')
    assert night.returncode == 0, night.stderr
    section = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("### Restore drill")[2]
    script = re.search(r"```bash\n(.*?)```", section, re.S)[1]
    drill = bash(script)
    assert drill.returncode == 0, drill.stdout + drill.stderr
    assert "was delivered to" in drill.stderr and "identity.memberships: the table" in drill.stderr
    assert drill.stdout.count(" 0 faults") == 3
    assert [entry.business_date for entry in publications(load_settings(workspace))] == [FIRST, NEXT]
