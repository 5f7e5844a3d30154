"""A disk that is full, read-only or closed is one sentence and exit 1, whichever library met it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError

from jobs.cli import run
from jobs.night.writing import open_for_writing
from jobs.workspace.make import make_workspace as new_workspace
from lakehouse.errors import StepFailed, disk_refusal, refusal
from lakehouse.query.desk import limit_memory, open_alone
from lakehouse.settings.settings import load_settings

# As the libraries said it when it happened: deltalake 1.x on a full and a read-only tmpfs, Spark 4, DuckDB 1.x.
RUST_FULL = "Failed to parse parquet: External: Generic LocalFileSystem error: Unable to copy data to file: No space left on device (os error 28)"
RUST_READ_ONLY = (
    "Failed to parse parquet: External: Generic LocalFileSystem error: Unable to open file "
    "/lake/ops/runs/part-00000-0d69-c000.snappy.parquet#1: Read-only file system (os error 30)"
)
JAVA_FULL = (
    "An error occurred while calling o91.save.\n: java.io.IOException: No space left on device\n\tat sun.nio"
)
OF_A_TASK = "Job aborted: Task 0 in stage 5.0 failed 4 times, most recent failure: Lost task 0.3 in stage 5.0 (TID 22) (127.0.0.1 "
DUCKDB_CLOSED = 'IO Error: Cannot open file "/lake/x.parquet": Permission denied'


def os_error(number, path=None):
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (os_error(errno.ENOSPC, "/lake/HEAD.json"), "at /lake/HEAD.json: No space left on device; free some space there"),
        (os_error(errno.ENOSPC), "temporary files): No space left on device"),
        (os_error(errno.EROFS, "/lake/.cdp.lock"), "Read-only file system; mount it for writing"),
        (PermissionError(errno.EACCES, "Permission denied", "/lake"), "give this user the right to read and write"),
        (os_error(errno.EIO, "/lake"), "restore from a backup"),
        (os_error(errno.EFBIG), "ulimit -f"),
        (DeltaError(RUST_FULL), "No space left on device"),
        (DeltaError(RUST_READ_ONLY), "at /lake/ops/runs/part-00000-0d69-c000.snappy.parquet: Read-only file system"),
        (RuntimeError(JAVA_FULL), "No space left on device"),
        (RuntimeError(DUCKDB_CLOSED), "at /lake/x.parquet: Permission denied"),
    ],
)  # fmt: skip
def test_what_a_disk_refuses_is_one_sentence_with_what_to_do(wrong, words):
    sentence = disk_refusal(wrong)
    assert sentence is not None and sentence.exit_code == 1
    assert words in str(sentence) and "\n" not in str(sentence)
    assert "run the same command again; what is published is as it was" in str(sentence)


@pytest.mark.parametrize(
    ("wrong", "setting"),
    [
        (RuntimeError("An error occurred while calling o12340.sql.\n: java.lang.OutOfMemoryError: Java heap space\n\tat x"), "spark.driver_memory"),
        (RuntimeError(f"{OF_A_TASK}executor 0): java.lang.OutOfMemoryError: Java heap space"), "spark.executor.memory"),
        (RuntimeError(f"{OF_A_TASK}executor 1): java.io.InvalidClassException: x\n\tat y\nCaused by: org.apache.spark.memory.SparkOutOfMemoryError: z"), "spark.executor.memory"),
        (RuntimeError(f"{OF_A_TASK}executor 1): ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: Command exited with code 52"), "spark.executor.memory"),
        (RuntimeError(f"{OF_A_TASK}executor driver): java.lang.OutOfMemoryError: Java heap space"), "spark.driver_memory"),
        (RuntimeError("Out of Memory Error: failed to pin block of size 256.0 KiB (7.4 GiB/7.4 GiB used)"), "engine.memory"),
        (MemoryError(), "engine.memory"),
    ],
)  # fmt: skip
def test_memory_that_ran_out_is_one_sentence_with_the_setting_to_raise(wrong, setting):
    sentence = refusal(wrong)
    assert sentence is not None and sentence.exit_code == 1
    assert f"raise {setting}" in str(sentence) and "goes on at the step that failed" in str(sentence)


def test_a_desk_keeps_to_the_memory_of_the_workspace(make_workspace):
    settings = load_settings(make_workspace({"cdp.yml": "engine: {memory: 20MB, spill: heap}\n"}))
    try:
        limit_memory(settings)
        with open_alone() as desk:
            assert desk.value("select current_setting('memory_limit')") == "19.0 MiB"
            with pytest.raises(StepFailed, match=r"memory ran out: raise engine\.memory in cdp\.yml"):
                desk.value("select length(string_agg(repeat('x', 1000), '')) from range(100000)")
    finally:
        limit_memory(load_settings(make_workspace({"cdp.yml": ""})))


@pytest.mark.parametrize("place", ["/etc/passwd", "/etc/passwd/spill", "/proc/spill"])
def test_a_folder_to_spill_to_that_cannot_be_used_is_a_setting_that_is_wrong(make_workspace, capsys, place):
    workspace = make_workspace({"cdp.yml": f"engine: {{spill: {place}}}\n"})
    assert run(["nightly", "--date", "2026-01-05", "--workspace", str(workspace)]) == 2
    message = capsys.readouterr().err
    assert f"cdp.yml: engine.spill: the folder {place} cannot be used (" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    "wrong",
    [
        KeyError("No space left on device"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/lake"),
        RuntimeError("ERROR: permission denied for table customers"),
        ValueError("(os error 2)"),
    ],
)
def test_a_bug_stays_a_bug(wrong):
    assert disk_refusal(wrong) is None


def test_what_a_library_wraps_and_what_hides_it_are_seen():
    def fail():
        try:
            raise os_error(errno.ENOSPC, "/lake")
        except OSError as full:
            raise RuntimeError("the write failed") from full

    with pytest.raises(RuntimeError) as wrapped:
        fail()
    assert "No space left on device" in str(disk_refusal(wrapped.value))


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A workspace whose night takes the lock, makes the tables and writes to the ledger, and needs no JVM."""

    def run_night(settings, business_date, **_):
        with open_for_writing(settings, business_date, "nightly") as writer:
            ledger = writer.attempt(business_date, "f").ledger
            with ledger.step("nightly"):
                pass

    monkeypatch.setattr("jobs.night.nightly.run_night", run_night)
    monkeypatch.setattr("jobs.night.nightly.summary_line", str)
    new_workspace(tmp_path / "shop", "minimal")
    return tmp_path / "shop"


def nightly(shop, capsys):
    capsys.readouterr()
    code = run(["nightly", "--date", "2026-01-05", "--workspace", str(shop)])
    return code, capsys.readouterr().err


def test_a_full_disk_ends_a_night_with_one_sentence(shop, capsys, monkeypatch):
    def refuse(*_, **__):
        raise DeltaError(RUST_FULL)

    monkeypatch.setattr("deltalake.write_deltalake", refuse)
    code, err = nightly(shop, capsys)
    assert code == 1 and "Traceback" not in err
    assert err.strip().splitlines()[-1].startswith("cdp: the disk refused to go on (of the lake")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a tenth of a megabyte; only who may mount has one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)], check=False, capture_output=True)  # fmt: skip
    if mount.returncode:
        pytest.skip("this user may not mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_or_read_only_is_told(shop, small_disk, capsys, monkeypatch):
    (shop / "cdp.yml").write_text(f"lake: {small_disk}/lake\n")
    code, err = nightly(shop, capsys)
    assert code == 1 and "GB free and a night needs more than" in err
    monkeypatch.setattr("jobs.workspace.places.DISK_LEAST_GB", 0.0)
    (shop / "cdp.yml").write_text(f"lake: {small_disk}/lake\n")
    code, err = nightly(shop, capsys)
    assert code == 1 and "Traceback" not in err
    assert "No space left on device; free some space there" in err
    shutil.rmtree(small_disk / "lake")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, err = nightly(shop, capsys)
    assert code == 1 and "cannot be written by this user" in err and "Traceback" not in err


def test_deltalake_says_a_full_disk_as_the_sentence_expects(small_disk):
    with pytest.raises(DeltaError) as full:
        write_deltalake(small_disk / "table", pa.table({"n": pa.array(range(500_000))}))
    assert "No space left on device" in str(disk_refusal(full.value))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises((DeltaError, OSError)) as closed:
        write_deltalake(small_disk / "table", pa.table({"n": [1]}))
    assert "Read-only file system" in str(disk_refusal(closed.value))
