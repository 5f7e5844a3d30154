"""What a person at a terminal meets: quick starts, one clear sentence per fault, the right exit code."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from jobs.cli import run


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nigtly"], 2, "did you mean 'nightly'?"),
        (["nightly", "--date", "yesterday"], 2, "'yesterday' is not a day; write it as yyyy-mm-dd"),
        (["nightly"], 2, "Missing option '--date'"),
        (
            ["nightly", "--date", "2026-11-18", "--workspace", "/nowhere"],
            2,
            "the workspace folder /nowhere does not exist",
        ),
        (["sql", "selec 1"], 2, "the SQL"),
        (["sql", "select * from trusted.nothing"], 2, "is not a workspace"),
        (["backfill", "--from", "2026-11-19", "--to", "2026-11-18"], 2, "is not a workspace"),
    ],
)
def test_a_wrong_call_is_answered_in_one_sentence(arguments, code, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CDP_WORKSPACE", raising=False)
    assert run(arguments) == code
    printed = capsys.readouterr().err
    assert said in printed
    assert "Traceback" not in printed


def test_a_wrong_feed_stops_before_anything_is_written(make_workspace, capsys):
    folder = make_workspace({"feeds/cards.yml": "feed: cards\nsource: core\nseperator: ','\n"})
    assert run(["nightly", "--date", "2026-11-18", "--workspace", str(folder)]) == 2
    assert "cards.yml:3: unknown key 'seperator'" in capsys.readouterr().err
    assert not (folder / "lake").exists()


def test_a_machine_without_java_is_told_what_to_install(make_workspace, capsys, monkeypatch):
    from lakehouse.session import session

    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    session.java_version.cache_clear()
    try:
        with pytest.raises(session.EnvironmentUnready, match="install a JDK 17 or 21"):
            session.require_java()
        assert run(["doctor", "--workspace", str(make_workspace())]) == 0
        assert "Java       not usable, and not needed by these nights" in capsys.readouterr().out
        assert run(["doctor", "--workspace", str(make_workspace({"cdp.yml": "engine: spark\n"}))]) == 2
    finally:
        session.java_version.cache_clear()
    printed_lines = capsys.readouterr().out
    assert "needed: the engine is spark" in printed_lines and "apt install openjdk-17" in printed_lines


def test_a_missing_required_file_stops_the_night_with_nothing_written(make_workspace, capsys):
    feed = """\
    feed: cards
    source: core
    description: cards
    mode: snapshot
    required: true
    files: {path: "cards/{date}/cards.csv"}
    format: {type: csv}
    columns: [no]
    targets:
      - {table: trusted.products, columns: {product_id: no, product_class: "'card'"}}
    """
    folder = make_workspace({"feeds/cards.yml": feed, "inbox/README": "files are delivered here"})
    assert run(["nightly", "--date", "2026-11-18", "--workspace", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "feed 'cards' is required and its file of 2026-11-18 is missing" in said
    assert not list((folder / "lake").glob("trusted/*/*.parquet"))


@pytest.mark.parametrize("arguments", [["--help"], ["tags", "list"], ["sql", "select 1"]])
def test_commands_without_a_jvm_start_nothing_heavy(arguments):
    """Timings decide no test; what is imported does."""
    script = (
        "import sys\nfrom jobs.cli import run\n"
        f"code = run({arguments!r})\n"
        "heavy = {'pyspark', 'dbt', 'great_expectations', 'matplotlib', 'scipy', 'numba'} & set(sys.modules)\n"
        "sys.exit(code or (50 if heavy else 0))\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 300
