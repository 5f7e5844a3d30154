"""Who may read what the product writes: nobody but the owner, or a group that the workspace names."""

from __future__ import annotations

import grp
import os
import shutil
import stat
from datetime import date

import pytest

from jobs.cli import run
from jobs.night.writing import hold_lake, open_for_writing
from jobs.workspace.make import make_workspace
from lakehouse.errors import SettingsInvalid
from lakehouse.ledger.ledger import publish
from lakehouse.settings.settings import load_settings

MONDAY = date(2026, 1, 5)
OWN_GROUP = grp.getgrgid(os.getgid()).gr_name


@pytest.fixture
def shop(tmp_path):
    make_workspace(tmp_path / "shop", "minimal")
    return tmp_path / "shop"


def with_files(shop, text):
    file = shop / "cdp.yml"
    lines = file.read_text(encoding="utf-8").replace("  group: null", "  group: null\n")
    start = lines.index("files:")
    file.write_text(f"{lines[:start]}files: {text}\n{lines[lines.index('# A bound of') :]}", encoding="utf-8")
    return load_settings(shop)


def rights(folder):
    """Give the rights of a folder and of what lies in it: those of folders and those of files."""
    entries = [folder, *folder.rglob("*")]
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in entries}
    return {modes[p] for p in entries if p.is_dir()}, {modes[p] for p in entries if p.is_file()}


def publish_night(settings):
    with open_for_writing(settings, MONDAY, "nightly 2026-01-05") as writer:
        attempt = writer.attempt(MONDAY)
        with attempt.ledger.step("nightly"), writer.lake.exchange("rows") as folder:
            (folder / "part").write_bytes(b"rows")
            publish(writer.lake, MONDAY, attempt.fingerprint, {"date": MONDAY.isoformat()})


def test_a_lake_is_written_for_its_owner_only_and_the_process_is_as_before(shop):
    before = os.umask(0o022)
    try:
        publish_night(load_settings(shop))
        assert rights(shop / "lake") == ({0o700}, {0o600})
        assert rights(shop / "secrets") == ({0o700}, {0o600})
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_key_is_made_for_its_owner_only_whatever_the_process_allows(shop):
    before = os.umask(0)
    try:
        shutil.rmtree(shop / "secrets")
        load_settings(shop).model_copy(update={"generate_secrets": True}).secret("decisions_key")
        assert rights(shop / "secrets") == ({0o700}, {0o600})
    finally:
        os.umask(before)


def test_a_decision_and_the_dbt_project_are_written_for_their_owner_only(shop):
    before = os.umask(0o022)
    try:
        assert run(["tags", "compile", "--workspace", str(shop)]) == 0
        run(
            [
                "identity",
                "decide",
                "must-link",
                "a/1",
                "a/2",
                "--author",
                "x",
                "--reason",
                "y",
                "--workspace",
                str(shop),
            ]
        )
        assert rights(shop / ".cdp")[1] == {0o600}
        assert rights(shop / "lake") == ({0o700}, {0o600})
    finally:
        os.umask(before)


def test_a_group_reads_what_the_workspace_lets_it_read(shop):
    settings = with_files(shop, f"{{published_group: {OWN_GROUP}}}")
    publish_night(settings)
    assert stat.S_IMODE(settings.lake.stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.published.stat().st_mode) == 0o2750
    settings = with_files(shop, f"{{group: {OWN_GROUP}}}")
    refusal = r"cannot read .*lake; run `chmod -R g-w,g\+rX,o-rwx .*lake && find"
    with pytest.raises(SettingsInvalid, match=refusal), hold_lake(settings, "x"):
        pass
    for place in (settings.lake, settings.reports, settings.generated):
        place.chmod(0o2750)
    publish_night(settings)
    folders, files = rights(settings.lake / "ops")
    assert (max(folders) & 0o777, files) == (0o750, {0o640})


def test_an_unknown_group_is_one_sentence_before_anything_is_written(shop, capsys):
    with_files(shop, "{group: nobody_has_this_group}")
    assert run(["nightly", "--date", "2026-01-05", "--workspace", str(shop)]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "this machine has no group 'nobody_has_this_group'" in message
    assert "cdp.yml:" in message
    assert not (shop / "lake").exists()


@pytest.mark.parametrize("place", ["lake", "reports", "published", ".cdp", "secrets"])
def test_doctor_names_a_folder_that_others_can_read_and_the_command_that_closes_it(shop, capsys, place):
    folder = shop / place
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    run(["doctor", "--workspace", str(shop)])
    assert (
        "good  files      lake, reports, audiences and secrets are closed to others"
        in capsys.readouterr().out
    )
    folder.chmod(0o755)
    assert run(["doctor", "--workspace", str(shop)]) == 2
    text = capsys.readouterr().out
    assert f"BAD   files      others can read {folder}" in text
    assert f"run `chmod -R go-rwx {folder}`" in text


def test_doctor_looks_at_destinations_outside_the_workspace(shop, tmp_path, capsys):
    outside = tmp_path / "engine"
    outside.mkdir(mode=0o755)
    (shop / "destinations.yml").write_text(
        f"destinations:\n  engine: {{description: an engine, root: {outside}}}\n", encoding="utf-8"
    )
    assert run(["doctor", "--workspace", str(shop)]) == 2
    assert f"others can read {outside}" in capsys.readouterr().out


@pytest.mark.slow
def test_what_spark_writes_has_the_same_rights(spark, tmp_path):
    spark.range(3).write.format("delta").save(str(tmp_path / "table"))
    files = [path for path in (tmp_path / "table").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
