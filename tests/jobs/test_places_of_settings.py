"""What stands in the place of a file or folder of settings and is none of its kind: one sentence, and nothing is done as if nothing stood there."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from jobs.cli import run

BANK = Path(__file__).parents[2] / "examples" / "bank"
ROLES = "roles: {comp: {users: [somebody], may: [approve]}}\n"
SEGMENTS, TAGS, DOCTOR = ["segments", "check"], ["tags", "compile", "--check"], ["doctor"]
FILES = {
    "roles.yml": [SEGMENTS],
    "consent.yml": [SEGMENTS],
    "contact_policy.yml": [SEGMENTS],
    "destinations.yml": [SEGMENTS],
    "segment_parameters.yml": [SEGMENTS],
    "attributes.yml": [SEGMENTS, TAGS],
    "lookups.yml": [SEGMENTS, TAGS],
    "marts.yml": [TAGS],
    "tags/own.yml": [SEGMENTS, TAGS],
    "segments/birthday_week.yml": [SEGMENTS],
    "micro_segments/value_groups.yml": [SEGMENTS],
    "templates/wealth_invitation@1.yml": [SEGMENTS],
    "lists/branch_special@1.csv": [SEGMENTS],
    "calendars/exchange@2026.csv": [SEGMENTS],
    "feeds/core_customers.yml": [TAGS],
    "identity.yml": [DOCTOR],
    "expectations/trusted.customers.yml": [DOCTOR],
    "secrets/decisions_key.key": [DOCTOR],
}
FOLDERS = {
    "tags": [SEGMENTS, TAGS],
    "feeds": [TAGS, DOCTOR],
    "models": [TAGS],
    "segments": [SEGMENTS],
    "micro_segments": [SEGMENTS],
    "templates": [SEGMENTS],
    "lists": [SEGMENTS],
    "calendars": [SEGMENTS],
    "approvals": [SEGMENTS],
    "approvals/grc": [SEGMENTS],
    "attributes": [SEGMENTS, TAGS],
    "expectations": [DOCTOR],
}


def a_link(place):
    place.symlink_to(place.parent / "nowhere")


def a_folder(place):
    place.mkdir()


def a_file(place):
    place.write_text("")


# The nights of whoever ran the example are no part of it.
MADE_BY_NIGHTS = ("lake", "inbox", "truth", "reports", "published", "secrets", "audit", ".cdp")
CASES = [
    *((name, make, command) for name in FILES for make in (a_link, a_folder, os.mkfifo) for command in FILES[name]),
    *((name, make, command) for name in FOLDERS for make in (a_link, a_file, os.mkfifo) for command in FOLDERS[name]
      if (name, make) != ("approvals/grc", a_file)),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound_bank(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bank") / "bank"
    shutil.copytree(BANK, folder, ignore=shutil.ignore_patterns(*MADE_BY_NIGHTS))
    (folder / "calendars").mkdir(exist_ok=True)
    (folder / "calendars" / "exchange@2026.csv").write_text("day\n2026-01-05\n2026-01-06\n")
    birthday = (folder / "segments" / "birthday_week.yml").read_text()
    maturing = birthday.replace("code: birthday_week", "code: maturing")
    rule = "where: {date: {of: matures_on, from: holdings, pick: next, days_ahead: {lte: 3}, calendar: exchange@2026}}"
    maturing = re.sub(r"(?ms)^where:.*?(?=^guards:)", f"{rule}\n", maturing)
    (folder / "segments" / "maturing.yml").write_text(maturing)
    (folder / "roles.yml").write_text(ROLES)
    assert run([*SEGMENTS, "--workspace", str(folder)]) == run([*TAGS, "--workspace", str(folder)]) == 0
    return folder


@pytest.fixture
def patience():
    """Ends a command that waits for a pipe."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("the command waits"))
    signal.alarm(30)
    yield
    signal.alarm(0)


def put(workspace, name, make):
    place = workspace / name
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    make(place)


@pytest.mark.parametrize(
    ("name", "make", "command"), CASES, ids=[f"{n}-{m.__name__}-{c[0]}" for n, m, c in CASES]
)
def test_what_is_no_setting_is_never_the_same_as_nothing(
    sound_bank, tmp_path, capfd, patience, name, make, command
):
    workspace = shutil.copytree(sound_bank, tmp_path / "bank")
    put(workspace, name, make)
    code = run([*command, "--workspace", str(workspace)])
    out, err = capfd.readouterr()
    assert code in ((1, 2, 3) if command is DOCTOR else (2,)), (out, err)
    assert "Traceback" not in out + err
    assert name in (out + err), (out, err)
