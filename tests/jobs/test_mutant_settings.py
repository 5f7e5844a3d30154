"""Whatever a person or a disk does to a YAML file of a workspace: it is read, or one sentence says what is wrong."""

from __future__ import annotations

import os
import shutil
import time
import zlib
from pathlib import Path

import pytest
from mutations import mutants

from jobs.cli import run
from lakehouse.errors import CdpError, UsageError

EXAMPLES = Path(__file__).parents[2] / "examples"
LONGEST_SECONDS = 60
# Of each kind; 120 of all take a minute and a half.
OTHER_MUTANTS = int(os.environ.get("MUTANTS", 120))


def read_feed_file(file: Path) -> None:
    from ingestion.feeds.feeds import read_feed

    read_feed(file)


def read_segment_file(file: Path) -> None:
    from segments.language.spec import read_segment

    read_segment(file)


def read_tag_file(file: Path) -> None:
    from tags.compile.compilation import compile_tags

    compile_tags(file.parents[1])


def commands(*lines: str):
    """Give a reader that runs commands on the workspace of a file; what they refuse is one sentence or findings."""

    def read(file: Path) -> None:
        for line in lines:
            code = run([*line.split(), "--workspace", str(workspace_of(file))])
            if code == 2:
                raise UsageError("refused by a command")
            assert code == 0, line

    return read


def workspace_of(file: Path) -> Path:
    return file.parent if (file.parent / "cdp.yml").is_file() else file.parents[1]


def read_rules_file(file: Path) -> None:
    from identity.rules.rules import load_rules
    from lakehouse.settings.settings import load_settings

    load_rules(load_settings(file.parent))


def read_expectations(file: Path) -> None:
    from lakehouse.gates.expectations import check_suites
    from lakehouse.settings.settings import load_settings

    check_suites(load_settings(file.parents[1]), [])


ROLES_YML = """\
roles:
  lead: {users: [wang, zhao], may: [approve, pause, recall, reveal]}
  branch: {users: [li], may: [], branches: [N01, N02]}
every_tag: [{role: lead}]
branch_tag: home_branch
"""
ATTRIBUTES_YML = """\
attributes:
  - {code: plan, entity: customer, type: string, level: C1, domain: [BASIC, PLUS], name: {zh: 套餐, en: Plan}}
  - {code: fee, entity: customer, type: decimal, level: C2, name: {zh: 月费, en: Fee}}
"""
LOOKUPS_YML = """\
lookups:
  - {code: own_branch, from: trusted.accounts, to: trusted.branches, keys: {branch_id: branch_id}}
  - {code: own_card, from: trusted.transactions, to: trusted.cards, keys: {card_id: card_id}}
"""
EXPECTATIONS_YML = """\
over: all
expectations:
  - {type: expect_column_values_to_not_be_null, kwargs: {column: source_key}, why: a customer has a key, severity: stop}
  - {type: expect_column_values_to_be_in_set, kwargs: {column: kind, value_set: [customer, prospect]}, why: two kinds}
"""
PARAMETERS_YML = "points_expiring: {least_points: 300}\n"
# Kinds that the example bank has a file of, or is given one, and what reads them.
OTHER_SETTINGS = {
    "marts.yml": (None, commands("tags compile --check")),
    "micro_segments/value_groups.yml": (None, commands("segments check")),
    "attributes.yml": (ATTRIBUTES_YML, commands("segments check")),
    "lookups.yml": (LOOKUPS_YML, commands("segments check")),
    "roles.yml": (ROLES_YML, commands("segments check")),
    "templates/wealth_invitation@1.yml": (None, commands("segments check")),
    "lists/branch_special@1.csv": (None, commands("segments check")),
    "consent.yml": (None, commands("segments check")),
    "contact_policy.yml": (None, commands("segments check")),
    "destinations.yml": (None, commands("segments check")),
    "segment_parameters.yml": (PARAMETERS_YML, commands("segments check")),
    "identity.yml": (None, read_rules_file),
    "expectations/trusted.customers.yml": (EXPECTATIONS_YML, read_expectations),
    "cdp.yml": (None, commands("segments check")),
}
SETTINGS = {
    "feeds": (EXAMPLES / "bank", read_feed_file),
    "segments": (EXAMPLES / "bank", read_segment_file),
    "tags": (EXAMPLES / "berka", read_tag_file),
}


def outcomes(folder: Path, kind: str, count: int, files: int) -> dict[str, int]:
    """Read mutants of a workspace's files of one kind; give how many were read and refused."""
    result = {"read": 0, "refused": 0}
    example, read = SETTINGS[kind]
    for source in sorted((example / kind).glob("*.yml"))[:files]:
        target = folder / "workspace" / kind / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        for at, (what, mutant) in enumerate(
            mutants(source.read_bytes(), zlib.crc32(source.name.encode()), count)
        ):
            target.write_bytes(mutant)
            start = time.monotonic()
            try:
                read(target)
                result["read"] += 1
            except CdpError as wrong:
                assert wrong.exit_code == 2, f"{source.name} mutant {at}: {what}"
                assert "\n" not in str(wrong), f"{source.name} mutant {at}: {what}"
                result["refused"] += 1
            assert time.monotonic() - start < LONGEST_SECONDS, f"{source.name} mutant {at}: {what}"
        target.unlink()
    return result


@pytest.mark.parametrize("kind", SETTINGS)
def test_mutants_of_settings_are_read_or_one_sentence(tmp_path, kind):
    assert outcomes(tmp_path, kind, 5, 3)["refused"] > 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", SETTINGS)
def test_hundreds_of_mutants_of_settings_are_read_or_one_sentence(tmp_path, kind):
    assert outcomes(tmp_path, kind, 100 if kind == "tags" else 20, 40)["refused"] > 50


@pytest.mark.slow
def test_commands_over_mutants_of_settings_end_with_an_exit_code_and_no_traceback(tmp_path, capfd):
    for kind, command in (("feeds", "feeds list"), ("segments", "segments check"), ("tags", "tags list")):
        example, _ = SETTINGS[kind]
        source = sorted((example / kind).glob("*.yml"))[0]
        workspace = tmp_path / kind
        shutil.copytree(example, workspace, ignore=shutil.ignore_patterns("lake", "inbox"))
        for what, mutant in mutants(source.read_bytes(), 3, 15):
            (workspace / kind / source.name).write_bytes(mutant)
            assert run([*command.split(), "--workspace", str(workspace)]) in (0, 1, 2, 3), what
            assert "Traceback" not in capfd.readouterr().err, what


def other_outcomes(folder: Path, name: str, count: int, capfd) -> dict[str, int]:
    """Read mutants of one file of a bank; give how many were read and refused. None may end otherwise."""
    workspace = folder / "bank"
    shutil.copytree(EXAMPLES / "bank", workspace)
    written, read = OTHER_SETTINGS[name]
    file = workspace / name
    file.parent.mkdir(exist_ok=True)
    if written is not None:
        file.write_text(written, encoding="utf-8")
    content = file.read_bytes()
    read(file)
    result = {"read": 0, "refused": 0}
    for at, (what, mutant) in enumerate(mutants(content, zlib.crc32(name.encode()), count)):
        file.write_bytes(mutant)
        start = time.monotonic()
        try:
            read(file)
            result["read"] += 1
        except CdpError as wrong:
            assert wrong.exit_code == 2, f"{name} mutant {at}: {what}"
            assert "\n" not in str(wrong), f"{name} mutant {at}: {what}"
            result["refused"] += 1
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err, f"{name} mutant {at}: {what}"
        assert "Exception ignored" not in err, f"{name} mutant {at}: {what}"
        assert time.monotonic() - start < LONGEST_SECONDS, f"{name} mutant {at}: {what}"
    return result


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_mutants_of_other_settings_are_read_or_one_sentence(tmp_path, capfd, name):
    result = other_outcomes(tmp_path, name, OTHER_MUTANTS, capfd)
    assert result["refused"] > OTHER_MUTANTS / 10, result
