"""Off a terminal every line of stderr is a JSON object, whoever writes it; on a terminal a step moves."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.ledger import progress
from lakehouse.ledger.json_stderr import line_as_json

ROOT = Path(__file__).resolve().parents[3]


def run_script(script, **options):
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False, **options
    )


def objects(stderr):
    return [json.loads(line) for line in stderr.splitlines()]


WRITERS = """
import os, subprocess, sys, warnings
from lakehouse.ledger.json_stderr import json_stderr
with json_stderr():
    print("words of Python", file=sys.stderr)
    os.write(2, b"words of a library\\n")
    subprocess.run(["sh", "-c", "echo words of a child >&2"])
    print('{"message": "an object already", "n": 1}', file=sys.stderr)
    warnings.warn("old words")
    os.write(2, b"\\xff broken bytes\\n")
    print("rows")
    subprocess.run(["sh", "-c", "printf 'without an end' >&2"])
"""


def test_whoever_writes_each_line_is_an_object():
    done = run_script(WRITERS)
    assert (done.returncode, done.stdout) == (0, "rows\n")
    lines = objects(done.stderr)
    messages = [line["message"] for line in lines]
    for words in ("words of Python", "words of a library", "words of a child", "an object already"):
        assert words in messages
    assert any(m.endswith("UserWarning: old words") for m in messages)
    assert any("broken bytes" in m for m in messages) and any(
        m.startswith("without an end") for m in messages
    )
    assert {"at", "level", "room", "message"} <= set(lines[0])
    assert {"message": "an object already", "n": 1} in lines


def test_a_bug_is_one_object_with_its_traceback_and_exit_code_1():
    done = run_script(
        "from lakehouse.ledger.json_stderr import json_stderr\nwith json_stderr():\n    [][1]\n"
    )
    (line,) = objects(done.stderr)
    assert done.returncode == 1 and line["level"] == "error"
    assert line["message"].startswith("IndexError") and "list index out of range" in line["traceback"]


BUGS = """
from lakehouse.ledger.json_stderr import json_stderr
with json_stderr():
    import duckdb
    try:
        duckdb.sql("select cast('13800138000 Zhang' as int)").fetchall()
    except duckdb.Error as wrong:
        try:
            {"a": 1}["zhang@bank.cn"]
        except KeyError as other:
            raise ValueError("of 张伟 with 'a@b.c'") from other
"""


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_bug_tells_where_it_is_and_no_value_that_it_met(is_terminal):
    if is_terminal:
        read_end, terminal = pty.openpty()
        done = subprocess.run([sys.executable, "-c", BUGS], stderr=terminal, cwd=ROOT, check=False)
        os.close(terminal)
        words = os.read(read_end, 1 << 16).decode()
    else:
        done = run_script(BUGS)
        words = done.stderr
    assert done.returncode == 1
    assert "ValueError: of … with …" in words and "KeyError: …" in words
    # The lines of the program stand in a traceback, so the values are looked for where messages are.
    messages = [line for line in words.replace("\\n", "\n").splitlines() if "Error: " in line]
    assert not [
        line for line in messages for value in ("13800138000", "Zhang", "zhang", "张", "a@b") if value in line
    ]


def test_the_last_words_of_an_aborted_process_are_not_lost():
    script = (
        "import os\nfrom lakehouse.ledger.json_stderr import json_stderr\n"
        "with json_stderr():\n    os.write(2, b'terminate called\\n')\n    os.abort()\n"
    )
    done = run_script(script)
    assert done.returncode == -6
    assert [line["message"] for line in objects(done.stderr)] == ["terminate called"]


def test_all_is_there_when_the_process_has_ended(tmp_path):
    script = (
        "import sys, os\nfrom lakehouse.ledger.json_stderr import json_stderr\n"
        "with json_stderr():\n    for at in range(5000): print('line', at, file=sys.stderr)\nos._exit(3)\n"
    )
    with (tmp_path / "log").open("w") as log:
        assert subprocess.call([sys.executable, "-c", script], stderr=log, cwd=ROOT) == 3
    assert len(objects((tmp_path / "log").read_text())) == 5000


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tagz"], 2, "Error: unknown command 'tagz'; did you mean 'tags'?"),
        (["tags", "list", "--family", "valu"], 2, "cdp: there is no family 'valu'; did you mean 'value'?"),
        (["sql", "select 1"], 0, "(1 row)"),
    ],
)
def test_the_command_line_answers_a_pipe_in_objects(tmp_path, arguments, code, message):
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments],
        capture_output=True, text=True, cwd=tmp_path, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == code and message in [line["message"] for line in objects(done.stderr)]


@pytest.mark.parametrize(
    ("line", "level"),
    [("cdp: wrong", "error"), ("WARNING: Using incubator modules", "warning"), ("{no object", "info"), ("[1]", "info")],
)  # fmt: skip
def test_a_line_has_a_level(line, level):
    entry = json.loads(line_as_json(line))
    assert (entry["level"], entry["message"]) == (level, line)


@pytest.mark.slow
def test_spark_speaks_in_objects_too(tmp_path):
    script = f"""
from lakehouse.ledger.json_stderr import json_stderr
with json_stderr():
    from lakehouse.session.session import start_session, stop_session
    from lakehouse.settings.settings import load_settings
    spark = start_session(load_settings({str(tmp_path)!r}))
    jvm = spark._jvm
    jvm.org.apache.logging.log4j.LogManager.getLogger("a.b.Speaker").error('two\\nlines, "quoted"')
    jvm.java.lang.System.err.println("raw words")
    stop_session(wait=True)
"""
    (tmp_path / "cdp.yml").write_text("spark: {cores: 1, driver_memory: 1g}\n")
    lines = objects(run_script(script).stderr)
    spoken = next(line for line in lines if line["room"] == "spark")
    assert spoken["message"].startswith('Speaker: two\nlines, "quoted"') and spoken["level"] == "error"
    assert "raw words" in [line["message"] for line in lines]


STEP = """
import time
from lakehouse.ledger.progress import PartCount, set_up_logging, step_log
set_up_logging()
with step_log("nightly"), step_log("build_tags"):
    parts = PartCount(7)
    for name in ("int_balances", "tag_value", "customer_tags"):
        parts.end(name)
        time.sleep(0.3)
"""


def test_on_a_terminal_a_step_shows_how_far_it_is():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", STEP], stderr=theirs, cwd=ROOT, env=environment) as process:
        os.close(theirs)
        screen = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                break
            if not part:
                break
            screen += part
    os.close(ours)
    text = screen.decode("utf-8", "replace")
    assert process.returncode == 0
    assert "3 of 7  customer_tags" in text and "nightly" in text and "build_tags done in" in text


def test_off_a_terminal_a_long_step_tells_how_far_it_is_now_and_then(caplog, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress.log, "propagate", True)
    with caplog.at_level("INFO", logger="cdp"), progress.step_log("ingest"):
        parts = progress.PartCount(2)
        parts.end("core_cards")
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 60.0)
        parts.end("app_events")
    told = [message for message in caplog.messages if " of " in message]
    assert list(dict.fromkeys(told)) == ["ingest: 1 of 2, core_cards"]


def test_warnings_are_kept_once_and_taken_once():
    with progress.warnings_kept() as warnings:
        progress.log.warning("a file is late")
        progress.log.getChild("ingestion").warning("a file is late")
        progress.log.info("no warning")
        assert warnings.take() == ["a file is late"] and warnings.take() == []
    progress.log.warning("after it")
    assert warnings.take() == []
