"""Settings and YAML: every fault is one sentence with file, line and what to do."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from lakehouse.errors import LockHeld, SettingsInvalid
from lakehouse.ledger.lock import hold_lock
from lakehouse.settings.settings import is_cluster, load_settings, read_secret


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "lake: lake\ntimezone: Asia/Shanghai\n",
            r"cdp.yml:2: unknown key 'timezone'; did you mean 'time_zone'\?",
        ),
        (
            "spark:\n  driver_memmory: 2g\n",
            r"cdp.yml:2: unknown key 'driver_memmory'; did you mean 'driver_memory'\?",
        ),
        ("la[ke: a\n", r"cdp.yml:1: unknown key 'la\[ke'; did you mean 'lake'\?"),
        ("engine: sparky\n", r"cdp.yml:1: 'engine.name' has to be 'auto', 'duckdb' or 'spark'"),
        ("engine: {memory: much}\n", r"cdp.yml:1: 'engine.memory': write a size like 8GB or 1500MB"),
        ("time_zone: Mars/Olympus\n", r"cdp.yml:1: 'time_zone': unknown time zone 'Mars/Olympus'"),
        ("currency: yuan\n", r"cdp.yml:1: 'currency': "),
        ("lake: a\nlake: b\n", r"cdp.yml:2: the key 'lake' is written twice$"),
        ("lake: [a\n", r"cdp.yml:2: "),
        (
            "spark:\n  driver_memory: lots\n",
            r"cdp.yml:2: 'spark.driver_memory': write a size like 3g or 1500m",
        ),
    ],
)
def test_a_wrong_setting_names_file_line_and_remedy(make_workspace, text, said):
    with pytest.raises(SettingsInvalid, match=said) as wrong:
        load_settings(make_workspace({"cdp.yml": text}))
    assert wrong.value.exit_code == 2


def test_an_unknown_workspace_is_named(tmp_path):
    with pytest.raises(SettingsInvalid, match="does not exist"):
        load_settings(tmp_path / "nowhere")
    with pytest.raises(SettingsInvalid, match="is not a workspace"):
        load_settings(tmp_path)


def test_a_missing_secret_says_where_to_put_it_and_a_demo_makes_its_own(make_workspace, monkeypatch):
    monkeypatch.delenv("CDP_SECRET_IDENTITY_KEY", raising=False)
    strict = load_settings(make_workspace({"cdp.yml": "lake: lake\n"}))
    with pytest.raises(SettingsInvalid, match="set CDP_SECRET_IDENTITY_KEY or write"):
        strict.secret("identity_key")
    demo = load_settings(make_workspace({"cdp.yml": "generate_secrets: true\n"}, name="demo"))
    made = demo.secret("identity_key")
    assert demo.secret("identity_key") == made
    assert (demo.workspace / "secrets" / "identity_key.key").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("CDP_SECRET_IDENTITY_KEY", "from the environment")
    assert demo.secret("identity_key") == b"from the environment"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("/dev/zero", "is no regular file"),
        ("pipe", "is no regular file"),
        ("huge", "is longer than 4096 bytes"),
        ("short", "is shorter than 16 characters"),
        ("absent", "cannot be read"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_at_once(tmp_path, place, said):
    os.mkfifo(tmp_path / "pipe")
    os.truncate(os.open(tmp_path / "huge", os.O_CREAT | os.O_WRONLY), 10**12)
    (tmp_path / "short").write_text("short")
    with pytest.raises(SettingsInvalid, match=said):
        read_secret(tmp_path / place)


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path):
    with hold_lock(tmp_path, "nightly 2026-11-18"):
        with (
            pytest.raises(LockHeld, match=r"nightly 2026-11-18, process \d+, since 20") as held,
            hold_lock(tmp_path, "x"),
        ):
            pass
        assert held.value.exit_code == 4
    with hold_lock(tmp_path, "the next one"):
        pass


def test_the_next_writer_waits_for_the_jvm_of_one_that_died_and_not_of_one_that_ended_well(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("lakehouse.ledger.lock.JVM_PATIENCE_SECONDS", 0.1)
    jvm = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!"], stdout=subprocess.PIPE, text=True)
    assert jvm.stdout is not None
    orphan = int(jvm.stdout.readline())
    jvm.stdout.close()
    jvm.wait()
    try:
        with hold_lock(tmp_path, "ended well") as note_jvm:
            note_jvm(orphan)
        with pytest.raises(KeyboardInterrupt), hold_lock(tmp_path, "died") as note_jvm:
            note_jvm(orphan)
            raise KeyboardInterrupt
        with (
            pytest.raises(LockHeld, match=rf"the JVM {orphan} of the last writer is still running"),
            hold_lock(tmp_path, "next"),
        ):
            pass
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_an_engine_of_the_command_or_the_environment_comes_before_the_files(make_workspace, monkeypatch):
    workspace = make_workspace({"cdp.yml": "engine: {name: spark, memory: 8GB, spill: heap}\n"})
    assert load_settings(workspace).engine.name == "spark"
    assert load_settings(workspace).engine.spill == str(workspace / "heap")
    assert load_settings(workspace, engine="duckdb").engine.model_dump() == {
        "name": "duckdb", "rows_in_process": 200_000_000, "bucket_rows": 5_000_000, "memory": "8GB", "spill": str(workspace / "heap"),
    }  # fmt: skip
    monkeypatch.setenv("CDP_ENGINE", "auto")
    assert load_settings(workspace).engine.name == "auto"
    monkeypatch.setenv("CDP_ENGINE", "sparc")
    with pytest.raises(SettingsInvalid, match="there is no engine 'sparc'; name one of auto, duckdb, spark"):
        load_settings(workspace)


@pytest.mark.parametrize(
    ("text", "is_cluster_named"),
    [
        ("", False),
        ("spark: {conf: {spark.master: 'local[4]'}}\n", False),
        ("spark: {conf: {spark.master: 'spark://a:7077'}}\n", True),
    ],
)
def test_a_master_that_is_no_process_of_its_own_is_a_cluster(
    make_workspace, monkeypatch, text, is_cluster_named
):
    settings = load_settings(make_workspace({"cdp.yml": text}))
    assert is_cluster(settings) is is_cluster_named
    monkeypatch.setenv("CDP_SPARK_MASTER", "yarn")
    assert is_cluster(settings) is True
