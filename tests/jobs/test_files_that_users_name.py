"""Files that a user names on the command line: what is no ordinary file is not read, and what is somebody else's is not replaced."""

from __future__ import annotations

import os
import re
import signal
import stat

import pytest

from jobs.cli import run
from lakehouse.errors import UsageError
from lakehouse.settings.settings import load_settings
from lakehouse.settings.written_files import PICTURE, SVG, written_file


@pytest.fixture
def patience():
    """Ends a command that waits for a pipe, or reads a device without end."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("the command reads what never ends"))
    signal.alarm(30)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
@pytest.mark.parametrize(
    "command",
    [
        ["feeds", "draft", "FILE"],
        ["feeds", "draft", "sound.csv", "--dictionary", "FILE"],
        ["sql", "-f", "FILE"],
        ["identity", "try", "--rules", "FILE"],
        ["segments", "check", "FILE"],
        ["segments", "micro", "FILE"],
        ["segments", "verify", "--key-file", "FILE", "."],
        ["simulate", "--rates", "FILE", "--out", "out"],
    ],
    ids=" ".join,
)
def test_a_pipe_or_a_device_is_no_file(make_workspace, monkeypatch, capfd, patience, command, name):
    folder = make_workspace({"sound.csv": "a,b\n1,2\n"})
    monkeypatch.chdir(folder)
    os.mkfifo("pipe")
    code = run([name if word == "FILE" else word for word in command])
    out, err = capfd.readouterr()
    assert (code, out.replace("0 segments checked, 1 with faults\n", "")) == (
        2,
        "",
    ) and "Traceback" not in err
    assert err.count("\n") == 1 and name in err


@pytest.mark.parametrize("name", ["truth.csv", "/dev/null"])
def test_truth_is_read_from_an_ordinary_file(tmp_path, patience, name):
    from identity.measuring.evaluate import read_truth

    os.mkfifo(tmp_path / "truth.csv")
    with pytest.raises(UsageError, match=rf"{name}: is a pipe or a device; name an ordinary file"):
        read_truth(tmp_path / name)


def drawn(settings, file, text="<svg/>"):
    with written_file(settings, file, SVG) as part:
        part.write_text(f"<svg><dc:title>{PICTURE['Publisher']}</dc:title>{text}</svg>")


@pytest.fixture
def settings(make_workspace):
    folder = make_workspace({"segments/x.yml": "code: x\n"})
    for name in ("lake/ops", "inbox", "published", "secrets", "audit", ".cdp/dbt", "truth"):
        (folder / name).mkdir(parents=True)
    return load_settings(folder)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("cdp.yml", "a picture is called NAME.svg"),
        ("segments/x.yml", "a picture is called NAME.svg"),
        ("lake/ops/x.svg", "is a folder of the product"),
        ("link/x.svg", "is a folder of the product"),
        ("inbox/x.svg", "is a folder of the product"),
        ("published/x.svg", "is a folder of the product"),
        ("secrets/x.svg", "is a folder of the product"),
        ("audit/x.svg", "is a folder of the product"),
        (".cdp/dbt/x.svg", "is a folder of the product"),
        ("foreign.svg", "is no picture that cdp wrote; name another file, or remove this one"),
        ("to_foreign.svg", "is a link; name the file itself"),
        ("to_nowhere.svg", "is a link; name the file itself"),
        ("folder.svg", "is no picture that cdp wrote"),
        ("pipe.svg", "is no picture that cdp wrote"),
        ("no/such/x.svg", "the picture cannot be written: No such file or directory"),
    ],
)
def test_a_picture_takes_the_place_of_nothing_else(settings, patience, place, sentence):
    folder = settings.workspace
    (folder / "foreign.svg").write_text("<svg>somebody's</svg>")
    (folder / "to_foreign.svg").symlink_to("foreign.svg")
    (folder / "to_nowhere.svg").symlink_to("nowhere.svg")
    (folder / "link").symlink_to("lake/ops")
    (folder / "folder.svg").mkdir()
    os.mkfifo(folder / "pipe.svg")
    before = {file: file.lstat() for file in sorted(folder.rglob("*"))}
    with pytest.raises(UsageError, match=re.escape(sentence)):
        drawn(settings, folder / place)
    after = {file: file.lstat() for file in sorted(folder.rglob("*"))}
    assert list(after) == list(before)
    assert all(after[f].st_mtime_ns == before[f].st_mtime_ns for f in before if not f.is_dir())


def test_a_picture_is_its_owners_and_takes_the_place_of_an_older_one_when_it_is_whole(settings):
    file = settings.workspace / "a.svg"
    drawn(settings, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    drawn(settings, file, "newer")
    with pytest.raises(RuntimeError), written_file(settings, file, SVG) as part:
        part.write_text("half")
        raise RuntimeError
    assert "newer" in file.read_text()
    place = settings.workspace / "b.svg"
    with (
        pytest.raises(UsageError, match="is no picture that cdp wrote"),
        written_file(settings, place, SVG),
    ):
        place.write_text("somebody came first")
    assert sorted(f.name for f in settings.workspace.glob("*.svg")) == ["a.svg", "b.svg"]
    assert not list(settings.workspace.glob(".*.svg*"))


def test_a_project_of_dbt_goes_into_no_folder_of_somebody_else(settings, capfd):
    folder = settings.workspace
    (folder / "models").mkdir()
    (folder / "models" / "own.sql").write_text("select 1\n")
    (folder / "other").mkdir()
    (folder / "other" / "dbt_project.yml").write_text("name: jaffle\n")
    command = ["tags", "compile", "--workspace", str(folder), "--into"]
    for place, sentence in (
        (folder, "is no project that cdp wrote; name a new folder, nothing was written"),
        (folder / "other", "is no project that cdp wrote"),
        (folder / "lake" / "dbt", "is a folder of the product"),
    ):
        assert run([*command, str(place)]) == 2
        assert sentence in capfd.readouterr().err
    assert (folder / "models" / "own.sql").is_file()
    assert (folder / "other" / "dbt_project.yml").read_text() == "name: jaffle\n"
    assert not (folder / "lake" / "dbt").exists()


def test_schemas_take_the_place_of_schemas_alone(settings, capfd):
    folder = settings.workspace / "schemas"
    folder.mkdir()
    (settings.workspace / "important.json").write_text("{}")
    (folder / "tags.json").symlink_to("../important.json")
    assert run(["schema", "--write", str(folder)]) == 2
    assert "tags.json: is no schema that cdp wrote" in capfd.readouterr().err
    assert [file.name for file in folder.iterdir()] == ["tags.json"]
    (folder / "tags.json").unlink()
    for _ in range(2):
        assert run(["schema", "--write", str(folder)]) == 0
    assert (settings.workspace / "important.json").read_text() == "{}"
